"""Moving a store to another place, and proving that nothing changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from metamlflow.client import MetaMLFlowClient
from metamlflow.store.comparing import Difference, compare_stores
from metamlflow.store.migrating import VersionReport
from metamlflow.store.migration import MigrationReport, migrate_store
from metamlflow.store.opening import Store
from metamlflow.store.progress import ProgressCallback

__all__ = ["Difference", "MigrationReport", "VersionReport", "compare", "migrate"]

Place = str | os.PathLike[str] | MetaMLFlowClient


def migrate(
    source: Place,
    destination: Place,
    names: Iterable[str] | None = None,
    *,
    source_options: Mapping[str, Any] | None = None,
    destination_options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> MigrationReport:
    """Bring versions to another store: numbers, ids, digests and manifest bytes unchanged; the source is only read.

    Versions go ascending within a name and inputs before their consumers, so the destination is consistent at every
    moment. What it has is not sent again: the same call goes on where one was stopped, and mirrors a store every night.
    Content is compared with its digest on its way. A name whose history is another at the destination is refused, and
    the rest goes on. What is only pointed to stays where it is.

    Args:
        source: a URI, a path, or a client.
        destination: likewise; the store is made if there is none.
        names: only these; default: all.
        source_options: fsspec options of the source, if it is given by its URI.
        destination_options: those of the destination.
        dry_run: only say what would go.
        progress: called with a :class:`~metamlflow.artifacts.Progress`.

    Returns:
        A report that is true in a condition if nothing was refused and nothing failed.

    Raises:
        StoreNotFoundError: there is no source.
        ArtifactNotFoundError: one of the names does not exist.
    """
    ends = _store(source, source_options), _store(destination, destination_options)
    return migrate_store(*ends, names, dry_run=dry_run, progress=progress)


def compare(
    source: Place,
    destination: Place,
    *,
    source_options: Mapping[str, Any] | None = None,
    destination_options: Mapping[str, Any] | None = None,
    full: bool = False,
    progress: ProgressCallback | None = None,
) -> list[Difference]:
    """Return everything that differs between two stores, but for their markers and caches; empty if nothing does.

    Args:
        source: a URI, a path, or a client.
        destination: likewise.
        source_options: fsspec options of the source, if it is given by its URI.
        destination_options: those of the destination.
        full: read all content; else content is compared by key and size, since its key is its digest.
        progress: called with a :class:`~metamlflow.artifacts.Progress`.

    Raises:
        StoreNotFoundError: one of them does not exist.
    """
    ends = _store(source, source_options), _store(destination, destination_options)
    return compare_stores(*ends, full=full, progress=progress)


def _store(place: Place, options: Mapping[str, Any] | None) -> Store:
    client = place if isinstance(place, MetaMLFlowClient) else MetaMLFlowClient(place, storage_options=options)
    return client._store  # noqa: SLF001 (its own kind)
