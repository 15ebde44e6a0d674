"""Corrected metadata and a copy make one version each, of the very objects of another one, whatever happens."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from forked import race
from graves import erase, set_state, state_of
from interleaving import Meanwhile
from test_publish_age import GRACE, HALF, LATE, MOMENT, Passing, TimedWorld
from worlds import (
    IMPATIENT,
    NAME,
    RAW_NAME,
    LocalWorld,
    MemoryWorld,
    assert_readable,
    assert_sound,
    manifest_key,
    manifests,
)

from metamlflow import MetaMLFlowClient
from metamlflow.errors import (
    AccessDeniedError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    StorageError,
    StoreNotFoundError,
)
from metamlflow.testing import Crash, Crashed, FailBefore, FaultyBackend, LostReply, client_on, simulated_crash

FILES = {f"{number}.csv": b"x\n%d\n" % number for number in range(5)}
METADATA = {"yaer": 2026, "pi": 3.14, "steps": ["dedupe"]}
KEPT = ("digest", "size", "files", "folders", "schema", "type", "kind", "requires")


@dataclass(frozen=True)
class Way:
    """One of the two calls, from version 2 of ``NAME``, and what it makes."""

    name: str
    raw_name: str
    version: int
    call: Any

    def __call__(self, client: Any, **options: Any) -> Any:
        return self.call(client, f"{NAME}@2", **options)

    def made(self, world: Any) -> dict[int, dict[str, Any]]:
        return manifests(world.objects(), self.raw_name)


CORRECTED = Way(
    NAME,
    RAW_NAME,
    3,
    lambda client, ref, **options: client.update_metadata(ref, {"rows": 5}, remove=["yaer"], **options),
)
COPIED = Way(
    "registry/churn", "registry/churn", 1, lambda client, ref, **options: client.copy(ref, "registry/churn", **options)
)
WAYS = pytest.mark.parametrize("way", [CORRECTED, COPIED], ids=["corrected", "copied"])


def filled(world):
    client = world.client()
    client.register_artifact("raw", b"raw")
    client.register_artifact(NAME, b"first", "model")
    client.register_artifact(NAME, dict(FILES), "dataset", dict(METADATA), inputs={"from": "raw@1"})
    return world


@pytest.fixture
def two(world):
    return filled(world)


def blobs(world) -> dict[str, bytes]:
    return {key: data for key, data in world.objects().items() if key.startswith("blobs/")}


def described(world, raw_name: str) -> list[str]:
    notes = f"artifacts/{raw_name}/_notes/v"
    return [json.loads(data)["description"] for key, data in world.objects().items() if key.startswith(notes)]


@WAYS
def test_the_new_version_names_the_objects_of_the_other_one_and_none_is_written(two, way):
    before = blobs(two)
    artifact = way(two.client(), note="asked for by audit")
    assert (artifact.name, artifact.version) == (way.name, way.version)
    assert blobs(two) == before
    source, made = manifests(two.objects())[2], way.made(two)[way.version]
    for field in (*KEPT, "entries"):
        assert made[field] == source[field], field
    assert_sound(two, way.raw_name)
    assert_readable(two)
    assert two.client().get_artifact(way.name).version == way.version
    assert two.client().get_artifact(way.name).verify("full")


def test_a_correction_keeps_the_inputs_and_its_note_says_what_was_changed_and_no_value(two):
    artifact = CORRECTED(two.client(), note="asked for by audit")
    source, made = manifests(two.objects())[2], manifests(two.objects())[3]
    assert made["metadata"] == {"pi": 3.14, "steps": ["dedupe"], "rows": 5}
    assert made["inputs"] == source["inputs"]
    assert f"edges/raw/_v1/{RAW_NAME}@3" in two.objects()
    (text,) = described(two, RAW_NAME)
    assert text == f"asked for by audit\n\nMetadata of {NAME}@2, corrected: added rows; removed yaer."
    assert "2026" not in text
    assert artifact.notes.description == text


def test_a_copy_has_its_origin_as_an_input_and_the_metadata_as_they_are(two):
    COPIED(two.client(), note="for the registry")
    made = COPIED.made(two)[1]
    source = manifests(two.objects())[2]
    assert made["metadata"] == source["metadata"]
    ((used),) = made["inputs"]
    assert (used["name"], used["version"], used["role"]) == (NAME, 2, "copied_from")
    assert f"edges/{RAW_NAME}/_v2/registry/churn@1" in two.objects()
    assert described(two, "registry/churn") == ["for the registry"]


@WAYS
def test_pointers_and_unknown_fields_are_kept_and_signatures_and_aliases_are_not(way, tmp_path):
    (tmp_path / "lake.csv").write_bytes(b"far away")
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact(NAME, b"first")
    client.register_pointer(NAME, str(tmp_path / "lake.csv"), metadata=dict(METADATA), evidence="full")
    key = "9999999997_v2.json"
    (manifest,) = (tmp_path / "store").rglob(key)
    manifest.chmod(0o644)
    manifest.write_bytes(json.dumps(json.loads(manifest.read_bytes()) | {"profile": [1]}).encode())
    client = MetaMLFlowClient(tmp_path / "store")
    client.set_alias(NAME, "best", 2)
    artifact = way(client)
    assert [place.uri for place in artifact.pointed] == [f"file://{tmp_path / 'lake.csv'}"]
    assert artifact.entries[0].uri == f"file://{tmp_path / 'lake.csv'}"
    assert artifact.read_bytes() == b"far away"
    assert artifact.aliases == ()
    assert artifact.signatures == []
    assert way.made(LocalWorld(tmp_path / "store"))[way.version]["profile"] == [1]
    assert not list((tmp_path / "store" / "blobs").rglob("*far*"))


@pytest.mark.parametrize("way", [CORRECTED, COPIED], ids=["corrected", "copied"])
@pytest.mark.parametrize("inline", [1, 1000])
@pytest.mark.parametrize("note", [None, "why"])
def test_it_takes_eight_calls_at_most_and_moves_no_content_for_any_size(way, inline, note, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    world = filled(MemoryWorld())
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    backend.calls.clear()
    way(client, note=note)
    seen = Counter(call.verb for call in backend.calls)
    assert seen.total() <= 8
    assert seen["put"] == 0
    assert not [call for call in backend.calls if call.key.startswith("blobs/") and call.verb != "list_objects"]


@WAYS
def test_of_ten_gibibytes_no_byte_is_read(way, tmp_path):
    """The content is a hole of that size under a digest that is not its own: whoever read it would complain."""
    world = filled(LocalWorld(tmp_path / "store"))
    size, sha256 = 10 * 2**30, "ab" * 32
    key, line = f"blobs/sha256/ab/{sha256}", f'["big",{size},"{sha256}"]\n'
    document = json.loads(world.objects()[manifest_key(2)]) | {"files": 1, "size": size}
    document |= {"entries": [{"key": key, "path": "big", "sha256": sha256, "size": size}]}
    document |= {"digest": f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"}
    world.remove(manifest_key(2))
    world.write(manifest_key(2), json.dumps(document).encode())
    world.write(key, b"")
    (world.root / key).chmod(0o644)
    os.truncate(world.root / key, size)
    backend = FaultyBackend(world.backend())
    artifact = way(client_on(backend, IMPATIENT))
    assert (artifact.size, artifact.entries[0].key) == (size, key)
    assert not [
        call for call in backend.calls if call.key.startswith("blobs/") and call.verb in {"open", "read", "put"}
    ]


@WAYS
def test_a_dry_run_writes_nothing_and_tells_what_would_be_done(two, way):
    before = two.objects()
    backend = FaultyBackend(two.backend())
    plan = way(client_on(backend, IMPATIENT), note="why", dry_run=True)
    assert two.objects() == before
    assert not {call.verb for call in backend.calls} & {"create", "put", "delete"}
    assert (plan.name, plan.version, plan.source, plan.publishes) == (way.name, way.version, f"{NAME}@2", True)
    made = way(two.client(), note="why")
    assert (made.version, made.digest, made.metadata) == (plan.version, plan.digest, plan.metadata)
    assert made.notes.description == plan.note
    again = way(two.client(), dry_run=True)
    assert (again.version, again.publishes, bool(again)) == (way.version, False, False)


# --- what is refused, and what is nothing -----------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_version_that_is_not_live_is_refused_and_nothing_is_published(two, way, dry_run):
    erase(two, 1)
    set_state(two, 2, 1, "pruned")
    before = two.objects()
    refused = {
        f"{NAME}@2": (ArtifactPrunedError, "was pruned"),
        f"{NAME}@1": (ArtifactErasedError, "was erased by officer"),
        f"{NAME}@9": (ArtifactNotFoundError, "has no version 9"),
        f"{NAME}@best": (ArtifactNotFoundError, "has no alias 'best'"),
        "teem/Model@1": (ArtifactNotFoundError, "there is no artifact"),
    }
    for ref, (error, said) in refused.items():
        with pytest.raises(error, match=said):
            way.call(two.client(), ref, dry_run=dry_run, **({"expected": 2} if way is CORRECTED else {}))
    assert two.objects() == before


@WAYS
@pytest.mark.parametrize("inline", [1, 1000])
def test_a_version_that_has_lost_content_is_not_published_again(world, way, inline, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    filled(world)
    named = manifests(world.objects())[2]
    world.remove((named.get("shards") or named["entries"])[-1]["key"])
    for dry_run in (True, False):
        with pytest.raises(IntegrityError, match="has lost content: blobs/"):
            way(world.client(), dry_run=dry_run)
    assert way.version not in way.made(world)


@WAYS
def test_a_store_that_does_not_exist_is_not_made(tmp_path, way):
    with pytest.raises(StoreNotFoundError):
        way(MetaMLFlowClient(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_wrong_arguments_are_refused_before_any_request(two):
    client = two.client()
    refused = [
        (lambda: client.update_metadata(f"{NAME}@2", {}), "nothing to change"),
        (lambda: client.update_metadata(f"{NAME}@2"), "nothing to change"),
        (lambda: client.update_metadata(f"{NAME}@2", {"a": 1}, remove=["a"]), "'a' is to be set as well"),
        (lambda: client.update_metadata(f"{NAME}@2", remove=[1]), "names of keys"),
        (lambda: client.update_metadata(f"{NAME}@2", remove=["no"]), "have no 'no'"),
        (lambda: client.update_metadata(f"{NAME}@2", {"a": 1}, expected=True), "expected is the number"),
        (lambda: client.update_metadata(f"{NAME}@2", {"a": 1}, note=""), r"^note: "),
        (lambda: client.update_metadata(f"{NAME}@2", {"a": b"bytes"}), "cannot be stored as JSON"),
        (lambda: client.copy(f"{NAME}@2", NAME), f"has the name {NAME} already"),
        (lambda: client.copy(f"{NAME}@2", "a@b"), "is no artifact name"),
    ]
    before = two.objects()
    for call, said in refused:
        with pytest.raises(InvalidInputError, match=said):
            call()
    assert two.objects() == before


def test_a_change_that_changes_nothing_publishes_nothing(two):
    before = two.objects()
    for ref in (f"{NAME}@2", NAME):
        assert two.client().update_metadata(ref, {"yaer": 2026}).version == 2
        assert not two.client().update_metadata(ref, {"yaer": 2026}, dry_run=True)
    assert two.objects() == before


def test_values_of_other_json_types_are_changes(two):
    client = two.client()
    client.register_artifact(NAME, b"x", metadata={"n": 1})
    assert client.update_metadata(f"{NAME}@3", {"n": True}).version == 4
    assert client.update_metadata(f"{NAME}@4", {"n": 1.0}).version == 5
    assert client.update_metadata(f"{NAME}@5", {"n": float("nan")}).version == 6
    assert client.update_metadata(f"{NAME}@6", {"n": float("nan")}).version == 6
    assert client.update_metadata(f"{NAME}@6", {"$n": None}, remove=["n"]).metadata == {"$n": None}


# --- again, and others at the same time -------------------------------------------------------------------------------


@WAYS
def test_a_second_call_makes_no_other_version_and_leaves_the_notes_as_others_changed_them(two, way):
    client = two.client()
    assert [way(client).version for _ in range(3)] == [way.version] * 3
    client.annotate(f"{way.name}@{way.version}", description="mine")
    way(client)
    assert client.notes(f"{way.name}@{way.version}").description == "mine"


@WAYS
def test_under_an_idempotency_key_the_first_call_counts_though_its_source_is_gone(two, way):
    denied = FailBefore(error=AccessDeniedError, verb="create", key="artifacts/*/_notes/*", times=None)
    with pytest.raises(AccessDeniedError):
        way(client_on(FaultyBackend(two.backend(), [denied]), IMPATIENT), idempotency_key="job", note="why")
    client = two.client()
    assert way(client, idempotency_key="job", note="why").notes.description.startswith("why")
    client.register_artifact(way.name, b"newer")
    set_state(two, 2, 1, "pruned")
    plan = way(client, idempotency_key="job", dry_run=True)
    assert (plan.version, plan.publishes) == (way.version, False)
    assert way(client, idempotency_key="job").version == way.version


def test_a_correction_of_an_older_version_would_hide_the_newest_and_needs_its_number(two):
    client = two.client()
    client.register_artifact(NAME, b"newer")
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match="expected version 2 to be the newest, but the newest version is 3"):
            CORRECTED(client, dry_run=dry_run)
        with pytest.raises(ConflictError, match="expected version 7"):
            CORRECTED(client, dry_run=dry_run, expected=7)
    assert CORRECTED(client, expected=3).version == 4
    assert assert_sound(two)[4] == FILES


def test_versions_that_were_given_up_are_not_newer(two):
    client = two.client()
    client.register_artifact(NAME, b"bad")
    set_state(two, 3, 1, "pruned")
    assert CORRECTED(client).version == 4
    client.register_artifact("registry/churn", b"bad")
    pruned = state_of(two.objects()["artifacts/registry/churn/_versions/9999999998_v1.json"], "pruned")
    two.write("artifacts/registry/churn/_versions/9999999998_v1.state-9999999998.json", pruned)
    assert COPIED(client, expected=0).version == 2


@WAYS
def test_of_those_who_expect_the_same_version_one_publishes(two, way):
    expected = {"expected": 2} if way is CORRECTED else {"expected": 0}
    rival = Meanwhile(
        verb="create",
        key=f"artifacts/{way.raw_name}/_versions/*",
        happens=lambda: two.client().register_artifact(way.name, b"faster"),
    )
    with pytest.raises(ConflictError, match="nothing was published"):
        way(client_on(FaultyBackend(two.backend(), [rival]), IMPATIENT), **expected)
    assert assert_sound(two, way.raw_name)[way.version] == {way.name.rpartition("/")[2]: b"faster"}


@WAYS
def test_of_two_who_make_the_same_call_at_once_one_publishes_and_both_get_it(two, way):
    other = Meanwhile(verb="create", key=f"artifacts/{way.raw_name}/_versions/*", happens=lambda: way(two.client()))
    assert way(client_on(FaultyBackend(two.backend(), [other]), IMPATIENT)).version == way.version
    assert max(way.made(two)) == way.version


@pytest.mark.full
def test_real_processes_that_copy_and_publish_at_once_each_get_what_they_asked_for(tmp_path):
    world = filled(LocalWorld(tmp_path / "store"))

    def publish(me: int) -> list[int]:
        client = MetaMLFlowClient(str(world.root))
        return [client.register_artifact(COPIED.name, b"%d %d" % (me, number)).version for number in range(4)]

    def copy(source: int) -> list[int]:
        client = MetaMLFlowClient(str(world.root))
        return [client.copy(f"{NAME}@{source}", COPIED.name).version for _ in range(4)]

    told = race(partial(publish, 1), partial(copy, 1), partial(publish, 2), partial(copy, 2))
    versions = assert_sound(world, COPIED.raw_name)
    assert all(versions[number] == {"Model": b"first"} for number in told[1])
    assert all(versions[number] == FILES for number in told[3])
    assert len(set(told[0] + told[2])) == 8


# --- killed, unanswered, late -----------------------------------------------------------------------------------------


@WAYS
def test_an_end_before_or_after_any_call_is_mended_by_the_same_call_again(way):
    prepared = filled(MemoryWorld()).bucket.objects
    rehearsal = FaultyBackend(filled(MemoryWorld()).backend())
    way(client_on(rehearsal, IMPATIENT), note="why")
    landed = set()
    for nth, when in itertools.product(range(1, len(rehearsal.calls) + 1), ("before", "after")):
        world = MemoryWorld()
        world.bucket.objects.update(prepared)
        ended = Crash(nth=nth, when=when, crash=simulated_crash)
        with pytest.raises(Crashed):
            way(client_on(FaultyBackend(world.backend(), [ended]), IMPATIENT), note="why")
        landed.add(way.version in way.made(world))
        artifact = way(world.client(), note="why")
        assert (artifact.version, artifact.notes.number) == (way.version, 1)
        assert artifact.notes.description.startswith("why")
        assert max(assert_sound(world, way.raw_name)) == way.version
    assert landed == {True, False}


@WAYS
@pytest.mark.parametrize("kind", [LostReply, FailBefore])
def test_an_answer_lost_at_any_call_makes_one_version_and_one_note(way, kind):
    rehearsal = FaultyBackend(filled(MemoryWorld()).backend())
    way(client_on(rehearsal, IMPATIENT), note="why")
    for nth in range(1, len(rehearsal.calls) + 1):
        world = filled(MemoryWorld())
        assert (
            way(client_on(FaultyBackend(world.backend(), [kind(nth=nth)]), IMPATIENT), note="why").version
            == way.version
        )
        assert max(assert_sound(world, way.raw_name)) == way.version
        assert len(described(world, way.raw_name)) == 1


@WAYS
def test_a_note_that_cannot_be_written_is_told_and_calling_again_adds_it(two, way):
    denied = FailBefore(error=AccessDeniedError, verb="create", key="artifacts/*/_notes/*", times=None)
    with pytest.raises(AccessDeniedError) as caught:
        way(client_on(FaultyBackend(two.backend(), [denied]), IMPATIENT), note="why")
    assert f"{way.name}@{way.version} was published all the same, without the note" in caught.value.hint
    assert way(two.client(), note="why").notes.description.startswith("why")


def old_versions() -> TimedWorld:
    """Two versions whose content is a month old; nothing but the manifests keeps it."""
    world = TimedWorld()
    client = world.client(world.clock())
    client.register_artifact(NAME, b"first")
    client.register_artifact(NAME, dict(FILES), metadata=dict(METADATA))
    world.age_blobs(timedelta(days=30))
    return world


def published_while(way, jumps: dict[int, timedelta], pruned_at: int | None = None):
    """Publish again while time passes, everything that may be collected is, and the source is pruned before a call."""
    world = old_versions()
    source = next(key for key in world.objects() if key.endswith("_v2.json"))
    passing = Passing(world=world, jumps=jumps, at_commit=LATE)
    prune = Meanwhile(nth=pruned_at or 0, happens=lambda: world.prune(source, timedelta()))
    backend = FaultyBackend(world.backend(), [*([prune] if pruned_at else []), passing])
    try:
        artifact = way(client_on(backend, world.clock()))
    except (ArtifactPrunedError, StorageError, IntegrityError, ConflictError):
        artifact = None
    world.let_pass(2 * GRACE)
    world.collect()
    assert artifact is None or artifact.verify("full")
    for name in (NAME, *([COPIED.name] if artifact and way is COPIED else [])):
        live = world.client(world.clock()).list_artifacts(name)
        assert all(version.verify("full") for version in live), "a live version lost its content"
    return artifact


@pytest.mark.full
@WAYS
@pytest.mark.parametrize("time", [HALF - MOMENT, HALF, GRACE + MOMENT, 5 * GRACE])
def test_any_time_may_pass_at_any_call_before_the_commit(way, time):
    assert all(published_while(way, {nth: time}) for nth in range(1, 12))


@WAYS
@pytest.mark.full
def test_the_source_may_be_pruned_at_any_call_while_any_time_passes_at_another(way):
    done = set()
    for pruned_at, late, time in itertools.product(range(1, 12), range(1, 12), (HALF, GRACE - MOMENT, GRACE + MOMENT)):
        done.add(published_while(way, {late: time}, pruned_at) is None)
    assert done == {True, False}


def test_content_of_a_copy_stays_when_its_original_is_pruned_and_collected():
    world = old_versions()
    artifact = COPIED(client_on(world.backend(), world.clock()))
    world.prune(next(key for key in world.objects() if f"{RAW_NAME}/_versions" in key and "_v2" in key), timedelta())
    world.let_pass(3 * GRACE)
    world.collect()
    assert artifact.verify("full")


# --- runs and links ---------------------------------------------------------------------------------------------------


@WAYS
def test_in_a_run_it_is_an_output_of_it_and_what_the_run_used_is_an_input(two, way):
    client = two.client()
    with client.run("mend") as run:
        client.get_artifact(f"{NAME}@1").read_bytes()
        artifact = way(client)
    assert artifact.run_id == run.id
    assert (NAME, 1, None) in {(used.name, used.version, used.role) for used in artifact.inputs}
    assert [output.name for output in client.get_run(run.id).end.outputs] == [way.name]
