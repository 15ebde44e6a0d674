"""Roll back: publish the content of an earlier version again, as the next version. No byte of it is moved.

The new version names the very objects of the earlier one. A publish may rely on these because a manifest that this
attempt has seen live names them (SPEC.md, "Publish", step 4, rule b).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from metamlflow._looks import bytes_text, counted, one_line, table_of
from metamlflow.backend import CheapStat
from metamlflow.errors import IntegrityError, InvalidInputError, MetaMLFlowError
from metamlflow.format.documents import dump
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import WRITER, Entry, Input, Kind, Manifest, Shard
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.notes import NotesChange
from metamlflow.model.pointers import Pointed
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.notes import annotate_new
from metamlflow.store.catalog.statuses import check_available, load_manifest, stays_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_version, not_found
from metamlflow.store.ingest.sources import Source, SourceItem, SourceProblems
from metamlflow.store.lineage.current_run import current_run
from metamlflow.store.publish.content import VersionContent
from metamlflow.store.publish.head import Newest, read_newest
from metamlflow.store.publish.idempotency import Claims
from metamlflow.store.publish.listed_blobs import ListedBlobs
from metamlflow.store.publish.publish import PublishRequest, publish

ROLLED_BACK_TO = "rolled_back_to"
"""The role of the input that names the version whose content was published again."""


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
        return _explained(store, published, note)  # though what it was made from may be gone by now
    again = _Again(store, target.name, _number_of(store, target))
    earlier = again.seen.manifest
    run = current_run(store)
    draft = PublishRequest(
        name=target.name,
        source=_Nothing(earlier.kind, earlier.pointed),
        artifact_type=earlier.artifact_type,
        metadata=earlier.metadata,
        extra={field: value for field, value in earlier.extra.items() if field != WRITER},
        inputs=(again.as_input(),),
        idempotency_key=key,
        run=run,
        code=run.code if run else None,
        again=again,
    )
    return _explained(store, publish(store, draft), note)


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
        return _planned(
            published.manifest, _content_of(published.manifest), published.manifest.version, note, done=True
        )
    again = _Again(store, target.name, _number_of(store, target))
    head = read_newest(store, target.name)
    again.check(head)
    again.content()
    earlier, done = again.seen.manifest, again.is_what(head)
    if not done:
        manifest_key(target.name, head.number + 1)  # refuses a number that no version can have
    return _planned(earlier, earlier.version, head.number if done else head.number + 1, note, done=done)


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


def _number_of(store: Store, target: Reference) -> int:
    return target.version if isinstance(target.version, int) else known_version(store, target)


def _explained(store: Store, published: StoredManifest, note: str | None) -> StoredManifest:
    """Add the note to the version that was published, and return that."""
    version = published.manifest
    if note is not None:
        try:
            annotate_new(store, Reference(version.name, version.version), NotesChange(description=note))
        except MetaMLFlowError as error:
            raise error.with_hint(
                f"{version.name}@{version.version} was published all the same, without the note. Roll back to the same "
                "version again: that makes no other version, and adds the note."
            ) from None
    return published


class _Nothing(Source):
    """The source of what is stored already."""

    def __init__(self, kind: Kind, pointed: tuple[Pointed, ...]) -> None:
        self.kind = kind
        self.pointed = pointed

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:  # noqa: ARG002 (nothing to note)
        """Yield nothing."""
        return iter(())


class _Again:
    """An earlier version of a name that is published again.

    Attributes:
        seen: its manifest, as it was seen live last.

    Raises:
        ArtifactNotFoundError: it does not exist.
        ArtifactPrunedError, ArtifactErasedError: it is not live.
    """

    def __init__(self, store: Store, name: ArtifactName, version: int) -> None:
        self._store = store
        self._name = name
        self._version = version
        self._looked_at: float | None = store.clock.elapsed()
        self.seen = self._look()

    def begin(self) -> float:
        """See ``Again``. The look at the version that made this object counts for the first attempt."""
        return self._store.clock.elapsed() if self._looked_at is None else self._looked_at

    def check(self, head: Newest) -> None:
        """See ``Again``."""
        if head.number == self._version:
            raise InvalidInputError(
                f"{self._name}@{self._version} is the newest version already; there is nothing to roll back",
                hint="To make another version with the same content all the same, register it again.",
            )

    def content(self) -> VersionContent:
        """See ``Again``."""
        if self._looked_at is None:
            self._look_again()
        self._looked_at = None
        self._check_content()
        manifest = self.seen.manifest
        return VersionContent(
            items=manifest.items,
            shards=manifest.shards,
            files=manifest.files,
            folders=manifest.folders,
            size=manifest.size,
            digest=manifest.digest,
            schema=manifest.schema,
            requires=manifest.requires,
        )

    def is_what(self, head: Newest) -> bool:
        """See ``Again``."""
        if not (head.available and head.loaded):
            return False
        newest, earlier = head.loaded.manifest, self.seen.manifest
        return self.as_input() in newest.inputs and _facts(newest) == _facts(earlier)

    def as_input(self) -> Input:
        """Return it as the input of the version that is to have its content."""
        return Input(self._name, self._version, self.seen.digest, ROLLED_BACK_TO)

    def _look(self) -> StoredManifest:
        """Return the manifest, seen live by rule (b) of SPEC.md: its states are listed, and looked at."""
        store, name = self._store, self._name
        began = store.clock.now().timestamp()
        status = version_status(store, name, self._version)
        if status.info is None:
            raise not_found(store, name, self._version)
        check_available(store, name, status)
        loaded = load_manifest(store, name, self._version, seen=status.info)
        if not stays_live(store, name, status, began):
            check_available(store, name, version_status(store, name, self._version), loaded.digest)
        return loaded

    def _look_again(self) -> None:
        seen = self._look()
        if seen.digest != self.seen.digest:
            raise IntegrityError(
                f"{self._name}@{self._version} was replaced by another version",
                hint="Nothing was published. `metamlflow history` tells more.",
                expected=self.seen.digest,
                actual=seen.digest,
            )

    def _check_content(self) -> None:
        """Refuse a version that has lost content, as far as one request tells; on a disk each file is looked at.

        Of a version in many pages one request tells of the pages alone.
        """
        manifest, backend = self.seen.manifest, self._store.backend
        named: Iterable[Entry | Shard]
        held = (held for item in manifest.items or () for held in item.objects())
        if isinstance(backend, CheapStat):
            if manifest.shards is not None:
                entries = Entries(self._store, manifest, as_registered=True)
                held = (held for item in entries for held in item.objects())
            has, named = backend.holds, itertools.chain(manifest.shards or (), held)
        else:
            named = [*(manifest.shards or ()), *held]
            has = ListedBlobs(self._store, {one.key for one in named}).may_have
        for one in named:
            if not has(one.key, one.size):
                raise self._lost(one)

    def _lost(self, one: Entry | Shard) -> IntegrityError:
        version = f"{self._name}@{self._version}"
        return IntegrityError(
            f"{version} has lost content: {one.key} is missing, or of another size; nothing was published",
            hint=f"`metamlflow repair {version} --from SOURCE` restores it; or roll back to another version.",
            expected=f"{one.size} bytes",
            actual="missing, or of another size",
            path=one.path,
            key=one.key,
        )


def _facts(manifest: Manifest) -> tuple[object, ...]:
    """Return what a version and the same one published again have in common."""
    return (
        manifest.digest,
        manifest.kind,
        manifest.artifact_type,
        manifest.items,
        manifest.shards,
        manifest.pointed,
        dump(manifest.metadata),  # as stored: in Python 1, 1.0 and True are equal
    )
