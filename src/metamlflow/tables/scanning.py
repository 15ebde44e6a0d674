"""The files of a data set as one ``pyarrow.dataset.Dataset``, which reads what a query needs. Imported lazily."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.json
import pyarrow.parquet as pq
from pyarrow import fs

from metamlflow.errors import InvalidInputError
from metamlflow.tables.fitting import check_fit, whole_numbers
from metamlflow.tables.json_lines import ShallowLines
from metamlflow.tables.partitions import PARTITIONS, is_key_type
from metamlflow.tables.reading import BLOCK_BYTES, format_of

_LOOK_BYTES = 1024 * 1024
_CSV_READING = pa.csv.ReadOptions(block_size=BLOCK_BYTES)
Open = Callable[[str], BinaryIO]
"""Opens the file at a logical path."""


class _Files(fs.FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """The files of one version as a read-only file system of Arrow; only the given ones, whose sizes are known."""

    def __init__(self, sizes: Mapping[str, int], opened: Open, streamed: Open) -> None:
        self._sizes = sizes
        self._opened = opened
        self._streamed = streamed
        self._check: Callable[[str, BinaryIO], None] | None = None
        self._unchecked = set(sizes)

    def check(self, paths: Sequence[str], check: Callable[[str, BinaryIO], None]) -> None:
        """Have files checked when they are opened from now on, once each."""
        self._unchecked, self._check = set(paths), check

    def _checked(self, path: str, file: BinaryIO) -> Any:
        if self._check is not None and path in self._unchecked:
            try:
                self._check(path, file)
                file.seek(0)
            except BaseException:
                file.close()
                raise
            self._unchecked.discard(path)
        return pa.PythonFile(file, mode="r")

    def get_type_name(self) -> str:
        return "metamlflow"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[Any]:
        return [
            fs.FileInfo(path, fs.FileType.File, size=self._sizes[path])
            if path in self._sizes
            else fs.FileInfo(path, fs.FileType.NotFound)
            for path in paths
        ]

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        folder = f"{selector.base_dir}/" if selector.base_dir else ""
        return self.get_file_info([path for path in self._sizes if path.startswith(folder)])

    def open_input_file(self, path: str) -> Any:
        return self._checked(path, self._opened(path))

    def open_input_stream(self, path: str) -> Any:
        return self._checked(path, self._streamed(path))

    def _read_only(self, *_: Any, **__: Any) -> Any:
        raise pa.ArrowNotImplementedError("versions do not change")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _read_only
    move = copy_file = open_output_stream = open_append_stream = _read_only


def dataset_of(sizes: Mapping[str, int], folder: str, opened: Open, streamed: Open, copied: Open) -> Any:
    """Return files of one format as one ``pyarrow.dataset.Dataset``, with the columns that names of folders hold.

    Args:
        sizes: the sizes of the files by their paths.
        folder: the path below which names of folders count, with its slash; empty for the root.
        opened: opens a file that is read in parts.
        streamed: opens a file that is read from its beginning to its end.
        copied: opens a verified local copy of a file.
    """
    paths = list(sizes)
    kind, _ = format_of(paths[0])
    if kind == "jsonl":
        opened = streamed = partial(_checked_lines, copied)
    form, handler = _form(kind), _Files(sizes, opened, streamed)
    files = fs.PyFileSystem(handler)
    partitioning, schema = None, None
    if any("=" in path[len(folder) :].rpartition("/")[0] for path in paths):
        partitioning, schema = ds.partitioning(flavor="hive"), None
        if kind == "parquet" and (recorded := _recorded(form.inspect(paths[0], filesystem=files))):
            partitioning, schema = recorded
    base = {"partition_base_dir": folder.rstrip("/")} if folder else {}
    try:
        found = ds.dataset(paths, schema=schema, filesystem=files, format=form, partitioning=partitioning, **base)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of both the first file and its folder, in two types
        if partitioning is not None:
            _refuse_doubled(paths[0], folder, form.inspect(paths[0], filesystem=files).names)
        raise
    # The first file says what the schema is, unless one is recorded; of lines only the first block says it.
    checked = paths[1:] if schema is None and partitioning is None and kind != "jsonl" else paths

    def check(path: str, file: BinaryIO) -> None:
        keys = [] if partitioning is None else found.partitioning.schema.names
        if kind == "jsonl":
            own = set(found.schema.names).difference(_in_folders(path, folder, keys))
            _check_lines(path, copied, pa.schema([field for field in found.schema if field.name in own]))
        if kind == "parquet":  # by the very file: what is read of it here need not be read again
            given = pq.read_schema(file)
        else:
            given = form.inspect(path, filesystem=fs.PyFileSystem(_Files(sizes, opened, streamed)))
        _refuse_doubled(path, folder, set(given.names) & set(keys))
        is_text = kind in {"csv", "tsv", "jsonl"}
        check_fit(path, given, found.schema, is_text=is_text)
        if is_text:
            _check_numbers(path, streamed, given, found.schema)

    handler.check(checked, check)
    return found


def _refuse_doubled(path: str, folder: str, names: Collection[str]) -> None:
    """Look for columns of a file in the names of its folders, whose values Arrow would put in their place.

    Raises:
        InvalidInputError: there are such columns.
    """
    if both := _in_folders(path, folder, names):
        raise InvalidInputError(
            f"{path!r} has columns that the names of its folders hold too: {', '.join(map(repr, both))[:300]}",
            hint="Give path=: a file alone is read with its own columns. Or register files without these columns.",
        )


def _in_folders(path: str, folder: str, names: Collection[str]) -> list[str]:
    """Return the columns of these that the names of a file's folders hold."""
    texts = ds.partitioning(pa.schema([(name, pa.string()) for name in set(names)]), flavor="hive")
    return sorted(ds.get_partition_keys(texts.parse(path[len(folder) :])))


