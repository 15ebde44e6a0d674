"""Runs side by side: lists of them, and what two of them have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from metamlflow._looks import counted, grid_of, minute_text, one_line, utc_text
from metamlflow._packages import imported
from metamlflow.model.runs import RunRecord

_MOST_VALUE = 60  # characters


def facts_of_run(record: RunRecord) -> dict[str, Any]:
    """Return what is known of a run, by name; ``outcome`` is ``unfinished`` while it has no end."""
    start, end = record.start, record.end
    return {
        "id": start.run_id,
        "name": start.name,
        "started_at": start.started_at,
        "ended_at": end.ended_at if end else None,
        "outcome": end.outcome if end else "unfinished",
        "error_type": end.error_type if end else None,
        "user": start.user,
        "host": start.host,
        "parent": start.parent,
        "params": dict(start.params),
        "metrics": dict(end.metrics) if end else {},
        "code": dict(start.code or {}),
        "inputs": [f"{used.name}@{used.version}" for used in record.inputs],
        "outputs": [f"{made.name}@{made.version}" for made in end.outputs] if end else [],
    }


def run_document(record: RunRecord) -> dict[str, Any]:
    """Return what is known of a run as JSON values."""
    facts = facts_of_run(record)
    times = {name: facts[name] and utc_text(facts[name]) for name in ("started_at", "ended_at")}
    nested = {name: _plain(facts[name]) for name in ("params", "metrics", "code")}
    series = {name: [list(point) for point in points] for name, points in _series(record).items()}
    return {**facts, **times, **nested, "series": _plain(series)}


def _series(record: RunRecord) -> Mapping[str, Sequence[tuple[int, float]]]:
    return record.end.series if record.end else {}


class RunList(Sequence[RunRecord]):
    """Runs, the latest first. A sequence of records; a table in a notebook."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        self._records = tuple(records)

    @overload
    def __getitem__(self, place: int) -> RunRecord: ...
    @overload
    def __getitem__(self, place: slice) -> RunList: ...
    def __getitem__(self, place: int | slice) -> RunRecord | RunList:
        """Return a run, or a list of some."""
        return RunList(self._records[place]) if isinstance(place, slice) else self._records[place]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._records)

    def __repr__(self) -> str:
        return f"<RunList: {counted(len(self), 'run')}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return a mapping for each run, such as ``pandas.DataFrame`` takes.

        Its keys are those of a run's facts; parameters and metrics have keys of their own, ``params.lr`` and
        ``metrics.loss``.
        """
        found = []
        for record in self._records:
            facts = facts_of_run(record)
            params, metrics = facts.pop("params"), facts.pop("metrics")
            flat = {f"params.{name}": value for name, value in params.items()}
            flat |= {f"metrics.{name}": value for name, value in metrics.items()}
            found.append(facts | flat)
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """Return the runs as JSON values."""
        return [run_document(record) for record in self._records]

    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table`` with a row for each run; ``params``, ``metrics`` and ``code`` are JSON.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
        pa = imported("pyarrow", "arrow")
        documents = self.to_json()
        facts = [facts_of_run(record) for record in self._records]
        columns: dict[str, Any] = {}
        for name in ("id", "name", "outcome", "error_type", "user", "host", "parent"):
            columns[name] = pa.array([fact[name] for fact in facts], pa.string())
        for name in ("started_at", "ended_at"):
            columns[name] = pa.array([fact[name] for fact in facts], pa.timestamp("us", "UTC"))
        for name in ("params", "metrics", "code"):
            columns[name] = pa.array([_json(document[name]) for document in documents], pa.string())
        for name in ("inputs", "outputs"):
            columns[name] = pa.array([fact[name] for fact in facts], pa.list_(pa.string()))
        return pa.table(columns)

    def _repr_html_(self) -> str:
        rows = [
            (
                record.start.name,
                record.start.run_id[:8],
                minute_text(record.start.started_at),
                facts["outcome"],
                _shown(facts["params"]),
                _shown(facts["metrics"]),
                ", ".join(facts["outputs"]),
            )
            for record in self._records
            if (facts := facts_of_run(record))
        ]
        return grid_of(repr(self)[1:-1], ("name", "run", "started", "outcome", "params", "metrics", "outputs"), rows)


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs side by side.

    Attributes:
        left: the first run.
        right: the second one.
        rows: for each fact its name and what it is in either; None where a run lacks it.
    """

    left: RunRecord
    right: RunRecord
    rows: tuple[tuple[str, Any, Any], ...]

    @classmethod
    def of(cls, left: RunRecord, right: RunRecord) -> RunComparison:
        """Compare two runs: outcome, parameters, metrics, inputs, outputs and code."""
        one, other = _compared(left), _compared(right)
        names = dict.fromkeys((*one, *other))
        return cls(left, right, tuple((name, one.get(name), other.get(name)) for name in names))

    @property
    def changed(self) -> tuple[tuple[str, Any, Any], ...]:
        """The rows in which the two runs differ."""
        return tuple(row for row in self.rows if not _is_same(*row[1:]))

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        rows = [{"fact": name, "left": _plain(left), "right": _plain(right)} for name, left, right in self.rows]
        return {"left": self.left.start.run_id, "right": self.right.start.run_id, "facts": rows}

    def __str__(self) -> str:
        lines = [f"{self.left.start.run_id} | {self.right.start.run_id}"]
        lines += [
            f"{' ' if _is_same(left, right) else '*'} {one_line(name)}: {_value(left)} | {_value(right)}"
            for name, left, right in self.rows
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<RunComparison: {counted(len(self.changed), 'difference')} of {counted(len(self.rows), 'fact')}>"

    def _repr_html_(self) -> str:
        rows = [
            ("" if _is_same(left, right) else "*", name, _value(left), _value(right)) for name, left, right in self.rows
        ]
        return grid_of("Two runs", ("", "fact", self.left.start.run_id[:8], self.right.start.run_id[:8]), rows)


def _compared(record: RunRecord) -> dict[str, Any]:
    facts = facts_of_run(record)
    found = {name: facts[name] for name in ("name", "outcome", "error_type") if facts[name] is not None}
    if facts["ended_at"] is not None:
        found["seconds"] = (facts["ended_at"] - facts["started_at"]).total_seconds()
    for kind in ("params", "metrics", "code"):
        found |= {f"{kind}.{name}": value for name, value in facts[kind].items()}
    return found | {"inputs": sorted(facts["inputs"]), "outputs": sorted(facts["outputs"])}


def _is_same(left: Any, right: Any) -> bool:
    """Whether two facts are the same: of one type, as true is not 1; NaN is NaN, and 0.0 is not -0.0."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_is_same(value, right[name]) for name, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_is_same, left, right))
    if type(left) is not type(right):
        return False
    return repr(left) == repr(right) if isinstance(left, float) else bool(left == right)


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return one_line(value if isinstance(value, str) else "-" if value is None else _json(_plain(value)), _MOST_VALUE)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: as metadata is stored where JSON lacks it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value
