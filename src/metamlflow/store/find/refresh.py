"""Bring the catalog up to date: one listing, and a read of each record that it has not seen.

What a listing shows decides: a row counts while the listing shows the very object that it was made from. So the catalog
may be old, lost or damaged, and the result is the same; it takes longer then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from metamlflow.backend import ObjectInfo
from metamlflow.errors import DamagedRecordWarning, ObjectNotFoundError, StoreFormatError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.layout import manifest_key, name_of_artifact_key, parse_version_key
from metamlflow.format.listed_keys import ListedKey, listed_key
from metamlflow.format.manifests import StoredManifest, decode_manifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import kept, read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.find.listing import unknown_objects
from metamlflow.store.find.records import HeldRecords, Wanted
from metamlflow.store.find.segments import Segments, SegmentWriter
from metamlflow.store.find.shared import SharedDocuments, proves, share, shared_documents
from metamlflow.store.transfer.scheduler import in_parallel

MUCH = 1_000
"""Manifests that were requested: after so many, others are spared that."""
VersionKey = tuple[ArtifactName, int]
Of = TypeVar("Of")


@dataclass
class Snapshot:
    """What the catalog says now.

    Attributes:
        segments: the rows.
        alive: for each row whether its version exists.
        states: of the rows that are not live: ``pruned``, ``absent`` or ``unknown``.
        aliases: of the rows that have any, sorted.
        notes: title, description and tags of the rows that have any; those of the name stand for what a version lacks.
    """

    segments: Segments
    alive: bytearray
    states: dict[int, str] = field(default_factory=dict)
    aliases: dict[int, list[str]] = field(default_factory=dict)
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def rows(self, *, live: bool) -> bytearray:
        """Return for each row whether its version exists, or with ``live`` whether it can be read."""
        found = bytearray(self.alive)
        if live:
            for row in self.states:
                found[row] = 0
        return found


def refreshed(store: Store, segments: Segments, records: HeldRecords) -> Snapshot:
    """Look at the store, read what is new, and return what is known then.

    A damaged record is left out with a DamagedRecordWarning, as in lists.
    """
    look = _Look(store, segments)
    with ExitStack() as stack:
        if not len(segments):  # then the listing comes in the order of its keys
            look.shared = stack.enter_context(shared_documents(store, segments.folder))
        writer = stack.enter_context(SegmentWriter(segments.folder))
        for info, loaded in look.read():
            writer.add(info, loaded)
    alive = look.seen
    if (segment := writer.segment) is not None:
        rows = segments.add(segment)
        alive += b"\1" * len(rows)
    snapshot = _joined(store, segments, records, look, alive)
    if look.is_proven and look.requested >= MUCH:
        share(store, segments, look.tombs)
    return snapshot


def take_in(store: Store, segments: Segments, infos: Sequence[ObjectInfo]) -> None:
    """Read the manifests among listed objects that have no row, and write rows of them.

    Rows that these stand for go, and many small segments become one: a client may list, and never search.
    """
    look = _Look(store, segments)
    with SegmentWriter(segments.folder) as writer:
        for info, loaded in look.read_of(look.unknown(list(infos)), quiet=True):
            writer.add(info, loaded)
    if (segment := writer.segment) is not None:
        segments.add(segment)
        segments.merge(segments.current())


@dataclass(frozen=True, slots=True)
class _Manifest:
    """A listed manifest, and its bytes, if they need not be requested."""

    info: ObjectInfo
    name: ArtifactName
    version: int
    data: bytes | None


class _Look:
    """One look at the store: what its listing shows that the catalog does not know."""

    def __init__(self, store: Store, segments: Segments) -> None:
        self._store = store
        self._segments = segments
        self._index = segments.index if len(segments) else {}
        self.seen = bytearray(len(segments))
        self.tombs: set[VersionKey] = set()
        self.states: dict[VersionKey, tuple[int, ObjectInfo]] = {}
        self.aliases: dict[tuple[ArtifactName, str], tuple[int, ObjectInfo]] = {}
        self.notes: dict[tuple[ArtifactName, int | None], tuple[int, ObjectInfo]] = {}
        self.damaged_names: set[ArtifactName] = set()
        self.shared: SharedDocuments | None = None
        self.requested = 0
        self.is_proven = False  # whether listings show by what others could tell that a shared document is the manifest

    def read(self) -> Iterator[tuple[ObjectInfo, StoredManifest]]:
        """Yield the manifests that are new, after one listing; a damaged one is left out with a warning."""
        return self.read_of(unknown_objects(self._store, list(self._index), self.unknown))

    def read_of(
        self, infos: Iterable[ObjectInfo], *, quiet: bool = False
    ) -> Iterator[tuple[ObjectInfo, StoredManifest]]:
        """Yield the manifests among listed objects, and note the others; of damaged ones warn, unless ``quiet``."""
        for info, loaded in in_parallel(self._load, self._manifests(infos), size_of=_size):
            if isinstance(loaded, StoreFormatError):
                if not quiet:
                    warn(loaded)
            elif loaded is not None:
                yield info, loaded

    def unknown(self, page: list[ObjectInfo]) -> list[ObjectInfo]:
        """Note the objects that the catalog has a row of; return the others. For several pages at the same time."""
        if not self._index:
            return page
        is_known, seen, others = self._segments.is_known, self.seen, []
        for info in page:
            row = is_known(info)
            if row is None:
                others.append(info)
            else:
                seen[row] = 1
        return others

    def _manifests(self, infos: Iterable[ObjectInfo]) -> Iterator[_Manifest]:
        for info in infos:
            at = listed_key(info.key)
            if at is None:
                self._note_unreadable(info.key)
            elif at.kind == "manifest" and at.name is not None:
                data = self.shared.get(info) if self.shared is not None else None
                self.requested += data is None
                yield _Manifest(info, at.name, at.version or 0, data)
            else:
                self._note(info, at)

    def _note(self, info: ObjectInfo, at: ListedKey) -> None:
        assert at.name is not None  # noqa: S101 (for the type checker: all records of versions have one)
        match at.kind:
            case "tomb":
                self.tombs.add((at.name, at.version or 0))
            case "state":
                _keep_newest(self.states, (at.name, at.version or 0), at.number, info)
            case "alias":
                _keep_newest(self.aliases, (at.name, at.of), at.number, info)
            case "note":
                _keep_newest(self.notes, (at.name, at.version), at.number, info)

    def _note_unreadable(self, key: str) -> None:
        """Note a name that has a state record as it was spelled before: to ignore it could show a pruned version."""
        name = name_of_artifact_key(key)
        if name is None:
            return
        try:
            parse_version_key(ArtifactName(name), key)
        except StoreFormatError as error:
            warn(error)
            self.damaged_names.add(ArtifactName(name))

    def _load(self, wanted: _Manifest) -> tuple[ObjectInfo, StoredManifest | StoreFormatError | None]:
        info, store = wanted.info, self._store
        try:
            data = wanted.data or with_retries(lambda: read_record(store.backend, info.key), store.clock)
            self.is_proven = self.is_proven or proves(info, data)
            return info, StoredManifest(decode_manifest(data, info.key, wanted.name, wanted.version), data)
        except ObjectNotFoundError:
            return info, None  # erased since it was listed
        except StoreFormatError as error:
            return info, kept(error)

    def wanted(self) -> Iterator[Wanted]:
        """Yield the small records that say what is known of versions besides."""
        for (name, alias), (number, info) in self.aliases.items():
            yield Wanted(info, "alias", name, number=number, alias=alias)
        for (name, of), (number, info) in self.notes.items():
            yield Wanted(info, "note", name, of, number)
        for (name, version), (number, info) in self.states.items():
            if number % 2 and (name, version) not in self.tombs:
                yield Wanted(info, "state", name, version, number)


def _keep_newest(series: dict[Of, tuple[int, ObjectInfo]], of: Of, number: int, info: ObjectInfo) -> None:
    if of not in series or number > series[of][0]:
        series[of] = number, info


def _size(wanted: _Manifest) -> int:
    return min(wanted.info.size, MAX_DOCUMENT_BYTES)


def _joined(store: Store, segments: Segments, records: HeldRecords, look: _Look, alive: bytearray) -> Snapshot:
    """Bring together what the listing, the manifests and the small records say."""
    said = records.read(store, look.wanted())
    erased = segments.rows_of([manifest_key(*of) for of in look.tombs]) if look.tombs else {}
    for row in erased.values():
        alive[row] = 0
    if segments.merge(alive):
        alive = bytearray(b"\1" * len(segments))
    snapshot = Snapshot(segments, alive)
    notes: dict[tuple[ArtifactName, int | None], dict[str, Any]] = {}
    of_versions: list[tuple[VersionKey, Wanted, Any]] = []
    for one, what in said:
        if isinstance(what, StoreFormatError):
            if one.kind == "state":
                warn(what)
                of_versions.append(((one.name, one.version or 0), one, what))
            else:
                warnings.warn(f"left out: {what}", DamagedRecordWarning, stacklevel=2)
        elif one.kind == "note":
            notes[one.name, one.version] = what
        elif one.kind == "alias" and what["version"] is not None:
            of_versions.append(((one.name, what["version"]), one, what))
        elif one.kind == "state":
            of_versions.append(((one.name, one.version or 0), one, what))
    _place_records(snapshot, of_versions)
    _place_notes(snapshot, notes)
    _place_damaged(snapshot, look.damaged_names)
    return snapshot


def _place_records(snapshot: Snapshot, said: list[tuple[VersionKey, Wanted, Any]]) -> None:
    rows = snapshot.segments.rows_of([manifest_key(*of) for of, _, _ in said]) if said else {}
    digests = snapshot.segments.column("manifest_digest") if any(one.kind == "state" for _, one, _ in said) else None
    for of, one, what in said:
        row = rows.get(manifest_key(*of))
        if row is None:
            continue
        if one.kind == "alias":
            snapshot.aliases.setdefault(row, []).append(one.alias)
        elif isinstance(what, StoreFormatError):
            snapshot.states[row] = "unknown"
        elif digests is not None and digests[row].as_py() == what["manifest_digest"]:
            snapshot.states[row] = "absent" if what["state"] == "absent" else "pruned"
    for found in snapshot.aliases.values():
        found.sort()


def _place_notes(snapshot: Snapshot, notes: dict[tuple[ArtifactName, int | None], dict[str, Any]]) -> None:
    versions = {(name, of): what for (name, of), what in notes.items() if of is not None}
    rows = snapshot.segments.rows_of([manifest_key(*of) for of in versions]) if versions else {}
    for of, what in versions.items():
        if (row := rows.get(manifest_key(*of))) is not None:
            snapshot.notes[row] = what
    names = {str(name): what for (name, of), what in notes.items() if of is None}
    if not names:
        return
    for row, name in rows_named(snapshot.segments, names):
        own, of_name = snapshot.notes.get(row, {}), names[name]
        snapshot.notes[row] = {
            "title": own.get("title") or of_name["title"],
            "description": own.get("description") or of_name["description"],
            "tags": {**of_name["tags"], **own.get("tags", {})},
        }


def _place_damaged(snapshot: Snapshot, names: set[ArtifactName]) -> None:
    for row, _ in rows_named(snapshot.segments, set(map(str, names))):
        snapshot.states[row] = "unknown"


def rows_named(segments: Segments, names: Iterable[str]) -> list[tuple[int, str]]:
    """Return the rows of some names, each with its name."""
    if not (wanted := list(names)) or not len(segments):
        return []
    import pyarrow as pa
    import pyarrow.compute as pc

    column = segments.column("name")
    found = pc.indices_nonzero(pc.is_in(column, value_set=pa.array(wanted, pa.string())))
    return list(zip(found.to_pylist(), column.take(found).to_pylist(), strict=True))


def warn(error: StoreFormatError) -> None:
    """Warn of a record that is left out."""
    warnings.warn(f"left out of the catalog: {error}", DamagedRecordWarning, stacklevel=3)
