"""Copy one version to another store, unchanged. The steps are those of SPEC.md, "Migrate"."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from metamlflow.errors import (
    AccessDeniedError,
    ConflictError,
    MetaMLFlowError,
    StorageError,
    StorageUnavailableError,
)
from metamlflow.format.layout import manifest_key, name_key, runs_prefix
from metamlflow.format.manifests import StoredManifest, digest_of
from metamlflow.model.manifests import Entry, Manifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.entries import Entries, Predecessor
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.records import create_exclusively
from metamlflow.store.catalog.statuses import list_versions, lists_in_order, load_manifest, stays_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId, write_edges
from metamlflow.store.migrate.blobs import CopiedBlob, StorePair, shard_content
from metamlflow.store.migrate.erasures import carry_erasure, check_same_erasure
from metamlflow.store.migrate.features import look_again
from metamlflow.store.migrate.plan import VersionTask, before_of
from metamlflow.store.migrate.records import (
    HISTORY_HINT,
    another_history,
    copy_record,
    copy_records,
    digest_at,
    read_or_none,
)
from metamlflow.store.migrate.report import VersionReport
from metamlflow.store.migrate.states import Deadline, StateWriter, is_given_up_there
from metamlflow.store.migrate.workers import CopyPool

_REMEMBERED = 200_000
_FEW_OBJECTS, _FEW_BYTES = 16, 4 * 1024 * 1024
_MANY_AT_A_TIME = 4  # versions that exceed these limits, at a time
_HOPELESS = 32
_LISTING_HOLDS = 1 / 4  # of the grace: how long the result of a listing is relied on


class DestinationIndex:
    """What a migration knows about the destination's content. Thread-safe."""

    def __init__(self, destination: Store) -> None:
        self._destination = destination
        self._lock = threading.Lock()
        self._naming = threading.Lock()
        self._known: dict[str, tuple[bool, float]] = {}
        self._named: set[str] | None = None
        self._named_at = 0.0

    def now(self) -> float:
        """Return the time of the clock that its deadlines use, in seconds."""
        return self._destination.clock.elapsed()

    def find(self, key: str) -> tuple[bool, float] | None:
        """Return whether a blob is new there, and until when a manifest may name it; None if that is too soon."""
        with self._lock:
            found = self._known.get(key)
        hold = self._destination.marker().grace.total_seconds() * _LISTING_HOLDS
        return found if found and found[1] > self.now() + hold else None

    def enter(self, moved: CopiedBlob) -> tuple[bool, float]:
        """Record a copied blob; return the same as :meth:`find`.

        Raises:
            ConflictError: the blob existed, is old, and no live version at the destination names it.
        """
        until = moved.until
        if until is None:
            until = self._named_until(moved.key)
            if until is None:
                raise ConflictError(
                    f"{moved.key} exists at the destination, but no version there names it",
                    hint="It may be about to be collected. Collect the destination first, then migrate again.",
                )
        found = moved.is_new, until
        with self._lock:
            if len(self._known) < _REMEMBERED:
                self._known[moved.key] = found
        return found

    def _named_until(self, key: str) -> float | None:
        """Return until when a blob may be relied on because a live version there names it; None if none does.

        All manifests there are read to be sure, and read again after a while.
        """
        hold = self._destination.marker().grace.total_seconds() * _LISTING_HOLDS
        with self._naming:
            if self._named is None or self.now() > self._named_at + hold / 2:
                self._named_at = self.now()
                self._named = set(self._named_there())
            return self._named_at + hold if key in self._named else None

    def _named_there(self) -> Iterator[str]:
        destination = self._destination
        for name in names_in_use(destination):
            began = destination.clock.now().timestamp()
            for status in list_versions(destination, name):
                if stays_live(destination, name, status, began):
                    manifest = load_manifest(destination, name, status.version).manifest
                    yield from (shard.key for shard in manifest.shards or ())
                    yield from (held.key for entry in Entries(destination, manifest) for held in entry.objects())


