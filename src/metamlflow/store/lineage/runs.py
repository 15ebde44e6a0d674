"""Runs in the store: created when they begin, extended by each input at its first use, ended once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from metamlflow.errors import ConflictError, LineageWarning, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.layout import parse_run_input_key, run_input_key, run_inputs_prefix, run_key, runs_prefix
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.runs import (
    decode_end,
    decode_input,
    decode_start,
    encode_end,
    encode_input,
    encode_start,
    input_id,
)
from metamlflow.model.manifests import Input
from metamlflow.model.metadata import decode
from metamlflow.model.runs import Outcome, RunEnd, RunRecord, RunStart, series_text
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import create_exclusively, listed_and_missing, with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.current_run import Recorder
from metamlflow.store.lineage.inputs import warn_user
from metamlflow.store.lineage.stale_metadata import columns_of
from metamlflow.store.transfer.scheduler import in_parallel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """The facts about a version that a run used or made.

    Attributes:
        name: the name of the artifact.
        version: its number.
        place: the location of its data: the place that it points to, otherwise the store.
        columns: names and types of its columns, where they are known.
    """

    name: str
    version: int
    place: str
    columns: tuple[tuple[str, str], ...]


class ActiveRun:
    """A run under way, in this process or handed over to it. If a record cannot be written, a warning says so."""

    def __init__(self, store: Store, run_id: str, code: Mapping[str, Any] | None = None) -> None:
        self._store = store
        self._run_id = run_id
        self._code = code
        self._lock = threading.Lock()
        self._used: dict[tuple[str, int, str | None], Input] = {}
        self._outputs: dict[tuple[str, int], Input] = {}
        self._touched: dict[tuple[str, int], DatasetFacts] = {}
        self.outer: Recorder | None = None
        """The enclosing run, in which this one began."""
        self._ended = self._broken = False
        self.handed_over = False
        """Whether other processes may add to it."""

    @property
    def run_id(self) -> str:
        """32 hex digits."""
        return self._run_id

    @property
    def code(self) -> Mapping[str, Any] | None:
        """The known facts about the running code."""
        return self._code

    @property
    def ended(self) -> bool:
        """Whether the run has ended, so that nothing more is recorded."""
        return self._ended

    def is_of(self, store: Store) -> bool:
        """Whether the run is recorded in this store. No request."""
        return self._store.is_same_as(store, asking=False)

    def open(self) -> bool:
        """Create the store if it does not exist; return whether the run can be recorded in it."""
        self._recorded("its beginning", self._open)
        return not self._broken

    def _open(self) -> None:
        was_open = self._store.is_open
        self._store.writable_marker()
        if was_open:
            self._store.recheck(writing=True)  # a run may write nothing else that would detect a store that is gone

    def begin(self, start: RunStart) -> None:
        """Create the record of the run's start."""
        self._recorded("its beginning", lambda: self._begin(start))

    def _begin(self, start: RunStart) -> None:
        self._store.recheck_if_due()  # what is recorded of the machine may take a while
        self._claim(run_key(self._run_id, "start"), encode_start(start), start.record_id)

    def note_use(self, loaded: StoredManifest, role: str | None = None) -> None:
        """Record that the bytes of a version are used; at once, because the job may be killed."""
        manifest = loaded.manifest
        used = Input(manifest.name, manifest.version, loaded.digest, role)
        with self._lock:
            if self._ended:
                return
            place = str(used.name), used.version, role
            if place in self._used or (role is None and any(key[:2] == place[:2] for key in self._used)):
                return
            self._used[place] = used
            self._touch(loaded)
            self._recorded(f"its input {used.name}@{used.version}", partial(self._extend, used))

    def note_output(self, loaded: StoredManifest) -> None:
        """Record that a version was registered."""
        manifest = loaded.manifest
        with self._lock:
            if self._ended:
                return
            output = Input(manifest.name, manifest.version, loaded.digest)
            self._outputs[str(manifest.name), manifest.version] = output
            self._touch(loaded)

    def _touch(self, loaded: StoredManifest) -> None:
        manifest = loaded.manifest
        place = manifest.pointed[0].uri if len(manifest.pointed) == 1 else self._store.url
        columns = tuple(columns_of(manifest.schema or {}).items())
        touched = DatasetFacts(str(manifest.name), manifest.version, place, columns)
        self._touched[touched.name, touched.version] = touched

    def touched(self, versions: Iterable[Input]) -> list[DatasetFacts]:
        """Return the facts about versions that were used or made."""
        with self._lock:
            keys = dict.fromkeys((str(used.name), used.version) for used in versions)
            return [self._touched[key] for key in keys]

    def used(self) -> tuple[Input, ...]:
        """Return the inputs used so far; if the run was handed over, also those that other processes used."""
        with self._lock:
            if self.handed_over and not self._ended:
                self._recorded("the inputs of other processes", self._look)
            return tuple(self._used.values())

    def _look(self) -> None:
        """Add the inputs that other processes of the run have recorded."""
        for used in recorded_inputs(self._store, self._run_id):
            self._used.setdefault((str(used.name), used.version, used.role), used)

    def counts(self) -> tuple[int, int]:
        """How many inputs and outputs this process knows of. No request."""
        return len(self._used), len(self._outputs)

    def outputs(self) -> tuple[Input, ...]:
        """The versions registered so far."""
        with self._lock:
            return tuple(self._outputs.values())

    def end(
        self,
        outcome: Outcome,
        error_type: str | None,
        metrics: Mapping[str, Any],
        notes: tuple[str, ...],
        series: Mapping[str, Sequence[tuple[int, Any]]],
    ) -> None:
        """Create the record of the run's end."""
        clock = self._store.clock
        end = RunEnd(
            record_id=clock.new_id(),
            ended_at=clock.now(),
            outcome=outcome,
            error_type=error_type,
            metrics=metrics,
            series=series,
            notes=notes,
            outputs=self.outputs(),
        )
        key = run_key(self._run_id, "end")
        with self._lock:
            self._ended = True
        self._recorded("its end", lambda: self._close(key, end))

    def _close(self, key: str, end: RunEnd) -> None:
        self._store.recheck(writing=True)
        if self._claim(key, encode_end(end), end.record_id) is None:
            raise ConflictError("another process has ended it already")

    def _claim(self, key: str, data: bytes, record_id: str) -> bytes | None:
        return create_exclusively(self._store.backend, key, data, record_id, self._store.clock)

    def _extend(self, used: Input) -> None:
        """Create the record of an input. If another process of the run created it first, that one counts."""
        self._store.recheck_if_due()
        record_id = self._store.clock.new_id()
        data = encode_input(used, record_id, self._store.clock.now())
        self._claim(run_input_key(self._run_id, input_id(used)), data, record_id)

    def _recorded(self, what: str, record: Any) -> None:
        """Write a record of the run. A failure never fails the job; it ends the recording, so it costs time once."""
        if self._broken:
            return
        try:
            record()
        except Exception as error:  # noqa: BLE001 (whatever fails, the job continues)
            told = error.message if isinstance(error, MetaMLFlowError) else f"{type(error).__name__}: {error}"
            self._broken = True
            warn_user(f"run {self._run_id}: {what} could not be recorded, nor what follows: {told}", LineageWarning)


