"""Publish: the only way to create a version. The steps are those of SPEC.md, "Publish"."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from metamlflow.backend import CheapStat
from metamlflow.errors import ConflictError, ObjectNotFoundError, OutcomeUnknownError, StorageError, StoreFormatError
from metamlflow.format.documents import dump
from metamlflow.format.layout import manifest_key, name_key
from metamlflow.format.manifests import StoredManifest, decode_manifest, encode_manifest
from metamlflow.format.records import Claim, encode_name
from metamlflow.model.manifests import SAVED_AS, WRITER, Input, Item, Manifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.authors import user_name, writer
from metamlflow.store.catalog.entries import Entries, Predecessor
from metamlflow.store.catalog.records import Losses, create_before_commit, create_exclusively
from metamlflow.store.catalog.statuses import load_manifest, refuse_erased, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.ingest.sources import Source
from metamlflow.store.lineage.current_run import Recorder
from metamlflow.store.lineage.edges import write_edges
from metamlflow.store.lineage.inputs import merged
from metamlflow.store.lineage.stale_metadata import OnStale, check_staleness
from metamlflow.store.publish.again import Again
from metamlflow.store.publish.blobs import BlobWriter, Reliance
from metamlflow.store.publish.content import VersionContent, store_content
from metamlflow.store.publish.head import Newest, read_newest
from metamlflow.store.publish.idempotency import Claims
from metamlflow.store.publish.lateness import AttemptAge, holds_after_all
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors

DERIVED_FROM = "derived_from"
"""The role of the input from which a version with other evidence, or with the bytes stored, was derived."""
_ATTEMPTS = 3  # of a publish whose checks become too old; a machine may be suspended, but not again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """The version to publish, completely validated."""

    name: ArtifactName
    source: Source
    artifact_type: str
    metadata: Mapping[str, Any]
    reuse_unchanged: bool = False
    idempotency_key: str | None = None
    inputs: tuple[Input, ...] = ()
    run: Recorder | None = None
    code: Mapping[str, Any] | None = None
    on_stale: OnStale = "warn"
    prove: Reliance | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    based_on: StoredManifest | None = None
    """The newest version, if this one is derived from it: schema and inputs are taken from it."""
    again: Again | None = None
    """An earlier version of the name whose content is published again, as it is stored; then ``source`` is empty."""


@callback_errors()
def publish(store: Store, draft: PublishRequest, progress: ProgressCallback | None = None) -> StoredManifest:
    """Publish ``draft`` as the next version of its name; return the committed manifest (or, if reused, the found one).

    Raises:
        SourceChangedError: a file changed while it was read; nothing was registered.
        OutcomeUnknownError: the commit may or may not have happened.
        ArtifactErasedError: what was registered under the idempotency key was erased.
        StorageError: the storage failed; nothing was registered.
    """
    totals = draft.source.scan()
    started = store.clock.elapsed()
    seen = None
    if not store.is_open_for_writing:
        seen = started, store.meanwhile(lambda: read_newest(store, draft.name), store.writable_marker)
    publication = _Publication(store, draft, store.writable_marker().grace, totals, progress, seen=seen)
    published = publication.published()
    if draft.run:
        draft.run.note_output(published)
    return published


class _Publication:
    """One publish call: its ids, its claims, and the steps of an attempt."""

    def __init__(
        self,
        store: Store,
        draft: PublishRequest,
        grace: timedelta,
        totals: tuple[int, int | None],
        progress: ProgressCallback | None,
        seen: tuple[float, Newest] | None,
    ) -> None:
        self._seen = seen  # the newest version as already read, and when
        self._store = store
        self._draft = draft
        self._grace = grace
        self._totals = totals
        self._progress = progress
        self._writer = BlobWriter(store, grace, prove=draft.prove)
        self._record_id = store.clock.new_id()
        self._artifact_id = str(uuid.UUID(store.clock.new_id()))
        self._claims = Claims(store, draft.name, draft.idempotency_key) if draft.idempotency_key is not None else None

    def published(self) -> StoredManifest:
        """Publish in as few attempts as possible; each reuses blobs of earlier attempts that are young enough.

        Raises:
            StorageError: every attempt took longer than its checks are valid.
        """
        began = self._store.clock.elapsed()
        for _ in range(_ATTEMPTS):
            if (published := self.attempt()) is not None:
                return published
        seconds = timedelta(seconds=round(self._store.clock.elapsed() - began))
        raise StorageError(
            f"{self._draft.name}: storing the content took too long for a store whose grace is {self._grace}: "
            f"{_ATTEMPTS} attempts in {seconds}, each longer than 3/8 of the grace; nothing was registered",
            hint="Register fewer files at a time, or use a store with a longer grace (metamlflow init --grace).",
        )

    def attempt(self) -> StoredManifest | None:
        """Store the content and commit it; None if so much time has passed that all checks must start again."""
        if self._claims and (earlier := self._claims.published()):
            self._prove_earlier(earlier)
            return earlier
        seen, self._seen = self._seen, None
        again = self._draft.again
        began = again.begin() if again else self._store.clock.elapsed()
        started, head = seen or (began, read_newest(self._store, self._draft.name))
        started = min(started, began)
        age = AttemptAge(self._store.clock, started)
        self._check_base(head)
        content = again.content() if again else self._store_content(head, age)
        losses = Losses(self._store.clock)
        while True:
            target = self._target(head, content)
            if target.version <= head.number:
                return self._existing(head, target.version)
            if target.version > head.number + 1:
                head = self._later_head(target)
                continue
            manifest = self._manifest(target, head, content)
            draft = self._draft
            if head.loaded and not (draft.based_on or draft.again or losses.count):
                check_staleness(head.loaded.manifest, draft.metadata, content.schema, content.digest, draft.on_stale)
            write_edges(self._store, manifest.inputs, (manifest.name, manifest.version))
            self._store.recheck_if_due()
            if not self._in_time(age):
                return None
            if (published := self._commit(manifest, age)) is not None:
                return published
            losses.note(manifest_key(manifest.name, manifest.version))
            head = read_newest(self._store, self._draft.name)
            self._check_base(head)

    def _prove_earlier(self, earlier: StoredManifest) -> None:
        """Check the earlier result of a retry as hard as was requested; damaged blobs are put back from the source."""
        number = earlier.manifest.version
        if self._draft.prove and version_status(self._store, self._draft.name, number).available:
            age = AttemptAge(self._store.clock, self._store.clock.elapsed())
            self._store_content(Newest(number, earlier, available=True), age)

    def _check_base(self, head: Newest) -> None:
        """Refuse to derive from an outdated version: its blobs are relied on, and newer changes would be lost."""
        if self._draft.again:
            self._draft.again.check(head)
        base = self._draft.based_on
        if base is None or (head.available and head.loaded and head.loaded.digest == base.digest):
            return
        raise ConflictError(
            f"{base.manifest.name}@{base.manifest.version} is not the newest version any more ({head.number} is), or "
            "it was pruned; nothing was registered",
            hint="Take the newest version and try again.",
        )

    def _in_time(self, age: AttemptAge) -> bool:
        # Half the grace for a blob's age when it was found, three eighths for the publish: the last eighth is reserved
        # for requests that complete late.
        return age.seconds() <= self._grace.total_seconds() * 3 / 8

    def _target(self, head: Newest, content: VersionContent) -> Claim:
        """Return the number and the ids to publish as; an existing number if that version is to be returned."""
        if head.number == 0 or self._may_lack_its_record(head):
            self._create_name()
        wanted = Claim(head.number + 1, self._record_id, self._artifact_id)
        if head.loaded and self._is_unchanged(head, content):
            last = head.loaded.manifest
            wanted = Claim(last.version, last.record_id, last.artifact_id)
        else:
            manifest_key(self._draft.name, wanted.version)  # refuses an impossible number before it is claimed
        return self._claims.bind(head.number, wanted) if self._claims else wanted

    def _existing(self, head: Newest, version: int) -> StoredManifest:
        if head.loaded and head.number == version:
            return head.loaded
        return load_manifest(self._store, self._draft.name, version)

    def _later_head(self, target: Claim) -> Newest:
        """Read the newest version again, for a claim above it: its creator saw versions that were not listed before."""
        head = read_newest(self._store, self._draft.name)
        if target.version > head.number + 1:
            raise StoreFormatError(
                f"{self._draft.name}: an idempotency record claims version {target.version}, but the newest is "
                f"{head.number}: versions between them were deleted without this library",
                hint="Restore them from a copy of the store, or register under another idempotency_key.",
                problems=(f"version: expected at most {head.number + 1}, got {target.version}",),
            )
        return head

    def _is_unchanged(self, head: Newest, content: VersionContent) -> bool:
        if self._draft.again:
            return self._draft.again.is_what(head)
        if not (self._draft.reuse_unchanged and head.available and head.loaded):
            return False
        last = head.loaded.manifest
        return (
            _without_keys(last.items),
            last.shards,
            last.digest,
            last.kind,
            (last.artifact_type, last.saved_as),  # equal bytes that were not saved could not be loaded
            dump(last.metadata),
        ) == (
            _without_keys(content.items),
            content.shards,
            content.digest,
            self._draft.source.kind,
            (self._draft.artifact_type, self._draft.extra.get(SAVED_AS, last.saved_as)),
            dump(self._draft.metadata),  # as stored: in Python 1, 1.0 and True are equal
        )

    def _may_lack_its_record(self, head: Newest) -> bool:
        """Whether to write the name's record again in case it was lost: once, and only where no extra request results.

        On a disk a stat tells. Elsewhere a client does this that has read or registered the name before, because its
        next version takes one request less than that of others.
        """
        if self._draft.name in self._store.named:
            return False
        backend = self._store.backend
        if not isinstance(backend, CheapStat):
            # The look at a version that is published again may be why it is known: that saved no request.
            return head.was_known and not self._draft.again
        try:
            backend.stat(name_key(self._draft.name))
        except ObjectNotFoundError:
            return True
        return False

    def _create_name(self) -> None:
        """Make the name listable before its first version exists. If another client did so first, its record counts."""
        clock, record_id = self._store.clock, self._store.clock.new_id()
        data = encode_name(self._draft.name, record_id, clock.now())
        create_before_commit(self._store.backend, name_key(self._draft.name), data, record_id, clock)
        self._store.named.add(self._draft.name)

    def _inputs(self) -> tuple[Input, ...]:
        based_on = self._draft.based_on
        base: tuple[Input, ...] = ()
        if based_on:
            before = based_on.manifest
            base = (*before.inputs, Input(before.name, before.version, based_on.digest, DERIVED_FROM))
        used = self._draft.run.used() if self._draft.run else ()
        return merged([*self._draft.inputs, *used, *base])

    def _manifest(self, target: Claim, head: Newest, content: VersionContent) -> Manifest:
        base = self._draft.based_on.manifest if self._draft.based_on else None
        return Manifest(
            record_id=target.record_id,
            artifact_id=target.artifact_id,
            name=self._draft.name,
            version=target.version,
            artifact_type=self._draft.artifact_type,
            kind=self._draft.source.kind,
            created_at=self._store.clock.now(),
            created_by=user_name(),
            digest=content.digest,
            size=content.size,
            files=content.files,
            folders=content.folders,
            items=content.items,
            shards=content.shards,
            metadata=self._draft.metadata,
            schema=content.schema or (base.schema if base else None),
            pointed=self._draft.source.pointed,
            inputs=self._inputs(),
            run=self._draft.run.run_id if self._draft.run else None,
            code=self._draft.code,
            requires=content.requires,
            previous=head.digest,
            extra={**self._draft.extra, WRITER: writer()},
        )

    def _commit(self, manifest: Manifest, age: AttemptAge) -> StoredManifest | None:
        """Create the manifest: the commit. None if another publish took the number, or it was erased meanwhile."""
        data = encode_manifest(manifest)
        key = manifest_key(manifest.name, manifest.version)
        backend, clock = self._store.backend, self._store.clock
        try:
            stored = create_exclusively(
                backend, key, data, manifest.record_id, clock, in_time=lambda: self._in_time(age)
            )
        except OutcomeUnknownError as error:
            raise OutcomeUnknownError(
                f"{manifest.name}@{manifest.version} may or may not have been registered: {error.message}",
                hint=f"Check whether it exists and has the artifact id {manifest.artifact_id}; if you register "
                "again, use an idempotency_key so that a retry cannot make a second version.",
                key=key,
                name=manifest.name,
                version=manifest.version,
                record_id=manifest.record_id,
            ) from error
        if stored is None:
            return None
        if stored != data:
            # Several retries under one key may have created it together: the stored record counts.
            loaded = StoredManifest(decode_manifest(stored, key, manifest.name, manifest.version), stored)
            return loaded if self._holds(loaded, age) else None
        loaded = StoredManifest(manifest, data)
        # On a disk a stat is cheap, and identifies the object, should another one replace it later.
        info = backend.stat(key) if isinstance(backend, CheapStat) else None
        age.note(info.observed if info else None)
        if not self._holds(loaded, age):
            return None
        self._store.manifests.keep(key, loaded, info)
        return loaded

    def _holds(self, loaded: StoredManifest, age: AttemptAge) -> bool:
        """Whether a manifest that was won is a version. Only a win that is seen late is looked at again."""
        if age.seconds() <= self._grace.total_seconds() / 2:
            return True

        def put_back() -> None:
            if self._draft.again:
                raise StorageError("it was published again from stored content, so there are no other bytes of it")
            self._writer = BlobWriter(self._store, self._grace, prove="stat")
            number = loaded.manifest.version
            again = AttemptAge(self._store.clock, self._store.clock.elapsed())
            self._store_content(Newest(number, loaded, available=True), again)

        if holds_after_all(self._store, loaded, put_back):
            return True
        if self._claims:
            refuse_erased(self._store, loaded.manifest.name, loaded.manifest.version)
        return False

    def _store_content(self, head: Newest, age: AttemptAge) -> VersionContent:
        files, size = self._totals
        counter = Counter("register", self._progress, total_files=files, total_bytes=size)
        last = head.loaded.manifest if head.loaded and head.available else None
        items = (last.items if last else None) or ()
        self._writer.begin_attempt(age, {held.key for item in items for held in item.objects()})
        predecessor = Predecessor(Entries(self._store, last).items() if last else iter(()))
        return store_content(self._writer, self._draft.source, predecessor, last.shards if last else None, counter)


def _without_keys(items: tuple[Item, ...] | None) -> list[Item] | None:
    """Return items without the keys of their blobs: another key for the same content is not a change."""
    if items is None:
        return None
    return [item.without_keys() for item in items]
