"""A store in a local folder.

A file appears under its key by ``link()`` from a finished temp file: the one call of POSIX that both makes a name and
fails if it exists, so it is there whole or not at all and exactly one of many writers wins. (``rename()`` would
silently replace; ``open("x")`` would show a half-written file.) Temp files lie in ``.tmp/`` of the same disk; what a
killed process leaves there is swept a day later.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

from metamlflow.backend.seam import Blob, DeleteFailure, ObjectInfo
from metamlflow.backend.translation import translated_errors
from metamlflow.errors import (
    AccessDeniedError,
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    UnsupportedStoreError,
)
from metamlflow_local.doctor import TEMP, LocalDoctor

_CHUNK = 256 * 1024  # read and write in one pass are fastest at about this size
_SWEEP_AFTER_SECONDS = 24 * 3600
_PATH_MAX = 4096
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EOPNOTSUPP}


def open_backend(url: str, options: Mapping[str, Any]) -> LocalBackend:
    """Open the store folder that a ``file://`` URL with an absolute path names. Touches no disk."""
    if os.name == "nt":
        raise UnsupportedStoreError(
            "local stores on Windows are not supported: its file systems do not keep the promises of link()",
            hint="Use a store in an object store, or WSL.",
        )
    if options:
        raise InvalidInputError(
            f"a local store takes no storage options, got {', '.join(sorted(options))}",
            hint="Leave storage_options out, or check the store's URL.",
        )
    return LocalBackend(Path(url.removeprefix("file://")))


