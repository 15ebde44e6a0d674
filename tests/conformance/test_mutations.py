"""Any field and any byte of any record is changed by chance: the product decides as the second reader does."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from decisions import product_takes, refusal
from kit.mutations import mutants, records_of, shard_mutants
from reader.keys import record_of

STORES = Path(__file__).resolve().parents[2] / "docs" / "conformance" / "stores"
SHARD = {"first": "a", "count": 3}


def differences(seed: int, count: int) -> tuple[list[str], set[bool]]:
    found, decisions = [], set()
    for key, data in mutants(STORES, seed, count):
        why = refusal(key, data)
        decisions.add(why is None)
        if product_takes(key, data) != (why is None):
            found.append(f"seed {seed}, {key}: the reader {why or 'takes'} {data!r:.2000}")
    for data in shard_mutants(seed, count // 10):
        why = refusal("", data, SHARD)
        if product_takes("", data, SHARD) != (why is None):
            found.append(f"seed {seed}, a shard: the reader {why or 'takes'} {data!r:.2000}")
    return found, decisions


@pytest.mark.full
def test_a_changed_document_is_taken_by_both_or_by_none():
    found, decisions = differences(seed=14, count=10_000)
    assert found == []
    assert decisions == {True, False}


@pytest.mark.full
def test_so_it_is_with_changes_that_nobody_saw_before():
    found, _ = differences(seed=secrets.randbits(32), count=100_000)
    assert found == []


def test_records_of_every_kind_are_changed():
    kinds = {record_of(key)["kind"] for key, _ in records_of(STORES)}
    assert kinds == {
        *("marker", "manifest", "state", "alias", "claim", "run start", "run input", "run end", "signature"),
        *("relocation", "tomb", "hiding", "note", "features"),
        *("policies", "protection", "end of a protection", "collection"),
    }
