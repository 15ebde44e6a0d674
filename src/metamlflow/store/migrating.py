"""Migrate: move versions to another store and change nothing. The steps are those of SPEC.md, "Migrate"."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast

from metamlflow.backend import Blob, ObjectInfo
from metamlflow.errors import AlreadyExistsError, ConflictError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.layout import (
    NAMES,
    manifest_key,
    name_key,
    runs_prefix,
    version_prefix,
)
from metamlflow.format.manifests import digest_of, record_id_of
from metamlflow.model.manifests import Entry, Manifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.claiming import claim, retried
from metamlflow.store.edges import write_edges
from metamlflow.store.entries import Entries, Predecessor
from metamlflow.store.history import names_in_use
from metamlflow.store.opening import Store
from metamlflow.store.progress import Counter
from metamlflow.store.reading import damaged
from metamlflow.store.staging import SMALL
from metamlflow.store.transfer import in_parallel
from metamlflow.store.versions import Loaded, list_versions, load_manifest, version_status

_RELIABLE_AGE = 3 / 4  # of the destination's grace: SPEC.md tells why


@dataclass(frozen=True, slots=True)
class BlobOf:
    """A blob of a version: a file's content, or a shard of its list of files."""

    key: str
    size: int
    sha256: str
    crc32c: str | None
    path: str = ""


@dataclass
class VersionReport:
    """What became of one version.

    Attributes:
        name: of the artifact.
        version: its number.
        status: ``migrated``, ``present`` (it was there), ``conflict``, ``skipped`` (after another failed), ``failed``.
        manifest_digest: of its manifest at the source.
        files: how many it has.
        bytes: how many were sent.
        blobs: how many were sent.
        reason: what went wrong, if something did.
    """

    name: str
    version: int
    status: str
    manifest_digest: str
    files: int = 0
    bytes: int = 0
    blobs: int = 0
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Ends:
    """The two stores of a migration."""

    source: Store
    destination: Store


@dataclass
class Migration:
    """One migration under way: what it knows of the destination."""

    ends: Ends
    counter: Counter
    sent: set[str] = field(default_factory=set)
    """Keys of blobs that it has created or may rely on."""
    _named: set[str] | None = None
    _naming: threading.Lock = field(default_factory=threading.Lock)

    def version(self, name: ArtifactName, number: int) -> VersionReport:
        """Bring one version: blobs, run, edges, name, manifest, states, signatures. Whatever fails is in the report."""
        source = self.ends.source
        key = manifest_key(name, number)
        loaded = load_manifest(source, name, number)
        report = VersionReport(str(name), number, "migrated", loaded.digest, loaded.manifest.files)
        try:
            there = read_or_none(self.ends.destination, key)
            if there == loaded.data:
                report.status = "present"
            elif there is not None:
                raise _conflict(name, number, loaded.digest, there)
            else:
                self._bring(loaded, report)
        except ConflictError as error:
            report.status, report.reason = "conflict", error.message
        except MetaMLFlowError as error:
            report.status, report.reason = "failed", error.message
        return report

    def _bring(self, loaded: Loaded, report: VersionReport) -> None:
        manifest = loaded.manifest
        # The bytes of a version that was pruned may be gone; its shards are kept as long as they are.
        available = version_status(self.ends.source, manifest.name, manifest.version).available
        blobs = self._blobs(manifest, self._before(manifest)) if available else iter(())
        stop = threading.Event()  # of this version alone: the others go on
        for size in in_parallel(partial(self._send, stop), blobs, size_of=_bytes_in_memory, cancel=stop.set):
            report.bytes += size or 0
            report.blobs += size is not None
        if manifest.run:
            self.copy(runs_prefix(manifest.run))
        write_edges(self.ends.destination, manifest.inputs, (manifest.name, manifest.version))
        self.create(name_key(manifest.name))
        # States that take the version's bytes away go ahead of it: it must never be seen live without being so.
        self.copy(version_prefix(manifest.name, manifest.version), but=manifest_key(manifest.name, manifest.version))
        key = manifest_key(manifest.name, manifest.version)
        destination = self.ends.destination
        stored = claim(destination.backend, key, loaded.data, manifest.record_id, destination.clock)
        if stored != loaded.data:
            there = stored or read_or_none(destination, key) or b""
            raise _conflict(manifest.name, manifest.version, loaded.digest, there)

    def copy(self, prefix: str, *, but: str = "") -> None:
        """Create every record below a prefix of the source that the destination does not have; bytes unchanged.

        Raises:
            ConflictError: the destination has another record under one of the keys.
        """
        keys = [info.key for info in listed(self.ends.source, prefix) if info.key != but]
        there = {info.key for info in listed(self.ends.destination, prefix)} if keys else set()
        for key in keys:
            if key not in there:
                self.create(key)

    def create(self, key: str) -> None:
        """Create a record of the source at the destination; bytes unchanged. One that is there already is as good.

        Raises:
            ConflictError: the destination has another record under this key.
        """
        data = read_or_none(self.ends.source, key)
        if data is None:
            return
        destination = self.ends.destination
        record_id = record_id_of(data)
        if record_id is not None:
            stored = claim(destination.backend, key, data, record_id, destination.clock)
        else:  # an edge, or a list of distributions: its key tells all
            with suppress(AlreadyExistsError):
                retried(lambda: destination.backend.create(key, data), destination.clock)
            stored = data
        if stored != data and not key.startswith(NAMES):  # any record of a name is as good
            raise ConflictError(f"{key}: the destination has another record", hint=_CONFLICT_HINT)

    # --- blobs --------------------------------------------------------------------------------------------------------

    def _before(self, manifest: Manifest) -> Manifest | None:
        """Return the version before, if it lives at the destination: what it names is relied on without a request."""
        name, number = manifest.name, manifest.version - 1
        if number < 1 or not version_status(self.ends.destination, name, number).available:
            return None
        before = load_manifest(self.ends.source, name, number)
        there = read_or_none(self.ends.destination, manifest_key(name, number))
        return before.manifest if there == before.data else None

    def _blobs(self, manifest: Manifest, before: Manifest | None) -> Iterator[BlobOf]:
        shards = {shard.key for shard in (before.shards if before else None) or ()}
        for shard in manifest.shards or ():
            if shard.key not in shards:
                yield BlobOf(shard.key, shard.size, shard.sha256, None)
        predecessor = Predecessor(Entries(self.ends.source, before).items() if before else iter(()))
        for entry in Entries(self.ends.source, manifest):
            if isinstance(entry, Entry) and predecessor.key_at(entry.path) != entry.key:
                yield BlobOf(entry.key, entry.size, entry.sha256, entry.crc32c, entry.path)

    def _send(self, stop: threading.Event, blob: BlobOf) -> int | None:
        """Make sure that the destination has a blob; return how many bytes were sent, None if it had it."""
        if blob.key in self.sent:
            self.counter.add(files=1)
            return None
        content = self._content(blob, stop)
        destination = self.ends.destination
        created = retried(lambda: destination.backend.put(blob.key, content), destination.clock)
        if not created:
            self._check_reliable(blob)
        if len(self.sent) < _REMEMBERED:
            self.sent.add(blob.key)
        self.counter.add(files=1, size=blob.size)
        return blob.size if created else None

    def _content(self, blob: BlobOf, stop: threading.Event) -> Blob:
        source = self.ends.source
        if blob.size <= SMALL:
            data = bytes(retried(lambda: source.fetch(blob.key), source.clock))
            _compare(blob, len(data), hashlib.sha256(data).hexdigest())
            return Blob(blob.size, blob.sha256, blob.crc32c or _crc32c(data), partial(io.BytesIO, data), data)
        crc32c = blob.crc32c or _crc32c(retried(lambda: source.backend.read(blob.key), source.clock))
        return Blob(blob.size, blob.sha256, crc32c, lambda: cast("BinaryIO", _Verified(source, blob, stop)))

    def _check_reliable(self, blob: BlobOf) -> None:
        """Refuse to rely on a blob that a collection may have judged already."""
        destination = self.ends.destination
        info = retried(lambda: destination.backend.stat(blob.key), destination.clock)
        now = info.observed or destination.clock.now()
        young = now - info.modified < destination.writable_marker().grace * _RELIABLE_AGE
        if info.size != blob.size:
            raise ConflictError(f"{blob.key} has {info.size:,} bytes at the destination, not {blob.size:,}")
        if not young and not self._is_named(blob.key):
            raise ConflictError(
                f"{blob.key} lies at the destination, and no version there names it",
                hint="It may be about to be collected. Collect the destination first, then migrate again.",
            )

    def _is_named(self, key: str) -> bool:
        """Whether a live version at the destination names a blob. To be sure, all of them are read, once."""
        with self._naming:
            if self._named is None:
                self._named = set(self._named_there())
            return key in self._named

    def _named_there(self) -> Iterator[str]:
        destination = self.ends.destination
        for name in names_in_use(destination):
            for status in list_versions(destination, name):
                if status.available:
                    manifest = load_manifest(destination, name, status.version).manifest
                    yield from (shard.key for shard in manifest.shards or ())
                    yield from (entry.key for entry in Entries(destination, manifest) if isinstance(entry, Entry))


