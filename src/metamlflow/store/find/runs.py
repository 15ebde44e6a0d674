"""The runs of a store: one listing, and a read of each of their records."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from metamlflow.errors import DamagedRecordWarning, IntegrityError, StoreFormatError
from metamlflow.format.layout import RUNS
from metamlflow.format.listed_keys import listed_key
from metamlflow.model.condition_fields import OF_RUNS, references
from metamlflow.model.conditions import Condition
from metamlflow.model.run_lists import RunList, facts_of_run
from metamlflow.model.runs import RunRecord
from metamlflow.store.catalog.bounded import kept
from metamlflow.store.catalog.statuses import pages
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.runs import decoded_run, load_listed_run
from metamlflow.store.transfer.scheduler import in_parallel

_PAGE = 1_000  # keys
_RECORDS = frozenset({"start", "end", "input"})


def runs_of(store: Store, name: str | None, condition: Condition | None) -> RunList:
    """Return the runs that have a name and for which a condition holds, the latest first.

    A run with a damaged record is left out with a warning.
    """
    found = []
    for record in in_parallel(lambda listed: _loaded(store, *listed), _listed(store)):
        if isinstance(record, StoreFormatError | IntegrityError):
            warnings.warn(f"left out of the runs: {record}", DamagedRecordWarning, stacklevel=3)
        elif record is not None and (name is None or record.start.name == name):
            decoded = decoded_run(record)
            if condition is None or condition.answer(run_facts(decoded)):
                found.append(decoded)
    found.sort(key=lambda record: (record.start.started_at, record.start.run_id), reverse=True)
    return RunList(found)


def parsed_where(where: str | None) -> Condition | None:
    """Return a condition on runs.

    Raises:
        InvalidInputError: it is malformed; the message shows the place.
    """
    return None if where is None else Condition.parse(where, "where", OF_RUNS)


def run_facts(record: RunRecord) -> dict[str, Any]:
    """Return what a condition may ask of a run."""
    outputs = record.end.outputs if record.end else ()
    return {**facts_of_run(record), "input": references(record.inputs), "output": references(outputs)}


def _listed(store: Store) -> Iterator[tuple[str, list[str]]]:
    """Yield the id of each run, and the keys of its records."""
    run, keys = "", list[str]()
    for info in pages(store, RUNS, _PAGE):
        at = listed_key(info.key)
        if at is None or at.kind not in _RECORDS:
            continue
        if at.of != run and keys:
            yield run, keys
            keys = []
        run = at.of
        keys.append(info.key)
    if keys:
        yield run, keys


def _loaded(store: Store, run: str, keys: list[str]) -> RunRecord | StoreFormatError | IntegrityError | None:
    try:
        return load_listed_run(store, run, keys)
    except (StoreFormatError, IntegrityError) as error:
        return kept(error)
