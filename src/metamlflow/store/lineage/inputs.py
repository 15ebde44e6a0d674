"""The inputs of a version: given at its registration, used by its run, or linked from its metadata."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from metamlflow.errors import InvalidInputError, LineageWarning, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.model.metadata import decode
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.redaction import printable, without_secrets
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import load_reference, not_found
from metamlflow.store.transfer.scheduler import in_parallel

_NAME, _VERSION = "_artifact_name", "_version"
# The package's own frames, and those of contextlib, which decorators put between.
_PASSED_OVER = (os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep, contextlib.__file__)  # noqa: PTH120 (of frames)

Given = tuple[str | None, StoredManifest | Reference | Input]
"""A role, and a loaded version or a reference to one; an input of another artifact is exactly that version."""


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line of the caller's own code that called this library."""
    import sys

    frame, level = sys._getframe(1), 2  # noqa: SLF001 (as the warnings module does)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED_OVER):
        frame, level = frame.f_back, level + 1
    warnings.warn(printable(without_secrets(message), keep="\n"), category, stacklevel=level)


def resolved_inputs(store: Store, given: Iterable[Given], metadata: Mapping[str, Any]) -> tuple[Input, ...]:
    """Return the given inputs and those that metadata link to, each with the digest of its current manifest.

    A pair ``<role>_artifact_name`` and ``<role>_version`` in the metadata is a link; a link to a missing version gives
    a warning. One read for each input that was not loaded yet, in parallel.

    Raises:
        ArtifactNotFoundError: a given input does not exist.
    """
    wanted: list[tuple[Given, bool]] = [(item, False) for item in given]
    wanted += [(link, True) for link in _links(metadata)]

    def load(item: tuple[Given, bool]) -> Input | str:
        """Return the input, or the reason why a link in the metadata is not followed."""
        (role, source), is_link = item
        try:
            loaded = load_used(store, source)
        except MetaMLFlowError as error:
            if not is_link:
                raise
            return f"metadata link {role!r}: {error.message}; it is not an input"
        return Input(loaded.manifest.name, loaded.manifest.version, loaded.digest, role)

    inputs = []
    for found in in_parallel(load, wanted):
        if isinstance(found, Input):
            inputs.append(found)
        else:
            warn_user(found, LineageWarning)
    return merged(inputs)


def relinked_inputs(
    store: Store, inputs: tuple[Input, ...], before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Input, ...]:
    """Return the inputs of a version whose metadata are changed: those that it has, but for links that were changed.

    No request unless a link was changed. Metadata are as stored; :func:`resolved_inputs` says which are links.
    """
    roles = {key.removesuffix(_NAME) for key in (*before, *after) if key.endswith(_NAME)} - {""}
    changed = {role for role in roles if _pair(before, role) != _pair(after, role)}
    if not changed:
        return inputs
    kept = [used for used in inputs if used.role not in changed or str(used.name) != before.get(f"{used.role}{_NAME}")]
    links = {key: after[key] for role in changed for key in (role + _NAME, role + _VERSION) if key in after}
    return merged([*kept, *resolved_inputs(store, (), links)])


def _pair(metadata: Mapping[str, Any], role: str) -> tuple[str, ...]:
    return tuple(repr(metadata.get(role + end)) for end in (_NAME, _VERSION))


def merged(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """Return each version once for each of its roles; without a role only if it has none."""
    found = {(used.name, used.version, used.role): used for used in inputs}
    with_role = {(name, version) for name, version, role in found if role is not None}
    return tuple(used for key, used in found.items() if key[2] is not None or key[:2] not in with_role)


def load_used(store: Store, source: StoredManifest | Reference | Input) -> StoredManifest:
    """Return a given version, loaded.

    Raises:
        ArtifactNotFoundError: the version does not exist.
        InvalidInputError: this store has another version under the input's name and number.
    """
    if isinstance(source, StoredManifest):
        return source
    if isinstance(source, Reference):
        return load_recorded(store, source)
    return checked_used(store, load_recorded(store, Reference(source.name, source.version)), source)


def checked_used(store: Store, loaded: StoredManifest, used: Input) -> StoredManifest:
    """Return the version that a store has under an input's name and number, if it is the version that was used.

    Raises:
        InvalidInputError: it is another version.
    """
    if loaded.digest != used.manifest_digest:
        raise InvalidInputError(
            f"{used.name}@{used.version} in {store.url} is not the version that the input names: "
            f"its manifest has {loaded.digest}, the input {used.manifest_digest}",
            hint="The input belongs to another store. Migrate the version, or name one of this store.",
        )
    return loaded


def load_recorded(store: Store, reference: Reference) -> StoredManifest:
    """Return the version that a reference resolves to; by number also a pruned one.

    Raises:
        ArtifactNotFoundError: the version does not exist.
    """
    if not isinstance(reference.version, int):
        return load_reference(store, reference)
    try:
        return load_manifest(store, reference.name, reference.version)  # works for a pruned version too
    except ObjectNotFoundError:
        raise not_found(store, reference.name, reference.version) from None


def _links(metadata: Mapping[str, Any]) -> Iterable[Given]:
    for key in sorted(metadata):
        role = key.removesuffix(_NAME)
        if role in {key, ""} or role + _VERSION not in metadata:
            continue
        name, version = metadata[key], decode(metadata[role + _VERSION])
        try:
            yield role, Reference(ArtifactName.parse(name), Reference.parse(name, version).version)
        except (InvalidInputError, TypeError) as error:
            told = error.message if isinstance(error, MetaMLFlowError) else str(error)
            warn_user(f"metadata link {role!r} names no version: {told}; it is not an input", LineageWarning)
