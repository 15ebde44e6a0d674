"""``prune``, ``restore``, ``protect``, ``retention``: what they print, and their exit codes for cron."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def five(ask, rides):
    for number in range(2, 6):
        rides.write_text(f"day,rides\n{number}\n", encoding="utf-8")
        assert ask("register", "bikes/rides", "rides.csv", "--meta", f"rows={number}").code == 0


def rows(answer) -> list[list[str]]:
    return [line.split("\t") for line in answer.out.splitlines()]


def test_a_dry_run_lists_each_version_with_its_reason_and_does_nothing(ask, five):
    answer = ask("prune", "bikes/*", "--keep-last", "2", "--where", "metadata.rows < 3", "--dry-run")
    assert answer.code == 0
    assert rows(answer) == [
        ["bikes/rides@1", "would prune", "22", "keep_last=2, where='metadata.rows < 3'"],
        ["bikes/rides@2", "would prune", "12", "keep_last=2, where='metadata.rows < 3'"],
        ["bikes/rides@3", "kept", "12", "the condition does not hold (where)"],
        ["bikes/rides@4", "kept", "-", "it is among the newest 2 (keep_last)"],
        ["bikes/rides@5", "kept", "-", "it is the newest live version"],
    ]
    assert answer.err == "2 would be pruned (34 bytes), 3 kept\n"
    assert len(rows(ask("ls", "bikes/rides"))) == 5


def test_what_is_pruned_is_refused_restored_and_live_again(ask, five):
    answer = ask("prune", "bikes/rides", "--version", "2", "--version", "3", "--note", "mislabelled")
    assert answer.code == 0
    assert "`metamlflow restore` brings them back until" in answer.err
    answer = ask("show", "bikes/rides@2")
    assert answer.code == 3
    assert "by ada (mislabelled)" in answer.err
    assert "hint: `metamlflow restore bikes/rides@2` brings it back until" in answer.err
    answer = ask("restore", "bikes/rides@2", "--dry-run")
    assert (answer.code, answer.out, answer.err) == (0, "bikes/rides@2\n", "it can be restored; nothing was done\n")
    assert ask("show", "bikes/rides@2").code == 3
    assert ask("restore", "bikes/rides@2").out == "bikes/rides@2\n"
    assert ask("show", "bikes/rides@2").code == 0
    assert ask("restore", "bikes/rides@2").code == 4
    assert ask("restore", "bikes/rides@9").code == 3


def test_a_protection_holds_and_show_tells_of_it(ask, five):
    assert ask("protect", "bikes/rides@1", "--note", "audit").out == "bikes/rides@1\n"
    assert ["bikes/rides@1", "kept", "-", "it is protected"] in rows(ask("prune", "bikes/rides", "--keep-last", "1"))
    assert "audit" in ask("show", "bikes/rides@1").out
    (line,) = [row for row in rows(ask("show", "bikes/rides@1")) if row[0] == "protected"]
    assert line[1].startswith("by ada on ")
    ((ref, by, _, note),) = rows(ask("protections"))
    assert (ref, by, note) == ("bikes/rides@1", "ada", "audit")
    assert rows(ask("protections", "other")) == []
    (shown,) = json.loads(ask("show", "bikes/rides@1", "--json").out)["protections"]
    assert shown["note"] == "audit"
    assert ask("unprotect", "bikes/rides@1").out == "1\n"
    assert ask("protections").out == ""
    assert ask("protect", "bikes/rides@2").code == 3


def test_policies_are_set_listed_applied_and_removed_and_nothing_to_do_is_good(ask, five):
    assert ask("prune", "--policies").code == 0
    assert ask("retention", "set", "bikes/*", "--keep-last", "3", "--older-than", "1d", "--note", "disk").code == 0
    ((pattern, keep_last, older, where, note, _, by),) = rows(ask("retention", "ls"))
    assert (pattern, keep_last, older, where, note, by) == ("bikes/*", "3", "86400", "-", "disk", "ada")
    assert ask("retention", "set", "bikes/*", "--keep-last", "4").code == 0
    answer = ask("prune", "--policies", "--dry-run")
    assert rows(answer)[0] == ["bikes/rides@1", "would prune", "22", "policy 'bikes/*': keep_last=4"]
    assert ask("prune", "--policies").code == 0
    answer = ask("prune", "--policies")
    assert (answer.code, answer.err) == (0, "0 pruned (0 bytes), 4 kept\n")
    assert ask("prune", "--policies", "other/*").err == "warning: no name fits 'other/*'\n0 pruned (0 bytes), 0 kept\n"
    assert rows(ask("retention", "rm", "bikes/*"))[0][0] == "bikes/*"
    assert ask("retention", "rm", "bikes/*").code == 3
    assert ask("retention", "ls").out == ""


def test_damage_prunes_nothing_and_is_told_by_the_exit_code(ask, five, work):
    newest = (work / "store/artifacts/bikes/rides/_versions/9999999994_v5.json").read_text()
    blob = work / "store" / json.loads(newest)["entries"][0]["key"]
    blob.unlink()
    answer = ask("prune", "bikes/rides", "--keep-last", "1")
    assert answer.code == 1
    assert rows(answer)[0][:2] == ["bikes/rides@5", "damaged"]
    assert ask("show", "bikes/rides@1").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune"], "give one or more, or --policies"),
        (["prune", "bikes/rides"], "no rule says which versions may go"),
        (["prune", "bikes/rides"], "hint: Give --keep-last, --older-than, --where or --version, and look"),
        (["prune", "--policies", "--keep-last", "1"], "leave out rules"),
        (["prune", "bikes/*", "--version", "1"], "not of one name"),
        (["prune", "a b", "--keep-last", "1"], "is not a pattern of names"),
        (["prune", "bikes/rides", "--keep-last", "0"], "--keep-last"),
        (["prune", "bikes/rides", "--keep-last", "x"], "--keep-last"),
        (["prune", "bikes/rides", "--older-than", "90"], "--older-than"),
        (["prune", "bikes/rides", "--version", "0"], "--version"),
        (
            ["prune", "bikes/rides", "--where", "metadata.rows <"],
            "--where: expected a field or a value at character 16",
        ),
        (
            ["prune", "bikes/rides", "--where", "metadata.Ω < 1"],
            'hint: A name that is not made of a-z, 0-9, "_" and "-"',
        ),
        (["prune", "bikes/rides", "--where", "run["], 'in brackets and quotes: metadata["my key"].'),
        (["prune", "bikes/rides", "--where", "keep_last == 1"], "unknown field 'keep_last', got 'keep_last'"),
        (["prune", "bikes/rides", "--where", "artifact_type <"], "\n  artifact_type <\n                 ^\n"),
        (
            ["prune", "bikes/rides", "--where", "size <"],
            'Such as: metadata.accuracy < 0.5 and artifact_type in ["model"]',
        ),
        (["retention", "set", "a", "--where", "sort == 'x'"], "Fields are name, version, artifact_type, kind,"),
        (["prune", "bikes/rides", "--keep-last", "9" * 30], "is not a whole number from 1 to 9"),
        (["prune", "bikes/rides", "--keep-last", "9" * 18], "a whole number from 1 to 1,000,000,000, not"),
        (["retention", "set", "bikes/*"], "no rule says which versions may go, so no policy was set"),
        (["retention", "set", "bikes/*"], "hint: Give --keep-last, --older-than or --where."),
        (["retention"], "Usage"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_a_usage_error_and_nothing_is_pruned(ask, five, arguments, said):
    answer = ask(*arguments)
    assert answer.code == 2
    assert said in answer.err + answer.out
    assert len(rows(ask("ls", "bikes/rides"))) == 5


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_a_pattern_that_no_name_fits_is_told(ask, five, options):
    answer = ask("prune", "bike/*", "bikes/*", "--keep-last", "5", *options)
    assert answer.code == 0
    assert "warning: no name fits 'bike/*'\n" in answer.err
    assert "'bikes/*'" not in answer.err
    assert "warning: the store has no policies\n" in ask("prune", "--policies", *options).err


def test_json_has_every_decision(ask, five):
    found = json.loads(ask("prune", "bikes/rides", "--keep-last", "4", "--json").out)
    assert (found["dry_run"], found["ok"], found["bytes"]) == (False, True, 22)
    assert [decision["ref"] for decision in found["pruned"]] == ["bikes/rides@1"]
    assert found["pruned"][0]["restorable_until"].endswith("Z")
    assert len(found["kept"]) == 4
    for arguments in (["retention", "set", "a/*", "--keep-last", "1"], ["retention", "ls"], ["protections"]):
        assert json.loads(ask(*arguments, "--json").out)["format"] == 1
    assert json.loads(ask("protect", "bikes/rides@2", "--json").out)["version"] == 2
    assert json.loads(ask("unprotect", "bikes/rides@2", "--json").out)["ended"] == 1
    assert json.loads(ask("restore", "bikes/rides@1", "--json").out)["version"] == 1


def test_notes_of_a_stranger_add_no_line_and_move_no_cursor(ask, five, work):
    folder = work / "store/protections/bikes/rides/_v1"
    folder.mkdir(parents=True)
    origin = {"format": 1, "record_id": "f" * 32, "created_at": "2026-01-31T12:00:00Z"}
    (folder / "9999999998.json").write_text(json.dumps(origin | {"created_by": "\x1b[31meve\n\u202e"}))
    for arguments in (["protections"], ["show", "bikes/rides@1"]):
        answer = ask(*arguments)
        assert answer.code == 0
        assert not {"\x1b", "\r", "\u202e"} & set(answer.out)
        assert len([line for line in answer.out.splitlines() if "eve" in line]) == 1
