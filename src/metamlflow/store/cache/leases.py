"""The folder of the cache as processes share it: its location, one lock, and a lease for each process.

Leases record which process uses which entries, so that no process loses a file that it received.

A process that uses a cache folder has one lease there: a file ``leases/<random id>`` that it keeps open and locked with
``flock()``, and whose lines name the entries that the process received. The kernel drops the lock when the process
ends, however it ends; so a lease whose lock can be taken is abandoned. One open file serves any number of entries.

After a fork the child creates its own lease. It also inherits the parent's open file, and with it the lock: entries
that the parent received before the fork stay in use until both have ended. This is right, because the child knows those
paths.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from metamlflow._arguments import blamed_on, parse_size
from metamlflow.errors import (
    AccessDeniedError,
    StorageFullError,
    StorageUnavailableError,
    UnsupportedStoreError,
)

FOLDER_VARIABLE = "METAMLFLOW_CACHE_DIR"
SIZE_VARIABLE = "METAMLFLOW_CACHE_SIZE"
DEFAULT_MAX_BYTES = 10 * 1024**3

ELSEWHERE = f"Set {FOLDER_VARIABLE} to a folder of your own."
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_HINT = f"Set {FOLDER_VARIABLE} to a folder on a local disk of Linux or macOS, or read without the cache."
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.2

_held: set[int] = set()
_leases: dict[Path, Lease] = {}


def _after_fork() -> None:
    # A lock that another thread of the parent held at the fork would last as long as this child keeps the file open.
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()
    _leases.clear()  # leaves the inherited files open on purpose: see above


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def default_folder() -> Path:
    """Return ``METAMLFLOW_CACHE_DIR``, else ``metamlflow`` in ``XDG_CACHE_HOME`` or the system's cache folder."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # the XDG specification: ignore a relative path
        return xdg / "metamlflow"
    try:
        home = Path.home()
    except RuntimeError as error:
        message = "this user has no home folder, so there is no place for the local cache"
        raise AccessDeniedError(message, hint=f"Set {FOLDER_VARIABLE} to a folder.") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "metamlflow"


def default_max_bytes() -> int:
    """Return ``METAMLFLOW_CACHE_SIZE`` in bytes, else 10 GiB."""
    text = os.environ.get(SIZE_VARIABLE, "").strip()
    if not text:
        return DEFAULT_MAX_BYTES
    with blamed_on(SIZE_VARIABLE):
        return parse_size(text)


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Translate errors of the cache's disk into errors of :mod:`metamlflow.errors`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, AccessDeniedError):
            raise
        if error.errno in FULL:
            raise full_disk(folder) from error
        message = f"the cache folder {folder} cannot be used: {error}"
        if error.errno in _DENIED:
            raise AccessDeniedError(message, hint=ELSEWHERE, key=str(folder)) from error
        hint = f"Try again; if it persists, delete the folder or set {FOLDER_VARIABLE} to another one."
        raise StorageUnavailableError(message, hint=hint, key=str(folder)) from error


@contextmanager
def full_disk_errors(folder: Path) -> Iterator[None]:
    """Translate an error of a full disk during a fetch into StorageFullError about the cache; pass all others on."""
    try:
        yield
    except StorageFullError as error:
        raise full_disk(folder) from error
    except OSError as error:
        if error.errno in FULL:
            raise full_disk(folder) from error
        raise


def full_disk(folder: Path) -> StorageFullError:
    """Return the error for a cache folder on a full disk."""
    return StorageFullError(
        f"no space is left for the cache folder {folder}",
        hint=f"Free some space, set {SIZE_VARIABLE} lower, or set {FOLDER_VARIABLE} to a folder on another disk.",
        key=str(folder),
    )


def require_locks() -> None:
    """Raise UnsupportedStoreError if the system lacks ``flock()``, as Windows does."""
    try:
        import fcntl  # noqa: F401 (only its presence matters)
    except ImportError as error:
        raise UnsupportedStoreError("the local cache needs flock(), which this system lacks", hint=_HINT) from error


@contextmanager
def locked(path: Path, *, patience: float | None = None) -> Iterator[bool]:
    """Hold the lock file ``path`` exclusively among all threads and processes, and yield True.

    Args:
        path: the lock file; created if it is missing.
        patience: seconds after which the block runs without the lock and False is yielded; None waits for ever.

    Raises:
        UnsupportedStoreError: the disk does not support locks.
    """
    descriptor = _acquire(path, None if patience is None else time.monotonic() + patience)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        _release(descriptor)


def _acquire(path: Path, deadline: float | None) -> int | None:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        # Open the file each time: flock() works between open files, and so excludes threads as well.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _held.add(descriptor)
        taken = current = False
        try:
            taken = _flock(descriptor, wait=deadline is None)
            current = _is_at(descriptor, path)
            if taken and current:
                return descriptor
        finally:
            if not (taken and current):
                _release(descriptor)
        if taken or not current:
            continue  # the file was deleted by hand, or by the previous holder: this lock protects nothing
        if deadline is not None and time.monotonic() >= deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _release(descriptor: int) -> None:
    import fcntl

    # Unlock explicitly: closing is not enough if a child that was forked meanwhile has the same open file.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    _held.discard(descriptor)
    os.close(descriptor)


def _flock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file exclusively; return False if another holds the lock and ``wait`` is False."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise UnsupportedStoreError(f"the cache's disk has no file locks: {error}", hint=_HINT) from error
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class Lease:
    """This process's claim on entries of one cache folder. Create and use it only while holding the cache's lock."""

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._path = folder / self.id
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        _flock(self._descriptor, wait=False)
        self._entries: set[str] = set()

    def take(self, entry: str) -> None:
        """Protect ``entry`` from eviction until this process ends."""
        if entry not in self._entries:
            # A line end on both sides: a line that a full disk truncated earlier must not merge with this one.
            line = f"\n{entry}\n".encode()
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            self._entries.add(entry)

    def is_kept(self) -> bool:
        """Whether the lease still exists where other processes look; it may have been deleted by hand."""
        return _is_at(self._descriptor, self._path)

    def close(self) -> None:
        """Close a lease that was deleted by hand."""
        os.close(self._descriptor)


def own_lease(folder: Path) -> tuple[Lease, bool]:
    """Return this process's lease in ``folder``, and whether it was created just now. Requires the cache's lock."""
    lease = _leases.get(folder)
    if lease is not None:
        if lease.is_kept():
            return lease, False
        lease.close()
    _leases[folder] = lease = Lease(folder)
    return lease, True


@dataclass(frozen=True, slots=True)
class Usage:
    """The leases and entries in use by all live processes."""

    leases: frozenset[str]
    entries: frozenset[str]


def survey(folder: Path) -> Usage:
    """Read all leases, and delete those of processes that have ended. Requires the cache's lock."""
    leases: set[str] = set()
    entries: set[str] = set()
    for path in folder.iterdir():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            if _flock(descriptor, wait=False):
                path.unlink(missing_ok=True)
            else:
                leases.add(path.name)
                entries.update(file.read().decode().split())
    return Usage(frozenset(leases), frozenset(entries))
