"""`metamlflow migrate`, `compare` and `relocate`: what they print, and their exit codes."""

from __future__ import annotations

import json
import shutil

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.cli.entry import run


@pytest.fixture
def laptop(tmp_path):
    client = MetaMLFlowClient(tmp_path / "laptop")
    client.register_artifact("a", b"1")
    client.register_artifact("a", b"22")
    client.register_artifact("b", {"x": b"333", "y": b"333"}, inputs=["a@2"])
    return tmp_path / "laptop"


def rows(capsys) -> list[list[str]]:
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_a_plan_tells_versions_objects_bytes_and_requests_and_does_nothing(laptop, tmp_path, capsys):
    assert run(["migrate", str(laptop), str(tmp_path / "there"), "--dry-run"]) == 0
    printed = capsys.readouterr()
    lines = [line.split("\t")[:5] for line in printed.out.splitlines()]
    assert lines == [
        ["a@1", "planned", "1", "1", "1"],
        ["a@2", "planned", "1", "1", "2"],
        ["b@1", "planned", "2", "1", "3"],
    ]
    assert "3 planned; about 3 objects and 6 bytes, and" in printed.err
    assert "requests" in printed.err
    assert not (tmp_path / "there").exists()


def test_a_report_is_written_as_rows_json_and_markdown(laptop, tmp_path, capsys):
    there, page = str(tmp_path / "there"), tmp_path / "report.md"
    assert run(["migrate", str(laptop), there, "--markdown", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["counts"], document["objects"], document["bytes"]) == ({"migrated": 3}, 3, 6)
    assert [v["manifest_digest"][:7] for v in document["versions"]] == ["sha256:"] * 3
    text = page.read_text()
    assert f"From `file://{laptop}` to `file://{there}`: 3 migrated; 3 objects and 6 bytes new" in text
    assert "| b@1 | migrated | 2 | 1 | 3 | `sha256:" in text
    assert run(["migrate", str(laptop), there]) == 0
    assert [row[:2] for row in rows(capsys)] == [["a@1", "present"], ["a@2", "present"], ["b@1", "present"]]


def test_versions_are_chosen_and_the_proof_too(laptop, tmp_path, capsys):
    there = str(tmp_path / "there")
    assert run(["migrate", str(laptop), there, "--version", "latest", "--verify", "full"]) == 0
    assert [row[:2] for row in rows(capsys)] == [["a@1", "absent"], ["a@2", "migrated"], ["b@1", "migrated"]]
    assert run(["migrate", str(laptop), there, "--version", "a@1", "--verify", "full"]) == 0
    assert rows(capsys)[0][:2] == ["a@1", "migrated"]
    assert run(["migrate", str(laptop), str(tmp_path / "x"), "--version", "a@9"]) == 3
    assert run(["migrate", str(laptop), str(tmp_path / "x"), "--version", "newest"]) == 2
    assert not (tmp_path / "x").exists()


def test_exit_codes_tell_a_conflict_from_a_failure(laptop, tmp_path, capsys):
    other = MetaMLFlowClient(tmp_path / "other")
    other.register_artifact("a", b"mine")
    MetaMLFlowClient(laptop).register_artifact("c", b"4")
    assert run(["migrate", str(laptop), str(tmp_path / "other")]) == 4
    printed = capsys.readouterr()
    assert "another history" in printed.err
    lines = [line.split("\t")[:2] for line in printed.out.splitlines()]
    # b was made from a, and must not seem to be made from another one
    assert lines == [["a@1", "conflict"], ["a@2", "skipped"], ["b@1", "skipped"], ["c@1", "migrated"]]
    blob = next(p for p in laptop.glob("blobs/**/*") if p.is_file() and p.read_bytes() == b"333")
    blob.unlink()
    assert run(["migrate", str(laptop), str(tmp_path / "third")]) == 5


@pytest.mark.full
def test_what_cannot_be_is_told_before_anything_is_done(laptop, tmp_path, capsys):
    there = str(tmp_path / "there")
    for arguments, code, what in (
        (["migrate", str(laptop), str(laptop)], 2, "same store"),
        (["migrate", str(laptop), str(laptop / "inner")], 2, "lies within"),
        (["migrate", str(laptop), there, "--server-side"], 2, "no server can copy"),
        (["migrate", str(laptop), there, "--markdown", str(tmp_path / "no/report.md")], 2, "there is no folder"),
        (["migrate", str(laptop), there, "--markdown", str(tmp_path)], 2, "is a folder"),
        (["migrate", str(laptop), there, "--verify", "checksum"], 2, "--verify full"),
        (["migrate", str(laptop), there, "--version", "99"], 2, "selects no version"),
        (["migrate", str(laptop), there, "--version", "9" * 5000], 2, "selects no versions"),
        (["migrate", str(laptop), there, "--copy-pointers", str(laptop / "lake")], 2, "overlaps"),
        (["migrate", str(laptop), there, "--copy-pointers", "zip://x"], 2, "not a place to copy to"),
        (["migrate", str(laptop), there, "--from-option", "bogus"], 2, "--from-option"),
        (["pointer", "relocate", "/old/", "/new/", "--store", there], 3, "there is no metamlflow store"),
        (["migrate", str(laptop), there, "--name", "aa"], 3, "did you mean"),
        (["migrate", str(tmp_path / "none"), there], 3, "there is no metamlflow store"),
        (["migrate", str(laptop), there, "--copy-pointers", "https://host/x"], 2, "not a place to copy to"),
        (["compare", str(laptop), there], 3, "there is no metamlflow store"),
        (["pointer", "relocate", "/old/", "/new/", "--store", str(laptop)], 2, "no artifact points"),
    ):
        assert run(arguments) == code, arguments
        assert what in capsys.readouterr().err.lower()
    assert not (tmp_path / "there").exists()


def test_data_that_moved_is_recorded_and_found(laptop, tmp_path, capsys):
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "x.csv").write_text("1")
    MetaMLFlowClient(laptop).register_pointer("lake", lake, evidence="full")
    shutil.move(lake, tmp_path / "moved")
    assert run(["pointer", "relocate", str(lake), str(tmp_path / "moved"), "--store", str(laptop)]) == 0
    assert rows(capsys) == [[str(lake), str(tmp_path / "moved"), "1"]]
    assert run(["verify", "lake", "--store", str(laptop)]) == 0
    assert run(["migrate", str(laptop), str(tmp_path / "there"), "--copy-pointers", str(tmp_path / "third")]) == 0
    shutil.rmtree(tmp_path / "moved")
    assert run(["verify", "lake", "--store", str(tmp_path / "there")]) == 0


def test_a_comparison_says_so_where_nothing_differs(laptop, tmp_path, capsys):
    assert run(["migrate", str(laptop), str(tmp_path / "there")]) == 0
    capsys.readouterr()
    assert run(["compare", str(laptop), str(tmp_path / "there")]) == 0
    assert capsys.readouterr() == ("", "nothing differs\n")
    MetaMLFlowClient(laptop).register_artifact("more", b"1")
    assert run(["compare", str(laptop), str(tmp_path / "there")]) == 1
    answer = capsys.readouterr()
    assert answer.err == f"{len(answer.out.splitlines())} differ\n"
