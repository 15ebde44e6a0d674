"""What people do to a store, each by one call of a real client, and what must hold once a call has told its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from records import Records, digest_of
from served import Served
from stage import GRACE, Actor

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import IntegrityError, MetaMLFlowError, OutcomeUnknownError, StoreFormatError

NAMES, ALIASES, JOBS = ("a", "b"), ("x", "y"), (None, None, "job 1", "job 2")
CONTENTS = (b"zero", b"one", b"two", b"three")


@dataclass
class Ends:
    """What one machine has: a client of each of two stores, their bytes, and the stores' records."""

    clients: list[MetaMLFlowClient]
    served: list[Served]
    stores: list[Records]


@dataclass
class Deed:
    """One call: what it is, what it does, and what must hold when it returns."""

    what: str
    at: Records
    work: Callable[[], Any]
    told: Callable[[Actor], None] = lambda _: None
    failed: Callable[[Actor], None] = lambda _: None


def a_name(choice: int) -> str:
    """One of the names, the first one more often."""
    return NAMES[choice % 4 == 0]


def a_name_with_given_up(at: Records, choice: int) -> str | None:
    """A name that has a version which was given up and not erased; None if there is none."""
    names = sorted({name for (name, _), found in at.versions().items() if found.manifest and found.holding_state})
    return names[choice % len(names)] if names else None


