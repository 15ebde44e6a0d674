"""Progress of an operation, as a callback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metamlflow._bars import Bar


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an operation.

    Attributes:
        operation: ``register``, ``download``, ``verify``, ``repair``, ``migrate``, ``compare``, ``relocate``, ``fsck``,
            ``usage``, ``collect``, or ``copy`` (of pointed data).
        files: number of files done so far.
        bytes: number of bytes done so far.
        total_files: total number of files, or None while it is unknown.
        total_bytes: total number of bytes, or None while it is unknown.
        reference: the version in progress, such as ``features@2``, if the operation covers many; else empty.
    """

    operation: str
    files: int = 0
    bytes: int = 0
    total_files: int | None = None
    total_bytes: int | None = None
    reference: str = ""

    @property
    def finishing(self) -> bool:
        """Whether everything was counted. The rest takes a while: flushing to the disk, the commit, names.

        A full progress bar would seem to hang; show that the operation is finishing. It is done when the call returns.
        """
        if self.total_bytes:
            return self.bytes == self.total_bytes
        return self.total_files is not None and self.files >= self.total_files


Told = Callable[[Progress], None]
ProgressCallback = Told | bool
"""Called after each file and, within large ones, as bytes pass; never by two threads at once.

``True`` shows a bar instead: in the terminal of stderr, or in a notebook; elsewhere nothing. ``False`` is None.
"""


class _Screen:
    """The one bar of an operation, and of all that it calls."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._is_new = True

    def told(self) -> Told | None:
        """Return the function that shows a state; None if there is no screen."""
        if self._is_new:
            from metamlflow._bars import new_bar

            self._bar, self._is_new = new_bar(), False
        return None if self._bar is None else self._bar.show

    def close(self) -> None:
        """Remove the bar, if one was shown."""
        if self._bar is not None:
            self._bar.close()


_screen: ContextVar[_Screen | None] = ContextVar("metamlflow_screen", default=None)


class CallbackError(BaseException):
    """Carries an exception of a callback past all code that would take it for a failure of the storage or of a source.

    An example is a broken pipe at the terminal. :func:`callback_errors` unwraps it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def callback_errors() -> Iterator[None]:
    """Raise a callback's exception unchanged, and close the bar at the end. A decorator around a whole operation."""
    outer = _screen.get()
    screen = outer or _Screen()
    _screen.set(screen)
    try:
        yield
    except CallbackError as failure:
        raise failure.error from failure.error.__cause__
    finally:
        _screen.set(outer)
        if outer is None:
            screen.close()


def _told(callback: ProgressCallback | None) -> Told | None:
    """Return the function to call with each state: the caller's, or that of a new bar if one was asked for."""
    if not isinstance(callback, bool):
        return callback
    screen = _screen.get()
    return screen.told() if callback and screen is not None else None


class TwoPasses:
    """Counts content that is read twice, to be hashed and to be stored: half of its bytes at each reading.

    If all bytes were counted while they are hashed, a bar would stand at its end during the whole upload. A third
    reading, for another attempt, is not counted; content that need not be stored is counted by :meth:`complete`.
    """

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        self._size = self._told = 0

    def hashed(self, size: int) -> None:
        """Count bytes that were hashed."""
        self._size += size
        self._tell(self._size // 2)

    def stored(self, position: int) -> None:
        """Count the bytes up to a position that were read to be stored."""
        half = self._size // 2
        self._tell(half + min(position * (self._size - half) // max(self._size, 1), self._size - half))

    def complete(self) -> None:
        """Count all bytes that were not counted yet."""
        if self._told < self._size:
            self._tell(self._size)

    def _tell(self, until: int) -> None:
        more = max(until - self._told, 0)
        self._told += more
        self._on_bytes(more)  # even if zero: the callback may cancel here


class Counter:
    """Adds up the work of several threads and reports it to the callback."""

    def __init__(
        self,
        operation: str,
        callback: ProgressCallback | None,
        *,
        total_files: int | None = None,
        total_bytes: int | None = None,
        reference: str = "",
    ) -> None:
        self._callback = _told(callback)
        self._cancelled = False
        self._lock = threading.Lock()
        self._state = Progress(operation, total_files=total_files, total_bytes=total_bytes, reference=reference)
        self._tell()

    def cancel(self) -> None:
        """Make every later :meth:`add` raise CancelledError: a thread that reads a large file stops soon."""
        self._cancelled = True

    def add(self, *, files: int = 0, size: int = 0) -> None:
        """Count finished files and bytes."""
        if self._cancelled:
            raise CancelledError
        if self._callback is None:
            return
        with self._lock:
            state = self._state
            self._state = replace(state, files=state.files + files, bytes=state.bytes + size)
            self._tell()

    def _tell(self) -> None:
        if self._callback is None:
            return
        try:
            self._callback(self._state)
        except Exception as error:  # the callback is the caller's code and may raise anything
            raise CallbackError(error) from error
