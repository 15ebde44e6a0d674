"""One job with pins, on an S3 board; see stopwatch.py for what a child is given and reports."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Imported by pins and by fsspec when first used; a folder of pins is named before pins looks for it.
import aiobotocore.session
import pins
import s3fs
from stopwatch import Task, run_timed, run_tiny

NAME = "data"
LAZY = (aiobotocore.session, s3fs)


def main() -> None:
    """Do what the task says."""
    task = Task.read()
    # pins has no folder to fetch into but its cache: an empty one when it fetches.
    cache = task.scratch / ("fetched" if task.step == "fetch" else "cache")
    os.environ["PINS_CACHE_DIR"] = str(cache)
    board = pins.board("s3", f"{task.bucket}/{task.prefix}", storage_options=task.s3fs_options())
    if task.step == "fetch":
        found: list[str] = []
        run_timed(lambda: found.extend(board.pin_download(NAME)))
        hand_over(found, task.destination)
    elif task.step == "tiny":
        run_tiny(
            task,
            register=lambda file: board.pin_upload([str(file)], name=NAME),
            latest=lambda: board.pin_meta(NAME).version.version,
            read=lambda: Path(board.pin_download(NAME)[0]).read_bytes(),
            forget=lambda: forget(board, cache),
        )
    else:
        files = [task.source] if task.source.is_file() else sorted(task.source.iterdir())
        run_timed(lambda: board.pin_upload([str(file) for file in files], name=NAME))


def hand_over(found: list[str], destination: Path) -> None:
    """Move what was fetched to where the benchmark compares it with the source."""
    destination.mkdir(exist_ok=True)
    for path in found:
        shutil.move(path, destination / Path(path).name)


def forget(board: pins.boards.BaseBoard, cache: Path) -> None:
    """Empty both caches, as a new process on another machine would find them."""
    board.fs.fs.invalidate_cache()
    shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
