"""How often a failed request is made again, and how long that may take: one rule for every loop of a backend."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is made, and when it is made again.

    Attributes:
        attempts: at most so many in all.
        seconds: no attempt begins later than this after the first: a storm ends soon, and is told.
        first_pause: the longest pause after the first failure, in seconds. Each further one may be twice as long.
        least: the shortest pause, as a share of the longest. The pauses are random in between, which spreads the load.
    """

    attempts: int
    seconds: float = math.inf
    first_pause: float = 0.2
    least: float = 0.0

    def begin(self) -> Tries:
        """Return the count of the attempts of one request, of which the first begins now."""
        return Tries(self)

    def call(self, request: Callable[[], T], passes: Callable[[Exception], bool]) -> T:
        """Return what ``request`` returns; call it again after each failure that ``passes``, for as long as this lasts.

        What it raises last is raised as it is.
        """
        tries = self.begin()
        while True:
            try:
                return request()
            except Exception as error:  # raised again, unless it is one that may pass
                pause = tries.pause()
                if pause is None or not passes(error):
                    raise
            time.sleep(pause)


class Tries:
    """The attempts of one request."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failed = 0
        self._began = time.monotonic()

    def pause(self) -> float | None:
        """Return how many seconds to wait after an attempt that failed, or None if it was the last."""
        patience = self._patience
        self._failed += 1
        if self._failed >= patience.attempts:
            return None
        longest = patience.first_pause * 2 ** (self._failed - 1)
        pause = random.uniform(patience.least, 1) * longest  # noqa: S311 (spreads load)
        return None if time.monotonic() - self._began + pause > patience.seconds else pause
