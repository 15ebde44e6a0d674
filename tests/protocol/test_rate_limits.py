"""A storage that says that it is asked too often: what creates waits for its turn, and not without end."""

from __future__ import annotations

import pytest
from worlds import NAME, MemoryWorld, assert_readable

from metamlflow.errors import OutcomeUnknownError, StorageUnavailableError
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


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_limit_without_end_is_told_after_the_stated_time(key):
    kind = OutcomeUnknownError if key == KEYS["commit"] else StorageUnavailableError
    with pytest.raises(kind, match="too many requests"):
        register(key, times=None)
