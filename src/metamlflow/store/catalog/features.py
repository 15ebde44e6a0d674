"""The features of a store: what its newest record lists, and who must stop at what this library does not know."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from metamlflow.backend import Backend, CheapStat, ObjectInfo
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import AccessDeniedError, StoreFormatError
from metamlflow.format.features import StoreFeatures, decode_features
from metamlflow.format.layout import FEATURES, parse_features_key
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.records import looked_again, with_retries

MAX_RECORDS = 1_000
"""The largest number of lists in a store: whoever deletes reads all of them."""
_PAGE = 100
_UPDATE = "A newer metamlflow turned them on; update yours."

T = TypeVar("T")


class HeldFeatures:
    """What this process knows of a store's features, and since when. Thread-safe.

    Args:
        clock: the clock of the store.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self.found = StoreFeatures()

    def are_old(self, seconds: float) -> bool:
        """Whether the last look began longer ago."""
        return self._clock.elapsed() - self._asked_at > seconds

    def let_read(self, seconds: float) -> bool:
        """Whether a reader may go on without a look."""
        return not self.are_old(seconds) and not self.found.unknown_to_readers()

    def look(self, backend: Backend) -> None:
        """List the features, and read the newest list if there is one."""
        began = self._clock.elapsed()
        self.hold(newest_features(backend, self._clock), began)

    def look_beside(self, backend: Backend, read_marker: Callable[[], T | None]) -> T | None:
        """Look while the marker is read, and return the marker. Without one, a listing of features says nothing."""
        if isinstance(backend, CheapStat):
            marker = read_marker()
            if marker is not None:
                self.look(backend)
            return marker
        with ThreadPool(1, "metamlflow") as pool:
            began = self._clock.elapsed()
            listing = pool.submit(newest_features, backend, self._clock)
            marker = read_marker()
        if marker is not None:
            self.hold(listing.result(), began)
        return marker

    def hold(self, features: StoreFeatures, asked_at: float) -> None:
        """Go by these from now on, unless a later list is known: what a slower thread was told is older."""
        with self._lock:
            held = self.found.key
            if not held or (features.key and features.key <= held):
                self.found = features
            self._asked_at = max(self._asked_at, asked_at)


def newest_features(backend: Backend, clock: Clock) -> StoreFeatures:
    """Return the features that are turned on: one listing, and one read if there are any.

    Raises:
        AccessDeniedError: the credentials may not list or read them. That never counts as none.
        StoreFormatError: the newest record is damaged. The one before it may list fewer, so it is not used instead.
    """

    def look() -> StoreFeatures:
        for key in _keys(backend, clock):
            return _read(backend, clock, key)
        return StoreFeatures()

    return looked_again(look, clock)


def every_list(backend: Backend, clock: Clock) -> list[StoreFeatures]:
    """Return all records of a store's features, the newest first, for whoever deletes: none of them may be missed.

    Raises:
        StoreFormatError: one of them is damaged, or there are more than 1,000.
    """
    keys = list(_keys(backend, clock))
    if len(keys) > MAX_RECORDS:
        raise StoreFormatError(
            f"{FEATURES} holds {len(keys):,} records, more than {MAX_RECORDS:,}",
            hint="This library did not write them: somebody forged or damaged them. Look at them.",
            key=FEATURES,
            problems=(f"more than {MAX_RECORDS:,} records",),
        )
    return [_read(backend, clock, key) for key in keys]


def check_readable(features: StoreFeatures) -> None:
    """Refuse everything in a store with a feature that a reader must know and this library does not.

    Raises:
        StoreFormatError: it has one.
    """
    if problems := features.unknown_to_readers():
        raise StoreFormatError(
            f"{features.key} lists features that this library does not know, and a reader must:\n  "
            + "\n  ".join(problems),
            hint=f"{_UPDATE} Nothing was read or written.",
            key=features.key,
            problems=problems,
        )


def check_writable(features: StoreFeatures) -> None:
    """Refuse to write to a store, delete from it or migrate it where it has any feature that is not known.

    Raises:
        StoreFormatError: it has one.
    """
    check_readable(features)
    if problems := features.unknown_to_writers():
        raise StoreFormatError(
            f"{features.key} lists features that this library does not know, and whoever writes, deletes or migrates "
            "must:\n  " + "\n  ".join(problems),
            hint=f"{_UPDATE} Reading works as before; nothing was written.",
            key=features.key,
            problems=problems,
        )


def _keys(backend: Backend, clock: Clock) -> Iterator[str]:
    """Yield the keys of all records, the newest first. What else lies there is nobody's business but a collector's."""
    after, limit = "", _PAGE
    while page := _page(backend, clock, after, limit):
        yield from sorted(info.key for info in page if parse_features_key(info.key))  # whatever the order they came in
        if len(page) < limit:
            return
        after, limit = page[-1].key, 1_000


def _page(backend: Backend, clock: Clock, after: str, limit: int) -> list[ObjectInfo]:
    try:
        return with_retries(lambda: list(backend.list_objects(FEATURES, after=after, limit=limit)), clock)
    except AccessDeniedError as error:
        raise error.with_hint(
            f"{error.hint or ''} Whoever opens a store lists {FEATURES}: what is listed there must be known, so "
            "without the right to list it the store is not opened.".strip()
        ) from None


def _read(backend: Backend, clock: Clock, key: str) -> StoreFeatures:
    return decode_features(with_retries(lambda: read_record(backend, key), clock), key)
