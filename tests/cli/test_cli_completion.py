"""A Tab completes commands, options, names, versions and aliases, in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import subprocess
import time

import pytest
from cli_process import COMMAND, SECONDS, clean_environment

from metamlflow import MetaMLFlowClient

BIN = os.path.dirname(COMMAND)  # noqa: PTH120 (joined into PATH)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with completion installed for bash, and a store in its folder ``store``."""
    folder = tmp_path_factory.mktemp("home")
    client = MetaMLFlowClient(folder / "store")
    for name in ("bikes/rides", "bikes/rides", "bikes/model", "Trains"):
        client.register_artifact(name, os.urandom(8))
    client.set_alias("bikes/rides", "production", 1)
    client.set_alias("bikes/rides", "old", 1)
    client.set_alias("bikes/rides", "old", None)
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} --install-completion; true"],
        env=environment(folder), cwd=folder, capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    assert "bash completion installed" in done.stdout, done.stderr
    with (folder / ".bashrc").open("a", encoding="utf-8") as file:
        file.write("PS1='ready> '\n")
    return folder


def environment(home) -> dict[str, str]:
    path = f"{BIN}:{os.environ['PATH']}"
    return clean_environment(HOME=str(home), METAMLFLOW_STORAGE_URI="store", PATH=path, TERM="dumb")


OFFERED = {
    "commands": (["metamlflow", "his"], {"history"}),
    "options": (["metamlflow", "verify", "--obj"], {"--objects-per-second"}),
    "choices": (["metamlflow", "verify", "--level", "c"], {"checksum"}),
    "names": (["metamlflow", "show", "b"], {"bikes/model", "bikes/rides"}),
    "names of a listing": (["metamlflow", "ls", "T"], {"Trains"}),
    "names of a history": (["metamlflow", "history", "bikes/r"], {"bikes/rides"}),
    "names below a group": (["metamlflow", "pointer", "refresh", "bikes/m"], {"bikes/model"}),
    "versions and aliases": (
        ["metamlflow", "get", "bikes/rides", "@", ""],
        {"@1", "@2", "@latest", "@production"},
    ),
    "versions behind the sign": (["metamlflow", "get", "bikes/rides", "@"], {"@1", "@2", "@latest", "@production"}),
    "aliases by their beginning": (["metamlflow", "get", "bikes/rides", "@", "pr"], {"@production"}),
    "several references": (["metamlflow", "verify", "bikes/rides", "@", "1", "bikes/m"], {"bikes/model"}),
    "behind an option": (["metamlflow", "show", "--store", "file", ":", "//./store", "T"], {"Trains"}),
    "behind an option with a sign": (["metamlflow", "show", "--store", "=", "store", "T"], {"Trains"}),
    "nothing in a bucket": (["metamlflow", "show", "--store", "s3", ":", "//bucket/x", "T"], set()),
    "nothing where no store is": (["metamlflow", "show", "--store", "nowhere", "T"], set()),
}


@pytest.mark.full
@pytest.mark.parametrize(("words", "expected"), OFFERED.values(), ids=OFFERED)
def test_bash_is_offered(home, words, expected):
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source ~/.bashrc; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        "_metamlflow_completion metamlflow; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(home), cwd=home, capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""
    assert not (home / "nowhere").exists()


@pytest.mark.full
def test_a_tab_in_an_interactive_bash_completes_the_version(home):
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--rcfile", str(home / ".bashrc"), "-i"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=home, env=environment(home), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        assert "ready>" in shown_until(ours, "ready>")
        os.write(ours, b"metamlflow show bikes/rides@prod\t --jso\t\r")
        shown = shown_until(ours, '"files": 1')
        assert '"version": 1' in shown
        assert '"name": "bikes/rides"' in shown
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def shown_until(terminal: int, text: str) -> str:
    shown, end = "", time.monotonic() + SECONDS
    while text not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode()
    return shown


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script_that_is_shown(home, shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} on this machine")
    script = "metamlflow --show-completion > shown; source ./shown"
    done = subprocess.run(
        [path, "-c", ("autoload -U compinit; compinit -u; " if shell == "zsh" else "") + script],
        env=environment(home), cwd=home, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"complete_{shell}" in (home / "shown").read_text()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_zsh_and_fish_ask_is_answered_with_whole_words(home, shell):
    variables = {"_METAMLFLOW_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "metamlflow show bikes/rides@p"}
    asked = subprocess.run(
        [COMMAND], env=environment(home) | variables | {"_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        cwd=home, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert "bikes/rides@production" in asked.stdout
    assert asked.stderr == ""


@pytest.mark.parametrize("place", ["s3://bucket/x", "S3://bucket/x", "gs://bucket/x", "{url}/x"])
def test_a_tab_asks_nobody_on_a_network(home, place):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        variables = {
            "METAMLFLOW_STORAGE_URI": place.format(url=url),
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
            "STORAGE_EMULATOR_HOST": url,
            "_METAMLFLOW_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "metamlflow show b",
        }  # fmt: skip
        asked = subprocess.run(
            [COMMAND], env=environment(home) | variables,
            cwd=home, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert "bikes" not in asked.stdout
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_home_that_cannot_be_written_is_told(home):
    (home / "locked").write_text("", "utf-8")
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} --install-completion; exit $?"],
        env=environment(home / "locked"), cwd=home, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
