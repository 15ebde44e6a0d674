"""Runs: what was executed, with what, and how it ended. Frozen values, free of any storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from metamlflow._looks import counted, minute_text, one_line, table_of
from metamlflow.errors import InvalidInputError
from metamlflow.model.manifests import Input

Outcome = Literal["finished", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


MAX_SERIES = 100
MAX_POINTS = 1_000
MAX_STEP = 2**53 - 1
"""Bounds of what a run's record holds of metrics that are logged step by step."""


class MetricSeries:
    """The values of a metric by step, in bounded memory, spread evenly over the steps. For one thread at a time.

    Of more than 1,000 points one is kept of each stretch of so many steps that there are at most half as many; it is
    the first of its stretch. So the first point of all is always kept, and the last one is kept besides.
    """

    def __init__(self) -> None:
        self._points: dict[int, Any] = {}
        self._stretch = 1
        self._last = -1

    def log(self, value: Any, step: int | None) -> None:
        """Take in a value, in place of one that was logged at the same step; by default at the next step.

        Raises:
            InvalidInputError: the step is above the largest one; nothing was taken in.
        """
        at = self._last + 1 if step is None else step
        if at > MAX_STEP:
            raise InvalidInputError(
                f"a step is a whole number from 0 to {MAX_STEP:,}, and the one after the largest would be {at:,}",
                hint="Give the step.",
            )
        self._last = max(self._last, at)
        self._points[at] = value
        if len(self._points) > MAX_POINTS:
            self._points = self._thinned()
            while len(self._points) > MAX_POINTS // 2 + 1:
                self._stretch *= 2
                self._points = self._thinned()

    def _thinned(self) -> dict[int, Any]:
        """Return the first point of each stretch, and the last of all, by step."""
        found: dict[int, int] = {}
        for step in sorted(self._points):
            found.setdefault(step // self._stretch, step)
        return {step: self._points[step] for step in dict.fromkeys((*found.values(), self._last))}

    def points(self) -> tuple[tuple[int, Any], ...]:
        """Return steps and values, by step."""
        return tuple(self._thinned().items()) if self._points else ()


def series_text(points: Sequence[tuple[int, Any]]) -> str:
    """Return a series in one line: its first and last point, and how many there are."""
    if not points:
        return "no points"
    (first, begin), (last, end) = points[0], points[-1]
    return f"{begin} at step {first:,} to {end} at step {last:,}, {counted(len(points), 'point')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """The record that is created when a run begins.

    Attributes:
        run_id: 32 hex digits, random.
        record_id: of this record.
        name: what was run.
        parent: the run that it was begun in.
        started_at: in UTC.
        user: who; None if that is not captured.
        host: where; None likewise.
        params: JSON values as stored; decoded in what ``client.get_run`` returns.
        code: the code that ran: see :mod:`metamlflow.store.lineage.environment`.
        environment: Python and where the list of installed distributions lies.
        extra: fields that this version of the library does not know.
    """

    run_id: str
    record_id: str
    name: str
    started_at: datetime
    parent: str | None = None
    user: str | None = None
    host: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        who = f" by {one_line(self.user, 30)}" if self.user else ""
        return f"<RunStart {one_line(self.name)}: {minute_text(self.started_at)}{who}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The record that is created when a run ends.

    Attributes:
        record_id: of this record.
        ended_at: in UTC.
        outcome: ``finished`` or ``failed``.
        error_type: the name of the error's class, if it failed; never its message, which may hold anything.
        metrics: JSON values as stored; decoded likewise.
        series: of each metric that was logged step by step the steps, which ascend, and the values; decoded likewise.
        notes: texts, in their order.
        outputs: the versions that were registered in it.
    """

    record_id: str
    ended_at: datetime
    outcome: Outcome
    error_type: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outputs: tuple[Input, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Sequence[tuple[int, Any]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        found = f"{counted(len(self.outputs), 'output')}, {counted(len(self.metrics), 'metric')}"
        return f"<RunEnd {self.outcome}: {minute_text(self.ended_at)}, {found}>"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that a store has of a run; ``end`` is None while it is unfinished, or if it was killed."""

    start: RunStart
    inputs: tuple[Input, ...]
    end: RunEnd | None

    def __repr__(self) -> str:
        outputs = counted(len(self.end.outputs), "output") if self.end else "not ended"
        return (
            f"<RunRecord {one_line(self.start.name)}: {self._outcome}, {counted(len(self.inputs), 'input')}, {outputs}>"
        )

    @property
    def _outcome(self) -> str:
        if self.end is None:
            return f"begun {minute_text(self.start.started_at)}"
        took = (self.end.ended_at - self.start.started_at).total_seconds()
        error = f" with {one_line(self.end.error_type, 30)}" if self.end.error_type else ""
        return f"{self.end.outcome}{error} after {took:,.1f} s"

    def _repr_html_(self) -> str:
        start, end = self.start, self.end
        facts: dict[str, Any] = {
            "run": start.run_id,
            "started": minute_text(start.started_at) + (f" by {start.user}" if start.user else ""),
            "outcome": self._outcome,
            "inputs": ", ".join(f"{used.name}@{used.version}" for used in self.inputs),
            **{f"params.{name}": value for name, value in start.params.items()},
        }
        if end is not None:
            facts["outputs"] = ", ".join(f"{made.name}@{made.version}" for made in end.outputs)
            facts |= {f"metrics.{name}": value for name, value in end.metrics.items()}
            facts |= {f"series.{name}": series_text(points) for name, points in end.series.items()}
            facts |= {"notes": "\n".join(end.notes)} if end.notes else {}
        return table_of(f"Run {start.name}", facts)
