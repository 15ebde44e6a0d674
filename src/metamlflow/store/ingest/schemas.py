"""The Arrow schema of a data file, as a small JSON value that is kept with its version.

A schema is a by-product: if the file is damaged, it is registered all the same, and only the schema is missing. It is
cheap: one block of the file, or the footer of a Parquet file, whatever its size. docs/schemas.md describes the form.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from metamlflow.errors import MetaMLFlowError

SAMPLE_BYTES = 1024 * 1024  # decompressed; the types of CSV and JSON lines are inferred from this much
MAX_COLUMNS = 5_000
MAX_SCHEMA_BYTES = 512 * 1024  # names and types together: a manifest must stay small
MAX_FOOTER_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_CELLS = 5_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kind:
    """The kind of content by the file's name; ``codec`` is pyarrow's name of the compression."""

    format: str
    delimiter: str = ""
    codec: str | None = None


_TEXT = {
    ".csv": _Kind("csv", ","),
    ".tsv": _Kind("csv", "\t"),
    ".jsonl": _Kind("jsonl"),
    ".ndjson": _Kind("jsonl"),
}
_CODECS = {"": None, ".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_FOOTERS = {".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather", ".orc": "orc"}
_KINDS = {suffix: _Kind(kind) for suffix, kind in _FOOTERS.items()} | {
    f"{suffix}{packed}": _Kind(kind.format, kind.delimiter, codec)
    for suffix, kind in _TEXT.items()
    for packed, codec in _CODECS.items()
}
_SUFFIXES = tuple(_KINDS)


class _UntellableError(Exception):
    """Why a schema cannot be determined; the reason quotes nothing of the file."""


def is_data_file(path: str) -> bool:
    """Whether :func:`capture_schema` examines a file of this name. The content is not read."""
    return _kind_of(path) is not None


def is_visible_data_file(path: str) -> bool:
    """Whether :func:`is_data_file` holds and the path is not hidden, as ``._a.csv`` and ``.cache/a.csv`` are."""
    return is_data_file(path) and "/." not in f"/{path}"


def has_cheap_schema(path: str) -> bool:
    """Whether the schema of a file of this name is in its footer: a few kilobytes, also of a file that is far away."""
    kind = _kind_of(path)
    return kind is not None and kind.format in {"parquet", "feather"} and is_visible_data_file(path)


def capture_schema(path: str, open_file: Callable[[], BinaryIO]) -> dict[str, Any] | None:
    """Return the Arrow schema of one CSV, Parquet or JSON-lines file as JSON, or None if it cannot be determined.

    ``path`` is the file's logical path: its extension decides the format, and the value names it. ``open_file`` opens
    the file (a seekable one, for Parquet), and is not called for other extensions or without pyarrow. At most
    ``SAMPLE_BYTES`` of text or ``MAX_FOOTER_BYTES`` of a footer are read. The file's content never raises an error: a
    file that is damaged, empty or too wide gives None and a line in the debug log.
    """
    kind = _kind_of(path)
    if kind is None:
        return None
    try:
        import pyarrow as pa
    except ImportError:
        _log.debug("no schema of %s: pyarrow is not installed", path)
        return None
    try:
        with open_file() as file:
            found = _found(file, kind)
    except _UntellableError as reason:
        _log.debug("no schema of %s: %s", path, reason)
        return None
    except (pa.ArrowException, csv.Error, ImportError, OSError, ValueError, MetaMLFlowError) as error:
        # The parser's message is left out, because parsers quote rows of the data.
        _log.debug("no schema of %s: it does not read as %s (%s)", path, kind.format, type(error).__name__)
        return None
    return {"format": kind.format, "path": path, **found}


def arrow_schema_to_json(schema: Any) -> dict[str, Any]:
    """Return ``{"fields": [{"name", "type", "nullable"}, …]}`` for a ``pyarrow.Schema``, its columns in their order.

    ``type`` is Arrow's own spelling, such as ``list<item: string>``. Metadata of the schema, such as that of pandas, is
    dropped. Beyond ``MAX_COLUMNS`` columns, or ``MAX_SCHEMA_BYTES`` of names and types, the rest is left out and the
    value has ``"truncated": true``.

    Raises:
        ValueError: a name is not valid Unicode.
    """
    fields: list[dict[str, Any]] = []
    size = 0
    for index in range(min(len(schema), MAX_COLUMNS)):
        column = schema.field(index)
        name, spelled = column.name, str(column.type)
        size += len(name.encode()) + len(spelled.encode())
        if size > MAX_SCHEMA_BYTES:
            break
        fields.append({"name": name, "type": spelled, "nullable": column.nullable})
    return {"fields": fields} if len(fields) == len(schema) else {"fields": fields, "truncated": True}


def _kind_of(path: str) -> _Kind | None:
    name = path.rpartition("/")[2].lower()
    if not name.endswith(_SUFFIXES):
        return None
    return next(kind for suffix, kind in _KINDS.items() if name.endswith(suffix))


def _found(file: BinaryIO, kind: _Kind) -> dict[str, Any]:
    if kind.format == "orc":
        # Its footer is compressed, and no small bound holds for the memory that it takes.
        raise _UntellableError("schemas of ORC files are not captured")
    if kind.format in {"parquet", "feather"}:
        return (_parquet if kind.format == "parquet" else _feather)(file)
    return _text(file, kind)


# --- Parquet and Feather: the footer has the schema ------------------------------------------------------------------


def _feather(file: BinaryIO) -> dict[str, Any]:
    import pyarrow as pa

    _check_footer(file, b"ARROW1")
    return arrow_schema_to_json(pa.ipc.open_file(file).schema)


def _parquet(file: BinaryIO) -> dict[str, Any]:
    import pyarrow.parquet as pq

    _check_footer(file, b"PAR1")
    return arrow_schema_to_json(pq.read_schema(file))


def _check_footer(file: BinaryIO, magic: bytes) -> None:
    """Check that a file ends with the length of its footer and its format's sign, and the footer is small enough."""
    file.seek(-4 - len(magic), io.SEEK_END)
    tail = _read(file, 4 + len(magic))
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != magic:
        raise _UntellableError("it does not end as its format does, or its footer is encrypted")
    if footer > MAX_FOOTER_BYTES:
        raise _UntellableError(f"its footer takes {footer:,} bytes, more than {MAX_FOOTER_BYTES:,}")
    file.seek(0)


