"""An idempotency key whose version was pruned registers nothing: the retry is told, whatever it would register."""

from __future__ import annotations

import pytest
from graves import set_state
from worlds import NAME, manifest_key

from metamlflow.errors import ArtifactPrunedError


@pytest.fixture
def pruned(world):
    """Two versions; the second was registered under a key, and pruned; then a third."""
    for content, key in ((b"one", None), (b"two", "job"), (b"three", None)):
        world.client().register_artifact(NAME, content, idempotency_key=key)
    world.client().prune(NAME, versions=[2])
    return world


def register(client):
    return client.register_artifact(NAME, b"two", idempotency_key="job")


def register_if_changed(client):
    return client.register_artifact(NAME, b"three", idempotency_key="job", if_unchanged="reuse")


def register_in_a_run(client):
    with client.run("retry"):
        return register(client)


def point(client):
    return client.register_pointer(NAME, __file__, idempotency_key="job")


def roll_back(client):
    return client.rollback(NAME, 1, idempotency_key="job")


@pytest.mark.parametrize("attempt", [register, register_if_changed, register_in_a_run, point, roll_back])
def test_whoever_registers_under_it_is_told_until_when_it_can_be_restored(pruned, attempt, request):
    if attempt is point and "memory" in request.node.name:
        pytest.skip("only a store on a disk may point to files of this machine")
    before = {key for key in pruned.objects() if not key.startswith("runs/")}
    with pytest.raises(ArtifactPrunedError, match=r"@2 was pruned .*: its bytes are given up") as caught:
        attempt(pruned.client())
    assert caught.value.version == 2
    assert caught.value.restorable_until is not None
    assert f'client.restore("{NAME}@2")' in caught.value.hint
    assert "take another key" in caught.value.hint
    assert {key for key in pruned.objects() if not key.startswith("runs/")} == before


def test_a_client_that_registered_it_is_told_as_well(world):
    client = world.client()
    client.register_artifact(NAME, b"one", idempotency_key="job")
    client.register_artifact(NAME, b"two")
    world.client().prune(NAME, versions=[1])
    with pytest.raises(ArtifactPrunedError):
        client.register_artifact(NAME, b"one", idempotency_key="job")
    assert manifest_key(3) not in world.objects()


def test_a_version_that_is_restored_is_returned_again(pruned):
    pruned.client().restore(f"{NAME}@2")
    assert register(pruned.client()).version == 2


def test_a_version_that_a_migration_left_out_is_not_returned_either(world):
    world.client().register_artifact(NAME, b"one", idempotency_key="job")
    set_state(world, 1, 1, "absent")
    with pytest.raises(ArtifactPrunedError, match="left out") as caught:
        world.client().register_artifact(NAME, b"one", idempotency_key="job")
    assert "take another key" in caught.value.hint


def test_a_state_of_another_manifest_does_not_hide_it(world):
    world.client().register_artifact(NAME, b"one", idempotency_key="job")
    set_state(world, 1, 1, "pruned", manifest=b"another")
    assert world.client().register_artifact(NAME, b"one", idempotency_key="job").version == 1
