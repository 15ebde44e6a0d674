"""Work that an executor does in other threads, processes or machines. What is lost is repeated, and then done here."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Generic, TypeVar

_ATTEMPTS = 3
_AT_A_TIME = 64  # tasks that are submitted, or finished
_LOOK_SECONDS = 0.2  # how soon a wait for a task notices that it was cancelled
_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
H = TypeVar("H")


class RemoteTask(Generic[T, R]):
    """A task that was submitted to an executor. Whatever it does must bear to be done twice.

    Args:
        executor: runs it.
        work: what it does; errors that the caller is to see are returned, not raised.
        task: what it is given.
        is_whole: whether a result is that of all of the task.
        what: part of messages, such as ``a share of the migration``.
    """

    def __init__(
        self, executor: Executor, work: Callable[[T], R], task: T, is_whole: Callable[[T, object], bool], what: str
    ) -> None:
        self.task = task
        self._executor = executor
        self._work = work
        self._is_whole = is_whole
        self._what = what
        self._attempts = 0
        self._future = self._submit()

    def _submit(self) -> Future[R] | None:
        self._attempts += 1
        try:
            return self._executor.submit(self._work, self.task)
        except Exception as error:  # noqa: BLE001 (broken, or shut down; each executor has its own exceptions)
            _log.warning("the executor takes no more work, which goes on in this process: %s", error)
            return None

    def result(self, check: Callable[[], None]) -> R | None:
        """Wait for the result, calling ``check`` meanwhile; None: the executor could not run it."""
        while (future := self._future) is not None:
            check()
            was_done = future.done()
            try:
                result = future.result(_LOOK_SECONDS)
                if self._is_whole(self.task, result):
                    return result
                reason = "its result is not that of its work"
            except (Exception, CancelledError) as error:  # noqa: BLE001 (any failure of the worker or its transport)
                if not was_done:  # it may be done by now: whether the wait failed or the task, the next round tells
                    continue
                reason = repr(error)
            _log.warning("%s was lost (attempt %d): %s", self._what, self._attempts, reason)
            self._future = self._submit() if self._attempts < _ATTEMPTS else None
        return None

    def cancel(self) -> None:
        """Cancel the task, if it has not begun."""
        if self._future is not None:
            self._future.cancel()


def spread(
    submit: Callable[[T], RemoteTask[T, R]],
    tasks: Iterable[T],
    *,
    here: Callable[[T], H],
    check: Callable[[], None],
    size_of: Callable[[T], int] = lambda _: 0,
    most: int = 1,
) -> Generator[R | H]:
    """Yield the result of each task, in their order. The tasks that are under way are cancelled if it ends early.

    Args:
        submit: gives a task to the executor.
        tasks: may be lazy and endless.
        here: does a task that the executor could not run.
        check: called while it waits; raises to end it.
        size_of: how much memory the result of a task may take.
        most: of memory that results may take together.
    """
    under_way: deque[RemoteTask[T, R]] = deque()
    size = 0
    try:
        for task in tasks:
            while under_way and (len(under_way) >= _AT_A_TIME or size + size_of(task) > most):
                yield _result(under_way[0], here, check)
                size -= size_of(under_way.popleft().task)
            under_way.append(submit(task))
            size += size_of(task)
        while under_way:
            yield _result(under_way[0], here, check)
            under_way.popleft()
    finally:  # the executor belongs to the caller: cancel the tasks that are no longer needed
        for left in under_way:
            left.cancel()


def _result(task: RemoteTask[T, R], here: Callable[[T], H], check: Callable[[], None]) -> R | H:
    result = task.result(check)
    return here(task.task) if result is None else result


def shares(
    items: Iterable[T], size_of: Callable[[T], int], *, most_items: int, most_bytes: int
) -> Iterator[tuple[T, ...]]:
    """Yield items in groups, one for a task each; an item that is larger than a group may be is one by itself."""
    together: list[T] = []
    size = 0
    for item in items:
        if together and (len(together) >= most_items or size + size_of(item) > most_bytes):
            yield tuple(together)
            together, size = [], 0
        together.append(item)
        size += size_of(item)
    if together:
        yield tuple(together)
