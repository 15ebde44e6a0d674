"""Time and identity, passed in so that tests can control them."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def elapsed_seconds() -> float:
    """Return seconds on a monotonic clock that, where the system has one, keeps running during suspend."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def new_record_id() -> str:
    """Return a random id of 32 hex digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Clock:
    """The source of time, waiting and randomness. Its functions are module-level, so that it can be pickled."""

    now: Callable[[], datetime] = utc_now
    elapsed: Callable[[], float] = elapsed_seconds
    sleep: Callable[[float], None] = time.sleep
    new_id: Callable[[], str] = new_record_id

    def back_off(self, attempt: int, *, first: float = 0.02, longest: float = 5.0) -> None:
        """Wait before attempt 1, 2, … again: twice as long each time, with full jitter. ``first`` is in seconds."""
        self.sleep(random.uniform(0, min(longest, first * 2**attempt)))  # noqa: S311 (spreads load, keeps no secret)
