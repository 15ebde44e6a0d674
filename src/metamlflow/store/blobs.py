"""Storing content for one publish, and deciding which stored content it may rely on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import timedelta

from metamlflow.backend import Blob, CheapLooks
from metamlflow.errors import AccessDeniedError, ObjectNotFoundError
from metamlflow.format.layout import blob_key, extension_of_blob_key, sha256_of_blob_key
from metamlflow.store.claiming import patiently, retried
from metamlflow.store.opening import Store

_REMEMBERED = 8192  # contents; more would let memory grow with the number of files


class BlobWriter:
    """Puts the blobs of one publish, so that no collection can take them away before the manifest names them.

    A blob may be relied on only if this publish created it, or a manifest that it saw un-pruned names it (the caller
    knows that), or it is younger than half the grace by the server's clock. Otherwise the content is stored again under
    a key of this publish's own; nothing is ever refreshed. SPEC.md shows why that is enough. Thread-safe.

    Args:
        store: where to.
        grace: of the store.
    """

    def __init__(self, store: Store, grace: timedelta) -> None:
        self._store = store
        self._publish_id = ""
        self._trusted_age = grace / 2
        backend = store.backend
        self._cheap_looks = backend if isinstance(backend, CheapLooks) else None
        self._lock = threading.Lock()
        # A key, and the time of this machine's clock after which its object was created.
        self._stored: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._under_way: dict[tuple[str, str], threading.Event | None] = {}

    def begin_attempt(self, started: float) -> None:
        """Take a new id for fresh keys, and forget what earlier attempts stored and is too old for this one.

        Args:
            started: before the attempt's first request, in seconds of the store's clock.
        """
        self._publish_id = self._store.clock.new_id()
        oldest = started - self._trusted_age.total_seconds()
        with self._lock:
            for content in [content for content, (_, born) in self._stored.items() if born <= oldest]:
                del self._stored[content]

    def store(self, blob: Blob, extension: str, *, relied_on: str | None = None) -> str:
        """Make sure that the content is in the store; return its key.

        Args:
            blob: the content.
            extension: of the key, as layout.extension_of gives it.
            relied_on: a key that an un-pruned manifest names for what lay at the same place, or None.
        """
        if key := self.reliable_key(blob, extension, relied_on):
            return key
        content = blob.sha256, extension
        while not self._is_mine(content):  # the same content twice: another thread is having it stored
            if key := self.reliable_key(blob, extension, None):
                return key
        try:
            # It may have been stored since the look above.
            if key := self.reliable_key(blob, extension, None):
                return key
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
        """Whether it is for this thread to store the content; else wait until another thread has done or failed."""
        with self._lock:
            if content not in self._under_way:
                self._under_way[content] = None
                return True
            other = self._under_way[content] = self._under_way[content] or threading.Event()
        other.wait()
        return False

    def reliable_key(self, blob: Blob, extension: str, relied_on: str | None) -> str | None:
        """Return a key that may be relied on without a request, or None. Arguments as for :meth:`store`."""
        if relied_on and self._may_rely_on(relied_on, blob, extension):
            return relied_on
        with self._lock:
            stored = self._stored.get((blob.sha256, extension))
        return stored[0] if stored else None

    def _may_rely_on(self, key: str, blob: Blob, extension: str) -> bool:
        if (sha256_of_blob_key(key), extension_of_blob_key(key)) != (blob.sha256, extension):
            return False
        return self._cheap_looks is None or self._cheap_looks.holds(key, blob.size)

    def _put(self, blob: Blob, extension: str) -> tuple[str, float]:
        """Store the content; return its key, and a time after which its object was created."""
        backend, clock = self._store.backend, self._store.clock
        key = blob_key(blob.sha256, extension)
        began = clock.elapsed()
        if patiently(lambda: backend.put(key, blob), clock):
            return key, began
        looked = clock.elapsed()
        age = self._age_if_reliable(key, blob)
        if age is not None:
            return key, looked - age.total_seconds()
        fresh = blob_key(blob.sha256, extension, self._publish_id)
        began = clock.elapsed()
        patiently(lambda: backend.put(fresh, blob), clock)
        return fresh, began

    def _age_if_reliable(self, key: str, blob: Blob) -> timedelta | None:
        try:
            info = retried(lambda: self._store.backend.stat(key), self._store.clock)
        except (ObjectNotFoundError, AccessDeniedError):
            return None  # collected since the put found it; or how old it is may not be asked
        age = (info.observed or self._store.clock.now()) - info.modified
        return age if info.size == blob.size and age < self._trusted_age else None
