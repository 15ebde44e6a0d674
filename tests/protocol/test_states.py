"""Pruned, restored and absent versions, and aliases, from records that the test writes itself."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest
from worlds import IMPATIENT, NAME, RAW_NAME, MemoryWorld, World, assert_sound, manifest_key, manifests

from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, ConflictError, StoreFormatError
from metamlflow.format.layout import alias_key, state_key
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import State, encode_alias, encode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.clock import utc_now
from metamlflow.testing import FaultyBackend, client_on

PARSED = ArtifactName.parse(NAME)
ALIAS = "best"


def write_state(world: World, version: int, number: int, state: State) -> None:
    digest = digest_of(world.objects().get(manifest_key(version), b""))
    world.write(state_key(PARSED, version, number), encode_state(state, digest, f"{number:032x}", utc_now()))


def write_alias(world: World, number: int, version: int | None) -> None:
    world.write(alias_key(PARSED, ALIAS, number), encode_alias(version, f"{number:032x}", utc_now()))


@pytest.fixture
def three(world) -> World:
    """A store with versions 1 to 3."""
    for number in (1, 2, 3):
        world.client().register_artifact(NAME, b"version %d" % number)
    return world


def test_latest_skips_pruned_versions(three):
    write_state(three, 3, 1, "pruned")
    assert three.client().get_artifact(NAME).version == 2
    write_state(three, 2, 1, "pruned")
    assert three.client().get_artifact(NAME).version == 1
    assert [artifact.version for artifact in three.client().list_artifacts(NAME)] == [1]
    assert [artifact.version for artifact in three.client().list_artifacts()] == [1]


@pytest.mark.parametrize("state", ["pruned", "absent"])
def test_a_version_without_its_bytes_is_told_from_one_that_never_was(three, state):
    write_state(three, 2, 1, state)
    with pytest.raises(ArtifactPrunedError, match="pruned" if state == "pruned" else "left out") as caught:
        three.client().get_artifact(NAME, 2)
    assert (caught.value.name, caught.value.version) == (NAME, 2)
    with pytest.raises(ArtifactNotFoundError):
        three.client().get_artifact(NAME, 4)


def test_of_a_name_whose_versions_are_all_pruned_nothing_is_latest(three):
    for version in (1, 2, 3):
        write_state(three, version, 1, "pruned")
    with pytest.raises(ArtifactPrunedError):
        three.client().get_artifact(NAME)
    assert three.client().list_artifacts() == []
    assert three.client().list_artifacts(NAME) == []


@pytest.mark.parametrize("pruned", [[3], [2, 3], [1, 2, 3]], ids=str)
def test_numbering_goes_on_from_the_highest_of_all(three, pruned):
    for version in pruned:
        write_state(three, version, 1, "pruned")
    assert three.client().register_artifact(NAME, b"next").version == 4
    assert three.client().get_artifact(NAME).version == 4
    assert list(assert_sound(three)) == [1, 2, 3, 4]


def test_content_of_a_pruned_version_is_never_reused_as_that_version(three):
    write_state(three, 3, 1, "pruned")
    assert three.client().register_artifact(NAME, b"version 3", if_unchanged="reuse").version == 4


def test_a_restored_version_is_back_and_can_be_pruned_again(three):
    for number in range(1, 13):  # beyond 9: numbers, not strings
        pruned = number % 2 == 1
        write_state(three, 3, number, "pruned" if pruned else "restored")
        assert three.client().get_artifact(NAME).version == (2 if pruned else 3)
    assert three.client().get_artifact(NAME, 3).read_bytes() == b"version 3"


def test_a_state_that_contradicts_its_number_is_refused(three):
    write_state(three, 3, 1, "restored")
    with pytest.raises(StoreFormatError, match="record 1"):
        three.client().get_artifact(NAME, 3)


def test_a_state_without_its_manifest_is_a_migration_under_way_and_nobody_else_takes_the_number(three):
    write_state(three, 4, 1, "absent")
    assert three.client().get_artifact(NAME).version == 3
    assert [artifact.version for artifact in three.client().list_artifacts(NAME)] == [1, 2, 3]
    with pytest.raises(ArtifactNotFoundError):
        three.client().get_artifact(NAME, 4)
    with pytest.raises(ConflictError, match="@4 is being migrated"):
        three.client().register_artifact(NAME, b"version 4")
    assert list(assert_sound(three)) == [1, 2, 3]


def test_the_newest_record_of_an_alias_holds(three):
    for number in range(1, 13):
        version = number % 3 + 1
        write_alias(three, number, version)
        assert three.client().get_artifact(NAME, ALIAS).version == version
        assert three.client().get_artifact(f"{NAME}@{ALIAS}").read_bytes() == b"version %d" % version


def test_a_null_removes_an_alias_until_it_is_set_again(three):
    write_alias(three, 1, 2)
    write_alias(three, 2, None)
    with pytest.raises(ArtifactNotFoundError, match=ALIAS):
        three.client().get_artifact(NAME, ALIAS)
    write_alias(three, 3, 1)
    assert three.client().get_artifact(NAME, ALIAS).version == 1


def test_an_alias_of_a_pruned_version_says_that_it_is_pruned(three):
    write_alias(three, 1, 2)
    write_state(three, 2, 1, "pruned")
    with pytest.raises(ArtifactPrunedError):
        three.client().get_artifact(NAME, ALIAS)


def test_a_name_that_was_never_committed_is_not_offered_as_what_was_meant(world):
    """Its record is created before its first version: a crash between the two leaves it alone."""
    world.client().register_artifact(NAME, b"1")
    world.remove(manifest_key(1))
    with pytest.raises(ArtifactNotFoundError) as caught:
        world.client().get_artifact(NAME)
    assert caught.value.suggestions == ()
    assert world.client().list_artifacts() == []
    assert world.client().register_artifact(NAME, b"1").version == 1


# --- any number of versions -------------------------------------------------------------------------------------------


def with_versions(count: int) -> MemoryWorld:
    """A store with many versions, all but the first of them written by hand."""
    world = MemoryWorld()
    world.client().register_artifact(NAME, b"content")
    first = json.loads(world.objects()[manifest_key(1)])
    for version in range(2, count + 1):
        ids = {"record_id": f"{version:032x}", "artifact_id": f"00000000-0000-0000-0000-{version:012x}"}
        previous = hashlib.sha256(world.objects()[manifest_key(version - 1)]).hexdigest()
        document = {**first, **ids, "version": version, "previous": f"sha256:{previous}"}
        world.write(manifest_key(version), json.dumps(document, sort_keys=True).encode())
    return world


def calls_of(world: World, work) -> list[str]:
    """The verbs of the calls that ``work`` makes after a client's first operation."""
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    backend.calls.clear()
    work(client)
    return [call.verb for call in backend.calls]


