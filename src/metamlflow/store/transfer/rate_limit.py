"""Limit the rate of a long job, so that it leaves capacity of the storage to others."""

from __future__ import annotations

import threading
import time

from metamlflow.errors import InvalidInputError


class RateLimit:
    """Lets at most this many objects and bytes pass per second, averaged over a short time. Thread-safe and picklable.

    Args:
        objects: objects examined or read per second; None for no limit.
        bytes_: bytes read per second; None for no limit.
    """

    def __init__(self, objects: float | None = None, bytes_: float | None = None) -> None:
        for name, limit in (("objects_per_second", objects), ("bytes_per_second", bytes_)):
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if limit is not None and not (number and limit > 0):
                raise InvalidInputError(f"{name} is a number above 0, not {limit!r:.80}")
        self.rates = objects, bytes_
        self._lock = threading.Lock()
        self._free = [0.0, 0.0]

    def __getstate__(self) -> tuple[float | None, float | None]:
        return self.rates

    def __setstate__(self, state: tuple[float | None, float | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def take(self, *, objects: int = 0, size: int = 0) -> None:
        """Wait until this many objects and bytes may pass."""
        wait = 0.0
        for place, amount in enumerate((objects, size)):
            rate = self.rates[place]
            if rate is None or not amount:
                continue
            with self._lock:
                now = time.monotonic()
                start = max(self._free[place], now)
                self._free[place] = start + amount / rate
            wait = max(wait, start - now)
        if wait > 0:
            time.sleep(wait)
