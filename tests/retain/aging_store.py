"""A store in memory whose server's clock a test moves; its records of states and tombs are written by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from metamlflow import MetaMLFlowClient
from metamlflow.backend import Backend
from metamlflow.testing import (
    Clock,
    Fault,
    FaultyBackend,
    MemoryBackend,
    MemoryBucket,
    StoredObject,
    Surroundings,
    client_on,
)

GRACE = timedelta(days=7)
LAST = 9_999_999_999
DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
WRITES = {"create", "put", "replace", "delete"}


@dataclass(frozen=True, kw_only=True)
class Meanwhile(Fault):
    """Something else happens just before a call."""

    act: Callable[[], object]

    def strike(self, apply: Callable[[], Any], where: str, around: Surroundings) -> Any:
        self.act()
        return apply()


class AgingStore:
    """A bucket at a time of its own."""

    def __init__(self) -> None:
        self.now = START
        self.bucket = MemoryBucket(clock=lambda: self.now)
        self.clock = Clock(now=lambda: self.now, elapsed=self.seconds, sleep=lambda _: None)

    def seconds(self) -> float:
        return (self.now - START).total_seconds()

    def client(self, backend: Backend | None = None) -> MetaMLFlowClient:
        return client_on(backend or MemoryBackend(self.bucket), self.clock)

    def faulty(self, *plan: Fault) -> FaultyBackend:
        return FaultyBackend(MemoryBackend(self.bucket), plan)

    def passes(self, time: timedelta) -> None:
        self.now += time

    def listed(self, prefix: str = "") -> set[str]:
        return {key for key in self.bucket.objects if key.startswith(prefix)}

    def blobs(self) -> set[str]:
        return self.listed("blobs/")

    def read(self, key: str) -> bytes:
        return self.bucket.objects[key].data

    def write(self, key: str, data: bytes) -> None:
        self.bucket.objects[key] = StoredObject(data, self.now)

    def write_json(self, key: str, **fields: Any) -> None:
        origin = {"format": 1, "record_id": "5" * 32, "created_at": "2026-03-01T00:00:00Z"}
        self.write(key, json.dumps(origin | fields).encode())

    def set_state(self, name: str, version: int, state: str, number: int = 1, digest: str | None = None) -> str:
        key = version_key(name, version, f".state-{LAST - number:010d}")
        self.write_json(key, state=state, manifest_digest=digest or self.digest(name, version))
        return key

    def prune(self, name: str, version: int) -> str:
        return self.set_state(name, version, "pruned")

    def bury(self, name: str, version: int, *, leaves_manifest: bool = False) -> str:
        key = version_key(name, version, ".tomb")
        document = json.loads(self.read(version_key(name, version)))
        said = {"name": name, "version": version, "created_by": "officer", "previous": document["previous"]}
        self.write_json(key, manifest_digest=self.digest(name, version), **said)
        if not leaves_manifest:
            del self.bucket.objects[version_key(name, version)]
        return key

    def digest(self, name: str, version: int) -> str:
        return f"sha256:{hashlib.sha256(self.read(version_key(name, version))).hexdigest()}"

    def blobs_of(self, name: str, version: int) -> set[str]:
        """What a manifest names: read by hand, through shards where there are any."""
        manifest = json.loads(self.read(version_key(name, version)))
        shards = [shard["key"] for shard in manifest.get("shards") or ()]
        lines = [json.loads(line) for key in shards for line in self.read(key).splitlines()]
        return {entry["key"] for entry in [*(manifest.get("entries") or ()), *lines] if "key" in entry} | set(shards)


def version_key(name: str, version: int, rest: str = "") -> str:
    return f"artifacts/{name}/_versions/{LAST - version:010d}_v{version}{rest}.json"


def blob_of(content: bytes, extension: str = "") -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"blobs/sha256/{digest[:2]}/{digest}{extension}"


def writes(backend: FaultyBackend) -> list[str]:
    return [f"{call.verb} {call.key}" for call in backend.calls if call.verb in WRITES]


def refs(found: Sequence[Any]) -> list[str | None]:
    return sorted((each.reference for each in found), key=str)
