"""`fsck` and `du`: what scripts and people see of them."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def lost(work, ask) -> str:
    """A store with a copy, a missing blob and a lost name record; returns the key of the blob."""
    (work / "a.csv").write_text("a")
    (work / "b.csv").write_text("bb")
    assert ask("register", "data", "a.csv", "b.csv").code == 0
    assert ask("register", "data", "b.csv").code == 0
    assert ask("migrate", "store", "copy").code == 0
    (path,) = [path for path in (work / "store/blobs").rglob("*.csv") if path.read_text() == "a"]
    path.unlink()
    (work / "store/names/data.json").unlink()
    return str(path.relative_to(work / "store"))


def rows(answer) -> list[list[str]]:
    return [line.split("\t") for line in answer.out.splitlines()]


def test_a_sound_store_is_told_on_stderr_alone(ask, rides):
    answer = ask("fsck")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("sound (1 version, ")


def test_faults_are_rows_and_the_exit_code(ask, lost):
    answer = ask("fsck", "--level", "stat")
    assert answer.code == 1
    assert [row[:4] for row in rows(answer)] == [
        ["fault", "blob-missing", "data@1", lost],
        ["fault", "name-record-missing", "data", "names/data.json"],
    ]
    assert all(len(row) == 6 for row in rows(answer))
    assert answer.err.startswith("2 faults (2 versions, ")


def test_a_dry_run_tells_what_a_repair_then_does(work, ask, lost):
    planned = ask("fsck", "--repair", "--from", "copy", "--dry-run")
    assert planned.code == 1
    assert "2 would be mended" in planned.err
    assert not (work / "store" / lost).exists()
    done = ask("fsck", "--from", "copy")
    assert [row[0] for row in rows(done)] == [row[0] for row in rows(planned)] == ["mended", "mended"]
    assert done.code == 0
    assert (work / "store" / lost).read_text() == "a"
    assert ask("fsck").code == 0


def test_a_report_is_json(ask, lost):
    answer = ask("fsck", "--json")
    document = json.loads(answer.out)
    assert answer.code == 1
    assert (document["kind"], document["format"], document["ok"], document["level"]) == ("fsck", 1, False, "full")
    assert document["counts"] == {"blob-missing": 1, "name-record-missing": 1}
    assert document["findings"][0].keys() >= {"kind", "key", "means", "remedy", "mendable", "mended", "name", "version"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--sample", "2"), "sample"),
        (("--subset", "3/2"), "subset"),
        (("--seed", "x"), "--seed"),
        (("--sample", "1"), "'1%'"),
        (("--dry-run",), "--dry-run"),
        (("--dry-run",), "Give --repair, too."),
        (("--from-option", "key=a"), "--from-option"),
        (("--repair", "--from-option", "key=a"), "--from"),
        (("--from", ""), "empty path"),
        (("--level", "deep"), "--level"),
        (("--resume", "."), "--resume"),
    ],
)
def test_a_wrong_option_is_named(ask, rides, arguments, told):
    answer = ask("fsck", *arguments)
    assert answer.code == 2
    assert told in answer.err


def test_options_of_reading_are_taken(work, ask, rides):
    for arguments in (
        ("--sample", "50%", "--seed", "3"),
        ("--sample", "0.01"),
        ("--subset", "1/2"),
        ("--resume", "state"),
    ):
        assert ask("fsck", *arguments, "--objects-per-second", "9999", "--bytes-per-second", "1GB").code == 0
    assert not (work / "state").exists()


def test_space_is_shown_by_name_and_by_version(ask, work):
    (work / "a").write_text("a" * 100)
    (work / "b").write_text("b" * 20)
    ask("register", "team/x", "a", "b")
    ask("register", "team/x", "a")
    ask("register", "y", "b")
    assert rows(ask("du")) == [["team/x", "2", "120", "100", "20", "0"], ["y", "1", "20", "0", "20", "0"]]
    assert rows(ask("du", "--depth", "1"))[0][0] == "team"
    by_version = ask("du", "team/x")
    assert rows(by_version) == [
        ["team/x@1", "live", "120", "0", "120", "0"],
        ["team/x@2", "live", "100", "0", "100", "0"],
    ]
    assert by_version.err.startswith("120 bytes in 2 blobs")
    assert ask("du", "nobody").code == 3
    assert ask("du", "--depth", "0").code == 2
    document = json.loads(ask("du", "--json").out)
    assert (document["kind"], document["bytes"], document["complete"]) == ("usage", 120, True)


def test_space_is_drawn_on_one_page(ask, work, rides):
    answer = ask("du", "--html", "du.html")
    assert "written to du.html" in answer.err
    assert "bikes/rides" in (work / "du.html").read_text()
    assert ask("du", "--html", "no/where.html").code == 2


def test_space_that_is_not_exact_ends_with_one(ask, work, rides):
    (manifest,) = (work / "store/artifacts").rglob("*_v1.json")
    manifest.unlink()
    manifest.write_text("{")
    answer = ask("du")
    assert answer.code == 1
    assert "not exact" in answer.err
