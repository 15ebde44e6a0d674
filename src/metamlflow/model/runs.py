"""Runs: what was executed, with what, and how it ended. Frozen values, free of any storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from metamlflow.model.manifests import Input

Outcome = Literal["finished", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


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
        code: the code that ran: see :mod:`metamlflow.store.capturing`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The record that is created when a run ends.

    Attributes:
        record_id: of this record.
        ended_at: in UTC.
        outcome: ``finished`` or ``failed``.
        error_type: the name of the error's class, if it failed; never its message, which may hold anything.
        metrics: JSON values as stored; decoded likewise.
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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that a store has of a run; ``end`` is None while it is unfinished, or if it was killed."""

    start: RunStart
    inputs: tuple[Input, ...]
    end: RunEnd | None
