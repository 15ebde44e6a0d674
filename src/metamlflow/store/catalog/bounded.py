"""Reading objects that a hostile or broken store may have made larger than they can be: never past their limit."""

from __future__ import annotations

from metamlflow.backend import Backend
from metamlflow.errors import StoreFormatError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES


def read_record(backend: Backend, key: str, most: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the bytes of a document. At most ``most`` bytes and one more are asked for, whatever lies there.

    The one way to read a record: an object of 3 GB under the key of a marker costs no more than the largest document.

    Raises:
        ObjectNotFoundError: there is no such object.
        StoreFormatError: it is larger than a document can be.
    """
    data = backend.read(key, 0, most + 1)
    if len(data) > most:
        raise StoreFormatError(
            f"{key} takes more than {most:,} bytes, the most that it can take",
            hint="It was not written by this library; nothing of it was used. Restore this object from a copy.",
            key=key,
            problems=(f"more than {most:,} bytes",),
        )
    return data
