"""A collection frees what no version needs, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aging_store import DAY, GRACE, LAST, blob_of, refs, version_key, writes

from metamlflow.errors import InvalidInputError
from metamlflow.testing import FaultyBackend, MemoryBackend, StoredObject

SECOND = timedelta(seconds=1)


@pytest.fixture
def three(store):
    """Three versions of a name, a day old."""
    for content in (b"one", b"two", b"three"):
        store.client().register_artifact("a", content)
    store.passes(DAY)
    return store


def test_the_content_of_a_pruned_version_is_freed_after_the_grace_and_no_other(three):
    three.prune("a", 2)
    three.passes(GRACE + 2 * SECOND)
    report = three.client().collect_garbage()
    assert three.blobs() == {blob_of(b"one"), blob_of(b"three")}
    assert (report.blobs, report.bytes, report.deleted, report.freed, report.ok) == (1, 3, 1, 3, True)
    assert three.client().get_artifact("a", 3).read_bytes() == b"three"
    assert version_key("a", 2) in three.listed(), "its manifest stays"


def test_within_the_grace_nothing_of_it_is_freed_and_the_plan_says_from_when(three):
    three.prune("a", 2)
    three.passes(GRACE)
    plan = three.client().collect_garbage(dry_run=True)
    assert (plan.blobs, refs(plan.kept_versions)) == (0, ["a@2"])
    assert plan.kept_versions[0].until == three.now + SECOND
    assert sum(blobs for blobs, _ in plan.waiting.values()) == 1
    assert three.client().collect_garbage().deleted == 0
    assert len(three.blobs()) == 3


def test_content_that_no_version_names_is_freed_when_it_is_older_than_the_grace(store):
    store.client().register_artifact("a", b"live")
    store.write(blob_of(b"left"), b"left")
    store.passes(GRACE)
    store.write(blob_of(b"young"), b"young")
    assert store.client().collect_garbage().deleted == 0
    store.passes(2 * SECOND)
    plan = store.client().collect_garbage(dry_run=True)
    assert [(it.reference, it.reason) for it in plan.objects()] == [(None, "no version names it")]
    assert store.client().collect_garbage().deleted == 1
    assert store.blobs() == {blob_of(b"live"), blob_of(b"young")}


def test_content_that_a_live_version_shares_is_kept(store):
    client = store.client()
    client.register_artifact("a", {"x": b"shared", "y": b"own"})
    client.register_artifact("b", b"shared")
    store.prune("a", 1)
    store.passes(GRACE + DAY)
    assert store.client().collect_garbage().deleted == 1
    assert store.blobs() == {blob_of(b"shared")}


def test_a_restored_version_and_one_whose_state_speaks_of_another_manifest_are_kept(three):
    three.prune("a", 1)
    three.set_state("a", 1, "restored", 2)
    three.set_state("a", 2, "absent", digest=f"sha256:{'0' * 64}")
    three.passes(GRACE + DAY)
    assert three.client().collect_garbage().blobs == 0
    assert len(three.blobs()) == 3


def test_a_version_that_an_alias_names_is_kept_and_reported(three):
    three.client().set_alias("a", "best", 2)
    three.prune("a", 2)
    three.prune("a", 1)
    three.passes(GRACE + DAY)
    report = three.client().collect_garbage()
    assert three.blobs() == {blob_of(b"two"), blob_of(b"three")}
    assert [(it.reference, it.until) for it in report.kept_versions] == [("a@2", None)]
    assert "the alias best names it" in report.kept_versions[0].reason
    three.client().set_alias("a", "best", 3)
    assert three.client().collect_garbage().deleted == 1


def test_a_protected_version_is_kept_and_reported_until_its_last_protection_is_over(three):
    three.client().protect("a@2", "for the paper")
    three.client().protect("a@2")
    three.client().protect("a@1")
    three.client().unprotect("a@1")
    three.prune("a", 2)
    three.prune("a", 1)
    three.passes(GRACE + DAY)
    report = three.client().collect_garbage()
    assert three.blobs() == {blob_of(b"two"), blob_of(b"three")}
    assert [(it.reference, it.until) for it in report.kept_versions] == [("a@2", None)]
    assert report.kept_versions[0].reason.endswith("but it is protected")
    three.client().unprotect("a@2")
    assert three.client().collect_garbage().deleted == 1


def test_a_protection_that_is_damaged_keeps_its_version_and_a_damaged_end_ends_it(three):
    for version in (1, 2):
        three.prune("a", version)
        three.write(f"protections/a/_v{version}/{LAST - 1}.json", b"?")
    three.write(f"protections/a/_v1/{LAST - 1}.end.json", b"?")
    three.passes(GRACE + DAY)
    assert three.client().collect_garbage().deleted == 1
    assert three.blobs() == {blob_of(b"two"), blob_of(b"three")}


@pytest.mark.parametrize("leaves_manifest", [False, True])
def test_the_content_of_an_erased_version_is_freed_and_what_is_left_of_its_manifest(three, leaves_manifest):
    three.prune("a", 2)
    three.passes(GRACE + DAY)
    three.bury("a", 2, leaves_manifest=leaves_manifest)
    three.passes(SECOND)
    assert three.client().collect_garbage().deleted == 1
    assert blob_of(b"two") not in three.blobs()
    assert (version_key("a", 2) in three.listed()) == leaves_manifest, "a listing of before may miss the tomb"
    three.passes(GRACE / 2 + SECOND)
    plan = three.client().collect_garbage(dry_run=True)
    assert plan.manifests == ((version_key("a", 2),) if leaves_manifest else ())
    three.client().collect_garbage()
    assert version_key("a", 2) not in three.listed()


def test_of_one_content_under_two_keys_the_named_one_is_kept(store):
    client = store.client()
    client.register_artifact("a", b"same")
    fresh = f"{blob_of(b'same')}-{'a' * 32}.csv"
    store.write(fresh, b"same")
    store.passes(GRACE + DAY)
    assert client.collect_garbage().deleted == 1
    assert store.blobs() == {blob_of(b"same")}


def test_shards_are_content_and_their_files_too(store):
    client = store.client()
    client.register_artifact("big", {f"f{n}": b"%d" % n for n in range(600)})
    client.register_artifact("big", {f"f{n}": b"%d" % n for n in range(599)})
    store.prune("big", 1)
    kept = store.blobs_of("big", 2)
    store.passes(GRACE + DAY)
    report = client.collect_garbage()
    assert store.blobs() == kept
    assert report.owners[0].reference == "big@1"
    assert client.collect_garbage().blobs == 0, "also when the shards of the old version are gone"


def test_what_is_no_blob_is_left_alone_below_blobs(store):
    store.client().register_artifact("a", b"x")
    strangers = {"blobs/readme", "blobs/sha256/zz/x", "blobs/sha256/00/short", "blobs/sha256/!", "blobs/sha256/ff/~"}
    for key in strangers:
        store.write(key, b"?")
    store.passes(GRACE + DAY)
    report = store.client().collect_garbage()
    assert (report.deleted, report.foreign) == (0, 4)
    assert strangers < store.listed()


def test_a_dry_run_writes_nothing(three):
    three.prune("a", 2)
    three.passes(GRACE + DAY)
    backend = three.faulty()
    before = dict(three.bucket.objects)
    plan = three.client(backend).collect_garbage(dry_run=True)
    assert plan.blobs == 1
    assert writes(backend) == []
    assert three.bucket.objects == before


def test_a_collection_that_finds_nothing_writes_nothing(three):
    backend = three.faulty()
    assert three.client(backend).collect_garbage().ok
    assert writes(backend) == []


def test_a_longer_grace_keeps_more_and_a_shorter_one_is_refused(three):
    three.prune("a", 2)
    three.passes(GRACE + DAY)
    client = three.client()
    assert client.collect_garbage(grace=timedelta(days=30)).blobs == 0
    with pytest.raises(InvalidInputError, match="shorter than the store's"):
        client.collect_garbage(grace=timedelta(days=1))
    assert len(three.blobs()) == 3


def test_a_store_with_a_grace_under_a_day_is_collected_only_on_demand(store):
    store.client().create_store(grace=timedelta(hours=23))
    store.client().register_artifact("a", b"x")
    for dry_run in (True, False):
        with pytest.raises(InvalidInputError, match="24 hours"):
            store.client().collect_garbage(dry_run=dry_run)
    assert store.client().collect_garbage(unsafe=True).ok
    assert store.client().collect_garbage(dry_run=True, unsafe=True).ok


def test_an_object_that_became_young_since_it_was_listed_is_left(three):
    three.prune("a", 2)
    three.passes(GRACE + DAY)

    class PutAgain(FaultyBackend):
        """Somebody puts the same content again just before the deletion."""

        def stat(self, key):
            if key.startswith("blobs/"):
                three.bucket.objects[key] = StoredObject(b"two", three.now)
            return super().stat(key)

        def delete_seen(self, infos):
            for info in infos:
                three.bucket.objects[info.key] = StoredObject(b"two", three.now)
            return super().delete_seen(infos)

    report = three.client(PutAgain(MemoryBackend(three.bucket))).collect_garbage()
    assert (report.deleted, report.freed, report.left, report.ok) == (0, 0, 1, True)
    assert blob_of(b"two") in three.blobs()
