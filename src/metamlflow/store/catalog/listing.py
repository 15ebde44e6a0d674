"""Lists of artifacts: a damaged record is left out with a warning and does not hide the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import (
    AccessDeniedError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    DamagedRecordWarning,
    ObjectNotFoundError,
    StoreFormatError,
)
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.newest import newest_of_each
from metamlflow.store.catalog.records import looked_again
from metamlflow.store.catalog.statuses import VersionStatus, live_among, live_or_damaged, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, list_names, load_reference
from metamlflow.store.transfer.scheduler import in_parallel

Held = Callable[[Sequence[tuple[ArtifactName, VersionStatus]]], list[StoredManifest | None]]
"""Returns manifests that need not be read, since they are held for the very objects that a listing has shown."""


def listed(
    store: Store,
    name: ArtifactName | None,
    *,
    include_hidden: bool = False,
    prefix: str = "",
    held: Held | None = None,
) -> list[StoredManifest]:
    """Return the versions of a name whose bytes are present, ascending; without a name the latest of each name."""
    if name is not None:
        return versions_of(store, name)
    return latest_of_each(store, include_hidden=include_hidden, prefix=prefix, held=held)


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


def latest_of_each(
    store: Store, *, include_hidden: bool = False, prefix: str = "", held: Held | None = None
) -> list[StoredManifest]:
    """Return the latest version of each name that has one and begins with ``prefix``, in the order of the names.

    Hidden ones only if asked. Costs a listing of ``names/`` and at most one of ``artifacts/``, both below the last
    slash of the prefix, and a read of each manifest that is not held.
    """
    with ThreadPool(1, "metamlflow-list") as pool:
        naming = pool.submit(lambda: sorted(list_names(store, include_hidden=include_hidden, prefix=prefix)))
        newest = _newest(store, prefix)
        names = naming.result()
    certain = [(name, status) for name in names if (status := newest.get(name)) is not None]
    known: dict[ArtifactName, StoredManifest | None] = {}
    if held is not None and certain:
        known = dict(zip((name for name, _ in certain), held(certain), strict=True))

    def latest(name: ArtifactName) -> StoredManifest | None:
        try:
            if (status := newest.get(name)) is not None:
                with suppress(ObjectNotFoundError):  # erased since it was listed
                    return load_manifest(store, name, status.version, seen=status.info)
            return load_reference(store, Reference(name)) if name in newest or not newest else None
        except (ArtifactNotFoundError, ArtifactPrunedError, ArtifactErasedError):
            return None  # the name has no version with its bytes

    read = in_parallel(_or_error(latest), [name for name in names if known.get(name) is None])
    return _readable(found if (found := known.get(name)) is not None else next(read) for name in names)


def _newest(store: Store, prefix: str) -> dict[ArtifactName, VersionStatus | None]:
    """Return the newest version of each name; empty where these credentials may list only some prefixes."""
    try:
        return dict(newest_of_each(store, prefix))
    except AccessDeniedError:
        return {}


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
