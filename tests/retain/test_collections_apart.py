"""Two collections never delete at the same time, nor while a deletion of an earlier one may land."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aging_store import DAY, GRACE, LAST, Meanwhile, blob_of

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import ConflictError, StorageUnavailableError, StoreFormatError, UnsupportedStoreError
from metamlflow.store.retain.collecting.series import Turn
from metamlflow.testing import (
    Crash,
    Crashed,
    FailBefore,
    Fault,
    Late,
    LostReply,
    MemoryBackend,
    StoredObject,
    simulated_crash,
)

SECOND = timedelta(seconds=1)
OPEN, UNCLEAR = GRACE / 8, GRACE / 16


@pytest.fixture
def old(store):
    """A store with one piece of garbage."""
    store.client().register_artifact("a", b"live")
    store.write(blob_of(b"left"), b"left")
    store.passes(GRACE + DAY)
    return store


def record(store, number):
    return json.loads(store.read(f"collections/{LAST - number:010d}.json"))


def write_record(store, number, phase, **more):
    store.write_json(
        f"collections/{LAST - number:010d}.json", phase=phase, collection="7" * 32, created_by="somebody", **more
    )


def test_a_collection_records_that_it_begins_and_ends(old):
    old.client().collect_garbage()
    begun, ended = record(old, 1), record(old, 2)
    assert (begun["phase"], ended["phase"]) == ("begun", "ended")
    assert begun["collection"] == ended["collection"] == begun["record_id"]
    assert "unclear" not in ended
    old.write(blob_of(b"more"), b"more")
    old.passes(GRACE + DAY)
    assert old.client().collect_garbage().deleted == 1
    assert record(old, 4)["phase"] == "ended"


@pytest.mark.parametrize(
    ("phase", "more", "wait"),
    [("begun", {}, OPEN), ("going", {}, OPEN), ("ended", {"unclear": True}, UNCLEAR), ("ended", {}, None)],
    ids=["begun", "going", "ended-unclear", "ended"],
)
def test_a_newer_record_keeps_others_waiting_for_its_share_of_the_grace(old, phase, more, wait):
    write_record(old, 1, phase, **more)
    if wait is None:
        assert old.client().collect_garbage().deleted == 1
        return
    old.passes(wait)
    with pytest.raises(ConflictError, match="somebody") as caught:
        old.client().collect_garbage()
    assert f"{old.now + SECOND:%Y-%m-%d %H:%M:%S}" in caught.value.hint
    assert blob_of(b"left") in old.blobs()
    assert old.client().collect_garbage(dry_run=True).blobs == 1, "a plan deletes nothing, and waits for nobody"
    old.passes(SECOND)
    assert old.client().collect_garbage().deleted == 1


def test_the_newest_record_counts_alone(old):
    write_record(old, 1, "begun")
    write_record(old, 2, "ended")
    assert old.client().collect_garbage().deleted == 1


def test_a_damaged_record_is_never_taken_for_an_end(old):
    old.write(f"collections/{LAST - 1}.json", b"{}")
    with pytest.raises(StoreFormatError):
        old.client().collect_garbage()
    assert blob_of(b"left") in old.blobs()


def test_of_two_that_overlap_the_second_refuses(old):
    refused = []

    def second():
        with pytest.raises(ConflictError) as caught:
            old.client().collect_garbage()
        refused.append(caught.value)

    first = old.client(old.faulty(Meanwhile(verb="delete", act=second))).collect_garbage()
    assert (first.deleted, len(refused)) == (1, 1)
    assert record(old, 2)["phase"] == "ended"


def test_of_two_that_judged_at_the_same_time_one_begins(old):
    """The second one begins and ends between the first one's judgement and its turn."""

    def other():
        assert old.client().collect_garbage().deleted == 1
        old.bucket.objects[blob_of(b"left")] = StoredObject(b"left", old.now)

    begin = Meanwhile(verb="create", key=f"collections/{LAST - 1}.json", act=other)
    with pytest.raises(ConflictError, match="another collection has begun"):
        old.client(old.faulty(begin)).collect_garbage()
    assert blob_of(b"left") in old.blobs()