def facts_of(record: RunRecord | None) -> dict[str, Any]:
    """Return the facts in a run's records, as JSON values; empty if the run does not exist."""
    if record is None:
        return {}
    start, end = record.start, record.end
    facts: dict[str, Any] = {
        "started_at": start.started_at.isoformat(),
        "parent": start.parent,
        "user": start.user,
        "host": start.host,
        "params": dict(start.params),
        "environment": dict(start.environment or {}),
        "inputs": [f"{used.name}@{used.version}" for used in record.inputs],
        "outcome": "unfinished",
    }
    if end is not None:
        facts |= {
            "ended_at": end.ended_at.isoformat(),
            "outcome": end.outcome,
            "error_type": end.error_type,
            "metrics": dict(end.metrics),
            **({"series": _series_texts(end)} if end.series else {}),
            "notes": list(end.notes),
            "outputs": [f"{made.name}@{made.version}" for made in end.outputs],
        }
    return facts


def _series_texts(end: RunEnd) -> dict[str, str]:
    return {name: series_text([(at, decode(value)) for at, value in points]) for name, points in end.series.items()}


def decoded_run(record: RunRecord) -> RunRecord:
    """Return a run's record with the values that its JSON stands for."""
    start, end = record.start, record.end
    if end is not None:
        series = {name: tuple((at, decode(value)) for at, value in points) for name, points in end.series.items()}
        end = replace(end, metrics=decode(end.metrics), series=series)
    return replace(record, start=replace(start, params=decode(start.params)), end=end)


def recorded_inputs(store: Store, run_id: str) -> tuple[Input, ...]:
    """Return the recorded inputs of a run: one listing, and one read of each record, in parallel."""
    return _inputs_at(store, run_id, _keys_below(store, run_inputs_prefix(run_id)))


def load_run(store: Store, run_id: str) -> RunRecord | None:
    """Return a run's records: one listing, and one read of each record; None if the store has none.

    The listing says which records exist, so that a run is never said to be unfinished because a read was refused.

    Raises:
        StoreFormatError: one of its records is damaged.
        IntegrityError: a record that was listed is missing.
    """
    return load_listed_run(store, run_id, _keys_below(store, runs_prefix(run_id)))


def load_listed_run(store: Store, run_id: str, keys: Sequence[str]) -> RunRecord | None:
    """Return a run's records, given the keys of them all; a read of each. Raises as :func:`load_run`."""
    start_key, end_key = run_key(run_id, "start"), run_key(run_id, "end")
    if start_key not in keys:
        return None
    start = decode_start(_read_listed(store, start_key), start_key, run_id)
    inputs = _inputs_at(store, run_id, keys)
    end = decode_end(_read_listed(store, end_key), end_key) if end_key in keys else None
    return RunRecord(start, inputs, end)


def _keys_below(store: Store, prefix: str) -> list[str]:
    return with_retries(lambda: [info.key for info in store.backend.list_objects(prefix)], store.clock)


def _inputs_at(store: Store, run_id: str, keys: Iterable[str]) -> tuple[Input, ...]:
    def read(key: str) -> tuple[datetime, Input]:
        return decode_input(_read_listed(store, key), key)

    found = list(in_parallel(read, [key for key in keys if parse_run_input_key(run_id, key)]))
    return tuple(used for _, used in sorted(found, key=lambda item: item[0]))


def _read_listed(store: Store, key: str) -> bytes:
    try:
        return with_retries(lambda: read_record(store.backend, key), store.clock)
    except ObjectNotFoundError as error:
        raise listed_and_missing(key) from error
