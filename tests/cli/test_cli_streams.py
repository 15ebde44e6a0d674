"""Pipes, terminals and Ctrl-C."""

from __future__ import annotations

import os
import platform
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_process import COMMAND, SECONDS, call, clean_environment, files_below, plug_in, start

ENVIRONMENT = {"METAMLFLOW_STORAGE_URI": "store"}


def on_a_terminal(*arguments: str, cwd: Path, **more: str) -> tuple[int, str]:
    """Run the command with a terminal as its stdout and stderr; return its exit code and all that was shown."""
    ours, theirs = pty.openpty()
    environment = clean_environment(COLUMNS="120", **ENVIRONMENT, **more)
    process = subprocess.Popen(
        [COMMAND, *arguments], cwd=cwd, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    return process.wait(SECONDS), shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that the other side of a terminal was closed
        return b""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "big.bin").write_bytes(bytes(3_000_000))
    return tmp_path


@pytest.mark.full
def test_progress_shows_on_a_terminal_and_nowhere_else(folder):
    code, shown = on_a_terminal("register", "big", "big.bin", cwd=folder)
    assert code == 0
    assert "registering" in shown
    assert "1/1 files" in shown
    assert "3.0/3.0 MB" in shown
    assert "big@1" in shown
    for arguments, word in ((("get", "big", "out"), "fetching"), (("verify", "big"), "verifying")):
        code, shown = on_a_terminal(*arguments, cwd=folder)
        assert (code, word in shown) == (0, True)
    answer = call("register", "big", "big.bin", cwd=folder, **ENVIRONMENT)
    assert (answer.stdout, answer.stderr) == (b"big@2\n", b"")


@pytest.mark.full
def test_a_terminal_is_shown_a_table(folder):
    call("register", "some/" + "name" * 10, "big.bin", cwd=folder, **ENVIRONMENT)
    code, shown = on_a_terminal("ls", cwd=folder, NO_COLOR="1")
    assert code == 0
    title, row = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert title.split() == ["NAME", "VERSION", "TYPE", "FILES", "SIZE", "CREATED", "BY"]
    assert row.split()[:4] == ["some/" + "name" * 10, "1", "file", "1"]
    assert "3.0 MB" in row
    assert "\t" not in shown


def test_an_error_on_a_terminal_is_the_last_thing_shown(folder):
    code, shown = on_a_terminal("show", "nope", cwd=folder, NO_COLOR="1")
    assert code == 3
    assert shown.startswith("error: there is no metamlflow store")


@pytest.mark.full
def test_stdin_is_registered(folder):
    content = os.urandom(2_500_000)
    assert call("register", "piped", "-", cwd=folder, stdin=content, **ENVIRONMENT).returncode == 0
    answer = call("get", "piped", "out", cwd=folder, **ENVIRONMENT)
    assert answer.stdout == b"out/piped\n"
    assert (folder / "out/piped").read_bytes() == content
    with (folder / "big.bin").open("rb") as redirected:
        command = [COMMAND, "register", "piped", "-", "--if-unchanged", "reuse"]
        subprocess.run(command, cwd=folder, stdin=redirected, env=clean_environment(**ENVIRONMENT), check=True)
    call("get", "piped@2", "again", cwd=folder, **ENVIRONMENT)
    assert (folder / "again/piped").read_bytes() == bytes(3_000_000)


def until_it_waits_for_input(process: subprocess.Popen[bytes]) -> None:
    """Return once one of its threads is inside select(), as for its input; where no kernel tells, after a while."""
    select = {"x86_64": "270", "aarch64": "72"}.get(platform.machine())
    if sys.platform != "linux" or select is None:
        time.sleep(1.5)
        return
    end = time.monotonic() + SECONDS
    threads = Path(f"/proc/{process.pid}/task")
    while not any(path.read_text().startswith(f"{select} ") for path in threads.glob("*/syscall")):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.full
@pytest.mark.parametrize(
    "arrived",
    [
        pytest.param(b"", id="before any data", marks=pytest.mark.full),
        pytest.param(b"x" * 1_500_000, id="in the middle"),
    ],
)
def test_ctrl_c_ends_at_once_with_130_and_leaves_nothing(folder, arrived):
    (folder / "spool").mkdir()
    variables = {"METAMLFLOW_TMPDIR": str(folder / "spool"), **ENVIRONMENT}
    call("init", cwd=folder, **ENVIRONMENT)
    before = files_below(folder)
    process = start("register", "x", "-", cwd=folder, variables=variables)
    process.stdin.write(arrived)
    process.stdin.flush()
    until_it_waits_for_input(process)
    process.send_signal(signal.SIGINT)
    # Its stdin stays open: a Ctrl-C must not have to wait for the end of the data.
    assert process.wait(SECONDS) == 130
    process.stdin.close()
    assert (process.stdout.read(), process.stderr.read()) == (b"", b"error: interrupted\n")
    process.stdout.close()
    process.stderr.close()
    assert files_below(folder) == before
    assert call("show", "x", cwd=folder, **ENVIRONMENT).returncode == 3


