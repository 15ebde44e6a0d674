"""Repair: what is missing or damaged comes back under its very key, from whatever has the good bytes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from metamlflow import Dataset, MetaMLFlowClient, migrate
from metamlflow.errors import (
    ArtifactNotFoundError,
    ArtifactPrunedError,
    IntegrityError,
    InvalidInputError,
    SourceNotFoundError,
    StoreFormatError,
)
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FailBefore, FaultyBackend, MemoryBackend, StoredObject

FILES = {"a.csv": b"1,2\n", "deep/b.bin": os.urandom(3_000_000), "empty": b""}


@pytest.fixture
def artifact(client):
    return client.register_artifact("name", FILES)


@pytest.fixture
def copy(client, artifact, tmp_path):
    migrate(client, tmp_path / "copy")
    return tmp_path / "copy"


def place_of(raw, artifact, path):
    return raw.root / artifact.entries[path].key


def damage(raw, artifact):
    """Truncate, delete and alter one file each."""
    raw.overwrite(place_of(raw, artifact, "a.csv"), b"1,3\n")
    place_of(raw, artifact, "deep/b.bin").unlink()
    raw.overwrite(place_of(raw, artifact, "empty"), b"not empty")


@pytest.mark.parametrize("kind", ["folder", "store", "client", "file URL"])
def test_all_that_is_missing_or_damaged_comes_back(client, raw, artifact, copy, tmp_path, kind):
    download = artifact.download(tmp_path / "download")
    before = {key: (raw.root / key).read_bytes() for key in raw.blobs()}
    damage(raw, artifact)
    source = {
        "folder": download,
        "store": str(copy),
        "client": MetaMLFlowClient(copy),
        "file URL": f"file://{download}",
    }[kind]
    report = client.repair("name@1", source)
    assert report
    assert sorted((found.path, found.key) for found in report.repaired) == sorted(
        (entry.path, entry.key) for entry in artifact.entries
    )
    assert {key: (raw.root / key).read_bytes() for key in raw.blobs()} == before
    assert not raw.temp_files()
    again = client.repair(artifact, source)
    assert (again.repaired, again.damaged) == ((), ())


def test_what_the_library_hands_out_for_a_version_is_repaired(client, raw, artifact, copy):
    client.register_artifact("made", b"m", inputs=[artifact])
    for ref in (artifact, client.get_artifact("made").inputs[0], Dataset.open(client, "name"), "name@1"):
        damage(raw, artifact)
        assert client.repair(ref, copy)
        assert artifact.verify()
    with pytest.raises(InvalidInputError, match="not int"):
        client.repair(1, copy)


def test_one_file_puts_back_what_it_is_and_says_what_it_is_not(client, raw, artifact, tmp_path):
    damage(raw, artifact)
    (tmp_path / "good").write_bytes(FILES["a.csv"])
    report = client.repair("name", tmp_path / "good")
    assert not report
    assert [found.path for found in report.repaired] == ["a.csv"]
    assert {found.path: "has other bytes" in found.reason for found in report.damaged} == {
        "deep/b.bin": True,
        "empty": True,
    }
    assert artifact.read_bytes("a.csv") == FILES["a.csv"]
    assert place_of(raw, artifact, "empty").read_bytes() == b"not empty"


@pytest.mark.parametrize("bad", [b"", b"1,3\n", b"1,2\n more"])
def test_wrong_bytes_are_never_written(client, raw, artifact, tmp_path, bad):
    place = place_of(raw, artifact, "a.csv")
    raw.overwrite(place, b"damaged")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.csv").write_bytes(bad)
    report = client.repair("name", tmp_path / "source")
    assert [(found.path, found.key) for found in report.damaged] == [("a.csv", artifact.entries["a.csv"].key)]
    assert place.read_bytes() == b"damaged"


@pytest.mark.parametrize("content", ["a.csv", "deep/b.bin"])
def test_a_source_that_is_damaged_too_is_not_believed(client, raw, artifact, copy, content):
    key = artifact.entries[content].key
    for root in (raw.root, copy):
        data = FILES[content]
        (root / key).unlink()
        (root / key).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    report = client.repair("name", copy)
    (found,) = report.damaged
    assert found.path == content
    assert "damaged too" in found.reason or "is damaged in the store" in found.reason
    assert (raw.root / key).read_bytes()[:-1] == FILES[content][:-1]


def test_every_version_that_shares_an_object_is_healed(client, raw, artifact, copy):
    second = client.register_artifact("name", {**FILES, "more": b"more"})
    other = client.register_artifact("other", FILES["a.csv"])
    damage(raw, artifact)
    assert client.repair("name@1", copy)
    assert second.verify()
    assert other.verify()


def test_content_under_a_key_of_its_own_comes_from_a_store_that_has_it_under_the_plain_one(client, raw, tmp_path):
    client.register_artifact("old", b"content")
    os.utime(raw.blob_path(b"content"), (0, 0))
    artifact = client.register_artifact("name", b"content")
    (entry,) = artifact.entries
    assert entry.key != str(raw.blob_path(b"content").relative_to(raw.root))
    (raw.root / entry.key).unlink()
    MetaMLFlowClient(tmp_path / "else").register_artifact("whatever", b"content")
    assert client.repair("name", tmp_path / "else")
    assert artifact.read_bytes() == b"content"


# --- lists of files and manifests -------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("lost", [True, False])
def test_a_list_of_files_comes_back_and_then_what_it_names(client, raw, tmp_path, lost):
    artifact = client.register_artifact("name", {f"{number:05}": b"%d" % (number % 7) for number in range(4_100)})
    migrate(client, tmp_path / "copy")
    shard = raw.root / raw.manifest("name")["shards"][0]["key"]
    raw.blob_path(b"3").unlink()
    if lost:
        shard.unlink()
    else:
        raw.overwrite(shard, shard.read_bytes()[:-10])
    report = client.repair("name", tmp_path / "copy")
    assert report
    assert str(shard.relative_to(raw.root)) in {found.key for found in report.repaired}
    assert {found.key for found in report.repaired if found.path} == {str(raw.blob_path(b"3").relative_to(raw.root))}
    assert artifact.verify()


@pytest.mark.parametrize("what", ["missing", "cut short", "altered"])
def test_a_manifest_comes_back_that_the_next_version_names(client, raw, artifact, what):
    client.register_artifact("name", b"two")
    migrate(client, raw.root.with_name("copy"))
    place = raw.manifest_path("name", 1)
    good = place.read_bytes()
    altered = good.replace(b'"type":"file"', b'"type":"evil"')
    assert altered != good
    if what == "missing":
        place.unlink()
    else:
        raw.overwrite(place, altered if what == "altered" else good[:100])
    report = client.repair("name@1", raw.root.with_name("copy"))
    assert [(found.path, found.key) for found in report.repaired] == [("", str(place.relative_to(raw.root)))]
    assert place.read_bytes() == good
    assert client.verify_all()


def test_a_manifest_comes_back_that_an_artifact_in_hand_knows(client, raw, artifact, copy):
    place = raw.manifest_path("name", 1)
    good = place.read_bytes()
    raw.overwrite(place, b"{}")
    assert client.repair(artifact, copy)
    assert place.read_bytes() == good


def test_a_manifest_whose_digest_nobody_recorded_is_left_alone(client, raw, artifact, copy):
    place = raw.manifest_path("name", 1)
    raw.overwrite(place, b"{}")
    with pytest.raises(StoreFormatError) as caught:
        client.repair("name@1", copy)
    assert "this store has no record of its digest" in caught.value.hint
    assert place.read_bytes() == b"{}"


def test_another_s_version_is_not_overwritten_with_the_one_in_hand(client, raw, artifact, copy):
    place = raw.manifest_path("name", 1)
    place.unlink()
    other = client.register_artifact("name", b"another's")
    assert other.version == 1
    bytes_of_other = place.read_bytes()
    with pytest.raises(IntegrityError, match="is not the registered manifest"):
        client.repair(artifact, copy)
    assert place.read_bytes() == bytes_of_other


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_is_no_source_is_told(client, artifact, tmp_path, store_folder):
    with pytest.raises(SourceNotFoundError):
        client.repair("name", tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match="store itself"):
        client.repair("name", store_folder)
    with pytest.raises(InvalidInputError):
        client.repair("name", 7)
    with pytest.raises(InvalidInputError):
        client.repair("name", MetaMLFlowClient(tmp_path), source_options={"anon": True})


def test_a_pruned_version_is_not_brought_back(client, raw, artifact, copy):
    raw.prune("name", 1)
    place_of(raw, artifact, "a.csv").unlink()
    with pytest.raises(ArtifactPrunedError):
        client.repair("name@1", copy)
    assert not place_of(raw, artifact, "a.csv").exists()


def test_what_is_pointed_to_is_named_and_left(client, tmp_path):
    (tmp_path / "data").write_bytes(b"data")
    client.register_pointer("name", tmp_path / "data")
    (tmp_path / "data").write_bytes(b"other")
    (found,) = client.repair("name", tmp_path / "data").damaged
    assert "outside of the store" in found.reason
    assert (tmp_path / "data").read_bytes() == b"other"


def test_a_forged_size_replaces_nothing(client, raw, copy):
    """The bytes under the key have the digest in its name: that a manifest states another size is no damage of them."""
    client.register_artifact("one", b"12345")
    migrate(client, raw.root.with_name("copy"))
    place = raw.manifest_path("one", 1)
    document = json.loads(place.read_bytes())
    document["entries"][0]["size"] = document["size"] = 4
    line = f'["one",4,"{document["entries"][0]["sha256"]}"]\n'
    document["digest"] = f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"
    raw.overwrite(place, json.dumps(document).encode())
    before = raw.blob_path(b"12345").stat()
    for source in (copy, raw.blob_path(b"12345")):
        assert [found.path for found in client.repair("one@1", source).damaged] == ["one"]
    after = raw.blob_path(b"12345").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


# --- at once, and interrupted -----------------------------------------------------------------------------------------


def test_two_repairs_at_once_leave_everything_whole(client, raw, artifact, copy):
    for _ in range(5):
        damage(raw, artifact)
        barrier = threading.Barrier(4)

        def repair(barrier=barrier):
            barrier.wait()
            return MetaMLFlowClient(raw.root).repair("name@1", copy)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda _: repair(), range(4)))
        assert artifact.verify()


@pytest.mark.full
def test_a_repair_that_is_killed_leaves_the_old_bytes_or_the_new(client, raw, artifact, copy):
    code = (
        "import sys; from metamlflow import MetaMLFlowClient as C; print(1, flush=True); "
        "C(sys.argv[1]).repair('name@1', sys.argv[2])"
    )
    place = place_of(raw, artifact, "deep/b.bin")
    for milliseconds in (0, 40, 80, 120, 200):
        raw.overwrite(place, b"damaged")
        process = subprocess.Popen([sys.executable, "-c", code, str(raw.root), str(copy)], stdout=subprocess.PIPE)
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(milliseconds / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert place.read_bytes() in {b"damaged", FILES["deep/b.bin"]}
    assert client.repair("name@1", copy)


def test_a_repair_that_broke_off_is_finished_by_the_next(copy, artifact):
    inner = MemoryBackend()
    client = MetaMLFlowClient._on(Store(inner.url, {}, backend=inner))
    key = client.register_artifact("name", FILES).entries["a.csv"].key
    inner.bucket.objects[key] = StoredObject(b"damaged", inner.bucket.objects[key].modified)
    broken = FaultyBackend(inner, [FailBefore(verb="replace", times=None)])
    report = MetaMLFlowClient._on(Store(broken.url, {}, backend=broken)).repair("name", copy)
    assert [found.path for found in report.damaged] == ["a.csv"]
    assert inner.bucket.objects[key].data == b"damaged"
    assert client.repair("name", copy)
    assert inner.bucket.objects[key].data == FILES["a.csv"]


def test_a_version_that_never_was_is_told_as_that(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact("model", b"1")
    with pytest.raises(ArtifactNotFoundError, match="no version 9") as caught:
        client.repair("model@9", tmp_path)
    assert "the version 1." in caught.value.hint
    assert "lost" in caught.value.hint