class LocalBackend(LocalDoctor):
    """The backend seam over a local folder; every promise is in :class:`metamlflow.backend.Backend`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._identity: tuple[int, int] | None = None
        self._swept = False
        self._sweep_lock = threading.Lock()

    @property
    def url(self) -> str:
        """The root, as a URL."""
        return f"file://{self._root}"

    @property
    def max_key_bytes(self) -> int:
        """What is left of the longest path that Linux takes."""
        return _PATH_MAX - len(os.fsencode(self._root)) - 2

    @cached_property
    def filesystem(self) -> Any:
        """The local file system of fsspec."""
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem()

    def __getstate__(self) -> Path:
        return self._root

    def __setstate__(self, state: Path) -> None:
        self.__init__(state)  # type: ignore[misc]

    def url_of(self, key: str) -> str:
        """Return the object's ``file://`` URL."""
        return f"{self.url}/{key}"

    def create(self, key: str, data: bytes) -> None:
        """Create a record: temp file, fsync, link, fsync of the folder."""
        with self._translated(key), self._temp_file() as (temp, descriptor):
            _write_all(descriptor, data)
            self._publish(temp, descriptor, key)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content read-only, streamed through a temp file."""
        with self._translated(key):
            if (self._root / key).exists():
                # Whoever linked it may not have come to this yet, and the caller relies on it from now on.
                _fsync_folder((self._root / key).parent)
                return False
        # Opened out here: that a source cannot be opened says nothing about the store.
        with blob.open() as source, self._translated(key), self._temp_file() as (temp, descriptor):
            size = 0
            while chunk := source.read(_CHUNK):
                _write_all(descriptor, chunk)
                size += len(chunk)
            if size != blob.size:
                raise IntegrityError(
                    f"{self.url_of(key)}: {size:,} bytes arrived where {blob.size:,} were announced",
                    expected=f"{blob.size} bytes",
                    actual=f"{size} bytes",
                    key=key,
                )
            try:
                self._publish(temp, descriptor, key)
            except FileExistsError:
                _fsync_folder((self._root / key).parent)
                return False
        return True

    def open(self, key: str) -> BinaryIO:
        """Return a reader of the file."""
        with self._translated(key):
            self._check_root()
            return (self._root / key).open("rb")

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range of the file."""
        with self.open(key) as file, self._translated(key):
            file.seek(start)
            if end is None:
                return file.read()
            # A limit far beyond the end is usual, and memory for it would be asked of the system.
            return file.read(max(min(end, os.fstat(file.fileno()).st_size) - start, 0))

    def stat(self, key: str) -> ObjectInfo:
        """Return size and modification time."""
        with self._translated(key):
            status = (self._root / key).stat()
        if not S_ISREG(status.st_mode):  # a folder is no object
            raise ObjectNotFoundError(f"there is no object {self.url_of(key)}", key=key)
        return _info(key, status)

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Walk the folders below the prefix in key order."""
        folder, _, _ = prefix.rpartition("/")
        found = 0
        with self._translated(prefix):
            self._check_root()
        for key, entry in self._walk(f"{folder}/" if folder else "", prefix, after):
            if limit is not None and found >= limit:
                return
            with self._translated(key):
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # deleted since the folder was read
            if S_ISREG(status.st_mode):
                found += 1
                yield _info(key, status)

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Unlink files one by one."""
        failures = []
        for key in keys:
            try:
                with self._translated(key), suppress(FileNotFoundError):
                    (self._root / key).unlink()
            except ObjectNotFoundError:
                continue  # a folder, or below a file: no such object
            except MetaMLFlowError as error:
                failures.append(DeleteFailure(key, error))
        return failures

    def holds(self, key: str, size: int) -> bool:
        """Whether there is a file of this size."""
        try:
            status = (self._root / key).stat()
        except OSError:
            return False
        return S_ISREG(status.st_mode) and status.st_size == size

    def _check_root(self) -> None:
        """Refuse a root that was moved away, deleted or unmounted, or another folder in its place, since it was used.

        The store's marker was read long ago; what is written now would lie where nobody looks for it.
        """
        known = self._identity  # before the look: another thread may be making the folder
        try:
            status = self._root.stat()
        except (FileNotFoundError, NotADirectoryError):
            now = None
        else:
            now = (status.st_dev, status.st_ino)
        if known is None:
            self._identity = self._identity or now
        elif now != known:
            raise StorageError(
                f"{self.url}: the store's folder is gone, or another one lies in its place",
                hint="If it was moved or unmounted, bring it back; else make a new client for what is there now.",
                key=self.url,
            )

    # --- how ----------------------------------------------------------------------------------------------------------

    def _translated(self, key: str) -> Any:
        return translated_errors(self.url_of(key))

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield the files below ``folder`` (empty or ending in a slash) in key order, skipping whole folders early."""
        if folder.startswith(f"{TEMP}/"):
            return
        with self._translated(folder):
            try:
                with os.scandir(self._root / folder) as entries:
                    # A folder sorts as its name and a slash: so keys come in the order of their bytes.
                    children = [(f"{folder}{e.name}{'/' * e.is_dir(follow_symlinks=False)}", e) for e in entries]
            except (FileNotFoundError, NotADirectoryError):
                return
        for key, entry in sorted(children, key=lambda child: os.fsencode(child[0])):
            if key.endswith("/"):
                related = key.startswith(prefix) or prefix.startswith(key)
                if related and not (after > key and not after.startswith(key)):
                    yield from self._walk(key, prefix, after)
            elif key.startswith(prefix) and key > after:
                yield key, entry

    @contextmanager
    def _temp_file(self) -> Iterator[tuple[Path, int]]:
        self._check_root()
        folder = self._root / TEMP
        path = folder / f"{os.getpid()}-{uuid.uuid4().hex}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            _make_folders(folder)
            descriptor = os.open(path, flags, 0o666)
        except NotADirectoryError as error:
            raise UnsupportedStoreError(
                f"{self.url} is not a folder", hint="Check the store's path.", key=self.url
            ) from error
        try:
            self._sweep(folder)
            yield path, descriptor
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                path.unlink()

    def _publish(self, temp: Path, descriptor: int, key: str) -> None:
        """Make a finished temp file appear under its key, durably, read-only. FileExistsError if the key exists."""
        # Created under the umask, so its mode says what the umask leaves.
        os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o444)
        os.fsync(descriptor)
        target = self._root / key
        try:
            self._link(temp, target)
        except FileNotFoundError:
            _make_folders(target.parent)
            self._link(temp, target)
        _fsync_folder(target.parent)

    def _link(self, temp: Path, target: Path) -> None:
        try:
            os.link(temp, target)
        except OSError as error:
            if error.errno == errno.EEXIST and temp.stat().st_nlink > 1:
                return  # a network file system repeated the call after its answer was lost: the link is ours
            if error.errno in _NO_LINKS:
                raise UnsupportedStoreError(
                    f"{self.url}: the disk has no hard links ({error.strerror}), so a version cannot be claimed safely",
                    hint="Use a store on a native disk (ext4, xfs, btrfs, zfs, apfs) or in an object store.",
                    key=self.url,
                ) from error
            raise

    def _sweep(self, folder: Path) -> None:
        """Once per process, remove temp files that a killed process left behind a day ago or longer."""
        with self._sweep_lock:
            if self._swept:
                return
            self._swept = True
        limit = time.time() - _SWEEP_AFTER_SECONDS
        # A folder that may be written but not read cannot be swept; that is no reason to refuse the write.
        with suppress(PermissionError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < limit:
                        os.unlink(entry.path)  # noqa: PTH108 (a DirEntry has a string path)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folders(folder: Path) -> None:
    """Create a folder and its missing parents, each durably."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir(exist_ok=True)
        except FileNotFoundError as error:  # not a missing parent, but a place such as /proc that takes no folders
            raise AccessDeniedError(
                f"{path}: no folder can be made here", hint="Choose another place for the store.", key=str(path)
            ) from error
        _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        # A folder that may be written but not read (-wx) cannot be synced; the file itself is.
        if os.access(folder, os.W_OK):
            return
        raise AccessDeniedError(f"{folder}: access is denied", key=str(folder)) from None
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=status.st_size,
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
        observed=datetime.now(UTC),
    )
