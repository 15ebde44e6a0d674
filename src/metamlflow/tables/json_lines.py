"""JSON lines that would harm the process: pyarrow's parser overflows the stack on deep nesting, which ends it."""

from __future__ import annotations

import io
import re
from typing import Any

from metamlflow.errors import InvalidInputError

MOST_DEPTH = 200
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*+"?')  # no string goes on after the end of its line
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


class ShallowLines(io.RawIOBase):
    """A stream of JSON lines that raises instead of passing on values that are nested too deeply.

    Args:
        stream: the text, decompressed, from its beginning.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun = b""  # the last line, as far as it is read
        self._depth = 0  # before that line

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, after they were looked at.

        Raises:
            InvalidInputError: a value is nested more than ``MOST_DEPTH`` deep.
        """
        data = bytes(self._stream.read(-1 if size is None else size))
        text = self._begun + data
        lines, end, last = text.rpartition(b"\n")
        depth = _deepest(lines + end, self._depth)
        _deepest(last, depth)
        self._begun, self._depth = last, depth
        return data

    def close(self) -> None:
        """Close the stream, too."""
        if not self.closed:
            self._stream.close()
        super().close()


def _deepest(text: bytes, depth: int) -> int:
    """Return the depth after a text that begins at a depth.

    Raises:
        InvalidInputError: it was more than ``MOST_DEPTH`` in between.
    """
    for sign in _STRING.sub(b"", text).translate(None, _OTHERS):
        if sign in b"[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise InvalidInputError(
                    f"JSON lines are nested more than {MOST_DEPTH} deep", hint="Read them with a parser of your own."
                )
        elif depth and sign in b"]}":
            depth -= 1
    return depth
