"""A seekable reader over a storage that streams an object from any byte on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from metamlflow.backend.patience import Patience
from metamlflow.backend.seeking import SeekableReader
from metamlflow.errors import StorageUnavailableError

PATIENCE = Patience(attempts=4, first_pause=0.2)
"""With a reader that makes no progress; then the failure is told."""


class Stream(Protocol):
    """The bytes of one answer, as they arrive. Its errors are already ours."""

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` from its start as far as the answer goes; return how many bytes that were, 0 at its end."""

    def close(self) -> None:
        """Give the connection back."""


class StreamedObject(SeekableReader):
    """The raw reader of an object: one request for each jump, however much is read in a row.

    A stream that breaks off is taken up again where it was, a few times; so ``stream_at`` must ask for the same version
    of the object each time (by ETag or generation).

    Args:
        stream_at: requests the object from a byte on.
        size: of the object, in bytes.
        url: for messages.
        first: a stream that was opened at byte 0 already.
    """

    def __init__(self, stream_at: Callable[[int], Stream], size: int, url: str, first: Stream | None = None) -> None:
        super().__init__(size)
        self._stream_at = stream_at
        self._url = url
        self._stream = first
        self._stream_position = 0

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, less only at the object's end."""
        if self._position >= self._size or not len(buffer):
            return 0
        view = memoryview(buffer).cast("B")[: self._size - self._position]
        tries = PATIENCE.begin()
        while True:
            try:
                if filled := self._fill(view):
                    return filled
                failure = StorageUnavailableError(
                    f"{self._url}: the answer ended after {self._position:,} of {self._size:,} bytes", key=self._url
                )
            except StorageUnavailableError as error:
                failure = error
            self._drop()  # the next attempt, and the next read, begin anew where this one stands
            if (pause := tries.pause()) is None:
                raise failure
            time.sleep(pause)

    def _fill(self, view: memoryview) -> int:
        if self._stream is None or self._stream_position != self._position:
            self._drop()
            self._stream = self._stream_at(self._position)
            self._stream_position = self._position
        filled = self._stream.fill(view)
        self._position += filled
        self._stream_position = self._position
        return filled

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def close(self) -> None:
        """Give the connection back."""
        if not self.closed:
            self._drop()
        super().close()
