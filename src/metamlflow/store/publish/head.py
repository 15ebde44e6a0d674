"""The head of a name: its newest version, which the next one follows."""

from __future__ import annotations

from dataclasses import dataclass

from metamlflow.errors import ConflictError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.records import looked_again
from metamlflow.store.catalog.statuses import load_manifest, read_tomb, stays_live
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import newest_status


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of a name, whatever its state; number 0 if the name has no version.

    Attributes:
        number: its number.
        loaded: its manifest; None if it was erased.
        available: whether it is certainly live, so that its blobs may be relied on.
        was_known: whether its manifest was in the cache already, and not read for this.
        digest: of its manifest, which the next version names; None if there is no version.
    """

    number: int = 0
    loaded: StoredManifest | None = None
    available: bool = False
    was_known: bool = False
    digest: str | None = None


def read_newest(store: Store, name: ArtifactName) -> Newest:
    """Return the newest version of a name, with its manifest: two requests, or one if it has no version.

    Raises:
        ConflictError: a migration is creating the next version.
    """
    return looked_again(lambda: _read_head(store, name), store.clock)


def _read_head(store: Store, name: ArtifactName) -> Newest:
    began = store.clock.now().timestamp()
    status = newest_status(store, name)
    if not status.committed:
        raise ConflictError(
            f"{name}@{status.version} is being migrated into this store",
            hint="Register again when the migration is complete; if it was interrupted, finish it first.",
        )
    if status.version == 0:
        return Newest()
    if status.erased:
        return Newest(status.version, digest=read_tomb(store, name, status.version).manifest_digest)
    was_known = store.manifests.has_any_below(manifest_key(name, status.version))
    loaded = load_manifest(store, name, status.version, seen=status.info)
    available = stays_live(store, name, status, began)
    return Newest(status.version, loaded, available, was_known, loaded.digest)
