"""The progress of long work, kept in a local file, so that an interrupted run can continue."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metamlflow._arguments import absolute_path
from metamlflow.backend import translated_errors
from metamlflow.errors import InvalidInputError


class ResumeFile:
    """Lines of JSON that say what is done, below one that tells this work from other work.

    A killed run may leave half a line. It is not read, and what it said is done again.

    Args:
        file: the path of the file.
        head: what tells this work from other work.
        what: the work in words, with its article.

    Raises:
        InvalidInputError: the file has other content, or belongs to other work.
    """

    def __init__(self, file: str | os.PathLike[str], head: Mapping[str, Any], what: str) -> None:
        self._file = Path(absolute_path(os.fspath(file)))
        self._head = dict(head)
        self._found: list[Any] = []
        with translated_errors(str(self._file)):
            self._begun = self._file.exists() and self._file.stat().st_size > 0
            if self._begun:
                self._found = list(map(_parsed, self._file.read_text("utf-8", errors="replace").splitlines()))
        if self._begun and self._found[:1] != [self._head]:
            raise InvalidInputError(
                f"{self._file} does not hold the progress of {what}",
                hint="Give another file, or remove this one to start again.",
            )

    def lines(self) -> Iterator[Any]:
        """Yield what earlier runs noted, once; of a line that is no JSON, None."""
        found, self._found = self._found[1:], []
        yield from found

    def note(self, line: Mapping[str, Any]) -> None:
        """Record what is done."""
        with translated_errors(str(self._file)), self._file.open("a", encoding="utf-8") as file:
            if not self._begun:
                file.write(f"{json.dumps(self._head)}\n")
                self._begun = True
            file.write(f"{json.dumps(line)}\n")

    def finish(self) -> None:
        """Remove the file: all is done."""
        with translated_errors(str(self._file)):
            self._file.unlink(missing_ok=True)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