def a_number(at: Records, name: str, choice: int, *, given_up: bool = False, soon: bool = False) -> int:
    """One of the versions of a name, or the next one; mostly of those that are live, or that were given up."""
    versions = at.versions()
    there = sorted(v for (n, v), found in versions.items() if n == name and found.manifest)
    fitting = [v for v in there if versions[name, v].is_live is not given_up]
    if soon:  # given up so short ago that it may come back
        young = [v for v in fitting if at.time.now - versions[name, v].newest[1].modified < GRACE / 2]
        fitting = young or fitting
    if choice % 8 and fitting:
        return fitting[choice // 8 % len(fitting)]
    return 1 + choice // 8 % (at.newest_number(name) + 1)


def publish(ends: Ends, place: int, a: int, b: int, c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name(a)
    files = {"f0": CONTENTS[b % 4], **({"f1": CONTENTS[b // 4 % 4]} if b % 3 == 0 else {})}
    job, reuse = JOBS[c % 4], "reuse" if c % 5 == 0 else "new_version"

    def told(actor: Actor) -> None:
        _acknowledge(at, actor.result)
        if job is None and reuse == "new_version":
            entries = actor.result.entries
            assert {entry.path: entry.sha256 for entry in entries} == {
                path: digest_of(data).removeprefix("sha256:") for path, data in files.items()
            }

    def failed(actor: Actor) -> None:
        if job is None and not isinstance(actor.error, OutcomeUnknownError):
            at.refused_ids.update(actor.ids)

    return Deed(
        f"publish {name}",
        at,
        lambda: client.register_artifact(name, dict(files), idempotency_key=job, if_unchanged=reuse),
        told,
        failed,
    )


def _acknowledge(at: Records, artifact: Any) -> None:
    version = artifact.name, artifact.version
    known = at.acknowledged.setdefault(version, artifact.manifest_digest)
    assert known == artifact.manifest_digest, f"{version} was told twice, with other content"
    assert at.first.get(version, known) == known, f"{version} is not what was told"


def roll_back(ends: Ends, place: int, a: int, b: int, c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name(a)
    version = a_number(at, name, b)
    job = JOBS[c % 4]

    def failed(actor: Actor) -> None:
        if job is None and not isinstance(actor.error, OutcomeUnknownError):
            at.refused_ids.update(actor.ids)

    return Deed(
        f"roll back {name}@{version}",
        at,
        lambda: client.rollback(name, version, idempotency_key=job),
        lambda actor: _acknowledge(at, actor.result),
        failed,
    )


def name_by_alias(ends: Ends, place: int, a: int, b: int, c: int) -> Deed:
    client, at, name, alias = ends.clients[place], ends.stores[place], a_name(a), ALIASES[c % 2]
    version = a_number(at, name, b)
    expected = None if c % 3 else at.alias(name, alias)[1] or 0

    def told(actor: Actor) -> None:
        number = actor.result.number
        assert at.alias(name, alias)[0] >= number
        if actor.result.version is not None:
            at.aliased[name, alias] = max(at.aliased.get((name, alias), (0, 0)), (number, version))
            at.check_holders()

    return Deed(
        f"alias {name} {alias} -> {version}",
        at,
        lambda: client.set_alias(name, alias, version, expected=expected),
        told,
    )


def remove_an_alias(ends: Ends, place: int, a: int, _b: int, c: int) -> Deed:
    client, at, name, alias = ends.clients[place], ends.stores[place], a_name(a), ALIASES[c % 2]
    return Deed(f"alias rm {name} {alias}", at, lambda: client.remove_alias(name, alias))


def prune(ends: Ends, place: int, a: int, b: int, c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name(a)
    version = a_number(at, name, b)
    rule: dict[str, Any] = {"keep_last": 1} if c % 4 == 0 else {"versions": [version]}
    at.may_be_given_up.add(name)

    def told(actor: Actor) -> None:
        found = at.versions()
        for decision in actor.result.pruned:
            states = found[decision.name, decision.version].states.values()
            mine = {document["record_id"] for document, _ in states if document["state"] == "pruned"} & set(actor.ids)
            assert mine, f"{decision.name}@{decision.version} was reported as pruned"
            at.pruned_ids |= mine
        at.check_holders()

    return Deed(f"prune {name} {rule}", at, lambda: client.prune(name, even_if_used=c % 3 == 0, **rule), told)


def restore(ends: Ends, place: int, a: int, b: int, c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name_with_given_up(ends.stores[place], a)
    if name is None:
        return prune(ends, place, a, b, c)
    version = a_number(at, name, b, given_up=True, soon=True)

    def told(_: Actor) -> None:
        states = [document["state"] for document, _ in at.versions()[name, version].states.values()]
        assert "restored" in states

    return Deed(f"restore {name}@{version}", at, lambda: client.restore(f"{name}@{version}"), told)


def protect(ends: Ends, place: int, a: int, b: int, _c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name(a)
    version = a_number(at, name, b)

    def told(actor: Actor) -> None:
        at.protected.add((name, version, actor.result.number))
        at.check_holders()

    return Deed(f"protect {name}@{version}", at, lambda: client.protect(f"{name}@{version}"), told)


def unprotect(ends: Ends, place: int, a: int, b: int, _c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name(a)
    version = a_number(at, name, b)
    return Deed(f"unprotect {name}@{version}", at, lambda: client.unprotect(f"{name}@{version}"))


def erase(ends: Ends, place: int, a: int, b: int, c: int) -> Deed:
    client, at, name = ends.clients[place], ends.stores[place], a_name_with_given_up(ends.stores[place], a)
    if name is None:
        return prune(ends, place, a, b, c)
    version = a_number(at, name, b, given_up=True)

    def told(actor: Actor) -> None:
        if actor.result.ok:
            assert (name, version) in at.tombs, f"{name}@{version} was reported as erased"

    return Deed(f"erase {name}@{version}", at, lambda: client.erase(f"{name}@{version}", "asked for"), told)


def collect(ends: Ends, place: int, _a: int, _b: int, c: int) -> Deed:
    client, at = ends.clients[place], ends.stores[place]
    planned: list[str] = []

    def by_a_plan() -> Any:
        plan = client.collect_garbage(dry_run=True)
        planned.extend(item.key for item in plan.objects())
        planned.extend(plan.manifests)
        return client.collect_garbage(plan=plan)

    def told(actor: Actor) -> None:
        if c % 2:
            assert set(actor.deleted) <= set(planned), "more was deleted than the plan lists"

    return Deed("collect by a plan" if c % 2 else "collect", at, by_a_plan if c % 2 else client.collect_garbage, told)


def examine(ends: Ends, place: int, _a: int, _b: int, _c: int) -> Deed:
    return Deed("fsck", ends.stores[place], ends.clients[place].fsck)


def move(ends: Ends, _place: int, a: int, _b: int, c: int) -> Deed:
    """Migrate the first store to the second: one name or all, all content or that of the newest versions alone."""
    at = ends.stores[1]
    at.may_be_given_up.update(NAMES)
    names = None if a % 3 == 0 else [a_name(a)]
    versions: Any = "latest" if c % 2 else None
    return Deed(f"migrate {names} {versions}", at, lambda: migrate(*ends.clients, names, versions=versions))


DEEDS: dict[str, Callable[[Ends, int, int, int, int], Deed]] = {
    "publish": publish,
    "roll back": roll_back,
    "set an alias": name_by_alias,
    "remove an alias": remove_an_alias,
    "prune": prune,
    "restore": restore,
    "protect": protect,
    "unprotect": unprotect,
    "erase": erase,
    "collect": collect,
    "examine": examine,
    "migrate": move,
}


def judge(deed: Deed, actor: Actor) -> None:
    """Check what a call told, by returning or by an error."""
    error = actor.error
    if actor.is_killed:
        return
    if error is None:
        deed.told(actor)
        return
    assert isinstance(error, MetaMLFlowError), f"{deed.what}: {error!r}"
    assert not isinstance(error, StoreFormatError), f"{deed.what}: {error!r}"
    assert not (deed.what.startswith("collect") and isinstance(error, IntegrityError)), f"{deed.what}: {error!r}"
    deed.failed(actor)
