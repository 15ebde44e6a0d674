"""An error says nothing of what happened: with any fault at any call one version comes of it, or an error is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from scenarios import SCENARIOS, Scenario
from worlds import (
    IMPATIENT,
    NAME,
    RAW_NAME,
    LocalWorld,
    MemoryWorld,
    World,
    assert_readable,
    assert_sound,
    manifest_key,
    manifests,
)

from metamlflow.errors import (
    AccessDeniedError,
    MetaMLFlowError,
    OutcomeUnknownError,
    StorageFullError,
    StorageUnavailableError,
)
from metamlflow.testing import FailBefore, FalseConflict, Fault, FaultyBackend, Late, LostReply, client_on

MANIFESTS = "artifacts/*/_versions/*"
STORM = None  # as a number of times: for ever
PASSES = 2  # as a number of times: within what is tried again


def register(world: World, plan: list[Fault], data: bytes = b"content", **options):
    backend = FaultyBackend(world.backend(), plan)
    return backend, lambda: client_on(backend, IMPATIENT).register_artifact(NAME, data, **options)


def refused(kind: type[MetaMLFlowError]) -> Callable[[str], Exception]:
    return lambda where: kind(f"{where}: refused", key=where)


# --- every call, every fault ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of fault; ``passes`` if one such failure must not be noticed by the caller at all."""

    make: Callable[[int], Fault]
    verbs: tuple[str, ...] = ("create", "put", "open", "read", "stat", "list_objects")
    passes: bool = True


WRITES = ("create", "put")
KINDS = {
    "fails": Kind(lambda nth: FailBefore(nth=nth)),
    "fails-twice": Kind(lambda nth: FailBefore(nth=nth, times=PASSES)),
    "fails-from-there-on": Kind(lambda nth: FailBefore(nth=nth, times=STORM), passes=False),
    "is-denied": Kind(lambda nth: FailBefore(nth=nth, error=refused(AccessDeniedError)), passes=False),
    "is-denied-from-there-on": Kind(
        lambda nth: FailBefore(nth=nth, times=STORM, error=refused(AccessDeniedError)), passes=False
    ),
    "finds-no-space": Kind(lambda nth: FailBefore(nth=nth, error=refused(StorageFullError)), WRITES, passes=False),
    "loses-its-reply": Kind(lambda nth: LostReply(nth=nth)),
    "loses-its-reply-twice": Kind(lambda nth: LostReply(nth=nth, times=PASSES)),
    "loses-all-replies-from-there-on": Kind(lambda nth: LostReply(nth=nth, times=STORM), passes=False),
    "lands-one-call-later": Kind(lambda nth: Late(nth=nth, calls=1), WRITES),
    "lands-two-calls-later": Kind(lambda nth: Late(nth=nth, calls=2), WRITES),
    "lands-three-calls-later": Kind(lambda nth: Late(nth=nth, calls=3), WRITES),
    "lands-at-the-end": Kind(lambda nth: Late(nth=nth), WRITES),
    "lands-at-the-end-as-all-writes-do": Kind(lambda nth: Late(nth=nth, times=STORM), WRITES, passes=False),
    "is-told-a-false-conflict": Kind(lambda nth: FalseConflict(nth=nth), ("create",)),
    "is-told-two-false-conflicts": Kind(lambda nth: FalseConflict(nth=nth, times=PASSES), ("create",)),
}


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("place", ["memory", pytest.param("local", marks=pytest.mark.slow)])
def test_a_fault_at_any_call_ends_in_one_version_or_in_an_error_and_a_retry(place, name, kind, tmp_path, monkeypatch):
    scenario = SCENARIOS[name]
    if scenario.shards_from:
        monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", scenario.shards_from)
    source, numbers = scenario.source(tmp_path), itertools.count()

    def prepared() -> World:
        world = MemoryWorld() if place == "memory" else LocalWorld(tmp_path / f"store-{next(numbers)}")
        scenario.prepare(world)
        return world

    rehearsal = FaultyBackend(prepared().backend())
    scenario.publish(client_on(rehearsal, IMPATIENT), source)
    verbs = [call.verb for call in rehearsal.calls]
    for nth, verb in enumerate(verbs, 1):
        if verb in KINDS[kind].verbs:
            # A fault for some verbs counts those alone.
            counted = sum(KINDS[kind].make(nth).matches(earlier, ("",)) for earlier in verbs[:nth])
            for settle_early in (True, False):
                fault = KINDS[kind].make(counted)
                unnoticed = _strike(scenario, source, prepared(), fault, settle_early=settle_early)
                assert unnoticed or not KINDS[kind].passes, f"a {verb} that failed in passing failed the publish"


