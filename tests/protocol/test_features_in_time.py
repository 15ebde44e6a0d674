"""When a client looks at a store's features: beside the marker, at stated moments again, and at no cost in between."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from interleaving import Meanwhile
from worlds import IMPATIENT, NAME, LocalWorld, MemoryWorld, do_not_wait, manifest_key

from feature_lists import everything_in, key_of, list_of, put
from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import (
    AccessDeniedError,
    ArtifactPrunedError,
    LineageWarning,
    StorageUnavailableError,
    StoreFormatError,
    StoreNotFoundError,
)
from metamlflow.format.manifests import digest_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FailBefore, FaultyBackend, LostReply, MemoryBackend, client_on

GRACE = 7 * 24 * 3600
UNKNOWN = list_of(read=("packs",))
FOR_WRITERS = list_of(write=("protections",))


@dataclass
class Hours:
    """Time that a test lets pass."""

    seconds: float = 1e6

    def clock(self) -> Clock:
        return Clock(elapsed=lambda: self.seconds, sleep=do_not_wait)


@pytest.fixture
def world() -> MemoryWorld:
    world = MemoryWorld()
    world.client().register_artifact(NAME, b"1")
    return world


# --- the first call ---------------------------------------------------------------------------------------------------


@dataclass
class _Together(MemoryBackend):
    """A bucket whose first requests are answered once all of them were made: a chain of them would never end."""

    def __init__(self, bucket: Any, parties: int) -> None:
        super().__init__(bucket)
        self.barrier = threading.Barrier(parties, timeout=20)
        self.left = parties
        self.lock = threading.Lock()

    def _meet(self) -> None:
        with self.lock:
            self.left -= 1
            waits = self.left >= 0
        if waits:
            self.barrier.wait()

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self._meet()
        return super().read(key, start, end)

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Any:
        self._meet()
        return super().list_objects(prefix, after=after, limit=limit)


FIRST: dict[str, tuple[Callable[[Any], Any], int]] = {
    "get": (lambda c: c.get_artifact(NAME), 3),
    "register": (lambda c: c.register_artifact(NAME, b"2"), 3),
    "list": (lambda c: c.list_names(), 2),
    "alias": (lambda c: c.set_alias(NAME, "best", 1), 2),
}


@pytest.mark.parametrize("call", FIRST)
def test_the_features_are_listed_while_the_marker_and_the_name_are_asked_for(world, call):
    operation, together = FIRST[call]
    operation(client_on(_Together(world.bucket, together), IMPATIENT))


def verbs(calls: list[Any]) -> Counter[str]:
    return Counter(call.verb for call in calls if call.key.startswith("features/"))


def test_opening_takes_one_listing_and_one_read_more_only_where_there_is_a_list(world):
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.get_artifact(NAME)
    client.register_artifact(NAME, b"2")
    client.register_artifact("new", b"2")
    client.set_alias(NAME, "best", 1)
    assert verbs(backend.calls) == {"list_objects": 2}, (
        "one for opening, and one with the look of an alias at the marker"
    )
    for number in range(1, 4):
        world.write(key_of(number), list_of())
    backend = FaultyBackend(world.backend())
    client_on(backend, IMPATIENT).get_artifact(NAME)
    assert verbs(backend.calls) == {"list_objects": 1, "read": 1}


class _Counted:
    """Counts what is asked of a backend of a folder, in place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from metamlflow_local.backend import LocalBackend

        self.calls: list[tuple[str, str]] = []
        for verb in ("read", "list_objects", "create"):
            monkeypatch.setattr(LocalBackend, verb, self._counting(verb, getattr(LocalBackend, verb)))

    def _counting(self, verb: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def counting(backend: Any, key: str = "", *args: Any, **options: Any) -> Any:
            self.calls.append((verb, key))
            return inner(backend, key, *args, **options)

        return counting


def test_on_a_disk_they_are_listed_after_the_marker_and_again_with_it(tmp_path, monkeypatch):
    MetaMLFlowClient(tmp_path / "store").register_artifact("a", b"1")
    counted = _Counted(monkeypatch)
    MetaMLFlowClient(tmp_path / "none").storage_uri  # noqa: B018 (an opened place without a look)
    client = MetaMLFlowClient(tmp_path / "store")
    client.list_names()
    assert counted.calls == [("read", "metamlflow.json"), ("list_objects", "features/"), ("list_objects", "names/")]
    with pytest.raises(StoreNotFoundError):
        MetaMLFlowClient(tmp_path / "none").list_names()
    assert ("list_objects", "features/") not in counted.calls[3:], "without a marker there is nothing to know"


class _Backwards(MemoryBackend):
    """A bucket that lists in no order that anybody promised."""

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Any:
        found = list(super().list_objects(prefix, after=after, limit=limit))
        return iter(found[::-1] if prefix == "features/" else found)


def test_the_newest_list_is_found_in_whatever_order_a_listing_comes(world):
    for number in range(1, 30):
        world.write(key_of(number), list_of(read=("packs",) if number == 29 else ()))
    with pytest.raises(StoreFormatError, match=key_of(29)):
        client_on(_Backwards(world.bucket), IMPATIENT).get_artifact(NAME)


def test_more_lists_than_a_page_and_more_of_something_else_hide_nothing(world):
    for number in range(150):
        world.write(f"features/{number:010d}.txt", b"?")
    world.write(key_of(7), UNKNOWN)
    with pytest.raises(StoreFormatError, match=key_of(7)):
        world.client().get_artifact(NAME)
    for number in range(8, 308):
        world.write(key_of(number), list_of(read=("zstd",)))
    with pytest.raises(StoreFormatError, match=key_of(307)):
        world.client().get_artifact(NAME)


@pytest.mark.parametrize("need", [UNKNOWN, FOR_WRITERS], ids=["read", "write"])
@pytest.mark.parametrize("call", ["register", "alias"])
def test_a_store_with_an_unknown_feature_is_not_even_probed(world, call, need):
    world.write(key_of(1), need)
    backend = FaultyBackend(world.backend())
    with pytest.raises(StoreFormatError, match="unknown feature"):
        FIRST[call][0](client_on(backend, IMPATIENT))
    assert {made.verb for made in backend.calls} <= {"read", "list_objects", "stat"}


@pytest.mark.parametrize("need", [UNKNOWN, FOR_WRITERS, b"{"], ids=["read", "write", "damaged"])
def test_the_doctor_does_not_probe_such_a_store_either(world, need):
    world.write(key_of(1), need)
    backend = FaultyBackend(world.backend())
    checks = {check.name: check for check in client_on(backend, IMPATIENT).doctor().checks}
    assert {made.verb for made in backend.calls} <= {"read", "list_objects", "stat"}
    assert checks["conditional-writes"].verdict == "unknown"
    assert "does not know the store's features" in checks["conditional-writes"].found


# --- later ------------------------------------------------------------------------------------------------------------


def test_a_reader_looks_again_after_a_sixteenth_of_the_grace_and_not_before(world):
    time = Hours()
    backend = FaultyBackend(world.backend())
    client = client_on(backend, time.clock())
    artifact = client.get_artifact(NAME)
    world.write(key_of(1), UNKNOWN)
    time.seconds += GRACE / 16 - 1
    assert client.get_artifact(NAME, 1).read_bytes() == b"1"
    client.list_artifacts()
    assert verbs(backend.calls) == {"list_objects": 1}
    time.seconds += 2
    for call in (
        lambda: client.get_artifact(NAME),
        lambda: client.get_artifact(NAME, 1),
        client.list_artifacts,
        client.list_names,
        lambda: client.history(NAME),
        lambda: client.lineage(artifact),
        artifact.upstream,
    ):
        with pytest.raises(StoreFormatError, match="packs"):
            call()
    assert artifact.read_bytes() == b"1", "its manifest was read before, and its bytes are proven by that"


def test_a_reader_looks_again_also_where_it_would_read_no_manifest(world):
    time = Hours()
    client = client_on(world.backend(), time.clock())
    client.get_artifact(NAME)
    digest = digest_of(world.objects()[manifest_key(1)])
    state = f"{manifest_key(1).removesuffix('json')}state-9999999998.json"
    world.write(state, list_of(state="pruned", manifest_digest=digest))
    with pytest.raises(ArtifactPrunedError):
        client.get_artifact(NAME)
    world.write(key_of(1), UNKNOWN)
    time.seconds += GRACE / 16 + 1
    with pytest.raises(StoreFormatError, match="packs"):
        client.get_artifact(NAME)


def test_a_long_call_looks_again_between_two_manifests(world):
    time = Hours()
    world.client().register_artifact("other", b"1")
    client = client_on(world.backend(), time.clock())
    client.list_names()
    assert load_manifest(client._store, ArtifactName("other"), 1)
    world.write(key_of(1), UNKNOWN)
    time.seconds += GRACE / 16 + 1
    with pytest.raises(StoreFormatError, match="packs"):
        load_manifest(client._store, ArtifactName(NAME), 1)


def test_a_reader_who_finds_nothing_new_goes_on_for_another_sixteenth(world):
    time = Hours()
    backend = FaultyBackend(world.backend())
    client = client_on(backend, time.clock())
    for _ in range(3):
        client.get_artifact(NAME)
        client.list_names()
        time.seconds += GRACE / 16 + 1
    assert verbs(backend.calls) == {"list_objects": 3}


def test_a_reader_goes_on_where_only_writers_must_know(world):
    time = Hours()
    client = client_on(world.backend(), time.clock())
    client.get_artifact(NAME)
    world.write(key_of(1), FOR_WRITERS)
    time.seconds += GRACE
    assert client.get_artifact(NAME).read_bytes() == b"1"
    with pytest.raises(StoreFormatError, match="protections"):
        client.register_artifact(NAME, b"2")
    assert client.get_artifact(NAME).version == 1


def test_a_writer_looks_again_after_a_minute(world):
    time = Hours()
    client = client_on(world.backend(), time.clock())
    client.register_artifact(NAME, b"2")
    world.write(key_of(1), FOR_WRITERS)
    time.seconds += 59
    assert client.register_artifact(NAME, b"3").version == 3, "whoever turns one on waits a grace for such as this"
    time.seconds += 2
    before = world.objects()
    with pytest.raises(StoreFormatError, match="protections"):
        client.register_artifact(NAME, b"4")
    assert world.objects() == before


@pytest.mark.parametrize("target", [NAME, f"{NAME}@1"])
def test_notes_are_not_written_by_a_client_that_has_just_seen_a_feature_for_writers(world, target):
    client = client_on(world.backend(), Hours().clock())
    client.annotate(target, title="before")
    world.write(key_of(1), FOR_WRITERS)
    before = world.objects()
    with pytest.raises(StoreFormatError, match="protections"):
        client.annotate(target, title="after")
    assert world.objects() == before
    assert client.notes(target).title == "before"


def test_a_publish_whose_listing_makes_it_look_again_puts_nothing_where_it_must_not(world):
    client = client_on(world.backend(), Hours().clock())
    client.register_artifact(NAME, b"2")
    for version in (1, 2):
        world.remove(manifest_key(version))
    world.write(key_of(1), FOR_WRITERS)
    before = world.objects()
    with pytest.raises(StoreFormatError, match="protections"):
        client.register_artifact(NAME, b"3", idempotency_key="job")
    assert world.objects() == before


@pytest.mark.parametrize("need", [UNKNOWN, FOR_WRITERS], ids=["read", "write"])
def test_a_writer_on_a_disk_sees_it_at_its_next_publish(tmp_path, need):
    client = LocalWorld(tmp_path / "store").client()
    client.register_artifact(NAME, b"1")
    put(tmp_path / "store", key_of(1), need)
    before = everything_in(tmp_path / "store")
    for write in (lambda: client.register_artifact(NAME, b"2"), lambda: client.set_alias(NAME, "best", 1)):
        with pytest.raises(StoreFormatError, match="unknown feature"):
            write()
    assert everything_in(tmp_path / "store") == before


@pytest.mark.parametrize("need", [UNKNOWN, FOR_WRITERS], ids=["read", "write"])
def test_a_publish_that_takes_long_looks_again_before_its_manifest(world, need):
    time = Hours()

    def happens() -> None:
        time.seconds += 3_600
        world.write(key_of(1), need)

    client = client_on(FaultyBackend(world.backend(), [Meanwhile(verb="put", happens=happens)]), time.clock())
    with pytest.raises(StoreFormatError, match="unknown feature"):
        client.register_artifact(NAME, b"2")
    assert [key for key in world.objects() if "_versions" in key] == [key for key in world.objects() if "_v1" in key]


def test_a_listing_that_comes_late_takes_nothing_back(world):
    """Of two threads that look, the slower one may have been answered before the feature was turned on."""
    client = client_on(world.backend(), IMPATIENT)
    client.get_artifact(NAME)
    store: Store = client._store
    empty = store.features
    world.write(key_of(1), UNKNOWN)
    with pytest.raises(StoreFormatError):
        store.recheck()
    store._features.hold(empty, store.clock.elapsed())
    with pytest.raises(StoreFormatError, match="packs"):
        client.list_names()


def test_a_pickled_client_knows_nothing_and_looks_itself(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact("a", b"1")
    put(tmp_path / "store", key_of(1), UNKNOWN)
    with pytest.raises(StoreFormatError, match="packs"):
        pickle.loads(pickle.dumps(client)).list_names()


def test_a_repair_that_takes_long_looks_again_before_each_object(world, tmp_path):
    time = Hours()
    files = {f"{number}.bin": bytes([number]) * 50 for number in range(200)}
    world.client().register_artifact("folder", dict(files))
    for path, content in files.items():
        (tmp_path / path).write_bytes(content)
    for key in [key for key, data in world.objects().items() if data in set(files.values())]:
        world.remove(key)

    def happens() -> None:
        time.seconds += 3_600
        world.write(key_of(1), FOR_WRITERS)

    backend = FaultyBackend(world.backend(), [Meanwhile(verb="put", happens=happens)])
    report = client_on(backend, time.clock()).repair("folder@1", tmp_path)
    there = [data for data in world.objects().values() if data in files.values()]
    assert len(there) == len(report.repaired) < 200, "those that were under way at that moment"
    assert {found.reason.partition(":\n")[2] for found in report.damaged} == {
        '  write[0]: unknown feature "protections"'
    }


def test_an_alias_that_takes_long_is_not_set(world):
    time = Hours()

    def happens() -> None:
        time.seconds += 3_600
        world.write(key_of(1), FOR_WRITERS)

    backend = FaultyBackend(world.backend(), [Meanwhile(verb="read", key="*_v1.json", happens=happens)])
    with pytest.raises(StoreFormatError, match="protections"):
        client_on(backend, time.clock()).set_alias(NAME, "best", 1)
    assert [key for key in world.objects() if "_aliases" in key] == []


def test_a_relocation_that_takes_long_is_not_recorded(world, tmp_path):
    time = Hours()
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_bytes(b"x")
    old, new = (f"file://{tmp_path}/{folder}/" for folder in ("old", "new"))

    def happens() -> None:
        time.seconds += 3_600
        world.write(key_of(1), FOR_WRITERS)

    def client(*faults: Meanwhile) -> MetaMLFlowClient:
        backend = FaultyBackend(world.backend(), faults)
        store = Store(backend.url, {}, backend=backend, clock=time.clock(), pointer_policy={"file": "allow"})
        return MetaMLFlowClient._on(store)

    client().register_pointer("pointed", f"{old}a.csv", evidence="full")
    with pytest.raises(StoreFormatError, match="protections"):
        client(Meanwhile(verb="list_objects", key="names/", happens=happens)).relocate(old, new)
    assert [key for key in world.objects() if key.startswith("relocations/")] == []


@pytest.mark.parametrize("moment", ["its beginning", "its input", "its end"])
def test_a_run_is_recorded_as_far_as_its_client_may_write(world, moment):
    time = Hours()

    def turned_on() -> None:
        time.seconds += 3_600
        world.write(key_of(1), FOR_WRITERS)

    def job() -> None:
        with client.run("job") as run:
            if moment == "its input":
                turned_on()
            run.use(client.get_artifact(NAME)).read_bytes()
            if moment == "its end":
                world.write(key_of(1), FOR_WRITERS)  # within the minute: an end looks in any case

    early = Meanwhile(verb="create", key="runs/distributions/*", happens=turned_on)
    faults = [early] if moment == "its beginning" else []
    client = client_on(FaultyBackend(world.backend(), faults), time.clock())
    with pytest.warns(LineageWarning, match=rf"{moment}.*could not be recorded(?s:.)*protections"):
        job()
    kept = sorted(key.rpartition("/")[2] for key in world.objects() if key.startswith("runs/") and "distrib" not in key)
    assert len(kept) == {"its beginning": 0, "its input": 1, "its end": 2}[moment]
    assert "end.json" not in kept


# --- no answer is not "none" ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Denied(FailBefore):
    error: Callable[[str], Exception] = field(default=lambda _: AccessDeniedError("denied", hint="Ask for it."))


@pytest.mark.parametrize("verb", ["list_objects", "read"])
@pytest.mark.parametrize("call", FIRST)
def test_who_may_not_list_or_read_them_is_refused_and_never_taken_to_have_none(world, call, verb):
    world.write(key_of(1), list_of())
    before = world.objects()
    backend = FaultyBackend(world.backend(), [_Denied(verb=verb, key="features/*", times=None)])
    with pytest.raises(AccessDeniedError) as caught:
        FIRST[call][0](client_on(backend, IMPATIENT))
    if verb == "list_objects":
        assert caught.value.hint.startswith("Ask for it. ")
        assert "features/" in caught.value.hint
    assert world.objects() == before


def test_what_fails_for_a_moment_is_asked_again_and_what_fails_for_good_is_that_error(world):
    once = FaultyBackend(world.backend(), [FailBefore(key="features/*"), LostReply(key="features/*", nth=2)])
    assert client_on(once, IMPATIENT).get_artifact(NAME).version == 1
    ever = FaultyBackend(world.backend(), [FailBefore(key="features/*", times=None)])
    with pytest.raises(StorageUnavailableError, match="features/"):
        client_on(ever, IMPATIENT).get_artifact(NAME)
    with pytest.raises(StorageUnavailableError, match="features/"):
        client_on(ever, IMPATIENT).register_artifact(NAME, b"2")


def test_a_list_that_is_shown_and_not_there_is_an_error(world):
    world.write(key_of(1), UNKNOWN)
    world.write(key_of(2), UNKNOWN)
    gone = FaultyBackend(
        world.backend(), [Meanwhile(verb="read", key=key_of(2), happens=lambda: world.remove(key_of(2)))]
    )
    with pytest.raises(StoreFormatError, match=key_of(1)):
        client_on(gone, IMPATIENT).get_artifact(NAME)


def test_features_without_a_marker_make_no_store(world):
    empty = MemoryWorld()
    empty.write(key_of(1), UNKNOWN)
    with pytest.raises(StoreNotFoundError):
        empty.client().get_artifact(NAME)
    with pytest.raises(StoreFormatError, match="holds something that is not a metamlflow store: features/"):
        empty.client().register_artifact(NAME, b"1")
    assert list(empty.objects()) == [key_of(1)]


def test_a_store_that_another_client_creates_meanwhile_is_opened_with_its_features():
    empty = MemoryWorld()

    def create() -> None:
        empty.client().create_store()
        empty.write(key_of(1), FOR_WRITERS)

    for verb in ("list_objects", "create"):
        backend = FaultyBackend(
            empty.backend(), [Meanwhile(verb=verb, key="*[!/]" if verb == "create" else "", happens=create)]
        )
        with pytest.raises(StoreFormatError, match="protections"):
            client_on(backend, IMPATIENT).register_artifact(NAME, b"1")
        for key in list(empty.objects()):
            empty.remove(key)


def test_a_migration_looks_at_the_source_again_though_its_client_is_open(world):
    source = world.client()
    source.get_artifact(NAME)
    world.write(key_of(1), FOR_WRITERS)
    there = MemoryWorld()
    with pytest.raises(StoreFormatError, match="protections"):
        migrate(source, there.client())
    assert there.objects() == {}
