"""Compare the listings of both stores of a migration, name by name."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from metamlflow.backend import ObjectInfo
from metamlflow.errors import InvalidInputError, StoreFormatError
from metamlflow.format.layout import (
    ARTIFACTS,
    artifact_prefix,
    name_of_artifact_key,
    note_of_key,
    parse_version_key,
)
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import VersionStatus, live_or_damaged, merged
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import another_history, digest_at, everything_below, listed
from metamlflow.store.migrate.selection import Selection, Versions, wanted_names
from metamlflow.store.transfer.scheduler import in_parallel

_MD5_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version of the source, and its state in both stores.

    Attributes:
        number: its number.
        states: the numbers of its state records at the source, ascending.
        there: the numbers of its state records at the destination.
        is_committed: whether the destination has its manifest.
        is_wanted: whether its bytes are copied.
        info: its listed manifest at the source; None if there is none, since it was erased.
        before: the listed manifest of the previous version, if it has one.
        is_live: whether its bytes are present at the source.
        is_erased: whether it was erased at the source.
        is_erased_there: whether it was erased at the destination.
        damaged: why it cannot be told whether its bytes are present at the source, if so.
    """

    number: int
    states: tuple[int, ...]
    there: tuple[int, ...]
    is_committed: bool
    is_wanted: bool
    info: ObjectInfo | None
    before: ObjectInfo | None
    is_live: bool
    is_erased: bool = False
    is_erased_there: bool = False
    damaged: StoreFormatError | None = None

    @property
    def is_live_there(self) -> bool:
        """Whether its bytes are certainly present at the destination."""
        return self.is_committed and not self.is_erased_there and max(self.there, default=0) % 2 == 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why nothing of a name is brought.

    Attributes:
        version: the newest version that both stores have.
        reason: it differs, or its record is damaged.
        digest: of its manifest at the source, where that is known.
        status: ``conflict`` if the names have different histories, ``failed`` if that cannot be told.
    """

    version: int
    reason: str
    digest: str | None = None
    status: Literal["conflict", "failed"] = "conflict"


@dataclass(frozen=True, slots=True)
class NameState:
    """The versions and records of a name in both stores, from their listings.

    Attributes:
        name: the name.
        present: versions that both have in the same state. Without a conflict, the newest common version is the same in
            both stores, and so are all before it, because each manifest holds the digest of the one before.
        due: versions with something left to do.
        others: keys of further records (aliases, notes, idempotency claims) that only the source has.
        conflict: why nothing of the name is brought, if so.
        live_there: those among ``present`` whose bytes are present at the destination.
        live_at_both: those whose bytes are present at the source as well.
        erased: those among ``present`` that were erased at one end or both: nothing brings them back.
    """

    name: ArtifactName
    present: tuple[int, ...] = ()
    due: tuple[VersionState, ...] = ()
    others: tuple[str, ...] = ()
    conflict: Conflict | None = None
    live_there: frozenset[int] = frozenset()
    live_at_both: frozenset[int] = frozenset()
    erased: frozenset[int] = frozenset()


def look(ends: StorePair, names: Iterable[str] | None, versions: Versions | None) -> list[NameState]:
    """Compare the listings of both stores: for all names with one listing per store, else with one per name.

    For each name one manifest is read from both stores, unless the listings show that it is the same.

    Raises:
        ArtifactNotFoundError: one of the names does not exist, or does not have such a version.
    """
    selection = Selection(ends.source, versions)
    listings = _listings_of_all(ends) if names is None else _listings_of(ends, wanted_names(ends.source, names))
    states = [state for state in in_parallel(partial(_compared, ends, selection), listings) if state is not None]
    if states and not selection.selects:
        raise InvalidInputError(
            f"{versions!r:.100} selects no version of these names that has its bytes",
            hint="Without it, all versions are copied; `metamlflow history NAME` lists those of a name.",
        )
    return states


def look_at(ends: StorePair, name: ArtifactName, versions: Versions | None) -> NameState | None:
    """Compare the listings of one name in both stores."""
    (listing,) = _listings_of(ends, [name])
    return _compared(ends, Selection(ends.source, versions), listing)


# --- listings ---------------------------------------------------------------------------------------------------------

Listing = tuple[ArtifactName, list[ObjectInfo], list[ObjectInfo]]


def _listings_of(ends: StorePair, names: Iterable[ArtifactName]) -> Iterator[Listing]:
    def lists(name: ArtifactName) -> Listing:
        prefix = artifact_prefix(name)
        return name, listed(ends.source, prefix), listed(ends.destination, prefix)

    return in_parallel(lists, names)


def _listings_of_all(ends: StorePair) -> Iterator[Listing]:
    """Merge the listings of both stores by name. The keys of one name are adjacent in a listing."""
    theirs = _by_name(ends.destination)
    there = next(theirs, None)
    for name, ours in _by_name(ends.source):
        while there is not None and _order(there[0]) < _order(name):
            there = next(theirs, None)
        yield name, ours, there[1] if there is not None and there[0] == name else []


def _order(name: ArtifactName) -> bytes:
    return artifact_prefix(name).encode()


def _by_name(store: Store) -> Iterator[tuple[ArtifactName, list[ObjectInfo]]]:
    infos = everything_below(store, ARTIFACTS)
    for name, group in itertools.groupby(infos, key=lambda info: name_of_artifact_key(info.key)):
        if name is not None:
            yield ArtifactName(name), list(group)


# --- comparing --------------------------------------------------------------------------------------------------------


def _compared(ends: StorePair, selection: Selection, listing: Listing) -> NameState | None:
    name, ours, theirs = listing
    here, others = _sorted(name, ours)
    there, others_there = _sorted(name, theirs)
    numbers = [number for number, status in here.items() if status.committed]
    if not numbers:
        return None
    found, damaged = live_or_damaged(ends.source, name, (here[number] for number in numbers), by_times=False)
    live = {status.version for status in found}
    wanted = selection.of(name, live)
    present: list[VersionState] = []
    due: list[VersionState] = []
    for number in sorted(numbers):
        at_source, at_destination = here[number], there.get(number, Found(number, committed=False))
        before = here.get(number - 1)
        version = VersionState(
            number,
            at_source.states,
            at_destination.states,
            at_destination.info is not None,
            number in wanted,
            at_source.info,
            before.info if before else None,
            number in live,
            at_source.erased,
            at_destination.erased,
            damaged.get(number),
        )
        (due if _is_due(version) else present).append(version)
    left_out = live - set(wanted)
    others = {key for key in others if _note_goes(name, key, here, there, left_out)}
    return NameState(
        name,
        tuple(version.number for version in present),
        tuple(due),
        tuple(sorted(others - others_there)),
        _conflict(ends, name, here, there),
        frozenset(version.number for version in present if version.is_live_there),
        frozenset(version.number for version in present if version.is_live_there and version.is_live),
        frozenset(version.number for version in present if version.is_erased or version.is_erased_there),
    )


def _note_goes(
    name: ArtifactName, key: str, here: Mapping[int, Found], there: Mapping[int, Found], left_out: Collection[int]
) -> bool:
    """Whether a record goes along: all but notes on a version that a selection leaves out, or that was erased."""
    note = note_of_key(name, key)
    if note is None or note.version is None:
        return True
    ours, theirs = here.get(note.version), there.get(note.version)
    if ours is None or ours.info is None or ours.erased or (theirs is not None and theirs.erased):
        return False
    return note.version not in left_out


def _conflict(ends: StorePair, name: ArtifactName, here: dict[int, Found], there: dict[int, Found]) -> Conflict | None:
    """Compare the newest version that both have: by its manifest, or by what is recorded of an erased one.

    Of one that was lost and given up nothing may be recorded; then the one before tells.
    """
    both = [number for number, found in here.items() if found.committed and number in there and there[number].committed]
    for number in sorted(both, reverse=True):
        ours, theirs = here[number], there[number]
        is_erased = ours.erased or theirs.erased
        if not is_erased and ours.info is not None and theirs.info is not None and _is_same(ours.info, theirs.info):
            return None
        version = name, number
        try:
            digest, found = (digest_at(store, version) for store in (ends.source, ends.destination))
        except StoreFormatError as error:
            return Conflict(number, error.message, status="failed")
        if digest is not None and found is not None:
            return (
                None if digest == found else Conflict(number, another_history(version, digest, found).message, digest)
            )
    return None


def _is_due(version: VersionState) -> bool:
    ours, theirs = max(version.states, default=0), max(version.there, default=0)
    if version.is_erased_there:
        return False
    if version.is_erased or version.damaged or not version.is_committed:
        return True
    if theirs <= ours:
        return theirs < ours
    # The destination has its own states: it left the version out, or has restored it since.
    return version.is_live != version.is_live_there and (version.is_wanted or not version.is_live)


@dataclass(frozen=True, slots=True)
class Found(VersionStatus):
    """A version in a listing, with the numbers of all of its state records, ascending."""

    states: tuple[int, ...] = ()


def _sorted(name: ArtifactName, infos: Iterable[ObjectInfo]) -> tuple[dict[int, Found], set[str]]:
    """Return the versions by number, and the keys of everything else."""
    states: dict[int, list[int]] = {}
    others: set[str] = set()
    own: list[ObjectInfo] = []
    for info in infos:
        key = parse_version_key(name, info.key)
        if key is None:
            others.add(info.key)
            continue
        own.append(info)
        if key.state is not None:
            states.setdefault(key.version, []).append(key.state)
    return {
        status.version: Found(
            status.version,
            status.state,
            status.committed,
            status.info,
            status.state_info,
            status.erased,
            states=tuple(sorted(states.get(status.version, ()))),
        )
        for status in merged(name, own)
    }, others


def _is_same(ours: ObjectInfo, theirs: ObjectInfo) -> bool:
    """Whether listings prove that two objects are the same: by an MD5, as in most ETags of S3, and in GCS's listings.

    False only means that it is not proven: an ETag may be something else.
    """
    md5 = _md5(ours)
    return ours.size == theirs.size and bool(md5) and md5 == _md5(theirs)


def _md5(info: ObjectInfo) -> str | None:
    tag = (info.etag or "").strip('"')
    return info.checksums.get("md5") or (tag if len(tag) == _MD5_CHARACTERS else None)
