"""A collection deletes nothing where it meets what it does not know, cannot read, or misses."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from aging_store import DAY, GRACE, LAST, Meanwhile, blob_of, version_key, writes

from metamlflow.errors import (
    AccessDeniedError,
    IntegrityError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageUnavailableError,
    StoreFormatError,
)
from metamlflow.testing import FailBefore

UNKNOWN = [
    "artifacts/a/_hidden/9999999998.json",
    "artifacts/a/_versions/9999999998_v1.tomb",
    "artifacts/zz/_x/y",
    "features/9999999998.txt",
    "packs/00/x",
    "policies/later.json",
    "protections/a/_v1/later.json",
    "protections/a/_v1/9999999998.later.json",
    "readme.md",
    "staging/x",
]
ALIAS = f"artifacts/a/_aliases/best/{LAST - 1}.json"


@pytest.fixture
def old(store):
    """A store with garbage: of a pruned version, and of none; and with what else a collection reads."""
    client = store.client()
    for content in (b"one", b"two", b"three"):
        client.register_artifact("a", content)
    client.register_artifact("big", {f"f{n}": b"%d" % n for n in range(600)})
    client.set_alias("a", "best", 3)
    store.prune("a", 1)
    store.write(blob_of(b"left"), b"left")
    store.passes(GRACE + DAY)
    return store


def assert_stops(store, error, match=None, backend=None):
    before = dict(store.bucket.objects)
    for plan in (None, True):
        faulty = backend or store.faulty()
        with pytest.raises(error, match=match) as caught:
            store.client(faulty).collect_garbage(**({"dry_run": True} if plan else {}))
        assert "othing was deleted" in str(caught.value) or "othing of it is deleted" in str(caught.value)
        assert writes(faulty) == []
    assert store.bucket.objects == before


def test_the_store_of_these_tests_has_garbage(old):
    assert old.client().collect_garbage().deleted == 2


@pytest.mark.parametrize("key", UNKNOWN)
def test_one_unknown_key_stops_it(old, key):
    old.write(key, b"?")
    assert_stops(old, StoreFormatError, "does not know")


@pytest.mark.parametrize("group", ["read", "write"])
def test_an_unknown_feature_stops_it_also_in_a_list_that_is_not_the_newest(old, group):
    for number in (1, 2):
        lists = {"read": [], "write": []} | ({group: ["packs-of-2031"]} if number == 1 else {})
        old.write_json(f"features/{LAST - number}.json", **lists)
    assert_stops(old, MetaMLFlowError, "packs-of-2031")


def test_an_unknown_feature_of_a_manifest_stops_it(old):
    key = version_key("a", 2)
    old.write(key, json.dumps(json.loads(old.read(key)) | {"requires": ["packs"]}).encode())
    assert_stops(old, StoreFormatError)


@pytest.mark.parametrize(
    "key",
    [version_key("a", 2), version_key("a", 1, f".state-{LAST - 1}"), version_key("a", 1, ".tomb"), ALIAS],
    ids=["manifest", "state", "tomb", "alias"],
)
def test_a_damaged_record_stops_it(old, key):
    old.write(key, b'{"format":1')
    if "tomb" in key:
        old.passes(timedelta(seconds=1))
    assert_stops(old, StoreFormatError)


def test_a_damaged_or_missing_shard_of_a_live_version_stops_it(old):
    (shard,) = (key for key in old.blobs() if key.endswith(".jsonl"))
    old.write(shard, old.read(shard).replace(b"f1", b"f2", 1))
    assert_stops(old, IntegrityError)
    del old.bucket.objects[shard]
    assert_stops(old, IntegrityError)


def test_missing_content_of_a_live_version_stops_it_and_is_named(old):
    del old.bucket.objects[blob_of(b"two")]
    assert_stops(old, IntegrityError, "a@2")


@pytest.mark.parametrize(("content", "what"), [(b"tw", "2 bytes instead of 3"), (b"", "0 bytes"), (b"twoo", "4 bytes")])
def test_content_of_a_live_version_that_is_not_whole_stops_it_and_is_named(old, content, what):
    old.write(blob_of(b"two"), content)
    old.passes(GRACE + DAY)
    assert_stops(old, IntegrityError, f"a@2: sha256:{hashlib.sha256(b'two').hexdigest()} has {what}")


def test_content_with_another_size_in_one_of_two_live_versions_stops_it_and_names_that_one(old):
    key = version_key("a", 3)
    document = json.loads(old.read(key))
    (entry,) = json.loads(old.read(version_key("a", 2)))["entries"]
    (named,) = document["entries"]
    named |= {"size": 2, "sha256": entry["sha256"], "key": entry["key"]}
    line = json.dumps([named["path"], 2, entry["sha256"]], separators=(",", ":")) + "\n"
    digest = f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"
    old.write(key, json.dumps(document | {"size": 2, "digest": digest}).encode())
    old.passes(GRACE + DAY)
    assert_stops(old, IntegrityError, r"\(1 blob\):\n  a@3: sha256:[0-9a-f]+ has 3 bytes instead of 2\n")


def test_content_that_is_not_whole_of_a_version_that_is_pruned_or_was_left_out_does_not_stop_it(old):
    old.set_state("a", 2, "absent")
    old.prune("a", 3)
    for content in (b"two", b"three"):
        old.write(blob_of(content), b"")
    assert old.client().collect_garbage().deleted == 2


def test_missing_content_of_a_version_that_is_pruned_or_was_left_out_does_not(old):
    old.set_state("a", 2, "absent")
    old.prune("a", 3)
    for content in (b"two", b"three"):
        del old.bucket.objects[blob_of(content)]
    assert old.client().collect_garbage().deleted == 2


def test_content_of_another_key_with_the_same_digest_does_not_stand_in_for_a_missing_one(old):
    key = blob_of(b"two")
    old.write(f"{key}-{'f' * 32}", old.read(key))
    del old.bucket.objects[key]
    assert_stops(old, IntegrityError, "a@2")


@pytest.mark.parametrize(
    "key",
    ["metamlflow.json", version_key("a", 2), version_key("a", 1, f".state-{LAST - 1}"), "blobs/*.jsonl"],
    ids=["marker", "manifest", "state", "shard"],
)
@pytest.mark.parametrize("error", [AccessDeniedError, StorageUnavailableError])
def test_what_may_not_or_cannot_be_read_stops_it(old, key, error):
    backend = old.faulty(FailBefore(verb="read", key=key, times=None, error=lambda where: error(where, key=where)))
    before = dict(old.bucket.objects)
    with pytest.raises(error):
        old.client(backend).collect_garbage()
    assert (writes(backend), old.bucket.objects) == ([], before)


@pytest.mark.parametrize("prefix", ["artifacts/", "features/", "blobs/sha256/", "collections/"])
def test_a_listing_that_is_denied_stops_it(old, prefix):
    denied = FailBefore(
        verb="list_objects", key=prefix, times=None, error=lambda where: AccessDeniedError(where, key=where)
    )
    before = dict(old.bucket.objects)
    with pytest.raises(AccessDeniedError):
        old.client(old.faulty(denied)).collect_garbage()
    assert old.bucket.objects == before


def test_a_version_that_is_erased_between_its_listing_and_its_reading_stops_it(old):
    """A version that landed later may rely on the same content, having seen this one live."""
    erasure = Meanwhile(verb="read", key=version_key("a", 2), act=lambda: old.bury("a", 2))
    blobs = old.blobs()
    with pytest.raises(ObjectNotFoundError, match="a@2 is gone since it was listed, and it was erased"):
        old.client(old.faulty(erasure)).collect_garbage()
    assert old.blobs() == blobs


def test_an_alias_of_a_name_whose_versions_are_all_live_need_not_be_read(old):
    old.client().set_alias("big", "best", 1)
    old.write(ALIAS.replace("/a/", "/big/"), b"?")
    assert old.client().collect_garbage().deleted == 2


def test_so_does_one_in_its_grace_and_one_that_an_alias_names(old):
    old.prune("a", 2)
    erasure = Meanwhile(verb="read", key=version_key("a", 2), act=lambda: old.bury("a", 2))
    with pytest.raises(ObjectNotFoundError):
        old.client(old.faulty(erasure)).collect_garbage()
    old.prune("a", 3)
    old.passes(GRACE + DAY)
    erasure = Meanwhile(verb="read", key=version_key("a", 3), act=lambda: old.bury("a", 3))
    with pytest.raises(ObjectNotFoundError):
        old.client(old.faulty(erasure)).collect_garbage()
    assert {blob_of(b"one"), blob_of(b"two"), blob_of(b"three")} <= old.blobs()


def test_one_that_was_pruned_longer_ago_than_the_grace_may_be_erased_meanwhile(old):
    erasure = Meanwhile(verb="read", key=version_key("a", 1), act=lambda: old.bury("a", 1))
    assert old.client(old.faulty(erasure)).collect_garbage().deleted == 2


def test_a_manifest_that_vanishes_without_a_tomb_stops_it(old):
    vanishing = Meanwhile(verb="read", key=version_key("a", 2), act=lambda: old.bucket.objects.pop(version_key("a", 2)))
    with pytest.raises(ObjectNotFoundError, match="nothing says why"):
        old.client(old.faulty(vanishing)).collect_garbage()


def test_a_version_erased_after_the_collection_began_is_judged_by_its_state(old):
    """Its tomb is younger than the collection, so whoever saw it live may still be about to land."""
    old.prune("a", 2)
    tomb = Meanwhile(verb="list_objects", key="artifacts/", act=lambda: old.bury("a", 2, leaves_manifest=True))
    assert old.client(old.faulty(tomb)).collect_garbage().deleted == 2
    assert blob_of(b"two") in old.blobs()
