"""The scheduler of work on many files: in order, bounded in memory, with more parallelism for slower storage.

Quick work (hashing a small file) is done in the calling thread while workers move earlier files. The number of workers
follows from the storage's response time: by Little's law it is the number of items that arrive during one request. So
16 workers suffice for a storage nearby, and 250 for one that answers in 50 ms.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from metamlflow.backend.budget import content_budget
from metamlflow.backend.threads import ThreadPool
from metamlflow.store.transfer.progress import CallbackError

QUICK_BYTES = 64 * 1024
"""Content up to this size, in bytes, takes less time to process than the request that moves it."""
LEAST_WORKERS, MOST_WORKERS = 16, 256
BATCH_BYTES = 1024 * 1024
AHEAD = 1024  # the most batches that wait for an earlier one
_ITEM_SECONDS = 200e-6  # this machine's own work on an item; a faster storage needs no more workers
_READY = 64
_AWAKE_SECONDS = 1.0

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Ready(Generic[R]):
    """An item that needs no more work, and its result."""

    result: R


def in_parallel(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    first: Callable[[T], T | Ready[R]] | None = None,
    size_of: Callable[[T], int | None] = lambda _: 0,
    cancel: Callable[[], None] | None = None,
) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in the order of the items, with a bounded number of them under way.

    ``items`` may be lazy and endless; it is read in the calling thread. The first failure (also of ``items``, or a
    Ctrl-C) cancels the items that have not begun, calls ``cancel`` and waits for those that have; further failures are
    attached to it as notes. No thread outlives the iteration.

    Args:
        work: called in worker threads.
        items: the items to process.
        first: quick work, done in the calling thread; it returns the item for ``work``, or its result.
        size_of: how many bytes of an item ``first`` and ``work`` hold in memory. None: any number; then ``work`` takes
            memory from the budget itself, part by part.
        cancel: tells running work that its results are no longer needed.
    """
    run = _Run(work, first, size_of)
    try:
        for item in items:
            run.admit(item)
            yield from run.finished()
        yield from run.rest()
    except BaseException as failure:
        if cancel:
            cancel()
        for error in run.abandon():
            if error is not failure and isinstance(error, Exception):
                failure.add_note(f"also failed: {error}")
        raise
    finally:
        run.pool.shutdown(wait=True, cancel_futures=True)


