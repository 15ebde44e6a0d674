"""Tries under one idempotency key, one inside the other: another try, or its crash, at every call of a publish."""

from __future__ import annotations

import itertools

import pytest
from interleaving import Meanwhile
from worlds import IMPATIENT, NAME, RAW_NAME, MemoryWorld, World, assert_sound, manifests

from metamlflow.errors import StoreFormatError
from metamlflow.format.records import Claim, encode_claim
from metamlflow.store.catalog.clock import utc_now
from metamlflow.testing import Crash, Crashed, FailBefore, Fault, FaultyBackend, client_on, simulated_crash

CALLS = 14  # more than any of these publishes makes
ONE = {"idempotency_key": "job"}


def publish(world: World, data: bytes, *plan: Fault, **options) -> int | None:
    """Register; return the version that was told, or None if the process died."""
    client = client_on(FaultyBackend(world.backend(), plan), IMPATIENT)
    try:
        return client.register_artifact(NAME, data, **options).version
    except Crashed:
        return None


def started(versions: int) -> MemoryWorld:
    world = MemoryWorld()
    for number in range(versions):
        world.client().register_artifact(NAME, b"before %d" % number)
    return world


def assert_one_version_of_the_job(world: World, told: list[int | None], others: int) -> None:
    versions = assert_sound(world)
    assert len(versions) == others + 1
    assert {versions[version]["Model"][:4] for version in told if version} == {b"job "}
    assert len(set(told) - {None}) == 1


@pytest.mark.full
@pytest.mark.parametrize("before", [0, 1])
def test_a_crashed_try_and_two_retries_inside_one_another_make_one_version(before):
    for crash, nested in itertools.product(range(1, CALLS), repeat=2):
        world, told = started(before), []

        def retry(world=world, told=told) -> None:
            told.append(publish(world, b"job retry", **ONE))

        told.append(publish(world, b"job first", Crash(nth=crash, crash=simulated_crash), **ONE))
        told.append(publish(world, b"job last", Meanwhile(nth=nested, happens=retry), **ONE))
        assert_one_version_of_the_job(world, told, before)


@pytest.mark.full
@pytest.mark.parametrize("before", [0, 1])
def test_a_stranger_s_version_and_a_crashed_try_inside_another_make_one_version_of_the_job(before):
    for nested, crash in itertools.product(range(1, CALLS), repeat=2):
        world, others, told = started(before), before, []

        def happens(world=world, told=told, crash=crash) -> None:
            nonlocal others
            others += 1
            publish(world, b"stranger")
            told.append(publish(world, b"job first", Crash(nth=crash, crash=simulated_crash), **ONE))

        told.append(publish(world, b"job last", Meanwhile(nth=nested, happens=happens), **ONE))
        assert_one_version_of_the_job(world, told, others)


@pytest.mark.slow
def test_strangers_crashes_and_retries_nested_three_deep_make_one_version_of_the_job():
    for crash, nested, inner in itertools.product(range(1, CALLS), repeat=3):
        world, others, told = started(1), 1, []

        def stranger(world=world) -> None:
            nonlocal others
            others += 1
            publish(world, b"stranger")

        def retry(world=world, told=told, inner=inner) -> None:
            told.append(publish(world, b"job retry", Meanwhile(nth=inner, happens=stranger), **ONE))

        told.append(publish(world, b"job first", Crash(nth=crash, crash=simulated_crash), **ONE))
        told.append(publish(world, b"job last", Meanwhile(nth=nested, happens=retry), **ONE))
        assert_one_version_of_the_job(world, told, others)


@pytest.mark.parametrize("content", [b"same", b"other"], ids=["unchanged", "changed"])
def test_a_stranger_s_version_at_any_call_is_reused_if_it_is_the_same(content):
    for nested in range(1, CALLS):
        world, happened = started(1), []

        def stranger(world=world, happened=happened) -> None:
            happened.append(publish(world, b"same"))

        told = publish(world, content, Meanwhile(nth=nested, happens=stranger), if_unchanged="reuse")
        versions = assert_sound(world)
        assert versions[told] == {"Model": content}
        assert len(versions) <= 3
        if happened and content == b"same" and told > happened[0]:
            pytest.fail("unchanged content became another version")


def test_a_retry_of_a_job_that_found_its_content_unchanged_returns_what_it_found():
    """The first call wins, also if it made no version: by the retry another version may be the newest."""
    world = started(0)
    publish(world, b"same")
    assert publish(world, b"same", if_unchanged="reuse", **ONE) == 1
    publish(world, b"other")
    assert publish(world, b"same", if_unchanged="reuse", **ONE) == 1
    assert publish(world, b"whatever", **ONE) == 1
    assert list(assert_sound(world)) == [1, 2]


def test_a_job_whose_claimed_number_went_to_a_stranger_takes_the_next(world):
    claims: list[str] = []
    for lost in range(1, 4):
        publish(world, b"job", Crash(verb="create", key="artifacts/*/_versions/*", crash=simulated_crash), **ONE)
        claims = sorted(key for key in world.objects() if "_idempotency" in key)
        assert len(claims) == lost
        assert publish(world, b"stranger") == lost
    assert publish(world, b"job", **ONE) == 4
    assert publish(world, b"job", **ONE) == 4
    assert list(assert_sound(world)) == [1, 2, 3, 4]


def test_a_committed_job_is_told_although_it_cannot_be_read_back(world):
    """The create succeeded: that nothing can be read after it is no failure of the publish."""
    world.client().register_artifact(NAME, b"before")
    assert publish(world, b"job", FailBefore(verb="read", key="*_v2.json", times=None), **ONE) == 2


def test_keys_of_different_jobs_and_names_know_nothing_of_one_another(world):
    client = world.client()
    made = {
        (name, key): client.register_artifact(name, f"{name} {key}".encode(), idempotency_key=key).version
        for name in ("a", "a/b")
        for key in ("1", "2", "1/2", "1 2")
    }
    assert [made["a", key] for key in ("1", "2", "1/2", "1 2")] == [1, 2, 3, 4]
    for (name, key), version in made.items():
        assert client.register_artifact(name, b"other", idempotency_key=key).version == version


def test_a_claim_far_beyond_the_newest_version_is_refused_and_not_waited_for(world):
    publish(world, b"job", **ONE)
    (key,) = [key for key in world.objects() if "_idempotency" in key]
    world.write(key, encode_claim(Claim(9, "0" * 32, "00000000-0000-0000-0000-000000000000"), utc_now()))
    with pytest.raises(StoreFormatError, match="claims version 9"):
        publish(world, b"job", **ONE)
    assert list(manifests(world.objects(), RAW_NAME)) == [1]
