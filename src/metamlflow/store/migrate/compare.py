"""Compare two stores: report every object that only one of them has, or that differs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from metamlflow.backend import ObjectInfo
from metamlflow.errors import MetaMLFlowError
from metamlflow.format.layout import BLOBS, CACHE, COLLECTIONS, FEATURES, MARKER, POLICIES
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.records import everything_below
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.scheduler import in_parallel

# A migration turns on features in lists of its own; policies and records of collections are each store's own.
_LEFT_OUT = (MARKER, FEATURES, POLICIES, COLLECTIONS, CACHE, ".tmp/")


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not the same in two stores.

    Attributes:
        key: the key of the object.
        what: ``only here`` (in the first), ``only there`` (in the second) or ``other`` (in both, with other bytes).
        here: size or digest in the first store, empty if it is missing there.
        there: size or digest in the second.
    """

    key: str
    what: Literal["only here", "only there", "other"]
    here: str
    there: str

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        return {"key": self.key, "what": self.what, "here": self.here, "there": self.there}


@callback_errors()
def compare_stores(
    here: Store, there: Store, *, full: bool = False, progress: ProgressCallback | None = None
) -> list[Difference]:
    """Return everything that differs between two stores, except for markers, features, policies and caches.

    Records are compared by their bytes. Content is compared by key and size, because its key is its digest; with
    ``full`` by its bytes.

    Raises:
        StoreNotFoundError: one of them does not exist.
    """
    here.marker()
    there.marker()
    counter = Counter("compare", progress)
    differences = in_parallel(partial(_difference, here, there, full, counter), _pairs(here, there))
    return [found for found in differences if found is not None]


Pair = tuple[str, ObjectInfo | None, ObjectInfo | None]


def _pairs(here: Store, there: Store) -> Iterator[Pair]:
    """Merge both listings by key."""
    ours, theirs = _objects(here), _objects(there)
    left, right = next(ours, None), next(theirs, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.key < right.key):
            assert left is not None  # noqa: S101 (for the type checker)
            yield left.key, left, None
            left = next(ours, None)
        elif left is None or right.key < left.key:
            yield right.key, None, right
            right = next(theirs, None)
        else:
            yield left.key, left, right
            left, right = next(ours, None), next(theirs, None)


def _objects(store: Store) -> Iterator[ObjectInfo]:
    return (info for info in everything_below(store, "") if not info.key.startswith(_LEFT_OUT))


def _difference(here: Store, there: Store, full: bool, counter: Counter, pair: Pair) -> Difference | None:  # noqa: FBT001 (bound)
    key, left, right = pair
    counter.add(files=1)
    if left is None or right is None:
        sizes = [f"{info.size} bytes" if info else "" for info in (left, right)]
        return Difference(key, "only here" if right is None else "only there", *sizes)
    if left.size != right.size:
        return Difference(key, "other", f"{left.size} bytes", f"{right.size} bytes")
    if not full and key.startswith(BLOBS):
        return None
    digests = _digest(here, key), _digest(there, key)
    return None if digests[0] == digests[1] else Difference(key, "other", *digests)


def _digest(store: Store, key: str) -> str:
    digest = hashlib.sha256()
    try:
        with with_retries(lambda: store.backend.open(key), store.clock) as reader:
            while chunk := reader.read(256 * 1024):
                digest.update(chunk)
    except MetaMLFlowError as error:
        return f"unreadable: {error.message}"
    return f"sha256:{digest.hexdigest()}"
