"""What a collection reads of versions: whether they are kept, and which keys they name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from metamlflow.format.blob_uris import blob_keys_in_uri
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.entries import decode_shard
from metamlflow.model.manifests import Item, Shard
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.entries import read_shard
from metamlflow.store.catalog.statuses import VersionStatus
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.judging import Holders, Judged, judged
from metamlflow.store.retain.collecting.kept import Standing, named_key
from metamlflow.store.retain.collecting.moment import Moment

ListedVersion = tuple[ArtifactName, VersionStatus, Holders]
_PARSED = 8  # times the bytes of a document are in memory while it is read


@dataclass(frozen=True, slots=True)
class NamedVersion:
    """A version that was judged, and what it names.

    Attributes:
        judged: what was found, without its manifest.
        keys: records of the keys that its manifest names.
        shards: its lists of files, if its content is kept.
    """

    judged: Judged
    keys: list[bytes]
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class ShardOf:
    """A shard to read.

    Attributes:
        shard: the shard.
        standing: of the version that has it.
        owner: that version, as :class:`~metamlflow.store.retain.collecting.kept.Owners` knows it.
        until: the end of its grace, if it is in it.
    """

    shard: Shard
    standing: Standing
    owner: int
    until: datetime | None = None


class Reader:
    """Reads versions and shards. Thread-safe.

    Args:
        store: the store.
        moment: what versions are judged by.
    """

    def __init__(self, store: Store, moment: Moment) -> None:
        self.store = store
        self.moment = moment

    def version(self, listed: ListedVersion) -> NamedVersion:
        """Judge a version, and read what its manifest names if its content is kept."""
        found = judged(self.store, self.moment, *listed)
        if found.manifest is None or found.standing is None or found.standing == "dead":
            return NamedVersion(replace(found, manifest=None), [], ())
        manifest = found.manifest.manifest
        keys = self.keys_of(manifest.items or (), found.standing, found.until)
        return NamedVersion(replace(found, manifest=None), keys, manifest.shards or ())  # what is left is small

    def shard(self, part: ShardOf) -> list[bytes]:
        """Return records of the keys that a shard names."""
        return self.keys_of(decode_shard(read_shard(self.store, part.shard), part.shard), part.standing, part.until)

    def keys_of(self, items: Iterable[Item], standing: Standing, until: datetime | None = None) -> list[bytes]:
        """Return records of the keys that items name, for a version of that standing, in its grace until then."""
        keys: list[bytes] = []
        for item in items:
            for held in item.objects():
                keys += named_key(held.key, standing, held.size, until)
            # A pointer may lead into this very store. What it leads to is nobody's to delete.
            if item.uri and standing != "dead":
                pointing: Standing = "held" if standing == "live" else standing  # it need not be there
                for key in blob_keys_in_uri(item.uri):
                    keys += named_key(key, pointing, item.size, until)
        return keys


def memory_of_version(listed: ListedVersion) -> int:
    """Return how many bytes the reading of a version may take."""
    info = listed[1].info
    return min(info.size * _PARSED, MAX_DOCUMENT_BYTES) if info else 0


def memory_of_shard(part: ShardOf) -> int:
    """Return how many bytes the reading of a shard may take."""
    return min(part.shard.size * _PARSED, MAX_DOCUMENT_BYTES)
