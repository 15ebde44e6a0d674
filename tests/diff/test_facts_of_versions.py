"""Metadata, columns, inputs and other facts that differ between two versions, and how they are shown."""

from __future__ import annotations

import html
import json
import math
from html.parser import HTMLParser

import pytest

from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError, StoreNotFoundError
from metamlflow.store.diff.metadata import metadata_diff
from metamlflow.store.diff.schema import schema_diff

ATTACK = "<script>alert('x')</script>\"&\n\x1b[31m\u202e"


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store")


def pairs(values) -> dict[str, list]:
    return {
        "added": [(one.name, one.value) for one in values.added],
        "removed": [(one.name, one.value) for one in values.removed],
        "changed": [(one.name, one.before, one.after) for one in values.changed],
    }


def stored_diff(client, before, after):
    for metadata in (before, after):
        client.register_artifact("a", b"x", metadata=metadata)
    return client.diff("a@1", "a@2").metadata


def test_metadata_are_compared_key_by_key_however_deep(client):
    before = {"n": 1, "gone": None, "deep": {"auc": 0.5, "same": [1, 2]}, "steps": ["a", "b"], "odd key.x": 1}
    after = {"n": 2, "new": {"a": 1}, "deep": {"auc": 0.7, "same": [1, 2]}, "steps": ["a", "c", "d"], "odd key.x": 2}
    assert pairs(stored_diff(client, before, after)) == {
        "added": [("new", {"a": 1}), ("steps[2]", "d")],
        "removed": [("gone", None)],
        "changed": [("deep.auc", 0.5, 0.7), ("n", 1, 2), ('["odd key.x"]', 1, 2), ("steps[1]", "b", "c")],
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, True), (1, 1.0), (0.0, -0.0), (None, 0), ("1", 1), ({}, []), ({"a": 1}, [1]), ([], {}), (2**60, 2**60 + 1)],
)
def test_values_of_another_kind_are_other_values(client, before, after):
    found = stored_diff(client, {"x": before}, {"x": after})
    assert found.changed["x"].before == before
    assert type(found.changed["x"].after) is type(after)
    assert "x" in found.changed
    assert not metadata_diff({"x": before}, {"x": before})


def test_nan_is_the_same_as_nan(client):
    assert not stored_diff(client, {"x": [math.nan, math.inf]}, {"x": [math.nan, math.inf]})
    assert json.dumps(stored_diff(client, {"x": math.nan}, {"x": 1.5}).to_json(), allow_nan=False)


@pytest.mark.parametrize("depth", [60])
def test_metadata_as_deep_as_they_may_be_are_compared(client, depth):
    before, after = {"x": 1}, {"x": 2}
    for _ in range(depth):
        before, after = {"x": before}, {"x": after}
    assert [one.after for one in stored_diff(client, before, after).changed] == [2]


def schema(*fields, **more):
    return {
        "format": "csv",
        "path": "a.csv",
        "fields": [dict(zip(("name", "type"), one, strict=False)) for one in fields],
    } | more


def test_columns_are_added_removed_and_changed():
    found = schema_diff(
        schema(("a", "int64"), ("b", "int64"), ("c", "string"), ("d", "int64")),
        schema(("d", "int64"), ("a", "double"), ("c", "string"), ("new", "bool"), format="parquet"),
    )
    assert [(one.name, one.type) for one in found.added] == [("new", "bool")]
    assert [(one.name, one.type) for one in found.removed] == [("b", "int64")]
    assert [(one.name, one.before.type, one.after.type) for one in found.changed] == [("a", "int64", "double")]
    assert found.reordered
    assert found.format == ("csv", "parquet")
    assert found.added["new"].type == "bool"
    assert not schema_diff(schema(("a", "int64")), schema(("a", "int64"), path="other.csv"))


def test_nullable_columns_repeated_names_and_what_is_unknown_are_told():
    one, other = schema(("a", "int64"), ("a", "string")), schema(("a", "int64"), ("a", "bool"))
    assert [(change.before.type, change.after.type) for change in schema_diff(one, other).changed] == [
        ("string", "bool")
    ]
    strict = {"fields": [{"name": "a", "type": "int64", "nullable": False}], "format": "csv"}
    assert str(schema_diff(strict, schema(("a", "int64"))).changed["a"].before) == "int64 not null"
    assert schema_diff(None, one).unknown == "before"
    assert schema_diff(one, None)
    assert not schema_diff(None, None)
    found = schema_diff(one | {"sampled": True}, other | {"truncated": True})
    assert (found.inferred, found.incomplete) == (True, True)


@pytest.mark.parametrize("fields", [None, 3, [1], [{}], [{"name": {}, "type": []}], {"a": 1}])
def test_whatever_a_stranger_wrote_as_a_schema_is_compared(fields):
    odd = {"fields": fields, "format": [1]}
    assert json.dumps(schema_diff(odd, schema(("a", "int64"))).to_json())
    assert not schema_diff(odd, odd)


