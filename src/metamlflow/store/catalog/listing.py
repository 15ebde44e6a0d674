"""Lists of artifacts: a damaged record is left out with a warning and does not hide the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from metamlflow.errors import (
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    DamagedRecordWarning,
    StoreFormatError,
)
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.records import looked_again
from metamlflow.store.catalog.statuses import live_among, live_or_damaged, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, list_names, load_reference
from metamlflow.store.transfer.scheduler import in_parallel


def listed(
    store: Store, name: ArtifactName | None, *, include_hidden: bool = False, prefix: str = ""
) -> list[StoredManifest]:
    """Return the versions of a name whose bytes are present, ascending; without a name the latest of each name."""
    if name is not None:
        return versions_of(store, name)
    return latest_of_each(store, include_hidden=include_hidden, prefix=prefix)


def live_numbers(store: Store, name: ArtifactName) -> list[int]:
    """Return the numbers of a name's versions whose bytes are present, ascending.

    Raises:
        ArtifactNotFoundError: the name does not exist.
    """
    return [status.version for status in live_among(store, name, known_versions(store, name))]


def versions_of(store: Store, name: ArtifactName) -> list[StoredManifest]:
    """Return the versions of a name whose bytes are present, ascending.

    Raises:
        ArtifactNotFoundError: the name does not exist.
    """
    return _readable(looked_again(lambda: _load_versions(store, name), store.clock))


def _load_versions(store: Store, name: ArtifactName) -> list[StoredManifest | StoreFormatError | None]:
    live, damaged = live_or_damaged(store, name, known_versions(store, name))

    def load(number: int) -> StoredManifest:
        if number in damaged:
            raise damaged[number]
        return load_manifest(store, name, number)

    return list(in_parallel(_or_error(load), sorted([*damaged, *(status.version for status in live)])))


def latest_of_each(store: Store, *, include_hidden: bool = False, prefix: str = "") -> list[StoredManifest]:
    """Return the latest version of each name that has one, in the order of the names; of hidden ones only if asked."""

    def latest(name: ArtifactName) -> StoredManifest | None:
        try:
            return load_reference(store, Reference(name))
        except (ArtifactNotFoundError, ArtifactPrunedError, ArtifactErasedError):
            return None  # the name has no version with its bytes

    names = sorted(list_names(store, include_hidden=include_hidden, prefix=prefix))
    return _readable(in_parallel(_or_error(latest), names))


def _or_error(
    load: Callable[[Any], StoredManifest | None],
) -> Callable[[Any], StoredManifest | StoreFormatError | None]:
    """Return ``load`` with errors returned instead of raised: a damaged record must not hide the others."""

    def loaded_or_error(what: Any) -> StoredManifest | StoreFormatError | None:
        try:
            return load(what)
        except StoreFormatError as error:
            return error

    return loaded_or_error


def _readable(found: Iterable[StoredManifest | StoreFormatError | None]) -> list[StoredManifest]:
    readable = []
    for item in found:
        if isinstance(item, StoreFormatError):
            warnings.warn(f"left out of the list: {item}", DamagedRecordWarning, stacklevel=4)
        elif item is not None:
            readable.append(item)
    return readable
