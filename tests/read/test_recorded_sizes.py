"""The size that a manifest states is part of the promise: another one is refused, whichever way content is read."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc

import pytest
from test_reading_content import Folder as FolderStore

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import IntegrityError
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FaultyBackend, MemoryBackend, StoredObject

SMALL, LARGE = b"12345", os.urandom(2_500_000)
MANIFEST = "artifacts/name/_versions/9999999998_v1.json"
MIB = 1024 * 1024


def with_size(manifest: bytes, size: int) -> bytes:
    """Return the manifest of a one-file artifact with another size, and all that follows from it."""
    document = json.loads(manifest)
    (entry,) = document["entries"]
    entry["size"] = document["size"] = size
    known = f'"{entry["sha256"]}"' if "sha256" in entry else known_of(entry)
    line = f'["{entry["path"]}",{size},{known}]\n'
    document["digest"] = f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"
    return f"{json.dumps(document)}\n".encode()


def known_of(pointer) -> str:
    if digest := pointer.get("computed", {}).get("sha256"):
        return f'"{digest}"'
    return f'null,"{pointer["uri"]}",null,null,"{pointer["modified_ns"]}"'


class Folder(FolderStore):
    """A store on a disk."""

    def requests(self):
        return []


class Memory:
    """A store that is read in ranges, as a bucket is, and counts what it is asked for."""

    def __init__(self, tmp_path):
        self._backend = FaultyBackend(MemoryBackend())
        self._objects = self._backend.inner.bucket.objects
        self.client = MetaMLFlowClient._on(Store(self._backend.url, {}, backend=self._backend))

    def get(self, key):
        return self._objects[key].data

    def set(self, key, data):
        self._objects[key] = StoredObject(data, self._objects[key].modified)

    def requests(self):
        return [call for call in self._backend.calls if call.key.startswith("blobs/")]


@pytest.fixture(params=[Folder, Memory])
def place(request, tmp_path, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    return request.param(tmp_path)


def read_after(*seek):
    def read(artifact, folder):
        with artifact.open() as file:
            file.seek(*seek)
            file.read(1)
            file.seek(0)
            file.read()

    return read


def read_in_chunks(artifact, folder):
    with artifact.open() as file:
        while file.read(1000):
            pass


WAYS = {
    "read_bytes": lambda artifact, folder: artifact.read_bytes(),
    "open": lambda artifact, folder: artifact.open().read(),
    "chunks": read_in_chunks,
    "jump": read_after(1),
    "local_path": lambda artifact, folder: artifact.local_path(),
    "download": lambda artifact, folder: artifact.download(folder / "out"),
    "download a path": lambda artifact, folder: artifact.download(folder / "out", path="name"),
    "verify": lambda artifact, folder: artifact.verify().raise_if_failed(),
    "verify checksum": lambda artifact, folder: artifact.verify("checksum").raise_if_failed(),
    "verify stat": lambda artifact, folder: artifact.verify("stat").raise_if_failed(),
}
SIZES = [
    (SMALL, 0),
    (SMALL, 4),
    (SMALL, 6),
    (SMALL, 2**52),
    (SMALL, 2**53 - 1),
    (LARGE, len(LARGE) - 1),
    (LARGE, 10**12),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("content", "size"), SIZES, ids=[f"{len(content)}-as-{size}" for content, size in SIZES])
def test_another_size_than_the_object_has_is_refused(place, tmp_path, content, size, way):
    place.client.register_artifact("name", content)
    place.set(MANIFEST, with_size(place.get(MANIFEST), size))
    artifact = place.client.get_artifact("name", 1)
    asked = len(place.requests())
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match="bytes"):
            WAYS[way](artifact, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert not (tmp_path / "out").exists()
    assert len(place.requests()) - asked <= 3


@pytest.mark.parametrize("verify", ["sent", "full"])
@pytest.mark.parametrize(("content", "size"), [(SMALL, 4), (SMALL, 2**52), (LARGE, len(LARGE) + 1)])
def test_another_size_does_not_migrate(place, tmp_path, content, size, verify):
    place.client.register_artifact("name", content)
    place.set(MANIFEST, with_size(place.get(MANIFEST), size))
    report = migrate(place.client, tmp_path / "there", verify=verify)
    assert not report
    assert not list((tmp_path / "there").rglob("*_v1.json"))


def test_the_cache_keeps_what_it_has_when_a_size_is_a_lie(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store", cache_dir=tmp_path / "cache", cache_size=10_000)
    kept = client.register_artifact("kept", b"x" * 100)
    kept.local_path()
    client.register_artifact("name", SMALL)
    manifest = tmp_path / "store" / MANIFEST
    forged = with_size(manifest.read_bytes(), 2**52)
    manifest.unlink()
    manifest.write_bytes(forged)
    entries = sorted((tmp_path / "cache" / "entries").iterdir())
    assert entries
    with pytest.raises(IntegrityError):
        client.get_artifact("name").local_path()
    assert sorted((tmp_path / "cache" / "entries").iterdir()) == entries


def test_a_list_of_files_of_another_size_is_refused_unread(place):
    place.client.register_artifact("name", {f"{number:05}": b"same" for number in range(4_097)})
    document = json.loads(place.get(MANIFEST))
    for wrong in (document["shards"][0]["size"] - 1, 2**52):
        document["shards"][0]["size"] = wrong
        place.set(MANIFEST, json.dumps(document).encode())
        with pytest.raises(IntegrityError, match="list of files is damaged"):
            list(place.client.get_artifact("name", 1).entries)


def test_an_object_that_grew_is_read_no_further_than_its_recorded_size(tmp_path):
    place = Memory(tmp_path)
    artifact = place.client.register_artifact("name", SMALL)
    read = []
    fetch = place._backend.inner.read

    def counting(key, start=0, end=None):
        data = fetch(key, start, end)
        read.append(len(data))
        return data

    place._backend.inner.read = counting
    place.set(next(iter(artifact.entries)).key, b"x" * 5 * MIB)
    with pytest.raises(IntegrityError, match="more than 5 bytes"):
        artifact.read_bytes()
    assert max(read) == len(SMALL) + 1


# --- what is pointed to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", ["stat", "full"])
@pytest.mark.parametrize("size", [0, 4, 6, 2**52])
def test_a_pointer_of_another_size_is_refused(tmp_path, monkeypatch, size, evidence):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    place = Folder(tmp_path)
    (tmp_path / "data.bin").write_bytes(SMALL)
    place.client.register_pointer("name", tmp_path / "data.bin", evidence=evidence)
    place.set(MANIFEST, with_size(place.get(MANIFEST), size))
    artifact = place.client.get_artifact("name", 1)
    for way, read in WAYS.items():
        if way in {"verify checksum", "download a path"}:
            continue
        with pytest.raises(IntegrityError):
            read(artifact, tmp_path)
    assert not (tmp_path / "out").exists()