def _check_lines(path: str, copied: Open, schema: Any) -> None:
    """Look for fields that a file's first rows, or the first file's, do not have: Arrow would leave them out."""
    codec = format_of(path)[1]
    reading = pa.json.ReadOptions(block_size=BLOCK_BYTES)
    parsing = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    try:
        with copied(path) as file:
            source = pa.CompressedInputStream(file, codec) if codec else file
            for _ in pa.json.open_json(source, read_options=reading, parse_options=parsing):
                pass
    except pa.ArrowInvalid as error:
        raise InvalidInputError(
            f"the rows of {path!r} do not fit the first rows of the data set: {error!s:.300}",
            hint="to_arrow() and to_pandas() look at all rows before they choose the columns.",
        ) from error


def _check_numbers(path: str, streamed: Open, given: Any, schema: Any) -> None:
    """Look for whole numbers that are too large for the fractions of the first file: Arrow would round them.

    Raises:
        InvalidInputError: there are such numbers.
    """
    kept = {field.name: schema.field(field.name).type for field in given}
    read = {field.name: whole_numbers(kept[field.name], field.type) for field in given}
    read = {name: kind for name, kind in read.items() if not kind.equals(kept[name])}
    if not read:
        return
    try:
        with streamed(path) as file:
            for batch in _parsed(path, file, pa.schema(list(read.items()))):
                for name in read:
                    _refuse_rounding(path, batch.column(name), name, kept[name])
    except pa.ArrowInvalid:  # fractions come later: as in one file that has both, all of them are fractions
        return


def _parsed(path: str, file: BinaryIO, schema: Any) -> Any:
    kind, codec = format_of(path)
    source = pa.CompressedInputStream(file, codec) if codec else file
    if kind == "jsonl":
        reading = pa.json.ReadOptions(block_size=BLOCK_BYTES)
        parsing = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        return pa.json.open_json(source, read_options=reading, parse_options=parsing)
    wanted = pa.csv.ConvertOptions(column_types=schema, include_columns=schema.names)
    return pa.csv.open_csv(source, read_options=_CSV_READING, parse_options=_csv_parsing(kind), convert_options=wanted)


def _refuse_rounding(path: str, column: Any, name: str, kept: Any) -> None:
    try:
        column.cast(kept)
    except pa.ArrowInvalid as error:
        raise InvalidInputError(
            f"the files' columns do not fit together: {name!r} of {path!r}: {error!s:.200}",
            hint="Give path=: a file, or a folder whose files belong together.",
        ) from error


def _csv_parsing(kind: str) -> Any:
    return pa.csv.ParseOptions(delimiter="\t" if kind == "tsv" else ",", newlines_in_values=True)


def _checked_lines(copied: Open, path: str) -> BinaryIO:
    """Return a file of JSON lines after all of it was looked at: Arrow parses parts of it in any order."""
    codec = format_of(path)[1]
    with copied(path) as file:
        lines = ShallowLines(pa.CompressedInputStream(file, codec) if codec else file)
        while lines.read(_LOOK_BYTES):
            pass
    return copied(path)


def _form(kind: str) -> Any:
    if kind == "parquet":
        # Pages of files that this library wrote have checksums: damage shows where no digest can be compared.
        options = ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)
        return ds.ParquetFileFormat(default_fragment_scan_options=options)
    if kind == "jsonl":
        reading = pa.json.ReadOptions(block_size=BLOCK_BYTES)
        return ds.JsonFileFormat(default_fragment_scan_options=ds.JsonFragmentScanOptions(read_options=reading))
    if kind in {"feather", "orc"}:
        return ds.IpcFileFormat() if kind == "feather" else ds.OrcFileFormat()
    return ds.CsvFileFormat(parse_options=_csv_parsing(kind), read_options=_CSV_READING)


def _recorded(schema: Any) -> tuple[Any, Any] | None:
    """Return the partitioning and the schema that the writer of a file recorded in it, if it did so well."""
    try:
        said = json.loads((schema.metadata or {}).get(PARTITIONS, b"null"))
        whole = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(said["schema"], validate=True)))
        keys = pa.schema([whole.field(name) for name in said["by"]])
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error, pa.ArrowException, OSError):
        return None
    if not all(is_key_type(pa, key.type) for key in keys):
        return None
    return ds.partitioning(keys, flavor="hive"), whole
