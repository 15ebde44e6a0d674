"""Artifacts: registered versions, as the client returns them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from metamlflow._artifact_documents import artifact_document
from metamlflow._looks import bytes_text, counted, minute_text, one_line, table_of
from metamlflow._session import Session, chained_url, compared_version, other_store
from metamlflow.errors import InvalidInputError, MetaMLFlowError, PointerPolicyError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.lineage import Lineage
from metamlflow.model.addresses import address_of
from metamlflow.model.findings import Finding, Level
from metamlflow.model.manifests import Entry, FileEntry, Input, Manifest
from metamlflow.model.metadata import decode
from metamlflow.model.notes import Notes
from metamlflow.model.pointers import STRENGTHS, Evidence, Pointed, Pointer, PointerEntry, Strength
from metamlflow.model.retention import Protection
from metamlflow.objects.saving import checked_format, load_object, noted
from metamlflow.objects.serializer import Trusted
from metamlflow.store.catalog.aliases import aliases_now
from metamlflow.store.catalog.entries import Entries, lone_entry, wanted_entry, wanted_path
from metamlflow.store.catalog.notes import notes_of
from metamlflow.store.catalog.protections import protections
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.current_run import Recorder, current_run, note_use
from metamlflow.store.lineage.walk import walk
from metamlflow.store.publish.derive import Changes, materialize, refresh, strengthen
from metamlflow.store.read.content import Content, content_of
from metamlflow.store.read.download import download_artifact, download_entry, local_folder
from metamlflow.store.read.local_copies import copy_of_file, copy_of_folder
from metamlflow.store.repair.report import RepairedObject, RepairReport
from metamlflow.store.transfer.progress import Progress, ProgressCallback
from metamlflow.store.verify.report import UnreadableVersion, Verification, VerifyReport
from metamlflow.store.verify.signatures import Signature, sign, signatures_of
from metamlflow.store.verify.verify import verify_each

if TYPE_CHECKING:
    from metamlflow.store.diff.report import ArtifactDiff

__all__ = [
    "Artifact",
    "Changes",
    "Entry",
    "Evidence",
    "Finding",
    "Input",
    "Pointed",
    "Pointer",
    "PointerEntry",
    "Progress",
    "ProgressCallback",
    "Refresh",
    "RepairReport",
    "RepairedObject",
    "Signature",
    "UnreadableVersion",
    "Verification",
    "VerifyReport",
]


class Artifact:
    """One version of a named artifact: immutable, whatever is registered under the name later.

    A client returns artifacts; do not call the constructor. Facts come from the manifest that was loaded with the
    artifact and cost no request; content is read from the store on demand, and verified. Thread-safe and picklable.
    """

    def __init__(self, session: Session, loaded: StoredManifest, *, aliases: tuple[str, ...] | None = None) -> None:
        self._session = session
        self._loaded = loaded
        self._aliases = aliases  # as a listing showed them
        self._run: Recorder | None = current_run(session.store)

    @property
    def _manifest(self) -> Manifest:
        return self._loaded.manifest

    @property
    def _store(self) -> Store:
        return self._session.store

    # --- facts --------------------------------------------------------------------------------------------------------

    @property
    def artifact_id(self) -> str:
        """A UUID, unique among all versions of all artifacts; a migrated copy keeps it."""
        return self._manifest.artifact_id

    @property
    def name(self) -> str:
        """The artifact's name, which all its versions share."""
        return str(self._manifest.name)

    @property
    def version(self) -> int:
        """The version number, counted from 1."""
        return self._manifest.version

    @property
    def artifact_type(self) -> str:
        """The type given at registration: ``file``, ``dataset``, ``model``, or any other label."""
        return self._manifest.artifact_type

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata given at registration; a fresh copy each time. See ``docs/metadata.md`` for the types."""
        return cast("dict[str, Any]", decode(self._manifest.metadata))

    @property
    def saved_as(self) -> str | None:
        """The format in which ``client.save`` saved an object, such as ``parquet/pandas``; None for other content."""
        return self._manifest.saved_as

    @property
    def created_at(self) -> datetime:
        """The time of registration, in UTC, by the clock of the machine that registered it."""
        return self._manifest.created_at

    @property
    def created_by(self) -> str:
        """The user who registered it."""
        return self._manifest.created_by

    @property
    def size(self) -> int:
        """The sum of the sizes of its files, in bytes."""
        return self._manifest.size

    @property
    def digest(self) -> str:
        """``sha256:<64 hex>`` over paths and content: equal for equal content, across names, versions and stores."""
        return self._manifest.digest

    @property
    def manifest_digest(self) -> str:
        """``sha256:<64 hex>`` over the manifest as stored: name, number, metadata and content."""
        return self._loaded.digest

    @property
    def schema(self) -> dict[str, Any] | None:
        """The Arrow schema of its first data file as JSON values, or None if none was captured; a fresh copy."""
        return None if self._manifest.schema is None else cast("dict[str, Any]", decode(self._manifest.schema))

    @cached_property
    def entries(self) -> Entries:
        """Its files in path order: sized, iterable, indexed by path. A long list is read lazily."""
        return Entries(self._store, self._manifest, located=True)

    @property
    def pointed(self) -> tuple[Pointed, ...]:
        """The places that it points to, as given at registration; empty if all content is stored."""
        return self._manifest.pointed

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The artifact versions that it was made from."""
        return self._loaded.manifest.inputs

    @property
    def run_id(self) -> str | None:
        """The id of the run that registered it, or None; ``client.get_run`` returns that run's record."""
        return self._loaded.manifest.run

    @property
    def storage_path(self) -> str:
        """A URL that fsspec-based tools open: that of the content of a one-file artifact, else that of the manifest.

        A single file, also as the only item of a mapping or list, is a one-file artifact; a folder is not, even if it
        holds one file. For a pointer it is the URI of the data. Reads through this URL bypass this library: the bytes
        are not verified, and for a pointer they need not be the registered version. A host name in a web address may
        resolve to any address.

        Raises:
            PointerPolicyError: the client's policy does not allow the data to be opened. ``pointed`` and ``entries``
                show its place without opening it.
        """
        place, is_outside = self._place()
        if is_outside:
            self._store.external.policy.check(place)
        return place

    def url(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return its address, ``metamlflow://name@version/path``, which fsspec opens as a file or a folder.

        The store's URL is chained (``::s3://bucket/ml``) unless ``METAMLFLOW_STORAGE_URI`` names the store. The store's
        options are not part of it. ``docs/howto/addresses.md`` says who opens it, and what is verified.

        Args:
            path: logical path of a file or folder in it. Default: all of it.

        Raises:
            ArtifactNotFoundError: it has nothing at ``path``.
            InvalidPathError: the path or the store's URL holds ``::``.
        """
        inner = wanted_path(self.entries, os.fspath(path or ""), self.name, self.version)
        return address_of(self._manifest.name, self.version, inner, chained_url(self._store))

    def _place(self) -> tuple[str, bool]:
        """Return the URL of the content, and whether it is outside of the store."""
        if len(self.pointed) == 1 and not self.pointed[0].path:
            return self._store.relocations.place(self.pointed[0].uri), True
        if self._manifest.kind == "file":
            content = self._content(None)
            return content.url(), content.entry.uri is not None
        return self._store.backend.url_of(manifest_key(self._manifest.name, self._manifest.version)), False

    # --- content ------------------------------------------------------------------------------------------------------

    def open(self, path: str | os.PathLike[str] | None = None) -> BinaryIO:
        """Return a seekable binary reader of a file that verifies the content.

        A local store verifies the whole file before it returns the first byte. From a bucket, a sequential read is
        verified while it streams, and raises before it returns the last bytes of damaged content: a reader that stops
        before the end has read unverified bytes. A seek (Parquet, zip) verifies the whole file first. For a pointer,
        each range is read from the pinned object version, or on condition that the object still is the registered one;
        only the requested ranges are transferred. A sequential read to the end is also compared with the evidence.

        Args:
            path: logical path of the file; optional for a one-file artifact.

        Raises:
            IntegrityError: while reading: the content is damaged or missing.
            PointerDriftError: while reading: the pointed data changed, or is gone.
            ArtifactNotFoundError: the artifact has no such file.
        """
        self._used()
        return cast("BinaryIO", self._content(path).open())

    def read_bytes(self, path: str | os.PathLike[str] | None = None) -> bytes:
        """Return the whole content of a file, verified. Arguments and errors as for :meth:`open`."""
        self._used()
        return bytes(self._content(path).read())

    def load(self, *, trusted: Trusted = False, format: str | None = None) -> Any:  # noqa: A002 (as in client.save)
        """Return the object that ``client.save`` saved, of the same type and value. ``docs/howto/save-and-load.md``.

        The content is verified before anything of it is read. Nothing that can run code is loaded unless you trust it:
        the store may be anybody's, and it says itself in which format it is.

        Args:
            trusted: ``True`` if you trust everybody who may write to the store: then pickles are loaded, which run
                their code. For scikit-learn also the names of the types that you trust. ``False``: nothing.
            format: the format of a file that was not saved by ``client.save``, such as ``json`` or ``npy``.

        Raises:
            UntrustedContentError: loading it may run code, and you did not say that you trust it.
            InvalidInputError: no format is recorded, or the content does not have the format. Code of a pickle raises
                its own errors.
            IntegrityError: the content is damaged or missing.
            MissingDependencyError: a package is needed for the format.
        """
        reference = f"{self.name}@{self.version}"
        meant = checked_format(reference, self.saved_as if format is None else format, trusted)
        with noted(f"while loading {reference} as {meant!r:.80}"):
            return load_object(reference, self.local_path(self._entry(None).path), meant, trusted)

    def local_path(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Return a local, read-only copy of a file or of the whole folder: verified, cached, shared by processes.

        The copy stays as long as this process lives; after that the cache may evict it. ``docs/cache.md`` explains the
        place and size of the cache.

        Args:
            path: logical path of a file. Default: the file of a one-file artifact, or else a folder with all files.

        Raises:
            IntegrityError: the content is damaged or missing.
        """
        self._used()
        if path is None and self._manifest.kind == "folder":
            return copy_of_folder(self._store, self._session.cache, self._loaded)
        return copy_of_file(self._store, self._session.cache, self._loaded, self._entry(path))

    def download(
        self,
        destination: str | os.PathLike[str],
        *,
        path: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Download the content to a folder; return the file's path if it is one file, else the folder's.

        Nothing appears at the destination before all content is fetched and verified. A failure, including a Ctrl-C,
        leaves the destination as it was, with one exception: files that ``overwrite`` replaced before a failure in the
        last step, the renaming, stay replaced.

        Args:
            destination: a folder, created if missing. Files get their logical paths below it.
            path: download only the file at this logical path.
            overwrite: replace existing files.
            progress: called with a :class:`Progress` as files and bytes arrive.

        Raises:
            DestinationExistsError: a file exists already, and ``overwrite`` is off.
            IntegrityError: the content is damaged or missing.
            InvalidPathError: the destination's disk cannot distinguish some of the paths.
        """
        self._used()
        folder = local_folder(destination)
        if path is None:
            return download_artifact(self._store, self._manifest, folder, overwrite=overwrite, progress=progress)
        entry = self._entry(path)
        return download_entry(self._store, self._manifest, entry, folder, overwrite=overwrite, progress=progress)

    def verify(
        self,
        level: Level = "full",
        *,
        lineage: bool = False,
        objects_per_second: float | None = None,
        bytes_per_second: float | None = None,
        resume: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        progress: ProgressCallback | None = None,
    ) -> VerifyReport:
        """Verify that the version is in the store as it was registered; continue after every finding.

        Args:
            level: ``full`` reads every byte; ``checksum`` compares the digests that the storage holds, if any; ``stat``
                checks presence and size, and for pointers also version, ETag or time. ``stat`` of a prefix costs a
                listing.
            lineage: verify also the manifests of all versions that this one was made from: compare each with the digest
                that was recorded when it was used.
            objects_per_second: check or read at most this many objects per second; with an executor, in each of its
                processes. None: no limit.
            bytes_per_second: read at most this many bytes per second, likewise. None: no limit.
            resume: a file that records finished work, so that an interrupted verification continues from there;
                removed at the end.
            executor: an executor of ``concurrent.futures``, or Dask's, that runs parts of the work. The store's
                options, including credentials, are sent to its processes.
            progress: called with a :class:`Progress` as files and bytes are checked.

        Returns:
            A report that names every finding, and is true in a condition if there is none.
        """
        (report,) = verify_each(
            self._store,
            [self._loaded],
            level,
            lineage=lineage,
            objects_per_second=objects_per_second,
            bytes_per_second=bytes_per_second,
            resume=resume,
            executor=executor,
            progress=progress,
        )
        return cast("VerifyReport", report)

    # --- origin -------------------------------------------------------------------------------------------------------

    def upstream(self, depth: int | None = None) -> Lineage:
        """Return the graph of all versions that it was made from. Costs a read for each version."""
        return Lineage(self._session.store, walk(self._session.store, self._loaded, "upstream", depth))

    def downstream(self, depth: int | None = None) -> Lineage:
        """Return the graph of all versions made from it. Costs a listing, and a read for each consumer."""
        return Lineage(self._session.store, walk(self._session.store, self._loaded, "downstream", depth))

    def sign(self, private_key: Any) -> Signature:
        """Sign the version's manifest; return the signature. Signing again with the same key changes nothing.

        The key is an ed25519 key: the path of a PEM file without a password, PEM in bytes, or a key of
        ``cryptography``.
        """
        return sign(self._session.store, self._loaded, private_key)

    @property
    def signatures(self) -> list[Signature]:
        """The valid signatures of its manifest, by any key: compare the keys with those you trust."""
        return signatures_of(self._session.store, self._loaded)

    @property
    def notes(self) -> Notes:
        """The notes on this version as they are now. Costs a listing and a read each time. See ``client.annotate``.

        They are no part of the version, and no digest or signature covers them.
        """
        return notes_of(self._store, self._manifest.name, self.version)

    @property
    def protections(self) -> list[Protection]:
        """The protections of this version in force now. Costs a listing, and a read of each. See ``client.protect``."""
        self._store.check_features()
        return protections(self._store, self._manifest.name, self.version)

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases that stand for this version now, sorted.

        Costs a listing, and a read for each alias of the name, each time; nothing if the artifact comes from
        ``client.list_artifacts(include_aliases=True)``, which looked them up. An alias with a damaged record is left
        out with a ``DamagedRecordWarning``.
        """
        if self._aliases is not None:
            return self._aliases
        return aliases_now(self._store, self._manifest.name, self.version)

    def diff(
        self, other: Any, *, store: Any = None, rows: bool = False, keys: str | Iterable[str] = ()
    ) -> ArtifactDiff:
        """Return the differences from this version to another one. Arguments and errors as for ``client.diff``.

        Args:
            other: the version to compare with: an artifact (of any store), a dataset, an input, or a reference.
            store: the store that ``other`` is in, if it is another one: a URI, a path, or a client if it takes options.
            rows: count the rows that differ, too.
            keys: the names of key columns; implies ``rows``.
        """
        from metamlflow.store.diff.compare import diff_versions

        place = self._store if store is None else other_store(store, None)
        return diff_versions((self._store, self._loaded), compared_version(place, other), rows=rows, keys=keys)

    # --- pointers -----------------------------------------------------------------------------------------------------

    def strengthen(self, evidence: Strength = "full", *, progress: ProgressCallback | None = None) -> Artifact:
        """Publish the next version with at least this evidence for every pointer; return it.

        Returns this version if it has that evidence already.

        Args:
            evidence: ``full`` reads every byte; ``checksum`` asks the servers for the digests that they hold.
            progress: called with a :class:`Progress` as files and bytes are done.

        Raises:
            PointerDriftError: the data changed since this version was registered.
            EvidenceUnavailableError: a server holds no digest.
            ConflictError: this is not the newest version of its name.
        """
        if evidence not in STRENGTHS:
            raise InvalidInputError(f"evidence is {', '.join(STRENGTHS)}, not {evidence!r:.80}")
        return self._next(strengthen(self._store, self._loaded, evidence, progress))

    def materialize(self, *, progress: ProgressCallback | None = None) -> Artifact:
        """Publish the next version with all pointed data copied into the store; return it.

        Returns this version if all content is stored already. The bytes are compared with the registered evidence
        while they are copied.

        Raises:
            PointerDriftError: the data changed since this version was registered.
            ConflictError: this is not the newest version of its name.
        """
        return self._next(materialize(self._store, self._loaded, progress))

    def refresh(self, *, progress: ProgressCallback | None = None) -> Refresh:
        """Check the pointed data again, and publish the next version only if something changed there.

        Returns:
            The added, removed and modified paths, and the version that has them; this version if nothing changed.

        Raises:
            SourceNotFoundError: a place that it points to is empty or gone.
            ConflictError: this is not the newest version of its name, and something changed.
        """
        loaded, changes = refresh(self._store, self._loaded, progress)
        return Refresh(self._next(loaded), changes)

    def _next(self, loaded: StoredManifest) -> Artifact:
        return self if loaded is self._loaded else Artifact(self._session, loaded)

    def _used(self) -> None:
        """Record the use of its bytes in the run that it was loaded in and in the current run."""
        note_use(self._store, self._run, self._loaded)

    def _content(self, path: str | os.PathLike[str] | None) -> Content[Any]:
        return content_of(self._store, self._manifest, self._entry(path))

    def _entry(self, path: str | os.PathLike[str] | None) -> FileEntry:
        if path is None:
            return lone_entry(self.entries, self._manifest, self._files())
        return wanted_entry(self.entries, os.fspath(path), self.name, self.version)

    # --- identity and looks -------------------------------------------------------------------------------------------

    def to_json(self, entries: int | None = 0) -> dict[str, Any]:
        """Return its facts as JSON values. Metadata is as stored: NaN, which JSON lacks, is ``{"$float": "NaN"}``.

        Args:
            entries: how many of its files to list; None lists all, 0 leaves the field out.
        """
        try:
            path = self.storage_path
        except PointerPolicyError:  # showing the facts opens nothing
            path = None
        return artifact_document(self._loaded, self.entries, path, entries)

    def __getstate__(self) -> tuple[Session, StoredManifest]:
        return self._session, self._loaded

    def __setstate__(self, state: tuple[Session, StoredManifest]) -> None:
        self._session, self._loaded = state
        self._run = self._aliases = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Artifact):
            return NotImplemented
        return (self._store.url, self._loaded.data) == (other._store.url, other._loaded.data)

    def __hash__(self) -> int:
        return hash((self._store.url, self.name, self.version))

    def __repr__(self) -> str:
        return (
            f"<Artifact {self.name}@{self.version}: {self.artifact_type}, {self._extent()}, "
            f"{minute_text(self.created_at)} by {one_line(self.created_by, 30)}>"
        )

    def _shown_place(self) -> str:
        try:
            return self._place()[0]
        except MetaMLFlowError:  # a damaged relocation in the store must not make repr() fail
            return "unknown"

    def _extent(self) -> str:
        return f"{self._files()}, {bytes_text(self.size)}"

    def _files(self) -> str:
        return ("" if self._manifest.kind == "file" else "folder of ") + counted(len(self.entries), "file")

    def _repr_html_(self) -> str:
        facts = {
            "type": self.artifact_type,
            "content": self._extent(),
            "digest": self.digest,
            "created": f"{self.created_at:%Y-%m-%d %H:%M:%S} UTC by {self.created_by}",
            "stored": self._shown_place(),
            **{f"metadata.{name}": value for name, value in self.metadata.items()},
        }
        return table_of(f"{self.name}@{self.version}", facts)


@dataclass(frozen=True, slots=True)
class Refresh:
    """The result of :meth:`Artifact.refresh`. True in a condition if something had changed.

    Attributes:
        artifact: the version that describes the data as it is now.
        changes: the paths added, removed and modified since the refreshed version.
    """

    artifact: Artifact
    changes: Changes

    def __repr__(self) -> str:
        return f"<Refresh of {self.artifact.name}, now @{self.artifact.version}: {repr(self.changes)[10:-1]}>"

    def _repr_html_(self) -> str:
        return self.changes._repr_html_()

    def __bool__(self) -> bool:
        """Whether something had changed, so that a version was published."""
        return bool(self.changes)
