"""Small records and shards that are damaged or made to do harm: each refused with one error that names all faults."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from stored_documents import DATA, as_bytes

from metamlflow.errors import StoreFormatError
from metamlflow.format.entries import decode_shard
from metamlflow.format.records import decode_alias, decode_claim, decode_marker, decode_state
from metamlflow.model.manifests import Shard
from metamlflow.model.paths import OrderCheck

ID = "0123456789abcdef0123456789abcdef"
ORIGIN = {"format": 1, "record_id": ID, "created_at": "2026-01-31T12:00:00Z"}
MARKER = ORIGIN | {"requires": [], "store_id": "f" * 32, "grace_seconds": 604800}
STATE = ORIGIN | {"state": "pruned", "manifest_digest": f"sha256:{'d' * 64}"}
ALIAS = ORIGIN | {"version": 2}
CLAIM = ORIGIN | {"version": 2, "artifact_id": "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00"}
STATE_KEY = "artifacts/a/_versions/9999999998_v1.state-9999999998.json"


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def marker(data: bytes) -> object:
    return decode_marker(data)


def state(data: bytes) -> object:
    return decode_state(data, STATE_KEY)


def restored_state(data: bytes) -> object:
    return decode_state(data, STATE_KEY.replace("state-9999999998", "state-9999999997"))


def alias(data: bytes) -> object:
    return decode_alias(data, "artifacts/a/_aliases/best/9999999998.json")


def claim(data: bytes) -> object:
    return decode_claim(data, f"artifacts/a/_idempotency/{'0' * 64}/9999999998.json")


Reader = Callable[[bytes], object]

HOSTILE: list[tuple[Reader, Any, tuple[str, ...]]] = [
    (marker, None, ("expected an object, got null",)),
    (marker, [MARKER], ("expected an object, got [",)),
    (marker, {}, ("format: missing", "requires: missing", "store_id: missing", "grace_seconds: missing")),
    (marker, MARKER | {"format": 2}, ("format: newer format 2",)),
    (marker, MARKER | {"format": "1"}, ('format: expected a whole number, got "1"',)),
    (marker, MARKER | {"requires": ["pointers"]}, ('requires[0]: unknown feature "pointers"',)),
    (marker, MARKER | {"store_id": "F" * 32}, ("store_id: expected 32 lower-case hex digits",)),
    (marker, MARKER | {"store_id": "f" * 33}, ("store_id: expected 32 lower-case hex digits",)),
    (marker, MARKER | {"grace_seconds": 0}, ("grace_seconds: expected a whole number from 1",)),
    (marker, MARKER | {"grace_seconds": -604800}, ("grace_seconds: expected a whole number from 1",)),
    (marker, MARKER | {"grace_seconds": 2**70}, ("grace_seconds: expected a whole number from 1",)),
    (marker, MARKER | {"grace_seconds": 604800.0}, ("grace_seconds: expected a whole number, got 604800.0",)),
    (marker, MARKER | {"grace_seconds": True}, ("grace_seconds: expected a whole number, got true",)),
    (marker, without(MARKER, "created_at"), ("created_at: missing",)),
    (
        marker,
        {"format": 3, "requires": ["x"], "store_id": 1, "grace_seconds": "7d", "created_at": "now", "record_id": ID},
        ("format: newer", "requires[0]: unknown", "store_id: expected", "grace_seconds: expected", "created_at: expec"),
    ),
    (
        state,
        {},
        ("format: missing", "state: missing", "manifest_digest: missing", "record_id: missing", "created_at: missing"),
    ),
    (state, STATE | {"manifest_digest": None}, ("manifest_digest: expected a string, got null",)),
    (state, STATE | {"manifest_digest": "d" * 64}, ('manifest_digest: expected "sha256:<64 hex>"',)),
    (state, STATE | {"state": "deleted"}, ('state: expected one of pruned, restored, absent, got "deleted"',)),
    (state, STATE | {"state": None}, ("state: expected a string, got null",)),
    (state, STATE | {"state": ["pruned"]}, ("state: expected a string",)),
    (state, STATE | {"state": "restored"}, ('state: "restored" cannot be record 1',)),
    (restored_state, STATE, ('state: "pruned" cannot be record 2',)),
    (restored_state, STATE | {"state": "absent"}, ('state: "absent" cannot be record 2',)),
    (state, STATE | {"record_id": "mine"}, ("record_id: expected 32 lower-case hex digits",)),
    (state, STATE | {"created_at": "2026-13-01T00:00:00Z"}, ("created_at: expected a time in UTC",)),
    (alias, without(ALIAS, "version"), ("version: missing",)),
    (alias, ALIAS | {"version": 0}, ("version: expected a whole number from 1",)),
    (alias, ALIAS | {"version": "2"}, ('version: expected a whole number, got "2"',)),
    (alias, ALIAS | {"version": False}, ("version: expected a whole number, got false",)),
    (alias, ALIAS | {"version": 2.0}, ("version: expected a whole number, got 2.0",)),
    (alias, ALIAS | {"version": 9_999_999_999}, ("version: expected a whole number from 1 to 9999999998",)),
    (alias, ALIAS | {"note": ""}, ("note: expected a text that is not empty",)),
    (alias, ALIAS | {"note": "x" * 5001}, ("note: expected at most 5,000 bytes",)),
    (alias, ALIAS | {"note": ["x"]}, ("note: expected a string",)),
    (alias, ALIAS | {"created_by": 7, "writer": {}}, ("created_by: expected a string", "writer: expected a string")),
    (alias, ALIAS | {"format": 2}, ("format: newer format 2",)),
    (claim, without(CLAIM, "version"), ("version: missing",)),
    (claim, CLAIM | {"version": None}, ("version: expected a whole number, got null",)),
    (claim, CLAIM | {"record_id": ""}, ("record_id: expected 32 lower-case hex digits",)),
    (claim, CLAIM | {"artifact_id": "../x"}, ("artifact_id: expected a UUID in lower case",)),
    (claim, CLAIM | {"created_at": None}, ("created_at: expected a time in UTC",)),
]

DAMAGED = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"format": 1',
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b'{"format": NaN}',
    b'{"format": ' + b"9" * 100_000 + b"}",
    b'{"format": 1, "format": 1}',
    b'{"format": "\\ud800"}',
    b'"' + b"x" * 10_000_000 + b'"',
]


@pytest.mark.parametrize(("read", "document", "expected"), HOSTILE)
def test_a_hostile_record_is_refused_with_what_is_wrong(read, document, expected):
    with pytest.raises(StoreFormatError) as caught:
        read(as_bytes(document))
    for part in expected:
        assert part in "\n".join(caught.value.problems)


@pytest.mark.parametrize("read", [marker, state, alias, claim])
@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:12]))
def test_a_damaged_record_is_refused_in_no_time(read, data):
    started = time.process_time()
    with pytest.raises(StoreFormatError) as caught:
        read(data)
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("read", [marker, state, alias, claim])
def test_unknown_fields_of_a_record_are_no_fault(read):
    document = {marker: MARKER, state: STATE, alias: ALIAS, claim: CLAIM}[read]
    assert read(as_bytes(document | {"of_a_later_version": [1]})) == read(as_bytes(document))


# --- shards -----------------------------------------------------------------------------------------------------------

KEY = "blobs/sha256/00/" + "0" * 64
LINES = (DATA / "shard_1.jsonl").read_bytes()


def shard(first: str = "README", count: int = 2) -> Shard:
    return Shard(first=first, count=count, size=1, sha256="0" * 64, key=KEY)


@pytest.mark.parametrize(
    ("data", "listed", "expected"),
    [
        (b"", shard(), ("the last line has no end", "expected 2 items, got 0")),
        (LINES[:-1], shard(), ("the last line has no end", "expected 2 items, got 1")),
        (LINES[:-20], shard(), ("the last line has no end",)),
        (LINES, shard(count=3), ("expected 3 items, got 2",)),
        (LINES, shard(count=1), ("expected 1 items, got 2",)),
        (LINES + b"\n", shard(), ("expected 2 items, got 3",)),
        (LINES, shard(first="OTHER"), ("line 1: expected the path 'OTHER', got 'README'",)),
        (b"\n" * 2, shard(), ("line 1: not valid JSON", "line 2: not valid JSON")),
        (b"null\n7\n", shard(), ("line 1: expected an object, got null", "line 2: expected an object, got 7")),
        (LINES.replace(b'"folder":true', b'"folder":1'), shard(), ("line 2.folder: expected true, got 1",)),
        (LINES.replace(b"data/empty", b"A"), shard(), ("line 2.path: it is out of order after 'README', got 'A'",)),
        (LINES.replace(b"data/empty", b"README/x"), shard(), ("line 2.path: it lies inside 'README'",)),
        (LINES.replace(b"data/empty", b"data/\xff"), shard(), ("line 2: not valid UTF-8",)),
        (LINES.replace(b"data/empty", b"\\ud800"), shard(), ("line 2.path: a string with a lone surrogate",)),
        (LINES.replace(b'"size":6', b'"size":NaN'), shard(), ("line 1: NaN is no JSON number", "line 1.size")),
        (b"[" * 100_000 + b"\n" + b"{\n", shard(), ("line 1: nested deeper than 100", "line 2: not valid JSON")),
        (LINES.replace(b"\n", b"\r\n").replace(b"}", b"\r}x"), shard(), ("line 1: not valid JSON",)),
        (b"{}\n" * 2_000_000, shard(), ("expected 2 items, got 2000000", "line 1.path: missing")),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_a_hostile_shard_is_refused_with_the_lines_at_fault(data, listed, expected):
    started = time.process_time()
    with pytest.raises(StoreFormatError) as caught:
        decode_shard(data, listed)
    assert time.process_time() - started < 2
    assert caught.value.key == KEY
    for part in expected:
        assert part in "\n".join(caught.value.problems)


def test_a_shard_is_held_against_the_shards_before_it():
    order = OrderCheck()
    decode_shard(LINES, shard(), order)
    with pytest.raises(StoreFormatError, match=r"line 1\.path: it is out of order after 'data/empty'"):
        decode_shard(LINES, shard(), order)


def test_an_item_inside_the_last_item_of_the_shard_before_is_found():
    order = OrderCheck()
    decode_shard(LINES, shard(), order)
    inside = LINES.split(b"\n")[0].replace(b"README", b"data/empty/x") + b"\n"
    with pytest.raises(StoreFormatError, match="it lies inside 'data/empty'"):
        decode_shard(inside, shard("data/empty/x", 1), order)
