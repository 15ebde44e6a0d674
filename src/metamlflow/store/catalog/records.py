"""Create a record exactly once, although an error does not tell whether the record was created."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import TypeVar

from metamlflow.backend import Backend, ConfirmsCreation
from metamlflow.errors import (
    AccessDeniedError,
    IntegrityError,
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
"""How long a creation retries in total while the storage reports too many requests; other clients may be before it."""
_LONGEST_PAUSE_SECONDS = 4.0
_UNSEEN = 16  # consecutive losses of one key, some ten seconds: longer than a listing can lag
# NotFoundError: of the bucket; a missing key is what a creation needs. StorageError itself, without its subclasses: an
# explicit refusal, such as a status of 400.
_DEFINITE = (AccessDeniedError, StorageFullError, InvalidInputError, NotFoundError)
_log = logging.getLogger(__name__)

T = TypeVar("T")


def _always() -> bool:
    return True


class Losses:
    """The numbered records that one call failed to claim: how long to wait, and when to give up.

    A caller that loses a number lists again, sees the record with that number, and claims a later one. If a listing
    never showed that record, the call would repeat for ever.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = ""
        self._in_a_row = 0
        self.count = 0

    def note(self, key: str) -> None:
        """Wait after ``key`` was lost.

        Raises:
            StorageError: it was lost again and again, so the listings do not show the record at this key.
        """
        self.count += 1
        self._in_a_row = self._in_a_row + 1 if key == self._key else 1
        self._key = key
        if self._in_a_row >= _UNSEEN:
            raise StorageError(
                f"{key} exists, but the storage's listings do not show it; nothing was written",
                hint="Check whether these credentials may list all of the store, and whether a cache or a filter is "
                "in front of it. `metamlflow doctor` tells more.",
                key=key,
            )
        self._clock.back_off(min(self.count, 6))


def create_exclusively(
    backend: Backend, key: str, data: bytes, record_id: str, clock: Clock, *, in_time: Callable[[], bool] = _always
) -> bytes | None:
    """Create the record ``data``, which carries ``record_id``, at ``key``; return the record if it is ours, else None.

    After any error the key is read: SDKs repeat calls below us and report a conflict with our own write, and a write
    may complete after its client gave up. If the record is ours: success. Another writer's: None. Absent: try the same
    key again.

    Args:
        backend: the storage.
        key: the key of the record.
        data: the record.
        record_id: identifies a stored record as ours. Several writers may share one; then the stored and returned
            record may have another writer's ``data``.
        clock: for waiting.
        in_time: called before each further attempt; if it returns False, no attempt follows.

    Raises:
        OutcomeUnknownError: after all attempts the key could not be read, or is absent and a write may still complete.
        UnsupportedStoreError: the storage does not refuse to create a key that exists, or does not know the request.
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
            raise  # even if the record exists: another writer could replace it
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
        except StorageError as error:  # absent, or its state is unknown
            if not unclear:
                raise failure from None  # refused for good
            _log.debug("read back %s: %s", key, error)
        else:
            return stored if _is_ours(backend, key, stored, record_id) else None
    raise OutcomeUnknownError(
        f"{key}: the record {record_id} may or may not have been created: {failure}",
        hint="Check again when the storage answers: a record that exists is complete. Do not assume that it failed.",
        key=key,
        record_id=record_id,
    ) from failure


def _is_ours(backend: Backend, key: str, stored: bytes, record_id: str) -> bool:
    """Whether the stored record is this writer's, and cannot have replaced another."""
    if record_id_of(stored) != record_id:
        return False
    if isinstance(backend, ConfirmsCreation):
        backend.confirm(key, stored)
    return True


def create_before_commit(backend: Backend, key: str, data: bytes, record_id: str, clock: Clock) -> bytes | None:
    """Create a record that must exist before a commit, like :func:`create_exclusively`.

    While the outcome is unclear, the caller registers nothing.

    Raises:
        StorageUnavailableError: after all attempts it is unknown whether the record exists.
        StorageError: the storage refused for good (access, space).
    """
    try:
        return create_exclusively(backend, key, data, record_id, clock)
    except OutcomeUnknownError as error:
        raise StorageUnavailableError(
            f"{key}: it is not certain whether the record was created: {error.__cause__}",
            hint="Nothing was registered. Try again; a record that exists by then is found and used.",
            key=key,
        ) from error


def with_retries(call: Callable[[], T], clock: Clock) -> T:
    """Return the result of ``call``, after up to four attempts if transient failures occur. For idempotent calls."""
    return _repeated(call, clock, StorageUnavailableError)


def looked_again(look: Callable[[], T], clock: Clock) -> T:
    """Return the result of ``look``, which lists records and reads the newest; retry three times if it has vanished.

    A writer removes its record again if the storage may have let two writers create it (a bucket begins to keep
    versions). No caller was told that the record exists, but others may have seen it in a listing.
    """
    return _repeated(look, clock, ObjectNotFoundError)


def listed_and_missing(key: str) -> IntegrityError:
    """Return the error for a record that the storage lists, and says does not exist when it is read."""
    return IntegrityError(
        f"the storage lists {key}, and says that it does not exist when it is read",
        hint="Read it again; else restore this object from a copy.",
        expected="a record",
        actual="missing",
        key=key,
    )


def key_is_listed(backend: Backend, key: str, clock: Clock) -> bool:
    """Return whether a listing shows an object now: one page of the folder that it is in."""
    folder = key[: key.rfind("/") + 1]

    def found() -> bool:
        for info in backend.list_objects(folder, after=key[:-1]):
            if info.key >= key:
                return info.key == key
        return False

    return with_retries(found, clock)


def read_if_listed(key: str, read: Callable[[], T], is_listed: Callable[[], bool], clock: Clock) -> T | None:
    """Return what ``read`` makes of a record that was listed; None if it is listed no more: its writer took it back.

    Raises:
        IntegrityError: the storage goes on listing it, and saying that it does not exist.
    """

    def look() -> T | None:
        """Read, and if it is not there, look whether it still is listed."""
        try:
            return read()
        except ObjectNotFoundError:
            if is_listed():
                raise
            return None

    try:
        return looked_again(look, clock)
    except ObjectNotFoundError as error:
        raise listed_and_missing(key) from error


def _repeated(call: Callable[[], T], clock: Clock, failure: type[StorageError]) -> T:
    for attempt in range(1, 4):
        try:
            return call()
        except failure as error:
            _log.debug("attempt %d: %s", attempt, error)
            clock.back_off(attempt)
    return call()


def patiently(call: Callable[[], T], clock: Clock) -> T:
    """Return the result of ``call`` like :func:`with_retries`, but wait as long as a rate limit may take.

    For idempotent creations: some storages allow one write per second to a key, and every client writes the marker
    first.
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
    """Numbers of attempts 0, 1, 2, …: each comes after the pause that the last ``failure`` requires."""

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
