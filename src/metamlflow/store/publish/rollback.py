"""Roll back: publish the content of an earlier version again, as the next version. No byte of it is moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metamlflow._looks import bytes_text, counted, one_line, table_of
from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input, Manifest
from metamlflow.model.names import Reference
from metamlflow.store.catalog.store import Store
from metamlflow.store.publish.content import VersionContent
from metamlflow.store.publish.head import Newest, read_newest
from metamlflow.store.publish.idempotency import Claims
from metamlflow.store.publish.publish import publish
from metamlflow.store.publish.stored_version import (
    StoredVersion,
    explained,
    is_published,
    refuse_last_number,
    request_again,
)

ROLLED_BACK_TO = "rolled_back_to"
"""The role of the input that names the version whose content was published again."""
_AGAIN = "Roll back to the same version again"


@dataclass(frozen=True, slots=True, repr=False)
class RollbackPlan:
    """What a rollback would do. True in a condition if it would publish a version.

    Attributes:
        name: the artifact's name.
        to_version: the earlier version.
        version: the version that would have its content: the next number as of now, or the newest version.
        publishes: False if the newest version is the earlier one published again already.
        artifact_type: the type of both.
        files: the number of files.
        size: the sum of their sizes, in bytes; none of them is copied.
        digest: the content digest of both.
        note: the note that the new version would get, or None.
    """

    name: str
    to_version: int
    version: int
    publishes: bool
    artifact_type: str
    files: int
    size: int
    digest: str
    note: str | None

    def __bool__(self) -> bool:
        return self.publishes

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "name": self.name,
            "to_version": self.to_version,
            "version": self.version,
            "publishes": self.publishes,
            "artifact_type": self.artifact_type,
            "files": self.files,
            "size": self.size,
            "digest": self.digest,
            "note": self.note,
        }

    def _what(self) -> str:
        does = "would be published with" if self.publishes else "has already"
        return f"{self.name}@{self.version} {does} the content of {self.name}@{self.to_version}"

    def __repr__(self) -> str:
        return f"<RollbackPlan: {one_line(self._what(), 150)}>"

    def _repr_html_(self) -> str:
        content = f"{counted(self.files, 'file')}, {bytes_text(self.size)}, not copied"
        facts = {"type": self.artifact_type, "content": content, "digest": self.digest, "note": self.note or ""}
        return table_of(self._what(), facts)


def rollback(store: Store, target: Reference, *, note: str | None, key: str | None = None) -> StoredManifest:
    """Publish the content of an earlier version as the next version; return that.

    If the newest version is this one published again already, that is returned. So a call that was cut off is made
    again, with the same effect.

    Args:
        store: the store.
        target: the earlier version.
        note: why; it becomes the description among the notes on the new version, unless that was described before.
        key: the idempotency key, or None.

    Raises:
        InvalidInputError: the target is the newest version.
        ArtifactNotFoundError: it does not exist.
        ArtifactPrunedError, ArtifactErasedError: it was given up.
        IntegrityError: content of it is missing; nothing was published.
    """
    store.marker()  # a mistyped URI must not create a store
    if key is not None and (published := Claims(store, target.name, key).published()):
        return explained(store, published, note, _AGAIN)  # though what it was made from may be gone by now
    again = _Again(store, target)
    seen = again.version.seen.manifest
    draft = request_again(store, target.name, seen, again, again.inputs, key=key)
    return explained(store, publish(store, draft), note, _AGAIN)


def plan_rollback(store: Store, target: Reference, *, note: str | None, key: str | None = None) -> RollbackPlan:
    """Return what :func:`rollback` would do now, with the same arguments. Writes nothing.

    Raises:
        InvalidInputError: the target is the newest version.
        ArtifactNotFoundError: it does not exist.
        ArtifactPrunedError, ArtifactErasedError: it was given up.
        IntegrityError: content of it is missing.
        StoreFormatError: the next version would have a number that no version can have.
    """
    store.marker()
    if key is not None and (published := Claims(store, target.name, key).published()):
        manifest = published.manifest
        return _planned(manifest, _content_of(manifest), manifest.version, note, done=True)
    again = _Again(store, target)
    head = read_newest(store, target.name)
    again.check(head)
    again.content()
    earlier, done = again.version.seen.manifest, again.is_what(head)
    number = head.number if done else refuse_last_number(target.name, head)
    return _planned(earlier, earlier.version, number, note, done=done)


def _planned(content: Manifest, to_version: int, version: int, note: str | None, *, done: bool) -> RollbackPlan:
    return RollbackPlan(
        name=str(content.name),
        to_version=to_version,
        version=version,
        publishes=not done,
        artifact_type=content.artifact_type,
        files=content.files,
        size=content.size,
        digest=content.digest,
        note=note,
    )


def _content_of(published: Manifest) -> int:
    """Return the version whose content was published again: itself, if its key was used for something else."""
    found = (used.version for used in published.inputs if used.role == ROLLED_BACK_TO and used.name == published.name)
    return next(found, published.version)


class _Again:
    """An earlier version of a name that is published again."""

    def __init__(self, store: Store, target: Reference) -> None:
        self.version = StoredVersion(store, target)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of the version that is to have its content."""
        return (self.version.as_input(ROLLED_BACK_TO),)

    def begin(self) -> float:
        """See ``Again``."""
        return self.version.begin()

    def check(self, head: Newest) -> None:
        """See ``Again``."""
        if head.number == self.version.seen.manifest.version:
            raise InvalidInputError(
                f"{self.version} is the newest version already; there is nothing to roll back",
                hint="To make another version with the same content all the same, register it again.",
            )

    def content(self) -> VersionContent:
        """See ``Again``."""
        return self.version.content()

    def is_what(self, head: Newest) -> bool:
        """See ``Again``."""
        seen = self.version.seen.manifest
        return is_published(head, seen, self.inputs, seen.metadata)
