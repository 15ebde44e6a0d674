"""Arrow and polars tables: the types that Parquet preserves, and those that it would change silently."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from metamlflow.tables.frames import Problem, refusal, unstorable
from metamlflow.tables.reading import as_parquet, read_arrow, unreadable_errors


def schema_problems(pa: Any, schema: Any) -> list[Problem]:
    """Return the columns of an Arrow schema that Parquet would give back as another type.

    Two differences do not count as changes: the name of a list's elements, which Parquet calls ``element``, and the
    width of the offsets of a dictionary's texts.
    """
    try:
        found = _read_back(pa, empty(pa, schema)).schema
    except unreadable_errors(pa) as error:
        columns = ((field.name, pa.schema([field])) for field in schema)
        named = unstorable(pa, columns, lambda alone: _read_back(pa, empty(pa, alone)), "type")
        return named or [("type", f"the schema, or its metadata, cannot be read back from Parquet: {error}")]
    problems: list[Problem] = []
    for field in schema:
        back = found.field(field.name)
        if _form(pa, field.type) != _form(pa, back.type):
            problems.append(("type", f"column {field.name!r}: type {field.type} would come back as {back.type}"))
        elif field.nullable != back.nullable or _lost(field.metadata, back.metadata):
            problems.append(("type", f"column {field.name!r}: its metadata would be lost"))
    if lost := _lost(schema.metadata, found.metadata):
        problems.append(("type", f"the schema's metadata {lost!r:.200} would be lost"))
    return problems


def empty(pa: Any, schema: Any) -> Any:
    """Return a table without rows; ``schema.empty_table`` does not support extension types within other types."""
    return pa.Table.from_batches([], schema=schema)


def polars_pieces(pa: Any, frame: Any, rows: int) -> tuple[Any, Iterable[Any]]:
    """Return the schema of a polars frame, and its rows as small Arrow tables.

    Raises:
        InvalidInputError: the frame would be read back differently; all such columns are named.
    """
    polars = importlib.import_module("polars")
    if problems := list(_name_problems(frame.schema.items())):
        raise refusal(problems)
    # String views, polars' own form of texts, cannot be written as the values of a dictionary.
    oldest = polars.CompatLevel.oldest()
    convert: Callable[[Any], Any] = lambda part: part.to_arrow(compat_level=oldest)  # noqa: E731 (used twice)
    problems = [
        ("type", f"column {name!r} holds Python objects, of which only addresses in memory would be stored")
        for name, kind in frame.schema.items()
        if _holds_objects(polars, kind)
    ]
    if problems:
        raise refusal(problems)
    try:
        schema = convert(frame.clear()).schema
        found = polars.from_arrow(_read_back(pa, convert(frame.head(1)))).schema
    except unreadable_errors(pa) as error:
        parts = ((name, frame.select(polars.col(name)).head(1)) for name in frame.columns)
        named = unstorable(pa, parts, lambda part: _read_back(pa, convert(part)), "type")
        raise refusal(named or [("type", f"the frame cannot be stored as Parquet: {error}")], unstored=True) from error
    for name, kind in frame.schema.items():
        if found[name] != kind:
            problems.append(("type", f"column {name!r}: type {kind} would come back as {found[name]}"))
    if problems:
        raise refusal(problems)
    return schema, (_cast(pa, convert(frame.slice(start, rows)), schema) for start in range(0, frame.height, rows))


def _cast(pa: Any, table: Any, schema: Any) -> Any:
    """Return a table with the types of a schema; other columns are not cast, since a cast breaks null arrays."""
    pairs = zip(table.columns, schema.types, strict=True)
    return pa.table([column if column.type == kind else column.cast(kind) for column, kind in pairs], schema=schema)


def _name_problems(columns: Iterable[tuple[str, Any]], outer: str = "") -> Iterator[Problem]:
    """Return the column names that polars cannot convert to Arrow and back. A NUL makes it panic, past all handlers."""
    for name, kind in columns:
        place = f"{outer}field {name!r}" if outer else f"column {name!r}"
        if "\0" in name:
            yield "names", f"{place}: polars gives no name that holds a NUL to Arrow"
        elif not name and not outer:
            yield "names", f"{place}: the empty name would come back as 'column_0' or the like"
        while (inner := getattr(kind, "inner", None)) is not None:
            kind = inner  # noqa: PLW2901 (the type within)
        yield from _name_problems(((field.name, field.dtype) for field in getattr(kind, "fields", ())), f"{place}, ")


def _holds_objects(polars: Any, kind: Any) -> bool:
    inner = [field.dtype for field in getattr(kind, "fields", ())] + [getattr(kind, "inner", None)]
    return kind == polars.Object or any(_holds_objects(polars, part) for part in inner if part is not None)


def _read_back(pa: Any, table: Any) -> Any:
    """Return the table as a reader of its file gets it."""
    return read_arrow(pa, "table.parquet", as_parquet(table))


def _lost(given: dict[bytes, bytes] | None, found: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    return {key: value for key, value in (given or {}).items() if (found or {}).get(key) != value}


def _form(pa: Any, kind: Any, *, in_dictionary: bool = False) -> Any:
    """Return a type as a value that is equal for types which Parquet does not distinguish."""
    types = pa.types
    if types.is_dictionary(kind):
        return "dictionary", kind.index_type, _form(pa, kind.value_type, in_dictionary=True), kind.ordered
    if types.is_map(kind):
        return "map", _form(pa, kind.key_type), _form(pa, kind.item_type)
    if types.is_struct(kind):
        return "struct", tuple((field.name, _form(pa, field.type)) for field in kind)
    if hasattr(kind, "value_type") and not types.is_run_end_encoded(kind):
        return kind.id, getattr(kind, "list_size", None), _form(pa, kind.value_type)
    if in_dictionary:
        return {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}.get(kind, kind)
    return kind