def test_a_collection_that_takes_long_renews_its_turn_and_stops_if_another_has_begun(old, monkeypatch):
    monkeypatch.setattr("metamlflow.store.retain.collecting.deletions.BATCH", 1)
    monkeypatch.setattr("metamlflow.store.retain.collecting.deletions.AT_A_TIME", 1)
    for number in range(4):
        old.write(blob_of(b"%d" % number), b"%d" % number)
    old.passes(GRACE + DAY)
    slow = Meanwhile(verb="delete", times=None, act=lambda: old.passes(GRACE / 32))
    assert old.client(old.faulty(slow)).collect_garbage().deleted == 5
    phases = [record(old, number)["phase"] for number in range(1, len(old.listed("collections/")) + 1)]
    assert phases == ["begun", "going", "going", "going", "going", "ended"]

    for number in range(4):
        old.write(blob_of(b"%d" % number), b"%d" % number)
    old.passes(GRACE + DAY)

    def sleep_through_the_next():
        old.passes(OPEN + SECOND)
        assert old.client().collect_garbage().deleted == 3

    sleeper = Meanwhile(verb="delete", nth=2, act=sleep_through_the_next)
    with pytest.raises(ConflictError):
        old.client(old.faulty(sleeper)).collect_garbage()


def test_a_thread_that_was_held_up_until_the_turn_was_over_sends_nothing(old, monkeypatch):
    monkeypatch.setattr(Turn, "lasts", property(lambda turn: False))
    backend = old.faulty()
    report = old.client(backend).collect_garbage()
    assert (report.deleted, report.left, report.failures) == (0, 1, 0)
    assert not any(call.verb == "delete" for call in backend.calls)
    assert blob_of(b"left") in old.blobs()


@dataclass(frozen=True, kw_only=True)
class CtrlC(Fault):
    """A Ctrl-C while a call is under way, which was applied by then or was not."""

    key: str = "collections/*"
    lands: bool = True

    def strike(self, apply, where, around):
        if self.lands:
            apply()
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (FailBefore(verb="stat", key="collections/*", times=None), StorageUnavailableError),
        (CtrlC(verb="stat"), KeyboardInterrupt),
        (CtrlC(verb="create"), KeyboardInterrupt),
        (CtrlC(verb="create", lands=False), KeyboardInterrupt),
    ],
    ids=["no look", "ctrl-c at the look", "ctrl-c at the claim", "ctrl-c before the claim"],
)
def test_a_collection_that_is_cut_off_at_its_claim_and_sent_nothing_keeps_nobody_waiting(old, fault, error):
    with pytest.raises(error):
        old.client(old.faulty(fault)).collect_garbage()
    newest = LAST - int(min(old.listed("collections/"))[-15:-5])
    assert record(old, newest)["phase"] == "ended"
    assert "unclear" not in record(old, newest)
    assert old.client().collect_garbage().deleted == 1


def test_a_collection_that_lost_its_claim_and_is_cut_off_does_not_end_that_of_another(old):
    """Of two claims of one number, the one that is not heard of is the one that did not land."""

    @dataclass(frozen=True, kw_only=True)
    class Another(CtrlC):
        def strike(self, apply, where, around):
            write_record(old, 1, "begun")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        old.client(old.faulty(Another(verb="create"))).collect_garbage()
    assert len(old.listed("collections/")) == 1
    assert record(old, 1)["collection"] == "7" * 32


def test_nothing_of_a_killed_collection_lands_in_the_next_one(old):
    """A deletion that it sent lands within a sixteenth of the grace, and the next one waits for twice that."""
    with pytest.raises(Crashed):
        old.client(old.faulty(Crash(verb="delete", crash=simulated_crash))).collect_garbage()
    old.passes(UNCLEAR + SECOND)
    with pytest.raises(ConflictError):
        old.client().collect_garbage()


