"""A store that holds anything unknown is told before anything is deleted: a collector of today may meet it tomorrow."""

from __future__ import annotations

import json

import pytest

from metamlflow.errors import StoreFormatError
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_unknown, unknown_keys
from metamlflow.testing import FaultyBackend, MemoryBackend, StoredObject, client_on

EVERY_PLACE = [
    "artifacts/a/_hidden/9999999998.json",
    "artifacts/a/_versions/9999999998_v1.tomb",
    "artifacts/zz/_x/y",
    "attachments/x",
    "catalog/x",
    "features/9999999998.txt",
    "packs/00/x",
    "protections/a/x",
    "readme.md",
    "staging/x",
    "zzz/x",
    "~/x",
    "ü/x",
]


@pytest.fixture
def store() -> Store:
    """A store with a record of every kind."""
    backend = MemoryBackend()
    client = client_on(backend)
    for content in (b"1", b"2"):
        client.register_artifact("a", content, idempotency_key=content.decode())
    client.set_alias("a", "Best", 1)
    for target in ("a", "a@1", "a@2"):
        client.annotate(target, title="noted")
    with client.run("train"):
        client.register_artifact("shop/Model.json/b", {"x": b"1"}, inputs=["a@1"])
    return Store(backend.url, {}, backend=backend)


def put(store: Store, *keys: str) -> None:
    for key in keys:
        bucket = store.backend.bucket
        bucket.objects[key] = StoredObject(b"?", bucket.clock())


def test_a_store_of_this_format_holds_nothing_unknown(store):
    assert {key.partition("/")[0] for key in store.backend.bucket.objects} >= {"artifacts", "blobs", "edges", "runs"}
    assert list(unknown_keys(store)) == []
    refuse_unknown(store)


def test_what_is_harmless_is_none_of_it(store):
    put(store, "blobs/readme", "cache/x", "names/~/ü", "runs/ü", "runs/~~", "signatures/x", "artifacts/", "packs/")
    refuse_unknown(store)


@pytest.mark.parametrize("key", EVERY_PLACE)
def test_one_unknown_key_anywhere_is_told(store, key):
    put(store, key)
    assert list(unknown_keys(store)) == [key]
    with pytest.raises(StoreFormatError) as caught:
        refuse_unknown(store)
    assert caught.value.problems == (key,)
    assert "nothing of it is deleted" in caught.value.message


def test_the_marker_of_a_folder_hides_nothing_in_it(store):
    put(
        store,
        "packs/",
        "packs/00/",
        "packs/00/x",
        "artifacts/a/_hidden/",
        "artifacts/a/_hidden/x",
        "features/",
        "features/x",
    )
    assert sorted(unknown_keys(store)) == ["artifacts/a/_hidden/x", "features/x", "packs/00/x"]


def test_all_of_them_are_told_below_artifacts_and_one_of_each_other_folder(store):
    put(store, *EVERY_PLACE, "packs/00/y", "artifacts/a/_hidden/9999999997.json")
    assert sorted(unknown_keys(store)) == sorted([*EVERY_PLACE, "artifacts/a/_hidden/9999999997.json"])


def test_no_key_forges_a_line_or_moves_a_cursor(store):
    put(store, "artifacts/a/x\nnothing is wrong", "artifacts/a/\x1b[2J")
    with pytest.raises(StoreFormatError) as caught:
        refuse_unknown(store)
    assert str(caught.value).count("\n") == 3
    assert "\x1b" not in str(caught.value)


def test_of_very_many_the_first_twenty_are_told(store):
    put(store, *(f"artifacts/a/_hidden/{number:010d}.json" for number in range(5_000)))
    with pytest.raises(StoreFormatError) as caught:
        refuse_unknown(store)
    assert len(caught.value.problems) == 20


def test_a_marker_that_requires_an_unknown_feature_is_told(store):
    objects = store.backend.bucket.objects
    document = json.loads(objects["metamlflow.json"].data) | {"requires": ["packs"]}
    objects["metamlflow.json"] = StoredObject(json.dumps(document).encode(), objects["metamlflow.json"].modified)
    with pytest.raises(StoreFormatError, match="unknown feature"):
        refuse_unknown(store)


def test_many_keys_cost_a_listing_of_the_records_and_not_of_the_blobs(store):
    put(store, *(f"blobs/sha256/00/{number:064x}" for number in range(5_000)))
    watched = FaultyBackend(store.backend)
    refuse_unknown(Store(watched.url, {}, backend=watched))
    assert len(watched.calls) < 20


def test_a_store_on_a_disk_is_looked_at_likewise(client, store_folder):
    client.register_artifact("a", b"1")
    store = Store(store_folder.as_uri(), {})
    assert list(unknown_keys(store)) == []
    for key in ("packs/x", "artifacts/a/_hidden/x.json"):
        (store_folder / key).parent.mkdir()
        (store_folder / key).write_bytes(b"?")
    assert sorted(unknown_keys(store)) == ["artifacts/a/_hidden/x.json", "packs/x"]
