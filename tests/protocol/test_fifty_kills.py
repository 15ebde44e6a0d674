"""A prune, a restore, a rollback, an erasure and a collection, each killed by the system at fifty moments and more.

The process dies by SIGKILL before or after one of its calls of the operating system that open, write, link, remove or
look at something. The same call by a second process ends as intended.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked import fate_of, killed_at
from worlds import LocalWorld

from metamlflow.errors import ConflictError

MOMENTS = 60  # of which fifty at least must be before the call has ended
CALLS = ("open", "write", "close", "fsync", "link", "unlink", "stat", "fstat", "scandir", "access")
DAY = 24 * 3600
FILES = {f"{number}.csv": b"x\n%d\n" % number for number in range(4)}
NEWEST = {"f": b"newest"}


@dataclass(frozen=True)
class Deed:
    """What is killed, and whether it has ended as intended; what is needed is there at any time."""

    do: Callable
    is_done: Callable


def prepared(root: Path) -> LocalWorld:
    """Three versions: all may go but the last one; the second was given up long ago, and is a month old as all else."""
    world = LocalWorld(root)
    client = world.client()
    client.register_artifact("a", dict(FILES), metadata={"rows": 4})
    client.register_artifact("a", {"f": b"given up"})
    client.annotate("a@2", title="noted", description="of a person")
    client.register_artifact("a", dict(NEWEST))
    client.register_artifact("b", b"1")
    client.register_artifact("b", {f"{number}": b"%d" % number for number in range(30)})
    client.register_artifact("b", b"2")
    client.prune("a", versions=[2])
    make_older(root, 30 * DAY)
    client.prune("b", versions=[2])  # a moment ago
    return world


def make_older(root: Path, seconds: float) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - seconds
            os.utime(path, (then, then))


def prune(client) -> None:
    assert client.prune("a", keep_last=1).ok


def restore(client) -> None:
    with suppress(ConflictError):  # it is live: the one that was killed restored it
        client.restore("b@2")


def roll_back(client) -> None:
    client.rollback("a", 1, note="why", idempotency_key="job")


def erase(client) -> None:
    assert client.erase("a@2", "asked for").ok


def collect(client) -> None:
    assert client.collect_garbage().ok


def has(world: LocalWorld, text: bytes) -> bool:
    return any(text in data for data in world.objects().values())


def is_rolled_back(world: LocalWorld) -> bool:
    newest = world.client().get_artifact("a")
    files = {path: newest.read_bytes(path) for path in FILES}
    return (newest.version, newest.notes.description, files) == (4, "why", FILES)


def is_erased(world: LocalWorld) -> bool:
    """On a disk the manifest goes when its tomb is half a grace old."""
    make_older(world.root, 4 * DAY)
    erase(world.client())
    left = [path.name for path in world.root.glob("artifacts/a/_versions/*_v2*") if ".state-" not in path.name]
    return not has(world, b"of a person") and [name.partition("_v2")[2] for name in left] == [".tomb.json"]


DEEDS = {
    "prune": Deed(prune, lambda world: world.client().list_versions("a") == [3]),
    "restore": Deed(restore, lambda world: world.client().get_artifact("b", 2).verify("full").ok),
    "rollback": Deed(roll_back, is_rolled_back),
    "erase": Deed(erase, is_erased),
    "collect": Deed(collect, lambda world: not has(world, b"given up") and has(world, b"newest")),
}


def wrap(world: LocalWorld, wrapped: Callable) -> None:
    """Count what this process asks of the system; Python keeps some of these functions in other modules, too."""
    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))


@pytest.mark.full
@pytest.mark.parametrize("name", DEEDS)
def test_killed_at_fifty_moments_and_run_again_it_ends_as_intended(name, tmp_path):
    deed = DEEDS[name]
    template = prepared(tmp_path / "template").root

    def copied(to: str) -> LocalWorld:
        shutil.rmtree(tmp_path / to, ignore_errors=True)
        return LocalWorld(Path(shutil.copytree(template, tmp_path / to)))

    calls = counted(copied("rehearsal"), deed, tmp_path / "count")
    moments = sorted({(1 + place * calls // MOMENTS, bool(place % 2)) for place in range(MOMENTS)})
    killed = 0
    for nth, after in moments:
        world = copied("killed")

        def die(nth: int = nth, *, after: bool = after, world: LocalWorld = world) -> None:
            wrap(world, killed_at(nth, after=after))
            deed.do(world.client())

        fate = fate_of(die)
        assert fate in {-signal.SIGKILL, 0}
        killed += fate == -signal.SIGKILL
        client = world.client()
        assert client.get_artifact("a", 3).read_bytes("f") == NEWEST["f"]
        assert all(client.get_artifact(*version).verify("full") for version in live(client))
        make_older(world.root, DAY)  # which a collection waits for that finds another one cut off
        if name == "restore":
            make_older(world.root, -DAY)
        deed.do(world.client())
        assert deed.is_done(world), f"killed {'after' if after else 'before'} call {nth} of {calls}"
    assert killed >= 50, f"{killed} of {calls} calls"


def live(client) -> list[tuple[str, int]]:
    return [(name, version) for name in ("a", "b") for version in client.list_versions(name)]


def counted(world: LocalWorld, deed: Deed, result: Path) -> int:
    """How many calls of the system it takes."""

    def count() -> None:
        found = [0]

        def wrapped(function: Callable) -> Callable:
            def call(*args, **options):
                found[0] += 1
                return function(*args, **options)

            return call

        wrap(world, wrapped)
        deed.do(world.client())
        result.write_text(str(found[0]))

    assert fate_of(count) == 0
    assert deed.is_done(world)
    return int(result.read_text())