@pytest.mark.full
def test_a_reader_that_stops_ends_the_command_quietly(folder):
    (folder / "many").mkdir()
    for number in range(2_000):  # more than a pipe holds
        (folder / "many" / f"{number:050}").touch()
    call("register", "many", "many", cwd=folder, **ENVIRONMENT)
    for arguments in (["show", "many", "--entries", "-1"], ["show", "many", "--entries", "-1", "--json"]):
        process = start(*arguments, "--store", "store", cwd=folder)
        assert process.stdout.readline()
        process.stdout.close()
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (141, b"")


@pytest.mark.full
def test_a_reader_that_is_gone_already_ends_the_command_quietly(folder):
    call("register", "x", "big.bin", cwd=folder, **ENVIRONMENT)
    for arguments in (["ls", "--store", "store"], ["demo"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = start(*arguments, cwd=folder, stdout=writing)
        os.close(writing)
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (141, b""), arguments


def test_errors_that_nobody_reads_end_the_command_quietly(folder):
    for arguments in (["ls"], ["nope"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = start(*arguments, cwd=folder, stderr=writing)
        os.close(writing)
        out, _ = process.communicate(timeout=SECONDS)
        assert (process.returncode, out) == (141, b""), arguments


def test_a_broken_connection_to_the_storage_is_not_taken_for_a_closed_output(folder):
    plug_in(folder / "packages", "raise BrokenPipeError(32, 'Broken pipe')")
    answer = call("ls", "--store", "plugged://x/y", cwd=folder, PYTHONPATH=str(folder / "packages"))
    assert (answer.returncode, answer.stderr) == (5, b"error: Broken pipe\n")


@pytest.mark.full
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_fault(folder, closed):
    call("register", "x", "big.bin", cwd=folder, **ENVIRONMENT)
    answer = subprocess.run(
        ["bash", "-c", f'"{COMMAND}" ls {closed}'],
        cwd=folder, env=clean_environment(**ENVIRONMENT), capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, b"")


@pytest.mark.full
def test_a_path_that_is_no_utf_8_is_printed_as_it_is(folder):
    call("register", "x", "big.bin", cwd=folder, **ENVIRONMENT)
    answer = subprocess.run(
        [COMMAND, "get", "x", b"caf\xe9"],
        cwd=folder, env=clean_environment(LC_ALL="C.UTF-8", **ENVIRONMENT), capture_output=True, check=False,
    )  # fmt: skip
    assert answer.stdout == b"caf\xe9/big.bin\n"
    assert Path(os.fsdecode(os.path.join(os.fsencode(folder), b"caf\xe9/big.bin"))).exists()  # noqa: PTH118


@pytest.mark.full
def test_an_old_locale_spoils_no_output(folder):
    (folder / "ünï.txt").write_text("x", encoding="utf-8")
    call("register", "x", "ünï.txt", "--meta", "who=Zoë", cwd=folder, LC_ALL="C.UTF-8", **ENVIRONMENT)
    for arguments in (("show", "x"), ("show", "x", "--json"), ("get", "x", "out")):
        answer = call(*arguments, cwd=folder, PYTHONIOENCODING="ascii", **ENVIRONMENT)
        assert (answer.returncode, answer.stderr) == (0, b"")


def test_help_loads_nothing_that_it_does_not_need():
    code = (
        "import sys; sys.argv = ['metamlflow', '--help']\n"
        "from metamlflow.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.splitlines()[-1].split())
    assert "typer" in loaded
    assert not loaded & {"metamlflow.client", "fsspec", "rich", "pyarrow", "pandas", "numpy"}


def test_help_takes_less_than_four_tenths_of_a_second(folder):
    fastest = SECONDS
    for _ in range(10):  # the best of several, in processor time, since others are at work
        began = os.times()
        call("--help", cwd=folder)
        ended = os.times()
        fastest = min(
            fastest, ended.children_user - began.children_user + ended.children_system - began.children_system
        )
        if fastest < 0.4:
            return
    pytest.fail(f"metamlflow --help took {fastest:.2f} s at best")
