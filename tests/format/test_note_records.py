"""Note records: what is read, what is refused, and what survives a round trip through other programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_documents import as_bytes

from metamlflow.errors import InvalidInputError, StoreFormatError
from metamlflow.format.notes import StoredNotes, decode_notes, encode_notes
from metamlflow.model.names import ArtifactName
from metamlflow.model.notes import Notes, NotesChange

NAME = ArtifactName("Fraud/features")
ID = "0123456789abcdef0123456789abcdef"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOTE: dict[str, Any] = {
    "format": 1,
    "record_id": ID,
    "created_at": "2026-01-31T12:00:00Z",
    "created_by": "ada",
    "writer": "other-tool 2.1",
    "title": "Größe",
    "description": "Two\nlines\t\x1b",
    "tags": {"team": "fraud", "reviewed": "", "größe": "\n"},
}


def read(document: Any) -> StoredNotes:
    data = document if isinstance(document, bytes) else as_bytes(document)
    return decode_notes(data, "artifacts/!fraud/features/_notes/v3/9999999998.json", NAME, 3, 1)


def test_every_field_of_a_handwritten_record_is_read():
    stored = read(NOTE | {"weather": ["unknown", "fields", "survive"]})
    assert stored.notes == Notes(
        name="Fraud/features",
        version=3,
        number=1,
        title="Größe",
        description="Two\nlines\t\x1b",
        tags={"team": "fraud", "reviewed": "", "größe": "\n"},
        created_at=NOON,
        created_by="ada",
        writer="other-tool 2.1",
    )
    assert stored.extra == {"weather": ["unknown", "fields", "survive"]}


def test_the_stored_form_is_as_the_specification_says():
    stored = StoredNotes(Notes("a", None, 2, None, "d\x7f", {"b": "", "a": "ü"}, NOON, "ada", "me 1"), {"zz": 1.5})
    assert encode_notes(stored, ID).decode() == (
        '{"created_at":"2026-01-31T12:00:00.000000Z","created_by":"ada","description":"d\x7f","format":1,'
        f'"record_id":"{ID}","tags":{{"a":"ü","b":""}},"title":null,"writer":"me 1","zz":1.5}}\n'
    )


@pytest.mark.parametrize("field", ["title", "description", "tags", "writer"])
def test_null_is_as_good_as_missing(field):
    missing = {name: value for name, value in NOTE.items() if name != field}
    assert read(NOTE | {field: None}) == read(missing)


LONG = {"title": 1_000, "description": 100_000}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "title: expected a text that is not empty"),
    ({"title": "a\nb"}, "title: expected one line without control characters"),
    ({"title": "a\x85b"}, "title: expected one line"),
    ({"title": "a\x1b[2J"}, "title: expected one line"),
    ({"title": "ü" * 501}, "title: expected at most 1,000 bytes, not 1,002"),
    ({"title": 7}, "title: expected a string, got 7"),
    ({"description": ""}, "description: expected a text that is not empty"),
    ({"description": "x" * 100_001}, "description: expected at most 100,000 bytes"),
    ({"description": ["x"]}, "description: expected a string"),
    ({"tags": ["a"]}, "tags: expected an object"),
    ({"tags": {"": "x"}}, "tags: '': expected a text that is not empty"),
    ({"tags": {"a\n": "x"}}, "tags: 'a\\n': expected one line"),
    ({"tags": {"x" * 251: ""}}, "expected at most 250 bytes, not 251"),
    ({"tags": {"a": None}}, "tags: 'a': expected a text, not NoneType"),
    ({"tags": {"a": 0.9}}, "tags: 'a': expected a text, not float"),
    ({"tags": {"a": True}}, "tags: 'a': expected a text, not bool"),
    ({"tags": {"a": "x" * 5_001}}, "tags: 'a': expected at most 5,000 bytes, not 5,001"),
    ({"tags": {str(number): "" for number in range(101)}}, "tags: expected at most 100 tags, got 101"),
    ({"created_by": None}, "created_by: expected a string"),
    ({"created_at": "2026-01-31"}, "created_at: expected a time"),
    ({"record_id": "mine"}, "record_id: expected 32"),
    ({"format": 2}, "format: newer format 2"),
    ({"writer": 7}, "writer: expected a string"),
]


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_the_specification_does_not_allow_is_refused_where_it_stands(change, said):
    with pytest.raises(StoreFormatError) as caught:
        read(NOTE | change)
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


def test_all_that_is_wrong_is_told_at_once_and_in_a_few_lines():
    tags = {f"\x1b{number}" * 100: number for number in range(90)}
    with pytest.raises(StoreFormatError) as caught:
        read(NOTE | {"title": "", "description": "", "tags": tags})
    assert len(str(caught.value)) < 10_000
    assert "\x1b" not in str(caught.value)
    assert {problem.partition(":")[0] for problem in caught.value.problems} >= {"title", "description", "tags"}


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"tags":{"a":"","a":""}}', b"null", b"7"])
def test_a_damaged_record_is_refused(data):
    with pytest.raises(StoreFormatError):
        read(data)


def test_the_longest_of_everything_is_written_and_read():
    change = NotesChange.parse("x" * 1_000, "ü" * 50_000, {f"{n:0250}": "x" * 5_000 for n in range(100)})
    notes = change.applied_to(Notes("a", 3))
    notes = Notes("a", 3, 1, notes.title, notes.description, notes.tags, NOON, "ada", None)
    data = encode_notes(StoredNotes(notes), ID)
    assert len(data) < 1_000_000
    assert decode_notes(data, "key", ArtifactName("a"), 3, 1).notes == notes
    with pytest.raises(InvalidInputError, match="would have 101 tags, more than 100"):
        NotesChange.parse(None, None, {"one more": ""}).applied_to(notes)
    assert len(NotesChange.parse(None, None, {"one more": "", "0" * 250: None}).applied_to(notes).tags) == 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "nothing to change"),
        ({"title": 7}, "title: expected a text, not int"),
        ({"title": "a\nb"}, "title: expected one line"),
        ({"title": "\ud800"}, "title: expected a text that is valid Unicode"),
        ({"title": "x" * 1_001}, "title: expected at most 1,000 bytes"),
        ({"description": "x" * 100_001}, "description: expected at most"),
        ({"description": b"x"}, "description: expected a text, not bytes"),
        ({"tags": ["a"]}, "tags: expected a mapping"),
        ({"tags": "a=b"}, "tags: expected a mapping"),
        ({"tags": {7: "a"}}, "a tag is a text, not int"),
        ({"tags": {"a": 0.9}}, "tag 'a': expected a text, not float"),
        ({"tags": {"": ""}}, "tag '': expected a text that is not empty"),
        ({"tags": {"": None}}, "tag '': expected a text that is not empty"),
        ({"tags": {"a": "\udc80"}}, "tag 'a': expected a text that is valid Unicode"),
        ({"tags": {"\ud800": "a"}}, "tag '\\ud800': expected a text that is valid Unicode"),
    ],
    ids=str,
)
def test_a_writer_refuses_what_a_reader_would(change, said):
    with pytest.raises(InvalidInputError) as caught:
        NotesChange.parse(change.get("title"), change.get("description"), change.get("tags"))
    assert said in caught.value.message


def test_a_writer_tells_all_that_is_wrong_in_one_error():
    with pytest.raises(InvalidInputError) as caught:
        NotesChange.parse("a\n", 7, {str(number): number for number in range(1_000)})
    assert all(part in caught.value.message for part in ("title:", "description:", "tag '0':", "and 990 more"))


LINE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
CHANGES = st.builds(
    NotesChange,
    title=st.none() | st.just("") | LINE,
    description=st.none() | TEXT,
    tags=st.dictionaries(LINE, st.none() | TEXT, max_size=5),
)


@given(st.lists(CHANGES, max_size=6))
def test_any_changes_one_after_the_other_survive_records_and_other_parsers(changes):
    expected: dict[str, Any] = {"title": "", "description": "", "tags": {}}
    stored = StoredNotes(Notes(str(NAME), 3), {"later": [1, 2**53 - 1, "ü"]})
    for number, change in enumerate(changes, start=1):
        for field in ("title", "description"):
            if getattr(change, field) is not None:
                expected[field] = getattr(change, field)
        expected["tags"] |= change.tags
        after = change.applied_to(stored.notes)
        notes = Notes(after.name, 3, number, after.title, after.description, after.tags, NOON, "ada", "me 1")
        data = encode_notes(StoredNotes(notes, stored.extra), ID)
        # A stock parser whose numbers are all doubles changes nothing.
        doubles = json.loads(data, parse_int=lambda text: int(float(text)))
        assert doubles == json.loads(data)
        stored = decode_notes(json.dumps(doubles).encode(), "key", NAME, 3, number)
        assert stored == StoredNotes(notes, stored.extra)
    assert (stored.notes.title or "", stored.notes.description or "") == (expected["title"], expected["description"])
    assert stored.notes.tags == {tag: value for tag, value in expected["tags"].items() if value is not None}
    assert stored.extra == {"later": [1, 2**53 - 1, "ü"]}
