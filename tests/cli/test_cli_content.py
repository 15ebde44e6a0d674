"""``cat``, ``open`` and ``ls PREFIX/``: what they print, and how they end."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from cli_process import call, damage
from test_cli_terminals import on_a_terminal

from metamlflow import MetaMLFlowClient


@pytest.fixture
def filled(ask, rides, work):
    """Beside ``bikes/rides``: a model of two files with an alias, and files of odd kinds."""
    client = MetaMLFlowClient("store", cache_dir=work / "cache")
    files = {"model.json": b'{"weights": [1]}', "sub/page.html": b"<script>", "notes.md": b"a \x1b[31mred\r\nline\n"}
    client.register_artifact("bikes/model", files, "model")
    client.set_alias("bikes/model", "production", 1)
    client.register_artifact("bikesheds", b"x")
    client.register_artifact("binary", bytes(range(256)) * 5_000)
    return ask


@pytest.mark.full
def test_a_file_of_an_alias_is_written_to_stdout_byte_by_byte(filled, work):
    done = call("cat", "bikes/model@production", "model.json", "--store", "store", cwd=work)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"weights": [1]}', b"")
    whole = call("cat", "binary", "--store", "store", cwd=work)
    assert whole.stdout == bytes(range(256)) * 5_000


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bikes/model"], 2, "which file is meant?"),
        (["bikes/model"], 2, "Give PATH, such as 'model.json'"),
        (["bikes/model", "no.json"], 3, "has no file 'no.json'"),
        (["bikes/model@staging", "model.json"], 3, "production"),
        (["bikes/none"], 3, "there is no artifact"),
    ],
)
def test_a_file_that_is_not_there_is_an_error_that_says_what_is(filled, arguments, code, said):
    answer = filled("cat", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_damaged_content_ends_with_an_error(filled, work):
    MetaMLFlowClient("other").register_artifact("a", b"text\n" * 10)
    damage(work / "other")
    done = call("cat", "a", "--store", "other", cwd=work)
    assert done.returncode == 1
    assert b"error:" in done.stderr


@pytest.mark.full
def test_a_terminal_shows_text_with_its_control_characters_escaped_and_nothing_binary(filled, work):
    code, shown = on_a_terminal("cat", "bikes/model", "notes.md", "--store", "store", cwd=work)
    assert (code, shown) == (0, "a \\x1b[31mred\nline\n")
    code, shown = on_a_terminal("cat", "binary", "--store", "store", cwd=work, NO_COLOR="1")
    assert code == 2
    assert "is not shown on a terminal" in shown
    assert "\x00" not in shown


def program(work: Path, text: str) -> Path:
    """A program that can be called."""
    made = work / "bin" / "viewer"
    made.parent.mkdir(exist_ok=True)
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(made.stat().st_mode | stat.S_IXUSR)
    return made


def test_a_verified_copy_is_opened_with_the_named_program_or_that_of_the_system(filled, work, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(work / "cache"))
    viewer = program(work, f'echo "$@" > {work}/seen; cat "$(eval echo \\$$#)" > {work}/content')
    answer = filled("open", "bikes/model@production", "model.json", "--with", f"{viewer} --fast")
    assert answer.code == 0, answer.err
    assert (work / "seen").read_text() == f"--fast {answer.out}"
    assert (work / "content").read_bytes() == b'{"weights": [1]}'
    for name in ("xdg-open", "open"):
        viewer.with_name(name).write_bytes(viewer.read_bytes())
        viewer.with_name(name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{viewer.parent}{os.pathsep}{os.environ['PATH']}")
    document = json.loads(filled("open", "bikes/model", "notes.md", "--json").out)
    assert (document["kind"], Path(document["path"]).name) == ("opened", "notes.md")
    assert (work / "content").read_bytes() == b"a \x1b[31mred\r\nline\n"
    (work / "seen").unlink()
    refused = filled("open", "bikes/model", "sub/page.html")
    assert (refused.code, "could run code" in refused.err) == (2, True)
    printed = filled("open", "bikes/model", "sub/page.html", "--print")
    assert Path(printed.out.strip()).read_bytes() == b"<script>"
    assert not (work / "seen").exists()


def test_a_program_that_fails_or_is_missing_is_told(filled, work, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(work / "cache"))
    failed = filled("open", "bikes/rides", "--with", str(program(work, "exit 3")))
    assert (failed.code, "ended with 3" in failed.err) == (2, True)
    missing = filled("open", "bikes/rides", "--with", "no-such-program")
    assert (missing.code, "was not found" in missing.err) == (2, True)


def test_names_that_begin_with_a_prefix_are_listed(filled):
    assert [line.split("\t")[0] for line in filled("ls", "bikes/").out.splitlines()] == ["bikes/model", "bikes/rides"]
    assert (filled("ls", "none/").code, filled("ls", "none/").out) == (0, "")
    assert [one["name"] for one in json.loads(filled("ls", "bikes/", "--json").out)["artifacts"]] == [
        "bikes/model",
        "bikes/rides",
    ]
    wrong = filled("ls", "b d/")
    assert (wrong.code, "no artifact name begins with 'b d/'" in wrong.err) == (2, True)
