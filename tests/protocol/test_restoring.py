"""Restoring a pruned version: in time, with all of its content there, and never a live version without its bytes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from graves import erase, set_state, state_key
from interleaving import Meanwhile
from timed import GRACE, TimedWorld
from worlds import NAME

from metamlflow.errors import (
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    ConflictError,
    IntegrityError,
    StorageError,
)
from metamlflow.testing import Fault, FaultyBackend, LostReply

SECOND = timedelta(seconds=1)


@pytest.fixture
def pruned() -> TimedWorld:
    """Versions 1 to 3, of which 2 was pruned."""
    world = TimedWorld(3)
    assert world.timed().prune(NAME, versions=[2])
    return world


def test_a_pruned_version_is_restored_with_its_content(pruned, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ben")
    pruned.let_pass(GRACE / 2 - SECOND)
    artifact = pruned.timed().restore(f"{NAME}@2", note="needed after all")
    assert artifact.read_bytes() == b"version 2"
    assert pruned.states(2) == ["pruned", "restored"]
    record = json.loads(pruned.objects()[state_key(2, 2)])
    assert (record["created_by"], record["note"]) == ("ben", "needed after all")
    pruned.let_pass(GRACE * 3)
    pruned.collect()
    assert pruned.timed().get_artifact(NAME, 2).read_bytes() == b"version 2"


def test_half_a_grace_later_it_is_refused_with_when_and_what_to_do(pruned):
    pruned.let_pass(GRACE / 2)
    before = pruned.objects()
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match="pruned on 2031-01-01 00:00 UTC and could be restored until") as caught:
            pruned.timed().restore(f"{NAME}@2", dry_run=dry_run)
        assert caught.value.hint == "Register its files again instead."
    assert pruned.objects() == before


def test_a_dry_run_tells_whether_it_could_be_restored_and_writes_nothing(pruned):
    backend = FaultyBackend(pruned.backend())
    before = pruned.objects()
    assert pruned.timed(backend).restore(f"{NAME}@2", dry_run=True).version == 2
    assert {call.verb for call in backend.calls} <= {"read", "stat", "list_objects"}
    assert pruned.objects() == before


@pytest.mark.parametrize("counted", [True, False], ids=["asleep", "paused"])
def test_whenever_time_passes_no_version_is_restored_without_its_bytes(pruned, counted):
    """At each call of a restore, the machine sleeps or is paused, and what may be collected then is collected."""
    template = dict(pruned.bucket.objects)
    began = pruned.now
    outcomes = set()
    for share in (1 / 4, 1 / 2, 1.01, 3):
        for nth in range(1, 40):
            pruned.bucket.objects.clear()
            pruned.bucket.objects.update(template)
            pruned.now, pruned.counted = began, 0.0

            def sleep(share: float = share) -> None:
                pruned.let_pass(GRACE * share, counted=counted)
                pruned.collect()

            backend = FaultyBackend(pruned.backend(), [Meanwhile(nth=nth, happens=sleep)])
            try:
                pruned.timed(backend).restore(f"{NAME}@2")
                outcomes.add("restored")
            except (ConflictError, IntegrityError, StorageError) as error:
                outcomes.add(type(error).__name__)
            if len(backend.calls) < nth:
                break
            assert pruned.damage() == []
            pruned.let_pass(GRACE * 2)
            pruned.collect()
            assert pruned.damage() == [], f"{share} of the grace passed at call {nth}: {backend.calls[nth - 1]}"
        else:
            raise AssertionError("a restore takes more calls than were tried")
    assert {"restored", "ConflictError"} <= outcomes


@pytest.mark.parametrize("counted", [True, False], ids=["asleep", "paused"])
def test_a_restorer_that_sleeps_after_its_looks_sends_nothing(pruned, counted):
    class SleepAfter(Fault):
        def strike(self, apply, where, around):
            answer = apply()
            pruned.let_pass(GRACE / 2, counted=counted)
            return answer

    backend = FaultyBackend(pruned.backend(), [SleepAfter(verb="stat", key="blobs/*")])
    with pytest.raises(ConflictError, match="could be restored until"):
        pruned.timed(backend).restore(f"{NAME}@2")
    assert not [call for call in backend.calls if call.verb == "create" and ".state-" in call.key]
    assert pruned.states(2) == ["pruned"]


def test_a_win_that_is_seen_too_late_is_looked_at_again_and_given_up_if_content_is_gone(pruned):
    def paused_before_the_request() -> None:
        pruned.let_pass(GRACE * 2)
        pruned.collect()

    fault = Meanwhile(verb="create", key="*.state-*", happens=paused_before_the_request)
    with pytest.raises(StorageError, match="restored so late"):
        pruned.timed(FaultyBackend(pruned.backend(), [fault])).restore(f"{NAME}@2")
    assert pruned.states(2) == ["pruned", "restored", "pruned"]
    assert pruned.damage() == []


def test_no_attempt_follows_once_a_sixteenth_of_the_grace_has_passed(pruned):
    class Slow(LostReply):
        def strike(self, apply, where, around):
            pruned.let_pass(GRACE / 15)
            return super().strike(lambda: None, where, around)

    backend = FaultyBackend(pruned.backend(), [Slow(verb="create", key="*.state-*", times=None)])
    with pytest.raises(StorageError):
        pruned.timed(backend).restore(f"{NAME}@2")
    assert len([call for call in backend.calls if call.verb == "create" and ".state-" in call.key]) == 1


@pytest.mark.parametrize("content", ["a file", "a folder of many files"])
def test_content_that_is_gone_already_is_named_and_nothing_is_restored(content, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 2)
    world = TimedWorld()
    client = world.timed()
    given = b"1" if content == "a file" else {f"{number}.txt": b"%d" % number for number in range(5)}
    client.register_artifact(NAME, given)
    client.register_artifact(NAME, b"next")
    client.prune(NAME, versions=[1])
    blobs = [key for key in world.objects() if key.startswith("blobs/")]
    taken = 0
    for blob in blobs:
        data = world.objects()[blob]
        if data == b"next":
            continue
        world.remove(blob)
        taken += 1
        with pytest.raises(IntegrityError) as caught:
            world.timed().restore(f"{NAME}@1")
        assert "Register its files again" in caught.value.hint
        world.write(blob, data)
    assert taken == (1 if content == "a file" else 6)
    assert world.states(1) == ["pruned"]
    assert world.timed().restore(f"{NAME}@1").version == 1


def test_what_is_not_pruned_cannot_be_restored_and_the_error_says_what_it_is(pruned):
    client = pruned.timed()
    with pytest.raises(ConflictError, match="is not pruned: it is live"):
        client.restore(f"{NAME}@1")
    with pytest.raises(ConflictError, match="is not pruned: it is live"):
        client.restore(NAME)
    with pytest.raises(ArtifactNotFoundError):
        client.restore(f"{NAME}@9")
    with pytest.raises(ArtifactNotFoundError):
        client.restore("nobody@1")
    set_state(pruned, 1, 1, "absent")
    with pytest.raises(ArtifactPrunedError, match="left out when this store was migrated"):
        client.restore(f"{NAME}@1")
    erase(pruned, 3)
    with pytest.raises(ArtifactErasedError):
        client.restore(f"{NAME}@3")


def test_a_version_that_an_artifact_an_input_or_an_alias_names_is_restored(pruned):
    client = pruned.timed()
    held = client.get_artifact(NAME, 1)
    user = client.register_artifact("user", b"u", inputs=[held])
    client.set_alias(NAME, "one", 1)
    for named in (held, user.inputs[0], f"{NAME}@one"):
        number = len(pruned.states(1)) + 1
        set_state(pruned, 1, number, "pruned")
        assert client.restore(named).version == 1


def test_of_two_who_restore_at_once_both_succeed(pruned):
    fault = Meanwhile(verb="create", key="*.state-*", happens=lambda: pruned.timed().restore(f"{NAME}@2"))
    assert pruned.timed(FaultyBackend(pruned.backend(), [fault])).restore(f"{NAME}@2").version == 2
    assert pruned.states(2) == ["pruned", "restored"]


def test_a_lost_reply_is_no_failure(pruned):
    backend = FaultyBackend(pruned.backend(), [LostReply(verb="create", key="*.state-*")])
    assert pruned.timed(backend).restore(f"{NAME}@2").version == 2
    assert pruned.states(2) == ["pruned", "restored"]
