"""Putting good bytes under the key that has their digest: the one time that an object is replaced.

That is safe for one reason: the bytes that it has do not have the digest in its name, so nobody was ever given them.
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
    """Make sure that there is good content under its key; return whether it had to be written.

    What is there is read before it is replaced.

    Raises:
        IntegrityError: the blob is something else.
        StorageError: the storage refused.
    """
    if (blob.size, blob.sha256) != (content.size, content.sha256):
        raise IntegrityError(
            f"{content.key}: other bytes were to be put there",
            expected=f"sha256:{content.sha256}",
            actual=f"sha256:{blob.sha256}",
            key=content.key,
        )
    backend, clock = store.backend, store.clock
    if not sent_again_if_damaged(lambda: patiently(lambda: backend.put(content.key, blob), clock)):
        if is_good(store, content):
            return False  # something else put it back first
        sent_again_if_damaged(lambda: patiently(lambda: replace_content(backend, content.key, blob), clock))
    return True


def is_good(store: Store, content: Entry) -> bool:
    """Read an object; return whether it is there with the recorded size and SHA-256."""
    try:
        copy_blob(store, content, None, lambda _: None)
    except (IntegrityError, ObjectNotFoundError):
        return False
    return True
