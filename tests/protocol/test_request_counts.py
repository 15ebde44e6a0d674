"""How many calls of the backend each operation takes: no more than the budget of the store's format allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from worlds import IMPATIENT, NAME, MemoryWorld

from metamlflow.testing import FaultyBackend, StoredObject, client_on

FILES = {f"folder/{number:03d}.csv": b"%d" % number for number in range(50)}


def calls_of(world: MemoryWorld, operation: Callable[[Any], Any], *, first: bool = False) -> Counter[str]:
    """Count an operation's calls by verb: a client's first operation, or a later one."""
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    if not first:
        client.create_store()
        backend.calls.clear()
    operation(client)
    return Counter(call.verb for call in backend.calls)


@pytest.fixture
def world() -> MemoryWorld:
    """A store with a one-file artifact and a folder."""
    world = MemoryWorld()
    world.client().register_artifact(NAME, b"content")
    world.client().register_artifact("folder", dict(FILES), metadata={"a": 1})
    for target in (NAME, f"{NAME}@1"):
        for number in range(20):
            world.client().annotate(target, title=f"title {number}")
    return world


BUDGETS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "register a new name": (lambda c: c.register_artifact("new", b"new"), 4),
    "register a next version": (lambda c: c.register_artifact(NAME, b"new"), 4),
    "register what is in the store and young": (lambda c: c.register_artifact("new", b"content"), 4 + 2),
    "register a folder under a new name": (
        lambda c: c.register_artifact("new", {path: b"new" + data for path, data in FILES.items()}),
        len(FILES) + 4,
    ),
    "register other files in a folder": (
        lambda c: c.register_artifact("folder", {path: b"new" + data for path, data in FILES.items()}),
        len(FILES) + 4,
    ),
    "register one file more": (lambda c: c.register_artifact("folder", {**FILES, "new": b"new"}), 1 + 4),
    "register an unchanged folder again": (lambda c: c.register_artifact("folder", dict(FILES)), 4),
    "reuse an unchanged folder": (lambda c: c.register_artifact("folder", dict(FILES), if_unchanged="reuse"), 4),
    "get by number": (lambda c: c.get_artifact(NAME, 1), 2),
    "get the latest": (lambda c: c.get_artifact(NAME), 2),
    "correct metadata": (lambda c: c.update_metadata(f"{NAME}@1", {"a": 1}), 6),
    "correct nothing": (lambda c: c.update_metadata("folder@1", {"a": 1}), 2),
    "copy to a new name": (lambda c: c.copy("folder@1", "new", note="why"), 8),
    "copy to a name with versions": (lambda c: c.copy("folder@1", NAME, note="why"), 8),
    "compare two versions": (lambda c: bool(c.diff(f"{NAME}@1", "folder@1").files), 4),
    "annotate a version": (lambda c: c.annotate(f"{NAME}@1", title="new"), 6),
    "annotate a name": (lambda c: c.annotate(NAME, title="new"), 6),
    "annotate without a change": (lambda c: c.annotate(NAME, tags={"x": None}), 5),
    "get the notes on a version": (lambda c: c.notes(f"{NAME}@1"), 3),
    "get the notes on a name": (lambda c: c.notes(NAME), 3),
    "get and read": (lambda c: c.get_artifact(NAME).read_bytes(), 2 + 1),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_an_operation_keeps_to_its_budget(world, name):
    operation, budget = BUDGETS[name]
    assert calls_of(world, operation).total() <= budget


@pytest.mark.full
@pytest.mark.parametrize("name", BUDGETS)
def test_a_client_s_first_operation_takes_two_calls_more_to_read_and_three_to_write(world, name):
    operation, budget = BUDGETS[name]
    extra = 2 if name.startswith(("get", "compare")) else 3  # the marker and the features, at the same time; the probe
    assert calls_of(world, operation, first=True).total() <= budget + extra


def test_the_notes_of_an_artifact_take_a_listing_and_a_read_however_often_they_were_changed(world):
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    noted, bare = client.get_artifact(NAME), client.get_artifact("folder")
    # Where nothing is noted, the marker and the features are looked at again, at the same time.
    for artifact, title, listings in ((noted, "title 19", 1), (bare, None, 2)):
        backend.calls.clear()
        assert artifact.notes.title == title
        assert Counter(call.verb for call in backend.calls) == {"list_objects": listings, "read": 1}


def test_the_notes_on_a_name_are_found_in_one_page_beside_those_on_thousands_of_versions(world):
    for number in range(1, 3_001):
        world.write(f"artifacts/folder/_notes/v{number}/9999999998.json", b"{}")
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    for look in (client.notes, client.notes_history):
        look(NAME)
        backend.calls.clear()
        assert not look("folder")
        assert sum(call.verb == "list_objects" for call in backend.calls) == 2


def test_a_download_takes_one_call_for_each_file(world, tmp_path):
    def download(client: Any) -> None:
        client.get_artifact("folder").download(tmp_path / "here")

    assert calls_of(world, download).total() <= len(FILES) + 2
    assert len(list((tmp_path / "here" / "folder").iterdir())) == len(FILES)


def test_a_write_that_creates_the_store_takes_eight_more_at_most():
    counted = calls_of(MemoryWorld(), lambda c: c.register_artifact(NAME, b"new"), first=True)
    assert counted.total() <= 4 + 3 + 8


def test_each_blob_found_in_place_but_too_old_takes_two_calls_more(world):
    later = datetime.now(UTC) - timedelta(days=4)
    for key, stored in list(world.bucket.objects.items()):
        world.bucket.objects[key] = StoredObject(stored.data, later)
    counted = calls_of(world, lambda c: c.register_artifact("new", dict(FILES)))
    assert counted.total() <= len(FILES) + 4 + 2 * len(FILES)


def test_a_sharded_folder_takes_one_call_more_for_each_shard_and_unchanged_ones_are_read_and_not_sent(
    world, monkeypatch
):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 10)
    new = {path: b"new" + data for path, data in FILES.items()}
    assert calls_of(world, lambda c: c.register_artifact("new", new)).total() <= len(FILES) + 4 + 1
    again = calls_of(world, lambda c: c.register_artifact("new", new))
    assert again.total() <= 4 + 1
    assert again["put"] == 0


def test_a_retry_under_an_idempotency_key_sends_nothing(world):
    job = {"idempotency_key": "job"}
    first = calls_of(world, lambda c: c.register_artifact(NAME, b"new", **job))
    retry = calls_of(world, lambda c: c.register_artifact(NAME, b"new", **job))
    assert first.total() <= 4 + 3, "look for claims, claim, and read who won"
    assert (retry["put"], retry["create"]) == (0, 0)
    assert retry.total() <= 4, "look for claims, read the newest, and the manifest and the tomb of its number"
