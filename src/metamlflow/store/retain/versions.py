"""The records of one name, sorted, and the state of each of its versions as they tell it. No request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from metamlflow.backend import ObjectInfo
from metamlflow.format.layout import MARKER
from metamlflow.format.records import StateRecord
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.record_reads import ManifestFacts, Read

VersionState = Literal["live", "pruned", "absent", "erased", "unknown"]


@dataclass(frozen=True, slots=True)
class Now:
    """The storage's time before anything was listed, and the grace of the store."""

    time: datetime
    grace: timedelta

    @classmethod
    def of(cls, store: Store) -> Now:
        """Ask for the time: one request."""
        grace = store.marker().grace
        info = with_retries(lambda: store.backend.stat(MARKER), store.clock)
        return cls(info.observed or store.clock.now(), grace)

    def is_younger(self, info: ObjectInfo, share: float = 1.0) -> bool:
        """Whether an object is younger than this share of the grace."""
        return self.time - info.modified < self.grace * share


@dataclass(slots=True)
class NameRecords:
    """All records below one name, by what they are of; of a series by number.

    Attributes:
        name: the name.
        manifests: by version.
        tombs: by version.
        states: by version.
        aliases: by alias.
        notes: by version; None for those on the name.
        claims: by the digest of the idempotency key.
    """

    name: ArtifactName
    manifests: dict[int, Read] = field(default_factory=dict)
    tombs: dict[int, Read] = field(default_factory=dict)
    states: dict[int, dict[int, Read]] = field(default_factory=lambda: defaultdict(dict))
    aliases: dict[str, dict[int, Read]] = field(default_factory=lambda: defaultdict(dict))
    notes: dict[int | None, dict[int, Read]] = field(default_factory=lambda: defaultdict(dict))
    claims: dict[str, dict[int, Read]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(cls, name: ArtifactName, reads: Iterable[Read]) -> NameRecords:
        """Sort the records of a name."""
        records = cls(name)
        for read in reads:
            at = read.at
            version = at.version or 0
            match at.kind:
                case "manifest":
                    records.manifests[version] = read
                case "tomb":
                    records.tombs[version] = read
                case "state":
                    records.states[version][at.number] = read
                case "alias":
                    records.aliases[at.of][at.number] = read
                case "note":
                    records.notes[at.version][at.number] = read
                case "claim":
                    records.claims[at.of][at.number] = read
        return records

    def all(self) -> Iterable[Read]:
        """Yield every record."""
        yield from self.manifests.values()
        yield from self.tombs.values()
        for series in (self.states, self.aliases, self.notes, self.claims):
            for numbered in series.values():
                yield from numbered.values()

    def committed(self) -> list[int]:
        """Return the numbers that have a manifest or a tomb, ascending."""
        return sorted(self.manifests.keys() | self.tombs.keys())

    def facts_of(self, version: int) -> ManifestFacts | None:
        """Return what was kept of a version's manifest, or None if that could not be read or does not count."""
        read = self.manifests.get(version)
        return read.value if read is not None and version not in self.tombs else None

    def newest_state(self, version: int) -> Read | None:
        """Return a version's highest state record, or None if it has none."""
        states = self.states.get(version)
        return states[max(states)] if states else None

    def state_of(self, version: int) -> VersionState:
        """Return the state of a version that is committed; ``unknown`` where a record that would tell cannot be read.

        An odd record that speaks of another manifest takes nothing away: the version is live.
        """
        if version in self.tombs:
            return "erased"
        newest = self.newest_state(version)
        if newest is None or newest.at.number % 2 == 0:
            return "live"
        record: StateRecord | None = newest.value
        if record is None or not self.manifests[version].digest:
            return "unknown"
        if record.manifest_digest != self.manifests[version].digest:
            return "live"
        return "absent" if record.state == "absent" else "pruned"
