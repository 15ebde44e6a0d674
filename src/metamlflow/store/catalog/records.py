"""Creating a record exactly once, although an error says nothing about what happened."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import TypeVar

from metamlflow.backend import Backend, ConfirmsCreation
from metamlflow.errors import (
    AccessDeniedError,
    InvalidInputError,
    MetaMLFlowError,
    NotFoundError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    StoreFormatError,
    UnsupportedStoreError,
)
from metamlflow.format.manifests import record_id_of
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.clock import Clock

ATTEMPTS = 6
RATE_LIMIT_SECONDS = 120.0
"""So long in all a creation waits for a storage that says that it is asked too often; others may be before it."""
_LONGEST_PAUSE_SECONDS = 4.0
_UNSEEN = 16  # losses of one key in a row, some ten seconds: whoever lists lags no longer
# NotFound: of the bucket; that nothing is at the key is what a creation wants. StorageError itself, and none of those
# derived from it: a refusal that was read, such as a status of 400.
_DEFINITE = (AccessDeniedError, StorageFullError, InvalidInputError, NotFoundError)
_log = logging.getLogger(__name__)

T = TypeVar("T")


def _always() -> bool:
    return True


class Losses:
    """Claims of numbered records that one call has lost to others: how long it waits, and when it ends.

    Whoever loses a number lists again, sees the record that has it, and claims a later one. A listing that never shows
    it would let the call go on for ever.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = ""
        self._in_a_row = 0
        self.count = 0

    def note(self, key: str) -> None:
        """Wait after ``key`` was lost.

        Raises:
            StorageError: it was lost time and again, so the listings do not show what lies there.
        """
        self.count += 1
        self._in_a_row = self._in_a_row + 1 if key == self._key else 1
        self._key = key
        if self._in_a_row >= _UNSEEN:
            raise StorageError(
                f"{key} exists, and the storage's listings do not show it; nothing was written",
                hint="Look whether these credentials may list all of the store, and whether a cache or a filter lies "
                "before it. `metamlflow doctor` tells more.",
                key=key,
            )
        self._clock.back_off(min(self.count, 6))


def create_exclusively(
    backend: Backend, key: str, data: bytes, record_id: str, clock: Clock, *, in_time: Callable[[], bool] = _always
) -> bytes | None:
    """Create the record ``data``, which carries ``record_id``, at ``key``; return the record if it is ours, else None.

    After anything but success the key is read: SDKs repeat calls below us and report a conflict with ourselves, and a
    write may land after its client gave up. Ours: success. Another's: None. Absent: the same key again.

    Args:
        backend: where.
        key: of the record.
        data: the record.
        record_id: what tells that a stored record is ours. Several writers may share one; then what was stored, and is
            returned, may be another's ``data``.
        clock: for waiting.
        in_time: asked before each further attempt; once it says no, there is none.

    Raises:
        OutcomeUnknownError: after all attempts the key could not be read, or is absent and a write may still land.
        UnsupportedStoreError: the storage does not refuse to create a key that exists, or knows no such request.
        StorageError: the storage refused for good (access, space), so nothing was or will be written.
    """
    failure: MetaMLFlowError | None = None
    unclear = False
    tries = _Tries(clock, ATTEMPTS)
    for attempt in tries:
        if attempt and not in_time():
            break
        try:
            backend.create(key, data)
        except UnsupportedStoreError:
            raise  # also if the record is in place: another writer could replace it
        except MetaMLFlowError as error:
            _log.debug("create %s: %s", key, error)
            failure = tries.failure = error
        else:
            return data
        unclear = unclear or not (isinstance(failure, _DEFINITE) or type(failure) is StorageError)
        try:
            stored = read_record(backend, key)
        except StoreFormatError:
            return None  # too large for a record, so it is not ours
        except StorageError as error:  # absent, or it does not tell
            if not unclear:
                raise failure from None  # refused for good
            _log.debug("read back %s: %s", key, error)
        else:
            return stored if _is_ours(backend, key, stored, record_id) else None
    raise OutcomeUnknownError(
        f"{key}: the record {record_id} may or may not have been created: {failure}",
        hint="Look again when the storage answers: if the record is there, it is complete. Do not take it for failed.",
        key=key,
        record_id=record_id,
    ) from failure


def _is_ours(backend: Backend, key: str, stored: bytes, record_id: str) -> bool:
    """Whether a record that was found in place is this writer's, and could not have replaced another."""
    if record_id_of(stored) != record_id:
        return False
    if isinstance(backend, ConfirmsCreation):
        backend.confirm(key, stored)
    return True


def create_before_commit(backend: Backend, key: str, data: bytes, record_id: str, clock: Clock) -> bytes | None:
    """Do as :func:`create_exclusively` for a record that goes ahead of a commit.

    While its outcome is unclear nothing is registered.

    Raises:
        StorageUnavailableError: after all attempts it is not known whether the record is there.
        StorageError: the storage refused for good (access, space).
    """
    try:
        return create_exclusively(backend, key, data, record_id, clock)
    except OutcomeUnknownError as error:
        raise StorageUnavailableError(
            f"{key} could not be created for certain: {error.__cause__}",
            hint="Nothing was registered. Try again; what has landed by then is found and used.",
            key=key,
        ) from error


def with_retries(call: Callable[[], T], clock: Clock) -> T:
    """Return what ``call`` returns, after up to four attempts against failures that may pass. For idempotent calls."""
    return _repeated(call, clock, StorageUnavailableError)


def looked_again(look: Callable[[], T], clock: Clock) -> T:
    """Return what ``look`` finds, which lists records and reads the newest; up to four times if that is gone by then.

    A writer takes back a record that the storage let it create although another might have created it as well (a bucket
    begins to keep versions). Nobody was told that it is there, but others may have seen it listed.
    """
    return _repeated(look, clock, ObjectNotFoundError)


def _repeated(call: Callable[[], T], clock: Clock, failure: type[StorageError]) -> T:
    for attempt in range(1, 4):
        try:
            return call()
        except failure as error:
            _log.debug("attempt %d: %s", attempt, error)
            clock.back_off(attempt)
    return call()


def patiently(call: Callable[[], T], clock: Clock) -> T:
    """As :func:`with_retries`, for idempotent creations: waits for as long as a rate limit may take.

    Some storages let one write a second of one key through, and every client's first write is of the marker.
    """
    tries = _Tries(clock, 4)
    for attempt in tries:
        try:
            return call()
        except StorageUnavailableError as error:
            _log.debug("attempt %d: %s", attempt + 1, error)
            tries.failure = error
    assert tries.failure is not None  # noqa: S101 (for the type checker)
    raise tries.failure


class _Tries:
    """Numbers of attempts 0, 1, 2, …: each comes after the pause that the last ``failure`` asks for."""

    def __init__(self, clock: Clock, attempts: int) -> None:
        self._clock = clock
        self._attempts = attempts
        self.failure: MetaMLFlowError | None = None

    def __iter__(self) -> Iterator[int]:
        failures = limited = 0
        waited = 0.0
        yield 0
        while True:
            last = self.failure
            if isinstance(last, StorageUnavailableError) and last.throttled and waited < RATE_LIMIT_SECONDS:
                limited += 1
                pause = random.uniform(0.5, 1) * min(float(2**limited), _LONGEST_PAUSE_SECONDS)  # noqa: S311 (no secret)
                waited += pause
                self._clock.sleep(pause)
            else:
                failures += 1
                if failures >= self._attempts:
                    return
                self._clock.back_off(failures)
            yield failures + limited