_REMEMBERED = 200_000
_CONFLICT_HINT = "The two stores have different histories: migrate to an empty store, or under other names."


def _conflict(name: ArtifactName, number: int, ours: str, there: bytes) -> ConflictError:
    return ConflictError(
        f"{name}@{number} has another history at the destination: {ours} at the source, {digest_of(there)} there",
        hint=_CONFLICT_HINT,
    )


def _bytes_in_memory(blob: BlobOf) -> int | None:
    return blob.size if blob.size <= SMALL else None


def _crc32c(data: bytes) -> str:
    import google_crc32c

    return f"{google_crc32c.value(data):08x}"


def _compare(blob: BlobOf, size: int, sha256: str) -> None:
    if (size, sha256) != (blob.size, blob.sha256):
        raise damaged(Entry(blob.path or blob.key, blob.size, blob.sha256, "", blob.key), size, sha256)


class _Verified(io.RawIOBase):
    """A blob of the source as it is read from start to end: the last of it is given only if its digest is right."""

    def __init__(self, store: Store, blob: BlobOf, stop: threading.Event) -> None:
        self._stop = stop
        self._reader = retried(lambda: store.backend.open(blob.key), store.clock)
        self._blob = blob
        self._digest = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if self._stop.is_set():
            raise CancelledError
        chunk = self._reader.read(-1 if size is None else size)
        self._digest.update(chunk)
        self._size += len(chunk)
        if self._size >= self._blob.size or (not chunk and size):
            _compare(self._blob, self._size, self._digest.hexdigest())
        return chunk

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
        super().close()


def read_or_none(store: Store, key: str) -> bytes | None:
    """Return the bytes of a record, or None if there is none."""
    try:
        return retried(lambda: store.backend.read(key), store.clock)
    except ObjectNotFoundError:
        return None


def listed(store: Store, prefix: str) -> list[ObjectInfo]:
    """Return everything below a prefix."""
    return retried(lambda: list(store.backend.list_objects(prefix)), store.clock)
