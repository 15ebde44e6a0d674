"""Delete garbage in batches, several at a time; go on after a batch that failed, and stop after some in a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice

from metamlflow.backend import DeleteFailure, delete_seen
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import (
    ConflictError,
    MetaMLFlowError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageUnavailableError,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.report import FailedDeletion
from metamlflow.store.retain.collecting.series import Turn
from metamlflow.store.retain.collecting.sweeping import Candidate
from metamlflow.store.transfer.progress import Counter

BATCH = 1_000
AT_A_TIME = 4
FAILED_IN_A_ROW = 3
"""So many batches of which nothing was deleted end a collection: the storage is down, or refuses it all."""
_THROTTLED_ATTEMPTS = 4
_MOST_NAMED = 10_000
_UnderWay = deque[tuple[list[Candidate], Future[list[DeleteFailure]]]]


@dataclass
class Deleted:
    """What became of garbage.

    Attributes:
        deleted: how many objects were deleted, for certain.
        freed: their bytes.
        left: how many were gone already, or are another object by now.
        failed: those that were not deleted, or perhaps; each with its owner.
        failures: how many those are.
        stopped: why not all were tried, or None.
    """

    deleted: int = 0
    freed: int = 0
    left: int = 0
    failed: list[tuple[FailedDeletion, int]] = field(default_factory=list)
    failures: int = 0
    stopped: str | None = None


class Deletions:
    """Deletes objects while it is this collection's turn.

    Args:
        store: the store.
        turn: the turn.
        counter: counts objects and bytes.
    """

    def __init__(self, store: Store, turn: Turn, counter: Counter) -> None:
        self._store = store
        self._turn = turn
        self._counter = counter
        self._in_a_row = 0
        self.outcome = Deleted()

    def run(self, candidates: Iterable[Candidate]) -> None:
        """Delete what is garbage. Whatever fails is named in the outcome; nothing is tried twice.

        Raises:
            ConflictError: another collection has begun, or the store is another one.
            StoreFormatError: a feature was turned on that is not known.
        """
        under_way: _UnderWay = deque()
        try:
            with ThreadPool(AT_A_TIME, "metamlflow-delete") as pool:
                for batch in _batches(candidates):
                    if len(under_way) == AT_A_TIME:
                        self._take_in(under_way)
                    if self.outcome.stopped:
                        break
                    self._store.recheck_if_due()
                    self._turn.renew_if_due()
                    self._turn.deletes = True
                    under_way.append((batch, pool.submit(self._delete, batch)))
                while under_way:
                    self._take_in(under_way)
        finally:  # the pool has waited for what was under way
            for batch, done in under_way:
                if done.done() and not done.cancelled() and done.exception() is None:
                    self._count(batch, done.result())

    def _delete(self, batch: Sequence[Candidate]) -> list[DeleteFailure]:
        left, failures = [candidate.info for candidate in batch], list[DeleteFailure]()
        for attempt in range(1, _THROTTLED_ATTEMPTS + 1):
            if not self._turn.lasts:  # this thread was held up: another collection may begin before a request lands
                return failures + [DeleteFailure(info.key, _not_sent(info.key)) for info in left]
            failed = delete_seen(self._store.backend, left)
            again = {failure.key for failure in failed if _is_throttled(failure.error)}
            failures += [failure for failure in failed if failure.key not in again]
            if not again:
                break
            if attempt == _THROTTLED_ATTEMPTS:
                failures += [failure for failure in failed if failure.key in again]
                break
            left = [info for info in left if info.key in again]  # the storage said that it did nothing
            self._store.clock.back_off(attempt, first=0.5)
        return failures

    def _take_in(self, under_way: _UnderWay) -> None:
        """Wait for the first batch; count it, and tell."""
        batch, done = under_way[0]
        failures = done.result()  # a Ctrl-C here leaves the batch where it is
        under_way.popleft()
        self._count(batch, failures)
        self._counter.add(files=len(batch), size=sum(candidate.info.size for candidate in batch))

    def _count(self, batch: Sequence[Candidate], failed: Iterable[DeleteFailure]) -> None:
        outcome, failures = self.outcome, {failure.key: failure.error for failure in failed}
        gone = good = 0
        for candidate in batch:
            error = failures.get(candidate.info.key)
            if error is None:
                good += 1
                outcome.freed += candidate.info.size
            elif isinstance(error, ObjectNotFoundError | ConflictError):
                gone += 1
            else:
                self._note(candidate, error)
        outcome.deleted += good
        outcome.left += gone
        self._in_a_row = 0 if good or gone else self._in_a_row + 1
        if self._in_a_row >= FAILED_IN_A_ROW and outcome.stopped is None:
            last = outcome.failed[-1][0].reason if outcome.failed else ""
            outcome.stopped = f"{FAILED_IN_A_ROW} batches in a row failed: {last}"

    def _note(self, candidate: Candidate, error: Exception) -> None:
        unclear = isinstance(error, OutcomeUnknownError)
        self._turn.unclear = self._turn.unclear or unclear
        self.outcome.failures += 1
        if len(self.outcome.failed) < _MOST_NAMED:
            reason = error.message if isinstance(error, MetaMLFlowError) else str(error)
            failed = FailedDeletion(candidate.info.key, None, reason, unclear)
            self.outcome.failed.append((failed, candidate.owner))


def _batches(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    left = iter(candidates)
    while batch := list(islice(left, BATCH)):
        yield batch


def _not_sent(key: str) -> ConflictError:
    return ConflictError(f"{key}: left for the next collection, since this one's turn was over", key=key)


def _is_throttled(error: Exception) -> bool:
    return isinstance(error, StorageUnavailableError) and error.throttled
