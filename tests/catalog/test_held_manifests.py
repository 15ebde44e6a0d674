"""What a client has read or committed is not read again, as long as a listing shows the very same object."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.backend import open_backend
from metamlflow.errors import StoreFormatError
from metamlflow.store.catalog.manifest_cache import _MOST, ManifestCache
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FaultyBackend, MemoryBackend


def reads(backend) -> list[str]:
    return [key for verb, key in backend.calls if verb == "read" and "/_versions/" in key]


@pytest.fixture(params=["memory", "folder"])
def counted(request, store_folder):
    """A client, and the backend that counts its calls."""
    url = f"file://{store_folder}" if request.param == "folder" else "memory://held"
    inner = open_backend(url, {}) if request.param == "folder" else MemoryBackend()
    backend = FaultyBackend(inner)
    return MetaMLFlowClient._on(Store(url, {}, backend=backend)), backend


def test_the_latest_is_read_once_however_often_it_is_asked_for(counted):
    client, backend = counted
    MetaMLFlowClient._on(Store("memory://other", {}, backend=backend)).register_artifact("a", b"1")
    before = len(reads(backend))
    assert [client.get_artifact("a").version for _ in range(3)] == [1, 1, 1]
    assert len(reads(backend)) - before == 1


class Tagging(MemoryBackend):
    """A bucket whose listings tell the MD5 of each object: as the ETag (S3), or beside it (GCS)."""

    def __init__(self, told: str) -> None:
        super().__init__()
        self.told = told

    def list_objects(self, prefix="", *, after="", limit=None):
        for info in super().list_objects(prefix, after=after, limit=limit):
            md5 = hashlib.md5(self.bucket.objects[info.key].data).hexdigest()
            tag = f'"{md5}"' if self.told == "etag" else "CJ-opaque"
            yield replace(info, etag=tag, checksums={"md5": md5} if self.told == "checksum" else {})


@pytest.mark.parametrize("told", ["etag", "checksum"])
def test_the_next_version_does_not_read_the_one_that_the_same_client_committed(told):
    backend = FaultyBackend(Tagging(told))
    client = MetaMLFlowClient._on(Store("memory://held", {}, backend=backend))
    for content in (b"1", b"2", b"3"):
        client.register_artifact("a", content)
    assert reads(backend) == []
    assert client.get_artifact("a").version == 3


def test_where_no_listing_tells_an_md5_what_this_client_committed_is_read_once_and_no_more():
    backend = FaultyBackend(Tagging("nothing"))
    client = MetaMLFlowClient._on(Store("memory://held", {}, backend=backend))
    client.register_artifact("a", b"1")
    assert [client.get_artifact("a").version for _ in range(3)] == [1, 1, 1]
    assert len(reads(backend)) == 1


def test_another_client_s_version_is_seen_at_once(store_folder):
    ours, theirs = MetaMLFlowClient(store_folder), MetaMLFlowClient(store_folder)
    ours.register_artifact("a", b"1")
    assert theirs.get_artifact("a").version == 1
    ours.register_artifact("a", b"2")
    assert theirs.get_artifact("a").read_bytes() == b"2"


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "read"])
def test_a_manifest_that_was_altered_is_read_again(raw, store_folder, committed):
    writer = MetaMLFlowClient(store_folder)
    writer.register_artifact("a", b"1", metadata={"who": "me!"})
    client = writer if committed else MetaMLFlowClient(store_folder)
    assert client.get_artifact("a").metadata == {"who": "me!"}
    path = raw.manifest_path("a", 1)
    raw.overwrite(path, path.read_bytes().replace(b"me!", b"you"))
    assert client.get_artifact("a").metadata == {"who": "you"}
    raw.overwrite(path, path.read_bytes().replace(b'"kind"', b'"kinD"'))
    with pytest.raises(StoreFormatError):
        client.get_artifact("a")


def test_a_store_that_was_made_anew_is_not_answered_from_the_old_one(store_folder):
    client = MetaMLFlowClient(store_folder)
    client.register_artifact("a", b"1", metadata={"who": "me!"})
    shutil.rmtree(store_folder)
    other = MetaMLFlowClient(store_folder)
    other.register_artifact("a", b"2", metadata={"who": "you"})
    reader = MetaMLFlowClient(store_folder)
    reader._store.manifests = client._store.manifests
    assert reader.get_artifact("a").metadata == {"who": "you"}


def test_few_are_held_and_no_large_one(store_folder):
    client = MetaMLFlowClient(store_folder)
    for number in range(_MOST + 5):
        client.register_artifact(f"a{number}", b"1")
    assert len(client._store.manifests._held) == _MOST
    client.register_artifact("large", b"1", metadata={str(n): "x" * 100_000 for n in range(20)})
    assert not [key for key in client._store.manifests._held if "large" in key]


def test_where_an_etag_is_an_md5_it_tells_whether_the_object_is_the_one_that_was_created(store_folder):
    client = MetaMLFlowClient(store_folder)
    client.register_artifact("a", b"1")
    (held,) = client._store.manifests._held.values()
    (info,) = client._store.backend.list_objects("artifacts/")
    seen = type(info)(info.key, info.size, info.modified, etag='"0123456789abcdef0123456789abcdef"')
    manifests = ManifestCache()
    manifests.keep(info.key, held.loaded, None)
    assert manifests.get(info.key, seen) is None
    assert json.loads(held.loaded.data)["version"] == 1
