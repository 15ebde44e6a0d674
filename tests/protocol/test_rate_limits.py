"""A storage that says that it is asked too often: what creates waits for its turn, and not without end."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
from worlds import NAME, MemoryWorld, assert_readable

from metamlflow.errors import OutcomeUnknownError, StorageUnavailableError
from metamlflow.migration import migrate
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.records import RATE_LIMIT_SECONDS
from metamlflow.testing import FailBefore, FaultyBackend, client_on

KEYS = {
    "probe": "metamlflow.json",
    "name": "names/*",
    "blob": "blobs/*",
    "edge": "edges/*",
    "commit": "artifacts/*_v1.json",
}


def too_many(where: str) -> StorageUnavailableError:
    return StorageUnavailableError(f"{where}: too many requests", throttled=True)


def register(key: str, times: int | None) -> tuple[MemoryWorld, list[float]]:
    """Register with a limit on one kind of key; return the world, and how long was waited."""
    world, waits = MemoryWorld(), []
    world.client().register_artifact("input", b"1")
    plan = [FailBefore(verb="create|put", key=key, times=times, error=too_many)]
    client = client_on(FaultyBackend(world.backend(), plan), Clock(sleep=waits.append))
    client.register_artifact(NAME, b"content", inputs=["input"])
    return world, waits


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_creation_of_a_publish_waits_for_seconds(key):
    world, waits = register(key, times=15)
    assert_readable(world)
    assert 15 < sum(waits) < RATE_LIMIT_SECONDS
    assert max(waits) <= 4


@pytest.mark.full
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_limit_without_end_is_told_after_the_stated_time(key):
    kind = OutcomeUnknownError if key == KEYS["commit"] else StorageUnavailableError
    with pytest.raises(kind, match="too many requests"):
        register(key, times=None)


@pytest.mark.full
@pytest.mark.parametrize("key", ["names/*", "blobs/*", "edges/*", "artifacts/*_v1.json", "runs/*"])
def test_a_migration_waits_for_its_turn_as_a_publish_does(key):
    source, destination, waits = MemoryWorld(), MemoryWorld(), []
    client = source.client()
    with client.run("train"):
        client.register_artifact("input", b"1")
        client.register_artifact(NAME, b"content", inputs=["input"])
    destination.client().create_store()
    plan = [FailBefore(verb="create|put", key=key, times=15, error=too_many)]
    limited = client_on(FaultyBackend(destination.backend(), plan), Clock(sleep=waits.append))
    assert migrate(client, limited)
    assert_readable(destination)
    assert 15 < sum(waits) < RATE_LIMIT_SECONDS


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "damaged"])
@pytest.mark.parametrize("kind", ["blobs/*", "artifacts/*_v1.json"])
def test_a_repair_waits_for_its_turn_as_a_publish_does(kind, lost):
    world, donor, waits = MemoryWorld(), MemoryWorld(), []
    for content in (b"content", b"and the digest of the version before"):
        world.client().register_artifact(NAME, content)
    assert migrate(world.client(), donor.client())
    key = next(key for key in world.objects() if fnmatch(key, kind))
    good = world.objects()[key]
    if lost:
        world.remove(key)
    else:
        world.write(key, b"damaged")
    plan = [FailBefore(verb="put" if lost else "replace", key=key, times=15, error=too_many)]
    limited = client_on(FaultyBackend(world.backend(), plan), Clock(sleep=waits.append))
    assert limited.repair(f"{NAME}@1", donor.client())
    assert world.objects()[key] == good
    assert 15 < sum(waits) < RATE_LIMIT_SECONDS
