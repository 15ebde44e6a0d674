"""Publish: the one way in which a version comes into being. The steps are those of SPEC.md, "Publish"."""

from __future__ import annotations

import getpass
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from metamlflow.errors import OutcomeUnknownError
from metamlflow.format.layout import manifest_key, name_key
from metamlflow.format.manifests import encode_manifest
from metamlflow.format.records import encode_name
from metamlflow.model.manifests import Manifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.blobs import BlobWriter
from metamlflow.store.claiming import claim
from metamlflow.store.content import Content, store_content
from metamlflow.store.entries import Entries, Predecessor
from metamlflow.store.idempotency import Claims
from metamlflow.store.opening import Store
from metamlflow.store.progress import Counter, ProgressCallback
from metamlflow.store.sources import Source
from metamlflow.store.versions import Loaded, VersionStatus, list_versions, load_manifest

USER_VARIABLE = "METAMLFLOW_USER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to become a version, all of it checked."""

    name: ArtifactName
    source: Source
    artifact_type: str
    metadata: Mapping[str, Any]
    reuse_unchanged: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The newest version of a name, whatever its state; number 0 if there is none."""

    number: int = 0
    loaded: Loaded | None = None
    available: bool = False


def publish(store: Store, draft: Draft, progress: ProgressCallback | None = None) -> Loaded:
    """Make ``draft`` the next version of its name; return the manifest that was committed (or, if reused, found).

    Raises:
        SourceChangedError: a file changed while it was read; nothing was registered.
        OutcomeUnknownError: the commit may or may not have happened.
        StorageError: the storage failed; nothing was registered.
    """
    totals = draft.source.scan()
    marker = store.writable_marker()
    publication = _Publication(store, draft, marker.grace, totals, progress)
    while (published := publication.attempt()) is None:
        pass
    return published


class _Publication:
    """One publish call: its ids, its claims, and the steps of an attempt."""

    def __init__(
        self, store: Store, draft: Draft, grace: timedelta, totals: tuple[int, int], progress: ProgressCallback | None
    ) -> None:
        self._store = store
        self._draft = draft
        self._grace = grace
        self._totals = totals
        self._progress = progress
        self._record_id = store.clock.new_id()
        self._artifact_id = str(uuid.UUID(store.clock.new_id()))
        self._claims = Claims(store, draft.name, draft.idempotency_key) if draft.idempotency_key is not None else None

    def attempt(self) -> Loaded | None:
        """Store the content and commit it; None if so much time has passed that all checks must start again."""
        if self._claims and (earlier := self._claims.published()):
            return earlier
        started = self._store.clock.elapsed()
        head = read_head(self._store, self._draft.name)
        content = self._store_content(head)
        losses = 0
        while True:
            if self._is_unchanged(head, content) and head.loaded is not None:
                return head.loaded
            if head.number == 0:
                self._create_name()
            number = self._claims.bind(head.number + 1, *self._ids()) if self._claims else head.number + 1
            manifest = self._manifest(number, head, content)
            if self._store.clock.elapsed() - started > self._grace.total_seconds() / 2:
                return None
            if (published := self._commit(manifest)) is not None:
                return published
            losses += 1
            self._store.clock.back_off(min(losses, 6))
            head = read_head(self._store, self._draft.name)

    def _ids(self) -> tuple[str, str]:
        return self._record_id, self._artifact_id

    def _is_unchanged(self, head: Head, content: Content) -> bool:
        if not (self._draft.reuse_unchanged and head.available and head.loaded):
            return False
        last = head.loaded.manifest
        return (last.items, last.shards, last.digest, last.kind, last.artifact_type, last.metadata) == (
            content.items,
            content.shards,
            content.digest,
            self._draft.source.kind,
            self._draft.artifact_type,
            self._draft.metadata,
        )

    def _create_name(self) -> None:
        """Make the name listable, before its first version exists. That another did so first is as good."""
        clock, record_id = self._store.clock, self._store.clock.new_id()
        data = encode_name(self._draft.name, record_id, clock.now())
        claim(self._store.backend, name_key(self._draft.name), data, record_id, clock)

    def _manifest(self, number: int, head: Head, content: Content) -> Manifest:
        record_id, artifact_id = (self._claims and self._claims.ids) or self._ids()
        return Manifest(
            record_id=record_id,
            artifact_id=artifact_id,
            name=self._draft.name,
            version=number,
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
            schema=content.schema,
            previous=head.loaded.digest if head.loaded else None,
        )

    def _commit(self, manifest: Manifest) -> Loaded | None:
        """Create the manifest: the commit. None if another publish got the number."""
        data = encode_manifest(manifest)
        key = manifest_key(manifest.name, manifest.version)
        try:
            won = claim(self._store.backend, key, data, manifest.record_id, self._store.clock)
        except OutcomeUnknownError as error:
            raise OutcomeUnknownError(
                f"{manifest.name}@{manifest.version} may or may not have been registered: {error.message}",
                hint=f"Look whether it exists and carries the artifact id {manifest.artifact_id}; if you register "
                "again, use an idempotency_key so that a retry cannot make a second version.",
                key=key,
                name=manifest.name,
                version=manifest.version,
                record_id=manifest.record_id,
            ) from error
        if not won:
            return None
        if self._claims:
            # Several retries under one key may have created it together: what lies there is what counts.
            return load_manifest(self._store, manifest.name, manifest.version)
        return Loaded(manifest, data)

    def _store_content(self, head: Head) -> Content:
        files, size = self._totals
        counter = Counter("register", self._progress, total_files=files, total_bytes=size)
        writer = BlobWriter(self._store, self._store.clock.new_id(), self._grace)
        last = head.loaded.manifest if head.loaded and head.available else None
        predecessor = Predecessor(Entries(self._store, last).items() if last else iter(()))
        return store_content(writer, self._draft.source, predecessor, last.shards if last else None, counter)


def read_head(store: Store, name: ArtifactName) -> Head:
    """Return the newest version of a name, with its manifest: two requests, or one where there is none."""
    status = next(list_versions(store, name), VersionStatus(0))
    if status.version == 0:
        return Head()
    return Head(status.version, load_manifest(store, name, status.version), status.available)


def user_name() -> str:
    """Return who registers: ``METAMLFLOW_USER`` or the login name, or "unknown" where the system cannot tell."""
    try:
        return os.environ.get(USER_VARIABLE) or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
