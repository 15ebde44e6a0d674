"""Read objects with a size limit, because a hostile or broken store may hold larger ones than allowed."""

from __future__ import annotations

from typing import TypeVar

from metamlflow.backend import Backend
from metamlflow.errors import StoreFormatError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES

E = TypeVar("E", bound=BaseException)


def read_record(backend: Backend, key: str, most: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the bytes of a document. At most ``most`` bytes and one more are requested, however large the object is.

    All records are read through this function: an object of 3 GB under the key of a marker costs no more than the
    largest document.

    Raises:
        ObjectNotFoundError: the object does not exist.
        StoreFormatError: the object is larger than a document can be.
    """
    data = backend.read(key, 0, most + 1)
    if len(data) > most:
        del data  # which whoever keeps the error would keep as well
        raise StoreFormatError(
            f"{key} is larger than {most:,} bytes, the largest size that the format allows",
            hint="This library did not write it; nothing of it was used. Restore this object from a copy.",
            key=key,
            problems=(f"more than {most:,} bytes",),
        )
    return data


def kept(error: E) -> E:
    """Return an error that is kept for a report, without the frames that it came through: they hold what was read."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
