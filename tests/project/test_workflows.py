"""What the workflows ask of ``.ci/run`` is what it does."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT

RUN = re.compile(r"bash \.ci/run\b([^\n]*)")


def asked() -> list[tuple[str, list[str]]]:
    """Each call of ``.ci/run`` in a workflow, with the steps that it names."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    return [(file.name, call[1].split()) for file in files for call in RUN.finditer(file.read_text("utf-8"))]


def listed() -> list[str]:
    """The names of the steps."""
    told = subprocess.run(
        ["bash", ".ci/run", "--list"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout
    return [line.split()[0] for line in told.splitlines() if line != "--"]


def test_every_workflow_that_runs_something_calls_the_steps():
    assert {file for file, _ in asked()} >= {"benchmark.yml", "ci.yml", "docs.yml", "release.yml"}


@pytest.mark.parametrize(("file", "steps"), asked())
def test_a_workflow_names_steps_that_exist_and_begins_with_an_environment(file, steps):
    assert set(steps) <= set(listed())
    # A runner has nothing installed: only all steps together, and those that need no package, come without it.
    assert not steps or steps[0] == "install" or set(steps) <= {"localstack", "chromium", "radosgw"}


def test_a_step_sees_the_variables_of_the_gate_and_none_of_the_library(tmp_path):
    fake = tmp_path / "mkdocs"
    fake.write_text('#!/bin/sh\necho "$@"\necho "store: $METAMLFLOW_STORAGE_URI"\n', encoding="utf-8")
    fake.chmod(0o755)
    told = subprocess.run(
        ["bash", ".ci/run", "docs"],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "METAMLFLOW_CI_SITE": str(tmp_path / "site"),
            "METAMLFLOW_STORAGE_URI": "s3://elsewhere/store",
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert f"--site-dir {Path(tmp_path / 'site')}" in told
    assert "store: \n" in told
