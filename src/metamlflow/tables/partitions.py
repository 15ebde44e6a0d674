"""Tables as many files: parts of an iterator, and folders that are named after the values of columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from metamlflow._packages import imported
from metamlflow.errors import InvalidInputError

PARTITIONS = b"metamlflow.partitioned"
"""The field in a file's schema that says which columns are in the names of its folders, and all columns in order."""
MOST_PARTITIONS = 10_000
_OPEN_FILES = 100
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_GROUP_ROWS = 128 * 1024


def is_key_type(pa: Any, kind: Any) -> bool:
    """Return whether values of a type come back from the names of folders as they were."""
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_integer(kind)
        or types.is_boolean(kind)
        or types.is_date32(kind)
    )


def check_keys(pa: Any, schema: Any, keys: Sequence[str]) -> None:
    """Check the columns that are to become names of folders.

    Raises:
        InvalidInputError: a column does not exist, or its values would come back as others; all such are named.
    """
    problems = []
    for key in keys:
        if key not in schema.names:
            problems.append(f"{key!r:.80} is not a column")
        elif not key or key[0] in "._" or any(sign in key for sign in "=/%\\") or not key.isprintable():
            problems.append(f"{key!r:.80} cannot be part of a folder's name")
        elif not is_key_type(pa, schema.field(key).type):
            problems.append(f"column {key!r:.80} has the type {schema.field(key).type}")
    if len(set(keys)) < len(keys) or len(keys) >= len(schema.names):
        problems.append("each column may be given once, and at least one must be left for the files")
    if problems:
        raise InvalidInputError(
            f"partition_by: {'; '.join(problems)}; nothing was registered",
            hint="Partition by columns of texts, whole numbers, bools or dates; convert others, or add such a column.",
        )


def write_partitioned(
    pa: Any, schema: Any, pieces: Iterable[Any], keys: Sequence[str], folder: Path, part: int
) -> None:
    """Write the rows of a table into folders such as ``year=2024/city=Bern``, in constant memory.

    Args:
        pa: pyarrow.
        schema: the table's schema.
        pieces: its rows, as small tables of this schema.
        keys: the columns that become names of folders; the files do not have them.
        folder: where the folders are made.
        part: the number of the table among several, for the names of the files.

    Raises:
        InvalidInputError: a value would come back as another one, or there are too many folders.
    """
    ds = imported("pyarrow.dataset", "arrow")
    schema = _without_range(schema)
    said = {"by": list(keys), "schema": base64.b64encode(schema.serialize()).decode()}
    written = schema.with_metadata({**(schema.metadata or {}), PARTITIONS: json.dumps(said).encode()})

    def batches() -> Iterator[Any]:
        for piece in pieces:
            for key in keys:
                _check_values(pa, key, piece.column(key))
            yield from piece.cast(written).combine_chunks().to_batches()

    form = ds.ParquetFileFormat()
    try:
        ds.write_dataset(
            pa.RecordBatchReader.from_batches(written, batches()),
            folder,
            basename_template=f"part-{part:05}-{{i}}.parquet",
            format=form,
            file_options=form.make_write_options(write_page_checksum=True),
            partitioning=ds.partitioning(pa.schema([schema.field(key) for key in keys]), flavor="hive"),
            existing_data_behavior="overwrite_or_ignore",
            use_threads=False,  # so that equal tables become equal files
            max_partitions=MOST_PARTITIONS,
            max_open_files=_OPEN_FILES,
            max_rows_per_group=_GROUP_ROWS,
        )
    except pa.ArrowInvalid as error:
        raise InvalidInputError(
            f"the table cannot be partitioned by {', '.join(keys)}: {error!s:.300}; nothing was registered",
            hint=f"Partition by columns with few values: there may be {MOST_PARTITIONS:,} folders.",
        ) from error


def _without_range(schema: Any) -> Any:
    """Return the schema of a pandas frame without the length of its index, which no part of it has."""
    facts = dict(schema.metadata or {})
    if b"pandas" in facts:
        facts[b"pandas"] = json.dumps({**json.loads(facts[b"pandas"]), "index_columns": []}).encode()
    return schema.with_metadata(facts)


def _check_values(pa: Any, key: str, column: Any) -> None:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return
    for value in column.unique().to_pylist():
        if value is not None and (not value or value == _NO_VALUE or "\0" in value or len(value.encode()) > 80):  # noqa: PLR2004
            raise InvalidInputError(
                f"partition_by: column {key!r:.80} holds {value!r:.100}, which cannot be the name of a folder",
                hint="Name missing values None, and long or odd ones otherwise.",
            )
