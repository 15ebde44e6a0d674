"""The hidden folder where a download is verified before any file appears under its name.

The folder is inside the destination: so it is on the same disk, and writable if the destination is. Its files have
numbers for names and no subfolders, so removing them needs no walk. The remains of a killed download are recognised by
a marker that contains the folder's own name and inode number: so no folder of the user, or of an artifact, is mistaken
for one.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from metamlflow.store.transfer.handles import open_folder

_PREFIX = ".metamlflow-download-"
_NAME = re.compile(re.escape(_PREFIX) + "[0-9a-f]{32}")
_MARKER = ".metamlflow-staging"


@contextmanager
def staging_folder(destination: int) -> Iterator[int]:
    """Yield the handle of an empty folder inside another one; remove it and its files at the end."""
    _sweep(destination)
    name = f"{_PREFIX}{uuid.uuid4().hex}"
    os.mkdir(name, 0o700, dir_fd=destination)
    try:
        folder = open_folder(name, inside=destination)
    except BaseException:
        with suppress(OSError):
            os.rmdir(name, dir_fd=destination)
        raise
    try:
        with suppress(OSError):  # a disk without locks: nothing is swept there either
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            _mark(folder, name)  # only after locking: a marked folder without a lock is abandoned
            yield folder
        finally:
            _remove(name, folder, destination)
    finally:
        os.close(folder)  # this releases the lock; the system does so too whenever the process ends


def is_staging_folder(path: str) -> bool:
    """Whether a path is the folder of a running or killed download, and therefore nobody's data."""
    parent, _, name = path.rpartition("/")
    if not _NAME.fullmatch(name):
        return False
    try:
        folder = open_folder(f"{parent}/{name}")
    except OSError:
        return False
    try:
        return _is_marked(folder, name)
    finally:
        os.close(folder)


def _sweep(destination: int) -> None:
    """Remove the folders of killed downloads here: their locks are free."""
    with suppress(PermissionError):  # a folder that can be written but not read
        for name in filter(_NAME.fullmatch, os.listdir(destination)):
            try:
                folder = open_folder(name, inside=destination)
            except OSError:
                continue
            try:
                with suppress(OSError):
                    if _is_marked(folder, name):
                        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        _remove(name, folder, destination)
            finally:
                os.close(folder)


def _text(folder: int, name: str) -> bytes:
    return f"A download that is under way, or that was killed: {name} {os.fstat(folder).st_ino}\n".encode()


def _mark(folder: int, name: str) -> None:
    descriptor = os.open(_MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(_text(folder, name))


def _is_marked(folder: int, name: str) -> bool:
    try:
        descriptor = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        expected = _text(folder, name)
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and file.read(len(expected) + 1) == expected


def _remove(name: str, folder: int, destination: int) -> None:
    """Remove the files of a staging folder, the marker last, and the folder. Does not follow links in it."""
    with suppress(OSError):
        for file in sorted(os.listdir(folder), key=lambda file: file == _MARKER):
            with suppress(OSError):
                os.unlink(file, dir_fd=folder)
        os.rmdir(name, dir_fd=destination)
