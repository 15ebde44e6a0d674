"""An acknowledgement means readable: a publish looks at what it relies on, and its good bytes heal what is damaged."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter

import pytest

from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.backend import ObjectInfo
from metamlflow.errors import AccessDeniedError, InvalidInputError
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FailBefore, FaultyBackend, MemoryBackend, StoredObject

FILES = {f"{number:02}.csv": b"content %d" % number for number in range(20)}
BAD = {"deleted": None, "emptied": b"", "longer": b"content 3 and more", "altered": b"content x"}
SEEN = {"stat": {"deleted", "emptied", "longer"}, "checksum": set(BAD), "full": set(BAD)}


class Checksums(MemoryBackend):
    """A bucket whose server holds a digest of what it was given, and so tells that content was altered."""

    def stat(self, key):
        info = super().stat(key)
        data = self.bucket.objects[key].data
        return ObjectInfo(
            key, info.size, info.modified, info.observed, checksums={"sha256": hashlib.sha256(data).hexdigest()}
        )


class Bucket:
    """A store in memory, asked as a bucket is, past which objects are damaged."""

    def __init__(self, plan=()):
        self.backend = FaultyBackend(Checksums(), plan)
        self.objects = self.backend.inner.bucket.objects
        self.client = MetaMLFlowClient._on(Store(self.backend.url, {}, backend=self.backend))

    def damage(self, key, data):
        if data is None:
            del self.objects[key]
        else:
            self.objects[key] = StoredObject(data, self.objects[key].modified)

    def data(self, key):
        return self.objects[key].data


class Folder:
    def __init__(self, tmp_path):
        self.root = tmp_path / "store"
        self.client = MetaMLFlowClient(self.root)

    def damage(self, key, data):
        (self.root / key).unlink()
        if data is not None:
            (self.root / key).write_bytes(data)

    def data(self, key):
        return (self.root / key).read_bytes()


@pytest.fixture(params=["bucket", "folder"])
def place(request, tmp_path):
    return Bucket() if request.param == "bucket" else Folder(tmp_path)


def key_of(artifact, path="03.csv"):
    return artifact.entries[path].key


@pytest.mark.full
@pytest.mark.parametrize("prove", ["stat", "checksum", "full"])
@pytest.mark.parametrize("damage", BAD)
def test_registering_the_good_bytes_again_heals_what_the_proof_sees(place, damage, prove):
    first = place.client.register_artifact("name", FILES)
    place.damage(key_of(first), BAD[damage])
    second = place.client.register_artifact("name", FILES, prove=prove)
    # A disk holds no digest: there altered content of the same size shows only when it is read.
    seen = damage in SEEN[prove] and not (damage == "altered" and prove == "checksum" and isinstance(place, Folder))
    assert bool(second.verify()) is seen
    assert bool(first.verify()) is seen
    if seen:
        assert place.data(key_of(first)) == FILES["03.csv"]
        assert key_of(second) == key_of(first)


@pytest.mark.full
@pytest.mark.parametrize("prove", SEEN)
@pytest.mark.parametrize("damage", BAD)
@pytest.mark.parametrize("others", [0, 2], ids=["newest", "older"])
def test_a_retry_that_is_answered_with_an_earlier_version_heals_it_as_well(place, damage, prove, others):
    first = place.client.register_artifact("name", FILES, idempotency_key="job")
    for number in range(others):
        place.client.register_artifact("name", {"other": b"%d" % number})
    place.damage(key_of(first), BAD[damage])
    assert not first.verify()
    again = place.client.register_artifact("name", FILES, idempotency_key="job", prove=prove)
    assert again.version == 1
    seen = damage in SEEN[prove] and not (damage == "altered" and prove == "checksum" and isinstance(place, Folder))
    assert bool(first.verify()) is seen


@pytest.mark.parametrize("damage", ["deleted", "emptied", "longer"])
@pytest.mark.parametrize("files", [FILES, {"03.csv": FILES["03.csv"]}], ids=["many", "one"])
def test_without_being_asked_a_publish_looks_once_and_heals(place, damage, files):
    first = place.client.register_artifact("name", files)
    place.damage(key_of(first), BAD[damage])
    second = place.client.register_artifact("name", files)
    assert second.verify()
    assert first.verify()


def test_an_entry_of_a_large_artifact_is_looked_at_too(place, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 10)
    first = place.client.register_artifact("name", FILES)
    shard = first._manifest.shards[0]
    place.damage(key_of(first), None)
    assert place.client.register_artifact("name", FILES).verify()
    assert first.verify()
    good = place.data(shard.key)
    place.damage(shard.key, good[:-1] + b" ")
    third = place.client.register_artifact("name", FILES, prove="full")
    assert third.verify()


def test_a_name_that_meets_damaged_content_of_another_heals_it_and_keeps_clear_of_it(place):
    first = place.client.register_artifact("first", FILES)
    place.damage(key_of(first), b"cont")
    second = place.client.register_artifact("second", FILES)
    assert second.verify()
    assert first.verify()
    assert key_of(second) != key_of(first)


def test_a_digest_that_the_server_tells_anyway_is_used():
    place = Bucket()
    first = place.client.register_artifact("first", FILES)
    place.damage(key_of(first), BAD["altered"])
    assert place.client.register_artifact("second", FILES).verify()
    assert first.verify()


def test_the_look_is_one_request_however_many_files_there_are():
    place = Bucket()
    place.client.register_artifact("name", FILES)
    place.backend.calls.clear()
    place.client.register_artifact("name", FILES)
    calls = Counter(call.verb for call in place.backend.calls)
    assert calls["put"] == calls["stat"] == 0
    assert calls.total() <= 4
    looks = [call for call in place.backend.calls if call.verb == "list_objects" and call.key.startswith("blobs/")]
    assert len(looks) == 1


@pytest.mark.parametrize("prove", ["stat", "checksum"])
def test_a_proof_costs_a_request_for_each_file(prove):
    place = Bucket()
    place.client.register_artifact("name", FILES)
    place.backend.calls.clear()
    place.client.register_artifact("name", FILES, prove=prove)
    calls = Counter(call.verb for call in place.backend.calls)
    assert calls["stat"] == len(FILES)
    assert calls.total() <= 4 + len(FILES)


def test_who_may_not_list_content_registers_as_before():
    place = Bucket([FailBefore(verb="list_objects", key="blobs/*", times=None, error=AccessDeniedError)])
    place.client.register_artifact("name", FILES)
    place.backend.calls.clear()
    assert place.client.register_artifact("name", FILES).version == 2
    assert "put" not in {call.verb for call in place.backend.calls}


def test_who_may_not_overwrite_gets_a_version_that_is_readable_all_the_same():
    place = Bucket([FailBefore(verb="replace", times=None, error=AccessDeniedError)])
    first = place.client.register_artifact("name", FILES)
    place.damage(key_of(first), BAD["altered"])
    second = place.client.register_artifact("name", FILES, prove="full")
    assert second.verify()
    assert re.search(r"-[0-9a-f]{32}\.csv$", key_of(second))
    assert not first.verify()


def test_what_is_good_is_neither_sent_nor_touched(place):
    first = place.client.register_artifact("name", FILES)
    time.sleep(0.02)
    second = place.client.register_artifact("name", FILES, prove="full")
    assert [entry.key for entry in second.entries] == [entry.key for entry in first.entries]
    if isinstance(place, Folder):
        assert len(list((place.root / "blobs").rglob("*.csv"))) == len(FILES)


def test_a_dataset_proves_as_well(tmp_path):
    place = Folder(tmp_path)
    (tmp_path / "t.csv").write_bytes(b"x\n1\n")
    first = Dataset.register(place.client, "name", tmp_path / "t.csv")
    (entry,) = first.artifact.entries
    place.damage(entry.key, b"x\n2\n")
    assert Dataset.register(place.client, "name", tmp_path / "t.csv", prove="full").artifact.verify()
    assert first.artifact.verify()


def test_a_large_file_is_proven_and_healed_too(place):
    large = os.urandom(2_500_000)
    first = place.client.register_artifact("name", {"03.csv": large})
    place.damage(key_of(first), large[:-1] + bytes([large[-1] ^ 1]))
    assert place.client.register_artifact("name", {"03.csv": large}, prove="full").verify()
    assert first.verify()


def test_an_unknown_proof_is_refused(client):
    with pytest.raises(InvalidInputError, match="'stat', 'checksum', 'full'"):
        client.register_artifact("name", b"x", prove="sha")
