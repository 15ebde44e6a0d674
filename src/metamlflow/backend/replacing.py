"""Putting content in the place of an object that is damaged, on any backend."""

from __future__ import annotations

from metamlflow.backend.seam import Backend, Blob, ReplacesContent


def replace_content(backend: Backend, key: str, blob: Blob) -> None:
    """Store content under a key, whatever lies there.

    In one step where the backend has one. Else the object is deleted first: a call that is cut off in between leaves
    nothing under the key, and calling again goes on from there.

    Raises:
        StorageError: the storage refused; the old object is there, or nothing is.
        IntegrityError: the blob did not give what it announced; likewise.
    """
    if isinstance(backend, ReplacesContent):
        backend.replace(key, blob)
        return
    for failure in backend.delete([key]):
        raise failure.error
    backend.put(key, blob)
