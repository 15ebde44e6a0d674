"""Removes every object below the task's prefix, with s3fs."""

from __future__ import annotations

import contextlib

import s3fs
from stopwatch import Task


def main() -> None:
    """Remove them; none is fine too."""
    task = Task.read()
    files = s3fs.S3FileSystem(**task.s3fs_options(), use_listings_cache=False)
    with contextlib.suppress(FileNotFoundError):
        files.rm(f"{task.bucket}/{task.prefix}", recursive=True)


if __name__ == "__main__":
    main()
