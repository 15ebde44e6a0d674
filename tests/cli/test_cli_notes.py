"""``annotate``, ``notes`` and what ``show`` says of notes: texts of strangers, which add no line and move no cursor."""

from __future__ import annotations

import json

import pytest
from cli_process import call

from metamlflow.artifacts import Artifact
from metamlflow.errors import AccessDeniedError, StorageError


@pytest.fixture
def noted(ask, rides):
    assert ask("annotate", "bikes/rides", "--title", "All rides").code == 0
    answer = ask(
        "annotate", "bikes/rides@1", "--title", "Rides", "--description", "By day.\nOf June.", "--tag", "team=city",
        "--tag", "reviewed", "--tag", "formula=a=b",
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, "")
    return answer.out


def test_the_notes_are_printed_as_they_are_then_and_later(ask, noted):
    lines = noted.splitlines()
    assert lines[:5] == [
        "title\tRides",
        "description\tBy day.\\nOf June.",
        "tag.formula\ta=b",
        "tag.reviewed\t",
        "tag.team\tcity",
    ]
    assert [line.partition("\t")[0] for line in lines[5:]] == ["noted", "noted by"]
    assert lines[6] == "noted by\tada"
    assert ask("notes", "bikes/rides@1").out == noted
    assert ask("notes", "bikes/rides@latest").out == noted
    assert ask("notes", "bikes/rides").out.startswith("title\tAll rides\n")


def test_single_fields_are_changed_and_removed(ask, noted):
    answer = ask(
        "annotate", "bikes/rides@1", "--untag", "team", "--untag", "nobody", "--title", "", "--tag", "formula="
    )
    assert answer.out.splitlines()[:3] == ["description\tBy day.\\nOf June.", "tag.formula\t", "tag.reviewed\t"]


def test_the_history_is_a_line_for_each_change(ask, noted):
    assert ask("annotate", "bikes/rides@1", "--title", "Other").code == 0
    assert ask("annotate", "bikes/rides@1", "--title", "Other").code == 0
    rows = [line.split("\t") for line in ask("notes", "bikes/rides@1", "--history").out.splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [("1", "ada", "Rides"), ("2", "ada", "Other")]
    assert [row[4] for row in rows] == ["By day.\\nOf June."] * 2
    assert json.loads(rows[0][5]) == {"team": "city", "reviewed": "", "formula": "a=b"}
    assert ask("notes", "bikes/rides@1", "--history", "--json").code == 0


def test_of_what_nobody_noted_nothing_is_shown(ask, rides):
    for arguments in (["notes", "bikes/rides"], ["notes", "bikes/rides@1"], ["notes", "bikes/rides", "--history"]):
        answer = ask(*arguments)
        assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_show_has_the_notes_of_the_version_between_its_facts_and_its_files(ask, noted):
    lines = [line.partition("\t")[0] for line in ask("show", "bikes/rides").out.splitlines()]
    assert lines.index("metadata.rows") < lines.index("title") < lines.index("noted by") < lines.index("entry")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bikes/rides@1"], 2, "give one or more"),
        (["bikes/rides@1", "--tag", "a=b", "--untag", "a"], 2, "'a' is given twice"),
        (["bikes/rides@1", "--tag", "a=b", "--tag", "a=c"], 2, "'a' is given twice"),
        (["bikes/rides@1", "--tag", "=b"], 2, "tag '': expected a text that is not empty"),
        (["bikes/rides@1", "--title", "a\nb"], 2, "title: expected one line"),
        (["bikes/rides@1", "--title", "\udc80"], 2, "title: expected a text that is valid Unicode"),
        (["bikes/rides@2", "--title", "a"], 3, "'bikes/rides' has no version 2"),
        (["bikes/ridez", "--title", "a"], 3, "there is no artifact"),
        (["bikes/rides@", "--title", "a"], 2, "alias"),
    ],
    ids=str,
)
def test_what_cannot_be_noted_is_told_with_its_exit_code(ask, rides, arguments, code, said):
    answer = ask("annotate", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


HOSTILE = {"title": "a\u202eb", "description": "x\n\x1b[2J\r\nerror: forged\ttab", "tags": {"\u202e": "\x1b]0;\x07\n"}}


def forge(work, **fields) -> None:
    document = {"format": 1, "record_id": "f" * 32, "created_at": "2026-01-31T12:00:00Z", "created_by": "\x1b[31meve\n"}
    folder = work / "store/artifacts/bikes/rides/_notes/v1"
    folder.mkdir(parents=True)
    (folder / "9999999990.json").write_text(json.dumps(document | fields))


@pytest.mark.parametrize(
    "arguments", [["notes", "bikes/rides@1"], ["notes", "bikes/rides@1", "--history"], ["show", "bikes/rides"]]
)
def test_notes_of_a_stranger_add_no_line_and_no_field_and_move_no_cursor(work, ask, rides, arguments):
    plain = len(ask(*arguments).out.splitlines())
    forge(work, **HOSTILE)
    answer = ask(*arguments)
    assert answer.code == 0
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(answer.out)
    rows = answer.out.splitlines()
    assert len(rows) - plain == (1 if "--history" in arguments else 5)
    assert all(row.count("\t") == 5 for row in rows if "--history" in arguments)


def test_damaged_notes_do_not_hide_the_facts_and_are_told(work, ask, rides):
    forge(work, title=7)
    for arguments in (["show", "bikes/rides"], ["show", "bikes/rides", "--json"]):
        answer = ask(*arguments)
        assert answer.code == 1
        assert "rides.csv" in answer.out
        assert answer.err.startswith("the notes cannot be read: ")
    assert json.loads(answer.out)["notes"] is None
    assert ask("notes", "bikes/rides@1").code == 1
    history = call("notes", "bikes/rides@1", "--history", "--store", "store", cwd=work)
    assert (history.returncode, history.stdout) == (0, b"")
    assert b"left out of the history" in history.stderr


@pytest.mark.parametrize(("error", "code"), [(AccessDeniedError, 0), (StorageError, 1)])
def test_notes_that_may_not_be_listed_do_not_make_show_fail_and_a_listing_that_lies_does(
    ask, rides, monkeypatch, error, code
):
    def refused(_: object) -> None:
        raise error("denied\x1b")

    monkeypatch.setattr(Artifact, "notes", property(refused))
    answer = ask("show", "bikes/rides")
    assert (answer.code, answer.err) == (code, "the notes cannot be read: denied\\x1b\n")
    assert "rides.csv" in answer.out
