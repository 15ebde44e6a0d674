"""Parsing of versions given by callers: artifacts, datasets, inputs of other artifacts, references (``name@3``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from metamlflow.artifacts import Artifact
from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.model.names import LATEST, ArtifactName, Reference
from metamlflow.runs import check_text
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.inputs import Given, load_used

_MOST_ROLE_CHARACTERS = 1_000_000


@runtime_checkable
class HoldsArtifact(Protocol):
    """An object that wraps an artifact, such as a :class:`~metamlflow.data.Dataset`."""

    @property
    def artifact(self) -> Artifact:
        """The wrapped artifact."""


Version: TypeAlias = "Artifact | HoldsArtifact | Input | str"
"""A version: an object of this library that stands for one, or a reference."""

Inputs: TypeAlias = "Version | Iterable[Version | Iterable[Version]] | Mapping[str, Version | Iterable[Version]]"
"""One version, several, or a mapping of role to versions."""


def given_inputs(inputs: Inputs, store: Store) -> list[Given]:
    """Return the inputs that a caller gave, checked.

    Raises:
        InvalidInputError: an input is neither a version of this store nor a reference.
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
    """Return the version that a caller gave: its loaded manifest, or its reference.

    Raises:
        InvalidInputError: it is a version of another store, or does not name a version.
        ArtifactNotFoundError: the version does not exist.
    """
    if _is_several(version):
        raise _wrong(version)
    ((_, found),) = _given(version, None, store)
    return load_used(store, found) if isinstance(found, Input) else found


def damaged_version(version: Version) -> StoredManifest | Reference:
    """Return a version without reading it, since it may be damaged: its loaded manifest, or its reference.

    Raises:
        InvalidInputError: it does not name a version.
    """
    if isinstance(version, Input):
        return Reference(version.name, version.version)
    artifact = version if isinstance(version, Artifact) else getattr(version, "artifact", None)
    if isinstance(artifact, Artifact):
        return artifact._loaded  # noqa: SLF001 (its own session)
    if not isinstance(version, str):
        raise _wrong(version)
    return Reference.parse(version)


def noted_subject(store: Store, target: Version) -> ArtifactName | Reference:
    """Return what notes are on: a version, or the name that a text without ``@`` names.

    Raises:
        InvalidInputError: it is a version of another store, or names neither a name nor a version.
    """
    if isinstance(target, str):
        return Reference.parse(target) if "@" in target else ArtifactName.parse(target)
    if isinstance(target, Input):
        return Reference(target.name, target.version)
    artifact = target if isinstance(target, Artifact) else getattr(target, "artifact", None)
    if not isinstance(artifact, Artifact):
        raise InvalidInputError(
            f"notes are on a name, a reference such as 'features@2', or an artifact, not on {type(target).__name__}"
        )
    _check_store(artifact, store)
    return Reference(ArtifactName(artifact.name), artifact.version)


def held_version(store: Store, version: Version) -> Reference:
    """Return the reference of a version that may be pruned, without reading anything; a bare name means the latest.

    Raises:
        InvalidInputError: it is a version of another store, or does not name a version.
    """
    if isinstance(version, str):
        return Reference.parse(version)
    if isinstance(version, Input):
        return Reference(version.name, version.version)
    artifact = version if isinstance(version, Artifact) else getattr(version, "artifact", None)
    if not isinstance(artifact, Artifact):
        raise InvalidInputError(
            f"a version is an artifact, a dataset, an input or a reference such as 'features@2', "
            f"not {type(version).__name__}"
        )
    _check_store(artifact, store)
    return Reference(ArtifactName(artifact.name), artifact.version)


def meant_reference(name: str | Input, version: int | str) -> Reference:
    """Return the reference of a name and a version, or of an input of an artifact.

    Raises:
        InvalidInputError: an artifact was given, or an input together with a number.
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
    _check_store(artifact, store)
    yield role, artifact._loaded  # noqa: SLF001 (its own session)


def _check_store(artifact: Artifact, store: Store) -> None:
    if not artifact._store.is_same_as(store):  # noqa: SLF001 (its own session)
        raise InvalidInputError(
            f"{artifact.name}@{artifact.version} is in another store", hint="Register it here, or point to it."
        )


def _is_several(item: Any) -> bool:
    return isinstance(item, Iterable) and not isinstance(item, str | bytes | Mapping | Artifact | Input)


def _wrong(item: object, role: str | None = None) -> InvalidInputError:
    where = "" if role is None else f" (of role {role!r:.80})"
    return InvalidInputError(
        f"an input{where} is an artifact, a dataset, an input or a reference such as 'features@2', "
        f"not {type(item).__name__}",
        hint="Leave out an input that does not exist." if item is None else None,
    )
