"""What publishers, pruners, erasers, collectors and migrations do, step by step, as sections 9 to 15 of SPEC.md say it.

``rules`` names the rules that are kept. Leaving one out makes a mutant, in which a loss must be found.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from explorer import GRACE, Actor, Key, newest_state

AGE = GRACE * 3 // 8
HALF = GRACE // 2
SOON = GRACE // 16
EVER = 10_000

RULES = frozenset(
    {
        "a restore has a deadline",
        "an undone prune is a restore",
        "an undone alias looks at what it names",
        "an undone alias looks twice",
        "who protects looks again",
        "prunes look again for protections",
        "a protection has its own end",
        "states speak of their manifest",
        "listings in no order are looked at again",
        "erase waits for the grace",
        "tombs count for the head",
        "claims look for tombs",
        "collectors stop at what is gone",
        "collectors look at the time of tombs",
        "manifests are buried late",
        "late wins look again",
        "migrations look at both ends",
    }
)

IN_ORDER = ("manifest", "state", "tomb")
NO_ORDER = ("tomb", "state", "manifest")


def listed(order: tuple[str, ...]) -> Generator[Any, Any, dict[Key, Any]]:
    """A listing of the versions: it comes to one kind of key after the other, and time passes in between."""
    found: dict[Key, Any] = {}
    for kind in order:
        found.update((yield ("look", kind)))
    return found


def _is_hidden(found: dict[Key, Any], version: int, rules: frozenset[str]) -> bool:
    """Whether the newest state takes the version away, for whoever compares it with the manifest."""
    number = newest_state(found, version)
    if number % 2 == 0:
        return False
    of = found["state", version, number][0][1]
    return "states speak of their manifest" not in rules or of == found["manifest", version][0][0]


# --- publish ----------------------------------------------------------------------------------------------------------


def publisher(
    rules: frozenset[str], record: str, order: tuple[str, ...] = IN_ORDER, *, paused: bool = False, blob: str = "b"
) -> Actor:
    """Publish one blob. It is relied on where the newest version is seen live and names it; else it is put anew.

    ``paused``: the machine may be paused between the look at its clock and the request.
    """
    begun = yield ("clock",)
    for _ in range(3):
        found = yield from listed(order)
        head = _head(found, rules)
        key = blob
        if head and ("manifest", head) in found and newest_state(found, head) % 2 == 0 and ("tomb", head) not in found:
            named = yield ("read", ("manifest", head))
            certain = order == IN_ORDER or found["manifest", head][1] < begun - SOON
            if not certain and "listings in no order are looked at again" in rules:
                states = dict((yield ("look", "state")))
                certain = newest_state(states, head) % 2 == 0
            elif named is not None:
                certain = True
            relied = named is not None and certain and blob in named[1]
        else:
            relied = False
        if not relied:
            key = f"{blob} of {record}"
            yield ("put", ("blob", key))
        latest = EVER if paused else begun + AGE
        result = yield ("claim", ("manifest", head + 1), (record, (key,)), latest)
        if result == "too late":
            return None
        if result == "won" and (yield from _holds(rules, begun, head + 1, key)):
            return head + 1
    return None


def _head(found: dict[Key, Any], rules: frozenset[str]) -> int:
    kinds = {"manifest", "tomb"} if "tombs count for the head" in rules else {"manifest"}
    return max((key[1] for key in found if key[0] in kinds), default=0)


def _holds(rules: frozenset[str], begun: int, version: int, blob: str) -> Generator[Any, Any, bool]:
    seen = yield ("clock",)
    if seen - begun <= HALF or "late wins look again" not in rules:
        return True
    if (yield ("read", ("tomb", version))) is not None:
        return False
    yield ("put", ("blob", blob))
    return True


def claimant(rules: frozenset[str], record: str, version: int) -> Actor:
    """Carry out an open idempotency claim on a number."""
    found = yield ("read", ("manifest", version))
    tomb = (yield ("read", ("tomb", version))) if "claims look for tombs" in rules else None
    if tomb is not None and (found is None or found[0] != tomb):
        return "spent"
    if found is not None:
        return "published" if found[0] == record else "dead"
    yield ("put", ("blob", record))
    begun = yield ("clock",)
    return (yield ("claim", ("manifest", version), (record, (record,)), begun + AGE))


# --- prune, restore, alias --------------------------------------------------------------------------------------------


def restorer(rules: frozenset[str], version: int, *, deadline: str = "a restore has a deadline") -> Actor:
    """Restore a pruned version."""
    begun = yield ("clock",)
    states = dict((yield ("look", "state")))
    number = newest_state(states, version)
    age = yield ("age", ("state", version, number))
    if age >= HALF:
        return "refused"
    manifest = yield ("read", ("manifest", version))
    for blob in manifest[1]:
        if (yield ("age", ("blob", blob))) is None:
            return "refused"
    latest = begun + HALF - age - 1 if deadline in rules else EVER
    return (yield ("claim", ("state", version, number + 1), ("restored", manifest[0]), latest))


def pruner(rules: frozenset[str], version: int, *, by: str = "alias") -> Actor:
    """Prune a version, unless an alias stands for it, or it is protected: the scene says which of the two matters."""
    if (yield from _held(version, by)):
        return "refused"
    manifest = yield ("read", ("manifest", version))
    states = dict((yield ("look", "state")))
    number = newest_state(states, version) + 1
    if number % 2 == 0:
        return "done"
    if (yield ("claim", ("state", version, number), ("pruned", manifest[0]), EVER)) != "won":
        return "done"
    looks_again = by == "alias" or "prunes look again for protections" in rules
    if not looks_again or not (yield from _held(version, by)):
        return "pruned"
    if "an undone prune is a restore" not in rules:
        return (yield ("claim", ("state", version, number + 1), ("restored", manifest[0]), EVER))
    result = yield from restorer(rules, version)
    return "restored" if result in {"won", "lost"} else "told that the alias stays"


def _held(version: int, by: str) -> Generator[Any, Any, bool]:
    if by == "alias":
        return version in _targets((yield ("look", "alias")))
    return bool((yield from open_protections()))


def open_protections() -> Generator[Any, Any, set[int]]:
    """The protections of the one version in force: their ends list first."""
    ended = {key[1] for key, _ in (yield ("look", "end"))}
    return {key[1] for key, _ in (yield ("look", "protection"))} - ended


def protector(rules: frozenset[str], version: int) -> Actor:
    """Protect the one version."""
    if not (yield from _lives(version)):
        return "refused"
    number = yield from _protection_of_mine(rules)
    if "who protects looks again" in rules and not (yield from _lives(version)):
        yield ("claim", ("end", number), None, EVER)
        return "refused"
    return "protected"


def _protection_of_mine(rules: frozenset[str]) -> Generator[Any, Any, int]:
    while True:
        known = {key[1] for key, _ in (yield ("look", "protection"))}
        if "a protection has its own end" not in rules and known:
            return max(known)  # as by parity: whoever finds one in force has nothing to do
        number = max(known, default=0) + 1
        if (yield ("claim", ("protection", number), None, EVER)) == "won":
            return number


def aliaser(rules: frozenset[str], version: int) -> Actor:
    """Give the one alias to a version."""
    if not (yield from _lives(version)):
        return "refused"
    before = yield from _append(version)
    if (yield from _lives(version)):
        return "set"
    if "an undone alias looks at what it names" not in rules:
        yield from _append(before)
        return "undone"
    if before is not None and not (yield from _lives(before)):
        before = None
    yield from _append(before)
    if before is not None and "an undone alias looks twice" in rules and not (yield from _lives(before)):
        yield from _append(None)
    return "undone"


def _append(version: int | None) -> Generator[Any, Any, int | None]:
    while True:
        records = yield ("look", "alias")
        number = max((key[1] for key, _ in records), default=0)
        if (yield ("claim", ("alias", number + 1), version, EVER)) == "won":
            return dict(records)["alias", number][0] if number else None


def _lives(version: int) -> Generator[Any, Any, bool]:
    states = dict((yield ("look", "state")))
    return newest_state(states, version) % 2 == 0


def _targets(records: Any) -> set[int]:
    newest = max(records, key=lambda item: item[0][1], default=None)
    return set() if newest is None else {newest[1][0]}


# --- erase, collect, migrate ------------------------------------------------------------------------------------------


def eraser(rules: frozenset[str], version: int, order: tuple[str, ...] = IN_ORDER) -> Actor:
    """Erase a version that was pruned."""
    states = dict((yield ("look", "state")))
    number = newest_state(states, version)
    if number % 2 == 0:
        return "refused"
    if (yield ("age", ("state", version, number))) <= GRACE and "erase waits for the grace" in rules:
        return "refused"
    manifest = yield ("read", ("manifest", version))
    yield ("claim", ("tomb", version), manifest[0], EVER)
    if order == NO_ORDER and "manifests are buried late" in rules and (yield ("age", ("tomb", version))) <= HALF:
        return "erased"
    yield ("delete", ("manifest", version))
    return "erased"


def collector(rules: frozenset[str], order: tuple[str, ...] = IN_ORDER) -> Actor:
    """Collect once."""
    time = yield ("clock",)
    found = yield from listed(order)
    kept: set[str] = set()
    for key in found:
        version = key[1]
        if key[0] != "manifest" or _was_erased_before(found, version, time, rules):
            continue
        number = newest_state(found, version)
        if _is_hidden(found, version, rules) and found["state", version, number][1] < time - GRACE:
            continue
        manifest = yield ("read", key)
        if manifest is not None:
            kept |= set(manifest[1])
        elif "collectors stop at what is gone" in rules:
            return "stopped"
    blobs = yield ("look", "blob")
    for key, (_, written) in blobs:
        if key[1] not in kept and written < time - GRACE:
            yield ("delete", key)
    return "collected"


def _was_erased_before(found: dict[Key, Any], version: int, time: int, rules: frozenset[str]) -> bool:
    tomb = found.get(("tomb", version))
    return tomb is not None and (tomb[1] < time or "collectors look at the time of tombs" not in rules)


def swift_collector() -> Actor:
    """Collect within one moment."""
    yield ("collect at once",)


def migration(rules: frozenset[str], version: int, record: str, blobs: tuple[str, ...] = ("never brought",)) -> Actor:
    """Bring a version's manifest without its bytes: its state first."""
    if "migrations look at both ends" in rules and (yield ("read", ("tomb", version))) is not None:
        return "left"
    if (yield ("read", ("manifest", version))) is not None:
        return "conflict"
    begun = yield ("clock",)
    if (yield ("claim", ("state", version, 1), ("absent", record), begun + SOON)) != "won":
        return "given up"
    return (yield ("claim", ("manifest", version), (record, blobs), EVER))
