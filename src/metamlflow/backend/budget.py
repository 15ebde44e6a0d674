"""The one budget of memory for content on its way: whoever reads bytes to pass them on takes them from here first."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from metamlflow.errors import InvalidInputError

MEMORY_VARIABLE = "METAMLFLOW_TRANSFER_MEMORY"
"""How many MiB of content may be in memory at a time, in this process."""
_DEFAULT_MIB, _LEAST_MIB = 96, 32
_MIB = 1024 * 1024
_AWAKE_SECONDS = 1.0


class ByteBudget:
    """Bytes that may be in memory at a time. Thread-safe; who waits holds nothing, so nobody waits for ever."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    def take(self, size: int) -> int:
        """Wait until ``size`` bytes are free, at most all there are; return how many are to be given back."""
        taken = min(size, self._total)
        with self._changed:
            # A Ctrl-C that the system lets another thread take does not wake this one: so it wakes by itself.
            while not self._changed.wait_for(lambda: self._free >= taken, _AWAKE_SECONDS):
                pass
            self._free -= taken
        return taken

    def take_at_once(self, size: int) -> int | None:
        """Take as :meth:`take` does if that needs no waiting; else take nothing and return None."""
        taken = min(size, self._total)
        with self._changed:
            if self._free < taken:
                return None
            self._free -= taken
        return taken

    def give_back(self, taken: int) -> None:
        """Let others have what :meth:`take` returned."""
        with self._changed:
            self._free += taken
            self._changed.notify_all()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold so many bytes meanwhile."""
        taken = self.take(size)
        try:
            yield
        finally:
            self.give_back(taken)


def content_budget() -> ByteBudget:
    """Return the budget of this process: 96 MiB, or what ``METAMLFLOW_TRANSFER_MEMORY`` said when it was first asked.

    Raises:
        InvalidInputError: the variable is no whole number of at least 32.
    """
    global _budget  # noqa: PLW0603 (one for the process is the point)
    with _lock:
        if _budget is None:
            _budget = ByteBudget(_total())
        return _budget


def _total() -> int:
    text = os.environ.get(MEMORY_VARIABLE) or str(_DEFAULT_MIB)
    if not text.isdecimal() or int(text) < _LEAST_MIB:
        raise InvalidInputError(
            f"{MEMORY_VARIABLE} is {text!r:.40}, not a whole number of MiB from {_LEAST_MIB} on",
            hint=f"Leave it out for {_DEFAULT_MIB} MiB.",
        )
    return int(text) * _MIB


_lock = threading.Lock()
_budget: ByteBudget | None = None


def _forget() -> None:
    """A forked child has none of the threads that would give bytes back, nor that free the lock."""
    global _lock, _budget
    _lock, _budget = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
