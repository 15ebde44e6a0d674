"""Minima and medians of the raw data of a run, however many rounds it had."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MIB = 2**20


@dataclass(frozen=True)
class Spread:
    """Some values of one quantity: the least, and the median."""

    least: float
    median: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        found = sorted(values)
        return cls(found[0], statistics.median(found))


@dataclass(frozen=True)
class Figures:
    """What one tool took for one job.

    Attributes:
        wall: seconds; of the tiny jobs, milliseconds.
        cpu: seconds; of the tiny jobs, milliseconds.
        peak: MiB.
        requests: the median, None if the server did not tell.
    """

    wall: Spread
    cpu: Spread
    peak: Spread
    requests: float | None


class Results:
    """The raw data of a run, as written by ``whole_jobs.py``."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._runs: list[dict[str, Any]] = document["runs"]

    @property
    def ours(self) -> str:
        """The name of the tool that the others are compared with."""
        return str(self.document["ours"])

    @property
    def tools(self) -> list[str]:
        """The names of the tools that took part, ours first."""
        return list(self.document["tools"])

    def latencies(self, job: str) -> list[int]:
        """Return the latencies, in milliseconds, at which a job was done."""
        return sorted({run["latency_ms"] for run in self._runs if run["job"] == job})

    def of(self, tool: str, job: str, latency_ms: int = 0) -> Figures | None:
        """Return a tool's figures for a job, None if it has none."""
        runs = [run for run in self._good() if (run["tool"], run["job"], run["latency_ms"]) == (tool, job, latency_ms)]
        if not runs:
            return None
        requests = [_number(run["requests"]) for run in runs if run["requests"] is not None]
        tiny = "each_ms" in runs[0]
        return Figures(
            wall=Spread.of([ms for run in runs for ms in run["each_ms"]] if tiny else [run["wall_s"] for run in runs]),
            cpu=Spread.of(run["cpu_s"] * (1000 if tiny else 1) for run in runs),
            peak=Spread.of(run["peak_bytes"] / MIB for run in runs),
            requests=statistics.median(requests) if requests else None,
        )

    def ratio(self, tool: str, job: str, latency_ms: int = 0, *, quantity: str = "wall") -> float | None:
        """Return ours divided by the tool's, least by least; below 1 ours is better."""
        ours, theirs = self.of(self.ours, job, latency_ms), self.of(tool, job, latency_ms)
        if ours is None or theirs is None or tool == self.ours:
            return None
        one, other = getattr(ours, quantity).least, getattr(theirs, quantity).least
        return float(one / other) if other else None

    def failures(self) -> list[dict[str, Any]]:
        """Return the records of runs that failed."""
        return [run for run in self._runs if "failed" in run]

    def rounds(self, job: str) -> int:
        """Return how many rounds a job had."""
        return len({run["round"] for run in self._runs if run["job"] == job})

    def highest_load(self) -> float:
        """Return the highest load of the machine in the minute before a run."""
        return max((run["load"] for run in self._good()), default=0.0)

    def _good(self) -> list[dict[str, Any]]:
        return [run for run in self._runs if "failed" not in run]


def _number(requests: float | dict[str, int]) -> float:
    return sum(requests.values()) if isinstance(requests, dict) else requests