@pytest.mark.full
def test_the_number_of_versions_costs_nothing():
    few, many = with_versions(10), with_versions(3_000)
    for look in (
        lambda client: client.get_artifact(NAME),
        lambda client: client.get_artifact(NAME, 1),
        lambda client: client.get_artifact(NAME, 7),
        lambda client: client.register_artifact(NAME, b"next"),
        lambda client: client.register_artifact(NAME, b"next", if_unchanged="reuse"),
    ):
        assert sorted(calls_of(many, look)) == sorted(calls_of(few, look))
    client = many.client()
    assert client.get_artifact(NAME).version == 3_001
    assert [artifact.version for artifact in client.list_artifacts(NAME)] == list(range(1, 3_002))
    assert list(manifests(many.objects(), RAW_NAME)) == list(range(1, 3_002))


def test_latest_is_found_behind_hundreds_of_pruned_versions():
    world = with_versions(1_500)
    for version in range(3, 1_501):
        write_state(world, version, 1, "pruned")
    assert world.client().get_artifact(NAME).version == 2
    assert calls_of(world, lambda client: client.get_artifact(NAME)).count("list_objects") <= 5


@pytest.mark.parametrize("pages", [99, 100, 101, 1_099, 1_100, 1_101])
def test_a_listing_that_ends_at_the_end_of_a_page_is_complete(pages):
    world = with_versions(pages)
    listed = world.client().list_artifacts(NAME)
    assert [artifact.version for artifact in listed] == list(range(1, pages + 1))


def test_states_that_a_page_separates_from_their_manifest_still_hold():
    world = with_versions(100)
    for version, number in itertools.product((1, 2, 3), (1, 2, 3)):
        write_state(world, version, number, "restored" if number == 2 else "pruned")
    assert world.client().list_artifacts(NAME)[0].version == 4
