"""The lakes that a store's artifacts point to, each with the credentials that its place takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from metamlflow.backend.lakes import Lake, Sighting, open_lake
from metamlflow.errors import InvalidInputError
from metamlflow.model.pointers import Evidence, PointerEntry
from metamlflow.model.uris import split_uri


class Lakes:
    """Opens lakes when they are first needed. Thread-safe and picklable; its options travel along.

    Args:
        store_url: of the store, whose own options hold for lakes of its scheme that have none.
        store_options: those.
        by_place: options by scheme (``s3``) or by the beginning of a URI (``s3://partner-``); the longest that fits
            holds, alone.
    """

    def __init__(
        self, store_url: str, store_options: Mapping[str, Any], by_place: Mapping[str, Mapping[str, Any]]
    ) -> None:
        _check(by_place)
        own = {store_url.partition("://")[0]: store_options} if store_options else {}
        self._by_place = {_plain(place): options for place, options in {**own, **by_place}.items()}
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Lake] = {}

    def __getstate__(self) -> Mapping[str, Mapping[str, Any]]:
        return self._by_place

    def __setstate__(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        self._by_place = dict(state)
        self._reset()

    def lake_of(self, uri: str) -> tuple[Lake, str]:
        """Return the lake that an object lies in, and the object's name there. No network."""
        root, name = split_uri(uri)
        place = self._place(uri)
        if self._pid != os.getpid():  # another thread may have held the lock when this process was forked
            self._reset()
        with self._lock:
            if (root, place) not in self._open:
                self._open[root, place] = open_lake(root, self._by_place.get(place, {}))
            return self._open[root, place], name

    def filesystem_of(self, uri: str) -> tuple[Any, str]:
        """Return the fsspec file system that an object lies in, to write it with, and its path there."""
        import fsspec

        options = {**self._by_place.get(self._place(uri), {}), "use_listings_cache": False}
        scheme = uri.partition("://")[0]
        try:
            filesystem = fsspec.filesystem(scheme, **options)
        except (ImportError, ValueError, TypeError) as error:
            raise InvalidInputError(f"data cannot be written to {scheme}://: {error}") from error
        return filesystem, filesystem._strip_protocol(uri)  # noqa: SLF001 (fsspec's name for it)

    def _place(self, uri: str) -> str:
        fitting = [place for place in self._by_place if uri.startswith(place if "://" in place else f"{place}://")]
        return max(fitting, key=lambda place: ("://" in place, len(place)), default="")


def _plain(place: str) -> str:
    """Return a place with its scheme as it is written in the URIs of pointers."""
    scheme, separator, rest = place.partition("://")
    return {"gcs": "gs"}.get(scheme.lower(), scheme.lower()) + separator + rest


def _check(by_place: Mapping[Any, Any]) -> None:
    for place, options in by_place.items():
        if not isinstance(place, str) or not place or not isinstance(options, Mapping):
            raise InvalidInputError(
                "options of data are given by scheme, such as 's3', or by the beginning of a URI",
                hint="Write {'s3': {'profile': 'lake'}, 's3://partner-data/': {'anon': True}}.",
            )


def seen_as(entry: PointerEntry) -> Sighting:
    """Return what an entry says of its object, as a look would: what reads and later looks are compared with."""
    evidence = entry.evidence
    return Sighting(
        name=split_uri(entry.uri)[1],
        size=entry.size,
        version=entry.version,
        etag=evidence.etag,
        modified_ns=evidence.modified_ns,
        held=evidence.held,
    )


def entry_of(path: str, root: str, seen: Sighting, computed: Mapping[str, str] | None = None) -> PointerEntry:
    """Return the entry for an object that was seen."""
    evidence = Evidence(
        etag=seen.etag, modified_ns=seen.modified_ns, held=dict(seen.held), computed=dict(computed or {})
    )
    return PointerEntry(path, seen.size, f"{root}/{seen.name}", seen.version, evidence)
