"""A rollback makes one version of the very objects of an earlier one, whatever happens on the way."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from forked import fate_of, killed_at, race
from graves import erase, set_state
from interleaving import Meanwhile
from test_late_wins import PausedWorld, paused
from test_publish_age import GRACE, HALF, LATE, MOMENT, Passing, TimedWorld
from worlds import IMPATIENT, NAME, RAW_NAME, LocalWorld, MemoryWorld, assert_readable, assert_sound, manifests

from metamlflow import MetaMLFlowClient
from metamlflow.errors import (
    AccessDeniedError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    OutcomeUnknownError,
    StorageError,
    StoreNotFoundError,
)
from metamlflow.testing import Crash, Crashed, FailBefore, FaultyBackend, LostReply, client_on, simulated_crash

FILES = {f"{number}.csv": b"x\n%d\n" % number for number in range(5)}
NOTE = f"artifacts/{RAW_NAME}/_notes/"


def filled(world):
    """Versions 1 to 3: the folder of version 1, and others after it."""
    client = world.client()
    client.register_artifact("raw", b"raw")
    client.register_artifact(NAME, dict(FILES), "dataset", {"rows": 5, "pi": 3.14}, inputs={"raw": "raw@1"})
    client.register_artifact(NAME, b"bad", "model", {"rows": 1}, inputs=["raw@1"])
    client.register_artifact(NAME, b"worse", "model", {"rows": 0}, inputs=["raw@1"])
    return world


@pytest.fixture
def three(world):
    return filled(world)


def blobs(world) -> dict[str, bytes]:
    return {key: data for key, data in world.objects().items() if key.startswith("blobs/")}


def test_the_next_version_names_the_objects_of_the_earlier_one_and_none_is_written(three):
    before = blobs(three)
    artifact = three.client().rollback(NAME, 1, note="the others are wrong")
    assert artifact.version == 4
    assert blobs(three) == before
    found = manifests(three.objects())
    for field in ("digest", "size", "files", "folders", "entries", "metadata", "schema", "type", "kind", "requires"):
        assert found[4][field] == found[1][field], field
    assert [(used["name"], used["version"], used["role"]) for used in found[4]["inputs"]] == [
        (NAME, 1, "rolled_back_to")
    ]
    assert found[4]["writer"].startswith("metamlflow ")
    assert f"edges/{RAW_NAME}/_v1/{RAW_NAME}@4" in three.objects()
    (noted,) = [json.loads(data) for key, data in three.objects().items() if key.startswith(NOTE)]
    assert noted["description"] == "the others are wrong"
    assert_sound(three)
    assert_readable(three)


def test_fields_of_the_manifest_that_a_later_version_knows_are_kept(three):
    key = next(key for key in three.objects() if key.endswith("_v1.json") and RAW_NAME in key)
    document = json.loads(three.objects()[key]) | {"profile": {"mean": 2}, "writer": "metamlflow 9"}
    three.write(key, json.dumps(document).encode())
    three.client().rollback(NAME, 1)
    made = manifests(three.objects())[4]
    assert made["profile"] == {"mean": 2}
    assert made["writer"] != "metamlflow 9"


# --- the request costs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [1, 1000])
def test_a_rollback_takes_eight_calls_at_most_and_no_put_for_any_size(inline, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    world = MemoryWorld()
    world.client().register_artifact(NAME, {f"{number:04}": b"%d" % number for number in range(300)})
    world.client().register_artifact(NAME, b"bad")
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    backend.calls.clear()
    client.rollback(NAME, 1, note="why")
    seen = Counter(call.verb for call in backend.calls)
    assert seen.total() <= 8
    assert seen["put"] == 0
    assert assert_sound(world)[3] == assert_sound(world)[1]


def test_a_dry_run_writes_nothing_and_tells_what_would_be_done(three):
    before = three.objects()
    backend = FaultyBackend(three.backend())
    plan = client_on(backend, IMPATIENT).rollback(NAME, 1, note="why", dry_run=True)
    assert three.objects() == before
    assert not {call.verb for call in backend.calls} & {"create", "put", "delete"}
    assert (plan.version, plan.to_version, plan.publishes, plan.files, plan.note) == (4, 1, True, 5, "why")
    made = three.client().rollback(NAME, 1)
    assert (made.version, made.digest, made.size) == (plan.version, plan.digest, plan.size)
    again = three.client().rollback(NAME, 1, dry_run=True)
    assert (again.version, again.publishes, bool(again)) == (4, False, False)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_no_earlier_version_that_is_live_is_refused_and_nothing_is_published(three, dry_run):
    set_state(three, 1, 1, "pruned")
    erase(three, 2)
    before = three.objects()
    refused = {
        "newest": (3, InvalidInputError, "is the newest version already"),
        "latest": ("latest", InvalidInputError, "is the newest version already"),
        "pruned": (1, ArtifactPrunedError, "was pruned"),
        "erased": (2, ArtifactErasedError, "was erased by officer"),
        "none": (9, ArtifactNotFoundError, "has no version 9"),
        "no alias": ("best", ArtifactNotFoundError, "has no alias 'best'"),
    }
    for version, error, said in refused.values():
        with pytest.raises(error, match=said):
            three.client().rollback(NAME, version, dry_run=dry_run)
    with pytest.raises(ArtifactNotFoundError, match="there is no artifact"):
        three.client().rollback("teem/Model", 1, dry_run=dry_run)
    for note in ("", 3, "x" * 5001, "\udc80"):
        with pytest.raises(InvalidInputError, match=r"^note: "):
            three.client().rollback(NAME, 1, note=note, dry_run=dry_run)
    assert three.objects() == before


def test_an_absent_version_is_refused_too(three):
    set_state(three, 1, 1, "absent")
    with pytest.raises(ArtifactPrunedError, match="was left out"):
        three.client().rollback(NAME, 1)


def test_a_state_that_speaks_of_another_manifest_does_not_hinder(three):
    set_state(three, 1, 1, "absent", manifest=b"another")
    assert three.client().rollback(NAME, 1).version == 4


@pytest.mark.parametrize("inline", [1, 1000])
@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_a_version_that_has_lost_content_does_not_become_the_newest(world, inline, damage, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    filled(world)
    named = manifests(world.objects())[1]
    lost = (named.get("shards") or named["entries"])[-1]["key"]
    world.remove(lost)
    if damage == "shorter":
        world.write(lost, b"x")
    for dry_run in (True, False):
        with pytest.raises(IntegrityError, match="has lost content: blobs/"):
            world.client().rollback(NAME, 1, dry_run=dry_run)
    assert list(manifests(world.objects())) == [1, 2, 3]


def test_on_a_disk_each_file_of_a_version_in_many_pages_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 1)
    world = filled(LocalWorld(tmp_path / "store"))
    (lost,) = [key for key in blobs(world) if blobs(world)[key] == FILES["3.csv"]]
    world.remove(lost)
    with pytest.raises(IntegrityError, match="has lost content"):
        world.client().rollback(NAME, 1)


def test_a_migration_that_fills_the_next_number_is_a_conflict(three):
    set_state(three, 4, 1, "absent", manifest=b"to come")
    with pytest.raises(ConflictError, match="being migrated"):
        three.client().rollback(NAME, 1)


def test_a_store_that_does_not_exist_is_not_made(tmp_path):
    with pytest.raises(StoreNotFoundError):
        MetaMLFlowClient(tmp_path / "none").rollback(NAME, 1)
    assert not (tmp_path / "none").exists()


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_second_call_makes_no_other_version_and_a_call_after_another_publish_does(three):
    client = three.client()
    assert [client.rollback(NAME, 1).version for _ in range(3)] == [4, 4, 4]
    client.register_artifact(NAME, b"newer")
    assert client.rollback(NAME, 1).version == 6
    assert client.rollback(NAME, 4).version == 7  # another version, though its content is the same
    assert client.rollback(NAME, 1).version == 8


def test_the_same_content_that_was_registered_is_no_rollback(three):
    client = three.client()
    client.register_artifact(NAME, dict(FILES), "dataset", {"rows": 5, "pi": 3.14})
    assert client.rollback(NAME, 1).version == 5


def test_under_an_idempotency_key_the_first_call_counts_though_its_source_is_gone(three):
    client = three.client()
    assert client.rollback(NAME, 1, idempotency_key="job").version == 4
    client.register_artifact(NAME, b"newer")
    set_state(three, 1, 1, "pruned")
    assert client.rollback(NAME, 1, idempotency_key="job").version == 4
    assert len(assert_sound(three)) == 5


def test_a_rollback_that_is_there_already_is_bound_to_the_key(three):
    client = three.client()
    assert client.rollback(NAME, 1).version == 4
    assert client.rollback(NAME, 1, idempotency_key="job").version == 4
    client.register_artifact(NAME, b"newer")
    assert client.rollback(NAME, 1, idempotency_key="job").version == 4


def test_a_note_that_cannot_be_written_is_told_and_calling_again_adds_it(three):
    denied = FailBefore(error=AccessDeniedError, verb="create", key=f"{NOTE}*", times=None)
    with pytest.raises(AccessDeniedError) as caught:
        client_on(FaultyBackend(three.backend(), [denied]), IMPATIENT).rollback(NAME, 1, note="why")
    assert f"{NAME}@4 was published all the same, without the note" in caught.value.hint
    artifact = three.client().rollback(NAME, 1, note="why")
    assert (artifact.version, artifact.notes.description) == (4, "why")
    assert three.client().rollback(NAME, 1, note="why").notes.number == 1


# --- others at the same time ------------------------------------------------------------------------------------------


def test_somebody_who_publishes_meanwhile_gets_the_number_before(three):
    other = Meanwhile(
        verb="create", key="artifacts/*_v4.json", happens=lambda: three.client().register_artifact(NAME, b"o")
    )
    assert client_on(FaultyBackend(three.backend(), [other]), IMPATIENT).rollback(NAME, 1).version == 5
    versions = assert_sound(three)
    assert (versions[4], versions[5]) == ({"Model": b"o"}, FILES)


def test_of_two_who_roll_back_to_the_same_version_at_once_one_publishes(three):
    other = Meanwhile(verb="create", key="artifacts/*_v4.json", happens=lambda: three.client().rollback(NAME, 1))
    assert client_on(FaultyBackend(three.backend(), [other]), IMPATIENT).rollback(NAME, 1).version == 4
    assert len(assert_sound(three)) == 4


def test_real_processes_that_roll_back_and_publish_at_once_each_get_what_they_asked_for(tmp_path):
    world = filled(LocalWorld(tmp_path / "store"))

    def publish(me: int) -> list[int]:
        client = MetaMLFlowClient(str(world.root))
        return [client.register_artifact(NAME, b"%d %d" % (me, number)).version for number in range(4)]

    def roll_back(to: int) -> list[int]:
        client = MetaMLFlowClient(str(world.root))
        return [client.rollback(NAME, to).version for _ in range(4)]

    told = race(partial(publish, 1), partial(roll_back, 1), partial(publish, 2), partial(roll_back, 2))
    versions = assert_sound(world)
    for number in told[1]:
        assert versions[number] == FILES
    for number in told[3]:
        assert versions[number] == {"Model": b"bad"}
    published = told[0] + told[2]
    assert len(set(published)) == 8
    assert set(versions) == {1, 2, 3} | {number for numbers in told for number in numbers}


# --- killed, unanswered, late -----------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_kill_before_or_after_any_call_is_mended_by_the_same_call_again(tmp_path):
    prepared = filled(LocalWorld(tmp_path / "prepared")).root

    def on_a_disk() -> LocalWorld:
        root = Path(tempfile.mkdtemp(dir=tmp_path)) / "store"
        shutil.copytree(prepared, root)
        return LocalWorld(root)

    def kill(world: LocalWorld, crash: Crash) -> None:
        client = client_on(FaultyBackend(world.backend(), [crash]), IMPATIENT)
        assert fate_of(partial(client.rollback, NAME, 1, note="why")) == -signal.SIGKILL

    assert_mended(on_a_disk, kill)


@pytest.mark.full
def test_a_kill_around_any_link_fsync_or_unlink_is_mended_by_the_same_call_again(tmp_path):
    prepared = filled(LocalWorld(tmp_path / "prepared")).root
    moments, landed = 0, set()
    for nth, after in itertools.product(range(1, 100), (False, True)):
        world = LocalWorld(tmp_path / f"{nth}-{after}")
        shutil.copytree(prepared, world.root)

        def roll_back(world=world, nth=nth, after=after) -> None:
            wrapped = killed_at(nth, after=after)
            for name in ("link", "fsync", "unlink"):
                setattr(os, name, wrapped(getattr(os, name)))
            world.client().rollback(NAME, 1, note="why")

        if fate_of(roll_back) == 0:
            break
        moments += 1
        landed.add(len(assert_sound(world)))
        artifact = world.client().rollback(NAME, 1, note="why")
        assert (artifact.version, artifact.notes.description) == (4, "why")
        assert list(assert_sound(world)) == [1, 2, 3, 4]
        shutil.rmtree(world.root)
    assert moments >= 26
    assert landed == {3, 4}


def test_an_end_before_or_after_any_call_is_mended_by_the_same_call_again():
    prepared = filled(MemoryWorld()).bucket.objects

    def in_memory() -> MemoryWorld:
        world = MemoryWorld()
        world.bucket.objects.update(prepared)
        return world

    def end(world: MemoryWorld, crash: Crash) -> None:
        ended = replace(crash, crash=simulated_crash)
        with pytest.raises(Crashed):
            client_on(FaultyBackend(world.backend(), [ended]), IMPATIENT).rollback(NAME, 1, note="why")

    assert_mended(in_memory, end)


def assert_mended(new_world, crash_in) -> None:
    rehearsal = FaultyBackend(new_world().backend())
    client_on(rehearsal, IMPATIENT).rollback(NAME, 1, note="why")
    landed = set()
    for nth, when in itertools.product(range(1, len(rehearsal.calls) + 1), ("before", "after")):
        world = new_world()
        crash_in(world, Crash(nth=nth, when=when))
        landed.add(len(assert_sound(world)))
        assert_readable(world)
        artifact = world.client().rollback(NAME, 1, note="why")
        assert (artifact.version, artifact.notes.description, artifact.notes.number) == (4, "why", 1)
        versions = assert_sound(world)
        assert list(versions) == [1, 2, 3, 4]
        assert versions[4] == FILES
    assert landed == {3, 4}


@pytest.mark.parametrize("kind", [LostReply, FailBefore])
def test_an_answer_lost_at_any_call_makes_one_version_and_one_note(kind):
    rehearsal = FaultyBackend(filled(MemoryWorld()).backend())
    client_on(rehearsal, IMPATIENT).rollback(NAME, 1, note="why")
    for nth in range(1, len(rehearsal.calls) + 1):
        world = filled(MemoryWorld())
        client = client_on(FaultyBackend(world.backend(), [kind(nth=nth)]), IMPATIENT)
        assert client.rollback(NAME, 1, note="why").version == 4
        assert list(assert_sound(world)) == [1, 2, 3, 4]
        assert len([key for key in world.objects() if key.startswith(NOTE)]) == 1


def test_an_outcome_that_stays_unknown_is_told_and_calling_again_makes_no_second_version(three):
    faults = [
        LostReply(verb="create", key="artifacts/*_v4.json", times=None),
        FailBefore(verb="read", key="artifacts/*_v4.json", times=None),
    ]
    with pytest.raises(OutcomeUnknownError):
        client_on(FaultyBackend(three.backend(), faults), IMPATIENT).rollback(NAME, 1)
    assert three.client().rollback(NAME, 1).version == 4


def old_versions() -> TimedWorld:
    """Two versions whose content is a month old; nothing but the manifests keeps it."""
    world = TimedWorld()
    client = world.client(world.clock())
    client.register_artifact(NAME, dict(FILES))
    client.register_artifact(NAME, b"bad")
    world.age_blobs(timedelta(days=30))
    return world


def roll_back_while(jumps: dict[int, timedelta], *, at_commit: timedelta | None = None, pruned_at: int | None = None):
    """Roll back while time passes, everything that may be collected is, and the source is pruned before a call."""
    world = old_versions()
    source = next(key for key in world.objects() if key.endswith("_v1.json"))
    passing = Passing(world=world, jumps=jumps, at_commit=at_commit)
    prune = Meanwhile(nth=pruned_at or 0, happens=lambda: world.prune(source, timedelta()))
    backend = FaultyBackend(world.backend(), [*([prune] if pruned_at else []), passing])
    try:
        artifact = client_on(backend, world.clock()).rollback(NAME, 1)
    except (ArtifactPrunedError, StorageError, IntegrityError):
        artifact = None
    world.let_pass(2 * GRACE)
    world.collect()
    assert artifact is None or artifact.verify("full")
    live = world.client(world.clock()).list_artifacts(NAME)
    assert all(version.verify("full") for version in live), "a live version lost its content"
    return artifact


@pytest.mark.full
@pytest.mark.parametrize("time", [HALF - MOMENT, HALF, GRACE + MOMENT, 5 * GRACE])
def test_any_time_may_pass_at_any_call_before_the_commit(time):
    assert all(roll_back_while({nth: time}, at_commit=LATE) for nth in range(1, 12))


@pytest.mark.full
def test_the_source_may_be_pruned_at_any_call_while_any_time_passes_at_another():
    done = set()
    for pruned_at, late, time in itertools.product(range(1, 12), range(1, 12), (HALF, GRACE - MOMENT, GRACE + MOMENT)):
        done.add(roll_back_while({late: time}, at_commit=LATE, pruned_at=pruned_at) is None)
    assert done == {True, False}


def test_a_rollback_that_took_too_long_looks_at_its_source_again():
    """It was pruned and collected while the machine slept between the looks and the commit."""
    world = old_versions()
    source = next(key for key in world.objects() if key.endswith("_v1.json"))

    def sleep() -> None:
        world.prune(source, timedelta())
        world.let_pass(2 * GRACE)
        world.collect()

    slept = Meanwhile(verb="create", key="edges/*", happens=sleep)
    with pytest.raises(ArtifactPrunedError):
        client_on(FaultyBackend(world.backend(), [slept]), world.clock()).rollback(NAME, 1)
    assert list(manifests(world.objects())) == [1, 2]


@pytest.fixture
def pausing() -> PausedWorld:
    world = PausedWorld()
    for content in (b"good", b"bad"):
        world.client(world.clock()).register_artifact(NAME, content)
    return world


def test_a_late_win_whose_content_was_collected_is_pruned_and_told(pausing):
    client, _ = paused(pausing, GRACE, pausing.drop_blobs)
    with pytest.raises(StorageError, match="so late that its content had been collected"):
        client.rollback(NAME, 1)
    assert pausing.client().list_versions(NAME) == [1, 2]
    assert list(manifests(pausing.objects())) == [1, 2, 3]


def test_a_late_win_whose_content_is_there_stays(pausing):
    client, backend = paused(pausing, GRACE)
    assert client.rollback(NAME, 1).verify("full")
    assert backend.looks > 0
    assert pausing.client().get_artifact(NAME).version == 3


def test_in_a_run_a_rollback_is_an_output_of_it_and_what_the_run_used_is_an_input(three):
    client = three.client()
    with client.run("mend") as run:
        client.get_artifact("raw").read_bytes()
        artifact = client.rollback(NAME, 1)
    assert artifact.run_id == run.id
    assert {(used.name, used.role) for used in artifact.inputs} == {("raw", None), (NAME, "rolled_back_to")}
    assert [output.version for output in client.get_run(run.id).end.outputs] == [4]
