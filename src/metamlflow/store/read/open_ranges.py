"""Read parts of a blob in a bucket without reading the rest of it.

The digest of a blob is over all of its bytes, so a part of it cannot be compared with anything: only the size of each
answer is checked. Whoever needs verified bytes reads the whole blob (store/read/verified.py). Lazy readers of
tables need the parts: they take a footer and a few columns of a large file. docs/datasets.md tells their users.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any, BinaryIO

from metamlflow.backend.seeking import SeekableReader
from metamlflow.errors import ObjectNotFoundError
from metamlflow.model.manifests import Entry, Manifest
from metamlflow.store.catalog.fetching import compare, damaged, fetch_whole, range_fetcher
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.verified import missing, opener

WHOLE_BYTES = 64 * 1024
"""A blob up to this size is fetched and verified as a whole: that costs one request, as its footer alone would."""
_FIRST_WINDOW = 8 * 1024
_LAST_WINDOW = 8 * 1024 * 1024


_MOST_REMEMBERED = 10_000
_verified: set[tuple[object, ...]] = set()  # files of this machine whose digest was compared, by what tells of a change


class _File(SeekableReader):
    """A file that is closed with its last reference: Arrow does not close what it reads."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(size)
        self._file: Any = file

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._position)
        count: int = self._file.readinto(buffer)
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def verified_file(store: Store, manifest: Manifest, entry: Entry) -> io.RawIOBase | None:
    """Return a blob on a disk as a file that was verified completely; None if the backend has no files.

    A file is read for that once in a process, until it changes: a query opens a file several times.

    Raises:
        IntegrityError: the blob is missing or damaged.
    """
    file: Any = opener(store, manifest, entry)()
    try:
        facts = os.fstat(file.fileno())
    except (OSError, AttributeError):
        file.close()
        return None
    known = (entry.sha256, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    if known not in _verified:
        try:
            compare(entry, facts.st_size, hashlib.file_digest(file, "sha256").hexdigest())
        except BaseException:
            file.close()
            raise
        if len(_verified) >= _MOST_REMEMBERED:
            _verified.clear()
        _verified.add(known)
    return _File(file, entry.size)


class BlobRanges(SeekableReader):
    """A seekable reader of a blob in a bucket that requests the parts that are read, and little more.

    After a seek it requests what was asked for; the longer it is read in order, the further it reads ahead. Not for use
    by several threads at once.
    """

    def __init__(self, store: Store, manifest: Manifest, entry: Entry) -> None:
        super().__init__(entry.size)
        self._store = store
        self._manifest = manifest
        self._entry = entry
        self._fetch = range_fetcher(store, entry.key)
        self._window = _FIRST_WINDOW
        self._held, self._held_at = memoryview(b""), 0

    def read(self, size: int | None = -1) -> bytes:
        """Return exactly ``size`` bytes, fewer only at the end; all that remain if it is negative.

        Raises:
            IntegrityError: the blob is missing or has another size, or it is small and was modified.
        """
        left = max(self._size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        inside = self._position - self._held_at
        if not (inside >= 0 and inside + wanted <= len(self._held)):
            self._fill(wanted)
            inside = self._position - self._held_at
        self._position += wanted
        return bytes(self._held[inside : inside + wanted])

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as :meth:`read` does."""
        data = self.read(len(buffer))
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return all that remains."""
        return self.read()

    def _fill(self, wanted: int) -> None:
        start = self._position
        in_order = bool(len(self._held)) and start <= self._held_at + len(self._held) and start >= self._held_at
        self._window = min(self._window * 2, _LAST_WINDOW) if in_order else _FIRST_WINDOW
        end = min(start + max(wanted, self._window), self._size)
        self._held = memoryview(b"")  # its memory is free before more is taken
        try:
            if self._size <= WHOLE_BYTES:
                start, end, data = 0, self._size, fetch_whole(self._store, self._entry)
            else:
                data = self._fetch(start, end)
        except ObjectNotFoundError:
            raise missing(self._store, self._manifest, self._entry) from None
        self._held, self._held_at = memoryview(data), start
        if len(self._held) != end - start:
            raise damaged(self._entry, f"{start + len(self._held)} bytes")

    def close(self) -> None:
        """Release the bytes in memory."""
        self._held = memoryview(b"")
        super().close()
