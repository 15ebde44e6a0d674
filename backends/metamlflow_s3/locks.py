"""Object Lock: for how long a bucket locks new objects, and until when one is locked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from metamlflow.backend.seam import DeleteFailure
from metamlflow.backend.translation import causes_of
from metamlflow.errors import AccessDeniedError, MetaMLFlowError

_NO_LOCK = {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented"}
_ASKED = 100  # objects that could not be deleted; of more, nobody reads the times


def default_lock(call: Callable[..., Any]) -> timedelta | None:
    """Return for how long each new object of a bucket is locked, or None."""
    try:
        answer = call("get_object_lock_configuration")
    except Exception as error:
        if _code_of(error) in _NO_LOCK:
            return None
        raise
    retention = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
    days = int(retention.get("Days") or 0) + 365 * int(retention.get("Years") or 0)
    return timedelta(days=days) or None


def _code_of(error: BaseException) -> str:
    """Return the code of the answer that an error came from; empty if there was none."""
    responses = (getattr(cause, "response", None) for cause in causes_of(error))
    return next((str(it.get("Error", {}).get("Code")) for it in responses if isinstance(it, dict)), "")


def with_lock_times(failures: list[DeleteFailure], head: Callable[[str], Any]) -> list[DeleteFailure]:
    """Return failures, those of locked objects with the time until when they are."""
    told: list[DeleteFailure] = []
    for number, failure in enumerate(failures):
        until = _locked_until(failure, head) if number < _ASKED else None
        error: Exception = failure.error
        if until:
            error = AccessDeniedError(
                f"{failure.key} is locked {until} (Object Lock)",
                hint="Collect again after that. Nobody but who may bypass the lock can delete it before.",
                key=failure.key,
            )
        told.append(DeleteFailure(failure.key, error))
    return told


def _locked_until(failure: DeleteFailure, head: Callable[[str], Any]) -> str | None:
    if not isinstance(failure.error, AccessDeniedError):
        return None
    try:
        answer = head(failure.key)
    except MetaMLFlowError:
        return None
    if answer.get("ObjectLockLegalHoldStatus") == "ON":
        return "by a legal hold"
    until = answer.get("ObjectLockRetainUntilDate")
    if until is None or until <= datetime.now(UTC):
        return None
    return f"until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
