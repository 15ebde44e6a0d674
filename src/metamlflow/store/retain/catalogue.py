"""All versions of a store and what they name: each manifest and each list of files is read once, in parallel."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from metamlflow.backend import ObjectInfo
from metamlflow.errors import MetaMLFlowError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.entries import decode_shard
from metamlflow.format.layout import ARTIFACTS
from metamlflow.model.manifests import Shard
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import kept
from metamlflow.store.catalog.entries import read_shard
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.blob_index import BlobIndex, naming_lines
from metamlflow.store.retain.record_reads import known_records, read_each
from metamlflow.store.retain.sorted_runs import MOST_BYTES
from metamlflow.store.retain.versions import NameRecords, VersionState
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.store.transfer.scheduler import in_parallel


def names_read(
    store: Store,
    pace: RateLimit,
    on_unknown: Callable[[ObjectInfo], None] = lambda _: None,
    *,
    unread: frozenset[str] = frozenset(),
) -> Iterator[NameRecords]:
    """Yield the records of each name, in the order of the listing: one listing, and one read of each record.

    Args:
        store: the store.
        pace: the rate.
        on_unknown: is given each listed object that is no record.
        unread: kinds of records that are not read.
    """
    records = known_records(listed_in_order(store, ARTIFACTS), on_unknown)
    # The keys of one name are neighbours in a listing.
    reads = read_each(store, records, pace, unread=unread)
    for name, group in itertools.groupby(reads, key=lambda read: read.at.name):
        if name is not None:
            yield NameRecords.of(name, group)


@dataclass(slots=True)
class KnownVersion:
    """One version that is kept in mind.

    Attributes:
        name: the name.
        version: its number.
        state: its state.
        created_at: when it was registered, by its writer's clock, in UTC; None if its manifest could not be read.
        state_modified: when its newest state record was written, by the storage's clock; None if it has none.
        size: of all its files, in bytes.
        files: how many files it has.
        pointed: the bytes of those that lie elsewhere.
    """

    name: ArtifactName
    version: int
    state: VersionState
    created_at: datetime | None = None
    state_modified: datetime | None = None
    size: int = 0
    files: int = 0
    pointed: int = 0


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A list of files that could not be read.

    Attributes:
        shard: what the manifests say of it.
        versions: the indexes of the versions that name it.
        error: why.
    """

    shard: Shard
    versions: tuple[int, ...]
    error: MetaMLFlowError


class Catalogue:
    """The versions that were seen, by an index, and an index of the blobs that they name. A context manager.

    Args:
        wanted: which versions' blobs are noted, by their state.
        most_bytes: how many bytes of the index of blobs are held in memory.
    """

    def __init__(self, wanted: Callable[[VersionState], bool], most_bytes: int = MOST_BYTES) -> None:
        self._wanted = wanted
        self.versions: list[KnownVersion] = []
        self.blobs = BlobIndex(most_bytes)
        self._shards: dict[str, tuple[Shard, list[int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.blobs.__exit__(*failure)

    def add(self, records: NameRecords) -> None:
        """Take in the versions of a name."""
        for version in records.committed():
            index = len(self.versions)
            facts, state = records.facts_of(version), records.state_of(version)
            known = KnownVersion(records.name, version, state)
            newest = records.newest_state(version)
            known.state_modified = newest.info.modified if newest else None
            self.versions.append(known)
            if facts is None:
                continue
            known.created_at, known.size, known.files = facts.created_at, facts.size, facts.files
            known.pointed = facts.pointed
            if not self._wanted(state):
                continue
            for line in facts.lines:
                self.blobs.add(index, line)
            for shard in facts.shards:
                self._shards.setdefault(shard.key, (shard, []))[1].append(index)

    def read_shards(self, store: Store, pace: RateLimit) -> Iterator[ShardFailure]:
        """Note what the lists of files name, each read once; yield those that cannot be read."""

        def read(item: tuple[Shard, list[int]]) -> tuple[list[bytes], int] | ShardFailure:
            shard, versions = item
            pace.take(objects=1)
            try:
                data = read_shard(store, shard)
                pace.take(size=len(data))
                items = decode_shard(data, shard)
            except MetaMLFlowError as error:
                return ShardFailure(shard, tuple(versions), kept(error))
            return naming_lines(items)

        shards = [self._shards[key] for key in sorted(self._shards)]
        read_ones = in_parallel(read, shards, size_of=lambda item: min(item[0].size, MAX_DOCUMENT_BYTES))
        for (_, versions), outcome in zip(shards, read_ones, strict=True):
            if isinstance(outcome, ShardFailure):
                yield outcome
                continue
            lines, pointed = outcome
            for index in versions:
                self.versions[index].pointed += pointed
                for line in lines:
                    self.blobs.add(index, line)
