"""Temp files of a store folder: locked while they are written, and removed once they are old and nobody writes them."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where no local store is opened
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"[0-9]+-[0-9a-f]{32}")


def new_name() -> str:
    """Return a name for a temp file, which no other file has."""
    return f"{os.getpid()}-{uuid.uuid4().hex}"


def is_ours(name: str) -> bool:
    """Whether a file in the folder has a name as a store's writers give them. Others are left alone."""
    return _NAME.fullmatch(name) is not None


def sweep(folder: Path, limit: float) -> None:
    """Remove our files that were last written before ``limit``, in seconds of the disk's clock, and are not locked."""
    for path, _ in forgotten(folder, limit):
        with suppress(OSError):
            path.unlink()


def forgotten(folder: Path, limit: float) -> Iterator[tuple[Path, float]]:
    """Yield our files that were last written before ``limit``, in seconds of the disk's clock, and are not locked."""
    # A folder that may be written but not read cannot be swept; that is no reason to refuse the write.
    with suppress(PermissionError, FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if not is_ours(entry.name):
                continue
            with suppress(OSError):
                modified = entry.stat(follow_symlinks=False).st_mtime
                if modified < limit and not entry.is_dir(follow_symlinks=False) and not _is_locked(entry.path):
                    yield Path(entry.path), modified


def lock(descriptor: int) -> None:
    """Lock a temp file for as long as it is open."""
    with suppress(OSError):  # a disk without locks: there the age alone tells
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_locked(path: str) -> bool:
    """Whether a process has a temp file open that it is writing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    except OSError as error:
        return error.errno not in {errno.ELOOP, errno.ENXIO}  # a link or a socket; of another user's file who can tell
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
