"""Large content out of a bucket: ranges of it in parallel, written where they belong, hashed in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Protocol

from metamlflow.backend.budget import content_budget
from metamlflow.store.staging import OnBytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

RANGE_BYTES = 16 * 1024 * 1024
_AT_A_TIME = 4


class Digest(Protocol):
    """What takes in content in its order."""

    def update(self, data: Buffer, /) -> None:
        """Take in the next bytes."""


Fetch = Callable[[int, int], "Buffer"]
"""Returns the bytes from a start to before an end, fewer at the object's end; repeats what may pass."""


def copy_ranges(fetch: Fetch, size: int, digest: Digest, target: IO[bytes] | None, on_bytes: OnBytes) -> int:
    """Read an object of ``size`` bytes once, in order into ``digest``, and to ``target``, a new file, if one is given.

    Returns how many bytes there were. The last range asks for a byte more, which only an object that is longer than it
    should be has: the caller compares.
    """
    budget = content_budget()
    count = 0
    under_way: deque[tuple[Future[Buffer], int]] = deque()
    starts = deque(range(0, size, RANGE_BYTES))
    with ThreadPoolExecutor(_AT_A_TIME, "metamlflow-range") as pool:
        try:
            while starts or under_way:
                while starts and len(under_way) < _AT_A_TIME:
                    taken = budget.take_at_once(RANGE_BYTES) if under_way else budget.take(RANGE_BYTES)
                    if taken is None:
                        break  # another file has it; what is under way gives back its own
                    start = starts.popleft()
                    end = min(start + RANGE_BYTES, size + 1)
                    under_way.append((pool.submit(_copy_range, fetch, start, end, target), taken))
                future, _ = under_way[0]
                data = memoryview(future.result())
                digest.update(data)
                count += len(data)
                on_bytes(len(data))
                del data, future
                budget.give_back(under_way.popleft()[1])
        finally:
            for future, taken in under_way:
                future.cancel()
                budget.give_back(taken)
    return count


def _copy_range(fetch: Fetch, start: int, end: int, target: IO[bytes] | None) -> Buffer:
    data = fetch(start, end)
    if target is not None:
        view, at = memoryview(data), start
        while view:
            written = os.pwrite(target.fileno(), view, at)
            view, at = view[written:], at + written
    return data


def write_all(target: IO[bytes], data: Buffer) -> None:
    """Write all of ``data`` to a file without a buffer."""
    view = memoryview(data)
    while view:
        view = view[target.write(view) :]
