"""All that people do to two stores, interleaved at each request, while time passes: nothing that anybody needs is lost.

Publishers, aliasers, rollbacks, pruners, restorers, protectors, erasers, collectors, migrations and fsck are real
clients on a server in memory, whose clock the machine moves. Requests are answered late, or not at all and land later;
clients are killed at any request. ``METAMLFLOW_LIFE_STEPS`` is how many steps the slow test takes, 100,000 by default.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import ClassVar

import pytest
from deeds import DEEDS
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from stage import submit_here
from town import SHARES, THEMES, Town

from metamlflow.backend.threads import ThreadPool

LONG = int(os.environ.get("METAMLFLOW_LIFE_STEPS", "100000"))
numbers = st.integers(0, 999)


class LifeCycle(RuleBasedStateMachine):
    """What may happen, in any order. What must hold is looked at after each request that writes."""

    in_order = True
    counts: ClassVar[Counter[str]] = Counter()

    @initialize(
        number=numbers,
        kinds=st.sampled_from(THEMES),
        shares=st.lists(st.sampled_from(SHARES), min_size=2, max_size=4),
    )
    def open(self, number, kinds, shares):
        """What people mostly do, and for how long nothing happens, is another thing in each run."""
        random.seed(number)
        self.town = Town(in_order=self.in_order)
        self.kinds, self.shares = kinds, shares

    def teardown(self):
        if not hasattr(self, "town"):
            return
        try:
            self.town.come_to_rest()
        finally:
            self.town.close()
            self.counts.update(self.town.counts)
            self.counts["examples"] += 1

    def _count(self, which: int | None = None) -> None:
        """Count a step; if nobody does anything, somebody begins, so that there is something to go on with."""
        self.counts["steps"] += 1
        if which is not None and not self.town.actors:
            self.town.start(self.kinds[which % len(self.kinds)], int(which % 5 == 0), which, which // 3, which // 7)

    @rule(which=numbers, place=st.sampled_from((0, 0, 1)), a=numbers, b=numbers, c=numbers)
    def somebody_begins(self, which, place, a, b, c):
        self._count()
        self.town.start(self.kinds[which % len(self.kinds)], place, a, b, c)

    @rule(which=numbers, place=st.sampled_from((0, 0, 1)), a=numbers, b=numbers, c=numbers)
    def somebody_does_all_of_it_at_once(self, which, place, a, b, c):
        self._count()
        self.town.at_once(self.kinds[which % len(self.kinds)], place, a, b, c)

    @rule(kind=st.sampled_from(sorted(DEEDS)), place=st.sampled_from((0, 0, 1)), a=numbers, b=numbers, c=numbers)
    def somebody_begins_something_else(self, kind, place, a, b, c):
        self._count()
        self.town.start(kind, place, a, b, c)

    @rule(which=numbers, requests=st.sampled_from((1, 2, 3, 5, 8, 13)))
    def somebody_goes_on(self, which, requests):
        self._count(which)
        self.town.go_on(which, requests)

    @rule(which=numbers)
    def somebody_comes_to_a_write(self, which):
        self._count(which)
        self.town.to_a_write(which)

    @rule(which=numbers)
    def somebody_ends(self, which):
        self._count(which)
        self.town.end(which)

    @rule(which=numbers)
    def time_passes(self, which):
        self._count()
        self.town.pass_time(self.shares[which % len(self.shares)])

    @rule(which=numbers, lands=st.sampled_from((True, False, False, None)))
    def an_answer_is_lost(self, which, lands):
        self._count(which)
        self.town.lose(which, lands=lands)

    @rule(which=numbers)
    def a_request_lands_late(self, which):
        self._count()
        self.town.land(which)

    @rule(which=numbers)
    def a_request_is_carried_out_and_its_answer_is_on_its_way(self, which):
        self._count(which)
        self.town.carry_out(which)

    @rule(which=numbers, sure=st.integers(0, 7))
    def somebody_is_killed(self, which, sure):
        self._count()
        if sure == 0:
            self.town.kill(which)


class LifeCycleInNoOrder(LifeCycle):
    """The same, where a listing looks at the keys in no order."""

    in_order = False
    counts: ClassVar[Counter[str]] = Counter()


@pytest.fixture(autouse=True)
def _one_thread_for_each_client(monkeypatch):
    monkeypatch.setattr(ThreadPool, "submit", submit_here)


def run(machine: type[LifeCycle], examples: int, steps: int, number: int = 0) -> None:
    again = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(type(machine.__name__, (machine,), {})), settings=again)


MACHINES = pytest.mark.parametrize("machine", [LifeCycle, LifeCycleInNoOrder], ids=["in-order", "in-no-order"])


@pytest.mark.full
@MACHINES
def test_whatever_happens_nothing_that_anybody_needs_is_lost(machine):
    run(machine, examples=8, steps=60)


@pytest.mark.full
@MACHINES
def test_whatever_happens_for_longer_nothing_that_anybody_needs_is_lost(machine):
    run(machine, examples=60, steps=150, number=1)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_whatever_happens_in_a_hundred_thousand_steps_nothing_that_anybody_needs_is_lost():
    began, number = time.monotonic(), 2
    for machine in (LifeCycle, LifeCycleInNoOrder):
        machine.counts.clear()
        while machine.counts["steps"] < LONG / 2:
            run(machine, examples=50, steps=200, number=number)
            number += 1
        print(
            f"\n{machine.__name__}:",
            *(f"{what} {count:,}" for what, count in sorted(machine.counts.items())),
            sep="\n  ",
        )
    print(f"{time.monotonic() - began:.0f} s")
