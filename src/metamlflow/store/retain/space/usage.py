"""Add up the space that names and versions take: one listing of records, one of blobs, one read of each manifest."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date

from metamlflow.errors import InvalidInputError, StoreFormatError
from metamlflow.format.layout import manifest_key
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.aliases import aliases_of
from metamlflow.store.catalog.protections import protected
from metamlflow.store.catalog.records import key_is_listed
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import not_found
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.retain.blob_index import Compared, listed_blobs, named_and_listed
from metamlflow.store.retain.catalogue import Catalogue, names_read
from metamlflow.store.retain.gaps import look_for
from metamlflow.store.retain.sorted_runs import MOST_BYTES
from metamlflow.store.retain.space.figures import Growth, NameUsage, VersionUsage
from metamlflow.store.retain.space.report import UsageReport
from metamlflow.store.retain.versions import NameRecords, Now
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.rate_limit import RateLimit

_UNREAD = frozenset({"alias", "note", "claim"})
_GIVEN_UP = frozenset({"pruned", "absent"})
_COUNTED = frozenset({"live", "pruned", "absent", "unknown"})


@dataclass(slots=True)
class _Space:
    """What adds up for a version or a name, in bytes."""

    bytes: int = 0
    own: int = 0
    shared: int = 0


@dataclass(slots=True)
class _Totals:
    """What adds up for the store, in bytes."""

    blobs: int = 0
    bytes: int = 0
    live: int = 0
    pruned: int = 0
    pruned_old: int = 0
    garbage: int = 0
    garbage_blobs: int = 0
    garbage_old: int = 0
    missing: int = 0


@callback_errors()
def usage_of(
    store: Store,
    name: ArtifactName | None = None,
    depth: int | None = None,
    progress: ProgressCallback | None = None,
    *,
    most_bytes: int = MOST_BYTES,
) -> UsageReport:
    """Return the space that a store takes.

    Args:
        store: the store.
        name: tell of this name and its versions alone; the totals are of the store.
        depth: add up names that have so many first segments in common.
        progress: the progress callback.
        most_bytes: how many bytes of the index of blobs are held in memory.

    Raises:
        ArtifactNotFoundError: the name has no version.
        InvalidInputError: ``depth`` is no whole number from 1 on.
    """
    given: object = depth
    if given is not None and not (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        raise InvalidInputError(f"depth is a whole number from 1 on, not {depth!r:.80}")
    store.marker()
    pace, now, counter = RateLimit(), Now.of(store), Counter("usage", progress)
    with Catalogue(lambda state: state in _COUNTED, most_bytes) as catalogue:
        unreadable: list[str] = []
        held: set[VersionId] = set()
        for records in names_read(store, pace, unread=_UNREAD):
            unreadable += _unread(store, records)
            held |= _held(store, records, unreadable)
            catalogue.add(records)
        for failure in catalogue.read_shards(store, pace):
            if any(catalogue.versions[index].state in {"live", "unknown"} for index in failure.versions):
                unreadable.append(failure.shard.key)
        if name is not None and not any(known.name == name for known in catalogue.versions):
            raise not_found(store, name, None)
        if any(known.state in _GIVEN_UP for known in catalogue.versions):
            held |= protected(store).keys()
        adding = _Adding(catalogue, now, depth, held)
        for compared in named_and_listed(catalogue.blobs.by_key(), listed_blobs(store)):
            adding.add(compared)
            counter.add(files=1)
        return adding.report(store.url, name, tuple(unreadable))


def _unread(store: Store, records: NameRecords) -> Iterator[str]:
    """Yield the keys of records that cannot be read, and of the highest manifest that vanished.

    What these name only seems to be garbage: a collection deletes nothing where one vanished.
    """
    yield from (read.info.key for read in records.all() if read.error is not None)
    there = set(records.committed())
    for version, read in records.manifests.items():
        if read.gone and version not in records.tombs:
            there.discard(version)
            if key_is_listed(store.backend, read.info.key, store.clock):
                yield read.info.key
    lost = next((number for number in range(max(there, default=0), 0, -1) if number not in there), None)
    if lost is not None and look_for(store, records.name, lost) is None:
        yield manifest_key(records.name, lost)


def _held(store: Store, records: NameRecords, unreadable: list[str]) -> set[VersionId]:
    """Return the versions of a name that an alias stands for, if any is given up: no collection takes their content."""
    if not records.aliases or not any(records.state_of(version) in _GIVEN_UP for version in records.committed()):
        return set()
    try:
        return {(records.name, version) for version in aliases_of(store, records.name).values()}
    except StoreFormatError as error:
        unreadable.append(error.key or str(records.name))
        return set()


@dataclass(slots=True)
class _Adding:
    """Adds up the blobs, one after another."""

    catalogue: Catalogue
    now: Now
    depth: int | None
    held: Container[VersionId]
    totals: _Totals = field(default_factory=_Totals)
    _of_versions: _Spaces = field(init=False)
    _of_names: dict[str, _Space] = field(default_factory=lambda: defaultdict(_Space))
    _stored: dict[date, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self._of_versions = _Spaces(len(self.catalogue.versions))

    def add(self, compared: Compared) -> None:
        """Take in a blob, who names it, and its object."""
        _, namings, info = compared
        held: dict[int, int] = {}
        kept: set[int] = set()  # by the versions that hold it, and by those that only point to it
        for naming in namings:
            kept.add(naming.version)
            if not naming.is_pointer:
                held[naming.version] = naming.size
        named_by = sorted(kept)
        live = [index for index in named_by if self.catalogue.versions[index].state in {"live", "unknown"}]
        totals = self.totals
        if info is None:
            first_of = min(held, default=None)
            totals.missing += held[first_of] if first_of is not None and not held.keys().isdisjoint(live) else 0
            return
        size = info.size
        totals.blobs += 1
        totals.bytes += size
        is_old = not self.now.is_younger(info)
        if live:
            totals.live += size
        elif named_by:
            totals.pruned += size
            totals.pruned_old += size if is_old and all(map(self._is_long_given_up, named_by)) else 0
        else:
            totals.garbage += size
            totals.garbage_blobs += 1
            totals.garbage_old += size if is_old else 0
            return
        self._share(size, sorted(held), live or named_by)
        first = min((day for index in held if (day := self._day(index)) is not None), default=None)
        if first is not None:
            self._stored[first] += size

    def _share(self, size: int, named_by: list[int], needing: list[int]) -> None:
        for index in named_by:
            self._of_versions.note(index, size, is_own=needing == [index])
        names = {self._group(index) for index in named_by}
        needing_names = {self._group(index) for index in needing}
        for name in names:
            _note(self._of_names[name], size, is_own=needing_names == {name})

    def _group(self, index: int) -> str:
        name = str(self.catalogue.versions[index].name)
        return name if self.depth is None else "/".join(name.split("/")[: self.depth])

    def _is_long_given_up(self, index: int) -> bool:
        known = self.catalogue.versions[index]
        if known.state_modified is None or (known.name, known.version) in self.held:
            return False
        return self.now.time - known.state_modified >= self.now.grace

    def _day(self, index: int) -> date | None:
        created = self.catalogue.versions[index].created_at
        return None if created is None else created.astimezone(UTC).date()

    # --- the report ---------------------------------------------------------------------------------------------------

    def report(self, uri: str, name: ArtifactName | None, unreadable: tuple[str, ...]) -> UsageReport:
        """Return the figures of a name, or of all."""
        totals, known = self.totals, self.catalogue.versions
        told = [i for i, each in enumerate(known) if each.state != "erased" and name in {None, each.name}]
        return UsageReport(
            uri=uri,
            blobs=totals.blobs,
            bytes=totals.bytes,
            live=totals.live,
            pruned=totals.pruned,
            pruned_old=totals.pruned_old,
            garbage=totals.garbage,
            garbage_blobs=totals.garbage_blobs,
            garbage_old=totals.garbage_old,
            missing=totals.missing,
            pointed=sum(each.pointed for each in known if each.state == "live"),
            names=tuple(sorted(self._names(told), key=lambda each: (-each.bytes, each.name))),
            versions=tuple(self._versions(told)),
            growth=tuple(self._growth()),
            unreadable=unreadable,
        )

    def _names(self, told: list[int]) -> Iterator[NameUsage]:
        groups: dict[str, list[int]] = defaultdict(list)
        for index in told:
            groups[self._group(index)].append(index)
        for group, indexes in groups.items():
            space = self._of_names.get(group, _Space())
            versions = [self.catalogue.versions[index] for index in indexes]
            live = sum(each.state == "live" for each in versions)
            pointed = sum(each.pointed for each in versions if each.state == "live")
            yield NameUsage(group, len(versions), live, space.bytes, space.own, space.shared, pointed)

    def _versions(self, told: list[int]) -> Iterator[VersionUsage]:
        for index in sorted(told, key=lambda i: (self.catalogue.versions[i].name, self.catalogue.versions[i].version)):
            each, space = self.catalogue.versions[index], self._of_versions.at(index)
            yield VersionUsage(
                str(each.name), each.version, each.state, each.created_at, each.files,
                space.bytes, space.own, space.shared, each.pointed,
            )  # fmt: skip

    def _growth(self) -> Iterator[Growth]:
        registered: dict[date, int] = defaultdict(int)
        for index, each in enumerate(self.catalogue.versions):
            if (day := self._day(index)) is not None:
                registered[day] += each.size - each.pointed
        all_registered = all_stored = 0
        for day in sorted(registered.keys() | self._stored.keys()):
            all_registered += registered.get(day, 0)
            all_stored += self._stored.get(day, 0)
            yield Growth(day, all_registered, all_stored)


_MOST = 2**63 - 1


class _Spaces:
    """The spaces of so many versions, in sixteen bytes each: there may be a million."""

    def __init__(self, count: int) -> None:
        self._own, self._shared = array("q", bytes(8 * count)), array("q", bytes(8 * count))

    def note(self, index: int, size: int, *, is_own: bool) -> None:
        """Add content to one."""
        sums = self._own if is_own else self._shared
        sums[index] = min(sums[index] + size, _MOST)  # whatever a server says of sizes

    def at(self, index: int) -> _Space:
        """Return one."""
        own, shared = self._own[index], self._shared[index]
        return _Space(own + shared, own, shared)


def _note(space: _Space, size: int, *, is_own: bool) -> None:
    space.bytes += size
    if is_own:
        space.own += size
    else:
        space.shared += size
