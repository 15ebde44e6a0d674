"""Every exit code, from a process of its own, and no traceback with any of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_process import call, damage, plug_in

CASES = {
    "good": (0, ("ls",)),
    "a check failed": (1, ("verify", "damaged")),
    "damaged content is not handed out": (1, ("get", "damaged", "out")),
    "the place holds something that is no store": (1, ("init", "--store", "data")),
    "no command": (2, ()),
    "an unknown command": (2, ("lss",)),
    "an unknown option": (2, ("ls", "--nope")),
    "a missing argument": (2, ("register", "x")),
    "an invalid name": (2, ("get", "no such name")),
    "an unknown scheme": (2, ("ls", "--store", "nope://b/p")),
    "stdin and a file": (2, ("register", "x", "-", "data/a.txt")),
    "an unknown name": (3, ("show", "nope")),
    "an unknown version": (3, ("show", "intact@7")),
    "an unknown path": (3, ("get", "intact", "out", "--path", "nope")),
    "no such file": (3, ("register", "x", "nope.csv")),
    "no store": (3, ("ls", "--store", "nowhere")),
    "something is in the way": (4, ("get", "intact", "data")),
    "another grace": (4, ("init", "--grace", "1d")),
    "the storage fails": (5, ("register", "x", "data/a.txt", "--store", "data/a.txt/store")),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    (folder / "data/a.txt").write_text("intact", encoding="utf-8")
    (folder / "b.csv").write_text("damaged", encoding="utf-8")
    for name, file in (("intact", "data/a.txt"), ("damaged", "b.csv")):
        assert call("register", name, file, "--store", "store", cwd=folder).returncode == 0
    damage(folder / "store", ".csv")
    return folder


def rows():
    """Each case; the first of each code is enough for a quick look."""
    first = {code: case for case, (code, _) in reversed(CASES.items())}
    quick = set(first.values())
    return [pytest.param(*CASES[case], id=case, marks=() if case in quick else pytest.mark.full) for case in CASES]


@pytest.mark.parametrize(("code", "arguments"), rows())
def test_the_exit_code_says(prepared, code, arguments):
    answer = call(*arguments, cwd=prepared, METAMLFLOW_STORAGE_URI="store")
    assert answer.returncode == code, answer.stderr
    assert b"Traceback" not in answer.stderr
    if code > 1:
        assert answer.stdout == b""
        assert answer.stderr.startswith((b"error: ", b"Usage: "))
    assert not (prepared / "out").exists()


@pytest.mark.full
def test_debug_shows_the_traceback_before_or_after_the_command(prepared):
    for arguments in (("--debug", "show", "nope"), ("show", "nope", "--debug")):
        answer = call(*arguments, cwd=prepared, METAMLFLOW_STORAGE_URI="store")
        assert answer.returncode == 3
        assert b"Traceback" in answer.stderr
        assert b"\nerror: " in answer.stderr


def test_a_fault_below_is_told_as_a_fault_and_not_as_a_traceback(tmp_path: Path):
    plug_in(tmp_path / "packages", "raise KeyError('oops')")
    answer = call("ls", "--store", "plugged://x/y", cwd=tmp_path, PYTHONPATH=str(tmp_path / "packages"))
    assert answer.returncode == 70
    assert answer.stderr.startswith(b"error: KeyError: 'oops'\nhint: ")
    assert b"Traceback" not in answer.stderr


def test_a_full_disk_behind_stdout_is_an_error(prepared):
    with Path("/dev/full").open("wb") as full:
        answer = call("ls", cwd=prepared, METAMLFLOW_STORAGE_URI="store", stdout=full)
    assert answer.returncode == 5
    assert answer.stderr.startswith(b"error: No space left")
