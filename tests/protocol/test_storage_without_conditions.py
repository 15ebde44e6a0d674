"""A storage that no longer refuses to create a key that exists: found out before a version could be lost."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import IMPATIENT, NAME, World, assert_readable, manifests

from metamlflow.errors import AlreadyExistsError, UnsupportedStoreError
from metamlflow.testing import FaultyBackend, LostReply, client_on


class Overwriting:
    """A backend whose creates replace what is there, as on a server that ignores the condition."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inner = world.backend()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, key: str, data: bytes) -> None:
        try:
            self._inner.create(key, data)
        except AlreadyExistsError:
            self._world.write(key, data)


def register(backend: Any, **options: Any) -> None:
    client_on(backend, IMPATIENT).register_artifact(NAME, b"second", **options)


@pytest.mark.parametrize("options", [{}, {"idempotency_key": "job"}, {"if_unchanged": "reuse"}], ids=str)
def test_the_first_write_of_a_new_client_is_refused_before_any_claim(world, options):
    world.client().register_artifact(NAME, b"first")
    before = world.objects()
    log = FaultyBackend(Overwriting(world))
    with pytest.raises(UnsupportedStoreError, match="second creation"):
        register(log, **options)
    assert [call.key for call in log.calls if call.verb in {"create", "put"}] == ["metamlflow.json"]
    assert world.objects() == before


def test_every_write_of_the_same_client_is_refused_and_reading_goes_on(world):
    world.client().register_artifact(NAME, b"first")
    client = client_on(Overwriting(world), IMPATIENT)
    for _ in range(3):
        with pytest.raises(UnsupportedStoreError):
            client.register_artifact(NAME, b"second")
    assert client.get_artifact(NAME).read_bytes() == b"first"
    assert list(manifests(world.objects())) == [1]


def test_it_is_found_out_although_the_reply_to_the_probe_was_lost(world):
    world.client().register_artifact(NAME, b"first")
    before = world.objects()
    with pytest.raises(UnsupportedStoreError):
        register(FaultyBackend(Overwriting(world), [LostReply(verb="create", key="metamlflow.json")]))
    assert world.objects() == before


def test_a_store_is_not_put_to_use_on_such_a_storage(world):
    for write in (lambda c: c.create_store(), lambda c: c.register_artifact(NAME, b"first")):
        with pytest.raises(UnsupportedStoreError):
            write(client_on(Overwriting(world), IMPATIENT))
    assert list(world.objects()) == ["metamlflow.json"]


def test_a_storage_that_honours_conditions_again_is_used_again(world):
    world.client().register_artifact(NAME, b"first")
    with pytest.raises(UnsupportedStoreError):
        register(Overwriting(world))
    register(world.backend())
    assert_readable(world)
    assert list(manifests(world.objects())) == [1, 2]


def test_a_client_asks_once_and_a_new_one_asks_again(world):
    log = FaultyBackend(world.backend())
    client = client_on(log, IMPATIENT)
    client.register_artifact(NAME, b"1")
    client.register_artifact(NAME, b"2")
    client_on(log, IMPATIENT).register_artifact(NAME, b"3")
    probes = [call for call in log.calls if call == ("create", "metamlflow.json")]
    assert len(probes) == 3, "one creation of the store, and one probe for each client"
