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
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    UnsupportedStoreError,
)
from metamlflow_local.doctor import TEMP, LocalDoctor
from metamlflow_local.durable import finish, fsync_folder, make_folders, write_all
from metamlflow_local.objects import kind_of, not_an_object
from metamlflow_local.removing import LocalRemoving
from metamlflow_local.temp_files import lock, new_name, sweep

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


class LocalBackend(LocalDoctor, LocalRemoving):
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
            write_all(descriptor, data)
            try:
                self._publish(temp, descriptor, key)
            except FileExistsError:
                self._is_object(key)  # what is no record is in nobody's way who comes later, and has to be told
                raise

    def put(self, key: str, blob: Blob) -> bool:
        """Store content read-only, streamed through a temp file."""
        with self._translated(key):
            if self._is_object(key):
                # Whoever linked it may not have come to this yet, and the caller relies on it from now on.
                fsync_folder((self._root / key).parent)
                return False
        # Opened out here: that a source cannot be opened says nothing about the store.
        with blob.open() as source, self._translated(key), self._temp_file() as (temp, descriptor):
            self._write_content(descriptor, source, blob.size, key)
            try:
                self._publish(temp, descriptor, key)
            except FileExistsError:
                self._is_object(key)
                fsync_folder((self._root / key).parent)
                return False
        return True

    def replace(self, key: str, blob: Blob) -> None:
        """Store content in the place of a file: by a rename, which is what puts one file over another in one step."""
        with blob.open() as source, self._translated(key), self._temp_file() as (temp, descriptor):
            self._write_content(descriptor, source, blob.size, key)
            finish(descriptor)
            target = self._root / key
            make_folders(target.parent)
            try:
                temp.replace(target)
            except IsADirectoryError:
                self._is_object(key)
                raise
            fsync_folder(target.parent)

    def open(self, key: str) -> BinaryIO:
        """Return a reader of the file."""
        with self._translated(key):
            self._check_root()
            path = f"{self._root}/{key}"  # not a Path: of many small files it takes a good part of the time
            # Looked at before it is opened: opening alone makes some devices do something. No pipe is waited for.
            self._require_object(os.stat(path), key)  # noqa: PTH116 (as above)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                self._require_object(os.fstat(descriptor), key)
                return os.fdopen(descriptor, "rb")
            except BaseException:
                os.close(descriptor)
                raise

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range of the file."""
        with self.open(key) as file, self._translated(key):
            file.seek(start)
            # Not more than there is: memory for all that is asked for would be taken before a byte is read.
            last = os.fstat(file.fileno()).st_size
            return file.read() if end is None else file.read(max(min(end, last) - start, 0))

    def stat(self, key: str) -> ObjectInfo:
        """Return size and modification time."""
        with self._translated(key):
            status = (self._root / key).stat()
            self._require_object(status, key)
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
                except OSError as error:
                    if error.errno == errno.ELOOP:
                        continue  # links in a ring are no object
                    raise
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

    def _require_object(self, status: os.stat_result, key: str) -> None:
        if not S_ISREG(status.st_mode):
            raise not_an_object(status, self.url_of(key))

    def _is_object(self, key: str) -> bool:
        """Whether a file lies at a key. StorageError if something else does: nothing can be stored there."""
        path = self._root / key
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            status = None
        if status is not None and S_ISREG(status.st_mode):
            return True
        if status is None and not path.is_symlink():
            return False
        kind = "a link that leads nowhere" if status is None else kind_of(status)
        raise StorageError(
            f"{self.url_of(key)}: {kind} lies where an object belongs", hint="Remove it, and try again.", key=key
        )

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield the files below ``folder`` (empty or ending in a slash) in key order, skipping whole folders early."""
        levels = [self._children(folder)]  # not by recursion: folders may lie deeper than Python's stack
        while levels:
            for key, entry in levels[-1]:
                if key.endswith("/"):
                    related = key.startswith(prefix) or prefix.startswith(key)
                    if related and not (after > key and not after.startswith(key)):
                        levels.append(self._children(key))
                        break
                elif key.startswith(prefix) and key > after:
                    yield key, entry
            else:
                levels.pop()

    def _children(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield what lies in a folder, in key order; the key of a folder ends in a slash."""
        if folder.startswith(f"{TEMP}/"):
            return
        with self._translated(folder):
            try:
                with os.scandir(self._root / folder) as entries:
                    # A folder sorts as its name and a slash: so keys come in the order of their bytes.
                    children = [(f"{folder}{e.name}{'/' * e.is_dir(follow_symlinks=False)}", e) for e in entries]
            except (FileNotFoundError, NotADirectoryError):
                return
        yield from sorted(children, key=lambda child: os.fsencode(child[0]))

    @contextmanager
    def _temp_file(self) -> Iterator[tuple[Path, int]]:
        self._check_root()
        folder = self._root / TEMP
        path = folder / new_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            make_folders(folder)
            descriptor = os.open(path, flags, 0o666)
        except NotADirectoryError as error:
            raise UnsupportedStoreError(
                f"{self.url} is not a folder", hint="Check the store's path.", key=self.url
            ) from error
        try:
            lock(descriptor)
            self._sweep(folder, os.fstat(descriptor).st_mtime)
            yield path, descriptor
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                path.unlink()

    def _write_content(self, descriptor: int, source: BinaryIO, announced: int, key: str) -> None:
        size = 0
        while chunk := source.read(_CHUNK):
            write_all(descriptor, chunk)
            size += len(chunk)
        if size != announced:
            raise IntegrityError(
                f"{self.url_of(key)}: {size:,} bytes arrived where {announced:,} were announced",
                expected=f"{announced} bytes",
                actual=f"{size} bytes",
                key=key,
            )

    def _publish(self, temp: Path, descriptor: int, key: str) -> None:
        """Make a finished temp file appear under its key, durably, read-only. FileExistsError if the key exists."""
        finish(descriptor)
        target = self._root / key
        try:
            self._link(temp, target)
        except (FileNotFoundError, NotADirectoryError):
            make_folders(target.parent)
            self._link(temp, target)
        fsync_folder(target.parent)

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

    def _sweep(self, folder: Path, now: float) -> None:
        """Once per process, remove temp files that a killed process left behind a day ago or longer.

        The time is that of the disk, which ``now``, of a file that was made just now, tells: this machine's clock may
        be wrong.
        """
        with self._sweep_lock:
            if self._swept:
                return
            self._swept = True
        sweep(folder, now - _SWEEP_AFTER_SECONDS)


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=status.st_size,
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
        observed=datetime.now(UTC),
    )
