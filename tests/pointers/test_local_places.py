"""Rules for places of this machine hold for the folders that they name, whichever path leads there."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from test_pointer_policy_rules import BUCKET, LOCAL, allows

from metamlflow.store.catalog.pointer_policy import PointerPolicy

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and mounts are Linux's")


@pytest.fixture
def places(tmp_path):
    """Two folders beside each other, with a file in each."""
    for name in ("lake", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    return tmp_path


@contextmanager
def mounted(folder, place):
    """A process that sees one folder at the place of another as well: its number."""
    script = 'mount --bind "$1" "$2" && echo mounted && exec cat'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "-", folder, place]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    with process:
        try:
            if process.stdout.readline() != b"mounted\n":
                pytest.skip("no folder may be mounted here")
            yield process.pid
        finally:
            process.stdin.close()


def spellings(path):
    descriptor, folder = os.open(path, os.O_RDONLY), os.open(path.parent, os.O_RDONLY)
    yield from (
        f"/proc/self/root{path}",
        f"/proc/thread-self/root{path}",
        f"/proc/{os.getpid()}/root{path}",
        f"/proc/self/fd/{descriptor}",
        f"/dev/fd/{descriptor}",
        f"/proc/self/fd/{folder}/{path.name}",
        f"/proc/self/cwd{'/..' * 40}{path}",
        f"//{path}",
        f"{path.parent}/../{path.parent.name}//./{path.name}",
    )
    os.close(descriptor)
    os.close(folder)


@linux
def test_each_spelling_of_a_path_is_that_path(places):
    only_lake = PointerPolicy.parse(BUCKET, {f"file://{places}/lake": "allow"})
    not_home = PointerPolicy.parse(LOCAL, {f"file://{places}/home": "refuse"})
    for path in spellings(places / "home/x"):
        assert not allows(only_lake, f"file://{path}"), path
        assert not allows(not_home, f"file://{path}"), path
    for path in spellings(places / "lake/x"):
        assert allows(only_lake, f"file://{path}"), path
        assert allows(not_home, f"file://{path}"), path


@linux
def test_the_root_of_another_process_is_not_this_one(places):
    only_lake = PointerPolicy.parse(BUCKET, {f"file://{places}/lake": "allow"})
    not_home = PointerPolicy.parse(LOCAL, {f"file://{places}/home": "refuse"})
    with mounted(places / "home", places / "lake") as process:
        path = f"/proc/{process}/root{places}/lake/x"
        if not os.access(path, os.R_OK):
            pytest.skip("other processes' roots are not to be seen here")
        assert not allows(only_lake, f"file://{path}")
        assert not allows(not_home, f"file://{path}")
        (places / "lake/x").unlink()  # what is not there is told apart as well
        assert not allows(only_lake, f"file://{path}")
        assert not allows(not_home, f"file://{path}")


def test_a_folder_is_the_same_by_each_of_its_names(places, monkeypatch):
    """As on disks that do not tell letters apart, where no link says so."""
    honest = os.stat

    def stat(path, *arguments, **more):
        return honest(str(path).replace("HOME", "home") if isinstance(path, str) else path, *arguments, **more)

    monkeypatch.setattr(os, "stat", stat)
    not_home = PointerPolicy.parse(LOCAL, {f"file://{places}/home": "refuse"})
    assert not allows(not_home, f"file://{places}/HOME/x")
    assert not allows(not_home, f"file://{places}/HOME/not there")
    assert allows(not_home, f"file://{places}/lake/x")


@linux
def test_a_folder_that_is_mounted_twice_is_the_same(places):
    script = (
        "from metamlflow.store.catalog.pointer_policy import PointerPolicy\n"
        f"PointerPolicy.parse({LOCAL!r}, {{'file://{places}/home': 'refuse'}}).check('file://{places}/lake/x')\n"
    )
    shell = f'mount --bind "{places}/home" "{places}/lake" || exit 77; exec "{sys.executable}" -c "$1"'
    try:
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", shell, "-", script], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if b"PointerPolicyError" not in done.stderr and done.returncode not in {0, 1}:
        pytest.skip(f"no folder may be mounted here: {done.stderr.decode()[-200:]}")
    assert b"the pointer policy refuses" in done.stderr