@pytest.mark.parametrize("fault", [LostReply(verb="delete"), Late(verb="delete")], ids=["applied", "lands-late"])
def test_an_unclear_deletion_is_told_recorded_not_repeated_and_waited_for(old, fault):
    backend = old.faulty(fault)
    report = old.client(backend).collect_garbage()
    assert (report.deleted, report.freed, report.failures, report.ok) == (0, 0, 1, False)
    assert [(it.key, it.unclear) for it in report.failed] == [(blob_of(b"left"), True)]
    assert sum(call.verb == "delete" for call in backend.calls) == 1
    assert record(old, 2)["unclear"] is True
    old.passes(UNCLEAR)
    with pytest.raises(ConflictError, match="may still be applied"):
        old.client().collect_garbage()
    # What it leaves to chance until then: the content, put again, goes with the deletion that lands late.
    old.passes(2 * SECOND)
    backend.settle()
    assert old.client().collect_garbage().ok
    assert old.blobs() == {blob_of(b"live")}


def test_a_failure_that_is_certain_keeps_nobody_waiting(old):
    throttled = Throttled(verb="delete", times=1)
    assert old.client(old.faulty(throttled)).collect_garbage().deleted == 1, "what was not applied is tried again"
    assert "unclear" not in record(old, 2)


@dataclass(frozen=True, kw_only=True)
class Throttled(Fault):
    def strike(self, apply, where, around):
        raise StorageUnavailableError("slow down", key=where, throttled=True)


class Drifting(MemoryBackend):
    """A storage whose stamps are off from its clock, or stand still."""

    offset = timedelta()
    stands = None

    def create(self, key, data):
        super().create(key, data)
        stored = self.bucket.objects[key]
        self.bucket.objects[key] = StoredObject(stored.data, self.stands or stored.modified + self.offset)


@pytest.mark.parametrize("minutes", [6, -6, 600, -600])
def test_a_storage_whose_stamps_are_off_by_more_than_five_minutes_is_refused(old, minutes):
    backend = Drifting(old.bucket)
    backend.offset = timedelta(minutes=minutes)
    with pytest.raises(UnsupportedStoreError, match="clock"):
        old.client(backend).collect_garbage()
    assert blob_of(b"left") in old.blobs()


@pytest.mark.parametrize("minutes", [4, 0])
def test_one_that_is_off_by_less_is_not(old, minutes):
    backend = Drifting(old.bucket)
    backend.offset = timedelta(minutes=minutes)
    assert old.client(backend).collect_garbage().deleted == 1


@pytest.mark.parametrize("verb", ["create", "stat"])
def test_one_that_only_answers_late_is_not_taken_for_one_that_is_off(old, verb):
    """The record was written when it was asked for, or ten minutes before it is looked at."""
    late = Meanwhile(verb=verb, key="collections/*", nth=1, act=lambda: old.passes(timedelta(minutes=10)))
    assert old.client(old.faulty(late)).collect_garbage().deleted == 1


def test_a_storage_whose_clock_stands_still_is_refused(old):
    backend = Drifting(old.bucket)
    backend.stands = old.now - timedelta(minutes=1)
    with pytest.raises(UnsupportedStoreError, match="does not advance"):
        old.client(backend).collect_garbage()
    assert blob_of(b"left") in old.blobs()


def test_the_records_of_collections_are_no_part_of_what_a_migration_brings_or_compares(tmp_path):
    client = MetaMLFlowClient(tmp_path / "a")
    client.register_artifact("data", b"x")
    (tmp_path / "a" / "collections").mkdir()
    (tmp_path / "a" / "collections" / "9999999998.json").write_text("{}")
    assert migrate(client, tmp_path / "b").ok
    assert compare(client, tmp_path / "b") == []
    assert not (tmp_path / "b" / "collections").exists()
