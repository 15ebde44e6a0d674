"""Store content for one publish, and decide which stored content it may rely on."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import timedelta
from typing import Literal, get_args

from metamlflow.backend import Blob, CheapStat, ObjectInfo
from metamlflow.errors import AccessDeniedError, ObjectNotFoundError, UnsupportedStoreError
from metamlflow.format.layout import blob_key, extension_of_blob_key, sha256_of_blob_key
from metamlflow.model.manifests import Entry
from metamlflow.store.catalog.fetching import held_checksum
from metamlflow.store.catalog.records import patiently, with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.publish.lateness import AttemptAge
from metamlflow.store.publish.listed_blobs import ListedBlobs
from metamlflow.store.read.healing import is_good, put_back

Reliance = Literal["stat", "checksum", "full"]
"""How to prove stored content that a publish relies on: by its size, by the checksum of its storage, by every byte."""
RELIANCES: tuple[Reliance, ...] = get_args(Reliance)
_REMEMBERED = 8192  # contents; a larger number would let memory grow with the number of files
_log = logging.getLogger(__name__)


class BlobWriter:
    """Stores the blobs of one publish, so that no collection can remove them before the manifest names them.

    A blob may be relied on only if this publish created it, or a manifest that it saw un-pruned names it (the caller
    knows that), or it is younger than half the grace by the server's clock. Otherwise the content is stored again under
    a key of this publish's own; objects are never refreshed. SPEC.md shows why that is enough. Thread-safe.

    Missing or damaged blobs found on the way are put back, because good bytes are available.

    Args:
        store: the destination.
        grace: the grace of the store.
        prove: how to prove each blob that is relied on. None: on a disk by its size, which is cheap; elsewhere by the
            sizes of as many blobs as one listing shows.
    """

    def __init__(self, store: Store, grace: timedelta, *, prove: Reliance | None = None) -> None:
        self._store = store
        self._publish_id = ""
        self._age: AttemptAge | None = None
        self._trusted_age = grace / 2
        self._prove = prove
        backend = store.backend
        self._cheap_looks = backend if isinstance(backend, CheapStat) else None
        self._listed = ListedBlobs(store, ())
        self._lock = threading.Lock()
        # For each content: its key, and a time of this machine's clock after which its object was created.
        self._stored: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._under_way: dict[tuple[str, str], threading.Event | None] = {}

    def begin_attempt(self, age: AttemptAge, named: Collection[str]) -> None:
        """Take a new id for fresh keys, and forget blobs of earlier attempts that are too old for this one.

        Args:
            age: that of the attempt; it is told the storage's time where an answer has it.
            named: the keys that the last version names; empty for a large version.
        """
        self._publish_id = self._store.clock.new_id()
        self._listed = ListedBlobs(self._store, named)
        self._age = age
        oldest = age.started - self._trusted_age.total_seconds()
        with self._lock:
            for content in [content for content, (_, born) in self._stored.items() if born <= oldest]:
                del self._stored[content]

    def store(self, blob: Blob, extension: str, *, relied_on: str | None = None) -> str:
        """Ensure that the content is stored; return its key.

        Args:
            blob: the content.
            extension: the key's extension, from layout.extension_of.
            relied_on: the key that an un-pruned manifest names for the file at the same path, or None.
        """
        if key := self.reliable_key(blob, extension, relied_on):
            return key
        content = blob.sha256, extension
        while not self._is_mine(content):  # the same content twice: another thread is storing it
            if key := self.reliable_key(blob, extension, None):
                return key
        try:
            # Another thread may have stored it since the check above.
            if key := self.reliable_key(blob, extension, None):
                return key
            if proven := self._proven_key(blob, extension, relied_on):
                # This attempt has seen that a live manifest names it; the next attempt must check that again.
                key, born = proven, float("-inf")
            else:
                key, born = self._put(blob, extension)
            with self._lock:
                self._stored[content] = key, born
                if len(self._stored) > _REMEMBERED:
                    self._stored.popitem(last=False)
            return key
        finally:
            with self._lock:
                waited_for = self._under_way.pop(content)
            if waited_for is not None:
                waited_for.set()

    def _is_mine(self, content: tuple[str, str]) -> bool:
        """Whether this thread is to store the content; otherwise wait until another thread has stored it or failed."""
        with self._lock:
            if content not in self._under_way:
                self._under_way[content] = None
                return True
            other = self._under_way[content] = self._under_way[content] or threading.Event()
        other.wait()
        return False

    def reliable_key(self, blob: Blob, extension: str, relied_on: str | None) -> str | None:
        """Return a key that may be relied on without a request for this blob, or None. Arguments: see :meth:`store`."""
        if (
            self._prove is None
            and relied_on
            and _is_of(relied_on, blob, extension)
            and self._seems_good(relied_on, blob)
        ):
            return relied_on
        with self._lock:
            stored = self._stored.get((blob.sha256, extension))
        return stored[0] if stored else None

    def _seems_good(self, key: str, blob: Blob) -> bool:
        if self._cheap_looks is not None:
            return self._cheap_looks.holds(key, blob.size)
        return self._listed.may_have(key, blob.size)

    def _proven_key(self, blob: Blob, extension: str, relied_on: str | None) -> str | None:
        """Return the key that a live manifest names, if it was proven as requested or put back; else None."""
        if relied_on is None or not _is_of(relied_on, blob, extension):
            return None
        content = _content_of(relied_on, blob)
        if self._prove is not None and self._is_proven(content):
            return relied_on
        return relied_on if self._put_back(content, blob) else None

    def _is_proven(self, content: Entry) -> bool:
        info = self._look_at(content.key)
        return info is not None and not self._is_damaged(content, info)

    def _is_damaged(self, content: Entry, info: ObjectInfo) -> bool:
        if info.size != content.size:
            return True
        held = held_checksum(info, content) if self._prove != "stat" else None
        if held is not None and held[0] != held[1]:
            return True
        return self._prove == "full" and not is_good(self._store, content)

    def _put_back(self, content: Entry, blob: Blob) -> bool:
        """Put good bytes in the place of missing or damaged content; return whether that was possible."""
        try:
            if put_back(self._store, content, blob):
                _log.warning("%s was missing or damaged, and was put back", content.key)
        except (AccessDeniedError, UnsupportedStoreError) as error:
            # A writer need not have permission to overwrite; its own version gets its own key.
            _log.warning("%s is missing or damaged, and cannot be put back: %s", content.key, error)
            return False
        return True

    def _put(self, blob: Blob, extension: str) -> tuple[str, float]:
        """Store the content; return its key, and a time after which its object was created."""
        backend, clock = self._store.backend, self._store.clock
        key = blob_key(blob.sha256, extension)
        began = clock.elapsed()
        if patiently(lambda: backend.put(key, blob), clock):
            return key, began
        looked = clock.elapsed()
        # None: the object was collected since the put found it, or the credentials may not read its age.
        if (info := self._look_at(key)) is not None:
            content = _content_of(key, blob)
            age = (info.observed or clock.now()) - info.modified
            if self._is_damaged(content, info):
                # For other versions that name it. This one does not rely on it: a collection may have judged it before.
                self._put_back(content, blob)
            elif age < self._trusted_age:
                return key, looked - age.total_seconds()
        fresh = blob_key(blob.sha256, extension, self._publish_id)
        began = clock.elapsed()
        patiently(lambda: backend.put(fresh, blob), clock)
        return fresh, began

    def _look_at(self, key: str) -> ObjectInfo | None:
        try:
            info = with_retries(lambda: self._store.backend.stat(key), self._store.clock)
        except (ObjectNotFoundError, AccessDeniedError):
            return None
        if self._age is not None:
            self._age.note(info.observed)
        return info


def _is_of(key: str, blob: Blob, extension: str) -> bool:
    plain = blob_key(blob.sha256, extension)  # the usual form
    return key == plain or (sha256_of_blob_key(key), extension_of_blob_key(key)) == (blob.sha256, extension)


def _content_of(key: str, blob: Blob) -> Entry:
    return Entry(key, blob.size, blob.sha256, blob.crc32c, key)
