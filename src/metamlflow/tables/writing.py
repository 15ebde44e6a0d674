"""Tables as Parquet files in the temp folder, ready to be registered."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from metamlflow._arguments import blamed_on
from metamlflow._packages import imported
from metamlflow.errors import InvalidInputError, StorageFullError
from metamlflow.model.paths import path_problem
from metamlflow.store.transfer.spooling import TEMP_DIR_VARIABLE, temp_folder
from metamlflow.tables.arrow import empty, polars_pieces, schema_problems
from metamlflow.tables.frames import check_names, frame_as_arrow, refusal, unstorable
from metamlflow.tables.partitions import check_keys, write_partitioned
from metamlflow.tables.reading import as_parquet, conversion_errors

_GROUP_ROWS = 128 * 1024  # rows of a row group
_GROUP_BYTES = 64 * 1024 * 1024  # bytes of a row group of a stream, which is never in memory as a whole


def is_table(data: object) -> bool:
    """Return whether an object is a table of any library, without importing that library."""
    # Tables of pandas, pyarrow, polars and others have this method of the Arrow PyCapsule interface.
    return hasattr(data, "__arrow_c_stream__")


@contextmanager
def as_files(data: Any, file_name: str, keys: Sequence[str] = ()) -> Iterator[Any]:
    """Yield ``data`` with each table in it (itself, or values of a mapping) as the path of a temporary Parquet file.

    The tables of a list or iterator, and a table that is partitioned by columns, ``keys``, become a folder of files.
    """
    tables_of = _parts(data)
    if keys or not (tables_of is None or is_table(data)):
        if tables_of is None:
            raise InvalidInputError("partition_by is for a table, or an iterator of tables")
        with temp_folder() as folder:
            _write_parts(tables_of, Path(folder), keys)
            yield Path(folder)
        return
    with _one_by_one(data, file_name) as files:
        yield files


def _parts(data: Any) -> Iterator[Any] | None:
    """Return the tables of a table, a list of tables or an iterator of tables; None for everything else."""
    if is_table(data):
        return iter((data,))
    if isinstance(data, Iterator):
        return data
    is_list = isinstance(data, list | tuple) and data and all(map(is_table, data))
    return iter(data) if is_list else None


def _write_parts(tables: Iterator[Any], folder: Path, keys: Sequence[str]) -> None:
    """Write tables one after the other, so that one at a time is in memory.

    Raises:
        InvalidInputError: one is not a table, would be read back differently, or has other columns than the first.
    """
    pa = imported("pyarrow", "arrow")
    first = None
    for part, table in enumerate(tables):
        with blamed_on(f"table {part}"):
            _refuse_plan(table)
            if not is_table(table):
                raise InvalidInputError(
                    f"a {type(table).__name__} is not a table", hint="Yield data frames or Arrow tables."
                )
            schema, pieces = _checked(pa, table, plain_index=True)
            if first is not None and not schema.equals(first):
                raise InvalidInputError(
                    f"its columns are {_columns(schema)}, and those of the first table {_columns(first)}",
                    hint="Give all tables the same columns in the same order and types.",
                )
            first = first or schema
            with _room(folder):
                if keys:
                    check_keys(pa, schema, keys)
                    write_partitioned(pa, schema, pieces, keys, folder, part)
                else:
                    _write(pa, schema, pieces, folder / f"part-{part:05}.parquet")
    if first is None:
        raise InvalidInputError("the iterator yielded no table", hint="Yield a table without rows, which has columns.")
    if not any(folder.iterdir()):
        raise InvalidInputError(
            "partition_by: the data has no rows, so there is no folder to name; nothing was registered",
            hint="Register it without partition_by: one file keeps the columns.",
        )


def _columns(schema: Any) -> str:
    return ", ".join(f"{field.name!r} ({field.type})" for field in schema)[:500]


@contextmanager
def _one_by_one(data: Any, file_name: str) -> Iterator[Any]:
    whole = is_table(data)
    members = {file_name: data} if whole else data if isinstance(data, Mapping) else {}
    for path, value in [("", data), *members.items()]:
        _refuse_plan(value)
        if path and isinstance(value, Mapping) and not is_table(value) and (inner := _table_within(value)):
            raise InvalidInputError(
                f"{path!r:.200} is a mapping that holds a table, {inner!r:.200}",
                hint=f"Give tables with their whole path, such as '{path}/{inner}', in one mapping."[:400],
            )
    tables = {path: table for path, table in members.items() if is_table(table)}
    for path in tables:
        if path_problem(path) or not path.lower().endswith((".parquet", ".pq")) or (whole and "/" in path):
            raise InvalidInputError(
                f"{path!r:.200} is not a name for a Parquet file", hint="Give it one: 'name.parquet'."
            )
    if not tables:
        yield data
        return
    with temp_folder() as folder:
        files = {path: Path(folder, str(number), Path(path).name) for number, path in enumerate(tables)}
        for path, file in files.items():
            file.parent.mkdir()
            with nullcontext() if whole else blamed_on(repr(path)):
                _write_parquet(tables[path], file)
        yield files[file_name] if whole else {**members, **files}


def _table_within(members: Mapping[Any, Any]) -> str | None:
    return next((str(path) for path, value in members.items() if is_table(value)), None)


def _refuse_plan(value: object) -> None:
    """Raise InvalidInputError for a lazy table, which has no rows yet."""
    for method in ("collect", "compute"):  # methods of polars and Dask
        if not is_table(value) and hasattr(value, method) and hasattr(type(value), "columns"):
            raise InvalidInputError(
                f"a {type(value).__name__} is a plan of a table, and holds no rows yet",
                hint=f"Register what its {method}() returns, or the files that it writes.",
            )


def _write_parquet(data: Any, path: Path) -> None:
    """Write a table; its bytes depend on its content, and not on its chunks in memory."""
    pa = imported("pyarrow", "pandas" if _is_pandas(data) else "arrow")
    schema, pieces = _checked(pa, data)
    with _room(path.parents[1]):
        _write(pa, schema, pieces, path)


def _is_pandas(data: Any) -> bool:
    return isinstance(data, getattr(sys.modules.get("pandas"), "DataFrame", ()))


def _checked(pa: Any, data: Any, *, plain_index: bool = False) -> tuple[Any, Iterable[Any]]:
    """Return a table's schema, and its rows as small tables, if it is read back as it is.

    ``plain_index`` is for a table that is one of many files: an index of its own would be repeated in each.

    Raises:
        InvalidInputError: it would be read back differently.
    """
    is_frame = _is_pandas(data)
    if is_frame and plain_index:
        data = _without_index(data)
    schema, pieces = _pieces(pa, frame_as_arrow(data) if is_frame else data)
    check_names(schema.names)
    if not is_frame and (problems := schema_problems(pa, schema)):
        raise refusal(problems)
    if not schema.names and (rows := getattr(data, "num_rows", getattr(data, "height", 0))):
        raise refusal([("type", f"a table of {rows:,} rows without columns would come back without rows")])
    return schema, pieces


def _without_index(frame: Any) -> Any:
    """Return a frame that is numbered from 0.

    Raises:
        InvalidInputError: it has an index of its own.
    """
    index = frame.index
    is_numbered = type(index).__name__ == "RangeIndex" and index.step == 1 and index.name is None
    if not is_numbered:
        raise InvalidInputError(
            f"a frame among several files keeps no index, and this one has {index!r:.100}",
            hint="Make the index columns, frame.reset_index(), or drop it, frame.reset_index(drop=True).",
        )
    return frame if index.start == 0 else frame.reset_index(drop=True)


def _write(pa: Any, schema: Any, pieces: Iterable[Any], path: Path) -> None:
    pq = importlib.import_module("pyarrow.parquet")
    piece = empty(pa, schema)
    try:
        with path.open("wb") as sink, pq.ParquetWriter(sink, schema, write_page_checksum=True) as writer:
            for piece in pieces:
                writer.write_table(piece.combine_chunks())
    except conversion_errors(pa) as error:
        parts = ((name, piece.select([name])) for name in schema.names)
        if problems := unstorable(pa, parts, as_parquet, "type"):
            raise refusal(problems, unstored=True) from error
        raise  # an error of the stream itself


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """Translate the error of a full disk.

    Raises:
        StorageFullError: the temp folder has no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        hint = f"Set {TEMP_DIR_VARIABLE} to a folder with more room, or register a file."
        place = str(folder.parent)
        raise StorageFullError(f"the temp folder {place} has no room for the table", hint=hint, key=place) from error


def _pieces(pa: Any, data: Any) -> tuple[Any, Iterable[Any]]:
    """Return a table's schema, and its rows as small tables."""
    if isinstance(data, pa.Table):
        return data.schema, (data.slice(start, _GROUP_ROWS) for start in range(0, data.num_rows, _GROUP_ROWS))
    if isinstance(data, getattr(sys.modules.get("polars"), "DataFrame", ())):
        return polars_pieces(pa, data, _GROUP_ROWS)
    try:
        reader = data if isinstance(data, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(data)
    except conversion_errors(pa) as error:
        kind = type(data).__name__
        hint = (
            "Register what its to_frame() returns."
            if hasattr(data, "to_frame")
            else "Make a table of it that names its columns."
        )
        raise InvalidInputError(f"a {kind} is not a table", hint=hint) from error
    return reader.schema, _grouped(pa, reader)


def _grouped(pa: Any, reader: Any) -> Iterator[Any]:
    batches, rows, size = [], 0, 0
    for batch in reader:
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(batches)
            batches, rows, size = [], 0, 0
    if batches:
        yield pa.Table.from_batches(batches)
