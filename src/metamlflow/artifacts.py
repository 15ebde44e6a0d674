"""Artifacts: registered versions as users hold them in their hands."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from metamlflow._looks import bytes_text, counted, minute_text, one_line, table_of, utc_text
from metamlflow._session import Session
from metamlflow.errors import InvalidInputError, MetaMLFlowError, PointerPolicyError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.lineage import Lineage
from metamlflow.model.findings import Finding, Level
from metamlflow.model.manifests import Entry, FileEntry, Input, Manifest
from metamlflow.model.metadata import decode, encode_mapping
from metamlflow.model.pointers import STRENGTHS, Evidence, Pointed, Pointer, PointerEntry, Strength
from metamlflow.store.catalog.entries import Entries, wanted_entry
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.current_run import Recorder, current_run
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
    """One version of a named artifact: immutable, whatever happens to the name later.

    Comes from a client, never from its constructor. Facts are read from the manifest that the artifact was loaded with
    and cost nothing; content is read from the store when it is asked for, and verified. Thread-safe and picklable.
    """

    def __init__(self, session: Session, loaded: StoredManifest) -> None:
        self._session = session
        self._loaded = loaded
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
        """A UUID that no other version of any artifact has, and that a migrated copy keeps."""
        return self._manifest.artifact_id

    @property
    def name(self) -> str:
        """The name that all versions share."""
        return str(self._manifest.name)

    @property
    def version(self) -> int:
        """The version number, counted from 1."""
        return self._manifest.version

    @property
    def artifact_type(self) -> str:
        """What the registrant called it: ``file``, ``dataset``, ``model``, or any other label."""
        return self._manifest.artifact_type

    @property
    def metadata(self) -> dict[str, Any]:
        """What was given at registration; a fresh copy each time. ``docs/metadata.md`` tells what comes back how."""
        return cast("dict[str, Any]", decode(self._manifest.metadata))

    @property
    def created_at(self) -> datetime:
        """When it was registered, in UTC, by the clock of the machine that did."""
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
        """The Arrow schema of its (first) data file as JSON values, where one was captured; a fresh copy."""
        return None if self._manifest.schema is None else cast("dict[str, Any]", decode(self._manifest.schema))

    @cached_property
    def entries(self) -> Entries:
        """Its files in path order: sized, iterable, and looked up by path. Read lazily where there are many."""
        return Entries(self._store, self._manifest)

    @property
    def pointed(self) -> tuple[Pointed, ...]:
        """The places that it points to, as they were given at registration; empty if all of it is stored."""
        return self._manifest.pointed

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The artifact versions that it was made from."""
        return self._loaded.manifest.inputs

    @property
    def run_id(self) -> str | None:
        """The run that it was registered in, if there was one: ``client.get_run`` tells of it."""
        return self._loaded.manifest.run

    @property
    def storage_path(self) -> str:
        """A URL that fsspec-based tools open: of the content of a one-file artifact, else of the manifest.

        A file, also in a mapping or a list of its own, is a one-file artifact; a folder is not, even if it holds one
        file. Of a pointer it is the URI of the data. What is read through it does not pass through this library: it is
        not verified, and of a pointer not the version that was registered. A name in a web address may lead anywhere.

        Raises:
            PointerPolicyError: the client's policy does not let the data be opened. ``pointed`` and ``entries`` tell
                where it is, for whoever only looks.
        """
        place, is_outside = self._place()
        if is_outside:
            self._store.external.policy.check(place)
        return place

    def _place(self) -> tuple[str, bool]:
        """Return where it is, and whether that is outside of the store."""
        if len(self.pointed) == 1 and not self.pointed[0].path:
            return self._store.relocations.place(self.pointed[0].uri), True
        if self._manifest.kind == "file":
            content = self._content(None)
            return content.url(), content.entry.uri is not None
        return self._store.backend.url_of(manifest_key(self._manifest.name, self._manifest.version)), False

    # --- content ------------------------------------------------------------------------------------------------------

    def open(self, path: str | os.PathLike[str] | None = None) -> BinaryIO:
        """Return a seekable binary reader of a file, whose content is verified.

        In a local store all of it is verified before the first byte is returned. From a bucket, a read from start to
        end verifies as it goes and raises before it returns the last bytes of damaged content (so what was read before
        that, or by a reader that stops early, is not verified yet); a jump (Parquet, zip) verifies all of it first.
        Of a pointer each range is read from the pinned version, or on condition that the object is what was registered,
        and nothing else is moved; read from start to end it is compared with its evidence besides.

        Args:
            path: logical path of the file; may be left out of a one-file artifact.

        Raises:
            IntegrityError: while reading: the content is damaged or missing.
            PointerDriftError: while reading: what it points to is another now, or gone.
            ArtifactNotFoundError: there is no such file in the artifact.
        """
        self._used()
        return cast("BinaryIO", self._content(path).open())

    def read_bytes(self, path: str | os.PathLike[str] | None = None) -> bytes:
        """Return the whole content of a file, verified. Arguments and errors as for :meth:`open`."""
        self._used()
        return bytes(self._content(path).read())

    def local_path(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Return a local, read-only copy of a file, or of the whole folder: verified, cached, shared by processes.

        The copy stays as long as this process lives; after that it may make room for others. ``docs/cache.md`` tells
        where it lies and how large the cache may grow.

        Args:
            path: logical path of a file; left out, the one file of a one-file artifact, or a folder with all files.

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
        """Bring the content to a folder; return the file's path if it is one file, else the folder's.

        Nothing appears at the destination before all of it was fetched and verified. A failure, a Ctrl-C included,
        leaves the destination as it was; but what ``overwrite`` replaced before a failure in the very last step, the
        renaming, stays replaced.

        Args:
            destination: a folder; made if it is missing. Files get their logical paths below it.
            path: only the file at this logical path.
            overwrite: replace files that are in the way.
            progress: called with a :class:`Progress` as files and bytes arrive.

        Raises:
            DestinationExistsError: something is in the way.
            IntegrityError: the content is damaged or missing.
            InvalidPathError: the destination's disk cannot tell some of the paths apart.
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
        """Check that the version is there as it was registered; go on after a finding.

        Args:
            level: ``full`` reads every byte; ``checksum`` compares digests that the storage holds, where it holds any;
                ``stat`` looks at presence and size, of pointers at version, ETag or time as well; of a prefix it costs
                a listing.
            lineage: walk back to all that it was made from as well, and compare each manifest on the way with the
                digest that was recorded when it was used.
            objects_per_second: look at or read no more objects a second; with an executor, in each of its processes.
            bytes_per_second: read no more bytes a second; likewise.
            resume: a file that keeps what is done, so that what was stopped goes on from there; removed at the end.
            executor: of ``concurrent.futures``, also Dask's, that parts of the work are given to. With the store's
                options, credentials travel to its processes.
            progress: called with a :class:`Progress` as files and bytes are checked.

        Returns:
            A report that is true in a condition if all is well and names everything that is not.
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
        """Return what it was made from, and what that was made from, as a graph. A read for each version."""
        return Lineage(self._session.store, walk(self._session.store, self._loaded, "upstream", depth))

    def downstream(self, depth: int | None = None) -> Lineage:
        """Return what was made from it, and from that, as a graph. A listing, and a read for each consumer."""
        return Lineage(self._session.store, walk(self._session.store, self._loaded, "downstream", depth))

    def sign(self, private_key: Any) -> Signature:
        """Sign the version's manifest; return the signature. A second one with the same key changes nothing.

        The key is ed25519: the path of a PEM file without a password, PEM in bytes, or a key of ``cryptography``.
        """
        return sign(self._session.store, self._loaded, private_key)

    @property
    def signatures(self) -> list[Signature]:
        """The good signatures over its manifest, whoever made them: compare their keys with those you trust."""
        return signatures_of(self._session.store, self._loaded)

    # --- pointers -----------------------------------------------------------------------------------------------------

    def strengthen(self, evidence: Strength = "full", *, progress: ProgressCallback | None = None) -> Artifact:
        """Publish the next version with at least this evidence of everything that is only pointed to; return it.

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
        """Publish the next version with the bytes of everything that is only pointed to in the store; return it.

        Returns this version if all of it is stored already. The bytes are those that were registered, and are compared
        with the evidence on their way.

        Raises:
            PointerDriftError: the data changed since this version was registered.
            ConflictError: this is not the newest version of its name.
        """
        return self._next(materialize(self._store, self._loaded, progress))

    def refresh(self, *, progress: ProgressCallback | None = None) -> Refresh:
        """Look again at what it points to, and publish the next version only if something changed there.

        Returns:
            What was added, removed and modified, and the version that has it; this one if nothing changed.

        Raises:
            SourceNotFoundError: nothing is left at a place that it points to.
            ConflictError: this is not the newest version of its name, and something changed.
        """
        loaded, changes = refresh(self._store, self._loaded, progress)
        return Refresh(self._next(loaded), changes)

    def _next(self, loaded: StoredManifest) -> Artifact:
        return self if loaded is self._loaded else Artifact(self._session, loaded)

    def _used(self) -> None:
        """Tell the run that it was got in, and the one that is under way here, that its bytes are used."""
        now = current_run(self._store)
        for run in {id(run): run for run in (self._run, now) if run is not None}.values():
            run.note_use(self._loaded)

    def _content(self, path: str | os.PathLike[str] | None) -> Content[Any]:
        return content_of(self._store, self._manifest, self._entry(path))

    def _entry(self, path: str | os.PathLike[str] | None) -> FileEntry:
        if path is None:
            if self._manifest.kind == "file":
                return next(iter(self.entries))
            some = " or ".join(repr(entry.path) for entry in islice(self.entries, 3))
            raise InvalidInputError(
                f"{self.name}@{self.version} is a {self._files()}; which file is meant?"
                if some
                else f"{self.name}@{self.version} is a folder without files",
                hint=f"Give path=, such as {some}." if some else "Bring it with download() or local_path().",
            )
        return wanted_entry(self.entries, os.fspath(path), self.name, self.version)

    # --- identity and looks -------------------------------------------------------------------------------------------

    def to_json(self, entries: int | None = 0) -> dict[str, Any]:
        """Return its facts as JSON values; metadata as stored, where NaN, which JSON lacks, is ``{"$float": "NaN"}``.

        Args:
            entries: how many of its files are listed; None lists all, and 0 leaves the field out.
        """
        try:
            path = self.storage_path
        except PointerPolicyError:  # whoever only looks at the facts opens nothing
            path = None
        manifest = self._manifest
        document: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "artifact_id": self.artifact_id,
            "artifact_type": self.artifact_type,
            "created_at": utc_text(self.created_at),
            "created_by": self.created_by,
            "files": len(self.entries),
            "size": self.size,
            "digest": self.digest,
            "manifest_digest": self.manifest_digest,
            "storage_path": path,
            "metadata": encode_mapping(self.metadata),
            "schema": self.schema,
            "pointers": [place.to_json() for place in manifest.pointed],
            "inputs": [source.to_json() for source in manifest.inputs],
        }
        if entries != 0:
            document["entries"] = [entry.to_json() for entry in islice(self.entries, entries)]
        return document

    def __getstate__(self) -> tuple[Session, StoredManifest]:
        return self._session, self._loaded

    def __setstate__(self, state: tuple[Session, StoredManifest]) -> None:
        self._session, self._loaded = state
        self._run = None

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
        except MetaMLFlowError:  # a look at an artifact does not fail since a relocation in the store is damaged
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
    """What :meth:`Artifact.refresh` did. True in a condition if something had changed.

    Attributes:
        artifact: the version that has what is there now.
        changes: what was added, removed and modified since the version that was refreshed.
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