# --- text: the schema is inferred from the first block ----------------------------------------------------------------


def _text(file: BinaryIO, kind: _Kind) -> dict[str, Any]:
    sample = _head(file, kind.codec)
    goes_on = len(sample) > SAMPLE_BYTES
    sample = sample[:SAMPLE_BYTES]
    if not sample.strip():
        raise _UntellableError("it is empty")
    if b"\0" in sample:
        # UTF-16 has NUL bytes; parsed as ASCII, it would give columns that do not exist.
        raise _UntellableError("it holds NUL bytes")
    if kind.format == "csv":
        schema = _csv(sample, kind.delimiter, goes_on=goes_on)
    else:
        rows = _harmless_rows(sample[: _row_end(sample)] if goes_on else sample)
        goes_on = goes_on or len(rows) < len(sample)
        schema = _jsonl(rows)
    found = arrow_schema_to_json(schema)
    return {**found, "sampled": True} if goes_on else found


def _head(file: BinaryIO, codec: str | None) -> bytes:
    """Return the first block, decompressed, and one byte more if the file continues."""
    if codec is None:
        return _read(file, SAMPLE_BYTES + 1)
    import pyarrow as pa

    with pa.PythonFile(file, mode="r") as packed, pa.CompressedInputStream(packed, codec) as unpacked:
        return _read(unpacked, SAMPLE_BYTES + 1)


def _read(stream: Any, size: int) -> bytes:
    parts = []
    # Unbuffered and remote files may return fewer bytes than requested.
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _row_end(sample: bytes) -> int:
    end = sample.rfind(b"\n") + 1
    if not end:
        raise _UntellableError(f"its first line is longer than {SAMPLE_BYTES:,} bytes")
    return end


