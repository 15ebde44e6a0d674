"""What backends share that send content to a server: all of it within a budget, and just what was announced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import google_crc32c

from metamlflow.backend.budget import content_budget
from metamlflow.backend.seam import Blob
from metamlflow.errors import IntegrityError

_PIECE_BYTES = 256 * 1024  # what the processor's cache holds while checksums are taken of it


@contextmanager
def content_of(blob: Blob, where: str) -> Iterator[bytes]:
    """Give all of a blob's content at once, within the budget of memory."""
    if blob.data is not None:
        yield blob.data
        return
    with content_budget().hold(blob.size), blob.open() as source:
        yield read_exactly(source, blob.size, where)


def read_exactly(source: BinaryIO, size: int, where: str, *, last: bool = True) -> bytes:
    """Return the next ``size`` bytes; with ``last``, they must be the end."""
    pieces, found = [], 0
    while found < size and (piece := source.read(size - found)):
        pieces.append(piece)
        found += len(piece)
    _check_announced(source, size, found, where, last=last)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_part(source: BinaryIO, part: memoryview, where: str, *, last: bool) -> int:
    """Fill ``part`` as :func:`read_exactly` reads; return its CRC32C, taken while each piece is in the cache."""
    size, found, crc32c = len(part), 0, 0
    while found < size and (piece := source.read(min(_PIECE_BYTES, size - found))):
        part[found : found + len(piece)] = piece
        crc32c = google_crc32c.extend(crc32c, piece)
        found += len(piece)
    _check_announced(source, size, found, where, last=last)
    return crc32c


def _check_announced(source: BinaryIO, size: int, found: int, where: str, *, last: bool) -> None:
    excess = len(source.read(1)) if last and found == size else 0
    if found != size or excess:
        raise IntegrityError(
            f"{where}: the content has {'more' if excess else 'fewer'} bytes than were announced",
            expected=f"{size} bytes",
            actual=f"{found + excess} bytes",
            key=where,
        )
