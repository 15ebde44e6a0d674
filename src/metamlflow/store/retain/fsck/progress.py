"""Up to which key an examination has read blobs, in a file, so that an interrupted one can continue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from metamlflow.store.transfer.resume_file import ResumeFile

_IF_ANY = frozenset({"unverifiable", "first_unverifiable", "settled"})  # files of earlier releases have none of these


@dataclass(frozen=True, slots=True)
class BlobCounts:
    """What was counted of blobs that need not be looked at again.

    Attributes:
        examined: how many there are.
        bytes: how many bytes of them were read.
        unverifiable: of how many the storage holds no digest.
        first_unverifiable: the key of the first of these; empty if there is none.
    """

    examined: int = 0
    bytes: int = 0
    unverifiable: int = 0
    first_unverifiable: str = ""


class BlobProgress:
    """Up to which key blobs were read. The file is removed at the end.

    What was not as it should be is looked at again: it may have been mended, or the storage may answer by now.

    Args:
        file: the path of the file.
        head: what tells one examination from others.

    Raises:
        InvalidInputError: the file has other content, or belongs to another examination.
    """

    def __init__(self, file: str | os.PathLike[str], head: Mapping[str, Any]) -> None:
        self._file = ResumeFile(file, head, "an examination of this store with these arguments")
        self.counts = BlobCounts()
        self._after = ""
        self._again: set[str] = set()
        for line in self._file.lines():
            # Half a line, or another structure: not written by this library.
            with suppress(AttributeError, KeyError, TypeError, ValueError, OverflowError):
                self._take(line)

    def _take(self, line: Any) -> None:
        after, again, settled = line["after"], line["again"], line.get("settled", [])
        if not (isinstance(after, str) and isinstance(again, list) and isinstance(settled, list)):
            raise TypeError
        counts = BlobCounts(
            int(line["examined"]),
            int(line["bytes"]),
            int(line.get("unverifiable", 0)),
            str(line.get("first_unverifiable", "")),
        )
        self._again = self._again.difference(settled).union(again)  # first: this may fail, too
        self.counts, self._after = counts, max(self._after, after)

    def is_done(self, key: str) -> bool:
        """Whether an earlier run has read a blob and found nothing wrong with it."""
        return key <= self._after and key not in self._again

    def note(self, keys: list[str], again: set[str], counts: BlobCounts) -> None:
        """Record that blobs are done.

        Args:
            keys: of the blobs since the last call, in their order.
            again: those of them that have to be looked at again.
            counts: of all blobs that are done and need not be looked at again.
        """
        settled = self._again.intersection(keys) - again
        self._after = max(self._after, keys[-1])
        self._again = self._again - settled | again
        line = {"after": self._after, **asdict(counts), "again": sorted(again), "settled": sorted(settled)}
        self._file.note({name: value for name, value in line.items() if value or name not in _IF_ANY})

    def finish(self) -> None:
        """Remove the file."""
        self._file.finish()
