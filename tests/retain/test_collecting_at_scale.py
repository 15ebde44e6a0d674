"""What a collection costs in a large store: a page for a thousand objects, and a request to delete a thousand."""

from __future__ import annotations

from collections import Counter

import pytest
from aging_store import DAY, GRACE, blob_of

LIVE, GARBAGE = 9_000, 3_000


@pytest.mark.full
def test_a_collection_lists_each_object_once_and_deletes_a_thousand_at_a_time(store):
    client = store.client()
    client.register_artifact("a", {f"f{number}": b"%d" % number for number in range(LIVE)})
    live = store.blobs()
    for number in range(GARBAGE):
        store.write(blob_of(b"left %d" % number), b"left %d" % number)
    store.passes(GRACE + DAY)
    backend = store.faulty()
    report = store.client(backend).collect_garbage()
    assert (report.deleted, report.ok) == (GARBAGE, True)
    assert store.blobs() == live
    calls = Counter((call.verb, call.key.split("/")[0]) for call in backend.calls)
    pages = (LIVE + GARBAGE) / 1000
    assert calls["list_objects", "blobs"] <= pages + 2 * 16 + 2
    assert calls["delete", "blobs"] == GARBAGE / 1000
    assert calls["read", "blobs"] == len([key for key in live if key.endswith(".jsonl")]), "each shard once"


@pytest.mark.full
def test_a_shard_that_many_versions_share_is_read_once(store):
    client = store.client()
    files = {f"f{number}": b"%d" % number for number in range(2_000)}
    for version in range(6):
        client.register_artifact("a", files | {"f0": b"version %d" % version})
    store.prune("a", 1)
    backend = store.faulty()
    store.client(backend).collect_garbage(dry_run=True)
    shards = {key for key in store.blobs() if key.endswith(".jsonl")}
    read = Counter(call.key for call in backend.calls if call.verb == "read" and call.key in shards)
    assert set(read) == shards
    assert max(read.values()) <= 2, "once for what is kept, and once more only if a live version has it too"
