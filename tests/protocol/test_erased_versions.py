"""Erased versions: nothing gives them back, their numbers stay taken, and the chain over them holds."""

from __future__ import annotations

import json

import pytest
from graves import digest_of, erase, set_state, state_key, tomb_key, tomb_of
from worlds import IMPATIENT, NAME, RAW_NAME, World, manifest_key

from metamlflow.errors import (
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    IntegrityError,
    StoreFormatError,
)
from metamlflow.testing import FaultyBackend, client_on


@pytest.fixture
def three(world) -> World:
    """A store with versions 1 to 3."""
    for number in (1, 2, 3):
        world.client().register_artifact(NAME, b"version %d" % number)
    return world


@pytest.fixture(params=[False, True], ids=["manifest-gone", "manifest-there"])
def leaves_manifest(request) -> bool:
    return request.param


def test_an_erased_version_is_told_from_one_that_never_was_and_from_a_pruned_one(three, leaves_manifest):
    manifest = erase(three, 2, leaves_manifest=leaves_manifest)
    with pytest.raises(ArtifactErasedError, match="erased by officer on 2026-02-03: asked for") as caught:
        three.client().get_artifact(NAME, 2)
    error = caught.value
    assert (error.name, error.version, error.manifest_digest) == (NAME, 2, digest_of(manifest))
    assert error.reason == "asked for by the person"
    with pytest.raises(ArtifactNotFoundError) as missing:
        three.client().get_artifact(NAME, 4)
    assert missing.value.suggestions == ("3", "1")


def test_a_reason_as_long_as_it_may_be_makes_no_message_of_that_size(three):
    reason = "asked for " + "x" * 4_990
    erase(three, 2, reason=reason, created_by="eve" * 300_000)
    with pytest.raises(ArtifactErasedError, match=r"erased by eveeve.*: asked for xxx") as caught:
        three.client().get_artifact(NAME, 2)
    assert len(str(caught.value)) < 2_000
    assert caught.value.reason == reason


def test_no_state_brings_an_erased_version_back(three, leaves_manifest):
    manifest = erase(three, 2, leaves_manifest=leaves_manifest)
    set_state(three, 2, 2, "restored", manifest=manifest)
    with pytest.raises(ArtifactErasedError):
        three.client().get_artifact(NAME, 2)
    assert three.client().list_versions(NAME) == [1, 3]


def test_an_erased_version_is_neither_listed_nor_latest(three, leaves_manifest):
    client = three.client()
    held = client.get_artifact(NAME)
    erase(three, 3, leaves_manifest=leaves_manifest)
    assert three.client().get_artifact(NAME).version == 2
    assert [artifact.version for artifact in three.client().list_artifacts(NAME)] == [1, 2]
    assert [artifact.version for artifact in client.list_artifacts()] == [2]
    assert client.get_artifact(NAME).version == 2, "also for a client that holds the manifest"
    assert held.version == 3


def test_of_a_name_whose_versions_are_all_erased_nothing_is_latest_and_the_numbers_go_on(three, leaves_manifest):
    for version in (1, 2, 3):
        erase(three, version, leaves_manifest=leaves_manifest)
    client = three.client()
    with pytest.raises(ArtifactErasedError):
        client.get_artifact(NAME)
    assert client.list_artifacts() == []
    assert client.list_artifacts(NAME) == []
    assert client.list_versions(NAME) == []
    assert client.register_artifact(NAME, b"next").version == 4
    assert three.client().get_artifact(NAME).version == 4


@pytest.mark.parametrize("last", [2, 3])
def test_the_number_of_an_erased_version_is_never_used_again(three, leaves_manifest, last):
    stale = three.client()
    stale.get_artifact(NAME)
    digests = {version: digest_of(three.objects()[manifest_key(version)]) for version in (1, 2, 3)}
    for version in range(last, 4):
        erase(three, version, leaves_manifest=leaves_manifest)
    assert stale.register_artifact(NAME, b"by a stale client").version == 4
    assert three.client().register_artifact(NAME, b"by a new one").version == 5
    assert json.loads(three.objects()[manifest_key(4)])["previous"] == digests[3]


