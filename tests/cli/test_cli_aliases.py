"""``alias`` with its subcommands, ``ls --aliases`` and ``rollback``: what they print, and how they end."""

from __future__ import annotations

import json

import pytest

from metamlflow import MetaMLFlowClient


@pytest.fixture
def three(ask, rides):
    """Versions 1 to 3 of ``bikes/rides``, of which the first two have the same content."""
    client = MetaMLFlowClient("store")
    client.register_artifact("bikes/rides", rides, "dataset", {"rows": 2})
    client.register_artifact("bikes/rides", b"bad", "dataset", {"rows": 0})
    return ask


def aliases() -> dict[str, int]:
    return MetaMLFlowClient("store").aliases("bikes/rides")


def test_an_alias_is_set_listed_moved_and_removed(three):
    assert three("alias", "set", "bikes/rides", "production", "1").out == "bikes/rides@production\t1\n"
    assert three("alias", "set", "bikes/rides", "staging", "latest").out == "bikes/rides@staging\t3\n"
    assert three("alias", "ls", "bikes/rides").out == "production\t1\nstaging\t3\n"
    assert three("alias", "rm", "bikes/rides", "staging").out == "bikes/rides@staging\t-\n"
    assert three("show", "bikes/rides@production").code == 0
    assert aliases() == {"production": 1}
    assert three("alias", "ls", "bikes/rides").code == 0


def test_the_history_is_a_line_for_each_change(three):
    three("alias", "set", "bikes/rides", "production", "1", "--note", "first\nline")
    three("alias", "set", "bikes/rides", "production", "2")
    three("alias", "rm", "bikes/rides", "production", "--note", "gone")
    rows = [line.split("\t") for line in three("alias", "history", "bikes/rides", "production").out.splitlines()]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("1", "1", "ada", "first\\nline"),
        ("2", "2", "ada", ""),
        ("3", "-", "ada", "gone"),
    ]
    document = json.loads(three("alias", "history", "bikes/rides", "production", "--json").out)
    assert document["kind"] == "alias-history"
    assert [change["version"] for change in document["changes"]] == [1, 2, None]
    assert document["changes"][0]["note"] == "first\nline"


def test_who_was_slower_exits_with_4_and_reads_what_it_stands_for(three):
    assert three("alias", "set", "bikes/rides", "production", "1", "--expected", "0").code == 0
    answer = three("alias", "set", "bikes/rides", "production", "2", "--expected", "0")
    assert (answer.code, answer.out) == (4, "")
    assert "stands for version 1, and not for none as expected" in answer.err
    assert "metamlflow alias history" in answer.err
    failed = three("alias", "rm", "bikes/rides", "production", "--expected", "3", "--json")
    assert (failed.code, json.loads(failed.err)["error"]) == (4, "AliasMovedError")
    assert aliases() == {"production": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["set", "bikes/rides", "production", "9"], 3, "has no version 9"),
        (["set", "bikes/rides", "latest", "1"], 2, "invalid alias 'latest'"),
        (["set", "bikes/rides", "production", "1", "--expected", "x"], 2, "--expected"),
        (["set", "bikes/rides", "production", "1", "--expected", "-1"], 2, "--expected"),
        (["set", "bikes/rides", "production", "1", "--note", ""], 2, "--note: expected a text that is not empty"),
        (["rm", "bikes/rides", "production", "--expected", "0"], 2, "--expected"),
        (["rm", "bikes/rides", "production"], 3, "has no alias 'production'"),
        (["history", "bikes/rides", "production"], 3, "has no alias 'production'"),
        (["ls", "bikes/ridez"], 3, "there is no artifact"),
        (["ls"], 2, "NAME"),
        ([], 2, "history"),
    ],
)
def test_a_wrong_call_ends_with_its_code_and_a_reason(three, arguments, code, said):
    answer = three("alias", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_a_dry_run_prints_the_same_and_changes_nothing(three):
    assert three("alias", "set", "bikes/rides", "production", "1", "--dry-run").out == "bikes/rides@production\t1\n"
    assert aliases() == {}
    three("alias", "set", "bikes/rides", "production", "1")
    assert three("alias", "rm", "bikes/rides", "production", "--dry-run").code == 0
    assert three("alias", "set", "bikes/rides", "production", "2", "--expected", "3", "--dry-run").code == 4
    assert aliases() == {"production": 1}


def test_documents_of_aliases(three):
    set_one = json.loads(three("alias", "set", "bikes/rides", "production", "2", "--json").out)
    assert {key: set_one[key] for key in ("kind", "name", "alias", "number", "version", "note", "created_by")} == {
        "kind": "alias", "name": "bikes/rides", "alias": "production", "number": 1, "version": 2, "note": None,
        "created_by": "ada",
    }  # fmt: skip
    listed = json.loads(three("alias", "ls", "bikes/rides", "--json").out)
    assert listed == {"format": 1, "kind": "aliases", "name": "bikes/rides", "aliases": {"production": 2}}


def test_ls_shows_aliases_only_if_asked(three):
    for alias in ("production", "best"):
        three("alias", "set", "bikes/rides", alias, "3")
    assert [line.count("\t") for line in three("ls").out.splitlines()] == [6]
    assert three("ls", "--aliases").out.rstrip("\n").split("\t")[7] == "best,production"
    lines = three("ls", "bikes/rides", "--aliases").out.splitlines()
    assert [line.split("\t")[7] for line in lines] == ["", "", "best,production"]
    (document,) = json.loads(three("ls", "--aliases", "--json").out)["artifacts"]
    assert document["aliases"] == ["best", "production"]
    assert "aliases" not in json.loads(three("ls", "--json").out)["artifacts"][0]


def test_a_rollback_is_shown_done_and_repeated(three):
    shown = three("rollback", "bikes/rides", "--to", "1", "--dry-run")
    assert shown.out == "bikes/rides@4\tbikes/rides@1\tpublish\t1\t22\n"
    plan = json.loads(three("rollback", "bikes/rides", "--to", "1", "--note", "why", "--dry-run", "--json").out)
    assert (plan["kind"], plan["version"], plan["publishes"], plan["note"]) == ("rollback-plan", 4, True, "why")
    assert MetaMLFlowClient("store").list_versions("bikes/rides") == [1, 2, 3]
    for _ in range(2):
        assert three("rollback", "bikes/rides", "--to", "1", "--note", "3 is bad").out == "bikes/rides@4\n"
    assert three("rollback", "bikes/rides", "--to", "1", "--dry-run").out.split("\t")[2] == "nothing"
    assert "description\t3 is bad\n" in three("show", "bikes/rides").out
    document = json.loads(three("rollback", "bikes/rides", "--to", "v1", "--json").out)
    assert (document["kind"], document["version"], document["metadata"]) == ("artifact", 4, {"rows": 2, "city": "Ulm"})


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [
        ("3", 2, "is the newest version already"),
        ("latest", 2, "is the newest version already"),
        ("9", 3, "has no version 9"),
        ("best", 3, "has no alias 'best'"),
        ("", 2, "alias"),
    ],
)
def test_a_rollback_to_what_is_not_there_ends_with_its_code(three, to, code, said):
    answer = three("rollback", "bikes/rides", "--to", to)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
