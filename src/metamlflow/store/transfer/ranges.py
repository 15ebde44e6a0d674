"""Read large content from a bucket: ranges in parallel, written at their offsets, hashed in their order."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import IO, TYPE_CHECKING, Protocol

from metamlflow.backend.budget import ByteBudget, content_budget
from metamlflow.backend.threads import ThreadPool
from metamlflow.store.transfer.spooling import OnBytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

RANGE_BYTES = 8 * 1024 * 1024
_AT_A_TIME = 4
# For a caller that already holds memory of the budget; see in_order.
_MODEST_RANGE_BYTES, _MODEST_AT_A_TIME = 2 * 1024 * 1024, 4


class Digest(Protocol):
    """A hash or digester that takes content in order."""

    def update(self, data: Buffer, /) -> None:
        """Add the next bytes."""


Fetch = Callable[[int, int], "Buffer"]
"""Returns the bytes from a start to before an end, fewer at the object's end; retries after transient failures."""


def copy_ranges(
    fetch: Fetch,
    size: int,
    digest: Digest,
    target: IO[bytes] | None,
    on_bytes: OnBytes,
    *,
    prove_size: Callable[[], object] | None = None,
) -> int:
    """Read an object of ``size`` bytes once, in order into ``digest``, and to ``target``, a new file, if one is given.

    Returns the number of bytes read. The last range requests one byte more, which only an object that is too long has;
    the caller compares the number. ``prove_size`` is that of :func:`in_order`.
    """
    count = 0
    with closing(in_order(partial(_copy_range, fetch, target), size, prove_size=prove_size)) as ranges:
        for data in ranges:
            digest.update(data)
            count += len(data)
            on_bytes(len(data))
            del data  # otherwise it would stay in memory while the next range arrives
    return count


def in_order(
    fetch: Fetch, size: int, *, modest: bool = False, prove_size: Callable[[], object] | None = None
) -> Generator[memoryview]:
    """Yield an object of ``size`` bytes, and one byte more if it has one, in ranges that are fetched ahead in parallel.

    ``size`` comes from a manifest and cannot be trusted: a second range is requested only once the size is proven, and
    nothing is requested after a range that was shorter than requested.

    Args:
        fetch: returns a range.
        size: the expected size of the object, in bytes.
        prove_size: raises if the object has another size; called while the first of several ranges is fetched. None:
            wait for the first range, because ``fetch`` compares the size itself, or returns a short range.
        modest: use fewer and smaller ranges, and never wait for memory of the budget: for a caller that already holds
            some. If no memory is free, fetch one range at a time.
    """
    budget = content_budget()
    length, at_a_time = (_MODEST_RANGE_BYTES, _MODEST_AT_A_TIME) if modest else (RANGE_BYTES, _AT_A_TIME)
    under_way: deque[tuple[Future[Buffer], int, int]] = deque()
    start, proven = 0, False
    with ThreadPool(at_a_time, "metamlflow-range") as pool:
        try:
            while start < size or under_way:
                while start < size and len(under_way) < at_a_time:
                    taken = budget.take_at_once(length)
                    if taken is None:
                        if under_way:
                            break  # another file holds the memory; the ranges under way return theirs
                        taken = 0 if modest else budget.take(length)
                    # The last range includes the excess byte, so that it never is a range of its own.
                    end = start + length if start + length < size else size + 1
                    under_way.append((pool.submit(fetch, start, end), taken, end - start))
                    start = end
                    if start < size and not proven:
                        if prove_size is None:
                            break
                        prove_size()
                        proven = True
                data = memoryview(under_way[0][0].result())
                proven = True
                if len(data) < under_way[0][2]:
                    size = min(size, start)  # the object ends here, whatever its record says
                yield data
                del data
                budget.give_back(under_way.popleft()[1])
        finally:
            for future, taken, _ in under_way:
                future.cancel()
                future.add_done_callback(partial(_give_back, budget, taken))


def _give_back(budget: ByteBudget, taken: int, _: object) -> None:
    budget.give_back(taken)


def _copy_range(fetch: Fetch, target: IO[bytes] | None, start: int, end: int) -> Buffer:
    data = fetch(start, end)
    if target is not None:
        view, at = memoryview(data), start
        while view:
            written = os.pwrite(target.fileno(), view, at)
            view, at = view[written:], at + written
    return data


class RangeReader(io.RawIOBase):
    """Reads an object once, from start to end, in ranges that are fetched ahead; ``digest`` receives all bytes first.

    Args:
        fetch: returns a range.
        size: the expected size of the object, in bytes.
        digest: receives every byte before it is returned.
        at_end: called with the number of bytes once all were read, before the last of them are returned; it raises if
            the content is wrong.
        on_bytes: called with the number of bytes of each part.
        prove_size: as for :func:`in_order`.
    """

    def __init__(
        self,
        fetch: Fetch,
        size: int,
        digest: Digest,
        at_end: Callable[[int], None],
        on_bytes: OnBytes,
        *,
        prove_size: Callable[[], object] | None = None,
    ) -> None:
        self._ranges = in_order(fetch, size, modest=True, prove_size=prove_size)
        self._size = size
        self._digest = digest
        self._at_end = at_end
        self._on_bytes = on_bytes
        self._passed = 0
        self._data = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes, as many as are in memory; at least one before the end; all if it is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(RANGE_BYTES), b""))
        if not self._data:
            self._data = memoryview(b"")  # releases the range that it was a part of
            self._data = self._next()
        chunk, self._data = bytes(self._data[:size]), self._data[size:]
        return chunk

    def _next(self) -> memoryview:
        data = next(self._ranges, None)
        if data is None:
            return memoryview(b"")
        self._digest.update(data)
        self._passed += len(data)
        self._on_bytes(len(data))
        if self._passed >= self._size:
            self._at_end(self._passed)
        return data

    def close(self) -> None:
        """Stop fetching."""
        if not self.closed:
            self._data = memoryview(b"")
            self._ranges.close()
        super().close()


def not_told(size: int) -> None:
    """Report no progress: for bytes that are read a second time."""


def write_all(target: IO[bytes], data: Buffer) -> None:
    """Write all of ``data`` to an unbuffered file."""
    view = memoryview(data)
    while view:
        view = view[target.write(view) :]
