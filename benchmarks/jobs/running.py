"""Runs a tool in a process of its own and tells what that took."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("children") / "launch.py"
REASON_CHARACTERS = 300


class RunFailedError(Exception):
    """A tool did not do its job; the message says why."""


@dataclass(frozen=True)
class Command:
    """A program to run.

    Attributes:
        environment: variables beside those of the server.
        reports: the program measures its call itself and prints JSON as its last line.
    """

    argv: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    reports: bool = False


@dataclass(frozen=True)
class Measurement:
    """Wall and CPU seconds (user and system) of a job, and the peak resident bytes of the whole process."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    reported: Mapping[str, Any]


def run(command: Command, environment: Mapping[str, str], folder: Path, *, timeout: float) -> Measurement:
    """Run a command to its end.

    Args:
        command: the program.
        environment: all variables of the process but the command's own.
        folder: where it runs, and where what it prints goes.
        timeout: seconds after which it is ended.

    Raises:
        RunFailedError: it could not start, ended with another status than 0, or did not end in time.
    """
    result, printed, complaints = (folder / name for name in ("figures.txt", "stdout.txt", "stderr.txt"))
    argv = [sys.executable, "-I", "-S", LAUNCHER, result, *command.argv]
    with printed.open("wb") as out, complaints.open("wb") as err:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**environment, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        _wait(process, timeout)
    if process.returncode:
        raise RunFailedError(f"could not be launched: {_last_lines(complaints)}")
    wall, cpu, peak, status = result.read_text().split()
    if int(status):
        raise RunFailedError(f"exit status {status}: {_last_lines(complaints) or _last_lines(printed)}")
    reported = _reported(printed) if command.reports else {}
    return Measurement(
        wall_s=reported.get("wall_s", float(wall)),
        cpu_s=reported.get("cpu_s", float(cpu)),
        peak_bytes=int(peak),
        reported=reported,
    )


def _wait(process: subprocess.Popen[bytes], timeout: float) -> None:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise RunFailedError(f"did not end within {timeout:.0f} s") from None
    finally:
        # Also on Ctrl-C. While it has not been waited for, its number cannot be another's.
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _reported(printed: Path) -> Mapping[str, Any]:
    lines = printed.read_text(errors="replace").splitlines()
    # A child that only prepares has nothing to report.
    return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}


def _last_lines(file: Path) -> str:
    """The end of what was printed, on one line."""
    text = " ".join(file.read_text(errors="replace").split())
    return text if len(text) <= REASON_CHARACTERS else f"… {text[-REASON_CHARACTERS:]}"
