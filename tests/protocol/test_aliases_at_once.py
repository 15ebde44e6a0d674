"""Aliases that several move at once: of those who expect the same exactly one succeeds, and the others are told."""

from __future__ import annotations

import itertools
import json
import shutil
from functools import partial

import pytest
from forked import fate_of, killed_at, race
from graves import set_state
from interleaving import Meanwhile
from worlds import IMPATIENT, NAME, RAW_NAME, LocalWorld, MemoryWorld

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AliasMovedError, ArtifactNotFoundError, ArtifactPrunedError, OutcomeUnknownError
from metamlflow.testing import FailBefore, FaultyBackend, LostReply, client_on

PREFIX = f"artifacts/{RAW_NAME}/_aliases/best/"
VERSIONS = 9


def filled(world):
    client = world.client()
    for number in range(VERSIONS):
        client.register_artifact(NAME, b"%d" % number)
    return world


def records(world) -> list[dict]:
    """The records of the alias, oldest first, past the code under test."""
    found = {key: json.loads(data) for key, data in world.objects().items() if key.startswith(PREFIX)}
    return [found[key] for key in sorted(found, reverse=True)]


@pytest.fixture
def world() -> MemoryWorld:
    return filled(MemoryWorld())


def moves(world: LocalWorld, me: int, times: int) -> list[tuple[int, int]]:
    """Move the alias as often as that succeeds, each time from what it stands for; return from where to where."""
    client, done = MetaMLFlowClient(str(world.root)), []
    while len(done) < times:
        current = client.aliases(NAME).get("best", 0)
        target = me if current != me else VERSIONS
        try:
            change = client.set_alias(NAME, "best", target, expected=current, note=f"by {me}")
        except AliasMovedError:
            continue
        done.append((change.number, current))
    return done


@pytest.mark.full
def test_of_eight_processes_that_compare_and_set_exactly_one_wins_each_number(tmp_path):
    world = filled(LocalWorld(tmp_path / "store"))
    told = race(*[partial(moves, world, me, 4) for me in range(1, 9)])
    won = sorted(pair for pairs in told for pair in pairs)
    assert [number for number, _ in won] == list(range(1, 33))
    found = records(world)
    # Each was made from the very version that the record before it says.
    assert [before for _, before in won] == [0, *(record["version"] for record in found[:-1])]
    assert [change.version for change in world.client().alias_history(NAME, "best")] == [r["version"] for r in found]


@pytest.mark.full
def test_of_eight_processes_with_one_expectation_one_wins_and_seven_are_told(tmp_path):
    world = filled(LocalWorld(tmp_path / "store"))

    def attempt(me: int) -> int:
        try:
            return MetaMLFlowClient(str(world.root)).set_alias(NAME, "best", me, expected=0).number
        except AliasMovedError as error:
            return -error.current

    told = race(*[partial(attempt, me) for me in range(1, 9)])
    assert max(told) == 1
    (record,) = records(world)
    assert sorted(told)[:-1] == [-record["version"]] * 7


def test_who_loses_the_claim_compares_again_and_changes_nothing(world):
    world.client().set_alias(NAME, "best", 1)
    other = Meanwhile(verb="create", key=f"{PREFIX}*", happens=lambda: world.client().set_alias(NAME, "best", 2))
    with pytest.raises(AliasMovedError, match="stands for version 2, and not for version 1") as caught:
        client_on(FaultyBackend(world.backend(), [other]), IMPATIENT).set_alias(NAME, "best", 3, expected=1)
    assert (caught.value.current, caught.value.expected, caught.value.alias) == (2, 1, "best")
    assert [record["version"] for record in records(world)] == [1, 2]


def test_who_loses_the_claim_to_somebody_who_left_the_version_goes_on(world):
    world.client().set_alias(NAME, "best", 1)
    other = Meanwhile(verb="create", key=f"{PREFIX}*", happens=lambda: world.client().set_alias(NAME, "best", 1))
    client_on(FaultyBackend(world.backend(), [other]), IMPATIENT).set_alias(NAME, "best", 3, expected=1)
    assert [record["version"] for record in records(world)] == [1, 1, 3]


def test_who_loses_the_claim_without_an_expectation_sets_the_alias_after_it(world):
    other = Meanwhile(verb="create", key=f"{PREFIX}*", happens=lambda: world.client().set_alias(NAME, "best", 1))
    change = client_on(FaultyBackend(world.backend(), [other]), IMPATIENT).set_alias(NAME, "best", 3)
    assert (change.number, [record["version"] for record in records(world)]) == (2, [1, 3])


def test_of_two_who_remove_at_once_one_is_told_that_it_is_gone(world):
    world.client().set_alias(NAME, "best", 1)
    for expected, error in ((None, ArtifactNotFoundError), (1, AliasMovedError)):
        world.client().set_alias(NAME, "best", 1)
        other = Meanwhile(verb="create", key=f"{PREFIX}*", happens=lambda: world.client().remove_alias(NAME, "best"))
        with pytest.raises(error):
            client_on(FaultyBackend(world.backend(), [other]), IMPATIENT).remove_alias(NAME, "best", expected=expected)
    assert [record["version"] for record in records(world)] == [1, 1, None, 1, None]


