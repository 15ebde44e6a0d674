"""One listing of everything below a prefix, which goes on where a failure cut it off."""

from __future__ import annotations

from collections.abc import Iterator

from metamlflow.backend import ObjectInfo
from metamlflow.errors import StorageUnavailableError
from metamlflow.store.catalog.store import Store

_ATTEMPTS = 4


def listed_in_order(store: Store, prefix: str) -> Iterator[ObjectInfo]:
    """Yield all objects below a prefix, in the order of their keys; continue after transient failures."""
    after, failures = "", 0
    while True:
        try:
            for info in store.backend.list_objects(prefix, after=after):
                yield info
                after, failures = info.key, 0
        except StorageUnavailableError:
            failures += 1
            if failures == _ATTEMPTS:
                raise
            store.clock.back_off(failures)
        else:
            return
