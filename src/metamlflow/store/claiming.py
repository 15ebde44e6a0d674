"""Creating a record exactly once, although an error says nothing about what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from metamlflow.backend import Backend
from metamlflow.errors import (
    AccessDeniedError,
    InvalidInputError,
    MetaMLFlowError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    StoreFormatError,
    UnsupportedStoreError,
)
from metamlflow.format.manifests import record_id_of
from metamlflow.store.bounded import read_record
from metamlflow.store.clock import Clock

ATTEMPTS = 6
# NotFound: of the bucket; that nothing is at the key is what a creation wants.
_DEFINITE = (AccessDeniedError, StorageFullError, UnsupportedStoreError, InvalidInputError, NotFoundError)
_log = logging.getLogger("metamlflow")

T = TypeVar("T")


def _always() -> bool:
    return True


def claim(
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
        StorageError: the storage refused for good (access, space), so nothing was or will be written.
    """
    failure: MetaMLFlowError | None = None
    unclear = False
    for attempt in range(ATTEMPTS):
        if attempt:
            clock.back_off(attempt)
            if not in_time():
                break
        try:
            backend.create(key, data)
        except MetaMLFlowError as error:
            _log.debug("create %s: %s", key, error)
            failure = error
        else:
            return data
        unclear = unclear or not isinstance(failure, _DEFINITE)
        try:
            stored = read_record(backend, key)
        except StoreFormatError:
            return None  # too large for a record, so it is not ours
        except StorageError as error:  # absent, or it does not tell
            if not unclear:
                raise failure from None  # refused for good
            _log.debug("read back %s: %s", key, error)
        else:
            return stored if record_id_of(stored) == record_id else None
    raise OutcomeUnknownError(
        f"{key}: the record {record_id} may or may not have been created: {failure}",
        hint="Look again when the storage answers: if the record is there, it is complete. Do not take it for failed.",
        key=key,
        record_id=record_id,
    ) from failure


def claim_ahead(backend: Backend, key: str, data: bytes, record_id: str, clock: Clock) -> bytes | None:
    """As :func:`claim`, for a record that goes ahead of a commit: while its outcome is unclear nothing is registered.

    Raises:
        StorageUnavailableError: after all attempts it is not known whether the record is there.
        StorageError: the storage refused for good (access, space).
    """
    try:
        return claim(backend, key, data, record_id, clock)
    except OutcomeUnknownError as error:
        raise StorageUnavailableError(
            f"{key} could not be created for certain: {error.__cause__}",
            hint="Nothing was registered. Try again; what has landed by then is found and used.",
            key=key,
        ) from error


def retried(call: Callable[[], T], clock: Clock) -> T:
    """Return what ``call`` returns, after up to four attempts against failures that may pass. For idempotent calls."""
    for attempt in range(1, 4):
        try:
            return call()
        except StorageUnavailableError as error:
            _log.debug("attempt %d: %s", attempt, error)
            clock.back_off(attempt)
    return call()
