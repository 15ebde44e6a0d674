"""Code asks for the kind of an entry in a few places only: a further kind is a class, and no case in each of them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import pytest
from checkout import PACKAGES, ROOT

KINDS = {"Entry", "PointerEntry", "FileEntry", "SourceFile", "SourcePointer"}
_ITEMS = {"entry", "item"}

ALLOWED = {
    "format/entries.py:item_to_json": "the table of documents",
    "format/manifests.py:_check_sums": "the features that the kinds in a manifest take",
    "format/manifests.py:add": "the features that the kinds in its shards take",
    "store/read/content.py:content_of": "the factory",
    "store/read/content.py:of": "the factory, with what is told of many at once",
    "store/publish/content.py:_steps": "what a source yields, each with its way to an item: two branches",
    "store/publish/content.py:counted": "the features that the items of a version take",
    "store/publish/derive.py:_either": "what a place has now is pointers and empty folders",
    "store/ingest/sources.py:_moved": "a pointer of a source has its path in its entry",
    "given_versions.py:_given": "no entry, but what a caller gave",
    "given_versions.py:_wrong": "no entry, but what a caller gave",
    "model/metadata.py:_container": "no entry, but a value of a set",
}
_TWICE = {"store/publish/content.py:_steps"}


def branches(source: str) -> Iterator[str]:
    """Yield the name of the function around each place that asks for an entry's class."""

    def walk(node: ast.AST, function: str) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if _asks(node):
            yield function
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    yield from walk(ast.parse(source), "<module>")


def _asks(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
            return bool(KINDS & {name.id for name in ast.walk(kinds) if isinstance(name, ast.Name)})
        case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]):
            return name in _ITEMS
        case ast.Call(func=ast.Name(id="hasattr" | "getattr"), args=[ast.Name(id=name), *_]):
            return name in _ITEMS
        case ast.Attribute(attr="__class__", value=ast.Name(id=name)):
            return name in _ITEMS
        case ast.MatchClass(cls=ast.Name(id=name)):
            return name in KINDS
    return False


def test_only_these_places_branch_on_the_kind_of_an_entry():
    found = Counter(
        f"{path.relative_to(PACKAGES[0] / 'metamlflow')}:{function}"
        for path in sorted((PACKAGES[0] / "metamlflow").rglob("*.py"))
        for function in branches(path.read_text("utf-8"))
    )
    expected = Counter([*ALLOWED, *_TWICE])
    too_many = "\n".join(f"{place}: {count} of {expected[place]}" for place, count in (found - expected).items())
    assert not too_many, f"a further kind of content would be a further case there:\n{too_many}"
    assert not expected - found, "these do not branch any more, and are to be struck from the list"


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(x, PointerEntry)",
        "isinstance(x, (int, Entry))",
        "isinstance(x, Entry | None)",
        "type(entry) is Special",
        "item.__class__",
        "hasattr(entry, 'uri')",
        "match x:\n  case PointerEntry(uri=u): pass",
    ],
)
def test_a_branch_is_noticed(source):
    assert list(branches(f"def f(x):\n {source}")) == ["f"]


@pytest.mark.parametrize("source", ["isinstance(x, EmptyFolder)", "type(error)", "Entry(x)", "entry.uri is None"])
def test_what_asks_for_no_kind_is_none(source):
    assert not list(branches(source))


def test_the_list_is_of_files_that_exist():
    assert all((ROOT / "src/metamlflow" / place.partition(":")[0]).is_file() for place in ALLOWED)
