"""Versions as callers give them: artifacts, datasets, inputs of other artifacts, and references such as ``name@3``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from metamlflow.artifacts import Artifact
from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.model.names import LATEST, Reference
from metamlflow.runs import check_text
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.inputs import Given, load_used

_MOST_ROLE_CHARACTERS = 1_000_000


@runtime_checkable
class HoldsArtifact(Protocol):
    """What wraps an artifact, such as a :class:`~metamlflow.data.Dataset`."""

    @property
    def artifact(self) -> Artifact:
        """The artifact."""


Version: TypeAlias = "Artifact | HoldsArtifact | Input | str"
"""A version that is meant: what this library hands out for one, or a reference."""

Inputs: TypeAlias = "Version | Iterable[Version | Iterable[Version]] | Mapping[str, Version | Iterable[Version]]"
"""A version, several, or several by role."""


def given_inputs(inputs: Inputs, store: Store) -> list[Given]:
    """Return inputs as a caller gave them, checked.

    Raises:
        InvalidInputError: something is neither a version of this store nor a reference.
    """
    found: list[Given] = []
    try:
        if not isinstance(inputs, Mapping):
            return list(_given(inputs, None, store))
        for role, items in inputs.items():
            check_text(role, "a role", _MOST_ROLE_CHARACTERS)
            found += _given(items, role, store)
    except RecursionError as error:
        raise InvalidInputError(
            "the inputs hold themselves, or are nested too deeply", hint="Give one list, or one for each role."
        ) from error
    return found


def used_version(store: Store, version: Version) -> StoredManifest | Reference:
    """Return a version that a caller means: loaded already, or by a reference.

    Raises:
        InvalidInputError: it is of another store, or nothing that names a version.
        ArtifactNotFoundError: there is no such version.
    """
    if _is_several(version):
        raise _wrong(version)
    ((_, found),) = _given(version, None, store)
    return load_used(store, found) if isinstance(found, Input) else found


def damaged_version(version: Version) -> StoredManifest | Reference:
    """Return a version that may be damaged, so that none of it is read: as it was loaded before, or its reference.

    Raises:
        InvalidInputError: it is nothing that names a version.
    """
    if isinstance(version, Input):
        return Reference(version.name, version.version)
    artifact = version if isinstance(version, Artifact) else getattr(version, "artifact", None)
    if isinstance(artifact, Artifact):
        return artifact._loaded  # noqa: SLF001 (its own session)
    if not isinstance(version, str):
        raise _wrong(version)
    return Reference.parse(version)


def meant_reference(name: str | Input, version: int | str) -> Reference:
    """Return the reference that a caller gave in two parts, or as an input of an artifact.

    Raises:
        InvalidInputError: it is an artifact already, or an input and a number.
    """
    if isinstance(name, Input):
        if version != LATEST:
            raise InvalidInputError(f"the input is of version {name.version} already", hint="Leave out version.")
        return Reference(name.name, name.version)
    artifact = name if isinstance(name, Artifact) else getattr(name, "artifact", None)
    if isinstance(artifact, Artifact):
        raise InvalidInputError(
            f"{artifact.name}@{artifact.version} is an artifact already",
            hint="Use it as it is; artifact.name names the newest version.",
        )
    return Reference.parse(name, version)


def _given(item: Any, role: str | None, store: Store) -> Iterator[Given]:
    if _is_several(item):
        for one in item:
            yield from _given(one, role, store)
        return
    if isinstance(item, str):
        yield role, Reference.parse(item)
        return
    if isinstance(item, Input):
        yield role if role is not None else item.role, item
        return
    artifact = item if isinstance(item, Artifact) else getattr(item, "artifact", None)
    if not isinstance(artifact, Artifact):
        raise _wrong(item, role)
    if not artifact._store.is_same_as(store):  # noqa: SLF001 (its own session)
        raise InvalidInputError(
            f"{artifact.name}@{artifact.version} lies in another store", hint="Register it here, or point to it."
        )
    yield role, artifact._loaded  # noqa: SLF001 (as above)


def _is_several(item: Any) -> bool:
    return isinstance(item, Iterable) and not isinstance(item, str | bytes | Mapping | Artifact | Input)


def _wrong(item: object, role: str | None = None) -> InvalidInputError:
    where = "" if role is None else f" (of role {role!r:.80})"
    return InvalidInputError(
        f"an input{where} is an artifact, a dataset, an input or a reference such as 'features@2', "
        f"not {type(item).__name__}",
        hint="Leave out what there is none of." if item is None else None,
    )
