"""Sort more records than fit into memory: sorted runs in temporary files, merged as they are read."""

from __future__ import annotations

import heapq
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import IO, Self

MOST_BYTES = 48 * 1024 * 1024
"""How many bytes of records are held in memory before they are written to disk as a sorted run."""
MOST_RUNS = 16
"""How many runs are there at most: one more, and some are merged. What a reader opens and holds does not grow."""
_OVERHEAD = 64  # bytes that Python takes for a record besides its own
_READ_TOGETHER = 1024  # records


class SortedRuns:
    """Records of bytes, given in any order and read back sorted. A context manager.

    A record that was given twice may come once. One thread adds; then any may read, several at a time. Of records of
    one size a reader holds no file open between two blocks, however many read.

    Args:
        most_bytes: how many bytes are held in memory.
        size: of each record, in bytes; None for lines without their line ends.
        folder: for the files, whoever deletes it; None for one of its own, which goes when the context ends.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, *, size: int | None = None, folder: Path | None = None) -> None:
        self._most = most_bytes
        self._size = size
        self._folder = folder
        self._held: list[bytes] = []
        self._bytes = 0
        self._runs: list[tuple[Path, int]] = []  # each with how many times memory was full for it
        self._written = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()
        self._held.clear()

    def add(self, record: bytes) -> None:
        """Take in a record."""
        self._held.append(record)
        self._bytes += len(record) + _OVERHEAD
        if self._bytes > self._most:
            self.flush()

    def flush(self) -> None:
        """Write what is held in memory to disk."""
        if not self._held:
            return
        if self._folder is None:
            self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="metamlflow-")))
        self._held.sort()
        self._runs.append((self._write(self._held), 1))
        self._held.clear()
        self._bytes = 0
        if len(self._runs) > MOST_RUNS:
            self._merge_small()

    def _write(self, records: Iterable[bytes]) -> Path:
        assert self._folder is not None  # noqa: S101 (made by now)
        run, end = self._folder / f"run-{self._written}", b"" if self._size else b"\n"
        self._written += 1
        with run.open("wb") as file:
            file.writelines(record + end for record, _ in groupby(records))
        return run

    def _merge_small(self) -> None:
        """Merge the last two runs, and those before that are no larger: so a record is seldom written again."""
        *_, (_, before), (_, last) = self._runs
        together, merged = 2, before + last
        while together < len(self._runs) and self._runs[-together - 1][1] <= merged:
            together += 1
            merged += self._runs[-together][1]
        small = [self._runs.pop()[0] for _ in range(together)]
        self._runs.append((self._write(heapq.merge(*(self._read(run, b"", None) for run in small))), merged))
        for run in small:
            run.unlink()

    def __iter__(self) -> Iterator[bytes]:
        """Yield all records, sorted."""
        return self._merged(b"", None)

    def between(self, first: bytes, last: bytes | None) -> Iterator[bytes]:
        """Yield the records of a fixed size from ``first`` on that are below ``last``; None: all that follow."""
        return self._merged(first, last)

    def _merged(self, first: bytes, last: bytes | None) -> Iterator[bytes]:
        self._held.sort()
        end = len(self._held) if last is None else bisect_left(self._held, last)
        held = self._held[bisect_left(self._held, first) : end] if first or last else self._held
        return heapq.merge(*(self._read(run, first, last) for run, _ in self._runs), held)

    def _read(self, run: Path, first: bytes, last: bytes | None) -> Iterator[bytes]:
        return _lines_of(run) if self._size is None else _records_of(run, self._size, first, last)


def _lines_of(run: Path) -> Iterator[bytes]:
    with run.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _records_of(run: Path, size: int, first: bytes, last: bytes | None) -> Iterator[bytes]:
    count = run.stat().st_size // size
    with run.open("rb") as file:
        begin = _place(file, size, count, first) if first else 0
        end = count if last is None else _place(file, size, count, last)
    for place in range(begin, end, _READ_TOGETHER):
        with run.open("rb") as file:  # anew for each block: many readers would hold many files
            file.seek(place * size)
            block = file.read(min(end - place, _READ_TOGETHER) * size)
        yield from (block[start : start + size] for start in range(0, len(block), size))


def _place(file: IO[bytes], size: int, count: int, wanted: bytes) -> int:
    """Return the place of the first record that is not below the wanted one."""

    def record(place: int) -> bytes:
        file.seek(place * size)
        return file.read(size)

    return bisect_left(range(count), wanted, key=record)
