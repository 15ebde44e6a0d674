"""Quick reaction to Ctrl-C: by itself, the library finishes work that has begun, which is slow for a large file."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from metamlflow.cli.output import note

CHUNK = 256 * 1024


class Interruption:
    """Whether the user has pressed Ctrl-C, for threads that receive no signal."""

    def __init__(self) -> None:
        # A byte in the pipe wakes readers that wait for another file; it is never read, so it wakes later ones too.
        self._waiting, self._telling = os.pipe()
        self._requested = False

    def request(self) -> None:
        """Ask all work to stop."""
        if not self._requested:
            self._requested = True
            os.write(self._telling, b"!")

    def check(self) -> None:
        """Raise KeyboardInterrupt if work must stop."""
        if self._requested:
            raise KeyboardInterrupt

    def wait_for(self, descriptor: int) -> None:
        """Wait until a file has something to read; raise KeyboardInterrupt if work must stop before that."""
        select.select([descriptor, self._waiting], [], [])
        self.check()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._waiting)
        os.close(self._telling)


class PipeReader:
    """Reads a pipe or terminal from its current position; Ctrl-C interrupts its waiting."""

    def __init__(self, descriptor: int, interruption: Interruption) -> None:
        self._descriptor = descriptor
        self._interruption = interruption

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes as soon as any arrive; empty at the end. A negative ``size`` reads to the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        self._interruption.wait_for(self._descriptor)
        return os.read(self._descriptor, size)


@contextmanager
def told_to_go_on(what_stays: str, *, writes: bool = True) -> Iterator[None]:
    """After a Ctrl-C, say what stays done, and that the same command goes on; not of a call that writes nothing."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if writes:
            counts = "".join(f" ({text})" for text in getattr(stop, "__notes__", ()))
            note(f"{what_stays}{counts}; the same command goes on from there")
        raise


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Yield an Interruption that a Ctrl-C also sets, besides raising KeyboardInterrupt here."""
    interruption = Interruption()

    def stop(number: int, frame: FrameType | None) -> None:
        interruption.request()
        signal.default_int_handler(number, frame)

    # A background command of a shell ignores Ctrl-C; keep that.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield interruption
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        interruption.close()
