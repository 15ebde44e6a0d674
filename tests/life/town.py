"""Two stores of one server, some machines with clients of both, and whoever moves them on, one request at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from deeds import CONTENTS, DEEDS, Deed, Ends, judge
from records import Records
from served import Gathering, Served
from stage import GRACE, MOST_REQUESTS, Actor, Request, Stage

from metamlflow.testing import Clock, client_on

MACHINES = 4
THEMES = (
    ("publish", "prune", "collect"),
    ("publish", "publish", "collect", "prune"),
    ("publish", "prune", "erase", "collect"),
    ("restore", "prune", "collect"),
    ("set an alias", "prune", "collect"),
    ("set an alias", "prune", "restore", "remove an alias"),
    ("protect", "prune", "unprotect", "restore"),
    ("roll back", "prune", "collect", "erase"),
    ("migrate", "publish", "collect"),
    ("migrate", "prune", "erase", "publish", "collect"),
    tuple(DEEDS),
)
"""What belongs together: most of what happens in one run is of one of these."""
SHARES = (0.0001, 1 / 64, 1 / 32, 1 / 32, 1 / 16, 1 / 16, 1 / 8, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 1.01)


class Town:
    """The stores, the machines, and the calls that are under way.

    Attributes:
        counts: how often each thing happened, for a report.
    """

    def __init__(self, *, in_order: bool = True) -> None:
        self.stage = Stage(applied=self._applied, deleting=self._deleting)
        first = Records("first", self.stage.time)
        self.stores = [first, Records("second", self.stage.time, first)]
        self._kind = Served if in_order else Gathering
        self.machines: list[Ends | None] = [None] * MACHINES
        self.under_way: dict[Actor, Deed] = {}
        self.log: list[str] = []
        self.counts: dict[str, int] = {}
        for place in (0, 1):
            self._machine(0).clients[place].create_store(grace=GRACE)
        for content in CONTENTS[:3]:
            self._machine(0).clients[0].register_artifact("a", {"f0": content})

    # --- clients ------------------------------------------------------------------------------------------------------

    def _machine(self, slot: int) -> Ends:
        """The machine of a slot: its clients live until they are killed, with all that they remember."""
        found = self.machines[slot]
        if found is None:
            served = [self._kind(store.bucket, self.stage) for store in self.stores]
            time = self.stage.time

            def new_id() -> str:
                made = f"{random.getrandbits(128):032x}"
                for store in served:
                    if store.actor is not None:
                        store.actor.ids.append(made)
                        break
                return made

            # The calendar of a machine is wrong, but where a disk's own time is asked for.
            wrong = timedelta(0) if self._kind is Gathering else timedelta(days=3650 * (1 - 2 * (slot % 2)))
            clock = Clock(
                now=lambda: time.now + wrong,
                elapsed=lambda: time.counted() + 1000.0 * slot,
                sleep=lambda _: None,
                new_id=new_id,
            )
            clients = [client_on(store, clock) for store in served]
            found = self.machines[slot] = Ends(clients, served, self.stores)
        return found

    def at_once(self, kind: str, place: int, a: int, b: int, c: int) -> None:
        """Let somebody do something from the beginning to the end, whatever others are in the middle of."""
        before = len(self.actors)
        self.start(kind, place, a, b, c)
        if len(self.actors) > before:
            self.end(before)

    @property
    def actors(self) -> list[Actor]:
        return self.stage.actors

    def start(self, kind: str, place: int, a: int, b: int, c: int) -> None:
        """Let somebody call something, up to the first request; each machine makes one call at a time."""
        busy = {actor.slot for actor in self.actors}
        free = [slot for slot in range(MACHINES) if slot not in busy]
        if not free:
            return
        slot = free[a % len(free)]
        ends = self._machine(slot)
        deed = DEEDS[kind](ends, place, a, b, c)
        self._note(kind, f"{slot} begins: {deed.what} ({deed.at.label})")
        holder: list[Actor] = []

        def work() -> Any:
            for served in ends.served:
                served.actor = holder[0]
            return deed.work()

        actor = _Held(deed.what, work, slot, self.stage, holder)
        self.under_way[actor] = deed
        self.actors.append(actor)
        self._settle(actor)

    def _settle(self, actor: Actor) -> None:
        """Take a call that is over off the stage, and judge what it told."""
        if not actor.is_over:
            return
        self.actors.remove(actor)
        deed = self.under_way.pop(actor)
        ends = self.machines[actor.slot]
        for served in ends.served if ends else ():
            served.actor = None
        self._note(f"{deed.what.split()[0]}: {_end(actor)}", f"{actor.slot} {deed.what}: {_outcome(actor)}")
        judge(deed, actor)

    # --- what happens -------------------------------------------------------------------------------------------------

    def go_on(self, which: int, requests: int, *, up_to_a_write: bool = False) -> None:
        """Let a call make some requests, or all up to one that writes."""
        if not self.actors:
            return
        actor, before = self.actors[which % len(self.actors)], 0
        self._note("turn", f"{actor.slot} goes on with {_text(actor.request)}")
        before = actor.requests
        self.stage.answer(actor, requests - 1, up_to_a_write=up_to_a_write)
        self.counts["request"] = self.counts.get("request", 0) + actor.requests - before
        self._settle(actor)

    def to_a_write(self, which: int) -> None:
        """Let a call go on until it asks the server to write something."""
        self.go_on(which, MOST_REQUESTS, up_to_a_write=True)

    def end(self, which: int) -> None:
        self.go_on(which, MOST_REQUESTS)

    def carry_out(self, which: int) -> None:
        """Let the server do what a call asks for; the answer is on its way."""
        if self.actors and (request := self.actors[which % len(self.actors)].request):
            self._note("slow answer", f"{_text(request)} is carried out")
            self.stage.carry_out(request)

    def lose(self, which: int, *, lands: bool | None) -> None:
        """Give a request up: one that writes, if anybody waits for one."""
        waiting = [actor for actor in self.actors if actor.request and actor.request.writes]
        if not waiting:
            return
        actor = waiting[which % len(waiting)]
        self._note("lost", f"{actor.slot} {_text(actor.request)} is given up; lands: {lands}")
        self.stage.lose(actor, lands=lands)
        self._settle(actor)

    def land(self, which: int) -> None:
        if self.stage.late:
            request = self.stage.late[which % len(self.stage.late)]
            self._note("late", f"{_text(request)} lands")
            self.stage.land(request)

    def kill(self, which: int) -> None:
        if not self.actors:
            return
        actor = self.actors[which % len(self.actors)]
        self._note("killed", f"{actor.slot} is killed before {_text(actor.request)}")
        actor.kill()
        self.machines[actor.slot] = None
        self._settle(actor)

    def pass_time(self, share: float) -> None:
        self._note("time", f"{share:.4f} of the grace passes")
        self.stage.pass_time(GRACE * share)

    def close(self) -> None:
        """End all threads, whatever state they are in."""
        for actor in list(self.actors):
            actor.kill()

    # --- what must hold -----------------------------------------------------------------------------------------------

    def _applied(self, request: Request) -> None:
        self.log.append(f"  {_text(request)}: {request.outcome and request.outcome[1]!r:.60}")
        for store in self.stores:
            if store.bucket is request.store:
                store.check(request)

    def _deleting(self, bucket: Any, key: str) -> None:
        self._note("deleted blobs" if key.startswith("blobs/") else "deleted records", f"deleted: {key}")
        for store in self.stores:
            if store.bucket is bucket:
                store.check_deletion(key)

    def come_to_rest(self) -> None:
        """Nobody does anything any more: everything is as told, nothing is wrong, and only what is needed is left."""
        while self.actors:
            self.end(0)
        while self.stage.late:
            self.land(0)
        self.machines = [None] * MACHINES
        for place, store in enumerate(self.stores):
            client = self._machine(0).clients[place]
            Quiet(store, client, self.counts).check(self.stage)

    def _note(self, kind: str, text: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.log.append(text)


class _Held(Actor):
    """An actor that its own work can name."""

    def __init__(self, what: str, work: Any, slot: int, stage: Stage, holder: list[Actor]) -> None:
        holder.append(self)
        super().__init__(what, work, slot, stage)


def _text(request: Request | None) -> str:
    return f"{request.verb} {request.key}" if request else "nothing"


def _end(actor: Actor) -> str:
    return "killed" if actor.is_killed else type(actor.error).__name__ if actor.error else "done"


def _outcome(actor: Actor) -> str:
    return "killed" if actor.is_killed else f"{actor.error!r:.150}" if actor.error else f"{actor.result!r:.100}"


class Quiet:
    """A store in which nobody does anything."""

    # What a kill, or somebody who slept too long, leaves by SPEC.md, and fsck names.
    EXPLAINED = frozenset(
        {
            "alias-not-live",
            "protection-not-live",
            "name-without-version",
            "manifest-under-tomb",
            "state-without-version",
        }
    )

    def __init__(self, store: Records, client: Any, counts: dict[str, int]) -> None:
        self.store, self.client, self.counts = store, client, counts

    def check(self, stage: Stage) -> None:
        self._readers_see_what_is_live()
        report = self.client.fsck()
        for finding in report.faults:
            assert finding.kind in self.EXPLAINED, f"{self.store.label}: {finding}"
            self.counts[f"fsck: {finding.kind}"] = self.counts.get(f"fsck: {finding.kind}", 0) + 1
        stage.pass_time(GRACE * 2.5)
        collected = self.client.collect_garbage()
        assert collected.ok
        self._readers_see_what_is_live()
        versions = self.store.versions()
        named: set[str] = set()
        for at, found in versions.items():
            held = at in {(name, v) for name, v, _ in self.store.protections()} or self._is_aliased(at)
            if found.manifest and not found.tomb and (found.is_live or held):
                named |= found.keys
        left = {key for key in self.store.bucket.objects if key.startswith("blobs/")}
        assert left <= named, f"{self.store.label}: {left - named} is left though nothing needs it"

    def _is_aliased(self, at: tuple[str, int]) -> bool:
        return any(self.store.alias(at[0], alias)[1] == at[1] for alias in ("x", "y"))

    def _readers_see_what_is_live(self) -> None:
        versions = self.store.versions()
        for name in ("a", "b"):
            live = sorted(v for (n, v), found in versions.items() if n == name and found.is_live)
            if self.store.newest_number(name):
                assert self.client.list_versions(name) == live, f"{self.store.label}: {name}"
            for version in live:
                assert self.client.get_artifact(name, version).verify("full").ok


def wander(seed: int, steps: int, *, in_order: bool = True) -> Town:
    """Let things happen at random; the same for the same seed. For a look at what a rule is good for."""
    dice, town = random.Random(seed), Town(in_order=in_order)
    random.seed(seed)
    kinds, favoured = list(DEEDS), dice.choice(THEMES)
    shares = dice.sample(SHARES, 4)
    try:
        for _ in range(steps):
            step(town, dice, kinds if dice.random() < 0.1 else favoured, shares)
        town.come_to_rest()
    except BaseException as error:
        error.add_note("\n".join(town.log[-60:]))
        raise
    finally:
        town.close()
    return town


def step(town: Town, dice: random.Random, kinds: Sequence[str], shares: list[float]) -> None:
    """One thing that happens."""
    number = dice.randrange(1_000)
    deed = dice.choice(kinds), int(dice.random() < 0.3), number, dice.randrange(1_000), dice.randrange(1_000)
    names = ("start", "at once", "go", "write", "end", "time", "lose", "land", "kill", "slow")
    what = dice.choices(names, (4, 4, 4, 5, 3, 4, 1, 0.5, 0.2, 1))[0]
    if what == "start" or not town.actors:
        town.start(*deed)
    elif what == "at once":
        town.at_once(*deed)
    elif what == "go":
        town.go_on(number, dice.choice((1, 1, 2, 3, 5, 8, 13)))
    elif what == "write":
        town.to_a_write(number)
    elif what == "end":
        town.end(number)
    elif what == "time":
        town.pass_time(dice.choice(shares))
    elif what == "lose":
        town.lose(number, lands=dice.choice((True, False, False, None)))
    elif what == "land":
        town.land(number)
    elif what == "kill":
        town.kill(number)
    else:
        town.carry_out(number)
