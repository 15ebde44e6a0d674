"""``diff``, ``update-metadata`` and ``copy``: what they print, and how they end."""

from __future__ import annotations

import json

import pytest
from test_cli_terminals import on_a_terminal

from extras import need
from metamlflow import MetaMLFlowClient


@pytest.fixture
def two(ask, rides):
    """A second version of ``bikes/rides``, with a column more."""
    rides.write_text("day,rides,rain\n1,200,0.5\n2,170,0.0\n3,9,1.5\n", encoding="utf-8")
    answer = ask("register", "bikes/rides", "rides.csv", "--type", "dataset", "--meta", "rows=3", "--meta", "city=Ulm")
    assert answer.code == 0, answer.err
    return ask


def versions() -> list[int]:
    return MetaMLFlowClient("store").list_versions("bikes/rides")


def test_differences_are_a_line_each_and_the_exit_code_says_whether_there_are_any(two):
    answer = two("diff", "bikes/rides@1", "bikes/rides@2")
    assert answer.code == 1
    lines = [line.split("\t") for line in answer.out.splitlines()]
    assert ["schema", "added", "rain", "", "double"] in lines
    assert ["metadata", "changed", "rows", "2", "3"] in lines
    assert ["files", "changed", "rides.csv", "22 bytes", "43 bytes"] in lines
    assert {len(line) for line in lines} == {5}
    same = two("diff", "bikes/rides@2", "bikes/rides")
    assert (same.code, same.out, same.err) == (0, "", "")


def test_json_has_all_of_it_and_html_is_written_beside(two, work):
    answer = two("diff", "bikes/rides@1", "bikes/rides@2", "--json", "--html", "diff.html")
    document = json.loads(answer.out)
    assert (answer.code, document["kind"], document["equal"]) == (1, "diff", False)
    assert document["schema"]["added"] == [{"name": "rain", "type": "double", "nullable": True}]
    assert document["files"]["counts"] == {"added": 0, "removed": 0, "modified": 1, "renamed": 0}
    assert "rain" in (work / "diff.html").read_text("utf-8")
    none = json.loads(two("diff", "bikes/rides@1", "bikes/rides@2", "--json", "--files", "0").out)
    assert none["files"]["modified"] == []
    assert none["files"]["counts"]["modified"] == 1


def test_rows_are_counted_by_key_columns(two):
    need("duckdb")
    document = json.loads(two("diff", "bikes/rides@1", "bikes/rides@2", "--key", "day", "--json").out)
    rows = document["rows"]
    assert [rows[name] for name in ("added", "removed", "changed", "unchanged")] == [1, 0, 1, 1]
    assert (
        "1 added, 0 removed, 1 changed, 1 unchanged by day"
        in two("diff", "bikes/rides@1", "bikes/rides@2", "--rows", "--key", "day").out
    )
    assert two("diff", "bikes/rides@1", "bikes/rides@1", "--rows").code == 0
    failed = two("diff", "bikes/rides@1", "bikes/rides@2", "--key", "no")
    assert (failed.code, failed.err.splitlines()[0]) == (2, "error: --key: bikes/rides@1 has no column 'no'")


def test_a_version_of_another_store_is_compared(two, work):
    MetaMLFlowClient(work / "other").register_artifact("elsewhere", b"x", "dataset")
    answer = two("diff", "bikes/rides@1", "elsewhere", "--other-store", "other", "--json")
    assert json.loads(answer.out)["elsewhere"] == f"file://{work / 'other'}"
    assert two("diff", "bikes/rides@1", "elsewhere").code == 3
    wrong = two("diff", "bikes/rides@1", "elsewhere", "--other-option", "a=1")
    assert (wrong.code, "--other-store" in wrong.err) == (2, True)


@pytest.mark.full
def test_on_a_terminal_it_is_a_text_with_colours(two, work):
    code, shown = on_a_terminal("diff", "bikes/rides@1", "bikes/rides@2", "--store", "store", cwd=work)
    assert code == 1
    assert "\x1b[32m  + rain  double\x1b[0m" in shown
    assert "bikes/rides@1 -> bikes/rides@2" in shown
    _, plain = on_a_terminal("diff", "bikes/rides@1", "bikes/rides@1", "--store", "store", cwd=work, NO_COLOR="1")
    assert plain.split() == ["bikes/rides@1", "->", "bikes/rides@1", "no", "differences"]


# --- update-metadata and copy -----------------------------------------------------------------------------------------


def test_metadata_are_corrected_and_the_version_is_printed(two):
    answer = two("update-metadata", "bikes/rides@2", "--meta", "rows=4", "--remove", "city", "--note", "mistyped")
    assert (answer.code, answer.out) == (0, "bikes/rides@3\n")
    made = MetaMLFlowClient("store").get_artifact("bikes/rides@3")
    assert made.metadata == {"rows": 4}
    assert made.notes.description.startswith("mistyped\n\nMetadata of bikes/rides@2")
    again = json.loads(two("update-metadata", "bikes/rides@2", "--meta", "rows=4", "--remove", "city", "--json").out)
    assert (again["kind"], again["version"]) == ("artifact", 3)


def test_a_dry_run_shows_what_would_be_published(two):
    answer = two("update-metadata", "bikes/rides", "--meta", "rows=4", "--dry-run")
    assert answer.out.splitlines() == [
        "bikes/rides@3\tbikes/rides@2\tpublish\t1\t43",
        'metadata.city\t"Ulm"',
        "metadata.rows\t4",
    ]
    assert two("copy", "bikes/rides@1", "registry/rides", "--dry-run").out == (
        "registry/rides@1\tbikes/rides@1\tpublish\t1\t22\n"
    )
    document = json.loads(two("copy", "bikes/rides@1", "registry/rides", "--dry-run", "--json").out)
    assert (document["kind"], document["publishes"]) == ("version-plan", True)
    assert versions() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["update-metadata", "bikes/rides@1", "--meta", "rows=4"], 4, "name its number with --expected."),
        (["update-metadata", "bikes/rides@2"], 2, "there is nothing to change"),
        (["update-metadata", "bikes/rides@2", "--remove", "no"], 2, "--remove: the metadata have no 'no'"),
        (["update-metadata", "bikes/rides@2", "--meta", "a=1", "--expected", "0"], 2, "--expected"),
        (["update-metadata", "bikes/rides@9", "--meta", "a=1"], 3, "has no version 9"),
        (["copy", "bikes/rides@2", "bikes/rides"], 2, "roll back to it"),
        (["copy", "bikes/rides@2", "b d"], 2, "is no artifact name"),
        (
            ["copy", "bikes/rides@2", "new", "--expected", "1"],
            4,
            "expected version 1 to be the newest, but there is none",
        ),
    ],
)
def test_what_is_refused_publishes_nothing(two, arguments, code, said):
    answer = two(*arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert versions() == [1, 2]


def test_a_copy_is_published_under_the_other_name_and_printed(two):
    two("alias", "set", "bikes/rides", "best", "1")
    answer = two("copy", "bikes/rides@best", "registry/rides", "--note", "approved", "--expected", "0")
    assert (answer.code, answer.out) == (0, "registry/rides@1\n")
    made = MetaMLFlowClient("store").get_artifact("registry/rides")
    assert [(str(used.name), used.version, used.role) for used in made.inputs] == [("bikes/rides", 1, "copied_from")]
    assert made.notes.description == "approved"
