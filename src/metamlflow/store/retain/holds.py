"""What holds a version, so that a prune keeps it: its rank, protections, aliases, and versions made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from metamlflow.errors import IntegrityError, StoreFormatError
from metamlflow.format.layout import edges_prefix, manifest_key, parse_edge_key
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.aliases import aliases_of
from metamlflow.store.catalog.protections import protected
from metamlflow.store.catalog.records import read_if_listed, with_retries
from metamlflow.store.catalog.statuses import is_listed, is_live, list_versions, load_manifest, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId

_SHOWN = 3
NEWEST = "it is the newest live version"


@dataclass(frozen=True, slots=True)
class NameHolds:
    """What holds versions of one name, as two listings and a read of each alias show it."""

    aliases: Mapping[int, tuple[str, ...]]
    protected: frozenset[int]

    @classmethod
    def of(cls, store: Store, name: ArtifactName) -> NameHolds:
        """Look."""
        aliases: dict[int, tuple[str, ...]] = {}
        for alias, version in sorted(aliases_of(store, name).items()):
            aliases[version] = (*aliases.get(version, ()), alias)
        return cls(aliases, frozenset(version for _, version in protected(store, name, strict=True)))

    def reason(self, version: int) -> str | None:
        """Return why the version is kept, or None."""
        if version in self.protected:
            return "it is protected"
        if aliases := self.aliases.get(version):
            more = f" and {len(aliases) - _SHOWN:,} more" if len(aliases) > _SHOWN else ""
            return f"the alias {', '.join(map(repr, aliases[:_SHOWN]))}{more} stands for it"
        return None


def live_consumer(store: Store, version: VersionId) -> str | None:
    """Return why the lineage holds a version, or None: one listing, and a read of each consumer until one is live.

    A consumer that cannot be read holds it: what it was made from is not known.
    """
    keys = with_retries(lambda: [info.key for info in store.backend.list_objects(edges_prefix(*version))], store.clock)
    for consumer in dict.fromkeys(found for key in keys if (found := parse_edge_key(version, key))):
        ref = f"{consumer[0]}@{consumer[1]}"
        try:
            loaded = read_if_listed(
                manifest_key(*consumer),
                partial(load_manifest, store, *consumer),
                partial(is_listed, store, *consumer),
                store.clock,
            )
        except (StoreFormatError, IntegrityError) as error:
            if version_status(store, *consumer).erased:
                continue
            return f"{ref} may be made from it, and cannot be read: {error.message.partition(chr(10))[0]}"
        if loaded is None:
            continue  # of a publish that lost its race, or is about to be committed, or was erased
        used = any((item.name, item.version) == version for item in loaded.manifest.inputs)
        if used and is_live(store, consumer[0], version_status(store, *consumer), by_times=False):
            return f"{ref} is live and was made from it"
    return None


def too_few_newer(store: Store, name: ArtifactName, version: int, keep_last: int | None) -> str | None:
    """Return why a version must stay, so that a name never has fewer live ones than the rule says, or None.

    A listing from the newest version, which ends as soon as enough live ones are found.
    """
    newer = (s for s in list_versions(store, name) if s.version > version and is_live(store, name, s))
    return too_few(sum(1 for _ in islice(newer, keep_last or 1)), keep_last)


def too_few(newer: int, keep_last: int | None) -> str | None:
    """Return why a version stays that has so many newer live ones, or None."""
    if newer >= (keep_last or 1):
        return None
    return among_the_newest(keep_last or 1) if newer else NEWEST


def among_the_newest(keep_last: int) -> str:
    """Return the reason of a version that a rule keeps by its rank."""
    return f"it is among the newest {keep_last:,} (keep_last)"
