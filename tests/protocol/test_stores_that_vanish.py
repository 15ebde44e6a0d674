"""A store that is emptied, deleted or made anew under a client: noticed before anything is acknowledged."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from worlds import IMPATIENT, NAME, LocalWorld, MemoryWorld, do_not_wait

from metamlflow import migrate
from metamlflow.errors import (
    ArtifactNotFoundError,
    ConflictError,
    LineageWarning,
    MetaMLFlowError,
    StoreNotFoundError,
)
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import FaultyBackend, MemoryBackend, StoredObject, client_on


class Hours:
    """Time that a test lets pass."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> Clock:
        return Clock(elapsed=lambda: self.seconds, sleep=do_not_wait)


def empty(world) -> None:
    for key in list(world.objects()):
        world.remove(key)


def lose_the_marker(world) -> None:
    world.remove("metamlflow.json")


def make_anew(world) -> None:
    empty(world)
    world.client().create_store()


def make_anew_with_the_same_names(world) -> None:
    empty(world)
    world.client().register_artifact(NAME, b"of somebody else")


@pytest.fixture(params=["memory", "local"])
def any_world(request, store_folder):
    return LocalWorld(store_folder) if request.param == "local" else MemoryWorld()


def other_store():
    client = MemoryWorld().client()
    client.register_artifact("from-elsewhere", b"1")
    return client


CALLS = {
    "next version": lambda c: c.register_artifact(NAME, b"second"),
    "new name": lambda c: c.register_artifact("new", b"first"),
    "folder": lambda c: c.register_artifact("new/folder", {"a": b"1", "b": b"2"}),
    "reuse": lambda c: c.register_artifact(NAME, b"first", if_unchanged="reuse"),
    "idempotent": lambda c: c.register_artifact("new", b"first", idempotency_key="job"),
    "alias": lambda c: c.set_alias(NAME, "production", 1),
    "note": lambda c: c.annotate(f"{NAME}@1", title="noted"),
    "note on a name": lambda c: c.annotate(NAME, title="noted"),
    "migration": lambda c: migrate(other_store(), c),
}
LOSSES = {
    "emptied": (empty, StoreNotFoundError),
    "made-anew": (make_anew, ConflictError),
    "made-anew-with-the-same-names": (make_anew_with_the_same_names, ConflictError),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("lose", "kind"), LOSSES.values(), ids=LOSSES)
def test_nothing_is_acknowledged_into_a_place_that_is_no_store_any_more(any_world, lose, kind, call):
    client = any_world.client()
    client.register_artifact(NAME, b"first")
    client.register_artifact(f"{NAME}-beside", b"first")
    lose(any_world)
    before = any_world.objects()
    for _ in range(2):
        with pytest.raises(kind, match="opened") as caught:
            call(client)
        assert "new client" in caught.value.hint
    assert any_world.objects() == before, "nothing is written either"


@pytest.mark.parametrize("lose", [lose for lose, _ in LOSSES.values()], ids=LOSSES)
def test_a_run_writes_nothing_into_a_place_that_is_no_store_any_more(any_world, lose):
    """What it would write there alone would keep everybody from making a store of the place again."""
    client = any_world.client()
    client.register_artifact(NAME, b"first")
    under_way = client.run("begun before")
    under_way.__enter__()
    lose(any_world)
    before = any_world.objects()
    with pytest.warns(LineageWarning, match=r"its end could not be recorded.*opened"):
        under_way.__exit__(None, None, None)
    with pytest.warns(LineageWarning, match=r"its beginning could not be recorded.*opened"), client.run("begun after"):
        pass
    assert any_world.objects() == before


@pytest.mark.parametrize("call", [lambda c: c.list_artifacts(), lambda c: c.verify_all()], ids=["list", "verify all"])
def test_an_emptied_store_is_not_told_as_one_that_is_empty_and_well(any_world, call):
    client = any_world.client()
    client.register_artifact(NAME, b"first")
    empty(any_world)
    with pytest.raises(StoreNotFoundError, match="gone"):
        call(client)


def test_a_store_without_names_is_none_that_is_gone(any_world):
    client = any_world.client()
    client.create_store()
    assert client.list_artifacts() == []
    assert client.verify_all()


def test_the_marker_alone_may_be_lost_for_a_minute_and_no_longer():
    world, hours = MemoryWorld(), Hours()
    client = client_on(world.backend(), hours.clock())
    client.register_artifact(NAME, b"first")
    lose_the_marker(world)
    hours.seconds += 61
    with pytest.raises(StoreNotFoundError, match="gone"):
        client.register_artifact(NAME, b"second")


def test_a_large_store_that_was_made_anew_is_noticed_after_a_minute():
    world, hours = MemoryWorld(), Hours()
    client = client_on(world.backend(), hours.clock())
    client.register_artifact("a", b"first")
    empty(world)
    other = world.client()
    for number in range(30):
        other.register_artifact(f"b{number}", b"%d" % number)
    hours.seconds += 61
    with pytest.raises(ConflictError, match="id is"):
        client.register_artifact("a-new-name", b"first")


def test_a_store_that_vanishes_while_a_long_publish_is_under_way_is_noticed_before_the_commit():
    world, hours = MemoryWorld(), Hours()

    class Slow(MemoryBackend):
        def put(self, key, blob):
            hours.seconds += 61
            empty(world)
            return super().put(key, blob)

    client = client_on(Slow(world.bucket), hours.clock())
    client.create_store()
    with pytest.raises(StoreNotFoundError, match="gone"):
        client.register_artifact(NAME, b"first")
    assert not [key for key in world.objects() if key.startswith("artifacts/")]


