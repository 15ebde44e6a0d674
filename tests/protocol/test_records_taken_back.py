"""A record that a writer takes back, as it could have replaced another's, is no reason for others to fail."""

from __future__ import annotations

import pytest
from worlds import IMPATIENT, NAME, RAW_NAME, MemoryWorld

from metamlflow.errors import ObjectNotFoundError
from metamlflow.testing import FaultyBackend, client_on


class TakingBack(FaultyBackend):
    """Others' newest records below ``prefix`` go between a listing and the read of them."""

    def __init__(self, world, prefix: str, times: int) -> None:
        super().__init__(world.backend())
        self._world, self._prefix, self._left = world, prefix, times

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if key.startswith(self._prefix) and self._left:
            self._left -= 1
            self._world.remove(key)
        return super().read(key, start, end)


@pytest.fixture
def world() -> MemoryWorld:
    world = MemoryWorld()
    for number in range(4):
        world.client().register_artifact(NAME, b"%d" % number)
        world.client().set_alias(NAME, "prod", number + 1)
    return world


def test_a_writer_takes_the_version_before_for_the_newest(world):
    client = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_versions/", 2), IMPATIENT)
    assert client.register_artifact(NAME, b"mine").version == 3
    assert world.client().get_artifact(NAME).read_bytes() == b"mine"


def test_an_alias_is_set_after_the_record_before(world):
    client = client_on(TakingBack(world, f"artifacts/{RAW_NAME}/_aliases/", 2), IMPATIENT)
    client.set_alias(NAME, "prod", 1)
    assert world.client().get_artifact(NAME, "prod").version == 1


def test_a_listing_that_never_agrees_with_the_reads_is_told(world):
    class Listed(FaultyBackend):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if "_versions/" in key:
                raise ObjectNotFoundError(f"there is no object {key}", key=key)
            return super().read(key, start, end)

    backend = Listed(world.backend())
    with pytest.raises(ObjectNotFoundError):
        client_on(backend, IMPATIENT).register_artifact(NAME, b"mine")
    assert len(backend.calls) < 20
