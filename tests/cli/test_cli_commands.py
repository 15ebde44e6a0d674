"""What each command does, in the store and in what it writes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import clean_environment, damage, files_below

from metamlflow import MetaMLFlowClient, __version__


def test_init_makes_a_store_with_the_grace_that_was_asked_for(work, ask):
    answer = ask("init", "--grace", "36h")
    assert (answer.code, answer.out) == (0, f"file://{work}/store\n")
    marker = json.loads((work / "store/metamlflow.json").read_text("utf-8"))
    assert marker["grace_seconds"] == 36 * 3600


def test_init_of_a_store_that_exists_does_nothing(work, ask, rides):
    before = files_below(work)
    assert ask("init").code == 0
    assert files_below(work) == before


@pytest.mark.parametrize("grace", ["7", "d", "-7d", "7 days", "0d", ""])
def test_a_grace_that_is_no_duration_is_refused(work, ask, grace):
    answer = ask("init", "--grace", grace)
    assert answer.code == 2
    assert "--grace" in answer.err
    assert not files_below(work)


def test_register_prints_the_reference_and_stores_everything_that_was_given(work, ask, rides):
    assert ask("register", "bikes/rides", "rides.csv").out == "bikes/rides@2\n"
    first = MetaMLFlowClient("./store").get_artifact("bikes/rides", 1)
    assert first.read_bytes() == rides.read_bytes()
    assert (first.artifact_type, first.metadata) == ("dataset", {"rows": 2, "city": "Ulm"})


def test_a_folder_keeps_its_paths_and_several_paths_their_names(work, ask):
    for path in ("model/a/one.txt", "model/two.txt", "notes.md"):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path, encoding="utf-8")
    assert ask("register", "folder", "model").code == 0
    assert ask("register", "several", "model/two.txt", "notes.md").code == 0
    client = MetaMLFlowClient("./store")
    assert [entry.path for entry in client.get_artifact("folder").entries] == ["a/one.txt", "two.txt"]
    assert [entry.path for entry in client.get_artifact("several").entries] == ["notes.md", "two.txt"]


def test_metadata_comes_from_a_file_and_options_override_it(work, ask, rides):
    (work / "m.json").write_text('{"rows": 1, "nested": {"a": [1, 2]}}', encoding="utf-8")
    assert ask("register", "x", "rides.csv", "--meta-file", "m.json", "--meta", "rows=2").code == 0
    assert MetaMLFlowClient("./store").get_artifact("x").metadata == {"rows": 2, "nested": {"a": [1, 2]}}


def test_unchanged_content_and_a_repeated_job_make_no_new_version(work, ask, rides):
    args = ("register", "x", "rides.csv")
    assert ask(*args).out == ask(*args, "--if-unchanged", "reuse").out == "x@1\n"
    assert ask(*args).out == "x@2\n"
    keyed = (*args, "--idempotency-key", "job-7")
    assert ask(*keyed).out == ask(*keyed).out == "x@3\n"


def test_get_brings_the_bytes_and_prints_where_they_are(work, ask, rides):
    answer = ask("get", "bikes/rides@1", "out")
    assert (answer.code, answer.out) == (0, "out/rides.csv\n")
    assert (work / "out/rides.csv").read_bytes() == rides.read_bytes()


def test_get_of_one_path_leaves_the_others(work, ask, rides):
    (work / "notes.md").write_text("hello", encoding="utf-8")
    ask("register", "two", "rides.csv", "notes.md")
    assert ask("get", "two", "out", "--path", "notes.md").out == "out/notes.md\n"
    assert files_below(work / "out") == {"notes.md"}


def test_get_overwrites_only_when_told(work, ask, rides):
    rides.write_text("mine", encoding="utf-8")
    refused = ask("get", "bikes/rides")
    assert (refused.code, rides.read_text("utf-8")) == (4, "mine")
    assert "--overwrite" in refused.err
    assert ask("get", "bikes/rides", "--overwrite").out == "rides.csv\n"
    assert rides.read_text("utf-8").startswith("day,rides")


def test_ls_lists_the_latest_of_each_name_or_all_versions_of_one(work, ask, rides):
    ask("register", "bikes/rides", "rides.csv")
    ask("register", "a", "rides.csv", "--type", "model")
    columns = [line.split("\t") for line in ask("ls").out.splitlines()]
    assert [(name, version, kind) for name, version, kind, *_ in columns] == [
        ("a", "1", "model"),
        ("bikes/rides", "2", "file"),
    ]
    assert columns[0][3:5] == ["1", str(rides.stat().st_size)]
    assert columns[0][5].endswith("Z")
    assert columns[0][6] == "ada"
    assert [line.split("\t")[1] for line in ask("ls", "bikes/rides").out.splitlines()] == ["1", "2"]
    assert ask("ls", "--type", "model").out.startswith("a\t")
    assert len(ask("ls", "--type", "model").out.splitlines()) == 1


def test_ls_of_a_store_without_artifacts_writes_nothing(ask):
    ask("init")
    answer = ask("ls")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_names_are_never_cut_off_in_a_pipe(work, ask, rides):
    name = "a" * 100 + "/" + "b" * 99
    ask("register", name, "rides.csv")
    assert ask("ls", name).out.split("\t")[0] == name


def test_show_tells_facts_metadata_and_files(work, ask, rides):
    facts = dict(line.split("\t", 1) for line in ask("show", "bikes/rides").out.splitlines())
    digest = hashlib.sha256(rides.read_bytes()).hexdigest()
    assert facts["name"] == "bikes/rides"
    assert facts["metadata.rows"] == "2"
    assert facts["metadata.city"] == '"Ulm"'
    assert facts["entry"] == f"rides.csv\t{rides.stat().st_size}\tsha256:{digest}"
    assert Path(facts["stored"].removeprefix("file://")).read_bytes() == rides.read_bytes()


def test_show_lists_as_many_files_as_asked_for(work, ask):
    (work / "many").mkdir()
    for number in range(30):
        (work / f"many/{number:02}").write_text(str(number), encoding="utf-8")
    ask("register", "many", "many")

    def listed(*arguments: str) -> int:
        return ask("show", "many", *arguments).out.count("\nentry\t")

    assert [listed(), listed("--entries", "0"), listed("--entries", "25"), listed("--entries", "-1")] == [10, 0, 25, 30]


def test_metadata_cannot_forge_a_line_or_move_the_cursor(work, ask, rides):
    ask("register", "x", "rides.csv", "--meta", "note=a\x1b[2J\nname\tforged\u202e")
    out = ask("show", "x").out
    assert sum(line.startswith("name\t") for line in out.splitlines()) == 1
    assert not {"\x1b", "\u202e"} & set(out)


@pytest.mark.parametrize("level", ["full", "stat"])
def test_verify_passes_what_is_intact(work, ask, rides, level):
    answer = ask("verify", "bikes/rides", "--level", level)
    assert answer.code == 0
    assert answer.out.startswith(f"bikes/rides@1\tok\t{level}\t1\t")


def test_verify_names_each_finding_and_goes_on(work, ask, rides):
    (work / "other.txt").write_text("other", encoding="utf-8")
    ask("register", "other", "other.txt")
    blob = damage(work / "store", ".csv")
    answer = ask("verify", "bikes/rides", "other")
    verdict, finding, other = (line.split("\t") for line in answer.out.splitlines())
    assert answer.code == 1
    assert verdict[:2] == ["bikes/rides@1", "failed"]
    assert finding[:4] == ["bikes/rides@1", "modified", "rides.csv", str(blob.relative_to(work / "store"))]
    assert finding[5] == f"sha256:{hashlib.sha256(blob.read_bytes()).hexdigest()}"
    assert other[:2] == ["other@1", "ok"]


def test_verify_all_checks_every_version_even_beside_a_damaged_record(work, ask, rides):
    for _ in range(2):
        ask("register", "bikes/rides", "rides.csv")
    ask("register", "zebra", "rides.csv")
    assert [line.split("\t")[0] for line in ask("verify", "--all").out.splitlines()] == [
        *(f"bikes/rides@{n}" for n in (1, 2, 3)),
        "zebra@1",
    ]
    (record,) = (work / "store/artifacts/bikes/rides/_versions").glob("*_v3.json")
    record.chmod(0o600)
    record.write_text("{", encoding="utf-8")
    answer = ask("verify", "--all")
    assert answer.code == 1
    assert [line.split("\t")[:2] for line in answer.out.splitlines()] == [
        ["bikes/rides@1", "ok"],
        ["bikes/rides@2", "ok"],
        ["bikes/rides@3", "unreadable"],
        ["zebra@1", "ok"],
    ]


def test_verify_checks_nothing_if_one_of_the_names_does_not_exist(ask, rides):
    answer = ask("verify", "bikes/rides", "bikes/ride")
    assert (answer.code, answer.out) == (3, "")


@pytest.mark.parametrize("arguments", [(), ("--all", "bikes/rides")])
def test_verify_wants_either_names_or_all(ask, rides, arguments):
    assert ask("verify", *arguments).code == 2


def test_the_store_is_named_by_option_before_environment(work, ask, rides):
    ask("register", "elsewhere", "rides.csv", "--store", "./other")
    assert ask("ls", "--store", "other").out.startswith("elsewhere\t")
    assert "elsewhere" not in ask("ls").out


def test_without_a_store_the_error_says_how_to_name_one(ask, monkeypatch):
    monkeypatch.delenv("METAMLFLOW_STORAGE_URI")
    answer = ask("ls")
    assert answer.code == 2
    assert "--store" in answer.err
    assert "METAMLFLOW_STORAGE_URI" in answer.err


def test_storage_options_reach_the_backend(ask, rides):
    answer = ask("ls", "--option", "anon=true")
    assert answer.code == 2
    assert "anon" in answer.err  # the local backend, which takes none, says so


def test_the_version_is_told(ask):
    assert ask("--version").out == f"metamlflow {__version__}\n"


@pytest.mark.parametrize("command", ["init", "register", "get", "ls", "show", "verify", "demo"])
def test_every_command_explains_itself(ask, command):
    answer = ask(command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"metamlflow {command}" in answer.out
    assert "--json" in answer.out
    assert command in ask("--help").out


def test_it_runs_as_a_module_too(work, rides):
    answer = subprocess.run(
        [sys.executable, "-m", "metamlflow", "ls", "--store", "store"],
        cwd=work, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("bikes/rides\t1\tdataset\t")
    usage = subprocess.run(
        [sys.executable, "-m", "metamlflow", "ls", "--help"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert usage.stdout.startswith("Usage: metamlflow ls")
