"""Up to which key an examination has read blobs, in a file, so that an interrupted one can continue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from metamlflow.store.transfer.resume_file import ResumeFile


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
        self.after = ""
        self.examined = self.bytes = 0
        self._again: set[str] = set()
        for line in self._file.lines():
            with suppress(
                KeyError, TypeError, ValueError, OverflowError
            ):  # half a line, or another structure: not written by this library
                self.after = max(self.after, str(line["after"]))
                self.examined, self.bytes = int(line["examined"]), int(line["bytes"])
                self._again.update(map(str, line["again"]))

    def is_done(self, key: str) -> bool:
        """Whether an earlier run has read a blob and found nothing wrong with it."""
        return key <= self.after and key not in self._again

    def note(self, after: str, examined: int, size: int, again: list[str]) -> None:
        """Record that all blobs up to a key are done: how many in all, their bytes, and which have to be read again."""
        self._file.note({"after": after, "examined": examined, "bytes": size, "again": again})

    def finish(self) -> None:
        """Remove the file."""
        self._file.finish()
