"""The tables of SPEC.md against the code: a document of every kind is changed, field by field, and read.

The types are read from the page and judged here in plain Python: a table and the code cannot drift apart unseen.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stored_documents import DATA, INLINE, SHARDED, as_bytes, read

from metamlflow.errors import StoreFormatError
from metamlflow.format.features import decode_features
from metamlflow.format.manifests import decode_manifest
from metamlflow.format.notes import decode_notes
from metamlflow.format.records import decode_alias, decode_marker
from metamlflow.model.names import ArtifactName

PAGE = (Path(__file__).parents[2] / "docs" / "SPEC.md").read_text("utf-8")
POINTERS = (DATA / "pointer_manifest.json").read_bytes()
MARKER = as_bytes(
    {"format": 1, "requires": [], "record_id": "0" * 32, "store_id": "f" * 32, "grace_seconds": 604_800}
    | {"created_at": "2026-01-31T12:00:00Z"}
)
NOTE = as_bytes(
    {"format": 1, "record_id": "0" * 32, "created_at": "2026-01-31T12:00:00Z", "created_by": "ada", "writer": "other 2"}
    | {"title": "A title", "description": "Two\nlines", "tags": {"team": "fraud", "reviewed": ""}}
)
ALIAS = as_bytes(
    {"format": 1, "record_id": "0" * 32, "created_at": "2026-01-31T12:00:00Z", "version": 3}
    | {"created_by": "ada", "note": "Two\nlines", "writer": "other 2"}
)
FEATURES = as_bytes(
    {"format": 1, "record_id": "0" * 32, "created_at": "2026-01-31T12:00:00Z", "read": ["packs"], "write": []}
)


def table_after(words: str) -> dict[str, str]:
    """The fields of the first table after some words of the page, each with its type."""
    lines = PAGE.partition(words)[2].split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    fields: dict[str, str] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return fields
        names, kind = re.match(r"\| (.*?) \| (.*?) \|", line).groups()
        found = re.findall(r"`(\w+)`", names)
        kinds = kind.split(", ") if len(found) > 1 and kind.count(",") == len(found) - 1 else [kind] * len(found)
        fields |= dict(zip(found, kinds, strict=True))
    return fields


ENTRY = table_after("By that it is an entry:")
# document, where its fields stand, their table, how it is read
KINDS: dict[str, tuple[bytes, list[str | int], dict[str, str], Callable[[bytes], object]]] = {
    "marker": (MARKER, [], table_after("### Marker"), decode_marker),
    "features": (
        FEATURES,
        [],
        table_after("### List of features"),
        lambda data: decode_features(data, "features/9999999998.json"),
    ),
    "manifest": (INLINE, [], table_after("### Manifest"), read),
    "entry": (INLINE, ["entries", 0], ENTRY, read),
    "pointer": (POINTERS, ["entries", 4], table_after("lies elsewhere:"), read),
    "note": (
        NOTE,
        [],
        table_after("### Note record"),
        lambda data: decode_notes(data, "key", ArtifactName("a"), 3, 1),
    ),
    "alias": (ALIAS, [], table_after("### Alias record"), lambda data: decode_alias(data, "key")),
    "shard": (
        SHARDED,
        ["shards", 0],
        table_after("**Shard.**"),
        lambda data: decode_manifest(data, "key", ArtifactName("big"), 1),
    ),
}
CASES = [
    (kind, field, ENTRY[field] if said == "as of an entry" else said)
    for kind, (_, _, table, _) in KINDS.items()
    for field, said in table.items()
]
NUMBERS = [True, False, 0, 1, -1, 7, 0.5, 1.0, 2**53, -(2**63)]
OTHERS = [[], [7], [None], ["x"], {}, {"x": 7}, {"md5": 7}]
TEXTS = ["", "~", "x y", "null", "1", "-1", "01", str(2**63), "A" * 32, "0" * 31, "0" * 33, "0" * 64, "F" * 64, "file "]
TEXTS += ["sha256:", f"sha256:{'0' * 63}", f"md5:{'0' * 32}", "sha512", "2026-01-31", "2026-01-31T12:00:60Z"]
TEXTS += ["2026-02-30T00:00:00Z", "blobs/md5/x", "/etc/passwd", "a/../b", "a\0b", "s3:/x", "S3://b/x", "https://u@h/x"]
VALUES = [*NUMBERS, *OTHERS, *TEXTS]


def is_whole(value: Any, least: int = 0, most: int = 2**53 - 1) -> bool:
    return type(value) is int and least <= value <= most


def matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def is_time(value: Any) -> bool:
    found = isinstance(value, str) and re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z", value, re.ASCII
    )
    try:
        return bool(found) and bool(date(*map(int, found.groups()[:3])))
    except ValueError:
        return False


def is_path(value: Any) -> bool:
    parts = value.split("/") if isinstance(value, str) else [""]
    return not {"", ".", ".."} & set(parts) and all(ord(character) >= 32 for character in value)


TYPES: dict[str, Callable[[Any], bool]] = {
    "1": lambda value: type(value) is int and value == 1,
    "1 to 10,000,000,000": lambda value: is_whole(value, 1, 10**10),
    "1 to 32,768": lambda value: is_whole(value, 1, 32_768),
    "whole number ≥ 0": is_whole,
    "whole numbers ≥ 0": is_whole,
    "whole number ≥ 1": lambda value: is_whole(value, 1),
    "version": lambda value: is_whole(value, 1, 9_999_999_998),
    "id": matches("[0-9a-f]{32}"),
    "hex64": matches("[0-9a-f]{64}"),
    "8 lower-case hex digits": matches("[0-9a-f]{8}"),
    "UUID, lower case": matches("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "digest": matches("sha256:[0-9a-f]{64}"),
    "digits": lambda value: matches("0|-?[1-9][0-9]{0,18}")(value) and -(2**63) <= int(value) < 2**63,
    "time": is_time,
    "string": lambda value: isinstance(value, str),
    "line": lambda value: isinstance(value, str) and bool(value) and "\0" not in value,
    "text": lambda value: isinstance(value, str) and bool(value),
    "note": lambda value: isinstance(value, str) and bool(value),
    "object of texts": lambda value: value == {},
    "true": lambda value: value is True,
    "object": lambda value: isinstance(value, dict),
    "object of digests": lambda value: value == {},
    "array of strings": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "array of feature names": lambda value: value in ([], ["x"]),
    "array of inputs": lambda value: value == [],
    "array of places": lambda value: value == [],
    "array of items": lambda value: value == [],
    "array of one or more shards": lambda _: False,
    "name": matches(r"[A-Za-z0-9][A-Za-z0-9._/-]*"),
    "path": is_path,
    "URI": lambda value: matches(r"[a-z][a-z0-9+.-]*://.+")(value) and "@" not in value,
    "blob key": matches(r"blobs/sha256/.*"),
}


def type_of(said: str) -> Callable[[Any], bool]:
    plain = re.sub(r",? or (null|missing)|; in version 1 null", "", said)
    if plain.startswith('`"'):
        return lambda value: value in re.findall(r'"(\w+)"', plain)
    return matches(plain.strip("`")) if plain.startswith("`") else TYPES[plain]


def problems_after(kind: str, change: Callable[[dict], None]) -> list[str] | None:
    """What is said against a document after a change of its fields, by place; None if it is read."""
    data, trail, _, reader = KINDS[kind]
    document = copy.deepcopy(json.loads(data))
    fields = document
    for step in trail:
        fields = fields[step]
    change(fields)
    try:
        reader(as_bytes(document))
    except StoreFormatError as error:
        return [problem.partition(": ")[0] for problem in error.problems]
    return None


def replace(field: str, value: Any, fields: dict) -> None:
    if field == "shards":
        del fields["entries"]  # one of the two has to be there
    fields[field] = value


def place_of(kind: str, field: str) -> str:
    trail = KINDS[kind][1]
    return f"{trail[0]}[{trail[1]}].{field}" if trail else field


def says_against(found: list[str] | None, place: str) -> bool:
    return any(re.match(rf"{re.escape(place)}(\W|$)", said) for said in found or ())


@pytest.mark.parametrize(("kind", "field", "said"), CASES)
def test_a_value_that_is_not_of_the_type_is_refused_where_it_stands(kind, field, said):
    fits = type_of(said)
    wrong = [value for value in VALUES if not fits(value)]
    assert len(wrong) > 10
    for value in wrong:
        found = problems_after(kind, partial(replace, field, value))
        assert says_against(found, place_of(kind, field)), value


@pytest.mark.parametrize(("kind", "field", "said"), CASES)
def test_null_and_missing_are_the_same_and_are_taken_where_the_type_says_so(kind, field, said):
    may_be_missing = " or null" in said or " or missing" in said
    null = problems_after(kind, lambda fields: fields.update({field: None}))
    missing = problems_after(kind, lambda fields: fields.pop(field, None))
    if field in {"entries", "shards"}:  # one of the two has to be there
        assert null == missing
        assert (null is None) == (field == "shards")
        return
    if field == "uri":  # without it this is no pointer, and an entry that lacks everything
        assert null == missing
        assert null
        return
    if (kind, field) == ("alias", "version"):  # the exception that section 4 names
        assert (null, says_against(missing, "version")) == (None, True)
        return
    assert says_against(null, place_of(kind, field)) == says_against(missing, place_of(kind, field))
    assert says_against(null, place_of(kind, field)) is not may_be_missing


def test_the_tables_of_the_page_were_found():
    assert {kind: len(table) for kind, (_, _, table, _) in KINDS.items()} == {
        "marker": 6,
        "features": 5,
        "manifest": 24,
        "entry": 6,
        "pointer": 9,
        "note": 8,
        "alias": 7,
        "shard": 5,
    }
