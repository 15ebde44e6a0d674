"""Sort more lines than fit into memory: sorted runs in temporary files, merged as they are read."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Self

MOST_BYTES = 48 * 1024 * 1024
"""How many bytes of lines are held in memory before they are written to disk as a sorted run."""
_OVERHEAD = 64  # bytes that Python takes for a line besides its own


class SortedRuns:
    """Lines of bytes without line ends, given in any order and read back sorted. A context manager; not thread-safe.

    Args:
        most_bytes: how many bytes are held in memory.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: list[bytes] = []
        self._bytes = 0
        self._runs: list[IO[bytes]] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()
        self._held.clear()

    def add(self, line: bytes) -> None:
        """Take in a line."""
        self._held.append(line)
        self._bytes += len(line) + _OVERHEAD
        if self._bytes > self._most:
            self._spill()

    def _spill(self) -> None:
        file = self._open.enter_context(tempfile.TemporaryFile(prefix="metamlflow-"))  # noqa: SIM115 (closed with all runs)
        self._held.sort()
        file.writelines(line + b"\n" for line in self._held)
        self._runs.append(file)
        self._held.clear()
        self._bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield all lines, sorted; one iteration at a time."""
        self._held.sort()
        return heapq.merge(*map(_lines_of, self._runs), self._held)


def _lines_of(run: IO[bytes]) -> Iterator[bytes]:
    run.seek(0)
    return (line.removesuffix(b"\n") for line in run)
