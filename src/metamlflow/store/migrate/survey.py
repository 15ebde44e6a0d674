"""Compare the listings of both stores of a migration, name by name."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from metamlflow.backend import ObjectInfo
from metamlflow.errors import InvalidInputError
from metamlflow.format.layout import (
    ARTIFACTS,
    artifact_prefix,
    manifest_key,
    name_of_artifact_key,
    note_of_key,
    parse_version_key,
)
from metamlflow.format.manifests import digest_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import everything_below, listed, read_or_none
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
        info: its listed manifest at the source.
        before: the listed manifest of the previous version, if it has one.
    """

    number: int
    states: tuple[int, ...]
    there: tuple[int, ...]
    is_committed: bool
    is_wanted: bool
    info: ObjectInfo
    before: ObjectInfo | None

    @property
    def is_live(self) -> bool:
        """Whether its bytes are present at the source: even states bring them back."""
        return max(self.states, default=0) % 2 == 0

    @property
    def is_live_there(self) -> bool:
        """Whether its bytes are present at the destination."""
        return self.is_committed and max(self.there, default=0) % 2 == 0


@dataclass(frozen=True, slots=True)
class NameState:
    """The versions and records of a name in both stores, from their listings.

    Attributes:
        name: the name.
        present: versions that both have in the same state. Without a conflict, the newest common version is the same in
            both stores, and so are all before it, because each manifest holds the digest of the one before.
        due: versions with something left to do.
        others: keys of further records (aliases, notes, idempotency claims) that only the source has.
        conflict: the newest version that both have, and its digests at the source and at the destination, if they
            differ.
        live_there: those among ``present`` whose bytes are present at the destination.
        live_at_both: those whose bytes are present at the source as well.
    """

    name: ArtifactName
    present: tuple[int, ...] = ()
    due: tuple[VersionState, ...] = ()
    others: tuple[str, ...] = ()
    conflict: tuple[int, str, str] | None = None
    live_there: frozenset[int] = frozenset()
    live_at_both: frozenset[int] = frozenset()


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
    manifests, states, others = _sorted(name, ours)
    manifests_there, states_there, others_there = _sorted(name, theirs)
    if not manifests:
        return None
    live = {number for number in manifests if max(states.get(number, ()), default=0) % 2 == 0}
    wanted = selection.of(name, live)
    present: list[VersionState] = []
    due: list[VersionState] = []
    for number in sorted(manifests):
        of_source, of_destination = (tuple(sorted(found.get(number, ()))) for found in (states, states_there))
        version = VersionState(
            number,
            of_source,
            of_destination,
            number in manifests_there,
            number in wanted,
            manifests[number],
            manifests.get(number - 1),
        )
        (due if _is_due(version) else present).append(version)
    left_out = live - set(wanted)
    others = {key for key in others if _note_goes(name, key, manifests, left_out)}
    both = [number for number in manifests if number in manifests_there]
    conflict = None
    if both and not _is_same(manifests[max(both)], manifests_there[max(both)]):
        key = manifest_key(name, max(both))
        digest, there = (digest_of(read_or_none(store, key) or b"") for store in (ends.source, ends.destination))
        conflict = (max(both), digest, there) if digest != there else None
    return NameState(
        name,
        tuple(version.number for version in present),
        tuple(due),
        tuple(sorted(others - others_there)),
        conflict,
        frozenset(version.number for version in present if version.is_live_there),
        frozenset(version.number for version in present if version.is_live_there and version.is_live),
    )


def _note_goes(name: ArtifactName, key: str, manifests: Collection[int], left_out: Collection[int]) -> bool:
    """Whether a record goes along: those that are notes on a version only if that is not left out by a selection."""
    note = note_of_key(name, key)
    return note is None or note.version is None or (note.version in manifests and note.version not in left_out)


def _is_due(version: VersionState) -> bool:
    ours, theirs = max(version.states, default=0), max(version.there, default=0)
    if not version.is_committed:
        return True
    if theirs <= ours:
        return theirs < ours
    # The destination has its own states: it left the version out, or has restored it since.
    return version.is_live != version.is_live_there and (version.is_wanted or not version.is_live)


def _sorted(
    name: ArtifactName, infos: Iterable[ObjectInfo]
) -> tuple[dict[int, ObjectInfo], dict[int, list[int]], set[str]]:
    """Return the manifests by number, the numbers of their state records, and the keys of everything else."""
    manifests: dict[int, ObjectInfo] = {}
    states: dict[int, list[int]] = {}
    others: set[str] = set()
    for info in infos:
        key = parse_version_key(name, info.key)
        if key is None:
            others.add(info.key)
        elif key.state is None:
            manifests[key.version] = info
        else:
            states.setdefault(key.version, []).append(key.state)
    return manifests, states, others


def _is_same(ours: ObjectInfo, theirs: ObjectInfo) -> bool:
    """Whether listings prove that two objects are the same: by an MD5, as in most ETags of S3, and in GCS's listings.

    False only means that it is not proven: an ETag may be something else.
    """
    md5 = _md5(ours)
    return ours.size == theirs.size and bool(md5) and md5 == _md5(theirs)


def _md5(info: ObjectInfo) -> str | None:
    tag = (info.etag or "").strip('"')
    return info.checksums.get("md5") or (tag if len(tag) == _MD5_CHARACTERS else None)
