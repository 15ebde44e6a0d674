"""Run records and edges between bytes and values."""

from __future__ import annotations

import hashlib
import itertools
from datetime import datetime
from typing import Any, cast

from metamlflow.format.documents import FORMAT, Fields, Problems, dump, format_instant
from metamlflow.format.layout import input_id_of_key
from metamlflow.format.manifests import input_from_json, input_to_json, is_digest, is_record_id
from metamlflow.format.records import open_record
from metamlflow.model.manifests import Input
from metamlflow.model.metadata import decode
from metamlflow.model.runs import MAX_POINTS, MAX_SERIES, MAX_STEP, OUTCOMES, Outcome, RunEnd, RunStart

EDGE = dump({"format": FORMAT})
"""The body of every edge: so creating one again changes nothing."""


def encode_start(start: RunStart) -> bytes:
    """Return the bytes of a run's first record."""
    return dump(
        dict(start.extra)
        | {
            "code": start.code,
            "environment": start.environment,
            "format": FORMAT,
            "host": start.host,
            "name": start.name,
            "params": start.params,
            "parent": start.parent,
            "record_id": start.record_id,
            "run_id": start.run_id,
            "created_at": format_instant(start.started_at),
            "user": start.user,
        }
    )


def decode_start(data: bytes, key: str, run_id: str) -> RunStart:
    """Read a run's first record.

    Raises:
        StoreFormatError: it is damaged, of another run, or needs a newer library.
    """
    fields, problems = open_record(data, key, "run record")
    said = fields.text("run_id", is_record_id)
    if said and said != run_id:
        fields.note("run_id", f"expected {run_id!r}, got {said!r}")
    start = RunStart(
        run_id=run_id,
        record_id=fields.text("record_id", is_record_id),
        name=fields.text("name"),
        started_at=fields.instant("created_at"),
        parent=fields.optional_text("parent", is_record_id),
        user=fields.optional_text("user"),
        host=fields.optional_text("host"),
        params=fields.mapping("params"),
        code=fields.optional_mapping("code"),
        environment=_environment(fields, problems),
        extra=fields.unknown(),
    )
    problems.raise_if_any("run record")
    return start


def _environment(fields: Fields, problems: Problems) -> dict[str, Any] | None:
    """Read what is known of the environment; its list of distributions is told by its digest."""
    environment = fields.optional_mapping("environment")
    if environment is not None:
        Fields(environment, "environment", problems).optional_text("distributions", is_digest)
    return environment


def encode_input(used: Input, record_id: str, created_at: datetime) -> bytes:
    """Return the bytes of the record that a run used an artifact."""
    return dump(
        {
            "created_at": format_instant(created_at),
            "format": FORMAT,
            "input": input_to_json(used),
            "record_id": record_id,
        }
    )


def input_id(used: Input) -> str:
    """Return the id of what was used: equal for equal name, version and role, so that it is recorded once."""
    return hashlib.sha256(dump({"name": used.name, "role": used.role, "version": used.version})).hexdigest()[:32]


def decode_input(data: bytes, key: str) -> tuple[datetime, Input]:
    """Read the record that a run used an artifact; return since when, and what."""
    fields, problems = open_record(data, key, "run input record")
    fields.text("record_id", is_record_id)
    since = fields.instant("created_at")
    used = input_from_json(fields.mapping("input"), "input", problems)
    if not problems.found and input_id(used) != (said := input_id_of_key(key)):
        fields.note("input", f"expected the one with the id {said}, as the key has it, got {input_id(used)}")
    problems.raise_if_any("run input record")
    return since, used


def encode_end(end: RunEnd) -> bytes:
    """Return the bytes of a run's last record."""
    series = {
        name: {"steps": [at for at, _ in points], "values": [value for _, value in points]}
        for name, points in end.series.items()
    }
    return dump(
        dict(end.extra)
        | ({"series": series} if series else {})
        | {
            "created_at": format_instant(end.ended_at),
            "error_type": end.error_type,
            "format": FORMAT,
            "metrics": end.metrics,
            "notes": list(end.notes),
            "outcome": end.outcome,
            "outputs": [input_to_json(output) for output in end.outputs],
            "record_id": end.record_id,
        }
    )


def decode_end(data: bytes, key: str) -> RunEnd:
    """Read a run's last record."""
    fields, problems = open_record(data, key, "run record")
    notes = []
    for place, note in fields.items("notes"):
        if isinstance(note, str):
            notes.append(note)
        else:
            problems.note(place, "expected a string")
    outcome = fields.text("outcome", lambda value: None if value in OUTCOMES else f"expected one of {OUTCOMES}")
    end = RunEnd(
        record_id=fields.text("record_id", is_record_id),
        ended_at=fields.instant("created_at"),
        outcome=cast("Outcome", outcome),
        error_type=fields.optional_text("error_type"),
        metrics=fields.mapping("metrics"),
        series=_series(fields, problems),
        notes=tuple(notes),
        outputs=tuple(input_from_json(item, place, problems) for place, item in fields.items("outputs")),
        extra=fields.unknown(),
    )
    problems.raise_if_any("run record")
    return end


def _series(fields: Fields, problems: Problems) -> dict[str, tuple[tuple[int, Any], ...]]:
    """Read the metrics that were logged step by step."""
    found = {}
    given = fields.optional_mapping("series") or {}
    if len(given) > MAX_SERIES:
        fields.note("series", f"expected at most {MAX_SERIES}, got {len(given)}")
        return {}
    for name, value in given.items():
        of_name = Fields(value, f"series.{name}", problems)
        steps, values = ([one for _, one in of_name.items(part)] for part in ("steps", "values"))
        if problem := _points_problem(steps, values):
            of_name.note("steps", problem)
        found[name] = tuple(zip(steps, values, strict=False))
    return found


def _points_problem(steps: list[Any], values: list[Any]) -> str | None:
    if len(steps) > MAX_POINTS or len(steps) != len(values):
        return f"expected at most {MAX_POINTS}, and as many values, got {len(steps)} and {len(values)}"
    if not all(type(step) is int and 0 <= step <= MAX_STEP for step in steps):
        return f"expected whole numbers from 0 to {MAX_STEP}"
    if any(step >= after for step, after in itertools.pairwise(steps)):
        return "expected an ascending order"
    if not all(is_number(value) for value in values):
        return "expected numbers as values"
    return None


def is_number(value: Any) -> bool:
    """Whether a metadata value, as it is stored, is a number; true and false are none."""
    number = decode(value)
    return isinstance(number, int | float) and not isinstance(number, bool)
