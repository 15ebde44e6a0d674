"""The scheduler of work on many files: in order, bounded in memory, and failing as a whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from metamlflow.store.progress import CallbackError

WORKERS = 16
BATCH_FILES = 16
BATCH_BYTES = 4 * 1024 * 1024  # times the batches in flight it stays below the budget of 96 MiB
_AHEAD = WORKERS + 4

T = TypeVar("T")
R = TypeVar("R")


def batches(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Group items so that a thread gets enough to do at once, by count and by bytes. A large item is alone."""
    batch: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if batch and (len(batch) >= BATCH_FILES or total + size > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


def in_parallel(
    work: Callable[[T], R], items: Iterable[T], *, cancel: Callable[[], None] | None = None, workers: int = WORKERS
) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in the order of the items, a bounded number of them at work.

    ``items`` may be lazy and endless; it is read in the calling thread. The first failure (also of ``items``, or a
    Ctrl-C) cancels what has not begun, calls ``cancel`` and waits for what has; further failures are attached to it as
    notes. No thread outlives the iteration.
    """
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="metamlflow")
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            while len(pending) >= _AHEAD or (pending and pending[0].done()):
                yield _next(pending)
        while pending:
            yield _next(pending)
    except BaseException as failure:
        if cancel:
            cancel()
        for future in pending:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
        for error in _failures(pending):
            if error is not failure:
                failure.add_note(f"also failed: {error}")
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _next(pending: deque[Future[R]]) -> R:
    """Wait for the first in the queue, but no longer than until one behind it fails: that ends everything."""
    while not pending[0].done():
        wait([future for future in pending if not future.done()], return_when=FIRST_COMPLETED)
        for future in pending:
            if future.done() and future.exception() is not None:
                future.result()
    return pending.popleft().result()


def _failures(futures: Iterable[Future[R]]) -> Iterator[BaseException]:
    for future in futures:
        try:
            error = future.exception()
        except CancelledError:
            continue
        if error is not None and not isinstance(error, CancelledError | CallbackError):
            yield error
