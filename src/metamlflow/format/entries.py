"""The items of an artifact as JSON: inline in a manifest, or as shards of JSON lines."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from metamlflow.format.documents import MAX_WHOLE, Fields, Problems, dump_text, parse_object, pattern
from metamlflow.format.layout import sha256_of_blob_key
from metamlflow.format.pointers import FEATURE, pointer_entry_from, pointer_entry_to_json
from metamlflow.model.manifests import EmptyFolder, Entry, FileEntry, Item, Shard
from metamlflow.model.paths import OrderCheck, path_problem
from metamlflow.model.pointers import PointerEntry

INLINE_ITEMS = 512
"""So many items a writer puts into a manifest; more go into shards, which later versions share."""
MAX_INLINE_ITEMS = 4_096
"""So many a reader takes in a manifest."""
MAX_SHARD_ITEMS = 32_768
RESERVED_FIELDS = ("data", "length", "offset", "parts", "stored")
"""Fields of items and shards that say how content is stored otherwise than as a whole blob of its own."""
_CUT_PREFIX = "000"  # a path in 4,096 has a digest that begins so

is_hex64 = pattern(r"[0-9a-f]{64}", "64 lower-case hex digits")
_is_crc32c = pattern(r"[0-9a-f]{8}", "8 lower-case hex digits")


_usual = itemgetter("path", "size", "sha256", "crc32c", "key")
_USUAL_FIELDS = {"path", "size", "sha256", "crc32c", "key"}


@dataclass(frozen=True, slots=True)
class Special:
    """How entries of one kind stand in documents, where they are not files with a blob of their own.

    Attributes:
        mark: the field that only they have.
        feature: what ``requires`` of a manifest names if there are any.
        what: they are, for messages.
        to_json: returns the fields of an entry, but for its path.
        from_fields: reads an entry, whose path has been read.
    """

    mark: str
    feature: str
    what: str
    to_json: Callable[[Any], dict[str, Any]]
    from_fields: Callable[[Fields, str], FileEntry]


SPECIAL: dict[type[Any], Special] = {
    PointerEntry: Special("uri", FEATURE, "entries that lie elsewhere", pointer_entry_to_json, pointer_entry_from)
}
"""By the class of the entries; all others are of the plain kind."""


def specials(kinds: Iterable[type[Any]]) -> list[Special]:
    """Return how the special ones among some classes of items stand in documents, in the order of their features."""
    return sorted((SPECIAL[kind] for kind in kinds if kind in SPECIAL), key=attrgetter("feature"))


def features() -> frozenset[str]:
    """Return the features that ``requires`` of a manifest may name."""
    return frozenset(special.feature for special in SPECIAL.values())


def _is_blob_key(value: str) -> str | None:
    return None if sha256_of_blob_key(value) else "expected the key of a blob"


def item_to_json(item: Item) -> dict[str, Any]:
    """Return the JSON object of one item."""
    document = dict(item.extra or {})
    document["path"] = item.path
    if isinstance(item, EmptyFolder):
        document["folder"] = True
        return document
    if special := SPECIAL.get(type(item)):
        return document | special.to_json(item)
    document |= {"key": item.key, "sha256": item.sha256, "size": item.size}
    if item.crc32c is not None:
        document["crc32c"] = item.crc32c
    if item.executable:
        document["executable"] = True
    return document


def _is_usual(value: Any) -> bool:
    """Whether a JSON value is a file with just the usual fields, all of them good but for its place in the order.

    Nearly all are, and there may be a hundred thousand: this costs less than half of naming what may be wrong.
    """
    if type(value) is not dict or value.keys() != _USUAL_FIELDS:
        return False
    path, size, sha256, crc32c, key = _usual(value)
    return (
        type(path) is type(sha256) is type(crc32c) is type(key) is str
        and type(size) is int
        and 0 <= size <= MAX_WHOLE
        and sha256_of_blob_key(key) == sha256
        and not _is_crc32c(crc32c)
        and not path_problem(path)
    )


def _refuse_reserved(fields: Fields, known: Collection[str] = ()) -> None:
    """Refuse what another version stores content by, also where it forgot to require its feature."""
    for name in RESERVED_FIELDS:
        if name not in known and fields.has(name):
            fields.note(name, "it belongs to an unknown feature")


def item_from_json(value: Any, place: str, order: OrderCheck, problems: Problems) -> Item:
    """Read one item; ``order`` has seen those before it."""
    if _is_usual(value):
        if problem := order.problem(value["path"]):
            problems.note(f"{place}.path", f"{problem}, got {value['path']!r:.200}")
        return Entry(*_usual(value))
    fields = Fields(value, place, problems)
    path = fields.text("path", path_problem)
    if path and (problem := order.problem(path)):
        fields.note("path", f"{problem}, got {path!r:.200}")
    marks = [name for name in ("folder", *(special.mark for special in SPECIAL.values()), "key") if fields.has(name)]
    if len(marks) > 1:
        fields.note(marks[1], f"expected one kind of item, got {' and '.join(marks)}")
    _refuse_reserved(fields, known=marks)
    if "folder" in marks:
        fields.mark("folder")
        return EmptyFolder(path, fields.unknown() or None)
    for special in SPECIAL.values():
        if special.mark in marks:
            return special.from_fields(fields, path)
    sha256 = fields.text("sha256", is_hex64)
    key = fields.text("key", _is_blob_key)
    if (named := sha256_of_blob_key(key)) and named != sha256:
        fields.note("key", f"it is the key of other content, {named}")
    return Entry(
        path=path,
        size=fields.integer("size", 0),
        sha256=sha256,
        crc32c=fields.optional_text("crc32c", _is_crc32c),
        key=key,
        executable=fields.mark("executable"),
        extra=fields.unknown() or None,
    )


def shard_to_json(shard: Shard) -> dict[str, Any]:
    """Return the JSON object by which a manifest lists a shard."""
    return {"count": shard.count, "first": shard.first, "key": shard.key, "sha256": shard.sha256, "size": shard.size}


def shard_from_json(value: Any, place: str, problems: Problems) -> Shard:
    """Read one item of a manifest's ``shards``."""
    fields = Fields(value, place, problems)
    _refuse_reserved(fields)
    sha256 = fields.text("sha256", is_hex64)
    key = fields.text("key", _is_blob_key)
    if (named := sha256_of_blob_key(key)) and named != sha256:
        fields.note("key", f"it is the key of other content, {named}")
    return Shard(
        first=fields.text("first", path_problem),
        count=fields.integer("count", 1, MAX_SHARD_ITEMS),
        size=fields.integer("size", 1),
        sha256=sha256,
        key=key,
    )


