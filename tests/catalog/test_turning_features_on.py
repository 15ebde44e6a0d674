"""Turning features on: the next number of a series, each list with all that the one before had."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from feature_lists import key_of, list_of, put
from metamlflow import compare, migrate
from metamlflow.errors import ConflictError, InvalidInputError, StorageError, StoreFormatError
from metamlflow.format import features as features_module
from metamlflow.format.features import StoreFeatures
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.turn_on import turn_on, wait_before
from metamlflow.store.catalog.unknown import refuse_unknown
from metamlflow.testing import (
    FalseConflict,
    FaultyBackend,
    LostReply,
    MemoryBackend,
    MemoryBucket,
    client_on,
)

PATIENT = Clock(sleep=lambda _: None)


class Days:
    """A server's clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def bucket(days) -> MemoryBucket:
    bucket = MemoryBucket(clock=days)
    client_on(MemoryBackend(bucket)).register_artifact("a", b"1")
    return bucket


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """What a library of tomorrow knows. Call it to know something else."""

    def know(read: tuple[str, ...] = (), write: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(features_module, "KNOWN", StoreFeatures(read, write))

    know(("packs", "zstd"), ("packs", "protections"))
    return know


def store_on(bucket: MemoryBucket, *faults) -> Store:
    backend = FaultyBackend(MemoryBackend(bucket), faults)
    return Store(backend.url, {}, backend=backend, clock=PATIENT)


def lists(bucket: MemoryBucket) -> dict[str, dict]:
    found = {key: json.loads(stored.data) for key, stored in bucket.objects.items() if key.startswith("features/")}
    return dict(sorted(found.items(), reverse=True))


def names(bucket: MemoryBucket) -> list[tuple[list[str], list[str]]]:
    return [(document["read"], document["write"]) for document in lists(bucket).values()]


def test_each_list_has_what_the_one_before_had(bucket):
    assert turn_on(store_on(bucket), StoreFeatures(("packs",), ("packs",))) == StoreFeatures(("packs",), ("packs",))
    turn_on(store_on(bucket), StoreFeatures((), ("protections",)))
    assert list(lists(bucket)) == [key_of(1), key_of(2)]
    assert names(bucket) == [(["packs"], ["packs"]), (["packs"], ["packs", "protections"])]
    store = store_on(bucket)
    store.writable_marker()
    assert store.features == StoreFeatures(("packs",), ("packs", "protections"))
    refuse_unknown(store)


def test_what_is_on_already_takes_no_record(bucket):
    for wanted in (StoreFeatures(("packs",)), StoreFeatures(("packs",)), StoreFeatures()):
        turn_on(store_on(bucket), wanted)
    assert list(lists(bucket)) == [key_of(1)]


def test_a_client_that_turns_one_on_goes_by_it_at_once(bucket):
    store = store_on(bucket)
    turn_on(store, StoreFeatures(("packs",)))
    assert store.features == StoreFeatures(("packs",))


def test_the_fields_of_a_program_that_knows_more_are_kept(bucket):
    put(bucket, key_of(1), list_of(("packs",), delete=["packs"], why={"by": "ada"}))
    turn_on(store_on(bucket), StoreFeatures(write=("protections",)))
    added = lists(bucket)[key_of(2)]
    assert (added["delete"], added["why"]) == (["packs"], {"by": "ada"})
    assert added["record_id"] != lists(bucket)[key_of(1)]["record_id"]


def test_nobody_turns_on_what_it_does_not_know(bucket, known):
    for wanted in (StoreFeatures(("time-travel",)), StoreFeatures((), ("zstd",))):
        with pytest.raises(InvalidInputError, match="unknown feature"):
            turn_on(store_on(bucket), wanted)
    put(bucket, key_of(1), list_of(write=("time-travel",)))
    with pytest.raises(StoreFormatError, match="time-travel"):
        turn_on(store_on(bucket), StoreFeatures(("packs",)))
    assert list(lists(bucket)) == [key_of(1)]


FAULTS = {
    "the reply is lost": [LostReply(verb="create", key="features/*")],
    "its own record is called a conflict": [FalseConflict(key="features/*")],
    "the reply is lost, and the look after it": [
        LostReply(verb="create", key="features/*"),
        LostReply(verb="read", key="features/*"),
    ],
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_unclear_answer_ends_in_one_record(bucket, name):
    turn_on(store_on(bucket, *FAULTS[name]), StoreFeatures(("packs",)))
    assert names(bucket) == [(["packs"], [])]


def test_another_s_list_that_comes_between_is_taken_along(bucket):
    class Between(FalseConflict):
        def strike(self, apply, where, around):
            turn_on(store_on(bucket), StoreFeatures(("zstd",)))
            return apply()

    turn_on(store_on(bucket, Between(key="features/*")), StoreFeatures(("packs",)))
    assert names(bucket) == [(["zstd"], []), (["packs", "zstd"], [])]


def test_another_s_feature_that_comes_between_and_is_not_known_stops_it(bucket):
    class Between(FalseConflict):
        def strike(self, apply, where, around):
            put(bucket, key_of(1), list_of(write=("time-travel",)))
            return apply()

    with pytest.raises(StoreFormatError, match="time-travel"):
        turn_on(store_on(bucket, Between(key="features/*")), StoreFeatures(("packs",)))
    assert list(lists(bucket)) == [key_of(1)]


def test_listings_that_never_show_the_record_end_in_an_error(bucket):
    class Blind(MemoryBackend):
        def list_objects(self, prefix="", *, after="", limit=None):
            return iter(()) if prefix == "features/" else super().list_objects(prefix, after=after, limit=limit)

    backend = Blind(bucket)
    with pytest.raises(StorageError, match="listings do not show it"):
        turn_on(Store(backend.url, {}, backend=backend, clock=PATIENT), StoreFeatures(("packs",)))


def test_no_more_records_are_made_than_who_deletes_reads(bucket):
    put(bucket, key_of(1_000), list_of())
    with pytest.raises(ConflictError, match="1,000"):
        turn_on(store_on(bucket), StoreFeatures(("packs",)))
    for number in range(1, 1_002):
        put(bucket, key_of(number), list_of())
    store_on(bucket).marker()
    with pytest.raises(StoreFormatError, match="1,001 records"):
        refuse_unknown(store_on(bucket))


# --- how long to wait -------------------------------------------------------------------------------------------------


def test_it_may_be_relied_on_a_grace_after_the_first_list_that_has_it(bucket, days):
    packs, both = StoreFeatures(("packs",)), StoreFeatures(("packs",), ("protections",))
    store = store_on(bucket)
    assert wait_before(store, packs) == timedelta(days=7)
    turn_on(store, packs)
    days.pass_by(days=5)
    turn_on(store, both)
    assert wait_before(store, packs) == timedelta(days=2)
    assert wait_before(store, both) == timedelta(days=7)
    days.pass_by(days=2)
    assert wait_before(store, packs) == timedelta(0)
    assert wait_before(store, both) == timedelta(days=5)


# --- to another store -------------------------------------------------------------------------------------------------


def test_a_migration_turns_them_on_and_brings_nothing_else_before_clients_know(bucket, days):
    there = MemoryBucket(clock=days)
    client_on(MemoryBackend(there)).register_artifact("b", b"2")
    put(bucket, key_of(1), list_of(("packs",), ("protections",)))
    before = set(there.objects)

    def move():
        return migrate(client_on(MemoryBackend(bucket)), client_on(MemoryBackend(there)))

    with pytest.raises(ConflictError, match="do not know them yet") as caught:
        move()
    assert caught.value.hint == "Migrate again in 7 days, 0:00:00."
    assert set(there.objects) - before == {key_of(1)}
    assert names(there) == [(["packs"], ["protections"])]
    days.pass_by(days=7)
    report = move()
    assert [(version.name, version.status) for version in report.versions] == [("a", "migrated")]
    assert client_on(MemoryBackend(there)).get_artifact("a").read_bytes() == b"1"
    found = compare(client_on(MemoryBackend(bucket)), client_on(MemoryBackend(there)))
    assert {difference.key.partition("/")[2].partition("/")[0] for difference in found} <= {"b.json", "b", "sha256"}


def test_a_dry_run_turns_nothing_on(bucket, days):
    there = MemoryBucket(clock=days)
    put(bucket, key_of(1), list_of(("packs",)))
    report = migrate(client_on(MemoryBackend(bucket)), client_on(MemoryBackend(there)), dry_run=True)
    assert report.dry_run
    assert there.objects == {}


def test_the_destination_s_own_features_stay(bucket, days):
    there = MemoryBucket(clock=days)
    client_on(MemoryBackend(there)).create_store()
    put(there, key_of(1), list_of(("zstd",)))
    put(bucket, key_of(1), list_of(("packs",)))
    with pytest.raises(ConflictError):
        migrate(client_on(MemoryBackend(bucket)), client_on(MemoryBackend(there)))
    assert names(there) == [(["zstd"], []), (["packs", "zstd"], [])]


class _TurnsOn(MemoryBackend):
    """A destination where a feature is turned on, here or at the source, an hour after some object appeared."""

    def __init__(self, bucket: MemoryBucket, after: str, where: MemoryBucket) -> None:
        super().__init__(bucket)
        self.seconds, self.after, self.where = 0.0, after, where

    def _happens(self, key: str) -> None:
        if self.after in key and not self.seconds:
            self.seconds = 3_600.0
            put(self.where, key_of(1), list_of(write=("time-travel",)))

    def create(self, key, data):
        super().create(key, data)
        self._happens(key)

    def put(self, key, blob):
        created = super().put(key, blob)
        self._happens(key)
        return created


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize(
    ("after", "migrated"),
    {"_v2.json": 2, "blobs/sha256/4e/": 2, "_v4.json": 4}.items(),
    ids=["a version", "the content of one", "the last version"],
)
def test_a_feature_that_is_turned_on_while_a_migration_runs_stops_the_rest_of_it(bucket, days, side, after, migrated):
    client = client_on(MemoryBackend(bucket))
    for number in (2, 3, 4):
        client.register_artifact("a", b"%d" % number)  # the digest of b"3" begins with 4e
    client.set_alias("a", "best", 1)
    there = MemoryBucket(clock=days)
    backend = _TurnsOn(there, after, bucket if side == "source" else there)
    clock = Clock(elapsed=lambda: backend.seconds, sleep=lambda _: None)
    report = migrate(client_on(MemoryBackend(bucket), clock), client_on(backend, clock))
    told = {version.version: version.status for version in report.versions}
    assert [told[number] for number in range(1, migrated + 1)] == ["migrated"] * migrated
    assert len([key for key in there.objects if "/_versions/" in key]) == migrated
    if migrated < 4:
        assert told[migrated + 1] == "failed"
        assert "time-travel" in next(v.reason for v in report.versions if v.version == migrated + 1)
    assert [key for key in there.objects if "/_aliases/" in key] == []
    assert any("time-travel" in problem for problem in report.problems)
