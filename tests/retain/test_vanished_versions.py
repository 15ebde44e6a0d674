"""A collection deletes nothing where a version has vanished: something else deleted its manifest."""

from __future__ import annotations

import json

import pytest
from aging_store import DAY, GRACE, LAST, Meanwhile, blob_of, version_key, writes

from metamlflow.backend import ObjectInfo
from metamlflow.errors import AccessDeniedError, ArtifactNotFoundError, IntegrityError, ObjectNotFoundError
from metamlflow.testing import FailBefore, FaultyBackend, MemoryBackend


@pytest.fixture
def old(store):
    """Four versions of two names, the first of which is pruned, and garbage of no version."""
    client = store.client()
    for content in (b"one", b"two", b"three", b"four"):
        client.register_artifact("a", content)
        client.register_artifact("b", content + b"!")
    store.prune("a", 1)
    store.write(blob_of(b"left"), b"left")
    store.passes(GRACE + DAY)
    return store


def vanish(store, *versions, name="a"):
    return [store.bucket.objects.pop(version_key(name, version)) for version in versions]


def assert_stops(store, match, **options):
    before = dict(store.bucket.objects)
    for plan in ({}, {"dry_run": True}):
        faulty = store.faulty()
        with pytest.raises(IntegrityError, match=match) as caught:
            store.client(faulty).collect_garbage(**plan, **options)
        assert "nothing was deleted" in str(caught.value)
        assert caught.value.actual == "missing"
        assert writes(faulty) == []
    assert store.bucket.objects == before
    return caught.value


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_version_that_vanished_below_another_stops_it_and_is_named_with_what_to_do(old, version):
    vanish(old, version)
    error = assert_stops(old, f"a@{version} has neither a manifest .*there is a version {version + 1}")
    assert "fsck --repair --from" in error.hint
    assert f"metamlflow erase a@{version} --lost" in error.hint


def test_the_last_name_of_a_listing_is_looked_at_as_the_others_are(old):
    vanish(old, 1, name="b")
    assert_stops(old, "b@1 ")


def test_what_is_brought_back_lets_it_go_on(old):
    (manifest,) = vanish(old, 2)
    assert_stops(old, "a@2 ")
    old.bucket.objects[version_key("a", 2)] = manifest
    assert old.client().collect_garbage().deleted == 2
    assert old.client().get_artifact("a", 2).read_bytes() == b"two"


def test_an_erased_version_and_its_protections_are_no_gap(old):
    old.bury("a", 1)
    old.write_json(f"protections/a/_v1/{LAST - 1:010d}.json", created_by="ada", note=None)
    old.passes(DAY)
    assert old.client().collect_garbage().deleted == 2


def test_states_of_a_version_that_vanished_do_not_stand_in_for_its_manifest(old):
    vanish(old, 1)  # which is pruned
    assert_stops(old, "a@1 ")


def test_the_state_of_a_migration_that_was_cut_off_is_no_gap(old):
    old.set_state("a", 5, "absent", digest=old.digest("a", 4))
    old.passes(GRACE + DAY)
    assert old.client().collect_garbage().deleted == 2


def test_a_forged_number_close_to_the_largest_costs_two_looks(old):
    forged = json.loads(old.read(version_key("a", 4))) | {"version": 4_000_000_000}
    old.write(version_key("a", 4_000_000_000), json.dumps(forged).encode())
    faulty = old.faulty()
    with pytest.raises(IntegrityError, match="a@3999999999 "):
        old.client(faulty).collect_garbage()
    assert len([call for call in faulty.calls if call.verb == "stat" and "/_versions/" in call.key]) == 2


@pytest.mark.parametrize(("name", "version"), [("a", 5), ("c", 1)])
def test_a_protection_of_a_version_that_vanished_stops_it_until_it_is_ended(old, name, version):
    old.write_json(f"protections/{name}/_v{version}/{LAST - 1:010d}.json", created_by="ada", note=None)
    error = assert_stops(old, f"{name}@{version} .*although it is protected")
    assert "metamlflow unprotect" in error.hint
    assert old.client().unprotect(f"{name}@{version}") == 1
    assert old.client().collect_garbage().deleted == 2
    with pytest.raises(ArtifactNotFoundError):
        old.client().unprotect(f"{name}@{version}")


def test_an_alias_that_names_a_version_that_vanished_stops_it_where_aliases_are_read(old):
    old.write_json(f"artifacts/a/_aliases/best/{LAST - 1}.json", version=5)
    assert_stops(old, "a@5 .*the alias best names it")


def test_who_may_not_look_for_the_version_collects_nothing(old):
    vanish(old, 2)
    faulty = old.faulty(
        FailBefore(verb="stat", key="*_v2.json", times=None, error=lambda at: AccessDeniedError("no", key=at))
    )
    with pytest.raises(AccessDeniedError):
        old.client(faulty).collect_garbage()
    assert writes(faulty) == []


class MissesSome(MemoryBackend):
    """A storage whose listings come in no order: they may miss what came while they were made."""

    def __init__(self, bucket, missed):
        super().__init__(bucket)
        self.missed = missed

    def list_objects(self, prefix="", **options) -> list[ObjectInfo]:
        return [info for info in super().list_objects(prefix, **options) if info.key not in self.missed]


def test_versions_that_a_listing_in_no_order_missed_while_they_were_published_stop_nothing(old):
    old.client().register_artifact("a", b"five")
    old.client().register_artifact("a", b"six")
    old.client().register_artifact("a", b"seven")
    backend = MissesSome(old.bucket, {version_key("a", 5), version_key("a", 6)})
    assert old.client(backend).collect_garbage().deleted == 2


def test_one_that_was_erased_before_stops_nothing_though_the_listing_missed_its_tomb(old):
    old.client().register_artifact("a", b"five")
    old.client().register_artifact("a", b"six")
    old.bury("a", 5)
    old.passes(DAY)
    backend = MissesSome(old.bucket, {version_key("a", 5, ".tomb")})
    assert old.client(backend).collect_garbage().deleted == 2


def test_one_that_is_erased_while_such_a_listing_is_made_stops_it_for_this_time(old):
    # Somebody who saw it live may rely on its content.
    missed = {version_key("a", 2), version_key("a", 2, ".tomb")}
    look = Meanwhile(verb="stat", key="*_v2.json", act=lambda: old.bury("a", 2))
    backend = FaultyBackend(MissesSome(old.bucket, missed), [look])
    with pytest.raises(ObjectNotFoundError, match=r"(?s)a@2 is gone .* it was erased meanwhile.*nothing was deleted"):
        old.client(backend).collect_garbage()
    assert writes(backend) == []
    old.passes(DAY)
    assert old.client().collect_garbage().deleted == 3


def test_the_content_of_a_version_that_such_a_listing_missed_is_kept(old):
    backend = MissesSome(old.bucket, {version_key("a", 3)})
    assert old.client(backend).collect_garbage().deleted == 2
    assert old.client().get_artifact("a", 3).read_bytes() == b"three"
