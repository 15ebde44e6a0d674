"""Correct the metadata of a version: its content is published again with other metadata. No byte of it is moved."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from metamlflow._looks import one_line
from metamlflow.errors import InvalidInputError, NotFoundError
from metamlflow.format.documents import dump
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.model.metadata import encode_mapping
from metamlflow.model.names import Reference
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.inputs import load_recorded, relinked_inputs
from metamlflow.store.publish.content import VersionContent
from metamlflow.store.publish.head import Newest, read_newest
from metamlflow.store.publish.idempotency import Claims
from metamlflow.store.publish.publish import publish
from metamlflow.store.publish.stored_version import (
    StoredVersion,
    check_newest,
    explained,
    is_published,
    refuse_last_number,
    request_again,
)
from metamlflow.store.publish.version_plan import VersionPlan, plan_of, plan_of_published

_AGAIN = "Make the same call again"
_SHOWN_KEYS, _SHOWN_CHARACTERS = 20, 100


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """A change of metadata, as stored: keys to set and keys to remove."""

    values: Mapping[str, Any]
    removed: frozenset[str]

    @classmethod
    def parse(cls, changes: object, remove: object) -> MetadataChange:
        """Return a change as a caller gave it, copied at once.

        Raises:
            InvalidInputError: there is nothing to change, or a key is to be set and removed.
            InvalidMetadataError: a value cannot be stored.
        """
        values = encode_mapping(changes, "changes")
        keys = [remove] if isinstance(remove, str) else remove
        if not isinstance(keys, Collection) or not all(isinstance(key, str) for key in keys):
            raise InvalidInputError("remove: expected the names of keys, such as remove=['rows']")
        removed = frozenset(encode_mapping(dict.fromkeys(keys), "remove"))
        if both := values.keys() & removed:
            raise InvalidInputError(f"remove: {min(both)!r:.80} is to be set as well")
        if not values and not removed:
            raise InvalidInputError(
                "there is nothing to change", hint="Give values to set, such as {'rows': 200}, or keys to remove."
            )
        return cls(values, removed)

    def applied_to(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return metadata after the change.

        Raises:
            InvalidInputError: a key to remove is not there; the error names those that are.
        """
        if missing := sorted(self.removed - metadata.keys()):
            there = ", ".join(repr(_shown(key)) for key in sorted(metadata)[:_SHOWN_KEYS])
            raise InvalidInputError(
                f"remove: the metadata have no {', '.join(repr(_shown(key)) for key in missing[:_SHOWN_KEYS])}",
                hint=f"They have {there}." if there else "They are empty.",
            )
        kept = {key: value for key, value in metadata.items() if key not in self.removed}
        return {**kept, **self.values}

    def described(self, before: Mapping[str, Any], version: object, why: str | None) -> str:
        """Return the description of the new version: why, and which keys were changed.

        It holds no value: a value may be what had to go, and the corrected version may be erased one day.
        """
        told = "; ".join(f"{what} {', '.join(keys)}" for what, keys in self._changes(before) if keys)
        found = f"Metadata of {version}, corrected: {told}."
        return f"{why}\n\n{found}" if why else found

    def _changes(self, before: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
        changed = [
            key for key, value in self.values.items() if key in before and dump({"": before[key]}) != dump({"": value})
        ]
        yield "added", _some(key for key in self.values if key not in before)
        yield "changed", _some(changed)
        yield "removed", _some(self.removed)


def _some(keys: Collection[str] | Iterator[str]) -> list[str]:
    found = sorted(keys)
    more = [f"{len(found) - _SHOWN_KEYS:,} more"] if len(found) > _SHOWN_KEYS else []
    return [_shown(key) for key in found[:_SHOWN_KEYS]] + more


def _shown(key: str) -> str:
    return one_line(key[1:] if key.startswith("$$") else key, _SHOWN_CHARACTERS)


def update_metadata(
    store: Store,
    target: Reference,
    change: MetadataChange,
    *,
    expected: int | None = None,
    note: str | None = None,
    key: str | None = None,
) -> StoredManifest:
    """Publish the content of a version with corrected metadata as the next version of its name; return that.

    A change that leaves the metadata as they are publishes nothing, and returns the version. If the newest version is
    the correction already, that is returned. So a call that was cut off is made again, with the same effect.

    Args:
        store: the store.
        target: the version to correct.
        change: the change.
        expected: the newest live version, which the new one follows; None: the version to correct.
        note: why; it begins the description among the notes on the new version.
        key: the idempotency key, or None.

    Raises:
        ConflictError: another version than the expected one is the newest.
        InvalidInputError: a key to remove is not there.
        ArtifactNotFoundError: the version does not exist.
        ArtifactPrunedError, ArtifactErasedError: it was given up.
        IntegrityError: content of it is missing; nothing was published.
    """
    store.marker()  # a mistyped URI must not create a store
    if key is not None and (published := Claims(store, target.name, key).published()):
        if isinstance(target.version, int):
            with suppress(NotFoundError):  # the corrected version may be gone by now
                corrected = load_recorded(store, target).manifest
                explained(store, published, change.described(corrected.metadata, target, note), _AGAIN)
        return published
    again = _Corrected(store, target, change, expected)
    if not again.changes:
        return again.version.seen
    seen = again.version.seen.manifest
    draft = request_again(store, target.name, seen, again, again.inputs, metadata=again.metadata, key=key)
    return explained(store, publish(store, draft), change.described(seen.metadata, again.version, note), _AGAIN)


def plan_update(
    store: Store,
    target: Reference,
    change: MetadataChange,
    *,
    expected: int | None = None,
    note: str | None = None,
    key: str | None = None,
) -> VersionPlan:
    """Return what :func:`update_metadata` would do now. Writes nothing, and raises the same errors."""
    store.marker()
    if key is not None and (published := Claims(store, target.name, key).published()):
        return plan_of_published(published.manifest, note)
    again = _Corrected(store, target, change, expected)
    seen = again.version.seen.manifest
    if not again.changes:
        return plan_of(str(target.name), seen.version, seen, seen.metadata, None, publishes=False)
    head = read_newest(store, target.name)
    again.check(head)
    again.content()
    done = again.is_what(head)
    number = head.number if done else refuse_last_number(target.name, head)
    described = change.described(seen.metadata, again.version, note)
    return plan_of(str(target.name), number, seen, again.metadata, described, publishes=not done)


class _Corrected:
    """A version that is published again with other metadata.

    Attributes:
        version: the version.
        metadata: those of the next version, as stored.
        inputs: those of the next version: those of this one, but for links in the metadata that were changed.
        changes: whether anything changes.
    """

    def __init__(self, store: Store, target: Reference, change: MetadataChange, expected: int | None) -> None:
        self.version = StoredVersion(store, target)
        self._store = store
        seen = self.version.seen.manifest
        self._expected = seen.version if expected is None else expected
        self.metadata = change.applied_to(seen.metadata)
        self.changes = dump(self.metadata) != dump(seen.metadata)
        self.inputs: tuple[Input, ...] = relinked_inputs(store, seen.inputs, seen.metadata, self.metadata)

    def begin(self) -> float:
        """See ``Again``."""
        return self.version.begin()

    def check(self, head: Newest) -> None:
        """See ``Again``. A correction that is there already is what was asked for, whoever made it."""
        if not self.is_what(head):
            name = self.version.seen.manifest.name
            hint = (
                f"The correction of {self.version} would hide the newest version. Correct that one; or, if its content "
                "is to be given up, name its number with expected=."
            )
            check_newest(self._store, name, head, self._expected, hint)

    def content(self) -> VersionContent:
        """See ``Again``."""
        return self.version.content()

    def is_what(self, head: Newest) -> bool:
        """See ``Again``."""
        return is_published(head, self.version.seen.manifest, self.inputs, self.metadata)
