"""What backends share that send content to a server: a budget of memory, and reading just what was announced."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from metamlflow.errors import IntegrityError


class ByteBudget:
    """Bytes that may be in memory at a time. Thread-safe; who waits holds nothing, so nobody waits for ever."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    def take(self, size: int) -> int:
        """Wait until ``size`` bytes are free, at most all there are; return how many are to be given back."""
        taken = min(size, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
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


def read_exactly(source: BinaryIO, size: int, where: str, *, last: bool = True) -> bytes:
    """Return the next ``size`` bytes; with ``last``, they must be the end."""
    pieces, found = [], 0
    while found < size and (piece := source.read(size - found)):
        pieces.append(piece)
        found += len(piece)
    excess = len(source.read(1)) if last and found == size else 0
    if found != size or excess:
        raise IntegrityError(
            f"{where}: the content has {'more' if excess else 'fewer'} bytes than were announced",
            expected=f"{size} bytes",
            actual=f"{found + excess} bytes",
            key=where,
        )
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
