"""Notes that several change at once, or whose answers are lost: every change is in the end, or its caller was told."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest
from forked import fate_of, killed_at, race
from worlds import IMPATIENT, NAME, RAW_NAME, LocalWorld, MemoryWorld

from metamlflow import MetaMLFlowClient
from metamlflow.errors import OutcomeUnknownError, StorageError, StorageUnavailableError
from metamlflow.testing import FaultyBackend, client_on

TARGETS = [NAME, f"{NAME}@1"]


def records(world) -> list[dict]:
    """The note records, oldest first, past the code under test."""
    prefix = f"artifacts/{RAW_NAME}/_notes/"
    found = {key: json.loads(data) for key, data in world.objects().items() if key.startswith(prefix)}
    return [found[key] for key in sorted(found, reverse=True)]


def noted(world: LocalWorld, target: str, me: str, times: int) -> list[int]:
    """Set a tag of one's own, again and again, and now and then a field that all share."""
    client = MetaMLFlowClient(str(world.root))
    return [
        client.annotate(target, title=f"{me} {number}", tags={f"{me} {number}": str(number), me: str(number)}).number
        for number in range(times)
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_real_processes_that_annotate_at_once_lose_no_change_and_share_no_number(tmp_path, target):
    world = LocalWorld(tmp_path / "store")
    world.client().register_artifact(NAME, b"1")
    told = race(*[partial(noted, world, target, f"racer {racer}", 8) for racer in range(4)])
    assert sorted(number for numbers in told for number in numbers) == list(range(1, 33))
    found = records(world)
    assert len(found) == 32
    last = found[-1]["tags"]
    assert last == {f"racer {r} {n}": str(n) for r in range(4) for n in range(8)} | {
        f"racer {r}": "7" for r in range(4)
    }
    for before, after in pairwise(found):
        assert set(before["tags"]) < set(after["tags"])
    client = world.client()
    assert client.notes(target).tags == last
    assert [notes.tags for notes in client.notes_history(target)] == [record["tags"] for record in found]


@pytest.mark.full
def test_two_processes_that_change_different_fields_both_do(tmp_path):
    world = LocalWorld(tmp_path / "store")
    world.client().register_artifact(NAME, b"1")
    for attempt in range(5):
        changes = [{"title": f"t {attempt}"}, {"description": f"d {attempt}"}, {"tags": {str(attempt): ""}}]
        race(*[partial(lambda change: world.client().annotate(NAME, **change) and None, change) for change in changes])
        notes = world.client().notes(NAME)
        assert (notes.title, notes.description) == (f"t {attempt}", f"d {attempt}")
        assert set(notes.tags) == {str(number) for number in range(attempt + 1)}


def test_threads_of_one_client_lose_no_change(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact(NAME, b"1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: client.annotate(NAME, tags={str(number): ""}), range(24)))
    assert set(client.notes(NAME).tags) == {str(number) for number in range(24)}


class Between(FaultyBackend):
    """Somebody else annotates between the look of a writer and its claim."""

    def __init__(self, world: MemoryWorld, *changes: dict) -> None:
        super().__init__(world.backend())
        self.world, self.changes = world, list(changes)

    def create(self, key: str, data: bytes) -> None:
        if "_notes/" in key and self.changes:
            self.world.client().annotate(NAME, **self.changes.pop(0))
        super().create(key, data)


@pytest.fixture
def world() -> MemoryWorld:
    world = MemoryWorld()
    world.client().register_artifact(NAME, b"1")
    return world


def test_who_loses_a_number_applies_its_change_to_the_record_of_the_winner(world):
    backend = Between(world, {"title": "theirs", "tags": {"a": "theirs"}}, {"description": "theirs"})
    after = client_on(backend, IMPATIENT).annotate(NAME, tags={"b": "mine", "a": None})
    assert (after.number, after.title, after.description, after.tags) == (3, "theirs", "theirs", {"b": "mine"})
    assert [(record["title"], record["description"], record["tags"]) for record in records(world)] == [
        ("theirs", None, {"a": "theirs"}),
        ("theirs", "theirs", {"a": "theirs"}),
        ("theirs", "theirs", {"b": "mine"}),
    ]


def test_who_loses_to_the_very_same_change_writes_nothing_more(world):
    backend = Between(world, {"title": "same"})
    assert client_on(backend, IMPATIENT).annotate(NAME, title="same").number == 1
    assert len(records(world)) == 1


def test_of_two_titles_the_higher_number_holds_and_not_the_later_time(world):
    world.client().annotate(NAME, title="first")
    (key,) = [key for key in world.objects() if "_notes/" in key]
    document = json.loads(world.objects()[key]) | {"created_at": "9999-12-31T23:59:59Z"}
    world.write(key, json.dumps(document).encode())
    world.client().annotate(NAME, title="second")
    assert world.client().notes(NAME).title == "second"


def calls_of_annotating(world: MemoryWorld) -> int:
    backend = FaultyBackend(MemoryWorld(world.bucket).backend())
    client_on(backend, IMPATIENT).annotate(f"{NAME}@1", title="counted")
    return len(backend.calls)


class LosesAnswers(FaultyBackend):
    """The call number ``nth`` fails, after or before it had its effect."""

    def __init__(self, world: MemoryWorld, nth: int, *, after: bool) -> None:
        super().__init__(world.backend())
        self._left, self._after = nth, after

    def _maybe(self, call):
        self._left -= 1
        if self._left:
            return call()
        if self._after:
            call()
        raise StorageUnavailableError("no answer")

    def create(self, key: str, data: bytes) -> None:
        self._maybe(lambda: super(LosesAnswers, self).create(key, data))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return self._maybe(lambda: super(LosesAnswers, self).read(key, start, end))

    def list_objects(self, prefix="", *, after="", limit=None):
        return self._maybe(lambda: super(LosesAnswers, self).list_objects(prefix, after=after, limit=limit))


@pytest.mark.parametrize("after", [False, True])
def test_an_answer_lost_at_any_call_ends_in_one_record_of_the_change(after):
    for nth in range(1, 12):
        world = MemoryWorld()
        world.client().register_artifact(NAME, b"1")
        world.client().annotate(f"{NAME}@1", title="before", tags={"kept": ""})
        client = client_on(LosesAnswers(world, nth, after=after), IMPATIENT)
        notes = client.annotate(f"{NAME}@1", title="mine")
        assert (notes.number, notes.title, notes.tags) == (2, "mine", {"kept": ""})
        assert [record["title"] for record in records(world)] == ["before", "mine"]


def test_an_outcome_that_stays_unknown_is_told_and_calling_again_is_safe(world):
    class Silent(FaultyBackend):
        def create(self, key: str, data: bytes) -> None:
            super().create(key, data)
            if "_notes/" in key:
                self.silent = True
                raise StorageUnavailableError("no answer")

        silent = False

        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if self.silent and "_notes/" in key:
                raise StorageUnavailableError("no answer")
            return super().read(key, start, end)

    with pytest.raises(OutcomeUnknownError):
        client_on(Silent(world.backend()), IMPATIENT).annotate(NAME, title="mine")
    assert world.client().annotate(NAME, title="mine").number == 1
    assert len(records(world)) == 1


@pytest.mark.full
def test_a_kill_at_any_call_leaves_the_old_notes_or_the_new_ones(tmp_path):
    for nth in range(1, 10):
        for after in (False, True):
            world = LocalWorld(tmp_path / f"{nth}-{after}")
            world.client().register_artifact(NAME, b"1")
            world.client().annotate(NAME, title="old")

            def annotate(world=world, nth=nth, after=after) -> None:
                backend = world.backend()
                kill = killed_at(nth, after=after)
                for verb in ("create", "read", "list_objects"):
                    setattr(backend, verb, kill(getattr(backend, verb)))
                client_on(backend, IMPATIENT).annotate(NAME, title="new")

            fate_of(annotate)
            assert world.client().notes(NAME).title in {"old", "new"}
            assert world.client().annotate(NAME, title="new").number == 2


def test_a_storage_that_refuses_is_told_and_nothing_is_left(world):
    class Full(FaultyBackend):
        def create(self, key: str, data: bytes) -> None:
            if "_notes/" in key:
                raise StorageError("refused")
            super().create(key, data)

    with pytest.raises(StorageError, match="refused"):
        client_on(Full(world.backend()), IMPATIENT).annotate(NAME, title="x")
    assert records(world) == []
