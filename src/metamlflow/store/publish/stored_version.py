"""An earlier version whose content is published again as it is stored: seen live, and looked at for lost content.

A publish may rely on the objects that a manifest names if this attempt has seen that version live (SPEC.md, "Publish",
step 4, rule b). The name of the version does not matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from metamlflow.backend import CheapStat
from metamlflow.errors import ConflictError, IntegrityError, MetaMLFlowError
from metamlflow.format.documents import dump
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import WRITER, Entry, Input, Kind, Manifest, Shard
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.notes import NotesChange
from metamlflow.model.pointers import Pointed
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.notes import annotate_new
from metamlflow.store.catalog.statuses import (
    check_available,
    list_versions,
    load_manifest,
    newest_live_among,
    stays_live,
    version_status,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_version, not_found
from metamlflow.store.ingest.sources import Source, SourceItem, SourceProblems
from metamlflow.store.lineage.current_run import current_run
from metamlflow.store.publish.again import Again
from metamlflow.store.publish.content import VersionContent
from metamlflow.store.publish.head import Newest
from metamlflow.store.publish.listed_blobs import ListedBlobs
from metamlflow.store.publish.publish import PublishRequest


class StoredVersion:
    """A version whose content is published again.

    Attributes:
        seen: its manifest, as it was seen live last.

    Raises:
        ArtifactNotFoundError: it does not exist.
        ArtifactPrunedError, ArtifactErasedError: it is not live.
    """

    def __init__(self, store: Store, target: Reference) -> None:
        number = target.version if isinstance(target.version, int) else known_version(store, target)
        self._store = store
        self._name = target.name
        self._version = number
        self._looked_at: float | None = store.clock.elapsed()
        self.seen = self._look()

    def begin(self) -> float:
        """See ``Again``. The look at the version that made this object counts for the first attempt."""
        return self._store.clock.elapsed() if self._looked_at is None else self._looked_at

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

    def as_input(self, role: str) -> Input:
        """Return it as the input of a version that is to have its content."""
        return Input(self._name, self._version, self.seen.digest, role)

    def __str__(self) -> str:
        return f"{self._name}@{self._version}"

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
            hint=f"`metamlflow repair {version} --from SOURCE` restores it; or take another version.",
            expected=f"{one.size} bytes",
            actual="missing, or of another size",
            path=one.path,
            key=one.key,
        )


class _Nothing(Source):
    """The source of what is stored already."""

    def __init__(self, kind: Kind, pointed: tuple[Pointed, ...]) -> None:
        self.kind = kind
        self.pointed = pointed

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:  # noqa: ARG002 (nothing to note)
        """Yield nothing."""
        return iter(())


def request_again(
    store: Store,
    name: ArtifactName,
    seen: Manifest,
    again: Again,
    inputs: tuple[Input, ...],
    *,
    metadata: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> PublishRequest:
    """Return the request to publish the content of a version again.

    Args:
        store: the store.
        name: the name that gets the next version.
        seen: the manifest of the version.
        again: what is asked of it in each attempt.
        inputs: those of the next version; those of the current run are added.
        metadata: as stored; None for that of the version.
        key: the idempotency key, or None.
    """
    run = current_run(store)
    return PublishRequest(
        name=name,
        source=_Nothing(seen.kind, seen.pointed),
        artifact_type=seen.artifact_type,
        metadata=seen.metadata if metadata is None else metadata,
        extra={field: value for field, value in seen.extra.items() if field != WRITER},
        inputs=inputs,
        idempotency_key=key,
        run=run,
        code=run.code if run else None,
        again=again,
    )


def is_published(head: Newest, seen: Manifest, inputs: tuple[Input, ...], metadata: Mapping[str, Any]) -> bool:
    """Whether the newest version is live, has the content of a version, and these inputs and metadata."""
    if not (head.available and head.loaded):
        return False
    newest = head.loaded.manifest
    return set(inputs) <= set(newest.inputs) and _facts(newest, newest.metadata) == _facts(seen, metadata)


def check_newest(store: Store, name: ArtifactName, head: Newest, expected: int, hint: str) -> None:
    """Raise ConflictError unless this is the number of the newest live version of a name; 0 if it has none."""
    newest = head.number
    if newest and not head.available:
        live = newest_live_among(store, name, list_versions(store, name))
        newest = live.version if live else 0
    if newest != expected:
        found = f"the newest version is {newest}" if newest else "there is none"
        wanted = f"version {expected} to be the newest" if expected else "no version"
        raise ConflictError(f"{name}: expected {wanted}, but {found}; nothing was published", hint=hint)


def refuse_last_number(name: ArtifactName, head: Newest) -> int:
    """Return the number of the next version; raise StoreFormatError if no version can have it."""
    manifest_key(name, head.number + 1)
    return head.number + 1


def explained(store: Store, published: StoredManifest, note: str | None, same_call: str) -> StoredManifest:
    """Add a note to the version that was published, unless it was ever described; return the version.

    An error of it says that the version is published all the same, and that ``same_call`` adds the note.
    """
    version = published.manifest
    if note is not None:
        try:
            annotate_new(store, version.name, version.version, NotesChange(description=note))
        except MetaMLFlowError as error:
            raise error.with_hint(
                f"{version.name}@{version.version} was published all the same, without the note. {same_call}: that "
                "makes no other version, and adds the note."
            ) from None
    return published


def _facts(manifest: Manifest, metadata: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a version and the same one published again have in common."""
    return (
        manifest.digest,
        manifest.kind,
        manifest.artifact_type,
        manifest.saved_as,
        manifest.items,
        manifest.shards,
        manifest.pointed,
        dump(metadata),  # as stored: in Python 1, 1.0 and True are equal
    )
