"""Places for a store, seen past the code under test: plain files or a plain dict, and JSON read by hand."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from metamlflow.backend import Backend, open_backend
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import MemoryBackend, MemoryBucket, StoredObject, client_on

NAME = "team/Model"
RAW_NAME = "team/!model"
_MANIFEST = re.compile(r"artifacts/(?P<name>.+)/_versions/(?P<inverse>\d{10})_v(?P<version>\d+)\.json")


def do_not_wait(seconds: float) -> None:
    """Stand in for sleep."""


IMPATIENT = Clock(sleep=do_not_wait)


class World(ABC):
    """One store's place. Every call of ``backend`` is another machine's view of it."""

    @abstractmethod
    def backend(self) -> Backend: ...

    @abstractmethod
    def objects(self) -> dict[str, bytes]: ...

    @abstractmethod
    def write(self, key: str, data: bytes) -> None: ...

    @abstractmethod
    def remove(self, key: str) -> None: ...

    def client(self, clock: Clock = IMPATIENT):
        return client_on(self.backend(), clock)


class MemoryWorld(World):
    def __init__(self, bucket: MemoryBucket | None = None) -> None:
        self.bucket = bucket or MemoryBucket()

    def backend(self) -> Backend:
        return MemoryBackend(self.bucket)

    def objects(self) -> dict[str, bytes]:
        return {key: stored.data for key, stored in self.bucket.objects.items()}

    def write(self, key: str, data: bytes) -> None:
        self.bucket.objects[key] = StoredObject(data, self.bucket.clock())

    def remove(self, key: str) -> None:
        del self.bucket.objects[key]


class LocalWorld(World):
    def __init__(self, root: Path) -> None:
        self.root = root

    def backend(self) -> Backend:
        return open_backend(f"file://{self.root}", {})

    def objects(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        found = {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}
        return {key: data for key, data in found.items() if not key.startswith(".tmp/")}

    def write(self, key: str, data: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()


def manifest_key(version: int, raw_name: str = RAW_NAME) -> str:
    return f"artifacts/{raw_name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"


def manifests(objects: dict[str, bytes], raw_name: str = RAW_NAME) -> dict[int, dict[str, Any]]:
    """Every manifest of a name by its version, ascending."""
    matches = [match for key in objects if (match := _MANIFEST.fullmatch(key)) and match["name"] == raw_name]
    assert all(int(match["inverse"]) + int(match["version"]) == 9_999_999_999 for match in matches)
    return {
        version: json.loads(objects[manifest_key(version, raw_name)])
        for version in sorted(int(match["version"]) for match in matches)
    }


def content(objects: dict[str, bytes], manifest: dict[str, Any]) -> dict[str, bytes]:
    """The files of a manifest by path, each of them whole: read by hand, through shards where there are any."""
    entries = manifest.get("entries")
    if entries is None:
        lines = [line for shard in manifest["shards"] for line in objects[shard["key"]].splitlines()]
        entries = [json.loads(line) for line in lines]
    found = {}
    for entry in entries:
        data = objects[entry["key"]]
        assert hashlib.sha256(data).hexdigest() == entry["sha256"].removeprefix("sha256:")
        found[entry["path"]] = data
    return found


def assert_chained(objects: dict[str, bytes], raw_name: str = RAW_NAME) -> dict[int, dict[str, Any]]:
    """Check the manifests of a name against one another; return them by version.

    No number is missing, none is of the same publish as another, and each names the very bytes of the one before.
    """
    found = manifests(objects, raw_name)
    assert list(found) == list(range(1, len(found) + 1))
    for version, manifest in found.items():
        before = objects.get(manifest_key(version - 1, raw_name))
        expected = None if before is None else f"sha256:{hashlib.sha256(before).hexdigest()}"
        assert manifest["previous"] == expected, f"version {version} does not follow {version - 1}"
        assert manifest["version"] == version
    for identity in ("record_id", "artifact_id"):
        ids = [manifest[identity] for manifest in found.values()]
        assert len(set(ids)) == len(ids), f"one publish made several versions: {identity}"
    return found


def assert_sound(world: World, raw_name: str = RAW_NAME) -> dict[int, dict[str, bytes]]:
    """Check what must hold of a name at any time, its content included; return the content of its versions."""
    objects = world.objects()
    return {version: content(objects, manifest) for version, manifest in assert_chained(objects, raw_name).items()}


def assert_readable(world: World, name: str = NAME) -> None:
    """Check that a new reader sees exactly the committed versions, and each of them whole."""
    client = world.client()
    committed = list(manifests(world.objects()))
    latest = {artifact.name: artifact.version for artifact in client.list_artifacts()}
    assert latest.get(name) == (committed[-1] if committed else None)
    if committed:
        listed = client.list_artifacts(name)
        assert [artifact.version for artifact in listed] == committed
        assert all(artifact.verify("full") for artifact in listed)
        assert client.get_artifact(name).version == committed[-1]
