"""Protections: who protects and who prunes write first and look afterwards, and each takes back only their own."""

from __future__ import annotations

import json

import pytest
from graves import erase
from interleaving import Meanwhile
from timed import TimedWorld
from worlds import NAME, RAW_NAME

from metamlflow.errors import (
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    DamagedRecordWarning,
    InvalidInputError,
    StoreFormatError,
)
from metamlflow.testing import FaultyBackend, LostReply

FOLDER = f"protections/{RAW_NAME}"


@pytest.fixture
def three() -> TimedWorld:
    return TimedWorld(3)


def records(world: TimedWorld) -> list[str]:
    return sorted(key.removeprefix(f"{FOLDER}/") for key in world.objects() if key.startswith("protections/"))


def test_a_protection_is_a_record_with_its_author_and_its_note_and_its_end_is_another(three, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    protection = three.timed().protect(f"{NAME}@2", "audit of May")
    assert (protection.ref, protection.note, protection.created_by) == (f"{NAME}@2", "audit of May", "ada")
    assert records(three) == ["_v2/9999999998.json"]
    document = json.loads(three.objects()[f"{FOLDER}/_v2/9999999998.json"])
    assert (document["created_by"], document["note"]) == ("ada", "audit of May")
    assert three.timed().get_artifact(NAME, 2).protections == three.timed().protections() == [protection]
    assert three.timed().get_artifact(NAME, 1).protections == []
    assert three.timed().unprotect(f"{NAME}@2", "done") == 1
    assert records(three) == ["_v2/9999999998.end.json", "_v2/9999999998.json"]
    assert three.timed().protections(NAME) == []
    assert three.timed().unprotect(f"{NAME}@2") == 0
    assert len(three.timed().prune(NAME, versions=[2]).pruned) == 1


def test_several_people_protect_a_version_and_each_protection_counts(three):
    client = three.timed()
    for note in ("a", "b"):
        client.protect(f"{NAME}@2", note)
    assert [protection.note for protection in client.protections()] == ["a", "b"]
    three.write(f"{FOLDER}/_v2/9999999998.end.json", b"damaged, and it ends it all the same")
    assert [protection.note for protection in client.protections()] == ["b"]
    assert client.prune(NAME, versions=[2]).pruned == []
    assert client.unprotect(f"{NAME}@2") == 1
    client.protect(f"{NAME}@2", "c")
    assert records(three)[0] == "_v2/9999999996.json", "no number is used twice"


def test_what_is_not_live_cannot_be_protected(three):
    client = three.timed()
    client.prune(NAME, versions=[1])
    erase(three, 2)
    for version, error in ((1, ArtifactPrunedError), (2, ArtifactErasedError), (9, ArtifactNotFoundError)):
        with pytest.raises(error):
            client.protect(f"{NAME}@{version}")
    assert records(three) == []
    for note in ("", "x" * 5_001, "\ud800", 7):
        with pytest.raises(InvalidInputError):
            client.protect(f"{NAME}@3", note)


def test_a_prune_that_comes_between_the_look_and_the_record_is_told_and_leaves_no_protection(three):
    fault = Meanwhile(verb="create", key=f"{FOLDER}/*", happens=lambda: three.timed().prune(NAME, versions=[2]))
    with pytest.raises(ArtifactPrunedError):
        three.timed(FaultyBackend(three.backend(), [fault])).protect(f"{NAME}@2")
    assert three.timed().protections() == []
    assert three.states(2) == ["pruned"]


@pytest.mark.parametrize(
    "moment",
    [{"verb": "create", "key": f"{FOLDER}/_v2/9999999998.end.json"}, {"verb": "read", "key": "*_v2.json", "nth": 2}],
    ids=["while it is taken back", "before it is taken back"],
)
def test_taking_back_a_protection_that_came_too_late_ends_nobody_else_s(three, moment):
    """While the first one is about to look again, the version is restored, and somebody else protects it."""

    def somebody_else() -> None:
        three.timed().prune(NAME, versions=[2])

    def restored_and_protected() -> None:
        three.timed().restore(f"{NAME}@2")
        three.timed().protect(f"{NAME}@2", "theirs")

    faults = [
        Meanwhile(verb="create", key=f"{FOLDER}/_v2/9999999998.json", happens=somebody_else),
        Meanwhile(**moment, happens=restored_and_protected),
    ]
    with pytest.raises(ArtifactPrunedError):
        three.timed(FaultyBackend(three.backend(), faults)).protect(f"{NAME}@2", "mine")
    assert [protection.note for protection in three.timed().protections()] == ["theirs"]
    assert three.timed().prune(NAME, versions=[2]).pruned == []


def test_of_two_who_protect_at_once_both_do(three):
    fault = Meanwhile(verb="create", key=f"{FOLDER}/*", happens=lambda: three.timed().protect(f"{NAME}@2", "theirs"))
    three.timed(FaultyBackend(three.backend(), [fault, LostReply(verb="create", key=f"{FOLDER}/*", nth=2)])).protect(
        f"{NAME}@2", "mine"
    )
    assert [protection.note for protection in three.timed().protections()] == ["theirs", "mine"]


def test_a_damaged_protection_protects_and_is_told(three):
    client = three.timed()
    client.protect(f"{NAME}@1", "good")
    three.write(f"{FOLDER}/_v2/9999999998.json", b"{")
    with pytest.warns(DamagedRecordWarning, match="_v2"):
        assert [protection.ref for protection in client.protections()] == [f"{NAME}@1"]
    assert client.prune(NAME, keep_last=1).pruned == []
    assert client.unprotect(f"{NAME}@2") == 1


@pytest.mark.parametrize(
    "key", ["_v2/9999999998.txt", "_v2/9999999999.json", "_v02/9999999998.json", "_v1/until-2031.json"]
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_an_unknown_key_among_the_protections_of_a_name_stops_its_prune(three, key, dry_run):
    """It may protect something: a newer library may have written it."""
    three.write(f"{FOLDER}/{key}", b"{}")
    before = three.objects()
    with pytest.raises(StoreFormatError, match="does not know"):
        three.timed().prune(NAME, versions=[2], dry_run=dry_run)
    assert three.objects() == before


def test_a_name_below_another_has_protections_of_its_own(three):
    client = three.timed()
    client.register_artifact(f"{NAME}/x", b"1")
    client.register_artifact(f"{NAME}/x", b"2")
    client.protect(f"{NAME}/x@1")
    assert client.protections(NAME) == []
    assert [protection.ref for protection in client.protections(f"{NAME}/x")] == [f"{NAME}/x@1"]
    assert client.prune(f"{NAME}/x", keep_last=1).pruned == []
    assert len(client.prune(NAME, keep_last=1).pruned) == 2
