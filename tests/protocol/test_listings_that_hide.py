"""A listing that never shows what lies there: the numbers that it hides cannot be had, and the call comes to an end."""

from __future__ import annotations

import pytest
from worlds import IMPATIENT, NAME, MemoryWorld

from metamlflow.errors import StorageError
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import MemoryBackend, client_on

LIES = {
    "empty": lambda found: [],
    "without the first": lambda found: found[1:],
    "backwards": lambda found: found[::-1],
}


class Hiding(MemoryBackend):
    lie = staticmethod(list)

    def list_objects(self, prefix="", *, after="", limit=None):
        return iter(self.lie(list(super().list_objects(prefix, after=after, limit=limit))))


@pytest.fixture
def world():
    world = MemoryWorld()
    client = world.client()
    for number in range(3):
        client.register_artifact(NAME, b"%d" % number)
    client.set_alias(NAME, "production", 1)
    return world


def hiding_client(world, lie, clock=IMPATIENT):
    backend = Hiding(world.bucket)
    client = client_on(backend, clock)
    client.create_store()
    backend.lie = LIES[lie]
    return client


@pytest.mark.parametrize("lie", LIES)
def test_registering_ends_and_says_that_the_listing_is_wrong(world, lie):
    client, before = hiding_client(world, lie), world.objects()
    with pytest.raises(StorageError, match="listings do not show it") as caught:
        client.register_artifact(NAME, b"next")
    assert "doctor" in caught.value.hint
    assert {key for key in world.objects() if "_versions/" in key} == {key for key in before if "_versions/" in key}


def test_an_alias_ends_as_well(world):
    client = hiding_client(world, "without the first")
    with pytest.raises(StorageError, match="listings do not show it"):
        client.set_alias(NAME, "production", 2)


@pytest.mark.parametrize("lie", ["empty", "without the first"])
def test_a_note_ends_as_well(world, lie):
    for number in range(3):
        world.client().annotate(f"{NAME}@1", title=str(number))
    client = hiding_client(world, "without the first")
    client._store.backend.lie = lambda found: (
        LIES[lie](found) if any("_notes/" in info.key for info in found) else found
    )
    with pytest.raises(StorageError, match="listings do not show it"):
        client.annotate(f"{NAME}@1", title="next")


def test_the_highest_note_holds_in_whatever_order_they_are_listed(world):
    for number in range(3):
        world.client().annotate(f"{NAME}@1", title=str(number), tags={str(number): ""})
    client = hiding_client(world, "backwards")
    assert client.notes(f"{NAME}@1").title == "2"
    assert [notes.title for notes in client.notes_history(f"{NAME}@1")] == ["0", "1", "2"]
    after = client.annotate(f"{NAME}@1", title="next")
    assert (after.number, set(after.tags)) == (4, {"0", "1", "2"})


def test_a_listing_that_lags_for_some_seconds_is_waited_for(world):
    slept: list[float] = []
    backend = Hiding(world.bucket)
    client = client_on(backend, Clock(sleep=slept.append))
    client.create_store()
    backend.lie = lambda found: found if len(slept) > 8 else found[1:]
    assert client.register_artifact(NAME, b"next").version == 4