def _strike(scenario: Scenario, source: str, world: World, fault: Fault, *, settle_early: bool) -> bool:
    """Publish with the fault, and again if that failed; late writes land before the second try, or after it.

    Returns whether the first try succeeded.
    """
    backend = FaultyBackend(world.backend(), [fault])
    first = told = _attempt(lambda: scenario.publish(client_on(backend, IMPATIENT), source))
    if settle_early:
        backend.settle()
    landed = len(manifests(world.objects())) - scenario.before
    assert landed in {0, scenario.makes}
    expected = scenario.makes
    if told is None:
        if not scenario.is_idempotent:
            expected += landed  # nothing told the second try that it is one
        again = scenario.publish(world.client(), source)
        told = again.version, again.artifact_id
    backend.settle()
    versions = assert_sound(world)
    assert len(versions) == scenario.before + expected
    assert versions[told[0]] == dict(scenario.files)
    assert manifests(world.objects())[told[0]]["artifact_id"] == told[1]
    assert_readable(world)
    return first is not None


def _attempt(publish: Callable) -> tuple[int, str] | None:
    try:
        artifact = publish()
    except MetaMLFlowError:
        return None
    return artifact.version, artifact.artifact_id


# --- the manifest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        LostReply(verb="create", key=MANIFESTS),
        LostReply(verb="create", key=MANIFESTS, times=3),
        FalseConflict(key=MANIFESTS),
        FalseConflict(key=MANIFESTS, times=4),
        FailBefore(verb="create", key=MANIFESTS, times=5),
        *(Late(verb="create", key=MANIFESTS, calls=calls) for calls in range(1, 8)),
        Late(verb="create", key=MANIFESTS, times=2, calls=3),
        LostReply(verb="create", key="names/*"),
        LostReply(verb="create", key="metamlflow.json"),
        LostReply(verb="put", key="blobs/*"),
        LostReply(verb="put", key="blobs/*", times=3),
    ],
    ids=lambda fault: f"{type(fault).__name__} {fault.verb} {fault.key} x{fault.times}",
)
def test_a_fault_that_passes_is_not_noticed_and_makes_one_version(world, fault):
    backend, attempt = register(world, [fault])
    artifact = attempt()
    backend.settle()
    assert assert_sound(world) == {1: {"Model": b"content"}}
    assert manifests(world.objects())[1]["artifact_id"] == artifact.artifact_id
    assert world.client().get_artifact(NAME, 1) == artifact


@pytest.mark.parametrize("read_back", ["absent", "failing"])
def test_a_commit_that_cannot_be_told_is_an_unknown_outcome_and_never_the_next_number(world, read_back):
    world.client().register_artifact(NAME, b"first")
    plan: list[Fault] = [FailBefore(verb="create", key=MANIFESTS, times=STORM)]
    if read_back == "failing":
        plan = [
            LostReply(verb="create", key=MANIFESTS, times=STORM),
            FailBefore(verb="read", key="*_v2.json", times=STORM),
        ]
    backend, attempt = register(world, plan)
    with pytest.raises(OutcomeUnknownError) as caught:
        attempt()
    assert (caught.value.name, caught.value.version) == (NAME, 2)
    assert not [call for call in backend.calls if call.verb == "create" and "_v3" in call.key]
    found = manifests(world.objects())
    assert list(found) == ([1] if read_back == "absent" else [1, 2])
    if read_back == "failing":
        assert found[2]["record_id"] == caught.value.record_id
        assert "may or may not" in str(caught.value)


