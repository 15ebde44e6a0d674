"""What does not survive a fork: connections, event loops and locks are made anew in a child, in this one place."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that is made when it is first asked for, and anew in each process that was forked. Thread-safe.

    The value of the parent is kept and never closed: closing it would wait for threads that the child does not have.

    Args:
        make: makes the value. What it raises is passed on, and it is called again the next time.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._inherited: list[object] = []
        self._made: tuple[int, T] | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def get(self) -> T:
        """Return the value of this process."""
        made, pid = self._made, os.getpid()
        if made is not None and made[0] == pid:
            return made[1]
        with self._lock_of(pid):
            if self._made is None:
                self._made = pid, self._make()
            return self._made[1]

    @property
    def made(self) -> T | None:
        """The value of this process, or None if nothing has asked for it yet."""
        made = self._made
        return made[1] if made is not None and made[0] == os.getpid() else None

    def _lock_of(self, pid: int) -> threading.Lock:
        with _renewing:
            if self._pid != pid:  # another thread may have held the lock when this process was forked
                self._inherited.append(self._made)
                self._made, self._lock, self._pid = None, threading.Lock(), pid
            return self._lock


_renewing = threading.Lock()


def _renew() -> None:
    global _renewing  # noqa: PLW0603 (a child has none of the threads that would free it)
    _renewing = threading.Lock()


os.register_at_fork(after_in_child=_renew)
