"""Resolves which versions a verification of many covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from metamlflow.errors import IntegrityError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.history import history_problems, names_in_use
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import list_versions, load_manifest, load_reference, not_found
from metamlflow.store.verify.report import UnreadableVersion


def every_version(store: Store) -> Iterator[StoredManifest | UnreadableVersion]:
    """Yield all versions of all names that have their bytes, in the order of the names, and what is wrong with a name.

    Raises:
        StoreNotFoundError: there is no store.
    """
    store.marker()  # or a store that is not there would pass as an empty one
    for name in names_in_use(store):
        yield from _versions_of(store, name)


def wanted_versions(store: Store, wanted: Iterable[Any]) -> list[StoredManifest | UnreadableVersion]:
    """Return the versions that are meant, before the first is checked: a mistyped name does not cost an hour.

    Args:
        store: where they are.
        wanted: names, each of which means all of its versions, and references such as ``features@2``.

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
    for number in sorted(status.version for status in list_versions(store, name) if status.available):
        try:
            yield load_manifest(store, name, number)
        except (StoreFormatError, IntegrityError) as error:
            yield UnreadableVersion(f"{name}@{number}", error)
        except ObjectNotFoundError:  # gone since it was listed; if it should be there, the history tells
            continue
    for problem in history_problems(store, name):
        yield UnreadableVersion(str(name), problem)


def _loaded(store: Store, text: str) -> StoredManifest | UnreadableVersion:
    try:
        return load_reference(store, Reference.parse(text))
    except (StoreFormatError, IntegrityError) as error:
        return UnreadableVersion(text, error)
