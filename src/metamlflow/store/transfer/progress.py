"""Progress of an operation, as a callback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is.

    Attributes:
        operation: ``register``, ``download``, ``verify``, ``repair``, ``migrate``, ``compare``, ``relocate``, or
            ``copy`` (of what is only pointed to).
        files: done so far.
        bytes: done so far.
        total_files: in all, or None while that is not known.
        total_bytes: in all, or None while that is not known.
        reference: the version that is being worked on, such as ``features@2``, where one of many is; else empty.
    """

    operation: str
    files: int = 0
    bytes: int = 0
    total_files: int | None = None
    total_bytes: int | None = None
    reference: str = ""

    @property
    def finishing(self) -> bool:
        """Whether everything was counted. What is left takes a while: writing through to the disk, the commit, names.

        A bar that stands at its end would seem to hang; say instead that it ends. The call is done when it returns.
        """
        if self.total_bytes:
            return self.bytes == self.total_bytes
        return self.total_files is not None and self.files >= self.total_files


ProgressCallback = Callable[[Progress], None]
"""Called after each file and, within large ones, as bytes pass; never by two threads at once."""


class CallbackError(BaseException):
    """Carries what a callback raised past all that would take it for a failure of the storage or of a source.

    A broken pipe at the terminal, say, is neither. :func:`callback_errors` unwraps it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def callback_errors() -> Iterator[None]:
    """Raise what a callback raised as it was. Around a whole operation, as a decorator."""
    try:
        yield
    except CallbackError as failure:
        raise failure.error from failure.error.__cause__


class TwoPasses:
    """Counts content that is read twice, to be hashed and to be stored: half of its bytes at each reading.

    A bar that counted them all while they are hashed would stand at its end for as long as the upload takes. What is
    read a third time, for another try, counts no more; what need not be stored counts when it is :meth:`complete`.
    """

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        self._size = self._told = 0

    def hashed(self, size: int) -> None:
        """Count bytes that were hashed."""
        self._size += size
        self._tell(self._size // 2)

    def stored(self, position: int) -> None:
        """Count bytes up to a position that were read to be stored."""
        half = self._size // 2
        self._tell(half + min(position * (self._size - half) // max(self._size, 1), self._size - half))

    def complete(self) -> None:
        """Count what was not counted yet."""
        if self._told < self._size:
            self._tell(self._size)

    def _tell(self, until: int) -> None:
        more = max(until - self._told, 0)
        self._told += more
        self._on_bytes(more)  # also of nothing: this is the place to be cancelled


class Counter:
    """Adds up what several threads have done and tells the callback."""

    def __init__(
        self,
        operation: str,
        callback: ProgressCallback | None,
        *,
        total_files: int | None = None,
        total_bytes: int | None = None,
        reference: str = "",
    ) -> None:
        self._callback = callback
        self._cancelled = False
        self._lock = threading.Lock()
        self._state = Progress(operation, total_files=total_files, total_bytes=total_bytes, reference=reference)
        self._tell()

    def cancel(self) -> None:
        """Make every later :meth:`add` raise CancelledError: threads at work on a large file end at its next bytes."""
        self._cancelled = True

    def add(self, *, files: int = 0, size: int = 0) -> None:
        """Count finished files and bytes that passed."""
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
        except Exception as error:  # whatever a caller's code raises
            raise CallbackError(error) from error
