"""One listing of all records of versions, in parts that run at the same time where much of it is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from metamlflow.backend import ObjectInfo
from metamlflow.backend.threads import ThreadPool
from metamlflow.format.layout import ARTIFACTS
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.store import Store

_PAGE = 1_000  # keys that are looked at together
_MOST_PARTS = 8
_PART_KEYS = 4_000  # fewer are not worth a part of their own
_SAMPLED = 1_024

Unknown = Callable[[list[ObjectInfo]], list[ObjectInfo]]
"""Returns those of the listed objects that have to be looked at."""


def unknown_objects(store: Store, known: Sequence[str], unknown: Unknown) -> Iterator[ObjectInfo]:
    """List ``artifacts/`` once; yield the objects that ``unknown`` returns of each page.

    Args:
        store: the store.
        known: keys of an earlier listing, in any order: they tell where to begin the parts.
        unknown: called with each page, for several parts at the same time.
    """
    bounds = _bounds(known)
    if not bounds:  # lazily: the caller reads while more is listed
        for page in _pages(store, "", None):
            yield from unknown(page)
        return
    with ThreadPool(len(bounds) + 1, "metamlflow-list") as pool:
        parts = itertools.pairwise(["", *bounds, None])
        futures = [pool.submit(_part, store, after or "", last, unknown) for after, last in parts]
        try:
            for future in futures:
                yield from future.result()
        finally:
            for future in futures:
                future.cancel()


def _part(store: Store, after: str, last: str | None, unknown: Unknown) -> list[ObjectInfo]:
    return [info for page in _pages(store, after, last) for info in unknown(page)]


def _pages(store: Store, after: str, last: str | None) -> Iterator[list[ObjectInfo]]:
    """Yield groups of objects whose keys are greater than ``after`` and at most ``last``."""
    group = []
    for info in listed_in_order(store, ARTIFACTS, after):
        if last is not None and info.key > last:
            break
        group.append(info)
        if len(group) == _PAGE:
            yield group
            group = []
    yield group


def _bounds(known: Sequence[str]) -> list[str]:
    """Return keys that divide a listing into parts of about the same length."""
    parts = min(_MOST_PARTS, len(known) // _PART_KEYS)
    if parts <= 1:
        return []
    sample = sorted(known[:: max(1, len(known) // _SAMPLED)])
    return [sample[len(sample) * part // parts] for part in range(1, parts)]
