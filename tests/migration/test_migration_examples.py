"""The scripts in examples/migration, between folders; tests/emulator runs them between clouds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from full_stores import assert_same

from extras import need
from metamlflow import MetaMLFlowClient

SCRIPTS = Path(__file__).parents[2] / "examples/migration"


def run(script, *arguments, code=0, **variables) -> str:
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.full
@pytest.mark.parametrize("script", ["nightly_mirror.py", pytest.param("with_dask.py", marks=pytest.mark.full)])
def test_a_store_is_brought_and_again_only_what_is_new(light_source, tmp_path, script):
    if script == "with_dask.py":
        need("distributed")
    destination = tmp_path / "destination"
    assert "6 migrated" in run(script, light_source, destination, "--markdown", tmp_path / "report.md")
    assert_same(light_source, destination)
    assert "| a.json/model@2 | migrated |" in (tmp_path / "report.md").read_text()
    MetaMLFlowClient(light_source).register_artifact("many", b"new")
    assert "1 migrated, 6 present" in run(script, light_source, destination)
    assert_same(light_source, destination)


@pytest.mark.full
def test_a_mirror_that_is_not_the_same_is_told_every_byte(light_source, tmp_path):
    destination = tmp_path / "destination"
    run("nightly_mirror.py", light_source, destination)
    (blob,) = [p for p in destination.glob("blobs/**/*") if p.is_file() and p.stat().st_size == 3_072_000]
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.write(b"\xff")
    assert "present" in run("nightly_mirror.py", light_source, destination)
    told = run("nightly_mirror.py", light_source, destination, "--every-byte", code=1)
    assert blob.name in told
    blob.unlink()
    assert blob.name in run("nightly_mirror.py", light_source, destination, code=1)


def test_what_cannot_be_done_is_told(tmp_path):
    assert "there is no metamlflow store" in run("nightly_mirror.py", tmp_path / "none", tmp_path / "there", code=2)
    assert not (tmp_path / "there").exists()
