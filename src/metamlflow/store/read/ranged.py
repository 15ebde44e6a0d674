"""Read parts of blobs: what a reader that jumps needs of a file, and no more.

Elsewhere a jump verifies the whole blob first, which would fetch all of a Parquet file for two of its columns. Here
content is verified as far as its layout allows: a file up to 1 MiB always, a file of a local store once in a process,
and a larger one of a bucket if it is read from start to end.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import OrderedDict
from typing import IO, TYPE_CHECKING, Literal, Protocol

from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.model.manifests import Entry, Manifest
from metamlflow.store.catalog.fetching import compare, damaged, damaged_on_its_way, fetch_whole, range_fetcher
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.verified import missing, opener
from metamlflow.store.transfer.digests import Digester
from metamlflow.store.transfer.spooling import CHUNK, SMALL
from metamlflow.store.transfer.windows import WindowReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

Verify = Literal["auto", "whole", "ranges"]
"""What is verified of a file that is not read from start to end; docs/howto/addresses.md explains the words."""

_KEPT = 4096  # files that this process has verified

_State = tuple[int, ...]


class Ranges(Protocol):
    """The parts of one file, for any number of threads at the same time."""

    def read_at(self, start: int, size: int) -> bytes:
        """Return so many bytes from ``start`` on, fewer at the end."""

    def close(self) -> None:
        """Release what it holds."""


class BlobReader(WindowReader):
    """A seekable reader of a blob that is fetched in ranges. A blob up to 1 MiB is fetched whole, and verified.

    A range is compared with the recorded size of the blob, and nothing else: its digest is known only for the whole.
    """

    def __init__(self, store: Store, manifest: Manifest, entry: Entry) -> None:
        super().__init__(entry.size, ("sha256", entry.sha256))
        self._store, self._manifest, self._entry = store, manifest, entry
        self._range = range_fetcher(store, entry.key)
        self._is_new = True

    def _some(self, start: int, wanted: int) -> memoryview:
        if self._is_new and self._size == 0:
            self._fill(0, 0)  # an empty blob is looked at too, because it may be gone or not empty
        return super()._some(start, wanted)

    def _fill(self, start: int, wanted: int) -> tuple[memoryview, int]:
        try:
            if self._size > SMALL:
                held = super()._fill(start, wanted)
            else:
                self._held = held = memoryview(fetch_whole(self._store, self._entry)), 0
        except ObjectNotFoundError:
            raise missing(self._store, self._manifest, self._entry) from None
        self._is_new = False
        return held

    def _fetch(self, start: int, end: int) -> Buffer:
        excess = int(end == self._size)  # a byte that only an object has that is too long
        data = memoryview(self._range(start, end + excess))
        if len(data) > end - start:
            raise damaged(self._entry, f"more than {self._size} bytes")
        if len(data) < end - start:
            raise damaged(self._entry, f"{start + len(data)} bytes")
        return data

    def _compare(self, digester: Digester) -> None:
        compare(self._entry, digester.size, digester.digests()["sha256"])

    def _damaged_before(self) -> IntegrityError:
        return damaged_on_its_way(self._entry.path, f"sha256:{self._entry.sha256}", self._entry.key)


class LockedRanges:
    """The parts of a seekable reader, one at a time."""

    def __init__(self, reader: IO[bytes] | io.RawIOBase) -> None:
        self._reader = reader
        self._lock = threading.Lock()

    def read_at(self, start: int, size: int) -> bytes:
        """Return so many bytes from ``start`` on, fewer at the end."""
        with self._lock:
            self._reader.seek(start)
            parts = [self._reader.read(size) or b""]
            while parts[-1] and (size := size - len(parts[-1])) > 0:
                parts.append(self._reader.read(size) or b"")
        return b"".join(parts)

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


class OnceVerifiedRanges:
    """The parts of a blob on a disk, which is verified before its first byte is returned, once in a process.

    The process remembers the file by device, inode, size and times, and verifies it again if one of them has changed,
    also while it is open.
    """

    def __init__(self, store: Store, manifest: Manifest, entry: Entry) -> None:
        self._entry = entry
        self._open_blob = opener(store, manifest, entry)
        self._verifying = threading.Lock()
        self._source: IO[bytes] | None = None
        self._ranges: LockedRanges | None = None
        self._state: _State | None = None

    def read_at(self, start: int, size: int) -> bytes:
        """Return so many bytes of the verified file from ``start`` on, fewer at its end."""
        while True:
            with self._verifying:
                source, ranges, state = self._verified()
            data = ranges.read_at(start, size)
            if _state_of(source) == state:
                return data

    def _verified(self) -> tuple[IO[bytes], LockedRanges, _State | None]:
        """Return the file, its parts, and the state in which it was verified: as it is now."""
        if self._source is None or self._ranges is None:
            source = self._open_blob()
            try:
                ranges = LockedRanges(source)
                state = self._looked_at(source, ranges)
            except BaseException:
                source.close()
                raise
            self._source, self._ranges, self._state = source, ranges, state
        elif _state_of(self._source) != self._state:
            self._state = self._looked_at(self._source, self._ranges)
        return self._source, self._ranges, self._state

    def _looked_at(self, source: IO[bytes], ranges: LockedRanges) -> _State | None:
        """Verify the whole file, unless this process has done so in the state that it is in; return that state."""
        state = _state_of(source)
        if not _VERIFIED.has(self._entry.sha256, state):
            _verify(ranges, self._entry)
            if _state_of(source) == state:
                _VERIFIED.add(self._entry.sha256, state)
        return state

    def close(self) -> None:
        """Close the file."""
        if self._ranges is not None:
            self._ranges.close()


def _verify(ranges: Ranges, entry: Entry) -> None:
    digest, size = hashlib.sha256(), 0
    while size <= entry.size and (chunk := ranges.read_at(size, min(CHUNK, entry.size + 1 - size))):
        digest.update(chunk)
        size += len(chunk)
    compare(entry, size, digest.hexdigest())


def _state_of(source: IO[bytes]) -> _State | None:
    """Return what tells a file from every other, and from itself after a change; None if it is no file."""
    try:
        found = os.fstat(source.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class _Verified:
    """Files that this process has verified, the latest of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: OrderedDict[tuple[str, _State], None] = OrderedDict()

    def has(self, sha256: str, state: _State | None) -> bool:
        """Whether a file in this state had this digest."""
        return state is not None and (sha256, state) in self._states

    def add(self, sha256: str, state: _State | None) -> None:
        """Remember a file."""
        if state is not None:
            with self._lock:
                self._states[sha256, state] = None
                if len(self._states) > _KEPT:
                    self._states.popitem(last=False)

    def renew(self) -> None:
        """Take a new lock: a forked child has none of the threads that would free it."""
        self._lock = threading.Lock()


_VERIFIED = _Verified()
os.register_at_fork(after_in_child=_VERIFIED.renew)