def cut_shards(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut items in path order into runs, each the content of one shard.

    A run ends after an item whose path's SHA-256 begins with ``000`` (or, in unlucky data, after 32,768 items), so that
    a change of some files changes only the shards around them.
    """
    run: list[Item] = []
    for item in items:
        run.append(item)
        if len(run) >= MAX_SHARD_ITEMS or hashlib.sha256(item.path.encode()).hexdigest().startswith(_CUT_PREFIX):
            yield run
            run = []
    if run:
        yield run


def encode_shard(items: Iterable[Item]) -> bytes:
    """Return a shard's bytes: one line of compact JSON with sorted keys per item."""
    stored = io.BytesIO()  # grows line by line: a list of all lines and their join would be held beside it
    for item in items:
        stored.write(f"{dump_text(item_to_json(item))}\n".encode())
    return stored.getvalue()


def decode_shard(data: bytes, shard: Shard, order: OrderCheck | None = None) -> tuple[Item, ...]:
    """Read a shard that a manifest lists.

    Args:
        data: its bytes.
        shard: what the manifest says of it.
        order: has seen the items of the shards before it, where the whole artifact is read in order.

    Raises:
        StoreFormatError: the lines are not well formed, or are not what the manifest says.
    """
    problems = Problems(shard.key)
    order = order or OrderCheck()
    if not data.endswith(b"\n"):
        problems.note("", "the last line has no end")
    if (found := data.count(b"\n")) != shard.count:
        problems.note("", f"expected {shard.count} items, got {found}")
    # No more lines than there should be: a hostile shard may have any number of them.
    lines = (line.removesuffix(b"\n") for line in itertools.islice(io.BytesIO(data), shard.count))
    items = tuple(
        item_from_json(document, place, order, problems)
        for place, line in ((f"line {number}", line) for number, line in enumerate(lines, start=1))
        if (document := parse_object(line, problems, place)) is not None
    )
    if items and items[0].path != shard.first:
        problems.note("line 1", f"expected the path {shard.first!r:.200}, got {items[0].path!r:.200}")
    problems.raise_if_any("entry shard")
    return items
