"""Reading data files as pandas frames or Arrow tables; the file's extension selects the format."""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Mapping
from typing import Any, BinaryIO

from metamlflow._packages import imported
from metamlflow.tables.json_lines import ShallowLines

_CODECS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}
_ALIASES = {"ndjson": "jsonl", "pq": "parquet", "arrow": "feather"}
BLOCK_BYTES = 16 * 1024 * 1024  # for pyarrow a row of text must fit in a block; its default is 1 MiB


def conversion_errors(pa: Any) -> tuple[type[Exception], ...]:
    """Return the errors of pandas, polars and pyarrow for values that they cannot convert, without memory errors."""
    return ValueError, TypeError, OverflowError, NotImplementedError, pa.ArrowCapacityError, pa.ArrowSerializationError


def unreadable_errors(pa: Any) -> tuple[type[Exception], ...]:
    """Return the same for a file in memory, where an OSError concerns the table: "schema too deeply nested"."""
    return *conversion_errors(pa), OSError, KeyError


def as_parquet(table: Any) -> BinaryIO:
    """Return a small table as a Parquet file in memory, written as on a disk."""
    file = io.BytesIO()
    with imported("pyarrow.parquet", "arrow").ParquetWriter(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    file.seek(0)
    return file


def format_of(path: str) -> tuple[str, str | None]:
    """Return the format and the compression of a data file."""
    stem, _, extension = path.lower().rpartition(".")
    codec = _CODECS.get(extension)
    extension = stem.rpartition(".")[2] if codec else extension
    return _ALIASES.get(extension, extension), codec


def read_pandas(pandas: Any, path: str, stream: BinaryIO, options: Mapping[str, Any]) -> Any:
    """Return a data file's content as a ``pandas.DataFrame``; ``options`` go to pandas' own reader."""
    kind, codec = format_of(path)
    if kind == "parquet":
        imported("pyarrow", "pandas")
        return pandas.read_parquet(stream, **options)
    if kind in {"feather", "orc"}:
        imported("pyarrow", "pandas")
        return (pandas.read_feather if kind == "feather" else pandas.read_orc)(stream, **options)
    if codec == "zstd":  # pandas would need a further package
        stream, codec = imported("pyarrow", "pandas").CompressedInputStream(stream, codec), None
    defaults: dict[str, Any] = {"compression": codec} if codec else {}
    if kind != "jsonl":
        separator = {"sep": "\t"} if kind == "tsv" and "delimiter" not in options else {}
        return pandas.read_csv(stream, **{**defaults, **separator, **options})
    if "engine" not in options:
        # Keep values as written: pandas would convert "007" to a number, and numbers in date-like columns to dates.
        defaults |= {"dtype": False, "precise_float": True}
        if (
            inspect.signature(pandas.read_json).parameters["convert_dates"].default is True
        ):  # versions of pandas with this default
            defaults["convert_dates"] = False
    return pandas.read_json(stream, **{"lines": True, **defaults, **options})


def read_arrow(pa: Any, path: str, stream: BinaryIO) -> Any:
    """Return a data file's content as a ``pyarrow.Table``."""
    kind, codec = format_of(path)
    if kind in {"feather", "orc"}:
        return importlib.import_module(f"pyarrow.{kind}").read_table(stream)
    reader = importlib.import_module({"parquet": "pyarrow.parquet", "jsonl": "pyarrow.json"}.get(kind, "pyarrow.csv"))
    if kind == "parquet":
        file = reader.ParquetFile(stream)
        try:
            return file.read()
        except pa.ArrowNotImplementedError:  # categories within lists or structs, from more row groups than one
            return pa.concat_tables([file.read_row_group(group) for group in range(file.num_row_groups)])
    source = pa.CompressedInputStream(stream, codec) if codec else stream
    blocks = reader.ReadOptions(block_size=BLOCK_BYTES)
    if kind == "jsonl":
        return reader.read_json(pa.PythonFile(ShallowLines(source), mode="r"), read_options=blocks)
    how = reader.ParseOptions(delimiter="\t" if kind == "tsv" else ",", newlines_in_values=True)
    return reader.read_csv(source, read_options=blocks, parse_options=how)
