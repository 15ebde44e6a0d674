"""Real processes that publish while another one erases what they have published, on one local store."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from forked import race
from graves import tomb_key, tomb_of
from worlds import NAME, LocalWorld, manifest_key, manifests

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactErasedError

WRITERS, TIMES = 4, 8
LONGER_THAN_A_PUBLISH = 2.0  # seconds: it stands for half the grace


def publish(world: LocalWorld, writer: int) -> list[int]:
    client = MetaMLFlowClient(str(world.root))
    told = []
    for number in range(TIMES):
        told.append(client.register_artifact(NAME, b"%d of %d" % (number, writer)).version)
        time.sleep(0.05)
    return told


def create_whole(path: Path, data: bytes) -> None:
    """Create a record in one step, as every writer does."""
    unfinished = path.parents[5] / path.name
    unfinished.write_bytes(data)
    unfinished.rename(path)


def erase(world: LocalWorld) -> list[int]:
    """Erase every second version as soon as it is there, the newest too; delete its manifest some time later."""
    erased: dict[int, float] = {}
    buried: list[int] = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        there = manifests(world.objects())
        for version in [version for version in there if version % 2 == 0 and version not in erased]:
            create_whole(world.root / tomb_key(version), tomb_of((world.root / manifest_key(version)).read_bytes()))
            erased[version] = time.monotonic()
        for version, moment in erased.items():
            if version not in buried and time.monotonic() > moment + LONGER_THAN_A_PUBLISH:
                world.remove(manifest_key(version))
                buried.append(version)
        if len(buried) == WRITERS * TIMES // 2:
            break
        time.sleep(0.01)
    return buried


@pytest.mark.full
def test_every_number_is_told_once_though_half_of_them_are_erased_meanwhile(tmp_path):
    world = LocalWorld(tmp_path / "store")
    world.client().create_store()
    *told, buried = race(*[partial(publish, world, writer) for writer in range(WRITERS)], partial(erase, world))
    everything = list(range(1, WRITERS * TIMES + 1))
    assert sorted(version for numbers in told for version in numbers) == everything
    assert sorted(buried) == [version for version in everything if version % 2 == 0]
    client = world.client()
    assert client.list_versions(NAME) == [version for version in everything if version % 2]
    assert client.history(NAME).ok
    try:
        client.get_artifact(NAME, everything[-1])
    except ArtifactErasedError:
        assert client.register_artifact(NAME, b"next").version == len(everything) + 1
    else:
        raise AssertionError("the newest version was erased")