def test_a_writer_looks_at_the_marker_once_a_minute_and_no_more():
    world, hours = MemoryWorld(), Hours()
    backend = FaultyBackend(world.backend())
    client = client_on(backend, hours.clock())
    client.register_artifact(NAME, b"0")
    backend.calls.clear()
    for number in range(60):
        client.register_artifact(NAME, b"%d" % number)
        hours.seconds += 5
    looks = [call for call in backend.calls if call.key == "metamlflow.json"]
    assert 3 <= len(looks) <= 5
    assert {call.verb for call in looks} == {"read"}


def test_a_marker_that_was_copied_back_is_the_same_store(any_world):
    client = any_world.client()
    client.register_artifact(NAME, b"first")
    marker = any_world.objects()["metamlflow.json"]
    any_world.remove("metamlflow.json")
    any_world.write("metamlflow.json", marker)
    assert client.register_artifact(NAME, b"second").version == 2
    assert client.register_artifact("new", b"second").version == 1


def test_a_folder_that_took_the_place_of_the_store_s_is_not_written_to(tmp_path):
    world = LocalWorld(tmp_path / "store")
    client = world.client()
    client.register_artifact(NAME, b"first")
    other = LocalWorld(tmp_path / "other")
    other.client().register_artifact(NAME, b"other")
    shutil.rmtree(world.root)
    other.root.rename(world.root)
    before = world.objects()
    with pytest.raises(MetaMLFlowError, match=r"another one lies|not the store"):
        client.register_artifact(NAME, b"second")
    assert world.objects() == before


def test_an_inode_that_is_used_again_does_not_deceive(tmp_path):
    """A folder that is deleted and made again may have the same number on its disk; the store's id tells."""
    world = LocalWorld(tmp_path / "store")
    client = world.client()
    client.register_artifact(NAME, b"first")
    empty(world)  # the folder itself stays
    shutil.rmtree(world.root / "artifacts")
    world.client().register_artifact("other", b"1")
    with pytest.raises(ConflictError, match="id is"):
        client.register_artifact(NAME, b"second")


def test_a_reader_is_told_that_the_store_is_gone_and_not_that_the_name_is(any_world):
    any_world.client().register_artifact(NAME, b"first")
    reader = any_world.client()
    held = reader.get_artifact(NAME)
    assert held.read_bytes() == b"first"
    with pytest.raises(ArtifactNotFoundError):
        reader.get_artifact("other")
    empty(any_world)
    for version in ("latest", 1, "alias"):
        with pytest.raises(StoreNotFoundError, match="gone"):
            reader.get_artifact(NAME, version)
    for read in (reader.notes, reader.notes_history):
        for target in (NAME, f"{NAME}@1", f"{NAME}@latest", held):
            with pytest.raises(StoreNotFoundError, match="gone"):
                read(target)
    with pytest.raises(StoreNotFoundError, match="gone"):
        assert held.notes


class Opaque(MemoryBackend):
    """A bucket whose ETags are no digests, as with a key of one's own: new for each object."""

    def list_objects(self, prefix="", *, after="", limit=None):
        for info in super().list_objects(prefix, after=after, limit=limit):
            stored: StoredObject = self.bucket.objects[info.key]
            yield replace(info, etag=f'"{id(stored):032x}-1"')


@pytest.mark.parametrize("has_read", [False, True], ids=["committed", "read"])
def test_a_name_that_was_made_again_is_not_answered_from_memory_where_etags_are_no_digests(has_read):
    world = MemoryWorld()
    client = client_on(Opaque(world.bucket), IMPATIENT)
    client.register_artifact(NAME, b"old", metadata={"of": "old"})
    if has_read:
        assert client.get_artifact(NAME).metadata == {"of": "old"}
    kept = dict(world.bucket.objects)
    for key in [key for key in kept if key.startswith("artifacts/")]:
        world.remove(key)
    world.client().register_artifact(NAME, b"new", metadata={"of": "new"})
    sizes = {
        len(stored.data) for objects in (kept, world.bucket.objects) for k, stored in objects.items() if "_v1" in k
    }
    assert len(sizes) == 1, "the sizes do not tell them apart"
    assert client.get_artifact(NAME).metadata == {"of": "new"}
    assert client.get_artifact(NAME).read_bytes() == b"new"


def test_a_store_that_was_made_anew_is_noticed_where_etags_are_no_digests():
    world = MemoryWorld()
    client = client_on(Opaque(world.bucket), IMPATIENT)
    client.register_artifact(NAME, b"first")
    make_anew(world)
    before = world.objects()
    for _ in range(2):
        with pytest.raises(ConflictError, match="id is"):
            client.register_artifact("new", b"first")
    assert world.objects() == before


def test_where_etags_are_no_digests_the_marker_is_read_once_more_and_not_for_each_name():
    world = MemoryWorld()
    backend = FaultyBackend(Opaque(world.bucket))
    client = client_on(backend, IMPATIENT)
    for number in range(5):
        client.register_artifact(f"name{number}", b"1")
    looks = [call for call in backend.calls if call.key == "metamlflow.json" and call.verb == "read"]
    assert len(looks) <= 3
