"""From versions to the keys that they name: manifests, and each shard once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from metamlflow.backend import ObjectInfo
from metamlflow.errors import IntegrityError, StorageError, StoreFormatError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.entries import decode_shard
from metamlflow.format.layout import BLOBS
from metamlflow.model.manifests import Item, Shard
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.entries import read_shard
from metamlflow.store.catalog.statuses import VersionStatus, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.judging import Holders, Judged, judged, listed_versions
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
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.scheduler import in_parallel

_SHOWN = 1_000
_PARSED = 8  # times the bytes of a document are in memory while it is read


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
    buried: list[tuple[str, ObjectInfo]] = field(default_factory=list)


class NamesOfVersions:
    """Reads the records of a store and notes which keys they name.

    Args:
        store: the store.
        moment: what versions are judged by.
        folder: for files.
        counter: counts versions.
    """

    def __init__(self, store: Store, moment: Moment, folder: Path, counter: Counter) -> None:
        self._store = store
        self._moment = moment
        self._counter = counter
        self._shards: dict[bytes, int] = {}  # that were read, and for how firm a standing
        self._root = f"{store.backend.url}/{BLOBS}"
        self._dead = (folder / "dead").open("w+b")
        self.owners = Owners(folder)
        self.keys = NamedKeys(folder)
        self.survey = Survey()

    def read(self) -> None:
        """Read all of it: first what is kept, each part of which must be readable, then what is not."""
        with closing(self.owners), self._dead:
            for part in in_parallel(self._of_shard, self._shards_of_kept(), size_of=_size_of):
                self._add(part)
            for part in in_parallel(self._of_dead_shard, self._shards_of_dead(), size_of=_size_of):
                self._add(part)
        self.keys.flush()

    def _shards_of_kept(self) -> Iterator[_ShardOf]:
        listed = listed_versions(self._store)
        for version in in_parallel(self._judge, listed, size_of=_manifest_size):
            judged = version.judged
            self._count(judged)
            if judged.standing == "dead":  # not kept in memory: there may be many
                self._dead.write(json.dumps([judged.name, judged.version, judged.reason]).encode() + b"\n")
            elif judged.standing is not None:
                owner = self.owners.add(Owner(judged.reference, judged.reason, judged.until))
                yield from self._take(version.keys, version.shards, judged.standing, owner)

    def _shards_of_dead(self) -> Iterator[_ShardOf]:
        """What an old version named is garbage if nothing else names it. This tells whose it was, and nothing more."""
        self._dead.seek(0)
        for line in self._dead:
            name, version, reason = json.loads(line)
            try:
                manifest = load_manifest(self._store, ArtifactName(name), version).manifest
            except (StorageError, StoreFormatError):
                continue  # erased since; its content is garbage all the same
            owner = self.owners.add(Owner(f"{name}@{version}", reason))
            yield from self._take(self._keys_of(manifest.items or (), "dead"), manifest.shards or (), "dead", owner)

    def _judge(self, listed: tuple[ArtifactName, VersionStatus, Holders]) -> _Version:
        found = judged(self._store, self._moment, *listed)
        if found.manifest is None or found.standing is None or found.standing == "dead":
            return _Version(replace(found, manifest=None), [], ())
        manifest = found.manifest.manifest
        keys = self._keys_of(manifest.items or (), found.standing)
        return _Version(replace(found, manifest=None), keys, manifest.shards or ())  # what is left is small

    def _take(
        self, keys: Iterable[bytes], shards: Iterable[Shard], standing: Standing, owner: int
    ) -> Iterator[_ShardOf]:
        self._add(_KeysOf(keys, owner))
        for shard in shards:
            self._add(_KeysOf(named_key(shard.key, standing, shard.size), owner))
            # Many versions of a name share most of their shards. Of those that a live version has, more is asked than
            # of others: that their content is there.
            known, firmness = b"".join(split_key(shard.key) or (shard.key.encode(),)), STANDINGS.index(standing)
            if self._shards.get(known, len(STANDINGS)) > firmness:
                self._shards[known] = firmness
                yield _ShardOf(shard, standing, owner)

    def _add(self, part: _KeysOf) -> None:
        owner = part.owner.to_bytes(8, "big")
        self.keys.add(key + owner for key in part.keys)

    def _of_shard(self, part: _ShardOf) -> _KeysOf:
        items = decode_shard(read_shard(self._store, part.shard), part.shard)
        return _KeysOf(self._keys_of(items, part.standing), part.owner)

    def _of_dead_shard(self, part: _ShardOf) -> _KeysOf:
        try:
            return self._of_shard(part)
        except (StorageError, IntegrityError, StoreFormatError):
            return _KeysOf((), part.owner)  # collected before, as a rule

    def _keys_of(self, items: Iterable[Item], standing: Standing) -> list[bytes]:
        keys: list[bytes] = []
        for item in items:
            for held in item.objects():
                keys += named_key(held.key, standing, held.size)
            # A pointer may lead into this very store. What it leads to is nobody's to delete.
            if item.uri and standing != "dead" and item.uri.startswith(self._root):
                keys += named_key(BLOBS + item.uri.removeprefix(self._root), "held", item.size)
        return keys

    def _count(self, judged: Judged) -> None:
        self._counter.add(files=1)
        survey, standing = self.survey, judged.standing or "erased"
        survey.counts[standing] = survey.counts.get(standing, 0) + 1
        if judged.buried is not None:
            survey.buried.append((judged.reference, judged.buried))
        shown = {"held": survey.held, "waiting": survey.waiting}.get(standing)
        if shown is not None and len(shown) < _SHOWN:
            shown.append(Owner(judged.reference, judged.reason, judged.until))


@dataclass(frozen=True, slots=True)
class _Version:
    judged: Judged
    keys: list[bytes]
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class _KeysOf:
    keys: Iterable[bytes]
    owner: int


@dataclass(frozen=True, slots=True)
class _ShardOf:
    shard: Shard
    standing: Standing
    owner: int


def _size_of(part: _ShardOf) -> int:
    return min(part.shard.size * _PARSED, MAX_DOCUMENT_BYTES)


def _manifest_size(listed: tuple[ArtifactName, VersionStatus, Holders]) -> int:
    info = listed[1].info
    return min(info.size * _PARSED, MAX_DOCUMENT_BYTES) if info else 0
