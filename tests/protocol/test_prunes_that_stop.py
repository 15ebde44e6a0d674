"""A prune that cannot go on: the storage tells no ages, somebody presses Ctrl-C, it is killed, or it meets damage."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from graves import set_state, state_key
from interleaving import Meanwhile
from timed import GRACE, TimedWorld
from worlds import NAME, manifest_key

from metamlflow.errors import ObjectNotFoundError, UnsupportedStoreError
from metamlflow.model.names import ArtifactName
from metamlflow.model.retention import Rules
from metamlflow.store.retain import prune
from metamlflow.store.retain.prune_plan import Order, planned, storage_now
from metamlflow.testing import FailBefore, FaultyBackend, MemoryBackend

QUARTER = timedelta(days=90)


@pytest.fixture
def five() -> TimedWorld:
    return TimedWorld(5)


class Times(MemoryBackend):
    """A storage that tells other times of writing than the true ones."""

    def __init__(self, world: TimedWorld, told) -> None:
        super().__init__(world.bucket)
        self._told = told

    def stat(self, key):
        info = super().stat(key)
        return replace(info, modified=self._told(info.modified))

    def list_objects(self, prefix, **where):
        return (replace(info, modified=self._told(info.modified)) for info in super().list_objects(prefix, **where))


NO_TIMES = {
    "the first second of Unix": lambda _: datetime.fromtimestamp(0, UTC),
    "the first day of FAT and of ZIP": lambda _: datetime(1980, 1, 1, tzinfo=UTC),
}
WRONG_TIMES = {
    "one and the same day": lambda _: datetime(2020, 5, 1, tzinfo=UTC),
    "an hour behind": lambda true: true - timedelta(hours=1),
    "years ahead": lambda true: true + timedelta(days=1000),
}


@pytest.mark.parametrize("told", NO_TIMES)
@pytest.mark.parametrize("dry_run", [True, False], ids=["dry-run", "run"])
def test_where_no_times_are_told_nothing_is_pruned_by_age_and_a_plan_does_not_promise_it(five, told, dry_run):
    backend = FaultyBackend(Times(five, NO_TIMES[told]))
    five.timed().set_policy("team/**", older_than=QUARTER)
    before = five.objects()
    for call in (
        lambda c: c.prune(NAME, older_than=QUARTER, dry_run=dry_run),
        lambda c: c.prune("**", keep_last=2, older_than=QUARTER, dry_run=dry_run),
        lambda c: c.apply_policies(dry_run=dry_run),
    ):
        with pytest.raises(UnsupportedStoreError, match=r"does not tell when .*nothing was pruned"):
            call(five.timed(backend))
    assert five.objects() == before


@pytest.mark.parametrize("told", {**NO_TIMES, **WRONG_TIMES})
def test_where_ages_cannot_be_told_no_version_is_left_pruned_that_nobody_could_restore(five, told):
    client = five.timed()
    for name in ("team/a", "team/b", "team/c"):
        for content in (b"1", b"2"):
            client.register_artifact(name, content)
    with pytest.raises(UnsupportedStoreError, match="nothing was pruned") as caught:
        five.timed(Times(five, {**NO_TIMES, **WRONG_TIMES}[told])).prune("**", keep_last=1)
    assert "NTP" in caught.value.hint
    assert five.live() == [1, 2, 3, 4, 5]
    assert [five.timed().list_versions(name) for name in ("team/a", "team/b", "team/c")] == [[1, 2]] * 3
    assert sum("state-" in key for key in five.objects()) <= 2, "one record shows it"


def test_a_version_whose_own_time_is_not_told_is_kept_by_age(five):
    five.let_pass(QUARTER * 2)
    third = five.bucket.objects[manifest_key(3)]
    five.bucket.objects[manifest_key(3)] = replace(third, modified=datetime.fromtimestamp(0, UTC))
    report = five.timed().prune(NAME, older_than=QUARTER)
    assert [decision.version for decision in report.pruned] == [1, 2, 4]
    assert "does not tell when it was written" in report.kept[0].reason


# --- stopped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [(), ("team/a", "team/b")], ids=["one name", "several"])
def test_a_ctrl_c_lets_no_further_version_of_a_name_be_pruned(five, names, monkeypatch):
    """The interrupt reaches the caller's thread alone: the thread that prunes has to be told."""
    client = five.timed()
    for name in names:
        for content in (b"1", b"2", b"3"):
            client.register_artifact(name, content)
    abandoned = threading.Event()
    monkeypatch.setattr(prune, "Event", lambda: abandoned)

    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert abandoned.wait(30), "nobody tells the thread that prunes"

    fault = Meanwhile(verb="create", key=state_key(1, 1), happens=press)
    with pytest.raises(KeyboardInterrupt) as caught:
        five.timed(FaultyBackend(five.backend(), [fault])).prune("**", keep_last=1)
    assert five.live() == [2, 3, 4, 5]
    assert "pruned by then" in caught.value.__notes__[0]


