"""Numbers that somebody forged near the end of their range: no writer makes what no reader takes, and all ends soon."""

from __future__ import annotations

import json
import time

import pytest
from worlds import NAME, RAW_NAME, MemoryWorld, manifest_key

from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, IntegrityError, StoreFormatError
from metamlflow.format.layout import state_key
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_alias, encode_state
from metamlflow.model.names import MAX_VERSION, ArtifactName
from metamlflow.testing import FaultyBackend, client_on

LAST = 9_999_999_998


def forge(world: MemoryWorld, version: int) -> None:
    """Place a copy of version 1 that says that it is another."""
    document = json.loads(world.objects()[manifest_key(1)])
    document |= {"version": version, "previous": f"sha256:{'0' * 64}"}
    world.write(manifest_key(version), json.dumps(document, sort_keys=True).encode())


@pytest.fixture
def world() -> MemoryWorld:
    world = MemoryWorld()
    world.client().register_artifact(NAME, b"first")
    return world


@pytest.mark.parametrize("options", [{}, {"idempotency_key": "job"}], ids=str)
def test_nothing_is_registered_after_the_last_number(world, options):
    assert LAST == MAX_VERSION
    forge(world, LAST)
    before = {key for key in world.objects() if key.startswith("artifacts/")}
    with pytest.raises(StoreFormatError, match=r"9,999,999,999 is out of range") as caught:
        world.client().register_artifact(NAME, b"second", **options)
    assert "forged" in caught.value.hint
    after = {key for key in world.objects() if key.startswith("artifacts/") and "_idempotency" not in key}
    assert after == before


def test_what_is_registered_before_the_last_number_can_be_read(world):
    forge(world, LAST - 1)
    assert world.client().register_artifact(NAME, b"second").version == LAST
    assert world.client().get_artifact(NAME).read_bytes() == b"second"


def test_the_history_with_a_stray_number_is_told_at_once(world):
    forge(world, LAST)
    backend = FaultyBackend(world.backend())
    begun = time.monotonic()
    history = client_on(backend).history(NAME)
    assert time.monotonic() - begun < 5
    assert len(backend.calls) < 20
    [problem] = [problem for problem in history.problems if problem.actual == "missing"]
    assert isinstance(problem, IntegrityError)
    assert problem.expected == "versions 2 to 9999999997"
    assert manifest_key(LAST) in problem.message
    assert [entry.version for entry in history.versions] == [1, LAST]


def test_a_verification_of_all_versions_with_a_stray_number_ends(world):
    forge(world, LAST)
    begun = time.monotonic()
    report = world.client().verify_all(level="stat")
    assert time.monotonic() - begun < 5
    assert not report


def test_few_missing_versions_are_told_one_by_one(world):
    client = world.client()
    for number in range(4):
        client.register_artifact(NAME, b"%d" % number)
    for version in (2, 3):
        world.remove(manifest_key(version))
    missing = [p.expected for p in client.history(NAME).problems if p.actual == "missing"]
    assert missing == ["version 2", "version 3"]


def pruned(world) -> bytes:
    digest = digest_of(world.objects()[manifest_key(1)])
    return encode_state("pruned", digest, "f" * 32, world.bucket.clock())


@pytest.mark.parametrize(
    "number", ["0" * 10, "9" * 10, "9" * 40, "9" * 600], ids=["next", "zero", "40-digits", "600-digits"]
)
def test_a_state_beyond_the_range_is_no_state(world, number):
    key = manifest_key(1).replace(".json", f".state-{number}.json")
    world.write(key, pruned(world))
    assert world.client().get_artifact(NAME).read_bytes() == b"first"
    assert world.client().register_artifact(NAME, b"second").version == 2


def test_a_state_that_cannot_be_followed_by_another_is_told_and_not_followed(world):
    name = ArtifactName(NAME)
    world.write(
        state_key(name, 1, LAST - 1),
        pruned(world),
    )
    with pytest.raises(ArtifactPrunedError):
        world.client().get_artifact(NAME)
    with pytest.raises(StoreFormatError, match="state 9,999,999,999"):
        state_key(name, 1, LAST + 1)


def test_an_alias_with_the_last_number_is_not_moved_to_one_that_nobody_reads(world):
    world.write(f"artifacts/{RAW_NAME}/_aliases/prod/{1:010d}.json", encode_alias(1, "f" * 32, world.bucket.clock()))
    assert world.client().get_artifact(f"{NAME}@prod").version == 1
    before = world.objects()
    with pytest.raises(StoreFormatError, match="out of range"):
        world.client().set_alias(NAME, "prod", 1)
    assert world.objects() == before


def test_a_number_that_no_version_can_have_is_not_found(world):
    with pytest.raises((ArtifactNotFoundError, ValueError)):
        world.client().get_artifact(NAME, LAST + 1)


def test_a_claim_as_it_was_spelled_before_holds_and_is_never_followed_by_another(world):
    """Claim 1 had the key that the last one has now."""
    client = world.client()
    client.register_artifact(NAME, b"job", idempotency_key="job")
    (key,) = [key for key in world.objects() if "_idempotency" in key]
    data = world.objects()[key]
    world.remove(key)
    world.write(f"{key.rpartition('/')[0]}/{1:010d}.json", data)
    assert client.register_artifact(NAME, b"again", idempotency_key="job").version == 2
    document = json.loads(data) | {"record_id": "f" * 32}  # another's number: the claim is dead
    world.write(f"{key.rpartition('/')[0]}/{1:010d}.json", json.dumps(document).encode())
    with pytest.raises(StoreFormatError, match=r"claim 9,999,999,999 is out of range"):
        client.register_artifact(NAME, b"again", idempotency_key="job")


@pytest.mark.parametrize("place", ["", "v1/"])
def test_notes_with_the_last_number_are_read_and_not_followed_by_some_that_nobody_reads(world, place):
    target = f"{NAME}@1" if place else NAME
    world.client().annotate(target, title="first")
    (key,) = [key for key in world.objects() if "_notes" in key]
    world.write(f"artifacts/{RAW_NAME}/_notes/{place}{1:010d}.json", world.objects()[key])
    before = world.objects()
    assert world.client().notes(target).number == LAST
    assert [notes.number for notes in world.client().notes_history(target)] == [1, LAST]
    with pytest.raises(StoreFormatError, match=r"note 9,999,999,999 is out of range"):
        world.client().annotate(target, title="second")
    assert world.objects() == before
