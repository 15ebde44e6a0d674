"""SQL over the catalog and the runs, by DuckDB: in memory, without files, network or extensions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from metamlflow._packages import imported
from metamlflow.errors import InvalidInputError
from metamlflow.redaction import printable
from metamlflow.store.find.columns import arrow

_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
}
"""A query sees the tables that it is given: no file, no address, no variable of the program."""
_WITH_ROWS = {"SELECT", "MULTI", "EXPLAIN", "PRAGMA", "CALL"}  # DuckDB's kinds of statements; a pivot is MULTI
_MOST_CHARACTERS = 1_000


def rows_of_query(query: object, tables: dict[str, Callable[[], Any]]) -> Any:
    """Return the rows of a query as an Arrow table.

    Args:
        query: one statement of SQL.
        tables: by name what makes them; only those are made whose name the query has.

    Raises:
        InvalidInputError: the query is not one statement that gives rows, or fails.
        MissingDependencyError: DuckDB or pyarrow is not installed.
    """
    arrow()
    duckdb = imported("duckdb", "duckdb")
    if not isinstance(query, str):
        raise InvalidInputError(f"a query is a text of SQL, not {type(query).__name__}")
    with duckdb.connect(":memory:", config=_CLOSED) as connection:
        for name, make in tables.items():
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                connection.register(name, make())
        connection.execute("SET lock_configuration = true")
        try:
            _check(connection.extract_statements(query), tables)
            return connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            told = printable(str(error)[:_MOST_CHARACTERS], keep="\n")
            raise InvalidInputError(f"the query failed: {told}", hint=_hint(tables)) from error


def _check(statements: list[Any], tables: dict[str, Callable[[], Any]]) -> None:
    if len(statements) != 1:
        raise InvalidInputError(f"a query is one statement, and this text holds {len(statements)}", hint=_hint(tables))
    if statements[0].type.name not in _WITH_ROWS:
        raise InvalidInputError("the query gives no rows", hint=_hint(tables))


def _hint(tables: dict[str, Callable[[], Any]]) -> str:
    return f"Tables are {', '.join(tables)}. Metadata is JSON: metadata->>'accuracy'."
