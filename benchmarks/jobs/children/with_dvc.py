"""One job with DVC: its commands ``add`` and ``push``, or ``pull`` with nothing cached, in a repository without git.

The commands are called as ``dvc`` calls them, but in a process that has called them before on a small file, so that
most of a second of imports for each command is not counted. See stopwatch.py for what a child is given and reports.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Imported by the commands when they first see a bucket.
import aiobotocore.session
import dvc_s3
import s3fs
from dvc.cli import main as run_command
from stopwatch import Task, run_timed

LAZY = (aiobotocore.session, dvc_s3, s3fs)


def main() -> None:
    """Do what the task says."""
    task = Task.read()
    repository = task.scratch / "repository"
    tracked = repository / task.source.name
    repository.mkdir(exist_ok=True)
    if task.step != "prepare":
        rehearse()
    os.chdir(repository)
    if task.step == "prepare":
        make_repository(f"s3://{task.bucket}/{task.prefix}")
        call("remote", "modify", "store", "endpointurl", task.endpoint)
        call("remote", "modify", "store", "region", task.region)
    elif task.step == "fetch":
        forget(tracked, task.scratch / "site-cache")
        run_timed(lambda: call("pull"))
        task.destination.mkdir()
        tracked.rename(task.destination if tracked.is_dir() else task.destination / tracked.name)
    else:
        stage(task.source, tracked)
        run_timed(lambda: publish(tracked.name))


def publish(name: str) -> None:
    """Add what the repository holds under ``name``, and push it."""
    call("add", name)
    call("push")


def call(*arguments: str) -> None:
    """Run a command of DVC's; end with its exit status if it fails."""
    if status := run_command(list(arguments)):
        sys.exit(f"dvc {arguments[0]} ended with {status}")


def make_repository(remote: str) -> None:
    """Make one in the current folder."""
    call("init", "--no-scm", "--quiet")
    call("config", "core.analytics", "false")
    call("config", "core.check_update", "false")
    call("remote", "add", "--default", "store", remote)


def rehearse() -> None:
    """Publish and fetch a small file elsewhere: DVC imports hundreds of modules when it first does so."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_repository(f"{folder}/remote")
        file = Path("small.bin")
        file.write_bytes(b".")
        publish(file.name)
        forget(file)
        call("pull")


def stage(source: Path, tracked: Path) -> None:
    """Bring the repository's copy up to date and leave alone what has not changed: DVC knows it by its times."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    for file in files:
        copy = tracked / file.relative_to(source)  # of a file this is the copy itself
        if not copy.exists() or copy.stat().st_mtime_ns != file.stat().st_mtime_ns:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            shutil.copy2(file, copy)


def forget(*paths: Path) -> None:
    """Leave nothing but the small files that git would keep, as in a fresh clone; remove ``paths``, too."""
    for path in (*paths, Path(".dvc/cache"), Path(".dvc/tmp")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
