"""A name's record that was lost is written again, and doctor tells of those that are missing."""

from __future__ import annotations

import pytest
from worlds import IMPATIENT, NAME, RAW_NAME, LocalWorld, MemoryWorld

from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.doctor import examine
from metamlflow.testing import FaultyBackend, client_on

RECORD = f"names/{RAW_NAME}.json"


def lose(world) -> None:
    world.client().register_artifact(NAME, b"first")
    world.client().register_artifact("other", b"first")
    world.remove(RECORD)


def names_check(world, tmp_path):
    checks = examine(world.client()._store, FileCache(tmp_path / "cache"))
    return next(check for check in checks if check.name == "listing")


def test_on_a_disk_the_next_version_writes_it_again(store_folder):
    world = LocalWorld(store_folder)
    lose(world)
    world.client().register_artifact(NAME, b"second")
    assert RECORD in world.objects()


def test_a_client_that_knows_the_name_writes_it_again_within_the_budget():
    world = MemoryWorld()
    lose(world)
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    client.get_artifact(NAME)
    for number in range(3):
        backend.calls.clear()
        client.register_artifact(NAME, b"%d" % number)
        assert len(backend.calls) <= 4
        assert (("create", RECORD) in backend.calls) == (number == 0), "once"
    assert RECORD in world.objects()
    assert NAME in {artifact.name for artifact in world.client().list_artifacts()}


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_doctor_names_the_names_that_no_list_shows(kind, store_folder, tmp_path):
    world = LocalWorld(store_folder) if kind == "local" else MemoryWorld()
    world.client().register_artifact("other", b"1")
    assert names_check(world, tmp_path).verdict == "ok"
    lose(world)
    check = names_check(world, tmp_path)
    assert check.verdict == "warning"
    told = f"1 of 2 names that were looked at have versions and no record, so lists of names leave them out: {NAME}"
    assert check.found == told
    assert "writes the record again" in check.remedy
