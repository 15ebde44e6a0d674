"""The folder of the cache belongs to one user: content that others put there, or may have put there, is never used."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from metamlflow.errors import AccessDeniedError, InvalidInputError
from metamlflow.store.cache.leases import ELSEWHERE, FULL, cache_errors, full_disk
from metamlflow.store.transfer.regular_files import read_small

_TAG = "CACHEDIR.TAG"  # https://bford.info/cachedir/: backups skip such folders, and it identifies our caches
_OWNER = "metamlflow"
_TAG_TEXT = f"Signature: 8a477f597d28d172789f06886806bc55\n# The local cache of {_OWNER}; may be deleted.\n"
CATALOGS = "catalogs"
SUBFOLDERS = ("entries", "temp", "fetching", "evicted", "leases")
_FILES = ("lock", "usage")
_WRITABLE_BY_OTHERS = 0o022
_BEING_EMPTIED = stat.S_ISVTX


def make_private(folder: Path) -> None:
    """Create the cache folder if it is missing, and refuse one that does not belong to this user alone.

    A folder that others could write to may hold content that they planted: its entries are deleted.

    Raises:
        AccessDeniedError: the folder cannot be created or emptied, or belongs to another user.
        InvalidInputError: the folder holds files other than a cache.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        if error.errno in FULL:
            raise full_disk(folder) from error
        message = f"the cache folder {folder} cannot be created: {error.strerror}"
        raise AccessDeniedError(message, hint=ELSEWHERE, key=str(folder)) from error
    _require_own(folder, status)
    with cache_errors(folder):
        if not (folder / _TAG).exists():
            # Each process writes the tag here before anything else, so files without a tag are not of a cache.
            if any(folder.iterdir()) and not (folder / _TAG).exists():
                raise InvalidInputError(f"{folder} holds files that are not a cache", hint=ELSEWHERE)
            (folder / _TAG).write_text(_TAG_TEXT)
        elif not _is_ours(folder / _TAG):
            raise InvalidInputError(f"{folder} is the cache of another program", hint=ELSEWHERE)
        if stat.S_IMODE(status.st_mode) & (0o077 | _BEING_EMPTIED):
            _close_to_others(folder)


def _is_ours(tag: Path) -> bool:
    """Whether a tag names this program as the owner: other programs use tags of the same file name."""
    try:
        text = read_small(tag).decode(errors="replace")
    except OSError:
        return False
    return _OWNER in text or text in _TAG_TEXT  # another process may be writing it


def require_private(folder: Path) -> None:
    """Refuse a cache folder that cannot be written and that is not, or may not have been, this user's alone."""
    status = folder.stat()
    _require_own(folder, status)
    if status.st_mode & (_WRITABLE_BY_OTHERS | _BEING_EMPTIED):
        message = f"the cache folder {folder} can be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
        raise AccessDeniedError(message, hint=f"Delete it. {ELSEWHERE}", key=str(folder))


def is_own(status: os.stat_result) -> bool:
    """Whether this user owns a file, so that nobody else planted it."""
    return status.st_uid == os.geteuid()


def _require_own(folder: Path, status: os.stat_result) -> None:
    if not is_own(status):
        message = f"the cache folder {folder} belongs to another user (uid {status.st_uid})"
        raise AccessDeniedError(message, hint=ELSEWHERE, key=str(folder))


def _close_to_others(folder: Path) -> None:
    """Make a folder private, and delete everything in it that others may have planted."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two processes at a time would delete each other's new files
        if os.fstat(handle).st_mode & (_WRITABLE_BY_OTHERS | _BEING_EMPTIED):
            os.fchmod(handle, 0o700 | _BEING_EMPTIED)  # tells the next process to continue, if this one ends half-way
            for name in (*SUBFOLDERS, CATALOGS, *_FILES):
                _throw_away(folder, folder / name)
        os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def _throw_away(folder: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        with suppress(OSError):
            path.unlink()
    if os.path.lexists(path):
        raise AccessDeniedError(
            f"the cache folder {folder} could be written by others, and {path}, which may be theirs, cannot be removed",
            hint=f"Delete the folder, as its administrator if need be. {ELSEWHERE}",
            key=str(folder),
        )


def remove_tree(folder: Path) -> None:
    """Delete a folder, including read-only parts. Files that another process deletes meanwhile are ignored."""
    found, todo = [], [folder]
    while todo:  # no recursion: a tree may be deeper than Python's stack
        inner = todo.pop()
        found.append(inner)
        with suppress(OSError):
            if inner.is_symlink():
                continue
            inner.chmod(0o700)
        with suppress(OSError), os.scandir(inner) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(inner / entry.name)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)  # noqa: PTH108 (a DirEntry has a string path)
    for inner in reversed(found):
        with suppress(OSError):
            inner.rmdir()


def looks_of(folder: Path) -> tuple[int, str]:
    """Return the size of all files in a folder, and a digest that changes if a file is added, removed or written.

    If a file belongs to another user, the digest is empty, which equals no other. Bytecode that Python writes beside
    imported modules (``__pycache__``) is ignored.
    """
    size, looks, folders = 0, 0, [""]
    while folders:
        inner = folders.pop()
        with os.scandir(folder / inner) as entries:
            for entry in entries:
                line = f"{inner}{entry.name}/"
                if entry.name == "__pycache__":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(line)
                else:
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_size
                    if not is_own(status):
                        return size, ""
                    line = f"{inner}{entry.name}\0{status.st_size}\0{status.st_mtime_ns}"
                # A sum does not depend on the order, so a folder of a million files need not be sorted in memory.
                looks += int.from_bytes(hashlib.blake2b(os.fsencode(line), digest_size=16).digest())
    return size, f"{looks % 2**128:032x}"


def flush_disk_of(folder: Path) -> None:
    """Make all files in a folder durable with one call; an fsync for each of many small files would take minutes."""
    import ctypes

    syncfs = getattr(ctypes.CDLL(None), "syncfs", None)  # Linux only, and not in Python's own os
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syncfs(descriptor)
    finally:
        os.close(descriptor)