def test_inputs_are_compared_by_name_and_role(client):
    for number in range(3):
        client.register_artifact("raw", b"%d" % number)
    client.register_artifact("a", b"x", inputs={"train": "raw@1", "test": "raw@1", "old": "raw@1"})
    client.register_artifact("a", b"x", inputs={"train": "raw@2", "test": "raw@1", "new": "raw@3"})
    assert pairs(client.diff("a@1", "a@2").inputs) == {
        "added": [("raw as new", "raw@3")],
        "removed": [("raw as old", "raw@1")],
        "changed": [("raw as train", "raw@1", "raw@2")],
    }


def test_versions_of_other_names_and_other_stores_are_compared(client, tmp_path):
    one = client.register_artifact("a", b"x", "model", {"n": 1})
    elsewhere = MetaMLFlowClient(tmp_path / "other")
    two = elsewhere.register_artifact("b", b"y", "dataset", {"n": 1})
    for diff in (
        client.diff("a@1", "b@1", store=elsewhere),
        client.diff("a@1", "b", store=tmp_path / "other"),
        client.diff(one, two),
        one.diff(two),
        one.diff("b@1", store=str(tmp_path / "other")),
        one.diff(Dataset.open(elsewhere, "b")),
    ):
        assert (diff.before, diff.after, diff.elsewhere) == ("a@1", "b@1", elsewhere.storage_uri)
        assert diff.facts.names == ("type", "digest")
        assert not diff.metadata
    assert client.diff("a@1", "a").elsewhere == ""
    with pytest.raises(ArtifactNotFoundError):
        client.diff("a@1", "b@1")
    with pytest.raises(StoreNotFoundError):
        client.diff("a@1", "b@1", store=tmp_path / "none")
    for wrong in (3, ["a@1"], None):
        with pytest.raises(InvalidInputError):
            client.diff("a@1", wrong)
    with pytest.raises(InvalidInputError, match="store is a URI, a path or a client"):
        client.diff("a@1", "a@1", store=3)


# --- how it is shown --------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}


def hostile(client):
    columns = {"fields": [{"name": ATTACK, "type": ATTACK}], "format": ATTACK}
    client.register_artifact("raw", b"r")
    client.register_artifact(
        "a", {"<b>x": b"1", "\u202egone": b"2"}, metadata={ATTACK: ATTACK, "<i>": {ATTACK: [ATTACK]}}
    )
    client.register_artifact("a", {"<b>x": b"22", "<u>new": b"3"}, metadata={ATTACK: 1}, inputs={ATTACK: "raw@1"})
    return client.diff("a@1", "a@2"), columns


def test_hostile_names_and_values_are_escaped_in_every_form(client):
    diff, _ = hostile(client)
    for text in (str(diff), repr(diff), *(repr(getattr(diff, part)) for part in ("files", "metadata", "inputs"))):
        assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\x1b[31m" in str(diff)
    for text in (diff.to_html(), diff._repr_html_()):
        page = Page(text)
        assert not page.tags & {"script", "b>x", "i", "u"}
        assert not {name for name in page.attributes if name.startswith("on") or name in {"src", "href"}}
        assert html.escape("<script>") in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert json.loads(json.dumps(diff.to_json(), allow_nan=False))["metadata"]["removed"]


def test_the_text_has_lines_of_80_columns_and_says_how_much_more_there_is(client):
    many = {f"{'folder/' * 3}{number:03}.csv": b"%d" % number for number in range(100)}
    client.register_artifact("a", {"x": b"0"}, metadata={f"key {n}": "v" * 500 for n in range(50)})
    client.register_artifact("a", {"x": b"0", **many}, metadata={f"key {n}": "w" * 500 for n in range(50)})
    text = str(client.diff("a@1", "a@2"))
    assert max(map(len, text.splitlines())) <= 80
    assert "80 more added" in text
    assert text.count("key ") == 20
    assert "and more" in text
    assert str(client.diff("a@1", "a@1")) == "a@1 -> a@1\nno differences"


def test_the_page_is_written_to_a_file_and_loads_nothing(client, tmp_path):
    client.register_artifact("a", b"1", metadata={"n": 1})
    client.register_artifact("a", b"2", metadata={"n": 2})
    text = client.diff("a@1", "a@2").to_html(tmp_path / "diff.html")
    assert (tmp_path / "diff.html").read_text("utf-8") == text
    assert "prefers-color-scheme: dark" in text
    assert "@media (max-width: 40rem) { table { min-width: 0; }" in text, "no column is hidden on a narrow screen"
    assert "default-src 'none'" in text
    assert "://" not in text
    assert "No differences" in client.diff("a@1", "a@1").to_html()
