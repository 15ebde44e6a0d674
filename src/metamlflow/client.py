"""The client: the entry point to a store."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from metamlflow._arguments import blamed_on
from metamlflow._session import (
    EVENTS_VARIABLE,
    Session,
    bytes_of,
    check_grace,
    checked_key,
    checked_type,
    compared_version,
    opened_store,
    other_store,
    source_store,
)
from metamlflow.artifact_lists import Artifacts
from metamlflow.artifacts import Artifact, Input, UnreadableVersion, Verification, VerifyReport
from metamlflow.errors import InvalidInputError
from metamlflow.given_versions import (
    Inputs,
    Version,
    damaged_version,
    given_inputs,
    held_version,
    meant_reference,
    noted_subject,
    used_version,
)
from metamlflow.lineage import Lineage
from metamlflow.model.aliases import AliasChange, checked_expectation
from metamlflow.model.findings import Level
from metamlflow.model.manifests import SAVED_AS
from metamlflow.model.metadata import encode_mapping
from metamlflow.model.names import ArtifactName, Reference, checked_prefix, name_to_list
from metamlflow.model.notes import Notes, NotesChange, checked_note
from metamlflow.model.patterns import NamePattern, name_patterns
from metamlflow.model.pointers import Pointer, Strength
from metamlflow.model.retention import Policy, Protection, Rules, policy_rules
from metamlflow.model.runs import RunRecord
from metamlflow.objects.saving import saved
from metamlflow.openlineage import check_address
from metamlflow.runs import Run, joined, recorded_run
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.aliases import AliasesOfMany, alias_history, aliases_of, remove_alias, set_alias
from metamlflow.store.catalog.history import History, history_of
from metamlflow.store.catalog.listing import listed, live_numbers
from metamlflow.store.catalog.notes import annotate, history_on, notes_on
from metamlflow.store.catalog.policies import policies, remove_policy, set_policy
from metamlflow.store.catalog.protections import protect, protections, unprotect
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, list_names, load_reference
from metamlflow.store.ingest.from_value import source_of
from metamlflow.store.lineage.current_run import current_run, recorded_in
from metamlflow.store.lineage.inputs import checked_used, load_used, resolved_inputs
from metamlflow.store.lineage.stale_metadata import OnStale
from metamlflow.store.lineage.walk import DIRECTIONS, Direction, walk
from metamlflow.store.pointers.registering import pointer_source
from metamlflow.store.publish.blobs import RELIANCES, Reliance
from metamlflow.store.publish.copying import copy_version, plan_copy
from metamlflow.store.publish.correct import MetadataChange, plan_update, update_metadata
from metamlflow.store.publish.publish import PublishRequest, publish
from metamlflow.store.publish.rollback import RollbackPlan, plan_rollback, rollback
from metamlflow.store.publish.version_plan import VersionPlan
from metamlflow.store.transfer.progress import ProgressCallback
from metamlflow.store.verify.selection import every_version, wanted_versions
from metamlflow.store.verify.signatures import public_keys
from metamlflow.store.verify.signatures import require_signature as check_signature
from metamlflow.store.verify.verify import verify_each

if TYPE_CHECKING:
    from metamlflow.backend.diagnosis import AccessPolicy, Role
    from metamlflow.format.manifests import StoredManifest
    from metamlflow.model.run_lists import RunComparison, RunList
    from metamlflow.store.catalog.statuses import VersionStatus
    from metamlflow.store.diff.report import ArtifactDiff
    from metamlflow.store.doctor import Diagnosis
    from metamlflow.store.find.catalog import Catalog
    from metamlflow.store.repair.donors import Donor
    from metamlflow.store.repair.report import RepairReport
    from metamlflow.store.retain.collecting.plan import CollectionPlan
    from metamlflow.store.retain.collecting.report import CollectionReport
    from metamlflow.store.retain.erasure_report import ErasureReport
    from metamlflow.store.retain.fsck.report import FsckReport
    from metamlflow.store.retain.prune_report import PruneReport
    from metamlflow.store.retain.space.report import UsageReport

__all__ = ["MetaMLFlowClient"]


class MetaMLFlowClient:
    """A client of one store of artifacts, which needs nothing but a folder or a bucket.

    Making a client touches no network and creates nothing; the first registration creates the store. A client is
    thread-safe and picklable (the pickle holds the credentials given in ``storage_options``), and rebuilds its
    connections in a forked child.

    Args:
        storage_uri: ``/abs/dir``, ``file://./store``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, or the scheme of
            any installed backend. A relative path is resolved now, once. Default: ``METAMLFLOW_STORAGE_URI``.
        storage_options: options of the storage, as its fsspec file system takes them. Default:
            ``METAMLFLOW_STORAGE_OPTIONS``, a JSON object; a local store takes none.
        source_options: options, including credentials, for data outside of the store that is registered by pointer or
            by URL. A mapping from a scheme (``s3``) or the beginning of a URI (``s3://partner-data/``) to options; the
            longest key that matches a URI applies. Never stored. Default: ``METAMLFLOW_SOURCE_OPTIONS``, a JSON
            object; without it, the store's own options apply to its scheme. Give web credentials for a host, not for
            ``https``.
        pointer_policy: which places pointers may lead to. A mapping from ``*``, a scheme, or the beginning of a URI to
            ``allow`` or ``refuse``; the longest key that matches a URI decides. Default:
            ``METAMLFLOW_POINTER_POLICY``, a JSON object; without it, buckets, public web addresses and, if the store
            is local, files of this machine are allowed.
        cache_dir: the folder where :meth:`Artifact.local_path` keeps copies; default ``METAMLFLOW_CACHE_DIR`` or the
            user's cache folder.
        cache_size: the most that the cache may hold, in bytes or as a text such as ``10GB``; default
            ``METAMLFLOW_CACHE_SIZE`` or 10 GiB.
        stale_metadata: ``warn``, ``ignore`` or ``error``, for a new version that seems to carry the metadata of the
            previous one; see ``docs/lineage.md``.
        openlineage: a file, or the URL of an endpoint, that each run sends OpenLineage events to; default
            ``METAMLFLOW_OPENLINEAGE``.

    Raises:
        InvalidInputError: the URI is missing or malformed, carries a secret, or no backend handles its scheme.
    """

    def __init__(
        self,
        storage_uri: str | os.PathLike[str] | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        source_options: Mapping[str, Mapping[str, Any]] | None = None,
        pointer_policy: Mapping[str, Literal["allow", "refuse"]] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_size: int | str | None = None,
        stale_metadata: OnStale = "warn",
        openlineage: str | os.PathLike[str] | None = None,
    ) -> None:
        store = opened_store(storage_uri, storage_options, source_options, pointer_policy)
        if stale_metadata not in {"warn", "ignore", "error"}:
            raise InvalidInputError(f"stale_metadata is 'warn', 'ignore' or 'error', not {stale_metadata!r:.80}")
        self._on_stale: OnStale = stale_metadata
        with blamed_on(EVENTS_VARIABLE if openlineage is None else "openlineage"):
            events = check_address(openlineage if openlineage is not None else os.environ.get(EVENTS_VARIABLE))
        cache = FileCache(Path(cache_dir) if cache_dir is not None else None, bytes_of(cache_size, "cache_size"))
        self._session = Session(store, cache, events)

    @classmethod
    def _on(cls, store: Store) -> Self:
        """Return a client of an open store; for metamlflow.testing."""
        client = cls.__new__(cls)
        client._session, client._on_stale = Session(store, FileCache()), "warn"  # noqa: SLF001 (its own constructor)
        return client

    @property
    def storage_uri(self) -> str:
        """The URL of the store."""
        return self._store.url

    @property
    def _store(self) -> Store:
        return self._session.store

    def __repr__(self) -> str:
        return f"<MetaMLFlowClient {self.storage_uri}>"

    # --- writing ------------------------------------------------------------------------------------------------------

    def create_store(self, *, grace: timedelta | None = None) -> None:
        """Create the store now instead of with the first registration. Does nothing if the store exists.

        Args:
            grace: how long a blob that no version names is kept before a garbage collector may delete it; a constant of
                the store, by default 7 days. A publish that takes more than three eighths of it checks its blobs again.

        Raises:
            StoreFormatError: the place holds something else than a store.
            ConflictError: the store exists with another grace.
        """
        check_grace(grace)
        self._store.writable_marker(grace=grace)

    def register_artifact(
        self,
        name: str,
        path: Any,
        artifact_type: str = "file",
        metadata: Mapping[str, Any] | None = None,
        *,
        inputs: Inputs = (),
        if_unchanged: Literal["new_version", "reuse"] = "new_version",
        idempotency_key: str | None = None,
        prove: Reliance | None = None,
        progress: ProgressCallback | None = None,
    ) -> Artifact:
        """Store content as the next version of ``name``; return that version.

        The version is complete and permanent when this returns; until then no reader sees any part of it. Each of
        several processes that register under one name at the same time gets its own number: 1, 2, 3, …

        Args:
            name: the artifact's name, such as ``fraud/features``.
            path: the content: a file, a folder, an fsspec URL, bytes, a file object (from its beginning, if it can
                seek), a list of paths (each stored under its file name), or a mapping of logical path to any of these
                or to a :class:`~metamlflow.artifacts.Pointer`, whose data stays where it is. A list or mapping of a
                single file makes a one-file artifact.
            artifact_type: a label: ``file``, ``dataset``, ``model``, or your own.
            metadata: JSON-like values, copied at once. ``docs/metadata.md`` lists the other types that are accepted. A
                pair ``<role>_artifact_name`` and ``<role>_version`` becomes an input with that role.
            inputs: the versions that the content was made from: artifacts, datasets, inputs of other artifacts, or
                references such as ``"features@2"``. Give one, several, or a mapping of role to them. The versions that
                the current run has used are added.
            if_unchanged: ``"reuse"`` returns the newest version if content, type and metadata are the same.
            idempotency_key: a text that names this registration, such as a job's id. The first registration under a
                key wins: a retry returns the same version, and checks its content only with ``prove``.
                If that version is pruned, absent or erased, the retry raises the error of that and registers nothing.
            prove: how to check blobs that the store has already and that the version relies on: ``stat`` (size),
                ``checksum`` (also the digest that the storage holds, if any) or ``full`` (every byte). Costs at least
                one request for each such blob. A missing or damaged blob is put back, which also heals older versions.
                Default: ``stat`` on a disk; in a bucket one listing, which shows the sizes of up to 999 blobs.
            progress: called with a :class:`~metamlflow.artifacts.Progress` as files and bytes are done; ``True`` shows
                a bar in a terminal or a notebook. All methods with this argument take both.

        Raises:
            InvalidNameError, InvalidPathError, InvalidMetadataError, UnsupportedSourceError: an argument is invalid;
                nothing was written.
            SourceNotFoundError: nothing exists at ``path``.
            SourceChangedError: a file changed while it was read; nothing was registered.
            StoreFormatError: the place holds something else than a store, or a store of a newer format.
            OutcomeUnknownError: the storage did not say whether the version was committed.
            StorageError: the storage failed; nothing was registered, and a retry finishes the work.
        """
        return self._registered(
            name,
            path,
            artifact_type,
            metadata,
            inputs=inputs,
            if_unchanged=if_unchanged,
            idempotency_key=idempotency_key,
            prove=prove,
            progress=progress,
        )

    def save(
        self,
        name: str,
        obj: Any,
        *,
        format: str | None = None,  # noqa: A002 (as pandas and others call it)
        artifact_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        inputs: Inputs = (),
        if_unchanged: Literal["new_version", "reuse"] = "new_version",
        idempotency_key: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Artifact:
        """Save an object as the next version of ``name``; ``artifact.load()`` returns it, of the same type and value.

        The format follows from the type of the object and is recorded with the version: data frames of pandas and
        polars and Arrow tables become Parquet; dicts and lists JSON; texts, bytes and NumPy arrays files of their kind;
        models of scikit-learn, XGBoost, LightGBM and Keras and states of PyTorch files of their libraries; figures PNG.
        What would come back changed is refused. ``docs/howto/save-and-load.md`` has the details.

        Args:
            name: the artifact's name, such as ``fraud/model``.
            obj: the object.
            format: the name of another format: one of a plug-in, or ``pickle`` or ``joblib``, which run code when they
                are loaded, so that ``load`` asks for ``trusted=True``. None: by the type.
            artifact_type: a label; None: that of the format: ``dataset``, ``model``, ``figure`` or ``file``.
            metadata: JSON-like values, copied at once.
            inputs: the versions that it was made from, as for :meth:`register_artifact`, like the following arguments.
            if_unchanged: ``"reuse"`` returns the newest version if content, format, type and metadata are the same.
            idempotency_key: a text that names this registration, such as a job's id.
            progress: called with a :class:`~metamlflow.artifacts.Progress` as bytes are done, or ``True`` for a bar.

        Raises:
            InvalidInputError: the object would come back changed, or no format is known for its type; nothing was
                registered.
            MissingDependencyError: a package is needed for the format.
        """
        with saved(obj, ArtifactName.parse(name).rpartition("/")[2], format) as file:
            return self._registered(
                name,
                file.path,
                file.artifact_type if artifact_type is None else artifact_type,
                metadata,
                inputs=inputs,
                if_unchanged=if_unchanged,
                idempotency_key=idempotency_key,
                progress=progress,
                extra={SAVED_AS: file.saved_as},
            )

    def _registered(
        self,
        name: str,
        path: Any,
        artifact_type: str,
        metadata: Mapping[str, Any] | None,
        *,
        inputs: Inputs,
        if_unchanged: str,
        idempotency_key: str | None,
        prove: Reliance | None = None,
        progress: ProgressCallback | None,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> Artifact:
        parsed = ArtifactName.parse(name)
        given = given_inputs(inputs, self._store)
        if if_unchanged not in {"new_version", "reuse"}:
            raise InvalidInputError(f"if_unchanged is 'new_version' or 'reuse', not {if_unchanged!r:.80}")
        if prove is not None and prove not in RELIANCES:
            raise InvalidInputError(f"unknown proof {prove!r:.80}: use {', '.join(map(repr, RELIANCES))} or None")
        # Encoded before anything is read, so that later changes of the caller's dict do not get into the version.
        encoded = encode_mapping(metadata)
        run = current_run(self._store)
        draft = PublishRequest(
            name=parsed,
            metadata=encoded,
            source=source_of(
                path,
                parsed.rpartition("/")[2],
                store_url=self._store.url,
                point=partial(pointer_source, self._store),
                options_of=self._store.external.copy_options,
            ),
            artifact_type=checked_type(artifact_type),
            reuse_unchanged=if_unchanged == "reuse",
            idempotency_key=checked_key(idempotency_key),
            inputs=resolved_inputs(self._store, given, encoded),
            run=run,
            code=run.code if run else None,
            on_stale=self._on_stale,
            prove=prove,
            extra=extra,
        )
        return Artifact(self._session, publish(self._store, draft, progress))

    def register_pointer(
        self,
        name: str,
        uri: str | os.PathLike[str],
        artifact_type: str = "dataset",
        metadata: Mapping[str, Any] | None = None,
        *,
        evidence: Strength | None = None,
        expected: str | None = None,
        inputs: Inputs = (),
        if_unchanged: Literal["new_version", "reuse"] = "new_version",
        idempotency_key: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Artifact:
        """Register data that stays where it is as the next version of ``name``; return that version.

        The version is read, downloaded and verified like any other. If the bucket keeps object versions, reads go to
        the object version that was registered; otherwise each read is conditional on the registered evidence and
        raises ``PointerDriftError`` if the object changed. ``docs/pointers.md`` lists what each kind of evidence costs
        and detects.

        Args:
            name: the artifact's name, such as ``lake/events``.
            uri: an object, a prefix (everything below it; ends in ``/``) or a glob, on S3, GCS, this machine, the web,
                or any other place that fsspec opens. Credentials come from the client's ``source_options``.
            artifact_type: a label.
            metadata: JSON-like values, as for :meth:`register_artifact`.
            evidence: ``stat`` (size, and ETag or time), ``checksum`` (a digest that the server holds) or ``full``
                (every byte is read and hashed). Default for an object: ``checksum`` if the server holds a digest, else
                ``stat``; for a prefix or glob: whatever the listing gives.
            expected: for a single object: its digest as you know it, such as ``sha256:<64 hex>``, compared now.
            inputs: as for :meth:`register_artifact`.
            if_unchanged: as for :meth:`register_artifact`.
            idempotency_key: as for :meth:`register_artifact`.
            progress: as for :meth:`register_artifact`.

        Raises:
            SourceNotFoundError: nothing exists at ``uri``.
            InvalidInputError: ``uri`` is malformed, or carries user info or a signed query string.
            InvalidPathError: names of objects cannot be logical paths; all are listed, and nothing was written.
            EvidenceUnavailableError: the evidence cannot be had without reading; the error names the next choice.
            IntegrityError: the data does not have the ``expected`` digest.
            PointerDriftError: the data changed while it was being registered.
        """
        return self.register_artifact(
            name,
            Pointer(uri, evidence, expected),
            artifact_type,
            metadata,
            inputs=inputs,
            if_unchanged=if_unchanged,
            idempotency_key=idempotency_key,
            progress=progress,
        )

    @overload
    def rollback(
        self,
        name: str,
        to_version: int | str,
        *,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: Literal[False] = False,
    ) -> Artifact: ...
    @overload
    def rollback(
        self,
        name: str,
        to_version: int | str,
        *,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: Literal[True],
    ) -> RollbackPlan: ...
    def rollback(
        self,
        name: str,
        to_version: int | str,
        *,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> Artifact | RollbackPlan:
        """Publish the content of an earlier version again, as the next version of ``name``; return that version.

        No content is copied, however much it is: the new version names the objects of the earlier one. It has the same
        files, pointers, type, schema and metadata, and the earlier version as its only input, in the role
        ``rolled_back_to``; in a run also what the run used. By a number, outside of a run and without an idempotency
        key it costs at most 8 requests to a bucket, one of which checks whether content is missing.

        If the newest version is the earlier one published again already, that is returned and nothing is published. So
        a call that was cut off is simply made again.

        Args:
            name: the artifact's name.
            to_version: the earlier version: a number, or an alias.
            note: why: a text of at most 5,000 bytes; it becomes the description among the notes on the new version. If
                that is there already and was ever described, it stays described as it is.
            idempotency_key: as for :meth:`register_artifact`.
            dry_run: write nothing, and return what would be done as a ``RollbackPlan``.

        Raises:
            InvalidInputError: the version is the newest one.
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError, ArtifactErasedError: the version was given up.
            IntegrityError: content of the version is missing; nothing was published.
            OutcomeUnknownError: the storage did not say whether the version was committed.
        """
        target, why, key = Reference.parse(name, to_version), checked_note(note), checked_key(idempotency_key)
        if dry_run:
            return plan_rollback(self._store, target, note=why, key=key)
        return Artifact(self._session, rollback(self._store, target, note=why, key=key))

    @overload
    def update_metadata(
        self,
        ref: Version,
        changes: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        expected: int | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: Literal[False] = False,
    ) -> Artifact: ...
    @overload
    def update_metadata(
        self,
        ref: Version,
        changes: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        expected: int | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: Literal[True],
    ) -> VersionPlan: ...
    def update_metadata(
        self,
        ref: Version,
        changes: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        expected: int | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> Artifact | VersionPlan:
        """Publish the content of a version with corrected metadata, as the next version of its name; return that.

        No content is copied, however much it is: the new version names the same objects. It has the same files,
        pointers, type, schema and inputs; only where a link in the metadata was changed (see
        :meth:`register_artifact`), the inputs follow. The description among its notes says which keys were changed.
        Signatures and other notes are those of the version that has them: they do not carry over. By a number,
        outside of a run and without an idempotency key it costs 6 requests to a bucket, and one for each input.

        A change that changes nothing publishes nothing, and returns the version as it is. If the newest version is the
        correction already, that is returned: a call by number that was cut off is simply made again.

        Args:
            ref: the version to correct: a reference such as ``"features@2"``, an artifact, a dataset or an input. It
                has to be the newest that is live, unless ``expected`` names another one.
            changes: values by key, to set, as ``dict.update`` does: a value replaces the whole former value.
            remove: keys to remove.
            expected: the newest live version, if that is another one. The new version follows it, and so gives up its
                content. Of several calls that expect the same version, at most one publishes.
            note: why: a text of at most 5,000 bytes; it begins the description among the notes on the new version.
            idempotency_key: as for :meth:`register_artifact`.
            dry_run: write nothing, and return what would be done as a ``VersionPlan``.

        Raises:
            ConflictError: another version is the newest; nothing was published.
            InvalidInputError: there is nothing to change, or a key to remove is not there.
            InvalidMetadataError: a value cannot be stored.
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError, ArtifactErasedError: the version was given up.
            IntegrityError: content of the version is missing; nothing was published.
            OutcomeUnknownError: the storage did not say whether the version was committed.
        """
        target, change = held_version(self._store, ref), MetadataChange.parse(changes, remove)
        newest, why, key = checked_expectation(expected), checked_note(note), checked_key(idempotency_key)
        if dry_run:
            return plan_update(self._store, target, change, expected=newest, note=why, key=key)
        done = update_metadata(self._store, target, change, expected=newest, note=why, key=key)
        return Artifact(self._session, done)

    @overload
    def copy(
        self,
        ref: Version,
        to_name: str,
        *,
        expected: int | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: Literal[False] = False,
    ) -> Artifact: ...
    @overload
    def copy(
        self,
        ref: Version,
        to_name: str,
        *,
        expected: int | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: Literal[True],
    ) -> VersionPlan: ...
    def copy(
        self,
        ref: Version,
        to_name: str,
        *,
        expected: int | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> Artifact | VersionPlan:
        """Publish a version under another name of this store, as its next version; return that.

        No content is copied, however much it is: the new version names the same objects, and they stay as long as one
        of the two versions is live. It has the same files, pointers, type, schema and metadata, and the original as its
        only input, in the role ``copied_from``; in a run also what the run used. Notes, aliases, protections and
        signatures do not carry over. By a number, outside of a run and without an idempotency key it costs at most 8
        requests to a bucket.

        If the newest version of the name is this copy already, that is returned and nothing is published. To another
        store, :func:`metamlflow.migrate` brings versions.

        Args:
            ref: the version to copy: a reference such as ``"model@3"`` or ``"model@best"``, an artifact, a dataset or
                an input.
            to_name: the name of the copy, such as ``registry/churn``; it need not exist.
            expected: the version of ``to_name`` that must be the newest live one, or 0 if there must be none. Of
                several calls that expect the same version, at most one publishes. None: whatever it is.
            note: why: a text of at most 5,000 bytes; it becomes the description among the notes on the copy.
            idempotency_key: as for :meth:`register_artifact`, of ``to_name``.
            dry_run: write nothing, and return what would be done as a ``VersionPlan``.

        Raises:
            InvalidInputError: the version has that name already.
            ConflictError: the newest version of ``to_name`` is not the expected one; nothing was published.
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError, ArtifactErasedError: the version was given up.
            IntegrityError: content of the version is missing; nothing was published.
            OutcomeUnknownError: the storage did not say whether the version was committed.
        """
        source, name = held_version(self._store, ref), ArtifactName.parse(to_name)
        newest, why, key = checked_expectation(expected), checked_note(note), checked_key(idempotency_key)
        if dry_run:
            return plan_copy(self._store, source, name, expected=newest, note=why, key=key)
        done = copy_version(self._store, source, name, expected=newest, note=why, key=key)
        return Artifact(self._session, done)

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int | str | None,
        *,
        expected: int | None = None,
        note: str | None = None,
        dry_run: bool = False,
    ) -> AliasChange:
        """Set ``alias`` to a version of ``name``: from now on ``get_artifact(name, alias)`` returns that version.

        Each change is recorded with its time, author and note; :meth:`alias_history` returns them all.

        Args:
            name: the artifact's name.
            alias: one segment of letters, digits, ``.``, ``_`` and ``-``, such as ``production``.
            version: a number, ``"latest"`` (the newest version now) or another alias; None removes the alias, as
                :meth:`remove_alias` does.
            expected: the version that the alias must stand for now, or 0 if it must stand for none: it does not exist,
                or was removed. Of several that move an alias at once with the same expectation exactly one succeeds.
                None: whatever it stands for.
            note: why: a text of at most 5,000 bytes.
            dry_run: write nothing, and return the change as it would be.

        Returns:
            The change, with its number.

        Raises:
            AliasMovedError: it does not stand for the expected version, which the error names; it was left as it is.
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError, ArtifactErasedError: the version was given up; the alias is as before, or removed.
            InvalidNameError: the alias is malformed.
            OutcomeUnknownError: the storage did not say whether the alias was set.
        """
        if version is None:
            return self.remove_alias(name, alias, expected=expected, note=note, dry_run=dry_run)
        moved, target = Reference.parse(name, alias), Reference.parse(name, version)
        wanted, why = checked_expectation(expected), checked_note(note)
        return set_alias(self._store, moved, target, expected=wanted, note=why, dry_run=dry_run)

    def remove_alias(
        self, name: str, alias: str, *, expected: int | None = None, note: str | None = None, dry_run: bool = False
    ) -> AliasChange:
        """Remove an alias. Its history stays, and it can be set again.

        Args:
            name: the artifact's name.
            alias: the alias. What it stands for may be pruned.
            expected: the version that it must stand for now; None: whatever it stands for.
            note: why: a text of at most 5,000 bytes.
            dry_run: write nothing, and return the change as it would be.

        Returns:
            The change, with its number.

        Raises:
            ArtifactNotFoundError: there is no such alias, or it was removed before; the error names existing ones.
            AliasMovedError: it does not stand for the expected version, which the error names; it was left as it is.
            OutcomeUnknownError: the storage did not say whether the alias was removed.
        """
        removed = Reference.parse(name, alias)
        wanted, why = checked_expectation(expected), checked_note(note)
        return remove_alias(self._store, removed, expected=wanted, note=why, dry_run=dry_run)

    def annotate(
        self,
        target: Version,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> Notes:
        """Change the notes on a name or a version; return the notes after the change.

        Notes are texts for people and for search that may change at any time. They are no part of a version: its
        digests and signatures, and what a verification finds, stay the same. Each change is recorded with its time and
        author, and :meth:`notes_history` returns them all. Fields that are not given stay as they are, also if others
        change them at the same time. A call that changes nothing writes nothing.

        Args:
            target: a name (``"model"``) for the notes on the name; a reference (``"model@3"``, ``"model@production"``,
                ``"model@latest"``), an artifact, a dataset or an input for the notes on a version, which may be pruned.
            title: one line of at most 1,000 bytes; an empty text removes it.
            description: a text, such as Markdown, of at most 100,000 bytes; an empty text removes it.
            tags: values by tag, to set; None removes the tag. At most 100 tags of 250 bytes with values of 5,000 bytes.
                The value of a plain label is an empty text.

        Raises:
            InvalidInputError: there is nothing to change, or a text is invalid or too long; nothing was written.
            ArtifactNotFoundError: the name or version does not exist.
            StoreNotFoundError: the store does not exist.
            StoreFormatError: the newest record of the notes is damaged.
            OutcomeUnknownError: the storage did not say whether the change was recorded; calling again is safe.
        """
        change = NotesChange.parse(title, description, tags)
        store = self._session.store
        return annotate(store, noted_subject(store, target), change)

    def notes(self, target: Version) -> Notes:
        """Return the notes on a name or a version as they are now; without a title, description or tags if none exist.

        Costs two listings, and a read if there are any. ``artifact.notes`` costs one listing less.

        Args:
            target: as for :meth:`annotate`.

        Raises:
            ArtifactNotFoundError: the name or version does not exist.
            StoreNotFoundError: the store does not exist.
            StoreFormatError: the newest record of the notes is damaged.
        """
        store = self._session.store
        subject = noted_subject(store, target)
        store.marker()
        return notes_on(store, subject)

    def notes_history(self, target: Version) -> list[Notes]:
        """Return the notes after each change, the oldest first. Costs two listings, and a read of each record.

        A damaged record is left out with a :class:`~metamlflow.errors.DamagedRecordWarning`.

        Args:
            target: as for :meth:`annotate`.

        Raises:
            ArtifactNotFoundError: the name or version does not exist.
            StoreNotFoundError: the store does not exist.
        """
        store = self._session.store
        subject = noted_subject(store, target)
        store.marker()
        return history_on(store, subject)

    def relocate(self, old: str, new: str, *, progress: ProgressCallback | None = None) -> int:
        """Record that pointed data has moved: pointers that led below ``old`` lead below ``new`` from now on.

        Copy the data first, with any tool. This reads every byte at the new place and compares it with the registered
        digest; only then is the relocation recorded. Manifests do not change. Pinned object versions no longer apply at
        the new place: the digest does.

        Args:
            old: the URI of an object, folder or prefix that artifacts point to now.
            new: the URI of the same data at its new place.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Returns:
            The number of files that were found at the new place.

        Raises:
            EvidenceUnavailableError: some files were registered without a digest of their content: strengthen them
                first.
            PointerDriftError: the data at the new place differs from the registered data. Nothing was recorded.
            ConflictError: versions of one object are pinned that have different contents.
            InvalidInputError: no artifact points below ``old``, or a URI is malformed.
        """
        from metamlflow.store.pointers.relocating import relocate

        return relocate(self._store, old, new, progress)

    # --- reading ------------------------------------------------------------------------------------------------------

    def get_artifact(
        self, name: str | Input, version: int | str = "latest", *, require_signature: Any = None
    ) -> Artifact:
        """Return one version.

        Args:
            name: the name, a reference with the version (``"features@2"``), or one of ``artifact.inputs``.
            version: a number, ``"latest"`` (the highest version that is not pruned, absent or erased), or an alias.
            require_signature: one ed25519 public key or several, one of which must have signed the version. A key is
                the path of a PEM file, PEM in bytes, 32 raw bytes, or a key of ``cryptography``. A relocation then
                moves only pointers that were registered with a SHA-256.

        Raises:
            SignatureError: none of the keys signed the version.
            ArtifactNotFoundError: the name or version does not exist; the error suggests existing ones.
            ArtifactPrunedError: the version was pruned, or is absent.
            ArtifactErasedError: the version was erased.
            StoreNotFoundError: the store does not exist.
        """
        store, reference = self._store, meant_reference(name, version)
        with blamed_on("require_signature"):
            keys = None if require_signature is None else public_keys(require_signature)
        if store.is_open_for_reading:
            loaded = load_reference(store, reference)
        else:
            loaded = store.meanwhile(lambda: load_reference(store, reference), store.marker)
        if isinstance(name, Input):
            checked_used(store, loaded, name)
        if keys is None:
            return Artifact(self._session, loaded)
        check_signature(store, loaded, keys)
        return Artifact(replace(self._session, store=store.for_signed()), loaded)

    def list_artifacts(
        self,
        name: str | None = None,
        *,
        prefix: str | None = None,
        artifact_type: str | None = None,
        include_hidden: bool = False,
        include_aliases: bool = False,
    ) -> list[Artifact]:
        """Return the latest version of each name, sorted by name; or all versions of one name, ascending.

        Pruned, absent and erased versions are left out; a version with a damaged record is left out with a
        :class:`DamagedRecordWarning`. Without a name it costs two listings, and a read of each version; of many names
        those that the catalog of :meth:`search` has are not read again.

        Args:
            name: list the versions of this name, hidden or not.
            prefix: only names that begin with this text, such as ``fraud/``. Only the names below its last slash are
                listed.
            artifact_type: only artifacts of this type.
            include_hidden: list names too that were hidden from listings.
            include_aliases: look up the aliases too, so that :attr:`Artifact.aliases` of each tells them as of now
                without a request. Costs one listing: of the aliases of the name, or, without a name, of all records of
                versions; and a read for each alias.

        Raises:
            ArtifactNotFoundError: the name does not exist.
            StoreNotFoundError: the store does not exist.
        """
        parsed, begins = None if name is None else name_to_list(name), checked_prefix(prefix)
        if parsed is not None and begins:
            raise InvalidInputError("prefix is for a list of names; give it, or a name")
        self._store.marker()
        found = listed(self._store, parsed, include_hidden=include_hidden, prefix=begins, held=self._held)
        aliases = AliasesOfMany(self._store, parsed, begins) if include_aliases else None
        return Artifacts(
            Artifact(self._session, loaded, aliases=None if aliases is None else aliases.of(loaded.manifest))
            for loaded in found
            if artifact_type is None or loaded.manifest.artifact_type == artifact_type
        )

    @cached_property
    def _catalog(self) -> Catalog:
        from metamlflow.store.find.catalog import Catalog

        return Catalog(self._session.store, self._session.cache)

    def _held(self, wanted: Sequence[tuple[ArtifactName, VersionStatus]]) -> list[StoredManifest | None]:
        from metamlflow.store.find.catalog import held_versions

        return held_versions(self._catalog, wanted)

    def search(self, expression: str, *, include_hidden: bool = False) -> list[Artifact]:
        """Return the versions for which a condition holds, of all names, sorted by name and version.

        Every version that can be read is searched, not only the latest of each name. ``docs/search.md`` has the
        grammar: ``"type = 'model' and metadata.accuracy > 0.9 and input = 'features@2'"``.

        Costs one listing of all records, and a read of each version that is new since the last search: the others are
        in a catalog on this machine. Needs ``pip install 'metamlflow[arrow]'``.

        Args:
            expression: the condition. Where a version lacks a field, or a value has another type, it does not hold.
            include_hidden: search names too that were hidden from listings.

        Raises:
            InvalidInputError: the expression is malformed; the message shows the place.
            MissingDependencyError: pyarrow is not installed.
            StoreNotFoundError: the store does not exist.
            StorageError: this machine has no room for what a search holds, nor in the temp folder.
        """
        from metamlflow.store.find.search import parsed, search

        found = search(self._store, self._catalog, parsed(expression), include_hidden=include_hidden)
        return Artifacts(Artifact(self._session, loaded, aliases=aliases) for loaded, aliases in found)

    def catalog(self) -> Any:
        """Return a ``pyarrow.Table`` with a row for each version that exists, sorted by name and version.

        Its columns are the facts of :class:`Artifact`; ``metadata`` and ``schema`` as JSON; ``inputs`` as references;
        ``aliases``, ``title``, ``description`` and ``tags`` as of now; ``state`` (``live``, ``pruned``, ``absent`` or
        ``unknown``) and ``hidden``. Costs what :meth:`search` costs, and a listing of the names.

        Raises:
            MissingDependencyError: pyarrow is not installed.
            StoreNotFoundError: the store does not exist.
            StorageError: this machine has no room for what a search holds, nor in the temp folder.
        """
        from metamlflow.store.find.search import table

        return table(self._store, self._catalog)

    def sql(self, query: str) -> Any:
        """Return the rows of a SQL query over the catalog and the runs as a ``pyarrow.Table``.

        The tables are ``versions`` (also called ``catalog``), as :meth:`catalog` returns it, and ``runs``. Metadata,
        parameters and metrics are JSON: ``select name, version from versions where (metadata->>'accuracy')::double >
        0.9``. The query is run by DuckDB in memory. It can read no file and no address. Needs
        ``pip install 'metamlflow[duckdb]'``.

        Args:
            query: one statement. A table is made if the query has its name.

        Raises:
            InvalidInputError: the query fails, or gives no rows.
            MissingDependencyError: DuckDB or pyarrow is not installed.
            StoreNotFoundError: the store does not exist.
            StorageError: this machine has no room for what a search holds, nor in the temp folder.
        """
        from metamlflow.store.find.sql import rows_of_query

        tables = {"versions": self.catalog, "catalog": self.catalog, "runs": lambda: self.runs().to_arrow()}
        return rows_of_query(query, tables)

    def list_names(self, *, prefix: str | None = None, include_hidden: bool = False) -> list[str]:
        """Return every name that is not hidden, sorted; costs one listing. A name may have no version yet.

        Args:
            prefix: only names that begin with this text, such as ``fraud/``. Only the names below its last slash are
                listed.
            include_hidden: return names too that were hidden from listings.

        Raises:
            StoreNotFoundError: the store does not exist.
        """
        begins = checked_prefix(prefix)
        self._store.marker()
        return sorted(map(str, list_names(self._store, include_hidden=include_hidden, prefix=begins)))

    def list_versions(self, name: str) -> list[int]:
        """Return the numbers of a name's versions that are neither pruned, absent nor erased, ascending.

        Costs one listing, and two reads for each version that was pruned soon after it was registered.

        Raises:
            ArtifactNotFoundError: the name does not exist.
            StoreNotFoundError: the store does not exist.
        """
        self._store.marker()
        return live_numbers(self._store, ArtifactName.parse(name))

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a name and their versions; empty if it has none.

        Costs a listing, and a read of each alias. An alias with a damaged record is left out with a
        :class:`~metamlflow.errors.DamagedRecordWarning`.

        Raises:
            ArtifactNotFoundError: the name does not exist.
            StoreNotFoundError: the store does not exist.
        """
        self._store.marker()
        parsed = ArtifactName.parse(name)
        found = aliases_of(self._store, parsed, leniently=True)
        if not found:
            known_versions(self._store, parsed)  # or a mistyped name would pass as one without aliases
        return dict(sorted(found.items()))

    def alias_history(self, name: str, alias: str) -> list[AliasChange]:
        """Return all changes of an alias, the oldest first: what it stood for since when, by whom, and why.

        A removal is a change whose version is None. Costs a listing, and a read of each change. A damaged record is
        left out with a :class:`~metamlflow.errors.DamagedRecordWarning`.

        Raises:
            ArtifactNotFoundError: there never was such an alias; the error names existing ones.
            InvalidNameError: the alias is malformed.
            StoreNotFoundError: the store does not exist.
        """
        asked = Reference.parse(name, alias)
        self._store.marker()
        return alias_history(self._store, asked)

    def diff(
        self,
        before: Version,
        after: Version,
        *,
        store: str | os.PathLike[str] | MetaMLFlowClient | None = None,
        store_options: Mapping[str, Any] | None = None,
        rows: bool = False,
        keys: str | Iterable[str] = (),
    ) -> ArtifactDiff:
        """Return the differences between two versions: files, columns, metadata, inputs, and on request rows.

        Costs two reads for each version. Files are compared at the first use of ``diff.files``: of long lists,
        only the pages that differ are read, and the differences are sorted on disk once they are many. Content is
        compared by its recorded digest, so no file is read, unless rows are compared. By number also pruned versions
        are compared, as long as their lists of files are there.

        Args:
            before: a reference such as ``"features@1"``, an artifact (of any store), a dataset or an input.
            after: the version to compare it with, likewise; of another name, too.
            store: the store that ``after`` is in, if it is another one: a URI, a path or a client.
            store_options: fsspec options of that store, if it is given by its URI.
            rows: count the rows that differ, too: of the tables, by all columns that both have. Reads both versions,
                and needs ``pip install 'metamlflow[duckdb]'``.
            keys: the names of key columns, which tell which rows are the same one; implies ``rows``.

        Returns:
            An ``ArtifactDiff`` with ``.files``, ``.schema``, ``.metadata``, ``.inputs`` and ``.rows``. It is true in a
            condition if there is a difference; ``str()`` is a text, and ``to_html`` writes a page.

        Raises:
            ArtifactNotFoundError: a version does not exist.
            ArtifactErasedError: a version was erased.
            InvalidInputError: an argument is invalid, or a version whose rows are asked for has no table.
            MissingDependencyError: duckdb or pyarrow is not installed, and rows are asked for.
        """
        from metamlflow.store.diff.compare import diff_versions

        other = self._store if store is None else other_store(store, store_options)
        sides = [compared_version(place, ref) for place, ref in ((self._store, before), (other, after))]
        return diff_versions(*sides, rows=rows, keys=keys)

    # --- lineage ------------------------------------------------------------------------------------------------------

    def run(self, name: str, params: Mapping[str, Any] | None = None, *, capture_user: bool = True) -> Run:
        """Return a run, as a context manager or a decorator: ``with client.run("train", params={…}) as run:``.

        As a decorator, each call is a run of its own. Inside a run, every artifact whose bytes are read becomes an
        input of the artifacts that are registered after it. ``docs/lineage.md`` lists what is recorded about code and
        machine; environment variables are not recorded.

        Args:
            name: the name of the job, such as ``train``.
            params: JSON-like values.
            capture_user: whether user and host are recorded.
        """
        return Run(self._session, name, params, capture_user=capture_user)

    def join_run(self, token: str) -> AbstractContextManager[None]:
        """Return a context in which this process takes part in another process's run, by its :attr:`Run.token`."""
        return recorded_in(joined(self._session, token))

    def get_run(self, run_id: str) -> RunRecord:
        """Return the record of a run: its start, the versions it used, and its end (None if it has not ended).

        Parameters and metrics come back as metadata values do; see ``docs/metadata.md``.

        Args:
            run_id: an id from :attr:`Run.id` or ``artifact.run_id``.

        Raises:
            RunNotFoundError: the run does not exist.
        """
        self._store.marker()
        return recorded_run(self._store, run_id)

    def runs(self, name: str | None = None, *, where: str | None = None) -> RunList:
        """Return the records of all runs, the latest first: a sequence, and a table in a notebook.

        ``.rows()`` gives a mapping for each run, as ``pandas.DataFrame`` takes them, and ``.to_arrow()`` an Arrow
        table. Costs one listing, and a read of each record of each run. A run with a damaged record is left out with a
        :class:`~metamlflow.errors.DamagedRecordWarning`.

        Args:
            name: only runs of this name.
            where: only runs for which this condition holds, such as ``"metrics.loss < 0.3 and params.lr = 0.1"``.
                ``docs/runs.md`` lists the fields.

        Raises:
            InvalidInputError: the condition is malformed; the message shows the place.
            StoreNotFoundError: the store does not exist.
        """
        from metamlflow.store.find.runs import parsed_where, runs_of

        condition = parsed_where(where)
        self._store.marker()
        return runs_of(self._store, name, condition)

    def compare_runs(self, left: str | RunRecord, right: str | RunRecord) -> RunComparison:
        """Return two runs side by side: outcome, parameters, metrics, inputs, outputs and code.

        Args:
            left: the id of a run, or its record.
            right: the other one.

        Raises:
            RunNotFoundError: a run does not exist.
        """
        from metamlflow.model.run_lists import RunComparison

        records = (self.get_run(run) if isinstance(run, str) else run for run in (left, right))
        return RunComparison.of(*records)

    def lineage(self, ref: Version, direction: Direction = "both", depth: int | None = None) -> Lineage:
        """Return the graph of the versions that a version was made from and of those made from it.

        Upstream costs a read for each version; downstream costs a listing and a read for each consumer.

        Args:
            ref: an artifact, a dataset, an input of another artifact, or a reference such as ``"model@3"``.
            direction: ``upstream``, ``downstream`` or ``both``.
            depth: the number of steps to follow; None follows all.

        Raises:
            ArtifactNotFoundError: the version does not exist.
        """
        if direction not in DIRECTIONS:
            raise InvalidInputError(
                f"unknown direction {direction!r:.80}", hint="Give 'upstream', 'downstream' or 'both'."
            )
        store = self._store
        if isinstance(ref, str):
            store.marker()
        return Lineage(store, walk(store, load_used(store, used_version(store, ref)), direction, depth))

    def history(self, name: str) -> History:
        """Return all versions of a name, including pruned ones, and whether each follows the one before it.

        Reads every manifest and compares its digest with the digest that the next version recorded. No later version
        has recorded the newest one, so a change to the newest manifest alone is not detected.

        Raises:
            ArtifactNotFoundError: the name does not exist.
        """
        store = self._store
        store.marker()
        return history_of(store, ArtifactName.parse(name))

    # --- upkeep -------------------------------------------------------------------------------------------------------

    def verify_each(
        self,
        names: Iterable[str] | None = None,
        level: Level = "full",
        *,
        lineage: bool = False,
        objects_per_second: float | None = None,
        bytes_per_second: float | None = None,
        resume: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> Iterator[VerifyReport | UnreadableVersion]:
        """Verify as :meth:`verify_all` does, but yield the report of each version as soon as it is done.

        Arguments are checked, and ``names`` are looked up, before this returns. A version whose record cannot be read
        is yielded as :class:`~metamlflow.artifacts.UnreadableVersion`.
        """
        wanted = [names] if isinstance(names, str) else names
        return verify_each(
            self._store,
            every_version(self._store) if wanted is None else wanted_versions(self._store, wanted),
            level,
            lineage=lineage,
            objects_per_second=objects_per_second,
            bytes_per_second=bytes_per_second,
            resume=resume,
            executor=executor,
            progress=progress,
        )

    def verify_all(
        self,
        names: Iterable[str] | None = None,
        level: Level = "full",
        *,
        lineage: bool = False,
        objects_per_second: float | None = None,
        bytes_per_second: float | None = None,
        resume: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> Verification:
        """Verify that versions are in the store as they were registered, and that no version of a name is missing.

        Continues after every finding.

        Args:
            names: names, each for all of its versions, or references such as ``features@2`` for one version. Default:
                every version of every name.
            level: as for :meth:`Artifact.verify`, which also explains the other arguments.
            lineage: verify also the manifests of all versions that each version was made from.
            objects_per_second: check or read at most this many objects per second; None: no limit.
            bytes_per_second: read at most this many bytes per second; None: no limit.
            resume: a file that records finished work, so that an interrupted verification continues from there.
            executor: an executor that runs parts of the work.
            progress: called with a :class:`~metamlflow.artifacts.Progress` of the version that is being checked.

        Raises:
            ArtifactNotFoundError: one of ``names`` does not exist; nothing was checked.
            StoreNotFoundError: the store does not exist.
        """
        return Verification.of(
            self.verify_each(
                names,
                level,
                lineage=lineage,
                objects_per_second=objects_per_second,
                bytes_per_second=bytes_per_second,
                resume=resume,
                executor=executor,
                progress=progress,
            )
        )

    def repair(
        self,
        ref: Version,
        source: Any,
        *,
        source_options: Mapping[str, Any] | None = None,
        progress: ProgressCallback | None = None,
    ) -> RepairReport:
        """Restore the objects of a version that a full verification finds missing or modified, under the same keys.

        Repairing an object heals every version that shares it. Only bytes with the digest in the object's key are
        written, and they are read back; undamaged objects are left alone. So two repairs, one after the other or at the
        same time, do no harm, and a repair that was killed leaves each object as it was or whole. Pointed data is not
        repaired.

        A damaged manifest or list of files is restored from another store that has it. The digest of the right manifest
        is known from the next version, or from an artifact that was loaded before the damage.

        Args:
            ref: a reference such as ``"features@2"``, an artifact, a dataset, or an input of another artifact.
            source: the undamaged bytes: a file, a folder with the files under their logical paths (such as an earlier
                download), the URL of another store, or a client of one.
            source_options: fsspec options of the source, if it is a store given by its URL.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Returns:
            A report of the restored and the still damaged objects, each with path, key and reason. It is true in a
            condition if nothing is damaged any more.

        Raises:
            SourceNotFoundError: nothing exists at ``source``, or it has no good copy of the version's manifest.
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError: the version was pruned, or is absent.
            ArtifactErasedError: the version was erased.
            InvalidInputError: ``source`` is the store itself.
            AccessDeniedError: the manifest may not be overwritten. (For other objects the report says so.)
        """
        from metamlflow.store.repair.repair import repair_version

        donor = self._donor(source, source_options)
        return repair_version(self._store, damaged_version(ref), donor, progress)

    def _donor(self, source: Any, options: Mapping[str, Any] | None) -> Donor:
        from metamlflow.store.repair.donors import donor_of

        if isinstance(source, MetaMLFlowClient):
            if options:
                raise InvalidInputError(
                    "options were given for a client, which has its own", hint="Give them when you make the client."
                )
            source = source._store  # noqa: SLF001 (its own kind)
        return donor_of(source, self._store, partial(source_store, options=options))

    def fsck(
        self,
        *,
        level: Level = "full",
        sample: float | str | None = None,
        seed: int = 0,
        subset: tuple[int, int] | str | None = None,
        repair: bool = False,
        dry_run: bool = False,
        source: Any = None,
        source_options: Mapping[str, Any] | None = None,
        objects_per_second: float | None = None,
        bytes_per_second: float | None = None,
        resume: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> FsckReport:
        """Examine the whole store: every record, and the content that live versions name. ``docs/fsck.md`` says more.

        Continues after every finding. Nothing is deleted; without ``repair`` nothing is written either. What publishers
        and others do meanwhile is no fault: whatever seems wrong is looked at again. Content that no version names is
        left to :meth:`usage`. Pointed data is left to :meth:`verify_all`.

        Args:
            level: ``full`` reads all content; ``checksum`` compares the digests that the storage holds; ``stat``
                compares sizes alone, in one listing.
            sample: the share of the content that is read, such as ``0.01`` or ``"1%"``. The digests decide, so the same
                call reads the same content. Records, existence and sizes are always examined in full.
            seed: another seed makes another sample.
            subset: read only part n of t, such as ``(1, 7)`` or ``"1/7"``: t calls, one for each part, read all.
            repair: put right what can be: name records and edges from the store itself, content and manifests from
                ``source``.
            dry_run: report what a repair would put right, and write nothing.
            source: has good copies, as for :meth:`repair`; implies ``repair``. Only bytes with the recorded digest are
                written, under the very key.
            source_options: fsspec options of the source, if it is a store given by its URL.
            objects_per_second: examine at most this many objects per second; None: no limit.
            bytes_per_second: read at most this many bytes per second; None: no limit.
            resume: a file that records which content was read, so that an interrupted call continues from there.
            executor: an executor that reads the content.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Raises:
            InvalidInputError: an argument is invalid.
            StoreNotFoundError: the store does not exist.
            SourceNotFoundError: nothing exists at ``source``.
            StoreFormatError: the store's marker is damaged; or it has a feature that this library does not know, and
                a repair was asked for.
        """
        from metamlflow.store.repair.fsck import FsckRequest, MendRequest, RateLimit, fsck, selection_of

        request = FsckRequest(
            level=level,
            selection=selection_of(sample, seed, subset),
            pace=RateLimit(objects_per_second, bytes_per_second),
            executor=executor,
            resume=resume,
            progress=progress,
        )
        if source is None and source_options:
            raise InvalidInputError(
                "source_options: they are options of a source, and none is given", hint="Give source, too."
            )
        donor = None if source is None else self._donor(source, source_options)
        mend = MendRequest(is_wanted=repair or source is not None, dry_run=dry_run, donor=donor)
        return fsck(self._store, self._session.cache, request, mend)

    def usage(
        self, name: str | None = None, *, depth: int | None = None, progress: ProgressCallback | None = None
    ) -> UsageReport:
        """Return the space that the store takes: by name and version, shared and not, and what no version names.

        Costs a listing of the records, a listing of the blobs, and a read of each manifest and list of files.

        Args:
            name: report the versions of this name alone; the totals are still of the whole store.
            depth: add up the names that have this many first segments in common.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Raises:
            ArtifactNotFoundError: the name does not exist.
            StoreNotFoundError: the store does not exist.
        """
        from metamlflow.store.retain.space.usage import usage_of

        return usage_of(self._store, None if name is None else ArtifactName.parse(name), depth, progress)

    # --- retention ----------------------------------------------------------------------------------------------------

    def prune(
        self,
        names: str | Iterable[str],
        *,
        keep_last: int | None = None,
        older_than: timedelta | None = None,
        where: str | None = None,
        versions: int | Iterable[int] | None = None,
        even_if_used: bool = False,
        note: str | None = None,
        dry_run: bool = False,
    ) -> PruneReport:
        """Give up versions that all of the given rules agree on. Nothing is deleted: :meth:`restore` undoes it.

        Readers are refused from now on; within half of the store's grace (3.5 days by default) a version can be
        restored. Its content is deleted by a garbage collection that runs after the whole grace. These versions stay,
        whatever the rules say, and the report tells why: the newest live version of each name; one that an alias stands
        for; a protected one; and, unless ``even_if_used``, one that a live version was made from.

        Each version is looked at again after it was pruned, and restored if something has come to hold it. Names whose
        newest version lacks content are reported, and then nothing is pruned at all.

        Args:
            names: a name or several, or patterns: ``*`` stands for any characters of one segment, ``**`` for any
                characters, slashes included, ``?`` for one. Hidden names are included.
            keep_last: the newest so many live versions of each name stay.
            older_than: only versions that were written to this store longer ago may go, by the storage's clock. A
                migrated store counts from the migration. To go by the time of registration, use ``created_at`` in
                ``where``.
            where: only versions that fulfil this condition may go, such as ``metadata.accuracy < 0.5``. Fields are
                those of an artifact, and ``metadata.<name>``. If a version lacks a field, or a value has another type,
                the version stays.
            versions: only versions with these numbers may go, of one name.
            even_if_used: prune also what live versions were made from.
            note: why, for :class:`ArtifactPrunedError`; a text of at most 5,000 bytes. Default: the rules.
            dry_run: write nothing, and report what would be done.

        Returns:
            A report with ``.pruned`` and ``.kept``, each with ``.ref`` and ``.reason``. It is true in a condition if
            nothing failed.

        Raises:
            InvalidInputError: an argument is invalid, or no rule is given; nothing was pruned.
            ArtifactNotFoundError: a name or a version that was given does not exist; nothing was pruned.
            UnsupportedStoreError: the storage does not tell when an object was written; nothing was pruned.
            StoreFormatError: the record of an alias is damaged, or a protection is not known; nothing was pruned.
            StoreNotFoundError: the store does not exist.
        """
        from metamlflow.store.retain.prune import prune

        patterns, why = name_patterns(names), checked_note(note)
        rules = Rules.parse(keep_last, older_than, where, versions)
        return prune(self._store, patterns, rules, why, even_if_used=even_if_used, dry_run=dry_run)

    def apply_policies(
        self, names: str | Iterable[str] | None = None, *, even_if_used: bool = False, dry_run: bool = False
    ) -> PruneReport:
        """Prune what the store's policies say, as :meth:`prune` does; for a job that runs every night.

        Of several policies whose patterns fit a name, the closest one decides: the one with the most characters that
        are not wildcards. A name that no pattern fits is left alone.

        Args:
            names: only these names, or names that fit these patterns. Default: all.
            even_if_used: prune also what live versions were made from.
            dry_run: write nothing, and report what would be done.

        Raises:
            StoreNotFoundError: the store does not exist.
            StoreFormatError: the record of the policies is damaged; nothing was pruned.
        """
        from metamlflow.store.retain.prune import apply_policies

        patterns = None if names is None else name_patterns(names)
        return apply_policies(self._store, patterns, even_if_used=even_if_used, dry_run=dry_run)

    def restore(self, ref: Version, *, note: str | None = None, dry_run: bool = False) -> Artifact:
        """Make a pruned version live again; return it. Possible for half of the store's grace after the pruning.

        Args:
            ref: a reference such as ``"features@2"``, an artifact, a dataset, or an input of another artifact.
            note: why: a text of at most 5,000 bytes.
            dry_run: write nothing; only check that it can be restored.

        Raises:
            ConflictError: the version is live, or was pruned too long ago; the error says until when.
            IntegrityError: an object of it is gone already.
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError: it was not pruned but left out by a migration.
            ArtifactErasedError: it was erased.
        """
        from metamlflow.store.retain.restore import restore

        reference, why = held_version(self._store, ref), checked_note(note)
        return Artifact(self._session, restore(self._store, reference, why, dry_run=dry_run))

    def protect(self, ref: Version, note: str | None = None) -> Protection:
        """Protect a live version: nobody prunes it until :meth:`unprotect`; return the protection.

        A version may have several protections, by several people: each is a record with its author and note.

        Args:
            ref: as for :meth:`restore`. A bare name means the version that is the newest now.
            note: why: a text of at most 5,000 bytes.

        Raises:
            ArtifactNotFoundError: the version does not exist.
            ArtifactPrunedError: it is pruned or absent; it is not protected then.
            ArtifactErasedError: it was erased.
        """
        return protect(self._store, held_version(self._store, ref), checked_note(note))

    def unprotect(self, ref: Version, note: str | None = None) -> int:
        """End all protections that a version has now; return how many those were.

        Args:
            ref: as for :meth:`restore`.
            note: why: a text of at most 5,000 bytes.

        Raises:
            ArtifactNotFoundError: the version does not exist.
            ArtifactErasedError: it was erased.
        """
        return unprotect(self._store, held_version(self._store, ref), checked_note(note))

    def protections(self, name: str | None = None) -> list[Protection]:
        """Return the protections in force, by name and version. Costs a listing, and a read of each.

        A damaged one is left out with a :class:`~metamlflow.errors.DamagedRecordWarning`; it protects all the same.

        Args:
            name: only the versions of this name.

        Raises:
            ArtifactNotFoundError: there is no artifact of this name, and nothing of it is protected.
            StoreNotFoundError: the store does not exist.
        """
        parsed = None if name is None else ArtifactName.parse(name)
        self._store.marker()
        return protections(self._store, parsed)

    def set_policy(
        self,
        pattern: str,
        *,
        keep_last: int | None = None,
        older_than: timedelta | None = None,
        where: str | None = None,
        note: str | None = None,
    ) -> Policy:
        """Set the retention policy of the names that fit a pattern, in place of the one that the pattern had.

        Setting a policy prunes nothing: :meth:`apply_policies` does, whenever it is called. The policy is kept in the
        store; a migration does not copy it.

        Args:
            pattern: as ``names`` of :meth:`prune`.
            keep_last: as for :meth:`prune`.
            older_than: as for :meth:`prune`, in whole seconds.
            where: as for :meth:`prune`.
            note: why: a text of at most 5,000 bytes.

        Raises:
            InvalidInputError: an argument is invalid, or no rule is given.
            StoreNotFoundError: the store does not exist.
        """
        rules = policy_rules(keep_last, older_than, where)
        return set_policy(self._store, NamePattern.parse(pattern), rules, checked_note(note))

    def remove_policy(self, pattern: str) -> Policy:
        """Remove the policy of a pattern; return what it was.

        Raises:
            NotFoundError: the store has no policy for this very pattern.
            StoreNotFoundError: the store does not exist.
        """
        return remove_policy(self._store, NamePattern.parse(pattern))

    def policies(self) -> list[Policy]:
        """Return the retention policies, in the order in which they were set. One listing, and a read if there are any.

        Raises:
            StoreNotFoundError: the store does not exist.
            StoreFormatError: the record of the policies is damaged.
        """
        self._store.marker()
        return list(policies(self._store))

    # --- the store itself ---------------------------------------------------------------------------------------------

    @overload
    def collect_garbage(
        self,
        *,
        dry_run: Literal[True],
        grace: timedelta | None = None,
        unsafe: bool = False,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> CollectionPlan: ...
    @overload
    def collect_garbage(
        self,
        *,
        dry_run: Literal[False] = False,
        plan: CollectionPlan | str | os.PathLike[str] | None = None,
        grace: timedelta | None = None,
        unsafe: bool = False,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> CollectionReport: ...
    def collect_garbage(
        self,
        *,
        dry_run: bool = False,
        plan: CollectionPlan | str | os.PathLike[str] | None = None,
        grace: timedelta | None = None,
        unsafe: bool = False,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> CollectionReport | CollectionPlan:
        """Delete the content that no version needs. No version that can be read or restored loses anything.

        It is that of versions pruned longer ago than the grace, of erased ones, and of registrations that were never
        finished. Safe while others register, restore, migrate and read. It reads every manifest and lists all content
        before it deletes anything, and deletes nothing if the store holds anything that it does not know, if a record
        cannot be read, or if content of a live version is missing or not whole. What was cut off is finished by the
        next call. Data that pointers lead to is never touched.

        Args:
            dry_run: delete and write nothing, and return a plan: what would be deleted, and why.
            plan: delete only what this plan lists and is still garbage: a plan, or a file that
                :meth:`CollectionPlan.save` wrote.
            grace: keep what nothing names for so long; it can be longer than the store's grace, not shorter.
            unsafe: collect also in a store whose grace is under 24 hours. Content can be lost there if a request takes
                effect late.
            executor: reads records and lists content in tasks of this executor, such as a ``ProcessPoolExecutor``, or
                one of :func:`~metamlflow.migration.dask_executor`. Each opens the store anew. What is deleted is
                deleted from this process. Default: threads here.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Returns:
            A report, or with ``dry_run`` a plan. A report is true in a condition if every deletion succeeded; the
            others are named in ``failed``.

        Raises:
            ConflictError: another collection is under way, or a deletion of an earlier one may still be applied; the
                hint says from when on to try again.
            StoreFormatError: the store holds something unknown, or a record that cannot be understood.
            IntegrityError: content of a live version is missing, or has another size.
            InvalidInputError: the grace is too short, or the plan is that of another store.
            UnsupportedStoreError: the storage does not tell when its objects were written.
        """
        from metamlflow.store.retain.collecting.collect import collect, plan_collection

        if not dry_run:
            return collect(self._store, plan, grace=grace, unsafe=unsafe, executor=executor, progress=progress)
        if plan is not None:
            raise InvalidInputError("give a plan or dry_run, not both", hint="A plan is the result of a dry run.")
        return plan_collection(self._store, grace=grace, unsafe=unsafe, executor=executor, progress=progress)

    def erase(self, ref: str, reason: str | None, *, lost: bool = False, dry_run: bool = False) -> ErasureReport:
        """Erase a version for good: its record with its paths and metadata, its notes and its signatures.

        The version must have been pruned longer ago than the store's grace. Its number is never used again, and its
        digest stays, so that the history of the name can still be checked. Its content is freed by the next
        :meth:`collect_garbage`, unless other versions share it. What was cut off is finished by the same call.

        Args:
            ref: a reference with a number, such as ``"features@2"``.
            reason: why: a text of at most 5,000 bytes. It is kept, so do not repeat in it what is to be erased.
            lost: give up a version that vanished, because something other than the library deleted its manifest. It
                stops every collection. The first call notes that it is given up; the same call erases it a grace later.
            dry_run: change nothing, and report what goes and what stays.

        Returns:
            A report of what goes and what stays: content that others share, records of runs, older versions that the
            bucket keeps, copies elsewhere. It is true in a condition if every deletion succeeded.

        Raises:
            ConflictError: the version is live, an alias names it, it is protected, or it was pruned too short ago; then
                the error says from when on it can be erased. With ``lost``: the version is there; or the next is not.
            ArtifactNotFoundError: the version does not exist, and with ``lost``, no later one shows that it did.
            StoreFormatError: the store holds something unknown.
            InvalidInputError: ``ref`` names no number, or ``reason`` is empty or too long.
        """
        from metamlflow.store.retain.erasing import erase

        return erase(self._store, Reference.parse(ref), checked_note(reason, "reason"), lost=lost, dry_run=dry_run)

    def doctor(self) -> Diagnosis:
        """Examine the store, its place and the local cache; every check runs, whatever the others find.

        Creates no store and writes nothing, except that it tries to create the marker of an existing store a second
        time. ``docs/doctor.md`` explains each check.
        """
        from metamlflow.store.doctor import Diagnosis, examine

        return Diagnosis(self.storage_uri, tuple(examine(self._store, self._session.cache)))

    def access_policy(self, role: Role) -> AccessPolicy:
        """Return the least access to the store that a role needs. Touches no network.

        Args:
            role: ``reader`` (gets and lists), ``writer`` (also creates, but never overwrites), ``pruner`` (gets, lists,
                and creates records that give versions up) or ``collector`` (gets, lists, and deletes).

        Raises:
            InvalidInputError: the role is unknown, or the store's backend offers no policy.
        """
        from metamlflow.store.doctor import access_policy

        return access_policy(self._store, role)

    def clear_cache(self) -> int:
        """Delete the local copies that no running process uses; return the number of bytes freed.

        The cache is shared: copies from other stores are deleted too. Each copy is made again when next requested.
        """
        return self._session.cache.clear()
