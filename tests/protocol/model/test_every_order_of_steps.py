"""Every order in which a few actors may take their steps: the text loses nothing, and each rule left out does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from actors import (
    IN_ORDER,
    NO_ORDER,
    RULES,
    aliaser,
    claimant,
    collector,
    eraser,
    migration,
    protector,
    pruner,
    publisher,
    restorer,
    swift_collector,
)
from explorer import GRACE, LONG_AGO, LossFoundError, Objects, Scene, explore, lives

V1 = {("manifest", 1): (("r1", ("b",)), LONG_AGO), ("blob", "b"): (None, LONG_AGO)}
V2 = {("manifest", 2): (("r2", ("c",)), LONG_AGO), ("blob", "c"): (None, LONG_AGO)}
PRUNED_NOW = {("state", 1, 1): (("pruned", "r1"), 0)}
PRUNED_LONG_AGO = {("state", 1, 1): (("pruned", "r1"), LONG_AGO)}


def what_was_told_is_there(names: tuple[str, ...]) -> Callable[[Objects, Mapping[str, Any]], None]:
    """Nobody pruned what these published: so it is live, and theirs."""

    def check(objects: Objects, told: Mapping[str, Any]) -> None:
        for name in names:
            version = told[name]
            if version is None:
                continue
            if not lives(objects, version) or objects["manifest", version][0][0] != name:
                raise LossFoundError(f"{name} was told that it is version {version}, and it is not")

    return check


def the_number_is_not_used_again(objects: Objects, told: Mapping[str, Any]) -> None:
    if objects.get(("manifest", 1), (("r1",),))[0][0] != "r1":
        raise LossFoundError("version 1 was erased, and somebody has published under its number")


def both(*checks: Callable[[Objects, Mapping[str, Any]], None]) -> Callable[[Objects, Mapping[str, Any]], None]:
    def check(objects: Objects, told: Mapping[str, Any]) -> None:
        for one in checks:
            one(objects, told)

    return check


def the_alias_is_live_or_somebody_was_told(objects: Objects, told: Mapping[str, Any]) -> None:
    newest = max(key[1] for key in objects if key[0] == "alias")
    target = objects["alias", newest][0]
    if target is not None and not lives(objects, target) and "told that the alias stays" not in told.values():
        raise LossFoundError(f"the alias names version {target}, which is not live, and nobody was told")


def restoring(rules: frozenset[str]) -> Scene:
    return Scene({"restorer": partial(restorer, rules, 1), "collector": partial(collector, rules)}, V1 | PRUNED_NOW)


def undoing_a_prune(rules: frozenset[str]) -> Scene:
    actors = {
        "pruner": partial(pruner, rules, 1),
        "aliaser": partial(aliaser, rules, 1),
        "collector": partial(collector, rules),
    }
    # The alias was there before, for another version.
    objects = V1 | V2 | {("alias", 1): (2, LONG_AGO)}
    return Scene(actors, objects, jumps=(GRACE + 1,), most_jumps=1, ends=the_alias_is_live_or_somebody_was_told)


def undoing_an_alias(rules: frozenset[str]) -> Scene:
    actors = {
        "pruner of 1": partial(pruner, rules, 1),
        "pruner of 2": partial(pruner, rules, 2),
        "aliaser": partial(aliaser, rules, 2),
    }
    objects = V1 | V2 | {("alias", 1): (1, LONG_AGO)}
    return Scene(actors, objects, most_jumps=0, ends=the_alias_is_live_or_somebody_was_told)


def leaving_out(rules: frozenset[str]) -> Scene:
    """A migration creates the state of a version that it leaves out, and somebody else publishes that number."""
    actors = {
        "migration": partial(migration, rules, 1, "migrated"),
        "published": partial(publisher, rules, "published"),
        "collector": partial(collector, rules),
    }
    return Scene(actors, {}, jumps=(GRACE + 1,), most_jumps=1, ends=_read_by(rules, "published"))


def _read_by(rules: frozenset[str], name: str) -> Callable[[Objects, Mapping[str, Any]], None]:
    """What was told is live also for readers who keep these rules, and its bytes are there."""

    def check(objects: Objects, told: Mapping[str, Any]) -> None:
        what_was_told_is_there((name,))(objects, told)
        version = told[name]
        hidden = any(key[:2] == ("state", version) for key in objects)
        if version is not None and hidden and "states speak of their manifest" not in rules:
            raise LossFoundError(f"readers of version {version} are told that it was left out")

    return check


def listing_in_no_order(rules: frozenset[str]) -> Scene:
    """What a migration leaves out is the very content that is being published."""
    actors = {
        "migration": partial(migration, rules, 1, "migrated", ("b",)),
        "published": partial(publisher, rules, "published", NO_ORDER),
    }
    return Scene(actors, {}, most_jumps=2)


def erasing(rules: frozenset[str]) -> Scene:
    actors = {
        "published": partial(publisher, rules, "published"),
        "pruner": partial(pruner, rules, 1),
        "eraser": partial(eraser, rules, 1),
        "collector": partial(collector, rules),
    }
    return Scene(
        actors,
        V1 | {("alias", 1): (None, LONG_AGO)},
        jumps=(GRACE + 1,),
        most_jumps=2,
        ends=both(what_was_told_is_there(("published",)), the_number_is_not_used_again),
    )


def the_head(rules: frozenset[str], order: tuple[str, ...] = IN_ORDER) -> Scene:
    actors = {"published": partial(publisher, rules, "published", order), "eraser": partial(eraser, rules, 1, order)}
    return Scene(actors, V1 | PRUNED_LONG_AGO, ends=the_number_is_not_used_again)


def an_open_claim(rules: frozenset[str]) -> Scene:
    actors = {"claimant": partial(claimant, rules, "claimed", 1), "eraser": partial(eraser, rules, 1)}
    return Scene(actors, V1 | V2 | PRUNED_LONG_AGO, ends=the_number_is_not_used_again)


def a_paused_machine(rules: frozenset[str]) -> Scene:
    actors = {
        "published": partial(publisher, rules, "published", paused=True),
        "collector": swift_collector,
    }
    return Scene(actors, {}, ends=what_was_told_is_there(("published",)), checks_always=False)


def an_erased_version_migrated(rules: frozenset[str]) -> Scene:
    """The destination erased it, and a migration runs again."""
    actors = {"migration": partial(migration, rules, 1, "r1 again")}
    objects = {("tomb", 1): ("r1", LONG_AGO)}
    return Scene(actors, objects, ends=the_number_is_not_used_again)


def what_is_protected_lives(objects: Objects, told: Mapping[str, Any]) -> None:
    """Whoever was told that they protect it does, and it is live; nobody else took that back."""
    ended = {key[1] for key in objects if key[0] == "end"}
    in_force = {key[1] for key in objects if key[0] == "protection"} - ended
    if "protected" not in told.values():
        return
    if not in_force:
        raise LossFoundError("somebody was told that version 1 is protected, and it is not")
    if not lives(objects, 1) and "told that the alias stays" not in told.values():
        raise LossFoundError("somebody was told that version 1 is protected, and it is pruned")


def protecting(rules: frozenset[str]) -> Scene:
    actors = {"pruner": partial(pruner, rules, 1, by="protection"), "protector": partial(protector, rules, 1)}
    return Scene(actors, V1, jumps=(GRACE + 1,), most_jumps=1, ends=what_is_protected_lives)


def protecting_twice(rules: frozenset[str]) -> Scene:
    """Two protect it, and one of them takes it back since it was pruned for a moment."""
    actors = {
        "pruner": partial(pruner, rules, 1, by="protection"),
        "one": partial(protector, rules, 1),
        "other": partial(protector, rules, 1),
    }
    return Scene(actors, V1, most_jumps=0, ends=what_is_protected_lives)


SCENES: dict[str, Callable[[frozenset[str]], Scene]] = {
    "restoring": restoring,
    "undoing a prune": undoing_a_prune,
    "undoing an alias": undoing_an_alias,
    "protecting": protecting,
    "protecting twice": protecting_twice,
    "leaving out": leaving_out,
    "listing in no order": listing_in_no_order,
    "erasing": erasing,
    "the head": the_head,
    "the head, in no order": partial(the_head, order=NO_ORDER),
    "an open claim": an_open_claim,
    "a paused machine": a_paused_machine,
    "an erased version migrated": an_erased_version_migrated,
}

MUTANTS = {
    "a restore has a deadline": "restoring",
    "an undone prune is a restore": "undoing a prune",
    "an undone alias looks at what it names": "undoing an alias",
    "an undone alias looks twice": "undoing an alias",
    "who protects looks again": "protecting",
    "prunes look again for protections": "protecting",
    "a protection has its own end": "protecting twice",
    "states speak of their manifest": "leaving out",
    "listings in no order are looked at again": "listing in no order",
    "erase waits for the grace": "erasing",
    "collectors stop at what is gone": "erasing",
    "collectors look at the time of tombs": "erasing",
    "tombs count for the head": "the head",
    "manifests are buried late": "the head, in no order",
    "claims look for tombs": "an open claim",
    "late wins look again": "a paused machine",
    "migrations look at both ends": "an erased version migrated",
}


@pytest.mark.full
@pytest.mark.parametrize("name", SCENES)
def test_no_order_of_steps_loses_anything(name):
    assert explore(SCENES[name](RULES)) > 1


@pytest.mark.parametrize("rule", sorted(RULES))
def test_without_the_rule_an_order_of_steps_is_found_that_does(rule):
    with pytest.raises(LossFoundError):
        explore(SCENES[MUTANTS[rule]](RULES - {rule}))
