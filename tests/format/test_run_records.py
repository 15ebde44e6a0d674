"""Run records and edges: what is written is read back, and what is damaged is refused with all that is wrong."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_strategies import DIGESTS, HEX32, HEX64, JSON, LATER, NAMES, STORED_JSON, TEXT
from stored_documents import as_bytes

from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import (
    distributions_key,
    edge_key,
    edges_prefix,
    parse_edge_key,
    parse_run_input_key,
    run_input_key,
    run_key,
)
from metamlflow.format.runs import (
    EDGE,
    decode_end,
    decode_input,
    decode_start,
    encode_end,
    encode_input,
    encode_start,
    input_id,
)
from metamlflow.model.manifests import Input
from metamlflow.model.metadata import encode_mapping
from metamlflow.model.names import MAX_VERSION, ArtifactName
from metamlflow.model.runs import OUTCOMES, RunEnd, RunStart

ID, OTHER_ID = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
DIGEST = f"sha256:{'5' * 64}"
MOMENT = "2026-01-31T12:00:00.000000Z"
ORIGIN = {"format": 1, "record_id": ID, "created_at": MOMENT}

MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (given a zone)
VERSIONS = st.integers(1, MAX_VERSION)
INPUTS = st.builds(Input, NAMES, VERSIONS, DIGESTS, st.none() | TEXT)
PARAMS = st.dictionaries(TEXT, JSON, max_size=3).map(encode_mapping)
FACTS = st.none() | st.dictionaries(TEXT, STORED_JSON, max_size=2)

STARTS = st.builds(
    RunStart,
    run_id=st.just(ID),
    record_id=HEX32,
    name=TEXT,
    started_at=MOMENTS,
    parent=st.none() | HEX32,
    user=st.none() | TEXT,
    host=st.none() | TEXT,
    params=PARAMS,
    code=FACTS,
    environment=FACTS,
    extra=LATER,
)
ENDS = st.builds(
    RunEnd,
    record_id=HEX32,
    ended_at=MOMENTS,
    outcome=st.sampled_from(OUTCOMES),
    error_type=st.none() | TEXT,
    metrics=PARAMS,
    notes=st.lists(TEXT, max_size=3).map(tuple),
    outputs=st.lists(INPUTS, max_size=3).map(tuple),
    extra=LATER,
)


def start(data: bytes) -> object:
    return decode_start(data, run_key(ID, "start"), ID)


def used(data: bytes) -> object:
    """A use of the ``table`` below or, of any other, at a key of its own."""
    try:
        given = json.loads(data)["input"]
        said = input_id(Input(given["name"], given["version"], "", given.get("role")))
    except (KeyError, TypeError, ValueError, RecursionError):
        said = ID
    return decode_input(data, run_input_key(ID, said))[1]


def end(data: bytes) -> object:
    return decode_end(data, run_key(ID, "end"))


# --- round trips ------------------------------------------------------------------------------------------------------


@given(STARTS)
def test_a_beginning_is_read_back(record):
    assert start(encode_start(record)) == record


@given(ENDS)
def test_an_end_is_read_back(record):
    assert end(encode_end(record)) == record


@given(INPUTS, HEX32, MOMENTS)
def test_a_use_is_read_back(record, record_id, moment):
    data = encode_input(record, record_id, moment)
    assert used(data) == record
    assert json.loads(data)["record_id"] == record_id


@given(STARTS | ENDS)
def test_a_record_is_written_as_every_document_is(record):
    """Sorted, compact, in UTF-8, a newline at the end: the same record has the same bytes."""
    data = encode_start(record) if isinstance(record, RunStart) else encode_end(record)
    document = json.loads(data)
    assert document["format"] == 1
    assert data == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


# --- hostile records --------------------------------------------------------------------------------------------------

START = ORIGIN | {
    "run_id": ID,
    "name": "train",
    "parent": None,
    "params": {},
    "user": "ada",
    "host": "crate",
    "code": None,
    "environment": None,
}
USED = {"name": "table", "version": 1, "manifest_digest": DIGEST, "role": None}
INPUT = ORIGIN | {"input": USED}
END = ORIGIN | {"outcome": "finished", "error_type": None, "metrics": {}, "notes": [], "outputs": [USED]}
GOOD = {start: START, used: INPUT, end: END}

HOSTILE: list[tuple[Any, Any, tuple[str, ...]]] = [
    (start, None, ("expected an object, got null",)),
    (start, [START], ("expected an object, got [",)),
    (start, {}, ("format: missing", "record_id: missing", "run_id: missing", "name: missing", "created_at: missing")),
    (start, START | {"format": 2}, ("format: newer format 2",)),
    (start, START | {"run_id": OTHER_ID}, (f"run_id: expected '{ID}', got '{OTHER_ID}'",)),
    (start, START | {"run_id": "../../x"}, ("run_id: expected 32 lower-case hex digits",)),
    (start, START | {"record_id": ID.upper()}, ("record_id: expected 32 lower-case hex digits",)),
    (start, START | {"name": None}, ("name: expected a string, got null",)),
    (start, START | {"name": ["train"]}, ("name: expected a string",)),
    (start, START | {"parent": "mine"}, ("parent: expected 32 lower-case hex digits",)),
    (start, START | {"parent": 7}, ("parent: expected a string",)),
    (start, START | {"user": 7}, ("user: expected a string",)),
    (start, START | {"host": {}}, ("host: expected a string",)),
    (start, START | {"params": None}, ("params: expected an object, got null",)),
    (start, START | {"params": [1]}, ("params: expected an object",)),
    (start, START | {"code": "print()"}, ("code: expected an object",)),
    (start, START | {"environment": []}, ("environment: expected an object",)),
    (start, START | {"created_at": "yesterday"}, ("created_at: expected a time in UTC",)),
    (
        start,
        {"format": 1, "run_id": 1, "name": 2, "params": 3, "code": 4, "record_id": 5, "created_at": 6},
        ("run_id: exp", "name: exp", "params: exp", "code: exp", "record_id: exp", "created_at: exp"),
    ),
    (used, {}, ("format: missing", "record_id: missing", "created_at: missing", "input: missing")),
    (used, INPUT | {"input": None}, ("input: expected an object, got null",)),
    (used, INPUT | {"input": "table@1"}, ("input: expected an object",)),
    (used, INPUT | {"input": {}}, ("input.name: missing", "input.version: missing", "input.manifest_digest: missing")),
    (used, INPUT | {"input": USED | {"name": "../x"}}, ("input.name: ",)),
    (used, INPUT | {"input": USED | {"version": 0}}, ("input.version: expected a whole number from 1",)),
    (used, INPUT | {"input": USED | {"version": "1"}}, ("input.version: expected a whole number",)),
    (used, INPUT | {"input": USED | {"version": True}}, ("input.version: expected a whole number, got true",)),
    (used, INPUT | {"input": USED | {"manifest_digest": "5" * 64}}, ("input.manifest_digest: ",)),
    (used, INPUT | {"input": USED | {"role": 7}}, ("input.role: expected a string",)),
    (used, INPUT | {"format": 2}, ("format: newer format 2",)),
    (end, {}, ("format: missing", "outcome: missing", "metrics: missing", "record_id: missing", "created_at: missing")),
    (end, END | {"outcome": "killed"}, ("outcome: expected one of ('finished', 'failed')",)),
    (end, END | {"outcome": None}, ("outcome: expected a string, got null",)),
    (end, END | {"outcome": ["finished"]}, ("outcome: expected a string",)),
    (end, END | {"error_type": 7}, ("error_type: expected a string",)),
    (end, END | {"metrics": None}, ("metrics: expected an object, got null",)),
    (end, END | {"notes": "a note"}, ("notes: expected an array",)),
    (end, END | {"notes": ["a note", 7, None]}, ("notes[1]: expected a string", "notes[2]: expected a string")),
    (end, END | {"outputs": {}}, ("outputs: expected an array",)),
    (end, END | {"outputs": [USED, 7]}, ("outputs[1]: expected an object",)),
    (end, END | {"outputs": [USED | {"version": -1}]}, ("outputs[0].version: expected a whole number from 1",)),
    (end, END | {"created_at": "2026-01-31T12:00:00+01:00"}, ("created_at: expected a time in UTC",)),
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
def test_a_hostile_record_is_refused_with_all_that_is_wrong(read, document, expected):
    with pytest.raises(StoreFormatError) as caught:
        read(as_bytes(document))
    for part in expected:
        assert part in "\n".join(caught.value.problems)


@pytest.mark.parametrize("read", GOOD)
@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:12]))
def test_a_damaged_record_is_refused_in_no_time(read, data):
    started = time.process_time()
    with pytest.raises(StoreFormatError) as caught:
        read(data)
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 5000
    assert caught.value.key.startswith(f"runs/{ID}/")


@pytest.mark.parametrize("read", GOOD)
def test_a_good_record_is_read_and_fields_of_a_later_version_are_no_fault(read):
    plain = read(as_bytes(GOOD[read]))
    later = read(as_bytes(GOOD[read] | {"of_a_later_version": [1]}))
    if read is used:
        assert plain == later == Input(ArtifactName("table"), 1, DIGEST)
    else:
        assert (plain.extra, later.extra) == ({}, {"of_a_later_version": [1]})


def test_fields_that_may_be_left_out_may_be_left_out():
    optional = {"parent", "user", "host", "code", "environment"}
    found = start(as_bytes({name: value for name, value in START.items() if name not in optional}))
    assert {getattr(found, name) for name in optional} == {None}
    assert end(as_bytes({name: value for name, value in END.items() if name != "error_type"})).error_type is None


# --- keys -------------------------------------------------------------------------------------------------------------


@given(NAMES, VERSIONS, NAMES, VERSIONS)
def test_an_edge_is_read_back_from_its_key(name, version, consumer, number):
    source = ArtifactName(name), version
    key = edge_key(source, (consumer, number))
    assert key.startswith(edges_prefix(*source))
    assert key == key.casefold(), "no disk folds two of them into one"
    assert parse_edge_key(source, key) == (consumer, number)


@given(st.tuples(NAMES, VERSIONS), st.tuples(NAMES, VERSIONS), st.tuples(NAMES, VERSIONS))
def test_an_edge_of_another_version_is_none_of_this_one(source, other, consumer):
    if source != other:
        assert parse_edge_key(source, edge_key(other, consumer)) is None


@given(st.text(max_size=30))
def test_whatever_lies_among_the_edges_is_an_edge_by_its_own_key_or_none(text):
    source = ArtifactName("table"), 1
    key = edges_prefix(*source) + text
    consumer = parse_edge_key(source, key)
    assert consumer is None or edge_key(source, consumer) == key


NO_EDGES = [
    "",
    "made",
    "@1",
    "made@",
    "made@0",
    "made@01",
    "made@-1",
    "made@1.json",
    "made@9999999999",
    "made@1@1",
    "made@\u0661",
    "Made@1",
    "!1@1",
    "/made@1",
    "a//b@1",
    "../x@1",
    "a.json/b@1",
]


@pytest.mark.parametrize("text", NO_EDGES)
def test_what_no_edge_is_spelled_like_is_none(text):
    assert parse_edge_key((ArtifactName("table"), 1), f"edges/table/_v1/{text}") is None


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        (
            edge_key((ArtifactName("Fraud/features"), 12), (ArtifactName("Model"), 3)),
            "edges/!fraud/features/_v12/!model@3",
        ),
        (run_key(ID, "start"), f"runs/{ID}/start.json"),
        (run_key(ID, "end"), f"runs/{ID}/end.json"),
        (run_input_key(ID, "0" * 32), f"runs/{ID}/inputs/{'0' * 32}.json"),
        (distributions_key("5" * 64), f"runs/distributions/{'5' * 64}.txt"),
    ],
)
def test_a_key_is_spelled_as_the_specification_says(key, spelled):
    assert key == spelled


def test_the_body_of_an_edge_is_the_constant_of_the_specification():
    assert EDGE == b'{"format":1}\n'


@given(HEX32, HEX32, HEX32)
def test_the_id_of_a_use_is_read_back_from_its_key(run_id, what, other):
    assert parse_run_input_key(run_id, run_input_key(run_id, what)) == what
    if run_id != other:
        assert parse_run_input_key(other, run_input_key(run_id, what)) is None


def test_the_id_of_a_use_is_that_of_name_version_and_role():
    used = Input(ArtifactName("a"), 1, f"sha256:{'0' * 64}", "x")
    assert input_id(used) == hashlib.sha256(b'{"name":"a","role":"x","version":1}\n').hexdigest()[:32]
    others = (replace(used, name=ArtifactName("b")), replace(used, version=2), replace(used, role=None))
    assert len({input_id(used), *map(input_id, others)}) == 4


@pytest.mark.parametrize("file", ["0000000000.json", f"{ID}", "x.json", f"{ID}.json.tmp", f"{ID.upper()}.json"])
def test_what_is_no_number_of_a_use_is_none(file):
    assert parse_run_input_key(ID, f"runs/{ID}/inputs/{file}") is None


@given(HEX32, HEX64)
def test_no_list_of_distributions_lies_in_a_run(run_id, digest):
    assert not distributions_key(digest).startswith(f"runs/{run_id}/")