def killed_in_the_middle(world: TimedWorld, version: int, happens, **rules) -> None:
    """Claim the record of a version, and go no further; something happens just before it."""

    def die() -> None:
        raise KeyboardInterrupt

    faults = [
        Meanwhile(verb="create", key=state_key(version, 1), happens=happens),
        Meanwhile(verb="list_objects", key="*/_aliases/", nth=2, happens=die),
    ]
    with pytest.raises(KeyboardInterrupt):
        world.timed(FaultyBackend(world.backend(), faults)).prune(NAME, **rules)
    assert world.states(version) == ["pruned"]


def test_the_next_prune_tells_of_a_live_version_whose_input_a_killed_one_left_pruned(five):
    def register() -> None:
        five.timed().register_artifact("model", b"m", inputs=[f"{NAME}@2"])

    killed_in_the_middle(five, 2, register, versions=[2])
    for rules in ({"versions": [2]}, {"keep_last": 3}):
        (warning,) = five.timed().prune(NAME, **rules).warnings
        assert warning.startswith(f"{NAME}@2 is not live, and yet model@1 is live and was made from it: restore it")
    assert five.timed().prune(NAME, versions=[2], even_if_used=True).warnings == []
    five.let_pass(GRACE / 2)
    assert five.timed().prune(NAME, versions=[2]).warnings == [], "it cannot be restored any more"


def test_the_next_prune_tells_of_fewer_versions_than_are_kept_after_a_killed_one(five):
    killed_in_the_middle(five, 1, lambda: five.timed().prune(NAME, versions=[4]), keep_last=4)
    (first, fourth) = five.timed().prune(NAME, keep_last=4).warnings
    assert first.startswith(f"{NAME}@1 is not live, and yet it is among the newest 4 (keep_last)")
    assert fourth.startswith(f"{NAME}@4 is not live, and yet it is among the newest 4 (keep_last)")
    assert five.timed().prune(NAME, keep_last=3).warnings == [fourth.replace("newest 4", "newest 3")]
    five.timed().restore(f"{NAME}@4")
    assert five.timed().prune(NAME, keep_last=4).warnings == []


def test_a_version_that_a_migration_left_out_is_not_told_as_one_that_was_pruned(five):
    set_state(five, 5, 1, "absent")
    assert five.timed().prune(NAME, keep_last=3).warnings == []


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 5], ids=["of a candidate", "of the newest"])
def test_a_manifest_that_is_listed_and_never_found_is_damage_and_nothing_is_pruned(five, version):
    lost = FailBefore(
        verb="read", key=manifest_key(version), times=None, error=lambda where: ObjectNotFoundError("no", key=where)
    )
    before = five.objects()
    report = five.timed(FaultyBackend(five.backend(), [lost])).prune(NAME, keep_last=1)
    assert [decision.version for decision in report.damaged] == [version]
    assert "lists" in report.damaged[0].reason
    assert report.pruned == []
    assert five.objects() == before


def test_a_damaged_state_is_reported_and_nothing_is_pruned_anywhere(five):
    client = five.timed()
    for content in (b"1", b"2"):
        client.register_artifact("other", content)
    client.prune(NAME, versions=[1])
    five.write(state_key(1, 1), b"{}")
    before = five.objects()
    report = five.timed().prune("**", keep_last=1)
    assert [decision.ref for decision in report.damaged] == [f"{NAME}@1"]
    assert report.pruned == []
    assert "other@1" in [decision.ref for decision in report.kept]
    assert five.objects() == before


def test_a_name_whose_record_was_lost_is_pruned_by_patterns_and_policies_as_the_others_are(five):
    client = five.timed()
    for content in (b"1", b"2"):
        client.register_artifact("team/lost", content)
    five.remove("names/team/lost.json")
    client.set_policy("team/lost", keep_last=1)
    assert [d.ref for d in five.timed().prune("team/l*", keep_last=1, dry_run=True).pruned] == ["team/lost@1"]
    assert [d.ref for d in five.timed().apply_policies().pruned] == ["team/lost@1"]


def test_a_plan_holds_no_manifest_of_the_versions_that_would_go():
    world = TimedWorld()
    client = world.timed()
    for number in range(5):
        client.register_artifact(NAME, b"%d" % number, metadata={"loss": [number] * 1000})
    store = client._store
    order = Order(ArtifactName(NAME), Rules(keep_last=1))
    plan = planned(store, order, storage_now(store)[0], even_if_used=False)
    assert [tuple(map(type, candidate)) for candidate in plan.candidates] == [(ArtifactName, int, str, int)] * 4