def test_content_of_an_erased_version_is_never_reused_as_that_version(three, leaves_manifest):
    erase(three, 3, leaves_manifest=leaves_manifest)
    assert three.client().register_artifact(NAME, b"version 3", if_unchanged="reuse").version == 4


def test_an_alias_of_an_erased_version_says_that_it_is_erased(three):
    three.client().set_alias(NAME, "best", 2)
    erase(three, 2)
    with pytest.raises(ArtifactErasedError):
        three.client().get_artifact(NAME, "best")
    with pytest.raises(ArtifactErasedError):
        three.client().set_alias(NAME, "other", 2)
    assert three.client().aliases(NAME) == {"best": 2}


# --- idempotency keys -------------------------------------------------------------------------------------------------


def test_a_key_whose_version_was_erased_is_spent(three):
    client = three.client()
    assert client.register_artifact(NAME, b"by a job", idempotency_key="job").version == 4
    erase(three, 4)
    before = three.objects()
    for _ in range(2):
        with pytest.raises(ArtifactErasedError):
            three.client().register_artifact(NAME, b"by a job", idempotency_key="job")
    assert three.objects() == before, "nothing was sent, and nothing claimed"


def test_an_open_claim_on_an_erased_number_never_publishes_as_that_number(three):
    """The number went to somebody else, whose version was erased; the claim was never read as lost."""
    claim = {"record_id": "a" * 32, "artifact_id": "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00", "version": 3, "format": 1}
    folder = f"artifacts/{RAW_NAME}/_idempotency/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    three.write(f"{folder}/9999999998.json", json.dumps(claim | {"created_at": "2026-02-03T04:05:06Z"}).encode())
    three.client().register_artifact(NAME, b"version 4")
    erase(three, 3)
    before = three.objects()
    with pytest.raises(ArtifactErasedError):
        three.client().register_artifact(NAME, b"late", idempotency_key="x")
    assert three.objects() == before
    assert three.client().register_artifact(NAME, b"on", idempotency_key="y").version == 5


def test_a_key_is_spent_before_the_manifest_under_the_tomb_is_deleted(three):
    client = three.client()
    assert client.register_artifact(NAME, b"by a job", idempotency_key="job").version == 4
    manifest = erase(three, 4)
    three.write(manifest_key(4), manifest)  # where listings are in no order, it stays for half the grace
    with pytest.raises(ArtifactErasedError):
        three.client().register_artifact(NAME, b"by a job", idempotency_key="job")
    assert manifest_key(5) not in three.objects()


@pytest.mark.parametrize("record_id", ["f" * 32, "a" * 32], ids=["of-a-stranger", "of-the-claim"])
def test_a_manifest_that_a_paused_writer_left_under_a_tomb_neither_frees_a_key_nor_is_returned(three, record_id):
    claim = {"record_id": "a" * 32, "artifact_id": "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00", "version": 3, "format": 1}
    folder = f"artifacts/{RAW_NAME}/_idempotency/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    three.write(f"{folder}/9999999998.json", json.dumps(claim | {"created_at": "2026-02-03T04:05:06Z"}).encode())
    late = json.loads(erase(three, 3)) | {"record_id": record_id}
    three.write(manifest_key(3), json.dumps(late).encode())
    before = three.objects()
    with pytest.raises(ArtifactErasedError):
        three.client().register_artifact(NAME, b"again", idempotency_key="x")
    assert three.objects() == before


# --- the chain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("erased", [[1], [2], [3], [1, 2], [2, 3], [1, 2, 3]], ids=str)
def test_the_history_goes_over_erased_versions(three, erased):
    for version in erased:
        erase(three, version)
    three.client().register_artifact(NAME, b"version 4")
    history = three.client().history(NAME)
    assert history.ok
    assert [entry.version for entry in history.versions] == [1, 2, 3, 4]
    assert [entry.version for entry in history.versions if entry.erased] == erased
    assert not any(entry.available for entry in history.versions if entry.erased)
    assert f"{len(erased)} erased" in repr(history)


