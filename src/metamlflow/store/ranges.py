"""Large content out of a bucket: ranges of it in parallel, written where they belong, hashed in their order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING

from metamlflow.backend.budget import content_budget
from metamlflow.model.manifests import Entry
from metamlflow.store.claiming import retried
from metamlflow.store.opening import Store
from metamlflow.store.staging import OnBytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

RANGE_BYTES = 16 * 1024 * 1024
_AT_A_TIME = 4


def copy_ranges(store: Store, entry: Entry, target: IO[bytes] | None, on_bytes: OnBytes) -> tuple[str, int]:
    """Read an object once and write it to ``target``, a new file, if one is given; return its SHA-256 and size.

    The object may be another than ``entry`` says: the caller compares. Of one that is longer, one byte more is read.

    Raises:
        ObjectNotFoundError: there is no such object.
    """
    budget = content_budget()
    digest, size = hashlib.sha256(), 0
    under_way: deque[tuple[Future[Buffer], int]] = deque()
    starts = deque(range(0, entry.size, RANGE_BYTES))
    with ThreadPoolExecutor(_AT_A_TIME, "metamlflow-range") as pool:
        try:
            while starts or under_way:
                while starts and len(under_way) < _AT_A_TIME:
                    taken = budget.take_at_once(RANGE_BYTES) if under_way else budget.take(RANGE_BYTES)
                    if taken is None:
                        break  # another file has it; what is under way gives back its own
                    under_way.append((pool.submit(_copy_range, store, entry, starts.popleft(), target), taken))
                future, _ = under_way[0]
                data = memoryview(future.result())
                digest.update(data)
                size += len(data)
                on_bytes(len(data))
                del data, future
                budget.give_back(under_way.popleft()[1])
        finally:
            for future, taken in under_way:
                future.cancel()
                budget.give_back(taken)
    return digest.hexdigest(), size


def _copy_range(store: Store, entry: Entry, start: int, target: IO[bytes] | None) -> Buffer:
    end = start + RANGE_BYTES
    # The last one asks for a byte too many, which only an object that is too long has.
    data = retried(lambda: store.fetch(entry.key, start, min(end, entry.size + 1)), store.clock)
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