@dataclass
class Migration:
    """One migration under way. It may copy several versions at a time."""

    ends: StorePair
    spreader: CopyPool
    ledger: DestinationIndex
    began: float
    surveyed: frozenset[ArtifactName] = frozenset()
    notes: set[str] = field(default_factory=set)
    many: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_MANY_AT_A_TIME))
    _names: set[ArtifactName] = field(default_factory=set)
    _runs: set[str] = field(default_factory=set)
    _given_up: set[VersionId] = field(default_factory=set)
    _unanswered: int = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether storage refused or did not answer for many versions in a row, so that the others would fail too."""
        return self._unanswered >= _HOPELESS

    def bring(self, item: VersionTask) -> VersionReport:
        """Copy one version: blobs, run, edges, name, states, manifest. Failures are added to the report."""
        name, number = item.id
        report = VersionReport(str(name), number, "migrated", files=item.files)
        try:
            look_again(self.ends)
            if item.state.damaged:
                raise item.state.damaged
            if item.state.is_erased:
                carry_erasure(self.ends, item.id, report)
            else:
                loaded = load_manifest(self.ends.source, name, number, seen=item.state.info)
                report.manifest_digest = loaded.digest
                self._bring(item, loaded, report)
            self._unanswered = 0
        except (AccessDeniedError, StorageUnavailableError) as error:
            self._unanswered += 1
            report.status, report.reason = "failed", error.message
        except ConflictError as error:
            report.status, report.reason = "conflict", error.message
        except MetaMLFlowError as error:
            report.status, report.reason = "failed", error.message
        return report

    def look_at(self, name: ArtifactName, number: int) -> VersionReport:
        """Verify that the destination has all content of a version; send missing content again."""
        report = VersionReport(str(name), number, "present")
        try:
            look_again(self.ends)
            loaded = load_manifest(self.ends.source, name, number)
            report.manifest_digest, report.files = loaded.digest, loaded.manifest.files
            contents = once(new_contents(self.ends.source, loaded.manifest, None))
            with self.many:
                for moved in self.spreader.looking_first().move(contents):
                    report.objects += moved.is_new
                    report.bytes += moved.size * moved.is_new
                    self.notes |= {moved.note} - {""}
            if report.objects:
                report.status = "migrated"
        except MetaMLFlowError as error:
            report.status, report.reason = "failed", f"{error.message}{f' {error.hint}' if error.hint else ''}"
        return report

    def _bring(self, item: VersionTask, loaded: StoredManifest, report: VersionReport) -> None:
        manifest, state = loaded.manifest, item.state
        moves = item.moves and not (state.is_committed and is_given_up_there(self.ends, item.id, state, loaded.digest))
        until = float("inf")
        if moves:
            until = self._move(item, manifest, report)
        elif item.moves:  # the destination pruned it on its own
            self._given_up.add(item.id)
            report.status = "present"
            return
        self._check_inputs(manifest)
        if manifest.run and manifest.run not in self._runs:
            copy_records(self.ends, runs_prefix(manifest.run))
            self._runs.add(manifest.run)
        write_edges(self.ends.destination, manifest.inputs, item.id)
        if manifest.name not in self._names:
            copy_record(self.ends, name_key(manifest.name))
            self._names.add(manifest.name)
        if self.ledger.now() > until:
            raise StorageError(
                f"{manifest.name}@{manifest.version} took longer to copy than its unnamed content may be relied on",
                hint="Migrate again; if it persists, use a destination with a longer grace (metamlflow init --grace).",
            )
        look_again(self.ends)  # the blobs may have taken days
        self._record(item, loaded, report, moves=moves)

    def _record(self, item: VersionTask, loaded: StoredManifest, report: VersionReport, *, moves: bool) -> None:
        """Create the states and the manifest, in this order: a version is never seen as live without its bytes."""
        state, destination = item.state, self.ends.destination
        deadline: Deadline | None = None
        if not state.is_committed and not (moves and not state.states and not state.there):
            # States come first, and somebody may have published this number since the listing.
            deadline = Deadline(destination)
            now = version_status(destination, *item.id)
            if now.erased:
                check_same_erasure(destination, loaded.digest, item.id)
                report.status = "erased"
                return
            if now.info is not None:
                self._commit(item, loaded)
                raise StorageError(
                    f"{item.id[0]}@{item.id[1]} appeared at the destination meanwhile", hint="Migrate again."
                )
        created = StateWriter(self.ends, item.id, state, loaded.digest, deadline).bring(bytes_are_there=moves)
        if state.is_committed and not moves and not created:
            report.status = "present"
        elif state.is_live and not moves and not state.is_live_there:
            report.status = "absent"
        if not state.is_committed:
            self._commit(item, loaded)

    def _check_inputs(self, manifest: Manifest) -> None:
        """Refuse a version whose input has the same name and number as another version at the destination."""
        for used in manifest.inputs:
            if used.name in self.surveyed:
                continue
            found = digest_at(self.ends.destination, (used.name, used.version))
            if found and found != used.manifest_digest:
                raise ConflictError(
                    f"{used.name}@{used.version}, which it was made from, has another history at the destination",
                    hint=HISTORY_HINT,
                )

    def _commit(self, item: VersionTask, loaded: StoredManifest) -> None:
        key = manifest_key(*item.id)
        destination = self.ends.destination
        stored = create_exclusively(destination.backend, key, loaded.data, loaded.manifest.record_id, destination.clock)
        if stored == loaded.data:
            return
        # States that were created for this manifest say nothing of the one that took its number.
        raise another_history(item.id, loaded.digest, digest_of(stored or read_or_none(destination, key) or b""))

    # --- blobs --------------------------------------------------------------------------------------------------------

    def _move(self, item: VersionTask, manifest: Manifest, report: VersionReport) -> float:
        """Copy the content that the destination does not have; return until when all of it may be relied on."""
        until = float("inf")
        contents = new_contents(self.ends.source, manifest, self._before(item), carried=self.ends.check_carried)

        def unknown() -> Iterator[Entry]:
            """Yield the content that the destination is not known to hold."""
            nonlocal until
            for content in once(contents, lambda: self.spreader.counter.add(files=1)):
                found = self.ledger.find(content.key)
                if found is None:
                    yield content
                    continue
                until = min(until, found[1])
                note(content.size, is_new=found[0])
                self.spreader.counter.add(files=1, size=content.size)

        def note(size: int, *, is_new: bool) -> None:
            report.objects += is_new
            report.bytes += size * is_new

        with self._turn(item):
            for moved in self.spreader.move(unknown()):
                is_new, moved_until = self.ledger.enter(moved)
                self.notes |= {moved.note} - {""}
                until = min(until, moved_until)
                note(moved.size, is_new=is_new)
        return until

    def _turn(self, item: VersionTask) -> AbstractContextManager[object]:
        """Limit how many versions with much content are copied at a time: each of them is copied in parallel."""
        few = item.objects <= _FEW_OBJECTS and item.size <= _FEW_BYTES
        return nullcontext() if few or self.spreader.executor is not None else self.many

    def _before(self, item: VersionTask) -> Manifest | None:
        """Return the previous version, if it is live at the destination: its blobs are relied on without a request."""
        name = item.id[0]
        if item.before is None or (name, item.before) in self._given_up:
            return None
        grace = self.ends.destination.marker().grace.total_seconds()
        is_certain = self.ledger.now() <= self.began + grace * _LISTING_HOLDS and lists_in_order(self.ends.destination)
        if not is_certain and not version_status(self.ends.destination, name, item.before).available:
            return None
        return before_of(self.ends.source, item)


def new_contents(
    source: Store, manifest: Manifest, before: Manifest | None, carried: Callable[[str], None] | None = None
) -> Iterator[Entry]:
    """Yield the content that a version names and the previous one does not: lists of files, then files in path order.

    ``carried`` is called with each URI that the version points to, as registered, and may raise.
    """
    if carried:
        for place in manifest.pointed:
            carried(place.uri)
    shards = {shard.key for shard in (before.shards if before else None) or ()}
    for shard in manifest.shards or ():
        if shard.key not in shards:
            yield shard_content(shard)
    predecessor = Predecessor(Entries(source, before).items() if before else iter(()))
    for entry in Entries(source, manifest, as_registered=True):
        if carried and entry.uri is not None:
            carried(entry.uri)
        if objects := entry.objects():
            before_it = predecessor.at(entry.path)
            there = [held.key for held in before_it.objects()] if before_it else []
            yield from (held for held in objects if held.key not in there)


def once(contents: Iterable[Entry], on_repeated: Callable[[], None] = lambda: None) -> Iterator[Entry]:
    """Yield each blob once, within the limits of memory; call ``on_repeated`` for every repetition."""
    seen: set[str] = set()
    for content in contents:
        if content.key in seen:
            on_repeated()
            continue
        if len(seen) < _REMEMBERED:
            seen.add(content.key)
        yield content
