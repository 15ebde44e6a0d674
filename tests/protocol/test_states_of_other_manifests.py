"""State records that speak of another manifest than the one that took the number: they hide nothing."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from graves import digest_of, set_state, state_key, state_of
from interleaving import Meanwhile
from worlds import IMPATIENT, NAME, RAW_NAME, MemoryWorld, World, manifest_key

from metamlflow.errors import ArtifactPrunedError, ConflictError
from metamlflow.store.catalog import aliases, protections
from metamlflow.testing import FaultyBackend, StoredObject, client_on

OTHERS = b'{"of":"a migration that lost the number"}'


@pytest.fixture
def three(world) -> World:
    """A store with versions 1 to 3."""
    for number in (1, 2, 3):
        world.client().register_artifact(NAME, b"version %d" % number)
    return world


@pytest.mark.parametrize("state", ["absent", "pruned"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_version_is_not_hidden_by_a_state_that_speaks_of_another_manifest(three, state, version):
    """A migration created the state first, and then somebody published that number."""
    set_state(three, version, 1, state, manifest=OTHERS)
    client = three.client()
    assert client.get_artifact(NAME).version == 3
    assert client.get_artifact(NAME, version).read_bytes() == b"version %d" % version
    assert client.list_versions(NAME) == [1, 2, 3]
    assert [artifact.version for artifact in client.list_artifacts(NAME)] == [1, 2, 3]
    assert [entry.available for entry in client.history(NAME).versions] == [True, True, True]
    assert client.verify_all(names=[NAME]).ok
    client.set_alias(NAME, "best", version)
    assert client.get_artifact(NAME, "best").version == version


@pytest.mark.parametrize("state", ["absent", "pruned"])
def test_the_same_state_of_the_manifest_that_is_there_hides_it(three, state):
    set_state(three, 3, 1, state)
    with pytest.raises(ArtifactPrunedError):
        three.client().get_artifact(NAME, 3)
    assert three.client().get_artifact(NAME).version == 2


def test_latest_is_the_newest_that_is_live_among_both_kinds(three):
    for version, of_another in ((4, False), (5, True), (6, False)):
        three.client().register_artifact(NAME, b"version %d" % version)
        set_state(three, version, 1, "pruned", manifest=OTHERS if of_another else None)
    assert three.client().get_artifact(NAME).version == 5
    assert three.client().list_versions(NAME) == [1, 2, 3, 5]


def test_the_highest_state_decides_whatever_came_before_it(three):
    set_state(three, 3, 1, "absent", manifest=OTHERS)
    set_state(three, 3, 2, "restored")
    assert three.client().get_artifact(NAME).version == 3
    set_state(three, 3, 3, "pruned")
    assert three.client().get_artifact(NAME).version == 2


def test_a_state_that_is_much_younger_than_its_manifest_is_told_from_the_listing_alone():
    """Retention leaves thousands of pruned versions: they are not read one by one."""
    world = MemoryWorld()
    for number in range(12):
        world.client().register_artifact(NAME, b"version %d" % number)
    for version in range(1, 12):
        key = manifest_key(version)
        old = world.bucket.clock() - timedelta(days=30)
        world.bucket.objects[key] = StoredObject(world.bucket.objects[key].data, old)
        set_state(world, version, 1, "pruned")
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    backend.calls.clear()
    assert client.list_versions(NAME) == [12]
    assert {call.verb for call in backend.calls} == {"list_objects"}


@pytest.fixture
def copied() -> World:
    """A store that a tool copied: by its times the states speak of the manifests, and their digests say that none does.

    Versions 1 to 3, of which 2 and 3 have such a state; and model@1, made from version 1, has one as well.
    """
    world = MemoryWorld()
    client = world.client()
    for number in (1, 2, 3):
        client.register_artifact(NAME, b"version %d" % number)
    client.register_artifact("model", b"made of it", inputs=[f"{NAME}@1"])
    old = world.bucket.clock() - timedelta(days=30)
    for version, name in ((2, RAW_NAME), (3, RAW_NAME), (1, "model")):
        key = manifest_key(version, name)
        world.bucket.objects[key] = StoredObject(world.bucket.objects[key].data, old)
        world.write(state_key(version, 1, name), state_of(OTHERS, "absent", 1))
    return world


def test_an_alias_of_a_live_version_is_set_whatever_its_times_say(copied):
    client = copied.client()
    client.set_alias(NAME, "best", 2)
    assert client.aliases(NAME) == {"best": 2}
    assert [change.version for change in client.alias_history(NAME, "best")] == [2]


def test_an_alias_that_was_set_too_late_goes_back_to_a_live_version_whatever_its_times_say(copied):
    client = copied.client()
    client.set_alias(NAME, "best", 3)
    pruned = Meanwhile(verb="create", key="*/_aliases/*", happens=lambda: set_state(copied, 1, 1, "pruned"))
    with pytest.raises(ArtifactPrunedError):
        client_on(FaultyBackend(copied.backend(), [pruned]), IMPATIENT).set_alias(NAME, "best", 1)
    assert client.aliases(NAME) == {"best": 3}


def test_a_live_consumer_holds_what_it_was_made_from_whatever_its_times_say(copied):
    copied.client().register_artifact(NAME, b"version 4")  # without it version 1 stays as the newest, by the times
    report = copied.client().prune(NAME, versions=[1])
    assert report.pruned == []
    assert [decision.reason for decision in report.kept] == ["model@1 is live and was made from it"]


def test_no_success_is_told_of_an_alias_that_was_put_back(three, monkeypatch):
    """The version was given up when it was looked at again, and came back before the error was made."""
    monkeypatch.setattr(aliases, "check_available", lambda *_: None)
    three.client().set_alias(NAME, "best", 2)
    pruned = Meanwhile(verb="create", key="*/_aliases/*", happens=lambda: set_state(three, 1, 1, "pruned"))
    with pytest.raises(ConflictError, match="it is as before"):
        client_on(FaultyBackend(three.backend(), [pruned]), IMPATIENT).set_alias(NAME, "best", 1)
    assert three.client().aliases(NAME) == {"best": 2}


def test_no_success_is_told_of_a_protection_that_was_taken_back(three, monkeypatch):
    monkeypatch.setattr(protections, "check_available", lambda *_: None)
    pruned = Meanwhile(verb="create", key="protections/*", happens=lambda: set_state(three, 1, 1, "pruned"))
    with pytest.raises(ConflictError, match="it is not protected by this"):
        client_on(FaultyBackend(three.backend(), [pruned]), IMPATIENT).protect(f"{NAME}@1")
    assert three.client().protections() == []


def test_latest_below_a_pruned_version_takes_no_more_round_trips(three):
    """What is read of the pruned one is read while the other one's manifest is."""
    set_state(three, 3, 1, "pruned")
    backend = FaultyBackend(three.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    backend.calls.clear()
    assert client.get_artifact(NAME).version == 2
    assert sorted(call.verb for call in backend.calls) == ["list_objects", "read", "read", "read"]


def test_an_alias_goes_back_only_to_a_version_that_is_live(three, monkeypatch):
    """Both the new and the former target are pruned while the alias is being set."""
    client = three.client()
    client.set_alias(NAME, "best", 1)

    def prune_both(*_: object) -> bool:
        set_state(three, 1, 1, "pruned")
        set_state(three, 2, 1, "pruned")
        return True

    backend = FaultyBackend(three.backend())
    pruning = client_on(backend, IMPATIENT)
    pruning.get_artifact(NAME, 2)
    create = backend.create

    def create_then_prune(key: str, data: bytes) -> None:
        create(key, data)
        if "_aliases/" in key:
            prune_both()

    monkeypatch.setattr(backend, "create", create_then_prune)
    with pytest.raises(ArtifactPrunedError):
        pruning.set_alias(NAME, "best", 2)
    assert three.client().aliases(NAME) == {}
    objects = three.objects()
    records = [json.loads(objects[key])["version"] for key in sorted(objects, reverse=True) if "_aliases/" in key]
    assert records == [1, 2, None], "it never stood for version 1 again"


def test_an_alias_goes_back_to_a_former_target_that_is_live(three, monkeypatch):
    three.client().set_alias(NAME, "best", 1)
    backend = FaultyBackend(three.backend())
    pruning = client_on(backend, IMPATIENT)
    create = backend.create

    def create_then_prune(key: str, data: bytes) -> None:
        create(key, data)
        set_state(three, 2, 1, "pruned")

    monkeypatch.setattr(backend, "create", create_then_prune)
    with pytest.raises(ArtifactPrunedError):
        pruning.set_alias(NAME, "best", 2)
    assert three.client().aliases(NAME) == {"best": 1}


def test_a_state_names_the_manifest_by_the_digest_of_its_bytes(three):
    manifest = three.objects()[manifest_key(2)]
    set_state(three, 2, 1, "pruned")
    assert digest_of(manifest) in three.objects()[state_key(2, 1)].decode()
    three.write(state_key(2, 1), state_of(manifest + b" ", "pruned"))
    assert three.client().get_artifact(NAME, 2).version == 2
