"""Which jobs there are, and in which series they are done: a fetch needs what a publish has left."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from jobs.tools import Step

CHOICES = ("W1", "again", "W2", "W3", "W4", "W5", "tiny", "many")
TINY = ("tiny register", "tiny latest", "tiny read")
FAR = ("W1", "W3")  # the jobs that are done at every latency


@dataclass(frozen=True)
class Sizes:
    """How much is moved; KB are 1,000 bytes, MiB 1,048,576."""

    files: int = 2000
    file_bytes: int = 10_000
    large_mib: int = 1024
    many_files: int = 100_000
    many_bytes: int = 1_000
    tiny_repeats: int = 50
    rounds: int = 3
    many_rounds: int = 1


# moto compares nothing, so little is enough to see that everything runs.
TRIAL = Sizes(files=100, large_mib=16, many_files=500, tiny_repeats=5, rounds=1)


@dataclass(frozen=True)
class Job:
    """One measured call.

    Attributes:
        needed: later jobs of the series, and the proof that it worked, cannot do without it.
        changes: one file is changed before it.
    """

    name: str
    step: Step
    needed: bool = False
    changes: bool = False


@dataclass(frozen=True)
class Series:
    """Jobs that a tool does one after the other in a place of its own, ended by a fetch that proves them all.

    Attributes:
        source: which input is published: ``folder``, ``large``, ``few``, ``many`` or ``tiny``.
        wanted: the names of the jobs whose figures are asked for.
    """

    source: str
    jobs: tuple[Job, ...]
    wanted: frozenset[str] = frozenset()
    latency_ms: int = 0

    def due(self) -> list[Job]:
        """Return the jobs to be done."""
        return [job for job in self.jobs if job.needed or job.name in self.wanted]


FOLDER = Series(
    "folder",
    (
        Job("W1", "publish", needed=True),
        Job("again", "republish"),
        Job("W2", "republish", changes=True),
        Job("W3", "fetch", needed=True),
    ),
)
LARGE = Series("large", (Job("W4", "publish", needed=True), Job("W5", "fetch", needed=True)))
TINY_CALLS = Series("tiny", (Job("tiny", "tiny", needed=True),))
FEW = Series("few", (Job("few up", "publish", needed=True), Job("few down", "fetch", needed=True)))
MANY = Series("many", (Job("many up", "publish", needed=True), Job("many down", "fetch", needed=True)))


def plan(chosen: Collection[str], latencies: Collection[int]) -> list[Series]:
    """Return the series in which the chosen jobs are done; those of :data:`FAR` at every latency."""
    series = [_wanting(kind, chosen) for kind in (FOLDER, LARGE, TINY_CALLS)]
    if 0 not in latencies:
        series[0] = _wanting(FOLDER, set(chosen) - set(FAR))
    series[1:1] = [replace(_wanting(FOLDER, set(chosen) & set(FAR)), latency_ms=ms) for ms in latencies if ms]
    if "many" in chosen:
        series += [replace(kind, wanted=frozenset(job.name for job in kind.jobs)) for kind in (FEW, MANY)]
    return [one for one in series if one.wanted]


def _wanting(kind: Series, chosen: Collection[str]) -> Series:
    return replace(kind, wanted=frozenset(job.name for job in kind.jobs if job.name in chosen))
