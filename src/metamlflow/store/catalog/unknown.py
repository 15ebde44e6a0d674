"""Telling whether a store holds anything that this library does not know. Asked before anything is deleted from it.

A collector of today must not destroy what a version of tomorrow writes: it cannot tell what that needs. SPEC.md,
"The unknown".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from metamlflow.errors import StoreFormatError
from metamlflow.format.known_keys import is_known
from metamlflow.format.layout import ARTIFACTS, FEATURES, MARKER, POLICIES, PROTECTIONS
from metamlflow.format.records import decode_marker
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.features import check_writable, every_list
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import pages
from metamlflow.store.catalog.store import Store

_AROUND = (FEATURES, POLICIES, PROTECTIONS)
_LISTED = (ARTIFACTS, *_AROUND)
_SHOWN = 20
_PAGE = 1_000
_AFTER_ALL = "~"  # greater than every character of a key that this format spells


def refuse_unknown(store: Store) -> None:
    """Raise where a store holds anything unknown: a listing of ``artifacts/``, and some requests besides.

    A collector calls it after it asked for the time that it judges by, and then reads each manifest, whose features are
    told by that. All records of the store's features are read, and not only the newest: whoever wrote that may have
    left one out.

    Raises:
        StoreFormatError: it does, with the first twenty keys; or a feature that is not known is turned on in it, or
            required by its marker.
        ObjectNotFoundError: there is no marker any more.
    """
    _check_features(store)
    refuse_keys(_unknown_below(store, _LISTED))


def refuse_unknown_around(store: Store) -> None:
    """As :func:`refuse_unknown`, without ``artifacts/``, for whoever lists that anyway and asks ``is_known``."""
    _check_features(store)
    refuse_keys(_unknown_below(store, _AROUND))


def _check_features(store: Store) -> None:
    decode_marker(with_retries(lambda: read_record(store.backend, MARKER), store.clock))
    for features in every_list(store.backend, store.clock):
        check_writable(features)


def refuse_keys(unknown: Iterable[str]) -> None:
    """Raise if there are any, with the first twenty."""
    if found := list(itertools.islice(unknown, _SHOWN)):
        shown = "\n  ".join(found)
        raise StoreFormatError(
            f"the store holds what this library does not know, so nothing of it is deleted:\n  {shown}",
            hint="A newer metamlflow wrote it, or something that does not belong there: update yours, or remove it.",
            problems=tuple(found),
        )


def unknown_keys(store: Store) -> Iterator[str]:
    """Yield each unknown key where records are listed, and of other folders in the root the first."""
    return _unknown_below(store, _LISTED)


def _unknown_below(store: Store, prefixes: Iterable[str]) -> Iterator[str]:
    others = keys_in_the_root(store)
    records = (info.key for prefix in prefixes for info in pages(store, prefix, _PAGE))
    return (key for key in itertools.chain(others, records) if not is_known(key))


def keys_in_the_root(store: Store) -> Iterator[str]:
    """Yield a key of each folder in the root except those listed in full, and the keys in no folder: a request each."""
    after = ""
    while found := _listed(store, "", after, 1):
        (key,) = found
        folder, slash, _ = key.partition("/")
        if not key.startswith(_LISTED):
            yield key
        is_marker = not slash or key.endswith("/")  # which stands for a folder and says nothing of what is in it
        after = key if is_marker else max(key, f"{folder}/{_AFTER_ALL}")


def _listed(store: Store, prefix: str, after: str, limit: int) -> list[str]:
    def listed() -> list[str]:
        return [
            info.key for info in itertools.islice(store.backend.list_objects(prefix, after=after, limit=limit), limit)
        ]

    return with_retries(listed, store.clock)
