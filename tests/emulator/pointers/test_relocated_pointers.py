"""Data that moved from one bucket to another: pins go, digests stay, and no two contents become one."""

from __future__ import annotations

import pytest
from lakesides import NEW, OLD, Place, read_all_ways, refused_all_ways

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import ConflictError

pytestmark = pytest.mark.emulator

NAMES = ("a b.csv", "ü/x#1?.bin", "50%.csv")


@pytest.fixture
def elsewhere(new_place, place) -> Place:
    return new_place(place.server.name)


def test_a_pinned_object_is_read_at_its_new_place_by_its_digest(place, elsewhere, tmp_path):
    for number, name in enumerate(NAMES):
        place.put(name, OLD * (number + 1))
    client = place.client(tmp_path)
    client.register_pointer("lake", place.uri(), evidence="full")
    for number, name in enumerate(NAMES):
        elsewhere.put(name, OLD * (number + 1))
        place.delete(name)
    assert client.relocate(place.uri(), elsewhere.uri()) == 3
    artifact = client.get_artifact("lake")
    assert [artifact.read_bytes(name) for name in NAMES] == [OLD, OLD * 2, OLD * 3]
    assert {entry.version for entry in artifact.entries} == {None}
    assert artifact.verify("full")
    assert artifact.verify("stat")
    elsewhere.put(NAMES[0], NEW)
    assert [f.path for f in artifact.verify("full").findings] == [NAMES[0]]


def test_what_is_written_over_at_the_new_place_is_refused_all_ways(place, elsewhere, tmp_path):
    place.put("data.bin", OLD)
    client = place.client(tmp_path)
    client.register_pointer("lake", place.uri("data.bin"), evidence="full")
    elsewhere.put("data.bin", OLD)
    client.relocate(place.uri("data.bin"), elsewhere.uri("data.bin"))
    artifact = client.get_artifact("lake")
    assert set(read_all_ways(artifact, "data.bin", tmp_path / "first").values()) == {OLD}
    elsewhere.put("data.bin", NEW)
    again = MetaMLFlowClient(
        tmp_path / "store", source_options=place.source_options(), cache_dir=tmp_path / "new/cache"
    )
    refused_all_ways(again.get_artifact("lake"), "data.bin", tmp_path / "new")


def test_several_pinned_contents_of_one_object_are_not_made_one(versioned_place, new_place, tmp_path):
    there = new_place(versioned_place.server.name)
    versioned_place.put("data.bin", OLD)
    client = versioned_place.client(tmp_path)
    client.register_pointer("lake", versioned_place.uri("data.bin"), evidence="full")
    versioned_place.put("data.bin", NEW)
    client.register_pointer("lake", versioned_place.uri("data.bin"), evidence="full")
    there.put("data.bin", NEW)
    with pytest.raises(ConflictError, match="different contents are pinned"):
        client.relocate(versioned_place.uri("data.bin"), there.uri("data.bin"))
    assert [client.get_artifact("lake", number).read_bytes() for number in (1, 2)] == [OLD, NEW]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # of gcsfs's own writing
def test_a_migration_copies_the_lake_into_another_bucket(place, elsewhere, tmp_path):
    large = bytes(range(256)) * 20_000
    for name in NAMES:
        place.put(name, OLD)
    place.put("large.bin", large)
    client = place.client(tmp_path)
    client.register_pointer("lake", place.uri(), evidence="full")
    there = MetaMLFlowClient(tmp_path / "there", source_options=place.source_options())
    report = migrate(client, there, copy_pointers=elsewhere.uri())
    assert report, report.problems
    names = (*NAMES, "large.bin")
    inner = f"{place.bucket}/{place.prefix}"
    assert [elsewhere.get(f"{inner}{name}") for name in names] == [OLD, OLD, OLD, large]
    for name in names:
        place.delete(name)
    assert there.get_artifact("lake").verify("full")
    assert there.get_artifact("lake").read_bytes("large.bin") == large
