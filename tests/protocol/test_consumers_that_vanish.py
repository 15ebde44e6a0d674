"""Consumers that are erased, or taken back by their writers, while somebody asks what was made from a version."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from graves import erase
from interleaving import Meanwhile
from worlds import IMPATIENT, NAME, RAW_NAME, MemoryWorld, manifest_key

from metamlflow.format.runs import EDGE
from metamlflow.testing import Fault, FaultyBackend, client_on


@dataclass(frozen=True, kw_only=True)
class Told(Fault):
    """A listing that is told of once it is complete."""

    done: threading.Event = field(default_factory=threading.Event)

    def strike(self, apply, where, around):
        found = list(apply())
        self.done.set()
        return iter(found)


@pytest.mark.parametrize("how", ["erased", "taken back"])
def test_a_consumer_that_vanishes_after_its_name_was_listed_is_none_and_no_damage(how):
    """The name is listed for the sake of an edge that leads nowhere, which is before the other one vanishes."""
    world = MemoryWorld()
    client = world.client()
    client.register_artifact("raw", b"r")
    client.register_artifact(NAME, b"1", inputs=["raw@1"])
    client.register_artifact(NAME, b"2", inputs=["raw@1"])
    world.write(f"edges/raw/_v1/{RAW_NAME}@7", EDGE)
    told = Told(verb="list_objects", key=f"artifacts/{RAW_NAME}/*")

    def vanish() -> None:
        told.done.wait(10)
        if how == "erased":
            erase(world, 1)
        else:
            world.remove(manifest_key(1))

    late = Meanwhile(verb="read", key=manifest_key(1), happens=vanish)
    lineage = client_on(FaultyBackend(world.backend(), [told, late]), IMPATIENT).lineage("raw@1", "downstream")
    assert told.done.is_set()
    assert set(lineage.artifacts) == {f"{NAME}@2", "raw@1"}
    assert lineage.complete
