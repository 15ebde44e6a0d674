"""One listing of everything below a prefix, which goes on where a failure cut it off."""

from __future__ import annotations

from collections.abc import Iterator

from metamlflow.backend import ObjectInfo
from metamlflow.errors import StorageUnavailableError
from metamlflow.store.catalog.store import Store

_ATTEMPTS = 4


def listed_in_order(store: Store, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
    """Yield the objects below a prefix whose keys are greater than ``after``, in the order of their keys.

    Lazily, and on after transient failures.
    """
    failures = 0
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
