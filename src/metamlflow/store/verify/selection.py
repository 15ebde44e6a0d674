"""Resolve which versions a bulk verification covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from metamlflow.errors import IntegrityError, StoreFormatError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.history import history_problems, names_in_use
from metamlflow.store.catalog.records import read_if_listed
from metamlflow.store.catalog.statuses import is_listed, list_versions, live_or_damaged, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import load_reference, not_found
from metamlflow.store.verify.report import UnreadableVersion


def every_version(store: Store) -> Iterator[StoredManifest | UnreadableVersion]:
    """Yield all versions whose bytes are present, in the order of the names, and the problems of each name.

    Raises:
        StoreNotFoundError: the store does not exist.
    """
    store.marker()  # otherwise a missing store would pass as an empty one
    for name in names_in_use(store):
        yield from _versions_of(store, name)


def wanted_versions(store: Store, wanted: Iterable[Any]) -> list[StoredManifest | UnreadableVersion]:
    """Return the requested versions before any is verified, so that a mistyped name fails at once.

    Args:
        store: the store that has the versions.
        wanted: names, each of which stands for all of its versions, and references such as ``features@2``.

    Raises:
        NotFoundError: one of them does not exist.
    """
    store.marker()
    found: list[StoredManifest | UnreadableVersion] = []
    for text in wanted:
        if isinstance(text, str) and "@" in text:
            found.append(_loaded(store, text))
            continue
        name = ArtifactName.parse(text)
        versions = list(_versions_of(store, name))
        if not versions:
            raise not_found(store, name, None)
        found += versions
    return found


def _versions_of(store: Store, name: ArtifactName) -> Iterator[StoredManifest | UnreadableVersion]:
    live, damaged = live_or_damaged(store, name, list_versions(store, name))
    for number in sorted([*damaged, *(status.version for status in live)]):
        if number in damaged:
            yield UnreadableVersion(f"{name}@{number}", damaged[number])
            continue
        try:
            loaded = _loaded_if_listed(store, name, number)
        except (StoreFormatError, IntegrityError) as error:
            yield UnreadableVersion(f"{name}@{number}", error)
            continue
        if loaded is not None:  # removed since the listing; if it should exist, the history shows that
            yield loaded
    for problem in history_problems(store, name):
        yield UnreadableVersion(str(name), problem)


def _loaded_if_listed(store: Store, name: ArtifactName, number: int) -> StoredManifest | None:
    return read_if_listed(
        manifest_key(name, number),
        partial(load_manifest, store, name, number),
        partial(is_listed, store, name, number),
        store.clock,
    )


def _loaded(store: Store, text: str) -> StoredManifest | UnreadableVersion:
    try:
        return load_reference(store, Reference.parse(text))
    except (StoreFormatError, IntegrityError) as error:
        return UnreadableVersion(text, error)
