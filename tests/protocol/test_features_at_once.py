"""Real processes that turn on features of one store at the same moment, and that write while others do."""

from __future__ import annotations

import itertools
import json
import os
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from forked import fate_of, race

from metamlflow import MetaMLFlowClient
from metamlflow.errors import StoreFormatError
from metamlflow.format import features as features_module
from metamlflow.format.features import StoreFeatures
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.turn_on import turn_on
from metamlflow.testing import Crash, FaultyBackend

NAMES = [f"feature-{number:02}" for number in range(12)]


def turn_on_one(root: Path, name: str) -> StoreFeatures:
    features_module.KNOWN = StoreFeatures(tuple(NAMES), tuple(NAMES))
    wanted = StoreFeatures((name,)) if name < NAMES[6] else StoreFeatures((), (name,))
    return turn_on(Store(root.as_uri(), {}), wanted)


def lists(root: Path) -> list[dict]:
    """All lists, the oldest first; no number is left out."""
    files = sorted((root / "features").iterdir(), reverse=True)
    assert [path.name for path in files] == [f"{9_999_999_998 - place:010d}.json" for place in range(len(files))]
    return [json.loads(path.read_bytes()) for path in files]


@pytest.mark.full
@pytest.mark.parametrize("attempt", range(3))
def test_all_that_processes_turn_on_at_once_is_on(store_folder, attempt):
    MetaMLFlowClient(store_folder).create_store()
    told = race(*[partial(turn_on_one, store_folder, name) for name in NAMES])
    for name, features in zip(NAMES, told, strict=True):
        assert name in {*features.read, *features.write}
    found = lists(store_folder)
    for before, after in itertools.pairwise(found):
        assert set(before["read"]) <= set(after["read"])
        assert set(before["write"]) <= set(after["write"])
    assert (found[-1]["read"], found[-1]["write"]) == (NAMES[:6], NAMES[6:])


def test_two_processes_that_turn_on_the_same_need_one_list_of_it(store_folder):
    MetaMLFlowClient(store_folder).create_store()
    race(*[partial(turn_on_one, store_folder, NAMES[0]) for _ in range(6)])
    assert [(document["read"], document["write"]) for document in lists(store_folder)] == [([NAMES[0]], [])]


def write_until_refused(root: Path) -> int:
    client = MetaMLFlowClient(root)
    for count in range(10_000):
        try:
            client.register_artifact(f"by-{os.getpid()}", b"%d" % count)
        except StoreFormatError:
            return count
    raise AssertionError("never refused")


def test_processes_that_write_on_a_disk_stop_as_soon_as_it_is_turned_on(store_folder):
    MetaMLFlowClient(store_folder).create_store()
    writers = [partial(write_until_refused, store_folder) for _ in range(3)]
    *counts, _ = race(*writers, partial(turn_on_one, store_folder, NAMES[11]))
    manifests = list(store_folder.glob("artifacts/*/_versions/*.json"))
    assert len(manifests) == sum(counts), "each version that was made was told, and no other was"
    (record,) = (store_folder / "features").iterdir()
    late = [path for path in manifests if path.stat().st_mtime > record.stat().st_mtime + 30]
    assert late == []


def test_who_is_killed_before_or_after_its_list_leaves_the_old_or_the_new_one(store_folder):
    def dies(root: Path, fault: Crash) -> None:
        features_module.KNOWN = StoreFeatures(tuple(NAMES), tuple(NAMES))
        backend = FaultyBackend(Store(root.as_uri(), {}).backend, [fault])
        turn_on(Store(root.as_uri(), {}, backend=backend), StoreFeatures((NAMES[1],)))

    expectations: dict[Literal["before", "after"], list] = {"before": [], "after": [[NAMES[1]]]}
    for when, expected in expectations.items():
        root = store_folder / when
        MetaMLFlowClient(root).create_store()
        strike = Crash(verb="create", key="features/*", when=when)
        assert fate_of(partial(dies, root, strike)) == -9
        assert [document["read"] for document in (lists(root) if (root / "features").exists() else [])] == expected
        turn_on_one(root, NAMES[0])
        assert lists(root)[-1]["read"] == sorted([NAMES[0], *(expected[0] if expected else [])])
