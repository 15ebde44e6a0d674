"""However long a publish takes, and whatever a collection deletes meanwhile, what is committed is there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from worlds import NAME, MemoryWorld, assert_readable, assert_sound, manifests

from metamlflow.errors import OutcomeUnknownError
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_state
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import FailBefore, Fault, FaultyBackend, LostReply, MemoryBucket, StoredObject, client_on

GRACE = timedelta(days=7)
HALF = GRACE / 2
MOMENT = timedelta(minutes=1)
LATE = GRACE / 8  # how late a commit may land, after its checks were found fresh enough
CONTENT = {"a": b"old content", "b.csv": b"x\n1\n"}
_STATE = re.compile(r"(.*/\d{10}_v\d+)\.state-(\d+)\.json")
_COMMIT = re.compile(r"create artifacts/.*_v\d+\.json")


class TimedWorld(MemoryWorld):
    """A server and a client whose clocks a test moves, and a collection as ruthless as the rules allow."""

    def __init__(self) -> None:
        self.now = datetime(2031, 1, 1, tzinfo=UTC)
        super().__init__(MemoryBucket(clock=lambda: self.now))

    def elapsed(self) -> float:
        return self.now.timestamp()

    def clock(self, sleep: Callable[[float], Any] = lambda _: None) -> Clock:
        return Clock(now=lambda: self.now, elapsed=self.elapsed, sleep=sleep)

    def let_pass(self, time: timedelta) -> None:
        self.now += time

    def collect(self) -> None:
        """Delete every blob that is older than the grace and that no manifest names which protects what it names."""
        objects = self.bucket.objects
        given_up = {
            f"{match[1]}.json"
            for key, stored in objects.items()
            if (match := _STATE.fullmatch(key)) and self.now - stored.modified > GRACE
        }
        named: set[str] = set()
        for key, data in self.objects().items():
            if "/_versions/" in key and not _STATE.fullmatch(key) and key not in given_up:
                named |= set(re.findall(r"blobs/sha256/[^\"]+", data.decode()))
        for key in [key for key in objects if key.startswith("blobs/") and key not in named]:
            if self.now - objects[key].modified > GRACE:
                del objects[key]

    def age_blobs(self, age: timedelta) -> None:
        for key, stored in list(self.bucket.objects.items()):
            if key.startswith("blobs/"):
                self.bucket.objects[key] = StoredObject(stored.data, self.now - age)

    def prune(self, key: str, ago: timedelta) -> None:
        data = encode_state("pruned", digest_of(self.objects()[key]), "f" * 32, self.now - ago)
        self.bucket.objects[key.replace(".json", ".state-9999999998.json")] = StoredObject(data, self.now - ago)


@dataclass(frozen=True, kw_only=True)
class Passing(Fault):
    """Before each call a collection runs; before some of them time passes first.

    Attributes:
        jumps: how much time, by the number of the call.
        at_commit: how much time before a commit, if not what ``jumps`` says.
    """

    times: None = None
    world: TimedWorld
    jumps: dict[int, timedelta]
    at_commit: timedelta | None = None

    def strike(self, apply: Callable[[], Any], where: str, around: Any) -> Any:
        jump = self.jumps.get(len(around.calls), timedelta())
        if self.at_commit is not None and _COMMIT.fullmatch(where):
            jump = self.at_commit
        self.world.let_pass(jump)
        self.world.collect()
        return apply()


def _abandoned(age: timedelta) -> Callable[[TimedWorld], None]:
    """Blobs that a publish which never committed left behind."""

    def prepare(world: TimedWorld) -> None:
        client = world.client(world.clock())
        client.register_artifact("other", b"unrelated")
        client.register_artifact("other", dict(CONTENT))
        world.remove(next(key for key in world.objects() if key.endswith("_v2.json")))
        world.age_blobs(age)

    return prepare


def _named(*, pruned_ago: timedelta | None = None) -> Callable[[TimedWorld], None]:
    """Blobs a month old that the last version names; or did, for it was pruned."""

    def prepare(world: TimedWorld) -> None:
        world.client(world.clock()).register_artifact(NAME, dict(CONTENT))
        world.age_blobs(timedelta(days=30))
        if pruned_ago is not None:
            world.prune(next(key for key in world.objects() if key.endswith("_v1.json")), pruned_ago)

    return prepare


WORLDS = {
    "nothing-there": lambda world: None,
    "abandoned-just-now": _abandoned(timedelta()),
    "abandoned-almost-half-the-grace-ago": _abandoned(HALF - MOMENT),
    "abandoned-half-the-grace-ago": _abandoned(HALF),
    "abandoned-almost-the-grace-ago": _abandoned(GRACE - MOMENT),
    "abandoned-long-ago": _abandoned(3 * GRACE),
    "named": _named(),
    "named-and-pruned-just-now": _named(pruned_ago=timedelta()),
    "named-and-pruned-almost-the-grace-ago": _named(pruned_ago=GRACE - MOMENT),
}
CALLS = range(1, 16)


def publish_while(
    prepare: Callable, jumps: dict[int, timedelta], *, at_commit: timedelta | None = None
) -> FaultyBackend:
    world = TimedWorld()
    prepare(world)
    before = len(manifests(world.objects()))
    passing = Passing(world=world, jumps=jumps, at_commit=at_commit)
    backend = FaultyBackend(world.backend(), [passing])
    artifact = client_on(backend, world.clock()).register_artifact(NAME, dict(CONTENT))
    world.let_pass(2 * GRACE)
    world.collect()
    assert artifact.version == before + 1
    assert artifact.verify("full")
    pruned = any(".state-" in key for key in world.objects())
    if not pruned:
        assert_sound(world)
    return backend


@pytest.mark.full
@pytest.mark.parametrize("prepare", WORLDS.values(), ids=WORLDS)
def test_half_the_grace_may_pass_at_any_call(prepare):
    for nth in CALLS:
        publish_while(prepare, {nth: HALF})


@pytest.mark.full
@pytest.mark.parametrize("prepare", WORLDS.values(), ids=WORLDS)
def test_any_time_may_pass_at_any_call_before_the_commit(prepare):
    for nth, time in itertools.product(CALLS, (HALF + MOMENT, GRACE, GRACE + MOMENT, 5 * GRACE)):
        publish_while(prepare, {nth: time}, at_commit=LATE)


@pytest.mark.full
@pytest.mark.parametrize("prepare", WORLDS.values(), ids=WORLDS)
def test_time_may_pass_at_any_two_calls(prepare):
    for first, second in itertools.combinations(CALLS, 2):
        publish_while(prepare, {first: 3 * GRACE / 8, second: 3 * GRACE / 8}, at_commit=LATE)


def test_a_publish_older_than_half_the_grace_starts_its_checks_again():
    """Time passes between the last blob and the commit: what was deleted by then is stored anew."""
    backend = publish_while(WORLDS["nothing-there"], {8: 2 * GRACE}, at_commit=LATE)
    puts = [call.key for call in backend.calls if call.verb == "put"]
    assert len(puts) == 2 * len(CONTENT)
    assert len([call for call in backend.calls if _COMMIT.fullmatch(" ".join(call))]) == 1


def test_a_publish_that_takes_a_quarter_of_the_grace_checks_once():
    backend = publish_while(WORLDS["nothing-there"], {8: GRACE / 4})
    assert len([call for call in backend.calls if call.verb == "put"]) == len(CONTENT)


def test_content_that_cannot_be_relied_on_is_stored_under_a_key_of_its_own():
    world = TimedWorld()
    _abandoned(HALF)(world)
    abandoned = {key for key in world.objects() if key.startswith("blobs/")}
    world.client(world.clock()).register_artifact(NAME, dict(CONTENT))
    entries = manifests(world.objects())[1]["entries"]
    assert not {entry["key"] for entry in entries} & abandoned
    assert all(re.search(r"/[0-9a-f]{64}-[0-9a-f]{32}(\.csv)?$", entry["key"]) for entry in entries)
    assert [world.bucket.objects[key].modified for key in abandoned] == [world.now - HALF] * 3, "nothing is refreshed"


def test_unchanged_content_under_fresh_keys_is_still_unchanged():
    """Two publishes that both stored old content under keys of their own have registered the same."""
    world = TimedWorld()
    _abandoned(HALF)(world)
    rival = world.client(world.clock())
    raced = FaultyBackend(world.backend())
    create = raced.inner.create

    def create_after_the_rival(key: str, data: bytes) -> None:
        if _COMMIT.fullmatch(f"create {key}"):
            raced.inner.create = create
            rival.register_artifact(NAME, dict(CONTENT))
        create(key, data)

    raced.inner.create = create_after_the_rival
    artifact = client_on(raced, world.clock()).register_artifact(NAME, dict(CONTENT), if_unchanged="reuse")
    assert artifact.version == 1
    assert list(manifests(world.objects())) == [1]


@pytest.mark.parametrize("fault", [FailBefore, LostReply])
def test_a_commit_is_not_tried_again_once_its_checks_are_too_old(fault):
    """The machine was suspended while the commit was under way: what the manifest names may be gone."""
    world = TimedWorld()
    slept = []

    def suspend(seconds: float) -> None:
        slept.append(seconds)
        world.let_pass(2 * GRACE)
        world.collect()

    plan = [
        fault(verb="create", key="artifacts/*_v1.json"),
        FailBefore(verb="read", key="artifacts/*_v1.json"),
    ]
    client = client_on(FaultyBackend(world.backend(), plan), world.clock(suspend))
    with pytest.raises(OutcomeUnknownError) as caught:
        client.register_artifact(NAME, dict(CONTENT), idempotency_key="job")
    assert (caught.value.version, len(slept)) == (1, 1)
    again = world.client(world.clock()).register_artifact(NAME, dict(CONTENT), idempotency_key="job")
    assert again.version == 1
    assert again.verify()
    assert_readable(world)


def test_reliance_on_a_shard_of_the_last_version_holds_under_a_fresh_key_too(monkeypatch):
    """Unchanged shards are not sent again, whatever their keys."""
    world = TimedWorld()
    client = world.client(world.clock())
    client.register_artifact(NAME, dict(CONTENT))
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 1)
    for _ in range(2):  # the second time the shard is there already, and too old
        client.register_artifact(NAME, dict(CONTENT))
        abandoned = next(key for key in world.objects() if key.endswith("_v2.json"))
        world.age_blobs(HALF)
        world.remove(abandoned)
    client.register_artifact(NAME, dict(CONTENT))
    assert "-" in manifests(world.objects())[2]["shards"][0]["key"].rpartition("/")[2]
    log = FaultyBackend(world.backend())
    assert client_on(log, world.clock()).register_artifact(NAME, dict(CONTENT), if_unchanged="reuse").version == 2
    assert not [call for call in log.calls if call.verb == "put"]
