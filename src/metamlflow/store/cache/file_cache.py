"""The local cache of content that was fetched and verified once: private, bounded, safe between processes.

    <folder>/entries/f-<sha256>/content/<name>    a file; its other names are hard links beside it (x-…: executable)
    <folder>/entries/d-<digest>/content/          a whole artifact
    <folder>/entries/…/stamp                      properties of the verified content; its mtime is the last use
    <folder>/temp/, fetching/, evicted/, leases/  fetches under way and their locks; entries to delete; entries in use
    <folder>/lock, usage                          the one lock, held briefly and never during a fetch; total bytes

An entry is filled in ``temp/`` and renamed into place, so it exists completely or not at all. Entries are returned and
evicted only under the lock. docs/cache.md states the promises to users.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from metamlflow._arguments import absolute_path
from metamlflow.errors import AccessDeniedError, InvalidInputError
from metamlflow.store.cache.entries import CachedFile, CachedFolder, file_name, parsed_digest
from metamlflow.store.cache.leases import (
    Lease,
    cache_errors,
    default_folder,
    default_max_bytes,
    full_disk_errors,
    locked,
    own_lease,
    require_locks,
    survey,
)
from metamlflow.store.cache.privacy import CATALOGS, SUBFOLDERS, is_own, make_private, remove_tree, require_private
from metamlflow.store.transfer.regular_files import NotAFileError, open_regular, read_small

# A process that waits for another's fetch of the same content fetches it too after this time. So a stuck process, or
# fetches that wait for one another in a circle, cannot block anybody for ever.
_PATIENCE_SECONDS = 10.0
_PATIENCE_BYTES_PER_SECOND = 20e6
_LONG_COUNT_SECONDS = 0.05
_NO_STAMP = (ValueError, LookupError, TypeError, RecursionError)
"""Exceptions that mean a stamp is malformed."""


class FileCache:
    """Verified content in a private folder, looked up by its digest and bounded in size.

    An entry that a process received is never evicted while that process lives; so the cache may exceed ``max_bytes``
    while more is in use. Nothing is created, and no setting is read, before the first use. Thread-safe. It is pickled
    as its two settings, so that an unset one is determined in the process that uses it.

    Args:
        folder: default ``METAMLFLOW_CACHE_DIR``, else the user's cache folder of the system.
        max_bytes: default ``METAMLFLOW_CACHE_SIZE``, else 10 GiB.

    All operations raise, beside the errors that they name:
        AccessDeniedError: the folder cannot be created or belongs to another user.
        InvalidInputError: the folder holds other things than a cache, or a setting cannot be parsed.
        StorageFullError: its disk is full.
        UnsupportedStoreError: the system or the disk has no file locks.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < 0:
            raise InvalidInputError(f"max_bytes is a number of bytes from 0, not {max_bytes}")
        self._given = (folder and Path(absolute_path(os.fspath(folder))), max_bytes)
        self._count_again_at = 0.0

    def __getstate__(self) -> tuple[Path | None, int | None]:
        return self._given

    def __setstate__(self, state: tuple[Path | None, int | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @cached_property
    def root(self) -> Path:
        """The absolute path of the cache folder."""
        return self._given[0] or Path(absolute_path(os.fspath(default_folder())))

    @cached_property
    def max_bytes(self) -> int:
        """The size limit, in bytes."""
        return default_max_bytes() if self._given[1] is None else self._given[1]

    def file(
        self, sha256: str, name: str, fetch: Callable[[BinaryIO], None], *, size: int, executable: bool = False
    ) -> Path:
        """Return the path of a read-only file ``name`` with this content, fetched only if the cache lacks it.

        Args:
            sha256: the content's digest, 64 hex digits.
            name: the file's name, one segment.
            fetch: writes the content and raises if it is wrong. It is also called if another process is fetching the
                same content and takes very long.
            size: the content's size in bytes.
            executable: whether the file has the execute bits that the umask leaves.

        Raises:
            IntegrityError: ``fetch`` wrote another number of bytes.
            InvalidPathError: no file can have this name.
        """
        kind = "x" if executable else "f"
        return self._get(CachedFile(f"{kind}-{parsed_digest(sha256)}", size, file_name(name), fetch, executable))

    def folder(self, digest: str, fill: Callable[[Path], None], *, size: int) -> Path:
        """Return a read-only folder with the artifact whose manifest has this digest (64 hex digits).

        If the cache lacks it, ``fill`` writes it, complete and verified, into an empty folder. ``size`` is its expected
        size, in bytes.
        """
        return self._get(CachedFolder(f"d-{parsed_digest(digest)}", size, fill))

    def size(self) -> int:
        """Return how many bytes of content the cache holds."""
        return sum(size for _, _, size in self._entries())

    def clear(self) -> int:
        """Evict every entry that no live process received, and return the number of bytes freed. Catalogs go, too."""
        if not self.root.exists():
            return 0
        with self._opened():
            freed = self._evict(goal=-1)
        self._delete_evicted()
        remove_tree(self.root / CATALOGS)
        return freed

    # --- look-up and fetch --------------------------------------------------------------------------------------------

    def _get(self, wanted: CachedFile | CachedFolder) -> Path:
        try:
            found = self._look_up(wanted)[0]
        except AccessDeniedError:
            # The cache is not writable: its entries are still valid, and nothing is ever evicted from it.
            found = self._look_only(wanted)
            if found is None:
                raise
        if found:
            return found
        lock = self.root / "fetching" / wanted.entry
        with locked(lock, patience=_PATIENCE_SECONDS + wanted.size / _PATIENCE_BYTES_PER_SECOND) as alone:
            found, seen = self._look_up(wanted)
            try:
                # False if another process was faster; its entry is then looked up.
                brought = found is None and self._bring(wanted, seen)
            finally:
                if alone:
                    lock.unlink(missing_ok=True)
        if found:
            return found
        return wanted.place(self._content(wanted.entry)) if brought else self._get(wanted)

    def _look_up(self, wanted: CachedFile | CachedFolder) -> tuple[Path | None, bytes | None]:
        """Return the path if the entry exists and matches its stamp, and the entry's stamp in any case."""
        with self._opened() as lease:
            seen = self._read_stamp(wanted.entry)
            if seen is None:
                return None, None
            lease.take(wanted.entry)
        with cache_errors(self.root):
            try:
                found = wanted.find(self._content(wanted.entry), json.loads(seen))
                if found:
                    _touch(self._stamp(wanted.entry))
            except (FileNotFoundError, NotADirectoryError, *_NO_STAMP):
                found = None  # changed by hand, being replaced after such a change, or truncated by a power loss
        return found, seen

    def _look_only(self, wanted: CachedFile | CachedFolder) -> Path | None:
        """Return the path if the entry exists and matches its stamp; write nothing."""
        try:
            require_private(self.root)
            seen = self._read_stamp(wanted.entry)
            return None if seen is None else wanted.find(self._content(wanted.entry), json.loads(seen))
        except (OSError, *_NO_STAMP):
            return None

    def _bring(self, wanted: CachedFile | CachedFolder, seen: bytes | None) -> bool:
        """Fetch an entry and move it into place; return False if its stamp is no longer the one that was ``seen``."""
        # Evict nothing yet: the size comes from a manifest, and the bytes may never arrive.
        with self._opened() as lease:
            temp = self.root / "temp" / f"{lease.id}.{uuid.uuid4().hex}"
        self._delete_evicted()
        content = temp / "content"
        try:
            with cache_errors(self.root):
                content.mkdir(parents=True)
            with full_disk_errors(self.root):
                wanted.fill(content)
            with cache_errors(self.root):
                stamp = wanted.sealed(content)
                (temp / "stamp").write_text(json.dumps(stamp | {"id": temp.name}))
            return self._publish(wanted.entry, temp, stamp["size"], seen)
        finally:
            remove_tree(temp)
            self._delete_evicted()

    def _publish(self, entry: str, temp: Path, size: int, seen: bytes | None) -> bool:
        with self._opened() as lease:
            if self._read_stamp(entry) != seen:
                return False
            lease.take(entry)
            self._set_aside(self._content(entry).parent)
            # Before the rename: a crash in between overstates the usage, and the next count corrects it.
            used = self._noted_usage()
            self._note_usage((self.size() if used is None else used) + size)
            _touch(temp / "stamp")
            temp.rename(self._content(entry).parent)
            self._make_room()
        return True

    # --- the size limit -----------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Evict the least recently used entries until the rest fits. Requires the lock."""
        used = self._noted_usage()
        if (used is not None and used <= self.max_bytes) or time.monotonic() < self._count_again_at:
            return
        began = time.monotonic()
        # Free a tenth more than needed, so that a full cache does not count all its entries for each new one.
        self._evict(goal=self.max_bytes * 9 // 10)
        took = time.monotonic() - began
        if took > _LONG_COUNT_SECONDS and (self._noted_usage() or 0) > self.max_bytes:
            # The entries in use exceed the limit: counting again for each new entry would take most of the time.
            self._count_again_at = time.monotonic() + 10 * took

    def _evict(self, goal: int) -> int:
        """Evict until at most ``goal`` bytes remain or all are in use; return the bytes freed. Requires the lock."""
        usage = survey(self.root / "leases")
        self._set_aside_remains(usage.leases)
        entries = sorted(self._entries())  # the least recently used entry comes first
        used = left = sum(size for _, _, size in entries)
        for _, entry, size in entries:
            if left <= goal:
                break
            if entry not in usage.entries:
                self._set_aside(self._content(entry).parent)
                left -= size
        self._note_usage(left)
        return used - left

    def _entries(self) -> Iterator[tuple[int, str, int]]:
        """Yield last use (ns), name and size of each entry; zeros if its stamp was lost by a power loss."""
        with suppress(FileNotFoundError), os.scandir(self.root / "entries") as entries:
            for entry in entries:
                try:
                    with os.fdopen(open_regular(self._stamp(entry.name)), "rb") as file:
                        yield os.fstat(file.fileno()).st_mtime_ns, entry.name, json.load(file)["size"]
                except (OSError, ValueError, LookupError, TypeError):
                    yield 0, entry.name, 0

    def _noted_usage(self) -> int | None:
        with suppress(FileNotFoundError, NotAFileError, ValueError):
            return int(read_small(self.root / "usage"))
        return None

    def _note_usage(self, used: int) -> None:
        # On a full disk the file stays empty, and usage is counted again next time: eviction must not fail on a full
        # disk.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with suppress(OSError), os.fdopen(os.open(self.root / "usage", flags, 0o600), "w") as file:
            file.write(str(used))

    def _set_aside(self, folder: Path) -> None:
        # A rename is quick; the content is deleted after the lock was released.
        with suppress(FileNotFoundError):
            folder.rename(self.root / "evicted" / uuid.uuid4().hex)

    def _set_aside_remains(self, alive: frozenset[str]) -> None:
        """Set aside the remains of fetches whose processes have ended."""
        for temp in (self.root / "temp").iterdir():
            if temp.name.partition(".")[0] not in alive:
                self._set_aside(temp)

    def _delete_evicted(self) -> None:
        with suppress(FileNotFoundError):
            for folder in (self.root / "evicted").iterdir():
                remove_tree(folder)

    # --- the folder ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[Lease]:
        """Hold the lock of the cache, and yield this process's lease. Never use it around a fetch."""
        require_locks()
        make_private(self.root)
        with cache_errors(self.root):
            for name in SUBFOLDERS:
                with suppress(FileExistsError):
                    (self.root / name).mkdir()
            with locked(self.root / "lock"):
                lease, is_new = own_lease(self.root / "leases")
                if is_new:
                    self._set_aside_remains(survey(self.root / "leases").leases)
                yield lease
            if is_new:
                self._delete_evicted()

    def _content(self, entry: str) -> Path:
        return self.root / "entries" / entry / "content"

    def _stamp(self, entry: str) -> Path:
        return self.root / "entries" / entry / "stamp"

    def _read_stamp(self, entry: str) -> bytes | None:
        """Return the stamp of an entry; None if it has none; empty, which matches nothing, if another user wrote it."""
        try:
            with os.fdopen(open_regular(self._stamp(entry), follow=False), "rb") as file:
                return file.read() if is_own(os.fstat(file.fileno())) else b""
        except FileNotFoundError:
            return None
        except (NotAFileError, NotADirectoryError):
            return b""


def _touch(stamp: Path) -> None:
    now = time.time_ns()
    os.utime(stamp, ns=(now, now))
