"""JSON lines that would harm the process: pyarrow's parser overflows the stack on deep nesting, which ends it."""

from __future__ import annotations

import io
import re
from typing import Any

from metamlflow.errors import InvalidInputError

MOST_DEPTH = 200
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*+"?')  # no string goes on after the end of its line
_MARK = b"\0"
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


class ShallowLines(io.RawIOBase):
    """A stream of JSON lines that raises instead of passing on values that are nested too deeply.

    Args:
        stream: the text, decompressed, from its beginning.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._open = b""  # the beginning of a string that the text so far does not end
        self._depth = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, after they were looked at.

        Raises:
            InvalidInputError: a value is nested more than ``MOST_DEPTH`` deep.
        """
        data = bytes(self._stream.read(-1 if size is None else size))
        self._look_at(self._open + data)
        return data

    def _look_at(self, text: bytes) -> None:
        rest = _STRING.sub(b"", text.replace(_MARK, b" ") + _MARK)
        is_open = not rest.endswith(_MARK)  # a string that goes on has taken the mark
        is_escaped = (len(text) - len(text.rstrip(b"\\"))) % 2
        self._open = b'"' + b"\\" * is_escaped if is_open else b""
        self._depth = _deepest(rest, self._depth)

    def close(self) -> None:
        """Close the stream, too."""
        if not self.closed:
            self._stream.close()
        super().close()


def _deepest(text: bytes, depth: int) -> int:
    """Return the depth after a text, without its strings, that begins at a depth.

    Raises:
        InvalidInputError: it was more than ``MOST_DEPTH`` in between.
    """
    for sign in text.translate(None, _OTHERS):
        if sign in b"[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise InvalidInputError(
                    f"JSON lines are nested more than {MOST_DEPTH} deep", hint="Read them with a parser of your own."
                )
        elif depth and sign in b"]}":
            depth -= 1
    return depth
