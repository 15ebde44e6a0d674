"""Versions that vanished: numbers that had a manifest, and now have neither that nor a tomb. SPEC.md, section 13."""

from __future__ import annotations

from collections.abc import Iterator

from metamlflow.errors import IntegrityError
from metamlflow.format.layout import manifest_key, tomb_key
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import VersionStatus, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.presence import stat_or_none

_COPY = "Something other than the library deleted it. Bring it back with `metamlflow fsck --repair --from` a copy"


def look_for(store: Store, name: ArtifactName, version: int) -> VersionStatus | None:
    """Return a version that a listing did not show, or None if it has vanished. Two requests at most if it has."""
    # In this order: the tomb is created before the manifest is deleted, so one of the two is always found.
    if info := stat_or_none(store, manifest_key(name, version)):
        status = version_status(store, name, version)
        return status if status.committed else VersionStatus(version, info=info)
    if info := stat_or_none(store, tomb_key(name, version)):
        return VersionStatus(version, erased=True, tomb_info=info)
    return None


def missed_between(store: Store, name: ArtifactName, after: int, before: int) -> Iterator[VersionStatus]:
    """Yield the versions between two numbers that a listing did not show: one in no order, while they came or went.

    Raises:
        IntegrityError: one has vanished. The first is enough, so a gap costs no more looks than there are objects.
    """
    for version in range(before - 1, after, -1):
        if (status := look_for(store, name, version)) is None:
            raise _vanished(
                name,
                version,
                f"there is a version {before}",
                f"or, if it is lost for good, give it up with `metamlflow erase {name}@{version} --lost`",
            )
        yield status


def refuse_protection_of_nothing(store: Store, name: ArtifactName, version: int) -> None:
    """Raise an error if a version that is protected has vanished."""
    if look_for(store, name, version) is None:
        remedy = "migrate again if a migration was cut off, or end its protections with `metamlflow unprotect`"
        raise _vanished(name, version, "it is protected", remedy)


def refuse_alias_of_nothing(store: Store, name: ArtifactName, version: int, alias: str) -> None:
    """Raise an error if a version that an alias names has vanished."""
    if look_for(store, name, version) is None:
        remedy = "migrate again if a migration was cut off, or set the alias to another version"
        raise _vanished(name, version, f"the alias {alias} names it", remedy)


def _vanished(name: ArtifactName, version: int, why: str, remedy: str) -> IntegrityError:
    return IntegrityError(
        f"{name}@{version} has neither a manifest nor a record that it was erased, although {why}",
        hint=f"{_COPY}; {remedy}. Its content is kept until then.",
        expected=f"version {version}",
        actual="missing",
        key=manifest_key(name, version),
    )
