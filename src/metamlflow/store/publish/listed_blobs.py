"""One look at many blobs that a publish may rely on: a page of the storage's listing, whatever their number."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass

from metamlflow.errors import StorageError
from metamlflow.format.layout import BLOBS
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store

_LISTED = 999  # keys: with the one that a listing starts from, what servers give with one request
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Page:
    """The sizes of all objects from one key to another, both included; None as the last: to the end."""

    sizes: dict[str, int]
    first: str
    last: str | None

    def may_have(self, key: str, size: int) -> bool:
        if key < self.first or (self.last is not None and key > self.last):
            return True
        return self.sizes.get(key) == size


class ListedBlobs:
    """What one page of a listing tells of blobs that a manifest names. Asked for when it is first needed. Thread-safe.

    A store of up to a thousand objects of content is seen whole. Of a larger one it is those from the first that the
    last version names; of the others nothing is known, and they are taken to be there.

    Args:
        store: where they are.
        named: the keys that the last version names; none: the page begins with the first blob of the store.
    """

    def __init__(self, store: Store, named: Collection[str]) -> None:
        self._store = store
        self._named = named
        self._lock = threading.Lock()
        self._page: _Page | None = None

    def may_have(self, key: str, size: int) -> bool:
        """Return False if it is known that there is no object with this key and size, in bytes."""
        page = self._page
        if page is None:  # once it is there, threads need not wait for one another
            with self._lock:
                page = self._page = self._page or self._look()
        return page.may_have(key, size)

    def _look(self) -> _Page:
        first = min(self._named, default="")
        # All that one blob's page need hold is that blob: the folder that it lies in is listed, and not the store.
        prefix = first.rpartition("/")[0] + "/" if len(self._named) == 1 else BLOBS
        limit = 1 if len(self._named) == 1 else _LISTED
        backend, after = self._store.backend, first[:-1]
        try:
            found = with_retries(
                lambda: list(backend.list_objects(prefix, after=after, limit=limit)), self._store.clock
            )
        except StorageError as error:  # a writer need not be allowed to list content
            _log.debug("what is relied on is not looked at: %s", error)
            return _Page({}, "", "")
        last = found[-1].key if len(found) == limit else None
        return _Page({info.key: info.size for info in found}, first, last)
