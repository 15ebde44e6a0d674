"""From versions to the keys that they name: manifests, and each shard once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from metamlflow.backend import ObjectInfo
from metamlflow.errors import IntegrityError, StorageError, StoreFormatError
from metamlflow.model.manifests import Shard
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.judging import Judged, listed_versions
from metamlflow.store.retain.collecting.kept import (
    STANDINGS,
    NamedKeys,
    Owner,
    Owners,
    Standing,
    named_key,
    split_key,
)
from metamlflow.store.retain.collecting.moment import Moment
from metamlflow.store.retain.collecting.reading import Reader, ShardOf, memory_of_shard
from metamlflow.store.retain.collecting.spreading import Spreading
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.scheduler import in_parallel

_SHOWN = 1_000
_MOST_OF_DEAD = 1024 * 1024  # bytes that most manifests take while they are read


@dataclass
class Survey:
    """What the records of a store say.

    Attributes:
        counts: versions by their standing, and ``erased``.
        held: the first thousand that are kept although they are not live, and why.
        waiting: the first thousand that are pruned and in their grace.
        buried: manifests that lie under an old tomb, to be deleted.
    """

    counts: dict[str, int] = field(default_factory=dict)
    held: list[Owner] = field(default_factory=list)
    waiting: list[Owner] = field(default_factory=list)
    buried: list[ObjectInfo] = field(default_factory=list)


class NamesOfVersions:
    """Reads the records of a store and notes which keys they name.

    Args:
        store: the store.
        moment: what versions are judged by.
        folder: for files.
        counter: counts versions.
        executor: reads what is kept in other processes; None for this one.
    """

    def __init__(
        self, store: Store, moment: Moment, folder: Path, counter: Counter, executor: Executor | None = None
    ) -> None:
        self._store = store
        self._reader = Reader(store, moment)
        self._spreading = Spreading(self._reader, executor, counter.add)
        self._counter = counter
        self._shards: dict[bytes, tuple[int, int]] = {}  # that were read, and for how firm a standing
        self._dead = (folder / "dead").open("w+b")
        self.owners = Owners(folder)
        self.keys = NamedKeys(folder)
        self.survey = Survey()

    def read(self, *, kept_alone: bool = False) -> None:
        """Read all of it: first what is kept, each part of which must be readable, then, if asked for, what is not."""
        with closing(self.owners), self._dead:
            for part, keys in self._spreading.shards(self._shards_of_kept()):
                self._add(keys, part.owner)
            dead = () if kept_alone else self._shards_of_dead()
            for part, keys in in_parallel(self._of_dead_shard, dead, size_of=memory_of_shard):
                self._add(keys, part.owner)
        self.keys.flush()

    def _shards_of_kept(self) -> Iterator[ShardOf]:
        for version in self._spreading.versions(listed_versions(self._store)):
            judged = version.judged
            self._count(judged)
            if judged.standing == "dead":  # not kept in memory: there may be many
                self._dead.write(json.dumps([judged.name, judged.version, judged.reason]).encode() + b"\n")
            elif judged.standing is not None:
                owner = self.owners.add(Owner(judged.reference, judged.reason, judged.until))
                yield from self._take(version.keys, version.shards, judged.standing, owner, judged.until)

    def _shards_of_dead(self) -> Iterator[ShardOf]:
        """What an old version named is garbage if nothing else names it. This tells whose it was, and nothing more."""
        self._dead.seek(0)
        for found in in_parallel(self._of_dead, self._dead, size_of=lambda _: _MOST_OF_DEAD):
            if found is not None:
                owner, keys, shards = found
                yield from self._take(keys, shards, "dead", self.owners.add(owner))

    def _take(
        self,
        keys: Iterable[bytes],
        shards: Iterable[Shard],
        standing: Standing,
        owner: int,
        until: datetime | None = None,
    ) -> Iterator[ShardOf]:
        self._add(keys, owner)
        # Many versions of a name share most of their shards. Of those that a live version has, more is asked than of
        # others: that their content is there. Of versions in their grace the day counts on which it ends last.
        firmness = (STANDINGS.index(standing), -until.toordinal() if until else 0)
        for shard in shards:
            self._add(named_key(shard.key, standing, shard.size, until), owner)
            known = b"".join(split_key(shard.key) or (shard.key.encode(),))
            if known not in self._shards or self._shards[known] > firmness:
                self._shards[known] = firmness
                yield ShardOf(shard, standing, owner, until)

    def _add(self, keys: Iterable[bytes], owner: int) -> None:
        number = owner.to_bytes(8, "big")
        self.keys.add(key + number for key in keys)

    def _of_dead(self, line: bytes) -> tuple[Owner, list[bytes], tuple[Shard, ...]] | None:
        name, version, reason = json.loads(line)
        try:
            manifest = load_manifest(self._store, ArtifactName(name), version).manifest
        except (StorageError, StoreFormatError):
            return None  # erased since; its content is garbage all the same
        keys = self._reader.keys_of(manifest.items or (), "dead")
        return Owner(f"{name}@{version}", reason), keys, manifest.shards or ()

    def _of_dead_shard(self, part: ShardOf) -> tuple[ShardOf, list[bytes]]:
        try:
            return part, self._reader.shard(part)
        except (StorageError, IntegrityError, StoreFormatError):
            return part, []  # collected before, as a rule

    def _count(self, judged: Judged) -> None:
        self._counter.add(files=1)
        survey, standing = self.survey, judged.standing or "erased"
        survey.counts[standing] = survey.counts.get(standing, 0) + 1
        if judged.buried is not None:
            survey.buried.append(judged.buried)
        shown = {"held": survey.held, "waiting": survey.waiting}.get(standing)
        if shown is not None and len(shown) < _SHOWN:
            shown.append(Owner(judged.reference, judged.reason, judged.until))
