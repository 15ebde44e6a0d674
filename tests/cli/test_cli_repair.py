"""`repair` and `register --prove`: what scripts see of them."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def rides(work, ask):
    """A version of two files, downloaded to ``good``; returns the paths of its two objects."""
    (work / "data").mkdir()
    (work / "data" / "a.csv").write_bytes(b"1,2\n")
    (work / "data" / "b.csv").write_bytes(b"3,4\n")
    assert ask("register", "rides", "data").code == 0
    assert ask("get", "rides@1", "good").code == 0
    entries = json.loads(ask("show", "rides", "--json").out)["entries"]
    return {entry["path"]: work / "store" / entry["key"] for entry in entries}


def test_repair_puts_back_and_says_what(work, ask, rides):
    rides["a.csv"].unlink()
    assert ask("verify", "rides").code == 1
    answer = ask("repair", "rides@1", "--from", "good")
    key = str(rides["a.csv"].relative_to(work / "store"))
    assert [line.split("\t") for line in answer.out.splitlines()] == [
        ["rides@1", "ok", "1", "0"],
        ["rides@1", "repaired", "a.csv", key],
    ]
    assert (answer.code, rides["a.csv"].read_bytes()) == (0, b"1,2\n")
    assert ask("repair", "rides@1", "--from", "good").out == "rides@1\tok\t0\t0\n"


def test_repair_exits_with_one_where_something_stays_damaged(work, ask, rides):
    for path in rides.values():
        path.unlink()
    (work / "good" / "b.csv").write_bytes(b"wrong")
    answer = ask("repair", "rides", "--from", "good", "--json")
    document = json.loads(answer.out)
    assert answer.code == 1
    assert (document["kind"], document["ok"]) == ("repair", False)
    assert [found["path"] for found in document["repaired"]] == ["a.csv"]
    assert [(found["path"], "has other bytes" in found["reason"]) for found in document["damaged"]] == [("b.csv", True)]
    assert not rides["b.csv"].exists()


@pytest.mark.parametrize(("source", "code"), [("nothing", 3), ("store", 2), ("", 2)])
def test_repair_refuses_what_is_no_source(ask, rides, source, code):
    assert ask("repair", "rides", "--from", source).code == code


def test_repair_wants_a_source(ask, rides):
    assert ask("repair", "rides").code == 2


def test_register_with_a_proof_heals(ask, rides):
    rides["a.csv"].unlink()
    rides["a.csv"].write_bytes(b"1,3\n")
    assert ask("register", "rides", "data", "--prove", "full").out == "rides@2\n"
    assert rides["a.csv"].read_bytes() == b"1,2\n"
    assert ask("verify", "rides@1", "rides@2").code == 0
    assert ask("register", "rides", "data", "--prove", "sha").code == 2
