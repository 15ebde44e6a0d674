"""Runs the command line as a process of its own, as a shell does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).parent / "metamlflow")
SECONDS = 60


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change how the command behaves or looks."""
    dropped = ("METAMLFLOW_", "PYTHON", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"TERM": "xterm-256color"} | more


def call(*arguments: str | Path, cwd: Path, stdin: bytes = b"", **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run ``metamlflow`` in a folder, its streams being pipes."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        env=clean_environment(**more),
        timeout=SECONDS,
        check=False,
    )


def start(*arguments: str | Path, cwd: Path, **more: Any) -> subprocess.Popen[bytes]:
    """Start ``metamlflow`` in a folder and do not wait for it."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = clean_environment(**more.pop("variables", {}))
    return subprocess.Popen([COMMAND, *map(str, arguments)], cwd=cwd, env=environment, **streams | more)


def files_below(folder: Path) -> set[str]:
    """The relative paths of all files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def damage(store: Path, name_ends: str = "") -> Path:
    """Flip a bit in the one blob of a store whose key ends so; return its path."""
    (blob,) = [path for path in (store / "blobs").rglob(f"*{name_ends}") if path.is_file()]
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    return blob


def plug_in(packages: Path, statement: str) -> None:
    """Install a backend for the scheme ``plugged``, which does what no plug-in should."""
    info = packages / "plugged-1.dist-info"
    info.mkdir(parents=True)
    (packages / "plugged.py").write_text(f"def open_backend(url, options):\n    {statement}\n", encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[metamlflow.backends]\nplugged = plugged:open_backend\n", encoding="utf-8")
