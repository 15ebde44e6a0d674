"""A publish that wins its number long after it began: it looks again at what it relies on, and at the number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from graves import tomb_key, tomb_of
from worlds import NAME, MemoryWorld, assert_sound, manifest_key

from metamlflow.errors import ArtifactErasedError, StorageError
from metamlflow.format.layout import state_key
from metamlflow.format.records import decode_state, encode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import MemoryBackend, MemoryBucket, StoredObject, client_on

GRACE = timedelta(days=7)
CONTENT = {"a": b"old content", "b.csv": b"x\n1\n"}


class PausedWorld(MemoryWorld):
    """A server, and a machine whose clock may stand still while it is paused."""

    def __init__(self) -> None:
        self.now = datetime(2031, 1, 1, tzinfo=UTC)
        self.counted = 0.0
        super().__init__(MemoryBucket(clock=lambda: self.now))

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, elapsed=lambda: self.counted, sleep=lambda _: None)

    def pass_time(self, time: timedelta, *, counted: bool = True) -> None:
        self.now += time
        self.counted += time.total_seconds() if counted else 0

    def drop_blobs(self) -> None:
        """As a collection does: nothing names them yet."""
        for key in [key for key in self.bucket.objects if key.startswith("blobs/")]:
            del self.bucket.objects[key]


class Pausing(MemoryBackend):
    """The machine is paused between the last look at its clock and the request that claims a manifest."""

    world: PausedWorld
    pause = timedelta(0)
    meanwhile = staticmethod(lambda: None)
    looks = 0

    def create(self, key: str, data: bytes) -> None:
        if "_versions/" in key and ".state" not in key and self.pause:
            pause, self.pause = self.pause, timedelta(0)
            self.world.pass_time(pause)
            self.meanwhile()
        super().create(key, data)

    def stat(self, key: str):
        self.looks += 1
        return super().stat(key)


@pytest.fixture
def world() -> PausedWorld:
    world = PausedWorld()
    world.client(world.clock()).register_artifact(NAME, b"first")
    return world


def paused(world: PausedWorld, pause: timedelta, meanwhile=lambda: None):
    backend = Pausing(world.bucket)
    backend.world, backend.meanwhile = world, meanwhile
    client = client_on(backend, world.clock())
    client.create_store()
    backend.pause = pause
    return client, backend


def test_content_that_was_collected_meanwhile_is_put_back_under_the_keys_that_the_manifest_names(world):
    client, _ = paused(world, GRACE, world.drop_blobs)
    assert client.register_artifact(NAME, dict(CONTENT)).version == 2
    world.client().register_artifact(NAME, b"first")  # version 3: what version 1 names was dropped as well
    manifest = client.get_artifact(NAME, 2)
    assert manifest.verify("full")
    assert not any(".state-" in key for key in world.objects())


def test_so_it_is_with_lists_of_files(world, monkeypatch):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", 1)
    client, _ = paused(world, GRACE, world.drop_blobs)
    artifact = client.register_artifact(NAME, dict(CONTENT))
    assert world.client().get_artifact(NAME, artifact.version).verify("full")


def test_content_that_cannot_be_put_back_is_no_live_version(world, tmp_path):
    (tmp_path / "a").write_bytes(b"content")

    def lose_everything() -> None:
        world.drop_blobs()
        (tmp_path / "a").unlink()

    client, _ = paused(world, GRACE, lose_everything)
    with pytest.raises(StorageError, match="so late that its content had been collected"):
        client.register_artifact(NAME, tmp_path / "a")
    assert world.client().get_artifact(NAME).version == 1
    assert world.client().list_versions(NAME) == [1]


def test_so_it_is_beside_a_state_of_another_manifest_and_the_states_take_turns(world, tmp_path):
    """A migration that was given up has left a state record under the number, which speaks of its own manifest."""
    (tmp_path / "a").write_bytes(b"content")

    def lose_everything() -> None:
        world.drop_blobs()
        (tmp_path / "a").unlink()
        foreign = encode_state("absent", f"sha256:{'0' * 64}", "f" * 32, world.now)
        world.write(state_key(ArtifactName(NAME), 2, 1), foreign)

    client, _ = paused(world, GRACE, lose_everything)
    with pytest.raises(StorageError, match="so late that its content had been collected"):
        client.register_artifact(NAME, tmp_path / "a")
    states = {key: decode_state(data, key).state for key, data in sorted(world.objects().items()) if ".state-" in key}
    assert list(states.values()) == ["pruned", "restored", "absent"]  # the newest lists first
    assert world.client().list_versions(NAME) == [1]


def test_a_number_that_was_erased_meanwhile_is_lost_and_the_next_one_taken(world):
    """While this writer was paused, another one published version 2, and it was pruned and erased."""

    def erase() -> None:
        world.client(world.clock()).register_artifact(NAME, b"personal data")
        world.write(tomb_key(2), tomb_of(world.objects()[manifest_key(2)]))
        world.remove(manifest_key(2))

    client, _ = paused(world, 2 * GRACE, erase)
    assert client.register_artifact(NAME, dict(CONTENT)).version == 3
    with pytest.raises(ArtifactErasedError):
        world.client().get_artifact(NAME, 2)


def test_under_an_idempotency_key_it_is_told_instead(world):
    def erase() -> None:
        world.client(world.clock()).register_artifact(NAME, b"personal data")
        world.write(tomb_key(2), tomb_of(world.objects()[manifest_key(2)]))
        world.remove(manifest_key(2))

    client, _ = paused(world, 2 * GRACE, erase)
    with pytest.raises(ArtifactErasedError):
        client.register_artifact(NAME, dict(CONTENT), idempotency_key="job")


@pytest.mark.parametrize(("pause", "again"), [(GRACE / 2, False), (GRACE * 0.51, True)], ids=["in time", "late"])
def test_only_a_late_win_is_looked_at_again(world, pause, again):
    client, backend = paused(world, pause)
    client.register_artifact(NAME, dict(CONTENT))
    assert (backend.looks > 0) is again
    assert set(assert_sound(world)) == {1, 2}


class PausedPutting(MemoryBackend):
    """A virtual machine is paused for days between two answers that tell the server's time."""

    world: PausedWorld
    pause = timedelta(0)
    stats = 0

    def stat(self, key: str):
        self.stats += 1
        if self.stats == 2 and self.pause:
            pause, self.pause = self.pause, timedelta(0)
            self.world.pass_time(pause, counted=False)
        return super().stat(key)


@pytest.mark.parametrize(("pause", "times"), [(GRACE / 4, 1), (GRACE * 0.4, 2)])
def test_a_stopped_clock_is_made_up_for_by_the_storage_s(world, pause, times):
    """Its own clock says that no time has passed, but two looks at blobs are days apart by the server's."""
    for key, data in world.objects().items():
        if key.startswith("blobs/"):
            world.bucket.objects[key] = StoredObject(data, world.now)
    first = world.client(world.clock())
    first.register_artifact("other", dict(CONTENT))
    backend = PausedPutting(world.bucket)
    backend.world = world
    client = client_on(backend, world.clock())
    client.create_store()
    heads: list[str] = []
    listed = backend.list_after

    def list_after(after, limit):
        heads.append(after)
        return listed(after, limit)

    backend.list_after = list_after
    backend.pause = pause
    client.register_artifact("third", dict(CONTENT))
    assert len(heads) == times, "an attempt that is too old begins again with a new look at the name"
    assert world.client().get_artifact("third").verify("full")
