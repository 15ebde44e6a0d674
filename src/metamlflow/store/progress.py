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
        operation: ``register``, ``download``, ``verify``, ``migrate``, ``compare``, ``relocate``, or ``copy`` (of
            what is only pointed to).
        files: done so far.
        bytes: done so far.
        total_files: in all, or None while that is not known.
        total_bytes: in all, or None while that is not known.
    """

    operation: str
    files: int = 0
    bytes: int = 0
    total_files: int | None = None
    total_bytes: int | None = None

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


class Counter:
    """Adds up what several threads have done and tells the callback."""

    def __init__(
        self,
        operation: str,
        callback: ProgressCallback | None,
        *,
        total_files: int | None = None,
        total_bytes: int | None = None,
    ) -> None:
        self._callback = callback
        self._cancelled = False
        self._lock = threading.Lock()
        self._state = Progress(operation, total_files=total_files, total_bytes=total_bytes)
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
