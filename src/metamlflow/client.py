"""The client: where a session with a store begins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from metamlflow._arguments import blamed_on
from metamlflow._session import (
    EVENTS_VARIABLE,
    Session,
    bytes_of,
    check_grace,
    checked_key,
    checked_type,
    opened_store,
    source_store,
)
from metamlflow.artifacts import Artifact, Input, UnreadableVersion, Verification, VerifyReport
from metamlflow.errors import InvalidInputError
from metamlflow.given_versions import Inputs, Version, damaged_version, given_inputs, meant_reference, used_version
from metamlflow.lineage import Lineage
from metamlflow.model.findings import Level
from metamlflow.model.metadata import encode_mapping
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.pointers import Pointer, Strength
from metamlflow.model.runs import RunRecord
from metamlflow.openlineage import check_address
from metamlflow.runs import Run, joined, recorded_run
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.aliases import aliases_of, set_alias
from metamlflow.store.catalog.history import History, history_of
from metamlflow.store.catalog.listing import latest_of_each, versions_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, list_names, load_reference
from metamlflow.store.ingest.from_value import source_of
from metamlflow.store.lineage.current_run import current_run, recorded_in
from metamlflow.store.lineage.inputs import checked_used, load_used, resolved_inputs
from metamlflow.store.lineage.stale_metadata import OnStale
from metamlflow.store.lineage.walk import DIRECTIONS, Direction, walk
from metamlflow.store.pointers.registering import pointer_source
from metamlflow.store.publish.blobs import RELIANCES, Reliance
from metamlflow.store.publish.publish import PublishRequest, publish
from metamlflow.store.transfer.progress import ProgressCallback
from metamlflow.store.verify.selection import every_version, wanted_versions
from metamlflow.store.verify.signatures import public_keys
from metamlflow.store.verify.signatures import require_signature as check_signature
from metamlflow.store.verify.verify import verify_each

if TYPE_CHECKING:
    from metamlflow.backend.diagnosis import AccessPolicy, Role
    from metamlflow.store.doctor import Diagnosis
    from metamlflow.store.repair.report import RepairReport

__all__ = ["MetaMLFlowClient"]


class MetaMLFlowClient:
    """A store of artifacts, kept in nothing but a folder or a bucket.

    Making a client touches no network and creates nothing; the first registration creates the store. Thread-safe and
    picklable (credentials given in ``storage_options`` travel along), and rebuilt in a forked child.

    Args:
        storage_uri: ``/abs/dir``, ``file://./store``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, or the scheme of
            any installed backend. A relative path is resolved now, once. Default: ``METAMLFLOW_STORAGE_URI``.
        storage_options: options of the storage as its fsspec file system takes them. Default:
            ``METAMLFLOW_STORAGE_OPTIONS``, a JSON object; a local store takes none.
        source_options: options, credentials among them, of data outside of the store that is pointed to or registered
            by its URL: by scheme (``s3``) or by the beginning of a URI (``s3://partner-data/``), of which the longest
            that fits holds. Never stored. Default: ``METAMLFLOW_SOURCE_OPTIONS``, a JSON object; without any, the
            store's own hold for its scheme. Credentials of the web are given for a host, not for ``https``.
        pointer_policy: which places are opened because a pointer leads there: ``*``, a scheme, or the beginning of a
            URI, to ``allow`` or ``refuse``; the longest that covers a URI decides. Default:
            ``METAMLFLOW_POINTER_POLICY``, a JSON object. Where nothing is given: buckets, public web addresses, and
            files of this machine if the store is local.
        cache_dir: where :meth:`Artifact.local_path` keeps copies; default ``METAMLFLOW_CACHE_DIR`` or the user's cache.
        cache_size: how large that may grow, in bytes or as a text such as ``10GB``; default ``METAMLFLOW_CACHE_SIZE``
            or 10 GiB.
        stale_metadata: what to do when a new version seems to carry the metadata of the one before: ``warn``,
            ``ignore`` or ``error``; see ``docs/lineage.md``.
        openlineage: a file or the URL of an endpoint to which each run sends OpenLineage events; default
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
        """Return a client on a store that was made otherwise; for metamlflow.testing."""
        client = cls.__new__(cls)
        client._session, client._on_stale = Session(store, FileCache()), "warn"  # noqa: SLF001 (its own constructor)
        return client

    @property
    def storage_uri(self) -> str:
        """Where the store is, as a URL."""
        return self._store.url

    @property
    def _store(self) -> Store:
        return self._session.store

    def __repr__(self) -> str:
        return f"<MetaMLFlowClient {self.storage_uri}>"

    # --- writing ------------------------------------------------------------------------------------------------------

    def create_store(self, *, grace: timedelta | None = None) -> None:
        """Create the store now rather than with the first registration. If it exists, nothing happens.

        Args:
            grace: how long bytes that nothing names are kept before they may be collected; a constant of the store,
                by default 7 days. A publish that takes more than three eighths of it checks its blobs again.

        Raises:
            StoreFormatError: the place holds something that is no store.
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

        The version exists, whole and for good, when this returns; until then nobody sees any of it. However many
        processes register under one name at once, each gets a number of its own: 1, 2, 3, …

        Args:
            name: such as ``fraud/features``.
            path: what to store: a file, a folder, an fsspec URL, bytes, a file object (whole, wherever it stands),
                a list of paths (stored under their names), or a mapping of logical path to any of these or to a
                :class:`~metamlflow.artifacts.Pointer`, which stays where it is. One file in either is that file.
            artifact_type: a label: ``file``, ``dataset``, ``model``, or your own.
            metadata: JSON-like values, copied at once. ``docs/metadata.md`` lists what else is taken, and how. A pair
                ``<role>_artifact_name`` and ``<role>_version`` becomes an input with that role.
            inputs: what it was made from: artifacts, datasets, inputs of other artifacts and references such as
                ``"features@2"``: one, several, or by role in a mapping. What the run under way has used is added.
            if_unchanged: ``"reuse"`` returns the newest version if content, type and metadata are the same.
            idempotency_key: any text that names this registration, such as a job's id. The first registration under a
                key wins: a retry returns the same version, and its content is looked at only with ``prove``.
            prove: how hard to look at content that is in the store already and relied on: ``stat`` (its size),
                ``checksum`` (also the digest that the storage holds, where it holds one) or ``full`` (every byte); a
                request or more for each such blob. What is missing or damaged is put back, for older versions too.
                Default: on a disk ``stat``; in a bucket one listing, which shows the sizes of up to 999 blobs.
            progress: called with a :class:`~metamlflow.artifacts.Progress` as files and bytes are done.

        Raises:
            InvalidNameError, InvalidPathError, InvalidMetadataError, UnsupportedSourceError: an argument cannot be
                accepted; nothing was written.
            SourceNotFoundError: there is nothing at ``path``.
            SourceChangedError: a file changed while it was read; nothing was registered.
            StoreFormatError: the place holds something that is no store, or a newer one.
            OutcomeUnknownError: the storage did not tell whether the version was committed.
            StorageError: the storage failed; nothing was registered, and a retry finishes the work.
        """
        parsed = ArtifactName.parse(name)
        given = given_inputs(inputs, self._store)
        if if_unchanged not in {"new_version", "reuse"}:
            raise InvalidInputError(f"if_unchanged is 'new_version' or 'reuse', not {if_unchanged!r:.80}")
        if prove is not None and prove not in RELIANCES:
            raise InvalidInputError(f"unknown proof {prove!r:.80}: use {', '.join(map(repr, RELIANCES))} or None")
        # Before anything is read: a dict that the caller goes on changing must not change what is registered.
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

        It reads, downloads, verifies and versions like any other. Where the bucket keeps versions, reads go to the
        version that was registered; elsewhere each is on condition that the object is the one that was registered, and
        raises ``PointerDriftError`` if it is not. ``docs/pointers.md`` tells what each evidence costs and detects.

        Args:
            name: such as ``lake/events``.
            uri: an object, a prefix (all below it; ends in ``/``) or a glob, on S3, GCS, this machine, the web, or any
                other place that fsspec opens. ``source_options`` of the client hold its credentials.
            artifact_type: a label.
            metadata: JSON-like values, as for :meth:`register_artifact`.
            evidence: ``stat`` (size, and ETag or time), ``checksum`` (a digest that the server holds) or ``full``
                (every byte is read and hashed). Default: of an object ``checksum`` where the server holds a digest,
                else ``stat``; of a prefix or glob what its listing gives.
            expected: of one object: its digest as you know it, such as ``sha256:<64 hex>``, compared now.
            inputs: as for :meth:`register_artifact`.
            if_unchanged: as there.
            idempotency_key: as there.
            progress: as there.

        Raises:
            SourceNotFoundError: there is nothing at ``uri``.
            InvalidInputError: ``uri`` is malformed, or carries user info or a signed query string.
            InvalidPathError: names of objects cannot be logical paths; all are named, and nothing was written.
            EvidenceUnavailableError: the evidence is not to be had without reading; the error names the next choice.
            IntegrityError: the data is not what was ``expected``.
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

    def set_alias(self, name: str, alias: str, version: int | str | None) -> None:
        """Make ``alias`` stand for a version of ``name``: ``get_artifact(name, alias)`` returns that one from now on.

        Args:
            name: the artifact's name.
            alias: one segment of letters, digits, ``.``, ``_`` and ``-``, such as ``production``.
            version: a number, ``"latest"`` (as it is now) or another alias; None removes the alias.

        Raises:
            ArtifactNotFoundError: there is no such version.
            InvalidNameError: the alias is not well formed.
        """
        set_alias(
            self._store, Reference.parse(name, alias), None if version is None else Reference.parse(name, version)
        )

    def relocate(self, old: str, new: str, *, progress: ProgressCallback | None = None) -> int:
        """Record that data which artifacts only point to has moved: what led below ``old`` leads below ``new`` now.

        Copy the data first, by whatever means. Every byte at the new place is read and compared with what was
        registered; only then is the relocation recorded. Manifests stay as they are, and pinned versions of objects
        no longer count: the digest does.

        Args:
            old: the URI of an object, or of a folder or prefix, where artifacts point to now.
            new: where it is.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Returns:
            How many files were found at the new place.

        Raises:
            EvidenceUnavailableError: some were registered without a digest of their content: strengthen them first.
            PointerDriftError: what lies at the new place is not what was registered. Nothing was recorded.
            ConflictError: versions of one object are pinned that have different contents.
            InvalidInputError: no artifact points below ``old``, or a URI is not well formed.
        """
        from metamlflow.store.pointers.relocating import relocate

        return relocate(self._store, old, new, progress)

    # --- reading ------------------------------------------------------------------------------------------------------

    def get_artifact(
        self, name: str | Input, version: int | str = "latest", *, require_signature: Any = None
    ) -> Artifact:
        """Return one version.

        Args:
            name: the name, name and version in one (``"features@2"``), or one of ``artifact.inputs``.
            version: a number, ``"latest"`` (the highest whose bytes are there), or an alias.
            require_signature: an ed25519 public key, or several, of which one must have signed the version: the path of
                a PEM file, PEM in bytes, 32 raw bytes, or a key of ``cryptography``. Of what it points to, relocations
                then move only what was registered with a SHA-256.

        Raises:
            SignatureError: none of them has.
            ArtifactNotFoundError: no such name or version; the error says which there are.
            ArtifactPrunedError: the version's bytes were given up.
            StoreNotFoundError: there is no store.
        """
        store, reference = self._store, meant_reference(name, version)
        with blamed_on("require_signature"):
            keys = None if require_signature is None else public_keys(require_signature)
        if store.is_open:
            loaded = load_reference(store, reference)
        else:
            loaded = store.meanwhile(lambda: load_reference(store, reference), store.marker)
        if isinstance(name, Input):
            checked_used(store, loaded, name)
        if keys is None:
            return Artifact(self._session, loaded)
        check_signature(store, loaded, keys)
        return Artifact(replace(self._session, store=store.for_signed()), loaded)

    def list_artifacts(self, name: str | None = None, *, artifact_type: str | None = None) -> list[Artifact]:
        """Return the latest version of each name, in the order of the names; or all versions of one name, ascending.

        Versions whose bytes were given up are left out; one whose record is damaged is left out with a
        :class:`DamagedRecordWarning`.

        Args:
            name: list the versions of this name.
            artifact_type: only artifacts of this type.

        Raises:
            ArtifactNotFoundError: there is no such name.
            StoreNotFoundError: there is no store.
        """
        parsed = None if name is None else ArtifactName.parse(name)
        self._store.marker()
        found = latest_of_each(self._store) if parsed is None else versions_of(self._store, parsed)
        return [
            Artifact(self._session, loaded)
            for loaded in found
            if artifact_type is None or loaded.manifest.artifact_type == artifact_type
        ]

    def list_names(self) -> list[str]:
        """Return every name, sorted; one listing. A name may have no version yet.

        Raises:
            StoreNotFoundError: there is no store.
        """
        self._store.marker()
        return sorted(map(str, list_names(self._store)))

    def list_versions(self, name: str) -> list[int]:
        """Return the numbers of the versions of a name whose bytes are there, ascending; one listing.

        Raises:
            ArtifactNotFoundError: there is no such name.
            StoreNotFoundError: there is no store.
        """
        self._store.marker()
        statuses = known_versions(self._store, ArtifactName.parse(name))
        return [status.version for status in statuses if status.available]

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a name with the versions that they stand for; empty if it has none.

        A listing, and a read of each alias.

        Raises:
            ArtifactNotFoundError: there is no such name.
            StoreNotFoundError: there is no store.
        """
        self._store.marker()
        parsed = ArtifactName.parse(name)
        found = aliases_of(self._store, parsed)
        if not found:
            known_versions(self._store, parsed)  # or a mistyped name would pass as one without aliases
        return dict(sorted(found.items()))

    # --- where things come from ---------------------------------------------------------------------------------------

    def run(self, name: str, params: Mapping[str, Any] | None = None, *, capture_user: bool = True) -> Run:
        """Return a run: ``with client.run("train", params={…}) as run:``, or a decorator, each call a run of its own.

        Inside, artifacts whose bytes are used become inputs, and those that are registered name all that was used. What
        is captured of code and machine is listed in ``docs/lineage.md``; no environment variable is.

        Args:
            name: what is run, such as ``train``.
            params: JSON-like values.
            capture_user: whether user and host are recorded.
        """
        return Run(self._session, name, params, capture_user=capture_user)

    def join_run(self, token: str) -> AbstractContextManager[None]:
        """Return a context in which this process belongs to a run of another one: that with this :attr:`Run.token`."""
        return recorded_in(joined(self._session, token))

    def get_run(self, run_id: str) -> RunRecord:
        """Return what is recorded of a run: its beginning, what it used, and its end, which an unfinished one has not.

        Parameters and metrics come back as metadata do: ``docs/metadata.md`` tells what comes back how.

        Args:
            run_id: as :attr:`Run.id` gives it; a version's is in ``artifact.run_id``.

        Raises:
            RunNotFoundError: there is no such run.
        """
        self._store.marker()
        return recorded_run(self._store, run_id)

    def lineage(self, ref: Version, direction: Direction = "both", depth: int | None = None) -> Lineage:
        """Return what a version was made from and what was made from it, as a graph.

        Upstream it costs a read for each version; downstream a listing and a read for each consumer.

        Args:
            ref: an artifact, a dataset, an input of another artifact, or a reference such as ``"model@3"``.
            direction: ``upstream``, ``downstream`` or ``both``.
            depth: how many steps; None walks to the ends.

        Raises:
            ArtifactNotFoundError: there is no such version.
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
        """Return all versions of a name, those that were pruned included, and whether each follows the one before.

        Every manifest is read, and its digest compared with what the next one recorded. Nothing is recorded yet of the
        newest, so what was done to it alone is not seen.

        Raises:
            ArtifactNotFoundError: there is no such name.
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
        """Verify as :meth:`verify_all` does; yield the report of each version when it is done.

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
        """Check that versions are there as they were registered, and that none of a name's is missing.

        Goes on after a finding, whatever it is.

        Args:
            names: each means all versions of that name; a reference such as ``features@2`` that version alone. Default:
                every version of every name.
            level: as for :meth:`Artifact.verify`, which explains the rest as well.
            lineage: prove also what each was made from; likewise.
            objects_per_second: look at or read at most this many objects a second; None: no limit.
            bytes_per_second: read at most this many bytes a second; None: no limit.
            resume: a file that keeps what is done, so that what was stopped goes on from there.
            executor: that parts of the work are given to.
            progress: called with a :class:`~metamlflow.artifacts.Progress` of the version that is being checked.

        Raises:
            ArtifactNotFoundError: one of ``names`` does not exist; nothing was checked.
            StoreNotFoundError: there is no store.
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
        """Put back what a full verification of a version finds missing or modified, under the very key.

        Every version that shares an object is healed with it. Only bytes with the digest in the object's name are
        written, and they are read back; what is good already is left alone. So repairing twice, or twice at once, does
        no harm, and a repair that was killed leaves each object as it was or whole. What is only pointed to is not
        repaired.

        A damaged list of files, or manifest, is put back from another store that has it. Which manifest is the right
        one is known from the next version, or from an artifact that was loaded before the damage.

        Args:
            ref: a reference such as ``"features@2"``, an artifact, a dataset, or an input of another artifact.
            source: that has good bytes: a file, a folder with the files under their logical paths (such as an earlier
                download), the URL of another store, or a client on one.
            source_options: fsspec options of the source, if it is a store that is given by its URL.
            progress: called with a :class:`~metamlflow.artifacts.Progress`.

        Returns:
            What was put back and what is still damaged, each with path, key and reason. True in a condition if nothing
            is damaged any more.

        Raises:
            SourceNotFoundError: there is nothing at ``source``, or it has no good copy of the version's manifest.
            ArtifactNotFoundError: there is no such version.
            ArtifactPrunedError: the version's bytes were given up.
            InvalidInputError: ``source`` is the store itself.
            AccessDeniedError: the manifest may not be overwritten. (Of other objects that is told in the report.)
        """
        from metamlflow.store.repair.donors import donor_of
        from metamlflow.store.repair.repair import repair_version

        if isinstance(source, MetaMLFlowClient):
            if source_options:
                raise InvalidInputError(
                    "options were given for a client, which has its own", hint="Give them when you make the client."
                )
            source = source._store  # noqa: SLF001 (its own kind)
        donor = donor_of(source, self._store, partial(source_store, options=source_options))
        return repair_version(self._store, damaged_version(ref), donor, progress)

    def doctor(self) -> Diagnosis:
        """Examine the store, the place where it is, and the local cache; every check is made, whatever others find.

        Creates no store and writes nothing, but that it tries to create the marker of an existing store a second time.
        ``docs/doctor.md`` explains each check.
        """
        from metamlflow.store.doctor import Diagnosis, examine

        return Diagnosis(self.storage_uri, tuple(examine(self._store, self._session.cache)))

    def access_policy(self, role: Role) -> AccessPolicy:
        """Return the least access that a role needs for the store. Touches no network.

        Args:
            role: ``reader`` (gets and lists), ``writer`` (also creates, and overwrites nothing) or ``collector`` (also
                deletes).

        Raises:
            InvalidInputError: no such role, or the backend of the store has no policy to offer.
        """
        from metamlflow.store.doctor import access_policy

        return access_policy(self._store, role)

    def clear_cache(self) -> int:
        """Delete the local copies that no living process was handed; return how many bytes that freed.

        The cache is shared: copies of other stores go too. Each is made again when it is next asked for.
        """
        return self._session.cache.clear()
