"""Run records and edges as the file system shows them, and scripts that run in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


class RawRuns:
    """The folder of runs in a store: no code of the project is asked."""

    def __init__(self, store: Path) -> None:
        self.folder = store / "runs"

    def ids(self) -> list[str]:
        """Every run, in the order of their beginnings."""
        starts = [json.loads(path.read_bytes()) for path in self.folder.glob("*/start.json")]
        return [start["run_id"] for start in sorted(starts, key=lambda start: start["created_at"])]

    def start(self, run_id: str) -> dict:
        return json.loads((self.folder / run_id / "start.json").read_bytes())

    def end(self, run_id: str) -> dict | None:
        path = self.folder / run_id / "end.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def input_records(self, run_id: str) -> list[dict]:
        records = [json.loads(path.read_bytes()) for path in (self.folder / run_id / "inputs").glob("*.json")]
        return sorted(records, key=lambda record: record["created_at"])

    def inputs(self, run_id: str) -> list[str]:
        """What it used, as ``name@version``, with the role where there is one."""
        return [shown(record["input"]) for record in self.input_records(run_id)]

    def outputs(self, run_id: str) -> list[str]:
        return [shown(output) for output in self.end(run_id)["outputs"]]

    def everything(self) -> str:
        """The text of all files in the store that are no content."""
        files = (path for path in self.folder.parent.rglob("*") if path.is_file() and "blobs" not in path.parts)
        return "\n".join(path.read_text() for path in files)


def shown(used: dict) -> str:
    reference = f"{used['name']}@{used['version']}"
    return f"{used['role']}={reference}" if used.get("role") else reference


@pytest.fixture
def runs(store_folder) -> RawRuns:
    return RawRuns(store_folder)


@pytest.fixture
def manifest_inputs(raw):
    """What a manifest on disk names as its inputs, as ``name@version``, with the role where there is one."""

    def of(name: str, version: int = 1) -> list[str]:
        return [shown(used) for used in raw.manifest(name, version)["inputs"]]

    return of


@pytest.fixture
def script(store_folder, tmp_path):
    """Run a script in a process of its own: ``script(text, *arguments, cwd=…, **environment)``; return what became."""

    def run(text: str, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
        folder = cwd or tmp_path / "scripts"
        folder.mkdir(exist_ok=True)
        file = folder / "job.py"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        return subprocess.run(
            [sys.executable, file, store_folder, *arguments],
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
