"""Making Ctrl-C quick: the library lets work that has begun end, which for a large file may be long."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CHUNK = 256 * 1024


class Interruption:
    """Whether the user has pressed Ctrl-C, for threads that no signal reaches."""

    def __init__(self) -> None:
        # A byte in the pipe wakes a reader that waits for another file; it stays there, for all later ones.
        self._waiting, self._telling = os.pipe()
        self._requested = False

    def request(self) -> None:
        """Ask all work to stop."""
        if not self._requested:
            self._requested = True
            os.write(self._telling, b"!")

    def check(self) -> None:
        """Raise KeyboardInterrupt if work is to stop."""
        if self._requested:
            raise KeyboardInterrupt

    def wait_for(self, descriptor: int) -> None:
        """Return when a file has something to read, or raise KeyboardInterrupt if work is to stop before it has."""
        select.select([descriptor, self._waiting], [], [])
        self.check()

    def close(self) -> None:
        """Give up the pipe."""
        os.close(self._waiting)
        os.close(self._telling)


class PipeReader:
    """Reads a pipe or terminal from where it stands, and gives way to a Ctrl-C while it waits."""

    def __init__(self, descriptor: int, interruption: Interruption) -> None:
        self._descriptor = descriptor
        self._interruption = interruption

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, as soon as there are any; empty at the end. All that comes if it is negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        self._interruption.wait_for(self._descriptor)
        return os.read(self._descriptor, size)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Yield what a Ctrl-C is told to, besides raising KeyboardInterrupt here."""
    interruption = Interruption()

    def stop(number: int, frame: FrameType | None) -> None:
        interruption.request()
        signal.default_int_handler(number, frame)

    # A shell that starts a command in the background has it ignore Ctrl-C; that stays so.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield interruption
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        interruption.close()