def _csv(sample: bytes, delimiter: str, *, goes_on: bool) -> Any:
    """Return the schema of CSV text; its first row that is not empty names the columns."""
    import pyarrow as pa

    text = io.StringIO(sample.decode("utf-8-sig", errors="replace"), newline="")
    columns = next(filter(None, csv.reader(text, delimiter=delimiter)), [])
    if len(columns) > MAX_COLUMNS:
        # pyarrow takes 8 KiB for each column; a block has room for a million.
        raise _UntellableError(f"it has {len(columns):,} columns, more than {MAX_COLUMNS:,}")
    if not goes_on:
        # Without a line break a lone header is refused; a surplus one makes an empty line, which is skipped.
        return _csv_table(sample + b"\n", delimiter).schema
    end = _row_end(sample)
    try:
        table = _csv_table(sample[:end], delimiter)
    except pa.ArrowInvalid:
        # The last line break may be inside a quoted value. This is considered only now, because a stray quote (5" pipe)
        # would count as well.
        table = _csv_table(sample[: _row_end_outside_quotes(sample, end)], delimiter)
    if not table.num_rows:
        raise _UntellableError(f"its first row is longer than {SAMPLE_BYTES:,} bytes")
    return table.schema


def _row_end_outside_quotes(sample: bytes, end: int) -> int:
    """Return the last line end up to ``end`` that follows an even number of quotes."""
    inside = sample.count(b'"', 0, end) % 2
    while end and inside:
        before = sample.rfind(b"\n", 0, end - 1) + 1
        inside = (inside + sample.count(b'"', before, end)) % 2
        end = before
    return end


def _csv_table(rows: bytes, delimiter: str) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    # One block, so that every row takes part in the inference; no threads, because a block is too small for a pool.
    return pa_csv.read_csv(
        pa.BufferReader(rows),
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=SAMPLE_BYTES + 1),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    )


def _jsonl(rows: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.json as pa_json

    options = pa_json.ReadOptions(use_threads=False, block_size=SAMPLE_BYTES + 1)
    return pa_json.read_json(pa.BufferReader(rows), read_options=options).schema


# --- JSON that would harm the process --------------------------------------------------------------------------------

# By group: 1 a string, 2 the colon that makes it a key, 3 an opening bracket, 4 a closing one.
# An unterminated string takes the rest: otherwise each quote in it would be tried again, in quadratic time.
_JSON_TOKEN = re.compile(rb'("(?:[^"\\]|\\.)*+"?)(\s*+:)?|([\[{])|([\]}])', re.DOTALL)


def _harmless_rows(sample: bytes) -> bytes:
    """Return the first rows, as many as pyarrow can infer a schema from in little memory.

    Its parser overflows the stack on deep nesting, which ends the process. It also keeps a cell for every row (or
    element of a list) and every key seen anywhere: rows that each bring new keys would take gigabytes from one block.

    Raises:
        _UntellableError: a row is nested too deeply, or the first row alone has too many keys.
    """
    keys: dict[tuple[int, bytes], int] = {}  # (number of the enclosing key, key) → its number
    parents: list[tuple[int, bytes]] = []  # the open brackets, each with the number of its key
    here = row_start = objects = 0
    for token in _JSON_TOKEN.finditer(sample):
        match token.lastindex:
            case 2:  # a key
                here = keys.setdefault((parents[-1][0] if parents else 0, token[1]), len(keys) + 1)
            case 3:  # an opening bracket
                if not parents:
                    row_start = token.start()
                objects += token[0] == b"{" and (not parents or parents[-1][1] == b"[")
                parents.append((here, token[0]))
            case 4:  # a closing bracket
                here = parents.pop()[0] if parents else 0
        if len(parents) > MAX_DEPTH:
            raise _UntellableError(f"it is nested more than {MAX_DEPTH} deep")
        if len(keys) > MAX_COLUMNS or objects * len(keys) > MAX_CELLS:
            if not row_start:
                raise _UntellableError(f"its first row has more than {MAX_COLUMNS:,} columns, or too many elements")
            return sample[:row_start]
    return sample
