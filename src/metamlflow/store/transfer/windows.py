"""Read content of a known size in windows: little after a jump, and more the longer it is read in order.

So the footer of a Parquet file costs kilobytes, and a read from start to end costs few requests. Content that is read
from start to end is compared with its digest before its last bytes are returned.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from threading import get_ident
from typing import TYPE_CHECKING, Any

from metamlflow.backend.seeking import SeekableReader
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import IntegrityError, PointerDriftError
from metamlflow.store.transfer.digests import Digester
from metamlflow.store.transfer.ranges import RANGE_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer

BUFFER = 8 * 1024
"""The buffer above a reader, in bytes: a larger one would read more than was asked for."""
FIRST_WINDOW = 64 * 1024
_LAST_WINDOW = 8 * 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024  # that are fetched before any of them are handed on
_AT_A_TIME = 4


class WindowReader(SeekableReader):
    """A seekable reader of content that is fetched in ranges. Threads may call :meth:`read_at` at the same time.

    Args:
        size: of the content, in bytes.
        expected: name and value of the digest that a whole read is compared with; None if none is known.
    """

    def __init__(self, size: int, expected: tuple[str, str] | None) -> None:
        super().__init__(size)
        self._expected = expected
        self._window = FIRST_WINDOW
        self._has_answered = False
        self._held = memoryview(b""), 0  # the last range and its start; replaced in one step
        self._digesting = threading.Lock()
        self._digester = Digester([expected[0]] if expected else [])
        self._digested_by: set[int] = set()  # the threads that fetched what it has digested

    @abstractmethod
    def _fetch(self, start: int, end: int) -> Buffer:
        """Return exactly these bytes, or raise."""

    @abstractmethod
    def _compare(self, digester: Digester) -> None:
        """Raise IntegrityError unless the whole content, digested, is the expected content."""

    @abstractmethod
    def _damaged_before(self) -> IntegrityError:
        """Return the error for content that is right, while the bytes returned before were not."""

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the bytes in memory; fetch more when they are used up."""
        chunk = self._some(self._position, len(buffer))
        memoryview(buffer)[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def readall(self) -> bytes:
        """Return the remaining bytes. If they are the whole content, data damaged in transit is read again."""
        data = self.read_at(self._position, self._size)
        self._position += len(data)
        return data

    def read_at(self, start: int, size: int) -> bytes:
        """Return so many bytes from ``start`` on, fewer at the end. The position counts for nothing here.

        If they are the whole content, data damaged in transit is read again.
        """
        end = min(start + size, self._size)
        if start or end < self._size:
            return self._joined(start, end)
        try:
            return self._whole()
        except PointerDriftError:
            raise
        except IntegrityError:
            self._held = memoryview(b""), 0
        return self._whole()

    def _whole(self) -> bytes:
        """Return the whole content, compared by this thread if others had a part in the digest."""
        data = self._joined(0, self._size)
        if self._expected:
            with self._digesting:
                is_compared = self._digester.size == self._size and self._digested_by == {get_ident()}
            if not is_compared:
                digester = Digester([self._expected[0]])
                digester.update(data)
                self._compare(digester)
        return data

    def _joined(self, start: int, end: int) -> bytes:
        parts = [self._some(start, end - start)]
        while parts[-1] and (start := start + len(parts[-1])) < end:
            parts.append(self._some(start, end - start))
        return b"".join(parts)

    def _some(self, start: int, wanted: int) -> memoryview:
        """Return from one to ``wanted`` bytes from ``start`` on; none at the end."""
        if start >= self._size or wanted <= 0:
            return memoryview(b"")
        held, at = self._held
        if not 0 <= start - at < len(held):
            held, at = self._fill(start, wanted)
        return held[start - at : start - at + wanted]

    def _fill(self, start: int, wanted: int) -> tuple[memoryview, int]:
        """Fetch a window from ``start`` on, at least ``wanted`` bytes and what a buffer above asks for next."""
        held, at = self._held
        in_order = bool(at or held) and start == at + len(held)
        self._window = min(self._window * 2, _LAST_WINDOW) if in_order else FIRST_WINDOW
        # The size comes from a record: one request shows whether the object is that long, before many are made of it.
        most = _MOST_BYTES if self._has_answered else RANGE_BYTES
        end = min(start + max(wanted + BUFFER, self._window), start + most, self._size)
        data = self._fetched(start, end)
        self._has_answered = True
        return self._take(data, start)

    def _fetched(self, start: int, end: int) -> Buffer:
        """Return a range; what is longer than one request should be comes in several at a time."""
        if end - start <= RANGE_BYTES:
            return self._fetch(start, end)
        starts = range(start, end, RANGE_BYTES)
        joined = memoryview(bytearray(end - start))
        with ThreadPool(min(_AT_A_TIME, len(starts)), "metamlflow-range") as pool:
            for at, data in zip(
                starts, pool.map(lambda at: self._fetch(at, min(at + RANGE_BYTES, end)), starts), strict=True
            ):
                joined[at - start : at - start + RANGE_BYTES] = data
        return joined

    def _take(self, data: Buffer, start: int) -> tuple[memoryview, int]:
        """Keep a range in memory; compare it first if it is the next part of a sequential read from the start."""
        expected = self._expected
        if expected:
            with self._digesting:
                if start == 0:
                    self._digester, self._digested_by = Digester([expected[0]]), set()
                if self._digester.size == start:
                    self._digested_by.add(get_ident())
                    data = self._digested(expected, data, start)
        self._held = held = memoryview(data), start
        return held

    def _digested(self, expected: tuple[str, str], data: Buffer, start: int) -> Buffer:
        before = self._digester.copy()
        self._digester.update(data)
        if self._digester.size == self._size and self._digester.digests()[expected[0]] != expected[1]:
            self._digester = before  # a later read must not return bytes that were not compared
            data = self._read_again(expected, start)
            self._digester.update(data)
        return data

    def _read_again(self, expected: tuple[str, str], start: int) -> Buffer:
        """Read the whole content again and return the bytes from ``start`` on: servers state no checksum for a range.

        Raises:
            IntegrityError: the content is not the expected content; or it is, but the bytes returned before ``start``
                were not.
        """
        digester = Digester([expected[0]])
        for at in range(0, start, RANGE_BYTES):
            digester.update(self._fetch(at, min(at + RANGE_BYTES, start)))
        begins_the_same = digester.digests() == self._digester.digests()
        data = self._fetch(start, self._size)
        digester.update(data)
        self._compare(digester)
        if not begins_the_same:
            raise self._damaged_before()
        return data

    def close(self) -> None:
        """Release the bytes in memory."""
        self._held = memoryview(b""), 0
        super().close()
