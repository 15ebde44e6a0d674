"""A world whose server's clock, and whose machines' clocks, a test moves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from graves import state_key
from worlds import NAME, RAW_NAME, MemoryWorld

from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import MemoryBucket, client_on

GRACE = timedelta(days=7)
LAST = 9_999_999_999


class TimedWorld(MemoryWorld):
    """One server. The machine's wall clock is wrong by years: nothing may depend on it."""

    def __init__(self, versions: int = 0) -> None:
        self.now = datetime(2031, 1, 1, tzinfo=UTC)
        self.counted = 0.0
        super().__init__(MemoryBucket(clock=lambda: self.now))
        for number in range(1, versions + 1):
            self.timed().register_artifact(NAME, b"version %d" % number, metadata={"accuracy": number / 10})

    def clock(self) -> Clock:
        return Clock(now=lambda: datetime(2001, 1, 1, tzinfo=UTC), elapsed=lambda: self.counted, sleep=lambda _: None)

    def timed(self, backend=None):
        return client_on(backend or self.backend(), self.clock())

    def let_pass(self, time: timedelta, *, counted: bool = True) -> None:
        """Let time pass; a virtual machine that is paused does not count it."""
        self.now += time
        self.counted += time.total_seconds() if counted else 0

    def states(self, version: int, raw_name: str = RAW_NAME) -> list[str]:
        """What the state records of a version say, the first one first."""
        found = []
        while (data := self.objects().get(state_key(version, len(found) + 1, raw_name))) is not None:
            found.append(json.loads(data)["state"])
        return found

    def live(self, raw_name: str = RAW_NAME) -> list[int]:
        """The live versions by their records alone, none of which speaks of another manifest."""
        prefix = f"artifacts/{raw_name}/_versions/"
        names = [key.removeprefix(prefix) for key in self.objects() if key.startswith(prefix)]
        versions = {LAST - int(name[:10]) for name in names if ".state" not in name and ".tomb" not in name}
        return sorted(version for version in versions if len(self.states(version, raw_name)) % 2 == 0)

    def collect(self) -> None:
        """As section 13 of SPEC.md says it, within one moment and at the limit of what it allows."""
        kept: set[str] = set()
        objects = self.bucket.objects
        for key, stored in list(objects.items()):
            if "/_versions/" not in key or ".state" in key:
                continue
            manifest = json.loads(stored.data)
            raw = key.removeprefix("artifacts/").partition("/_versions/")[0]
            number = len(self.states(manifest["version"], raw))
            is_old = number % 2 and objects[state_key(manifest["version"], number, raw)].modified < self.now - GRACE
            kept |= set() if is_old else {entry["key"] for entry in manifest["entries"]}
        for key in [key for key in objects if key.startswith("blobs/") and key not in kept]:
            if objects[key].modified < self.now - GRACE:
                del objects[key]

    def damage(self) -> list[int]:
        """The live versions of which a blob is gone."""
        objects = self.objects()
        manifests = {version: self.manifest(version) for version in self.live()}
        return [v for v, found in manifests.items() if any(entry["key"] not in objects for entry in found["entries"])]

    def manifest(self, version: int, raw_name: str = RAW_NAME) -> dict:
        return json.loads(self.objects()[f"artifacts/{raw_name}/_versions/{LAST - version:010d}_v{version}.json"])
