"""What usage calls collectable is what a collection plans to delete, and then deletes."""

from __future__ import annotations

import pytest
from aging_store import DAY, GRACE, LAST, blob_of, version_key

from metamlflow.errors import MetaMLFlowError, ObjectNotFoundError
from metamlflow.testing import FaultyBackend, MemoryBackend


@pytest.fixture
def mixed(store):
    """Versions live, pruned long ago and just now, held by aliases and protections, erased, shared; and leftovers."""
    client = store.client()
    for number in range(1, 9):
        client.register_artifact("a", {"own": b"%d" % number * 10 * number, "shared": b"by all"})
    client.register_artifact("b", {"x": b"2" * 20})
    wide = {f"{number:04d}": b"wide %d" % number for number in range(600)}
    client.register_artifact("wide", wide)
    client.register_artifact("wide", wide | {"last": b"one more"})
    client.register_artifact("gone", b"an only version")
    client.set_alias("a", "best", 3)
    client.set_alias("a", "moved", 4)
    client.set_alias("a", "moved", 8)
    client.protect("a@5")
    client.protect("a@6")
    client.unprotect("a@6")
    for name, version in (("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5), ("a", 6), ("wide", 1), ("gone", 1)):
        store.prune(name, version)
    store.write(blob_of(b"left"), b"left")
    store.passes(GRACE + DAY)
    store.prune("a", 7)
    store.write(blob_of(b"left just now"), b"left just now")
    store.bury("a", 1)
    store.passes(DAY)
    return store


def test_usage_and_a_plan_of_a_collection_agree_on_the_garbage_of_a_store(mixed):
    usage, plan = mixed.client().usage(), mixed.client().collect_garbage(dry_run=True)
    assert usage.complete
    assert usage.collectable == plan.bytes > 0
    assert (usage.blobs, usage.bytes) == (
        plan.kept_blobs + plan.blobs + sum(blobs for blobs, _ in plan.waiting.values()),
        plan.kept_bytes + plan.bytes + sum(size for _, size in plan.waiting.values()),
    )
    deleted = mixed.client().collect_garbage()
    assert (deleted.blobs, deleted.freed) == (plan.blobs, plan.bytes)
    after = mixed.client().usage()
    assert after.collectable == 0
    assert after.bytes == usage.bytes - plan.bytes
    assert mixed.client().collect_garbage(dry_run=True).blobs == 0


def test_they_agree_a_week_later_when_what_waited_is_garbage_too(mixed):
    mixed.client().collect_garbage()
    mixed.passes(GRACE + DAY)
    usage, plan = mixed.client().usage(), mixed.client().collect_garbage(dry_run=True)
    assert usage.collectable == plan.bytes == len(b"left just now") + 70


def test_with_an_alias_that_cannot_be_read_neither_offers_anything(mixed):
    key = f"artifacts/a/_aliases/best/{LAST - 1}.json"
    mixed.write(key, b"?")
    usage = mixed.client().usage()
    assert (usage.complete, usage.unreadable, usage.collectable) == (False, (key,), 0)


class Withholding(FaultyBackend):
    """Lists an object, and says that it does not exist when it is read."""

    def __init__(self, backend, key):
        super().__init__(backend)
        self._key = key

    def read(self, key, *arguments):
        if key == self._key:
            raise ObjectNotFoundError("no such key", key=key)
        return super().read(key, *arguments)


def test_content_of_a_manifest_that_is_listed_and_not_given_out_is_offered_by_neither(mixed):
    key = version_key("b", 1)
    client = mixed.client(Withholding(MemoryBackend(mixed.bucket), key))
    usage = client.usage()
    assert (usage.complete, usage.unreadable, usage.collectable) == (False, (key,), 0)
    with pytest.raises(MetaMLFlowError, match="nothing was deleted"):
        client.collect_garbage(dry_run=True)


@pytest.mark.parametrize("version", [2, 7])
def test_content_of_a_version_that_vanished_is_offered_by_neither(mixed, version):
    """The first was pruned long ago, and its record of that is still there."""
    key = version_key("a", version)
    del mixed.bucket.objects[key]
    usage = mixed.client().usage()
    assert (usage.complete, usage.unreadable, usage.collectable) == (False, (key,), 0)
    with pytest.raises(MetaMLFlowError, match="nothing was deleted"):
        mixed.client().collect_garbage(dry_run=True)


def test_a_manifest_that_is_erased_after_it_was_listed_hides_nothing(mixed):
    class Erased(FaultyBackend):
        def list_objects(self, prefix="", **more):
            infos = list(super().list_objects(prefix, **more))
            if prefix == "artifacts/" and version_key("a", 2) in mixed.bucket.objects:
                mixed.bury("a", 2)
            return iter(infos)

    usage = mixed.client(Erased(MemoryBackend(mixed.bucket))).usage()
    assert usage.complete
