"""A publish that takes long for the grace of its store goes on from what it has, and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from worlds import NAME, MemoryWorld, assert_sound, do_not_wait, manifests

from metamlflow.errors import StorageError
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import FaultyBackend, MemoryBackend, MemoryBucket, client_on

FILES = {f"{number:02d}": b"content of %d" % number for number in range(40)}


class SlowWorld(MemoryWorld):
    """Each put takes its time, by the server's clock and by the client's."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = datetime(2031, 1, 1, tzinfo=UTC)
        super().__init__(MemoryBucket(clock=lambda: self.now))
        world = self

        class Slow(MemoryBackend):
            def put(self, key, blob):
                created = super().put(key, blob)
                world.now += timedelta(seconds=world.seconds)
                return created

        self.log = FaultyBackend(Slow(self.bucket))

    def elapsed(self) -> float:
        return self.now.timestamp()

    def publisher(self, grace: timedelta):
        clock = Clock(now=lambda: self.now, elapsed=self.elapsed, sleep=do_not_wait)
        client = client_on(self.log, clock)
        client.create_store(grace=grace)
        return client

    def puts(self) -> int:
        return len([call for call in self.log.calls if call.verb == "put"])


def test_what_is_still_young_is_not_stored_again():
    """40 s of a grace of 100 s: more than 3/8, and all of it is younger than half."""
    world = SlowWorld(seconds=1)
    assert world.publisher(timedelta(seconds=100)).register_artifact(NAME, FILES).version == 1
    assert world.puts() == len(FILES)
    assert len(assert_sound(world)[1]) == len(FILES)


def test_what_is_too_old_by_then_is_stored_again_and_nothing_else():
    """60 s of a grace of 100 s: when it begins again, about 10 files are older than half the grace."""
    world = SlowWorld(seconds=1.5)
    assert world.publisher(timedelta(seconds=100)).register_artifact(NAME, FILES).version == 1
    again = world.puts() - len(FILES)
    assert 0 < again <= 2 * 10, "each of them is tried under its first key, and stored under a fresh one"
    assert_sound(world)


def test_content_that_was_found_in_the_store_counts_with_the_age_that_it_had_then():
    world = SlowWorld(seconds=0)
    client = world.publisher(timedelta(seconds=100))
    client.register_artifact("before", FILES["00"])
    world.now += timedelta(seconds=30)
    world.seconds = 1
    client.register_artifact(NAME, FILES)
    entries = {entry["path"]: entry["key"] for entry in manifests(world.objects())[1]["entries"]}
    assert [path for path, key in entries.items() if "-" in key.rpartition("/")[2]] == ["00"]
    assert_sound(world)


@pytest.mark.parametrize("seconds", [4, 50, 1000], ids=str)
def test_a_publish_that_can_never_be_in_time_ends_and_says_what_to_change(seconds):
    world = SlowWorld(seconds)
    with pytest.raises(StorageError, match="too long for a store whose grace is 0:01:40") as caught:
        world.publisher(timedelta(seconds=100)).register_artifact(NAME, FILES)
    assert "longer grace" in caught.value.hint
    assert "fewer files" in caught.value.hint
    assert "nothing was registered" in caught.value.message
    assert manifests(world.objects()) == {}
    assert world.puts() <= 3 * 2 * len(FILES)
