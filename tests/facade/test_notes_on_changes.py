"""One rule for what people say about a change: any text of at most 5,000 bytes, wherever it is given and read."""

from __future__ import annotations

import json

import pytest

from metamlflow.errors import InvalidInputError, StoreFormatError
from metamlflow.format.records import decode_alias_change, decode_state
from metamlflow.format.retention import decode_policies, decode_protection
from metamlflow.format.tombs import decode_tomb
from metamlflow.model.names import ArtifactName

LINES = "asked for by ada\n\n* see\tthe minutes\x1b[31m of 3 May"
LONGEST = "é" * 2_500
CALLS = {
    "alias": lambda client, note: client.set_alias("a", "best", 2, note=note),
    "removed alias": lambda client, note: client.remove_alias("a", "best", note=note),
    "prune": lambda client, note: client.prune("a", versions=[1], note=note),
    "restore": lambda client, note: client.restore("a@3", note=note),
    "protect": lambda client, note: client.protect("a@2", note=note),
    "unprotect": lambda client, note: client.unprotect("a@2", note=note),
    "policy": lambda client, note: client.set_policy("a/**", keep_last=3, note=note),
    "rollback": lambda client, note: client.rollback("a", 2, note=note),
}


@pytest.fixture
def filled(client):
    for content in (b"one", b"two", b"three", b"four"):
        client.register_artifact("a", content)
    client.set_alias("a", "best", 4)
    client.prune("a", versions=[3])
    client.protect("a@2")
    return client


@pytest.mark.parametrize("note", [LINES, LONGEST, "x" * 5_000], ids=["lines", "letters", "bytes"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_note_of_many_lines_or_as_long_as_it_may_be_is_taken(filled, call, note):
    call(filled, note)


@pytest.mark.parametrize("note", ["", "x" * 5_001, "é" * 2_501, "\ud800", 7], ids=repr)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_note_that_is_empty_too_long_or_no_text_is_refused_before_a_write(filled, store_folder, call, note):
    before = sorted(store_folder.rglob("*"))
    with pytest.raises(InvalidInputError, match="note: expected"):
        call(filled, note)
    assert sorted(store_folder.rglob("*")) == before


@pytest.mark.parametrize("reason", ["", "x" * 5_001, 7], ids=repr)
def test_so_it_is_with_the_reason_of_an_erasure(filled, reason):
    with pytest.raises(InvalidInputError, match="reason: expected"):
        filled.erase("a@3", reason)


ORIGIN = {"format": 1, "record_id": "5" * 32, "created_at": "2026-01-01T00:00:00Z", "created_by": "ada"}
DIGEST = f"sha256:{'0' * 64}"
POLICY = {"pattern": "a", "keep_last": 1, "created_at": "2026-01-01T00:00:00Z", "created_by": "ada"}
A = ArtifactName("a")
READERS = {
    "alias": lambda note: decode_alias_change(written(version=1, note=note), "k", "a", "best", 1).note,
    "state": lambda note: decode_state(written(state="pruned", manifest_digest=DIGEST, note=note), "k").note,
    "protection": lambda note: decode_protection(written(note=note), "k", A, 1, 1).note,
    "policy": lambda note: decode_policies(written(policies=[POLICY | {"note": note}]), "k", 1).policies[0].note,
    "tomb": lambda note: (
        decode_tomb(written(name="a", version=1, manifest_digest=DIGEST, previous=None, reason=note), "k", A, 1).reason
    ),
}


def written(**fields):
    return json.dumps(ORIGIN | fields).encode()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_reader_takes_the_same_notes_and_refuses_the_others(read):
    assert [read(note) for note in (None, LINES, LONGEST)] == [None, LINES, LONGEST]
    for note in ("", "x" * 5_001, "é" * 2_501, 7, ["x"]):
        with pytest.raises(StoreFormatError, match="expected"):
            read(note)


def test_what_is_shown_in_a_line_stays_in_it(filled):
    for call in ("alias", "protect", "policy", "prune"):
        CALLS[call](filled, LINES)
    shown = [
        *map(repr, filled.alias_history("a", "best")),
        *map(repr, filled.protections()),
        *map(repr, filled.policies()),
    ]
    assert len(shown) == 5
    for text in shown:
        assert "\n" not in text
        assert "\x1b" not in text
