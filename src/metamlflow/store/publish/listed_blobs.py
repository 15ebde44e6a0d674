"""Check many blobs that a publish may rely on with one request, whatever their number: a page of a listing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass

from metamlflow.errors import StorageError
from metamlflow.format.layout import BLOBS
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store

_LISTED = 999  # keys: with the one where the listing begins, as many as servers return with one request
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Page:
    """The sizes of all objects from one key to another, both included; None as the last key: to the end."""

    sizes: dict[str, int]
    first: str
    last: str | None

    def may_have(self, key: str, size: int) -> bool:
        if key < self.first or (self.last is not None and key > self.last):
            return True
        return self.sizes.get(key) == size


class ListedBlobs:
    """The blobs of a manifest as one page of a listing shows them. Requested at the first use. Thread-safe.

    For a store of up to a thousand blobs the page shows all of them. For a larger one it begins at the first blob that
    the last version names; blobs beyond the page are assumed to exist.

    Args:
        store: the store that has the blobs.
        named: the keys that the last version names; empty: the page begins with the first blob of the store.
    """

    def __init__(self, store: Store, named: Collection[str]) -> None:
        self._store = store
        self._named = named
        self._lock = threading.Lock()
        self._page: _Page | None = None

    def may_have(self, key: str, size: int) -> bool:
        """Return False if the page shows that no object has this key and size (in bytes)."""
        page = self._page
        if page is None:  # without the lock once the page is there: threads need not wait for one another
            with self._lock:
                page = self._page = self._page or self._look()
        return page.may_have(key, size)

    def _look(self) -> _Page:
        first = min(self._named, default="")
        # For a single blob, a page with that blob is enough: list its folder, not the whole store.
        prefix = first.rpartition("/")[0] + "/" if len(self._named) == 1 else BLOBS
        limit = 1 if len(self._named) == 1 else _LISTED
        backend, after = self._store.backend, first[:-1]
        try:
            found = with_retries(
                lambda: list(backend.list_objects(prefix, after=after, limit=limit)), self._store.clock
            )
        except StorageError as error:  # a writer need not have permission to list content
            _log.debug("the blobs relied on cannot be listed: %s", error)
            return _Page({}, "", "")
        last = found[-1].key if len(found) == limit else None
        return _Page({info.key: info.size for info in found}, first, last)