class _Gauge:
    """How many workers and how large batches to use, derived from the least time that a small item took."""

    def __init__(self) -> None:
        self._least = 0.0
        self.limit = LEAST_WORKERS
        self.batch = 1  # until the time of an item is known: a batch takes as long as all of its items

    def observe(self, seconds: float) -> None:
        """Record how long an item took; of two calls at the same time, one may be lost."""
        if not self._least or seconds < self._least:
            self._least = seconds
            self.limit = min(max(int(seconds / _ITEM_SECONDS), LEAST_WORKERS), MOST_WORKERS)
            # For quick items, handing each one over separately would cost as much as the item itself.
            self.batch = max(1, LEAST_WORKERS * LEAST_WORKERS // self.limit)


class _Run(Generic[T, R]):
    """One iteration: its waiting, running and finished items."""

    def __init__(
        self, work: Callable[[T], R], first: Callable[[T], T | Ready[R]] | None, size_of: Callable[[T], int | None]
    ) -> None:
        self._work = work
        self._first = first
        self._size_of = size_of
        self._budget = content_budget()
        self._gauge = _Gauge()
        self._changed = threading.Condition()
        self._running = 0
        self._by_themselves = 0  # of the running batches: those that take memory themselves, and may wait for some
        self._failed: Future[list[R]] | None = None
        self._done: deque[Future[list[R]] | list[R]] = deque()
        self._batch = _Batch()
        self.pool = ThreadPool(2 * MOST_WORKERS)

    def admit(self, item: T) -> None:
        """Accept the next item; wait until there is room for it."""
        size = self._size_of(item)
        if size is None:
            self._hand_over()  # this item may wait for memory in its worker, so no pending batch may hold any meanwhile
        taken = self._take(size or 0)
        self._batch.taken += taken
        self._batch.by_itself = size is None
        element: Any = item if self._first is None or size is None else self._first(item)
        if isinstance(element, Ready):
            self._batch.taken -= taken
            self._budget.give_back(taken)
            self._batch.elements.append(element)
        else:
            self._batch.elements.append((element, size is not None and size <= QUICK_BYTES))
            self._batch.works += 1
        full = self._batch.works >= self._gauge.batch or len(self._batch.elements) >= _READY
        if full or size is None or self._batch.taken >= BATCH_BYTES:
            self._hand_over()

    def finished(self) -> Iterator[R]:
        """Yield the finished results that are next in order."""
        while self._done and (isinstance(head := self._done[0], list) or head.done()):
            self._done.popleft()
            yield from head if isinstance(head, list) else head.result()

    def rest(self) -> Iterator[R]:
        """Wait for all running items and yield their results."""
        if not self._done and self._batch.elements:  # so few that a thread would cost more than it saves
            batch, self._batch = self._batch, _Batch()
            try:
                yield from self._carry_out(batch)
            finally:
                self._budget.give_back(batch.taken)
            return
        self._hand_over()
        while self._done:
            self._wait(lambda: isinstance(self._done[0], list) or self._done[0].done())
            yield from self.finished()

    def abandon(self) -> Iterator[BaseException]:
        """Start nothing more, wait for the running items, and yield the further failures."""
        self._budget.give_back(self._batch.taken)
        futures = [future for future in self._done if isinstance(future, Future)]
        for future in futures:
            future.cancel()
        self.pool.shutdown(wait=True, cancel_futures=True)
        for future in futures:
            error = None if future.cancelled() else future.exception()
            if error is not None and not isinstance(error, CancelledError | CallbackError):
                yield error

    def _take(self, size: int) -> int:
        taken = self._budget.take_at_once(size)
        if taken is None:
            self._hand_over()  # while this thread waits for memory, its own pending batch must not hold any
            taken = self._budget.take(size)
        return taken

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if not batch.works:
            if batch.elements:
                self._done.append([element.result for element in batch.elements])
            return
        try:
            # A batch that holds memory must not queue behind one that waits for memory, or both wait for ever.
            self._wait(lambda: self._ahead_of(batch) < self._gauge.limit and self._is_near())
            with self._changed:
                self._running += 1
                self._by_themselves += batch.by_itself
            future = self.pool.submit(self._carry_out, batch)
        except BaseException:
            self._budget.give_back(batch.taken)
            raise
        self._done.append(future)
        future.add_done_callback(partial(self._note_end, batch.taken, batch.by_itself))

    def _ahead_of(self, batch: _Batch) -> int:
        return self._running if batch.by_itself else self._running - self._by_themselves

    def _is_near(self) -> bool:
        return len(self._done) < AHEAD or isinstance(self._done[0], list) or self._done[0].done()

    def _carry_out(self, batch: _Batch) -> list[R]:
        """Process a batch. Runs in a worker thread."""
        results: list[R] = []
        for element in batch.elements:
            if isinstance(element, Ready):
                results.append(element.result)
                continue
            item, is_quick = element
            began = time.perf_counter()
            results.append(self._work(item))
            if is_quick:
                self._gauge.observe(time.perf_counter() - began)
        return results

    def _note_end(self, taken: int, by_itself: bool, future: Future[list[R]]) -> None:  # noqa: FBT001 (bound)
        self._budget.give_back(taken)
        with self._changed:
            self._running -= 1
            self._by_themselves -= by_itself
            if not future.cancelled() and future.exception() is not None:
                self._failed = self._failed or future
            self._changed.notify_all()

    def _wait(self, until: Callable[[], bool]) -> None:
        """Wait for a condition; raise at once if a worker fails, because that ends the iteration."""
        with self._changed:
            # A Ctrl-C wakes the main thread, unless the system lets another thread take it: so it wakes by itself.
            while not self._changed.wait_for(lambda: self._failed is not None or until(), _AWAKE_SECONDS):
                pass
            failed = self._failed
        if failed is not None:
            failed.result()


class _Batch:
    """Items that are handed to a worker together, so that the work is worth the hand-over."""

    __slots__ = ("by_itself", "elements", "taken", "works")

    def __init__(self) -> None:
        self.elements: list[Any] = []
        self.works = 0
        self.taken = 0
        self.by_itself = False
