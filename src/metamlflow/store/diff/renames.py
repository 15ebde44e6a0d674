"""Which of the files that are gone and of those that came are the same file under another path.

All of it is sorted on disk if need be. Files are joined by their content: first those with the same last segment of the
path, in path order, and of the rest those that are left, in path order. So the same two versions always give the same
pairs, also where several files have one content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Self

from metamlflow.store.retain.sorted_runs import SortedRuns

_END = b"\0"
Record = tuple[bytes, ...]


class Renames:
    """Files that are gone and files that came, to be joined. A context manager, while it is used.

    Args:
        most_bytes: how many bytes of each kind are held in memory.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._counts: Counter[str] = Counter()
        self._open = ExitStack()
        self._runs = {what: self._sorted() for what in ("removed", "added")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()

    def add(self, what: str, content: str, path: str, text: str) -> None:
        """Take in a file: ``removed`` or ``added``, what stands for its content, its path, and the file as a text."""
        self._counts[what] += 1
        digest = hashlib.sha256(content.encode()).hexdigest()
        fields = (digest, path.rpartition("/")[2], path, text)
        self._runs[what].add(_END.join(field.encode() for field in fields))

    def found(self) -> Iterator[tuple[str, ...]]:
        """Yield each file once: ``renamed``, its new path, ``path``, both texts; or ``added``, its path, its text."""
        if not all(self._counts[what] for what in ("removed", "added")):  # then nothing can have been renamed
            for what, runs in self._runs.items():
                yield from ((what, *_texts(_fields(record)[2:])) for record in runs)
            return
        rest = {what: self._sorted() for what in self._runs}
        for old, new in _joined(self._runs["removed"], self._runs["added"], 2):
            if old and new:
                yield _renamed(old, new)
            else:
                digest, _, path, text = old or new
                rest["removed" if old else "added"].add(_END.join((digest, path, text)))
        for old, new in _joined(rest["removed"], rest["added"], 1):
            if old and new:
                yield _renamed(old, new)
            else:
                yield ("removed" if old else "added", *_texts((old or new)[-2:]))

    def _sorted(self) -> SortedRuns:
        return self._open.enter_context(SortedRuns(self._most))


def _joined(left: Iterable[bytes], right: Iterable[bytes], width: int) -> Iterator[tuple[Record, Record]]:
    """Yield the records of two sorted lists, in pairs where their first fields are the same; an empty one for none."""
    one, other = map(_fields, left), map(_fields, right)
    old, new = next(one, ()), next(other, ())
    while old or new:
        if not new or (old and old[:width] < new[:width]):
            yield old, ()
            old = next(one, ())
        elif not old or new[:width] < old[:width]:
            yield (), new
            new = next(other, ())
        else:
            yield old, new
            old, new = next(one, ()), next(other, ())


def _fields(record: bytes) -> Record:
    return tuple(record.split(_END))


def _texts(fields: Iterable[bytes]) -> Iterator[str]:
    return (field.decode() for field in fields)


def _renamed(old: Record, new: Record) -> tuple[str, ...]:
    return ("renamed", new[-2].decode(), "path", old[-1].decode(), new[-1].decode())
