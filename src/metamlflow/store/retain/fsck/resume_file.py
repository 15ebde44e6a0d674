"""The progress of an examination's reads, kept in a file, so that an interrupted one can continue."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from metamlflow._arguments import absolute_path
from metamlflow.backend import translated_errors
from metamlflow.errors import InvalidInputError


class BlobProgress:
    """Up to which key blobs were read, in a local file. It is removed at the end.

    What was not as it should be is looked at again: it may have been mended, or the storage may answer by now.

    Args:
        file: the path of the file.
        head: what tells one examination from others.

    Raises:
        InvalidInputError: the file has other content, or belongs to another examination.
    """

    def __init__(self, file: str | os.PathLike[str], head: dict[str, Any]) -> None:
        self._file = Path(absolute_path(os.fspath(file)))
        self._head = head
        self.after = ""
        self.examined = self.bytes = 0
        self._again: set[str] = set()
        with translated_errors(str(self._file)):
            self._begun = self._file.exists() and self._file.stat().st_size > 0
            if self._begun:
                self._read()

    def _read(self) -> None:
        lines = [_parsed(line) for line in self._file.read_text("utf-8", errors="replace").splitlines()]
        if not lines or lines[0] != self._head:
            raise InvalidInputError(
                f"{self._file} does not hold the progress of an examination of this store with these arguments",
                hint="Give another file, or remove this one to start again.",
            )
        for line in lines[1:]:
            with suppress(KeyError, TypeError):  # half a line of a killed run, or not written by this library
                self.after = max(self.after, str(line["after"]))
                self.examined, self.bytes = int(line["examined"]), int(line["bytes"])
                self._again.update(map(str, line["again"]))

    def is_done(self, key: str) -> bool:
        """Whether an earlier run has read a blob and found nothing wrong with it."""
        return key <= self.after and key not in self._again

    def note(self, after: str, examined: int, size: int, again: list[str]) -> None:
        """Record that all blobs up to a key are done: how many in all, their bytes, and which have to be read again."""
        line = {"after": after, "examined": examined, "bytes": size, "again": again}
        with translated_errors(str(self._file)), self._file.open("a", encoding="utf-8") as file:
            if not self._begun:
                file.write(f"{json.dumps(self._head)}\n")
                self._begun = True
            file.write(f"{json.dumps(line)}\n")

    def finish(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
