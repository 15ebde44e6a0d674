"""The commands that find versions and runs: search, sql and runs."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from metamlflow._looks import utc_text
from metamlflow.cli.arguments import client_for
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, StoreOption
from metamlflow.cli.output import Cell, Row, emit_document, emit_rows
from metamlflow.cli.rows import ALIASES, LEFT_OUT, LISTED, listed_document, listed_row

find_app = typer.Typer()
_RUNS = ("RUN", "NAME", "STARTED", "OUTCOME", "PARAMS", "METRICS", "INPUTS", "OUTPUTS")
_RUNS_LEFT_OUT = ("INPUTS", "PARAMS", "OUTPUTS", "STARTED")


@find_app.command(short_help="Find versions by what is known of them.")
def search(
    expression: Annotated[
        str, typer.Argument(metavar="EXPRESSION", help="Such as \"type = 'model' and metadata.accuracy > 0.9\".")
    ],
    hidden: Annotated[
        bool, typer.Option("--include-hidden", help="Search names too that were hidden from listings.")
    ] = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the versions for which EXPRESSION holds: of all names, and not only the latest.

    In a pipe: name, version, type, files, bytes, time of creation, creator and aliases, separated by tabs.
    """
    found = client_for(store, options).search(expression, include_hidden=hidden)
    if as_json:
        emit_document("artifacts", {"artifacts": [listed_document(artifact, aliases=True) for artifact in found]})
    else:
        rows = (listed_row(artifact, aliases=True) for artifact in found)
        emit_rows(rows, (*LISTED, ALIASES) if found else (), LEFT_OUT)


@find_app.command(short_help="Query the catalog and the runs with SQL.")
def sql(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help='Such as "select name, max(version) from versions group by name".')
    ],
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a query of SQL over the tables versions and runs, and print its rows.

    In a pipe: the columns, separated by tabs, without their names.
    """
    found = client_for(store, options).sql(query)
    rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))  # columns may share a name
    if as_json:
        names = _distinct(found.column_names)
        emit_document(
            "rows", {"columns": names, "rows": [dict(zip(names, map(_plain, row), strict=True)) for row in rows]}
        )
    else:
        emit_rows(([_cell(value) for value in row] for row in rows), found.column_names if rows else ())


@find_app.command(short_help="List runs, or compare two of them.")
def runs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only runs of this name.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="CONDITION", help='Such as "metrics.loss < 0.3".')
    ] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option("--compare", metavar="RUN RUN", help="Two runs, side by side.")
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List runs, the latest first; or compare two.

    In a pipe: run, name, time, outcome, parameters and metrics as JSON, inputs and outputs, separated by tabs. Of a
    comparison: the fact, and what it is in either run.
    """
    client = client_for(store, options)
    if compare is not None:
        if name is not None or where is not None:
            raise typer.BadParameter("give two runs and nothing else", param_hint="--compare")
        compared = client.compare_runs(*compare)
        if as_json:
            emit_document("run comparison", compared.to_json())
        else:
            titles = ("FACT", *(run[:8] for run in compare))
            emit_rows(((fact, _cell(left), _cell(right)) for fact, left, right in compared.rows), titles)
        return
    found = client.runs(name, where=where).to_json()
    if as_json:
        emit_document("runs", {"runs": found})
    else:
        emit_rows(map(_run_row, found), _RUNS if found else (), _RUNS_LEFT_OUT)


def _run_row(run: dict[str, Any]) -> Row:
    return (
        run["id"],
        run["name"],
        datetime.fromisoformat(run["started_at"]),
        run["outcome"],
        _cell(run["params"]),
        _cell(run["metrics"]),
        ",".join(run["inputs"]),
        ",".join(run["outputs"]),
    )


def _cell(value: Any) -> Cell:
    """Return a value as it is shown: as JSON, but a text without quotes, and a time and a whole number as they are."""
    if value is None:
        return ""
    plain = value if isinstance(value, datetime) else _plain(value)
    if isinstance(plain, str | datetime) or (isinstance(plain, int) and not isinstance(plain, bool)):
        return plain
    return json.dumps(plain, ensure_ascii=False)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of columns, of which each is there once: of several of one name all but the first get a number."""
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        found[next(one for one in numbered if one not in found and one not in names) if name in found else name] = None
    return list(found)


def _plain(value: Any) -> Any:
    """Return a value of a query as JSON has it."""
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:  # as DuckDB returns sums of whole numbers
        value = int(value)
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return utc_text(value) if value.tzinfo else value.isoformat()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)
