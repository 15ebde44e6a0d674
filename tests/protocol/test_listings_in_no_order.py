"""Listings that show a late object and miss an earlier one: nothing is relied on that may have been left out."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from graves import state_key, state_of
from worlds import IMPATIENT, NAME, LocalWorld, MemoryWorld, manifest_key

from metamlflow.errors import AccessDeniedError
from metamlflow.testing import MemoryBackend, client_on

CONTENT = b"never brought to this store"
SHA = hashlib.sha256(CONTENT).hexdigest()


class Gathering(MemoryBackend):
    """A listing of the versions misses one record, once, although a later one is in it."""

    gathers_listings = True
    missed: str | None = None
    listings = 0

    def list_objects(self, prefix="", *, after="", limit=None):
        if prefix.startswith("blobs/"):  # nor is there a look at what is relied on
            raise AccessDeniedError("these credentials may not list content")
        found = list(super().list_objects(prefix, after=after, limit=limit))
        if "_versions/" in prefix:
            self.listings += 1
            if self.missed in {info.key for info in found}:
                missed, self.missed = self.missed, None
                found = [info for info in found if info.key != missed]
        return iter(found)

    list_after = None  # so that it is not taken for a flat row of keys


class InOrder(MemoryBackend):
    """The same counts, where listings come in key order."""

    listings = 0

    def list_objects(self, prefix="", *, after="", limit=None):
        self.listings += "_versions/" in prefix
        return super().list_objects(prefix, after=after, limit=limit)


@pytest.fixture
def world() -> MemoryWorld:
    """A store that a migration is bringing version 2 to, without its bytes: the state is there, then the manifest."""
    world = MemoryWorld()
    world.client().register_artifact(NAME, b"first")
    document = json.loads(world.objects()[manifest_key(1)])
    (entry,) = document["entries"]
    key = f"blobs/sha256/{SHA[:2]}/{SHA}"
    entry |= {"key": key, "sha256": SHA, "size": len(CONTENT)}
    line = json.dumps([entry["path"], len(CONTENT), SHA], separators=(",", ":")) + "\n"
    document |= {
        "version": 2,
        "record_id": "2" * 32,
        "previous": f"sha256:{hashlib.sha256(world.objects()[manifest_key(1)]).hexdigest()}",
        "digest": f"sha256:{hashlib.sha256(line.encode()).hexdigest()}",
        "size": len(CONTENT),
    }
    manifest = json.dumps(document).encode()
    world.write(state_key(2, 1), state_of(manifest, "absent"))
    world.write(manifest_key(2), manifest)
    return world


def published(world: MemoryWorld, backend: MemoryBackend) -> bytes:
    """Publish the very content through this backend, and read it back through another one."""
    client = client_on(backend, IMPATIENT)
    client.create_store()
    backend.listings = 0
    number = client.register_artifact(NAME, CONTENT).version
    assert number == 3
    return world.client().get_artifact(NAME, 3).read_bytes()


def test_a_version_whose_state_a_listing_missed_is_not_relied_on(world):
    backend = Gathering(world.bucket)
    backend.missed = state_key(2, 1)
    assert published(world, backend) == CONTENT
    assert backend.missed is None, "the listing did miss it"


def test_the_versions_are_listed_again_only_where_a_listing_may_miss_something(world):
    backend = InOrder(world.bucket)
    assert published(world, backend) == CONTENT
    assert backend.listings <= 1


@pytest.mark.parametrize(("age", "again"), [(timedelta(days=30), 0), (timedelta(minutes=1), 1)])
def test_on_a_disk_a_manifest_from_before_the_listing_spares_the_second_one(age, again, tmp_path, monkeypatch):
    world = LocalWorld(tmp_path / "store")
    world.client().register_artifact(NAME, b"first")
    path = world.root / manifest_key(1)
    moment = time.time() - age.total_seconds()
    os.utime(path, (moment, moment))
    backend = world.backend()
    client = client_on(backend, IMPATIENT)
    client.create_store()
    looks = counted_looks(backend, monkeypatch)
    client.register_artifact(NAME, b"second")
    assert len(looks()) == again


def counted_looks(backend, monkeypatch) -> Callable[[], list[str]]:
    """The listings of single versions from now on."""
    prefixes: list[str] = []
    listed = type(backend).list_objects

    def list_objects(self, prefix="", **rest):
        prefixes.append(prefix)
        return listed(self, prefix, **rest)

    monkeypatch.setattr(type(backend), "list_objects", list_objects)
    return lambda: [prefix for prefix in prefixes if "_v" in prefix.rpartition("/")[2]]