def pruning(world, version: int, *others, at: str = f"{PREFIX}*"):
    """A client whose claim of an alias is overtaken by a prune, and by what else happens right after it."""

    def happen() -> None:
        set_state(world, version, 1, "pruned")

    faults = [Meanwhile(verb="create", key=at, happens=happen), *others]
    return client_on(FaultyBackend(world.backend(), faults), IMPATIENT)


def test_an_alias_to_a_version_that_was_pruned_meanwhile_is_taken_back_and_says_so(world):
    world.client().set_alias(NAME, "best", 1)
    with pytest.raises(ArtifactPrunedError):
        pruning(world, 3).set_alias(NAME, "best", 3, expected=1, note="good")
    assert [record["version"] for record in records(world)] == [1, 3, 1]
    assert [record.get("note") for record in records(world)] == [
        None,
        "good",
        "undone: version 3 was given up meanwhile",
    ]


def test_taking_back_does_not_override_somebody_who_moved_the_alias_since(world):
    world.client().set_alias(NAME, "best", 1)
    # Between this client's record and its second look at the version.
    states = f"artifacts/{RAW_NAME}/_versions/*_v3.*"
    listed = Meanwhile(
        verb="list_objects", key=states, nth=2, happens=lambda: world.client().set_alias(NAME, "best", 5, expected=3)
    )
    with pytest.raises(ArtifactPrunedError):
        pruning(world, 3, listed).set_alias(NAME, "best", 3, expected=1)
    assert [record["version"] for record in records(world)] == [1, 3, 5]
    assert world.client().aliases(NAME) == {"best": 5}


@pytest.mark.parametrize("kind", [LostReply, FailBefore])
def test_an_answer_lost_at_any_call_ends_in_one_record_of_the_change(kind):
    for nth in range(1, 14):
        world = filled(MemoryWorld())
        world.client().set_alias(NAME, "best", 1)
        client = client_on(FaultyBackend(world.backend(), [kind(nth=nth)]), IMPATIENT)
        assert client.set_alias(NAME, "best", 2, expected=1).number == 2
        assert client.remove_alias(NAME, "best", expected=2).number == 3
        assert [record["version"] for record in records(world)] == [1, 2, None]


def test_an_outcome_that_stays_unknown_is_told_and_never_as_somebody_else_s_move(world):
    world.client().set_alias(NAME, "best", 1)
    key = f"{PREFIX}9999999997.json"
    faults = [LostReply(verb="create", key=key, times=None), FailBefore(verb="read", key=key, times=None)]
    with pytest.raises(OutcomeUnknownError):
        client_on(FaultyBackend(world.backend(), faults), IMPATIENT).set_alias(NAME, "best", 2, expected=1)
    assert [record["version"] for record in records(world)] == [1, 2]


@pytest.mark.full
def test_a_kill_at_any_call_leaves_the_alias_as_before_or_as_wanted(tmp_path):
    prepared = LocalWorld(tmp_path / "prepared")
    for content in (b"1", b"2"):
        prepared.client().register_artifact(NAME, content)
    prepared.client().set_alias(NAME, "best", 1)
    left = set()
    for nth, after in itertools.product(range(1, 50), (False, True)):
        world = LocalWorld(tmp_path / f"{nth}-{after}")
        shutil.copytree(prepared.root, world.root)

        def move(world=world, nth=nth, after=after) -> None:
            backend = world.backend()
            kill = killed_at(nth, after=after)
            for verb in ("create", "read", "list_objects"):
                setattr(backend, verb, kill(getattr(backend, verb)))
            client_on(backend, IMPATIENT).set_alias(NAME, "best", 2, expected=1)

        if fate_of(move) == 0:
            break
        left.add(world.client().aliases(NAME)["best"])
        world.client().set_alias(NAME, "best", 2)
        assert world.client().aliases(NAME) == {"best": 2}
    assert left == {1, 2}


def test_each_operation_on_aliases_costs_a_few_calls(world):
    client = world.client()
    for number in range(40):
        client.set_alias(NAME, "best", number % VERSIONS + 1)
    backend = FaultyBackend(world.backend())
    client = client_on(backend, IMPATIENT)
    client.create_store()
    artifact = client.get_artifact(NAME)
    costs = {
        "set": (lambda: client.set_alias(NAME, "best", 1, expected=4), 2 + 2 + 2 + 2),
        "remove": (lambda: client.remove_alias(NAME, "best"), 2 + 2 + 1),
        "history": (lambda: client.alias_history(NAME, "best"), 1 + 42),
        "aliases": (lambda: client.aliases(NAME), 1 + 1 + 1),
        "of an artifact": (lambda: artifact.aliases, 1 + 1 + 2),
        "in a list": (lambda: client.list_artifacts(NAME, include_aliases=True), 1 + VERSIONS + 1 + 1),
        "in a list of all": (lambda: client.list_artifacts(include_aliases=True), 1 + 2 + 1 + 1),
    }
    for what, (work, most) in costs.items():
        backend.calls.clear()
        work()
        assert len(backend.calls) <= most, (what, backend.calls)
