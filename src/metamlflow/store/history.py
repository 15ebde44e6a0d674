"""Checking that a name's versions are the ones that were committed: none is missing, each follows the one before."""

from __future__ import annotations

from collections.abc import Iterator

from metamlflow.errors import IntegrityError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.layout import ARTIFACTS, manifest_key, name_of_versions_key
from metamlflow.format.manifests import decode_manifest, digest_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.claiming import retried
from metamlflow.store.opening import Store
from metamlflow.store.versions import list_names, list_versions

_HINT = "Restore this object from a copy of the store."


def names_in_use(store: Store) -> list[ArtifactName]:
    """Return every name that has a record or a version, sorted: a name record that was lost hides nothing."""
    names = set(list_names(store))
    for info in retried(lambda: list(store.backend.list_objects(ARTIFACTS)), store.clock):
        if name := name_of_versions_key(info.key):
            names.add(ArtifactName(name))
    return sorted(names)


def history_problems(store: Store, name: ArtifactName) -> Iterator[IntegrityError]:
    """Yield what is wrong with a name's row of versions; each manifest is read once.

    Manifests that cannot be read are left to those who read them; here only their bytes count.
    """
    head = next(list_versions(store, name), None)
    previous: str | None = None
    for version in range(1, head.version + 1 if head else 1):
        key = manifest_key(name, version)
        try:
            data = retried(lambda key=key: store.backend.read(key), store.clock)  # type: ignore[misc]
        except ObjectNotFoundError:
            yield IntegrityError(
                f"{name}@{version} is missing: its manifest was deleted ({key})",
                hint=_HINT,
                expected=f"version {version}",
                actual="missing",
                key=key,
            )
            previous = None
            continue
        try:
            said = decode_manifest(data, key, name, version).previous
        except StoreFormatError:
            said = None
        if said and previous and said != previous:
            before = manifest_key(name, version - 1)
            yield IntegrityError(
                f"{name}@{version - 1} was altered after {name}@{version} was registered ({before})",
                hint=_HINT,
                expected=said,
                actual=previous,
                key=before,
            )
        previous = digest_of(data)
