"""A process that is killed anywhere in a publish leaves the old world or the new one, and a second try succeeds."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from forked import fate_of, killed_at
from scenarios import SCENARIOS, Scenario
from worlds import IMPATIENT, LocalWorld, assert_readable, assert_sound

from metamlflow.testing import Crash, FaultyBackend, client_on

SYSTEM_CALLS = ("open", "write", "fsync", "fchmod", "link", "close", "unlink", "mkdir")
DURABILITY = ("fsync", "link", "unlink")


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    scenario = SCENARIOS[request.param]
    if scenario.shards_from:
        monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", scenario.shards_from)
    return scenario


class Stage:
    """The world that a scenario starts from, prepared once and copied for each performance."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.source = scenario.source(folder)
        self._folder = folder
        self._prepared = folder / "prepared"
        self._prepared.mkdir()
        scenario.prepare(LocalWorld(self._prepared))

    def worlds(self) -> Iterator[LocalWorld]:
        """Yield copies of the prepared world, each gone when the next one is asked for."""
        root = self._folder / "copy"
        while True:
            shutil.copytree(self._prepared, root)
            yield LocalWorld(root)
            shutil.rmtree(root)

    def publish(self, client) -> int:
        return self.scenario.publish(client, self.source).version

    def assert_old_or_new(self, world: LocalWorld) -> bool:
        """Check the world after a crash, then after a second try; tell whether it was the new one."""
        before, new = self.scenario.before, self.scenario.before + self.scenario.makes
        landed = len(assert_sound(world))
        assert landed in {before, new}
        if "metamlflow.json" in world.objects():
            assert_readable(world)
        told = self.publish(world.client())
        versions = assert_sound(world)
        assert_readable(world)
        assert told == len(versions)
        assert len(versions) == (new if self.scenario.is_idempotent else landed + self.scenario.makes)
        assert versions[told] == dict(self.scenario.files)
        return landed == new


@pytest.mark.full
def test_a_kill_before_or_after_any_backend_call_leaves_the_old_or_the_new_world(scenario, tmp_path):
    stage = Stage(scenario, tmp_path)
    worlds = stage.worlds()
    rehearsal = FaultyBackend(next(worlds).backend())
    stage.publish(client_on(rehearsal, IMPATIENT))
    seen = set()
    for nth in range(1, len(rehearsal.calls) + 1):
        for when in ("before", "after"):
            world = next(worlds)
            backend = FaultyBackend(world.backend(), [Crash(nth=nth, when=when)])
            assert fate_of(partial(stage.publish, client_on(backend, IMPATIENT))) == -signal.SIGKILL
            seen.add(stage.assert_old_or_new(world))
    assert seen == ({True, False} if scenario.makes else {True})


def _kill_between_system_calls(stage: Stage, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> set[bool]:
    """Kill before and after each of the system calls of a publish; return which of the two worlds were left."""
    worlds = stage.worlds()
    calls = _count(names, partial(stage.publish, next(worlds).client()), monkeypatch)
    assert calls > 0
    seen = set()
    for nth in range(1, calls + 1):
        for after in (False, True):
            world = next(worlds)
            assert fate_of(partial(_publish_and_die, stage, world, names, nth, after=after)) == -signal.SIGKILL
            seen.add(stage.assert_old_or_new(world))
    return seen


def _publish_and_die(stage: Stage, world: LocalWorld, names: tuple[str, ...], nth: int, *, after: bool) -> None:
    wrapped = killed_at(nth, after=after)
    for name in names:
        setattr(os, name, wrapped(getattr(os, name)))
    stage.publish(world.client())


def _count(names: tuple[str, ...], work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    calls = []
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(os, name, _counted(getattr(os, name), calls))
        work()
    return len(calls)


def _counted(function: Callable, calls: list) -> Callable:
    def call(*args, **options):
        calls.append(function)
        return function(*args, **options)

    return call


@pytest.mark.full
@pytest.mark.parametrize("name", ["first-version-in-a-new-store", "next-version-with-a-key"])
def test_a_kill_around_any_link_fsync_or_unlink_leaves_the_old_or_the_new_world(name, tmp_path, monkeypatch):
    assert _kill_between_system_calls(Stage(SCENARIOS[name], tmp_path), DURABILITY, monkeypatch) == {True, False}


@pytest.mark.slow
def test_a_kill_around_any_system_call_leaves_the_old_or_the_new_world(scenario, tmp_path, monkeypatch):
    seen = _kill_between_system_calls(Stage(scenario, tmp_path), SYSTEM_CALLS, monkeypatch)
    assert seen == ({True, False} if scenario.makes else {True})


def test_what_a_killed_publish_leaves_is_out_of_sight_and_swept_a_day_later(tmp_path):
    world = LocalWorld(tmp_path / "store")
    world.client().register_artifact("a", b"1")

    def publish() -> None:
        os.link = killed_at(1, after=True)(os.link)
        world.client().register_artifact("a", b"2")

    assert fate_of(publish) == -signal.SIGKILL
    (left,) = (world.root / ".tmp").iterdir()
    assert all(".tmp" not in info.key for info in world.backend().list_objects())
    a_day_ago = time.time() - 25 * 3600
    os.utime(left, (a_day_ago, a_day_ago))
    world.client().register_artifact("a", b"3")
    assert not list((world.root / ".tmp").iterdir())
