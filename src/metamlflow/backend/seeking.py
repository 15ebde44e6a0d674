"""What the raw readers of content of a known size share: where the next read begins."""

from __future__ import annotations

import io
import os


class SeekableReader(io.RawIOBase):
    """A raw reader that may jump: a seek sets a position, and costs nothing before the next read.

    Subclasses read from ``_position`` on in ``readinto``, and move it.

    Args:
        size: of the content, in bytes; from there a seek from the end counts.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set where the next read begins. Finding the size by seeking to the end and back costs nothing."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(22, "cannot seek to before the start")
        self._position = start + offset
        return self._position