def test_the_digest_of_an_erased_version_is_held_against_what_the_next_one_recorded(three):
    erase(three, 2, manifest_digest=f"sha256:{'0' * 64}")
    (problem,) = three.client().history(NAME).problems
    assert problem.actual == f"sha256:{'0' * 64}"
    assert "@2" in problem.message


def test_what_an_erased_version_said_of_the_one_before_is_held_against_that(three):
    erase(three, 2, previous=f"sha256:{'0' * 64}")
    (problem,) = three.client().history(NAME).problems
    assert problem.expected == f"sha256:{'0' * 64}"
    assert "@1" in problem.message


def test_a_manifest_under_an_erased_number_is_ignored_and_reported(three):
    erase(three, 2)
    forged = json.loads(three.objects()[manifest_key(1)]) | {"version": 2, "record_id": "f" * 32}
    forged["previous"] = digest_of(three.objects()[manifest_key(1)])
    three.write(manifest_key(2), json.dumps(forged).encode())
    with pytest.raises(ArtifactErasedError):
        three.client().get_artifact(NAME, 2)
    (problem,) = three.client().history(NAME).problems
    assert isinstance(problem, IntegrityError)
    assert "a manifest lies there" in problem.message
    assert problem.key == manifest_key(2)
    report = three.client().verify_all(names=[NAME])
    assert not report.ok


def test_a_damaged_manifest_under_an_erased_number_is_erased_all_the_same(three):
    erase(three, 2)
    three.write(manifest_key(2), b"{")
    with pytest.raises(ArtifactErasedError):
        three.client().get_artifact(NAME, 2)


# --- damaged and hostile records --------------------------------------------------------------------------------------

DAMAGED = {
    "nothing": b"",
    "no JSON": b"{",
    "of another name": {"name": "other"},
    "of another version": {"version": 1},
    "a newer format": {"format": 2},
    "no digest": {"manifest_digest": ...},
    "no digest at all": {"manifest_digest": None},
    "a digest that is none": {"manifest_digest": "0" * 64},
    "no version before it": {"previous": None},
    "a reason that is no text": {"reason": 1},
    "no eraser": {"created_by": ...},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_is_refused_and_its_version_never_taken_as_live(three, leaves_manifest, damage):
    changes = DAMAGED[damage]
    manifest = erase(three, 3, leaves_manifest=leaves_manifest)
    three.write(tomb_key(3), changes if isinstance(changes, bytes) else tomb_of(manifest, **changes))
    with pytest.raises(StoreFormatError) as caught:
        three.client().get_artifact(NAME, 3)
    assert caught.value.key == tomb_key(3)
    assert three.client().get_artifact(NAME).version == 2
    assert three.client().list_versions(NAME) == [1, 2]
    with pytest.raises(StoreFormatError):
        three.client().register_artifact(NAME, b"next")
    assert tomb_key(3) in [problem.key for problem in three.client().history(NAME).problems]


@pytest.mark.parametrize("key", [f"artifacts/{RAW_NAME}/_versions/9999999998_v2.tomb.json", "x.tomb.json"])
def test_a_record_whose_key_names_no_version_erases_nothing(three, key):
    three.write(key, tomb_of(three.objects()[manifest_key(2)]))
    assert three.client().list_versions(NAME) == [1, 2, 3]


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_to_go_on_after_an_erased_version_costs_no_request_more(three):
    def requests(content: bytes) -> int:
        backend = FaultyBackend(three.backend())
        client = client_on(backend, IMPATIENT)
        client.create_store()
        backend.calls.clear()
        client.register_artifact(NAME, content)
        return len(backend.calls)

    usual = requests(b"before")
    erase(three, 4)
    assert requests(b"after") <= usual


def test_a_version_that_was_pruned_and_not_erased_is_pruned(three):
    set_state(three, 2, 1, "pruned")
    assert state_key(2, 1) in three.objects()
    with pytest.raises(ArtifactPrunedError):
        three.client().get_artifact(NAME, 2)
