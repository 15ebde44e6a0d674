"""Real processes that prune, name, protect and restore the same versions at once, on one folder."""

from __future__ import annotations

from functools import partial

import pytest
from forked import race
from timed import LAST
from worlds import NAME, LocalWorld

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactPrunedError, ConflictError

VERSIONS = range(1, 13)


@pytest.fixture
def world(tmp_path) -> LocalWorld:
    world = LocalWorld(tmp_path / "store")
    client = world.client()
    for number in VERSIONS:
        client.register_artifact(NAME, b"%d" % number)
    return world


def pruned_by(world: LocalWorld, **rules) -> tuple[list[int], list[int]]:
    report = MetaMLFlowClient(str(world.root)).prune(NAME, **rules)
    return [d.version for d in report.pruned], [d.version for d in report.failed]


def named_by(world: LocalWorld, offset: int) -> list[int]:
    """Give each version an alias of its own; return those of which no error told."""
    client, named = MetaMLFlowClient(str(world.root)), []
    for version in VERSIONS[offset::2]:
        try:
            client.set_alias(NAME, f"a-{version}-{offset}", version)
            named.append(version)
        except ArtifactPrunedError:
            continue
    return named


def protected_by(world: LocalWorld, offset: int) -> list[int]:
    client, protected = MetaMLFlowClient(str(world.root)), []
    for version in VERSIONS[offset::2]:
        try:
            client.protect(f"{NAME}@{version}")
            protected.append(version)
        except ArtifactPrunedError:
            continue
    return protected


def restored_by(world: LocalWorld) -> None:
    client = MetaMLFlowClient(str(world.root))
    for version in VERSIONS:
        try:
            client.restore(f"{NAME}@{version}")
        except ConflictError:
            continue


def test_what_was_named_or_protected_is_live_whoever_pruned_meanwhile(world):
    namers = [partial(named_by, world, 0), partial(protected_by, world, 1)]
    pruners = [partial(pruned_by, world, keep_last=1) for _ in range(3)]
    *held, first, second, third = race(*namers, *pruners)
    client = world.client()
    live = client.list_versions(NAME)
    failed = {*first[1], *second[1], *third[1]}
    assert set().union(*held) - failed <= set(live)
    assert failed == set()
    assert live[-1] == VERSIONS[-1]
    assert set(client.aliases(NAME).values()) == set(held[0])
    assert {protection.version for protection in client.protections()} == set(held[1])


@pytest.mark.parametrize("attempt", range(2))
def test_appliers_of_a_rule_and_somebody_who_prunes_by_hand_each_tell_what_they_took(world, attempt):
    by_hand = [partial(pruned_by, world, versions=[8, 9]), partial(pruned_by, world, versions=[10, 11])]
    told = race(*[partial(pruned_by, world, keep_last=5) for _ in range(2)], *by_hand)
    live = world.client().list_versions(NAME)
    assert live[-1] == 12
    assert not any(failed for _, failed in told)
    pruned = [version for versions, _ in told for version in versions]
    assert sorted([*pruned, *live]) == list(VERSIONS), "each was pruned by just one of them, who said so"
    assert set(told[2][0] + told[3][0]) == {8, 9, 10, 11}


def test_pruners_and_restorers_at_once_leave_states_that_make_sense(world):
    race(partial(pruned_by, world, keep_last=1), partial(restored_by, world), partial(pruned_by, world, keep_last=3))
    client = world.client()
    for version in VERSIONS:
        folder = world.root / "artifacts/team/!model/_versions"
        states = sorted(folder.glob(f"*_v{version}.state-*.json"), reverse=True)
        assert [LAST - int(path.name[-15:-5]) for path in states] == list(range(1, len(states) + 1))
    for version in client.list_versions(NAME):
        assert client.get_artifact(NAME, version).verify("full")
    assert client.list_versions(NAME)[-1] == 12