def test_a_lost_race_is_told_from_an_unknown_outcome_also_if_the_reply_is_lost(world):
    """Another's record at the number that was tried: on to the next, which is certain."""
    rival = world.client()
    backend = FaultyBackend(world.backend(), [LostReply(verb="create", key=MANIFESTS)])
    client = client_on(backend, IMPATIENT)
    original = backend.inner.create

    def create_after_the_rival(key: str, data: bytes) -> None:
        if key == manifest_key(1):
            backend.inner.create = original
            rival.register_artifact(NAME, b"rival")
        original(key, data)

    backend.inner.create = create_after_the_rival
    assert client.register_artifact(NAME, b"content").version == 2
    assert assert_sound(world) == {1: {"Model": b"rival"}, 2: {"Model": b"content"}}


@pytest.mark.parametrize("kind", [AccessDeniedError, StorageFullError])
@pytest.mark.parametrize(
    "verb_and_key", ["create metamlflow.json", "put blobs/*", "create names/*", f"create {MANIFESTS}"]
)
def test_a_definite_refusal_is_told_as_such_and_nothing_is_registered(world, kind, verb_and_key):
    verb, key = verb_and_key.split()
    backend, attempt = register(world, [FailBefore(verb=verb, key=key, times=STORM, error=refused(kind))])
    with pytest.raises(kind):
        attempt()
    assert len([call for call in backend.calls if call == (verb, manifest_key(1))]) <= 1, "a refusal is no storm"
    assert manifests(world.objects()) == {}
    world.client().register_artifact(NAME, b"content")
    assert assert_sound(world) == {1: {"Model": b"content"}}


@pytest.mark.parametrize("kind", [AccessDeniedError, StorageFullError])
def test_a_refusal_after_a_write_that_may_still_land_is_an_unknown_outcome(world, kind):
    plan = [
        Late(verb="create", key=MANIFESTS),
        FailBefore(verb="create", key=MANIFESTS, nth=1, times=STORM, error=refused(kind)),
    ]
    backend, attempt = register(world, plan)
    with pytest.raises(OutcomeUnknownError) as caught:
        attempt()
    assert manifests(world.objects()) == {}
    backend.settle()
    assert manifests(world.objects())[1]["record_id"] == caught.value.record_id
    assert assert_sound(world) == {1: {"Model": b"content"}}


@pytest.mark.parametrize(
    ("key", "reads_before"),
    [("names/*", 0), ("metamlflow.json", 1), (f"artifacts/{RAW_NAME}/_idempotency/*", 0)],
    ids=["name", "marker", "claim"],
)
@pytest.mark.parametrize("fault", [FailBefore, LostReply])
def test_a_record_ahead_of_the_commit_that_stays_unclear_is_no_unknown_outcome(world, key, reads_before, fault):
    """Nothing was registered, and the error says that, not that a version may be there."""
    plan: list[Fault] = [
        fault(verb="create", key=key, times=STORM),
        FailBefore(verb="read", key=key, nth=reads_before + 1, times=STORM),
    ]
    _, attempt = register(world, plan, idempotency_key="job")
    with pytest.raises(StorageUnavailableError):
        attempt()
    assert manifests(world.objects()) == {}
    world.client().register_artifact(NAME, b"content", idempotency_key="job")
    assert assert_sound(world) == {1: {"Model": b"content"}}


# --- readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["read", "list_objects"])
@pytest.mark.parametrize(
    "look",
    [
        lambda client: client.get_artifact(NAME).version,
        lambda client: client.get_artifact(NAME, 2).version,
        lambda client: client.list_artifacts(NAME)[-1].version,
        lambda client: client.list_artifacts()[0].version,
        lambda client: int(client.get_artifact(NAME).read_bytes() == b"second") + 1,
    ],
    ids=["latest", "number", "versions", "names", "content"],
)
def test_readers_outlast_a_storm_that_passes_and_name_one_that_does_not(world, verb, look):
    world.client().register_artifact(NAME, b"first")
    world.client().register_artifact(NAME, b"second")
    for nth in range(1, 4):
        passing = FaultyBackend(world.backend(), [FailBefore(verb=verb, nth=nth, times=PASSES)])
        assert look(client_on(passing, IMPATIENT)) == 2
    with pytest.raises(StorageUnavailableError):
        look(client_on(FaultyBackend(world.backend(), [FailBefore(verb=verb, times=STORM)]), IMPATIENT))
