"""Artifacts around and beyond 512 items: the list of files moves from the manifest into shards."""

from __future__ import annotations

import hashlib
import json

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FaultyBackend, MemoryBackend

COUNT = 7_000  # of paths, which are cut into shards after 1408, 6823 and 6985


def content(count, **changes):
    return {f"part-{number:06}": b"same" for number in range(count)} | changes


@pytest.fixture(scope="module")
def large():
    """An artifact of 7,000 files, in memory; not to be changed."""
    backend = MemoryBackend()
    client = MetaMLFlowClient._on(Store(backend.url, {}, backend=backend))
    client.register_artifact("a", content(COUNT))
    return client, backend


def test_512_items_stand_in_the_manifest_itself(client, raw):
    artifact = client.register_artifact("a", content(512))
    stored = raw.manifest("a")
    assert (len(stored["entries"]), "shards" in stored) == (512, False)
    assert len(raw.blobs()) == 1
    assert len(artifact.entries) == len(list(client.get_artifact("a").entries)) == 512


def test_513_items_stand_in_shards_that_add_up(client, raw, quick_folder):
    artifact = client.register_artifact("a", content(513))
    stored = raw.manifest("a")
    assert "entries" not in stored
    lines = []
    for shard in stored["shards"]:
        data = (raw.root / shard["key"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["size"], shard["sha256"])
        items = [json.loads(line) for line in data.splitlines()]
        assert (items[0]["path"], len(items)) == (shard["first"], shard["count"])
        lines += items
    assert [item["path"] for item in lines] == sorted(content(513))
    assert [entry.path for entry in client.get_artifact("a").entries] == sorted(content(513))
    assert artifact.verify("stat")
    assert len(list(artifact.download(quick_folder).iterdir())) == 513


def test_empty_folders_count_as_items(client, raw, folder):
    (folder / "empty").mkdir()
    client.register_artifact("a", content(512, f=folder))
    assert (raw.manifest("a")["files"], raw.manifest("a")["folders"]) == (512, 1)
    assert "shards" in raw.manifest("a")


def test_the_digest_does_not_depend_on_where_the_list_stands(client):
    digest = hashlib.sha256()
    for path in sorted(content(513)):
        line = json.dumps([path, 4, hashlib.sha256(b"same").hexdigest()], separators=(",", ":"))
        digest.update(f"{line}\n".encode())
    assert client.register_artifact("a", content(513)).digest == f"sha256:{digest.hexdigest()}"


def test_shards_are_cut_after_paths_whose_digest_begins_with_three_zeros(large):
    _, backend = large
    manifest = next(stored.data for key, stored in backend.bucket.objects.items() if "_versions" in key)
    shards = json.loads(manifest)["shards"]
    assert [shard["first"] for shard in shards] == [f"part-{number:06}" for number in (0, 1409, 6824, 6986)]
    for shard in shards[:-1]:
        last = json.loads(backend.bucket.objects[shard["key"]].data.splitlines()[-1])["path"]
        assert hashlib.sha256(last.encode()).hexdigest().startswith("000")


@pytest.mark.full
def test_after_one_change_only_the_shards_around_it_are_sent():
    backend = FaultyBackend(MemoryBackend())
    client = MetaMLFlowClient._on(Store(backend.url, {}, backend=backend))
    client.register_artifact("a", content(COUNT))
    backend.calls.clear()
    unchanged = client.register_artifact("a", content(COUNT))
    assert [call for call in backend.calls if call.verb == "put" and call.key.endswith(".jsonl")] == []
    assert client.register_artifact("a", content(COUNT), if_unchanged="reuse") == unchanged
    backend.calls.clear()
    client.register_artifact("a", content(COUNT, **{"part-005000": b"changed"}))
    sent = [call.key for call in backend.calls if call.verb == "put"]
    assert len([key for key in sent if key.endswith(".jsonl")]) == 1
    assert len(sent) == 2
    backend.calls.clear()
    client.register_artifact("a", content(COUNT, **{"part-005000": b"changed", "part-005000b": b"changed"}))
    assert len([call for call in backend.calls if call.verb == "put"]) <= 2


def test_entries_are_a_sequence_that_is_read_when_it_is_needed(large):
    _, backend = large
    watched = FaultyBackend(backend)
    entries = MetaMLFlowClient._on(Store(backend.url, {}, backend=watched)).get_artifact("a").entries
    watched.calls.clear()
    assert len(entries) == COUNT
    assert entries
    assert watched.calls == []
    assert entries.find("part-005000").path == "part-005000"
    assert len(watched.calls) == 1
    assert "part-005001" in entries
    assert len(watched.calls) == 1
    assert [entry.path for entry in entries[:2]] == ["part-000000", "part-000001"]
    assert len(watched.calls) == 2


def test_entries_are_looked_up_by_path(large):
    entries = large[0].get_artifact("a").entries
    for path in ("part-000000", "part-001408", "part-001409", "part-006999"):
        assert entries.find(path).path == path
        assert path in entries
        assert entries.find(path) in entries
    for path in ("", "a", "part-", "part-000000/x", "part-0012345", "part-007000", "z"):
        assert entries.find(path) is None
        assert path not in entries
    assert 3 not in entries


@pytest.mark.full
def test_entries_are_indexed_and_sliced_like_a_list(large):
    entries = large[0].get_artifact("a").entries
    paths = sorted(content(COUNT))
    assert [entry.path for entry in entries] == paths
    for index in (0, 5, 2000, -1, -COUNT):
        assert entries[index].path == paths[index]
    for part in (slice(3), slice(-2, None), slice(10, 4, -2), slice(0, 0), slice(None, None, 3000), slice(6000, 10**9)):
        assert [entry.path for entry in entries[part]] == paths[part]
    for index in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError):
            entries[index]


def test_entries_show_a_few_and_how_many(large, client):
    assert repr(large[0].get_artifact("a").entries) == (
        "<7,000 entries: 'part-000000', 'part-000001', 'part-000002', …>"
    )
    assert repr(client.register_artifact("a", {"x": b"", "y": b""}).entries) == "<2 entries: 'x', 'y'>"


def test_entries_of_empty_folders_are_not_files(client, folder):
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(b"")
    entries = client.register_artifact("a", folder).entries
    assert [entry.path for entry in entries] == ["file"]
    assert (len(entries), "empty" in entries, entries.find("empty")) == (1, False, None)
