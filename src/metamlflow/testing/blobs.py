"""Content to put: whole in memory, or generated while it is read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import BinaryIO, cast

import google_crc32c

from metamlflow.backend import Blob
from metamlflow.backend.seeking import SeekableReader

MIB = 1024 * 1024


def blob_of(data: bytes) -> Blob:
    """Return ``data`` as a blob with its true size and digests."""
    return Blob(
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        crc32c=f"{google_crc32c.value(data):08x}",
        open=lambda: io.BytesIO(data),
    )


class PatternReader(SeekableReader):
    """A reader of ``size`` bytes that repeat one MiB and are generated: it shows whether a put streams.

    Attributes:
        largest_read: the most bytes that one call requested; a call without a size requests ``size``.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.largest_read = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return the next ``size`` bytes, or all remaining ones."""
        left = max(self._size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        self.largest_read = max(self.largest_read, wanted)
        data = pattern(self._position, self._position + wanted)
        self._position += wanted
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer``; return the number of bytes filled."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


_ONE_MIB = bytes(range(256)) * (MIB // 256)


def pattern(start: int, end: int) -> bytes:
    """Return the bytes from ``start`` to before ``end`` of the endless pattern that :class:`PatternReader` reads."""
    offset = start % 256
    repeats, rest = divmod(end - start, MIB)
    ring = _ONE_MIB[offset:] + _ONE_MIB[:offset]
    return ring * repeats + ring[:rest]


def pattern_blob(size: int, opened: Callable[[PatternReader], BinaryIO] | None = None) -> Blob:
    """Return ``size`` bytes of the pattern as a blob; ``opened`` sees, or replaces, each reader that a put opens."""
    sha256, crc32c = hashlib.sha256(), 0
    for start in range(0, size, MIB):
        part = pattern(start, min(start + MIB, size))
        sha256.update(part)
        crc32c = google_crc32c.extend(crc32c, part)

    def open_reader() -> BinaryIO:
        reader = PatternReader(size)
        return opened(reader) if opened else cast("BinaryIO", reader)

    return Blob(size, sha256.hexdigest(), f"{crc32c:08x}", open_reader)
