"""Write good bytes under the key that has their digest: the only case in which an object is replaced.

This is safe because the present bytes do not match the digest in the key, so no reader ever returned them.
"""

from __future__ import annotations

from metamlflow.backend import Blob, replace_content
from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.model.manifests import Entry
from metamlflow.store.catalog.records import patiently
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.resending import sent_again_if_damaged
from metamlflow.store.read.verified import copy_blob


def put_back(store: Store, content: Entry, blob: Blob) -> bool:
    """Ensure that good content is stored under its key; return whether it had to be written.

    The stored object is read before it is replaced.

    Raises:
        IntegrityError: the blob has other content.
        StorageError: the storage refused.
    """
    if (blob.size, blob.sha256) != (content.size, content.sha256):
        raise IntegrityError(
            f"{content.key}: the bytes offered as a replacement have another digest",
            expected=f"sha256:{content.sha256}",
            actual=f"sha256:{blob.sha256}",
            key=content.key,
        )
    backend, clock = store.backend, store.clock
    if not sent_again_if_damaged(lambda: patiently(lambda: backend.put(content.key, blob), clock)):
        if is_good(store, content):
            return False  # another process repaired it first
        sent_again_if_damaged(lambda: patiently(lambda: replace_content(backend, content.key, blob), clock))
    return True


def is_good(store: Store, content: Entry) -> bool:
    """Read an object; return whether it exists with the recorded size and SHA-256."""
    try:
        copy_blob(store, content, None, lambda _: None)
    except (IntegrityError, ObjectNotFoundError):
        return False
    return True
