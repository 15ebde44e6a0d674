"""The rows of a version's data files as one stream of Arrow batches, with the columns of its first file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from metamlflow._packages import imported
from metamlflow.backend import translated_errors
from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.likeness import quoted
from metamlflow.model.manifests import FileEntry
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.store import Store
from metamlflow.store.diff.shared_types import stored_type
from metamlflow.store.ingest.schemas import capture_schema, is_visible_data_file
from metamlflow.store.read.content import content_of

_BLOCK_BYTES = 16 * 1024 * 1024  # a row of text must fit in a block
_BATCH_ROWS = 65_536
_CODECS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}
_ALIASES = {"ndjson": "jsonl", "pq": "parquet", "tsv": "csv"}
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Rows:
    """The rows of one version. Each file is verified while it is read.

    Args:
        store: the store that has the version.
        loaded: the version.
        folder: for a verified copy of one file at a time, whoever deletes it.
        as_text: read every column of CSV files as text.

    Attributes:
        schema: the Arrow schema of the first file, with the columns that the names of folders hold (``year=2026``).
        as_text: as given.
        failure: the error that ended the stream, for whoever reads it through another library.

    Raises:
        InvalidInputError: it has no table.
    """

    def __init__(self, store: Store, loaded: StoredManifest, folder: Path, *, as_text: bool = False) -> None:
        self._pa = imported("pyarrow", "arrow")
        self._store = store
        self._loaded = loaded
        self.as_text = as_text
        self._copy = folder / "copy"
        self._copied: FileEntry | None = None
        self.name = f"{loaded.manifest.name}@{loaded.manifest.version}"
        self.failure: BaseException | None = None
        self.inferred = False
        entries = Entries(store, loaded.manifest)
        self._files = (entry for entry in entries if is_visible_data_file(entry.path))
        first = next(self._files, None)
        if first is None:
            raise InvalidInputError(
                f"{self.name} has no file with the extension of a table, so its rows cannot be compared",
                hint="Tables are .csv, .tsv, .jsonl and .ndjson (also .gz, .bz2, .zst), .parquet and .pq.",
            )
        self._first = first
        with ExitStack() as opened:
            self.schema, _ = self._opened(first, opened)

    def batches(self, columns: Sequence[int], types: Sequence[Any]) -> Iterator[Any]:
        """Yield the rows as record batches: some columns by their numbers, cast, and called ``c0``, ``c1``, ….

        Raises:
            InvalidInputError: another file has other columns, or values of other types.
            IntegrityError: a file is damaged or missing.
        """
        pa = self._pa
        wanted = pa.schema([(f"c{number}", kind) for number, kind in enumerate(types)])
        try:
            for entry in (self._first, *self._files):
                with ExitStack() as opened:
                    schema, found = self._opened(entry, opened)
                    places = self._places(entry, schema, columns)
                    for batch in found:
                        arrays = [
                            self._cast(entry, batch.column(place), number, kind)
                            for place, number, kind in zip(places, columns, types, strict=True)
                        ]
                        yield pa.RecordBatch.from_arrays(arrays, schema=wanted)
        except (Exception, KeyboardInterrupt) as error:
            self.failure = error
            raise

    def _cast(self, entry: FileEntry, array: Any, number: int, kind: Any) -> Any:
        """Return values of a file in the type that they have in the first file, and then in that of duckdb.

        Raises:
            InvalidInputError: the first file's type does not hold them.
        """
        pa = self._pa
        while isinstance(array, pa.ExtensionArray):
            array = array.storage
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        first = stored_type(pa, self.schema.field(number).type)
        try:
            array = array if array.type == first else _kept(pa, array, first)
            return array if array.type == kind else array.cast(kind)
        except pa.ArrowException as error:
            raise InvalidInputError(
                f"{self.name}: the column {self.schema.names[number]!r:.100} has the type {first} in "
                f"{self._first.path!r:.100}, which values of {entry.path!r:.100} do not fit: {error!s:.300}",
                hint="Rows are compared of one table: a column has one type in all files.",
            ) from error

    def _places(self, entry: FileEntry, schema: Any, columns: Sequence[int]) -> list[int]:
        """Return where a file has some columns of the first one; those of one name are taken in order."""
        if schema.names == self.schema.names:
            return list(columns)
        if sorted(schema.names) != sorted(self.schema.names) or len(set(schema.names)) < len(schema.names):
            odd = sorted(set(schema.names) ^ set(self.schema.names)) or sorted(schema.names)
            raise InvalidInputError(
                f"{self.name}: the files' columns are not the same: only one of {self._first.path!r:.80} and "
                f"{entry.path!r:.80} has {', '.join(quoted(odd[:9]))}",
                hint="Rows are compared of one table, in one or several files.",
            )
        return [schema.names.index(self.schema.names[number]) for number in columns]

    def _opened(self, entry: FileEntry, opened: ExitStack) -> tuple[Any, Iterator[Any]]:
        """Return the schema of a file and its batches, with the columns that the names of its folders hold."""
        pa = self._pa
        copy = self._verified(entry)
        # It has the bounds against hostile files: a header of a million columns would take gigabytes.
        captured = capture_schema(entry.path, lambda: copy.open("rb"))
        if captured is None or captured.get("truncated"):
            raise self._unreadable(entry, "its columns cannot be told, or are too many")
        stream = opened.enter_context(copy.open("rb"))
        extension, codec = _format_of(entry.path)
        try:
            if extension == "parquet":
                file = imported("pyarrow.parquet", "arrow").ParquetFile(stream)
                schema, found = file.schema_arrow, file.iter_batches(_BATCH_ROWS)
            else:
                source = pa.CompressedInputStream(stream, codec) if codec else stream
                names = [field["name"] for field in captured["fields"]]
                reader = self._text_reader(entry.path, extension, source, names)
                schema, found = reader.schema, iter(reader)
        except (pa.ArrowException, ValueError) as error:
            raise self._unreadable(entry, error) from error
        held = _held_by_folders(entry.path, schema.names)
        for name, _ in held:
            schema = schema.append(pa.field(name, pa.string()))
        return schema, self._with_folders(entry, found, [value for _, value in held])

    def _verified(self, entry: FileEntry) -> Path:
        """Return a verified copy of a file, so that parsers see no damaged byte, and it is transferred once."""
        if entry != self._copied:
            self._copied = None
            content = content_of(self._store, self._loaded.manifest, entry)
            with translated_errors(str(self._copy)), self._copy.open("wb", buffering=0) as file:
                content.copy(file, lambda _: None)
            self._copied = entry
        return self._copy

    def _text_reader(self, path: str, extension: str, source: Any, names: Sequence[str]) -> Any:
        self.inferred = True
        reading = imported("pyarrow.json" if extension == "jsonl" else "pyarrow.csv", "arrow")
        blocks = reading.ReadOptions(block_size=_BLOCK_BYTES)
        if extension == "jsonl":
            return reading.open_json(source, read_options=blocks)
        tabs = "\t" if ".tsv" in path.lower()[-8:] else ","
        how = reading.ParseOptions(delimiter=tabs, newlines_in_values=True)
        convert = None
        if self.as_text:
            text = dict.fromkeys(names, self._pa.string())
            convert = reading.ConvertOptions(column_types=text, strings_can_be_null=True)
        return reading.open_csv(source, read_options=blocks, parse_options=how, convert_options=convert)

    def _with_folders(self, entry: FileEntry, found: Iterator[Any], values: Sequence[str | None]) -> Iterator[Any]:
        pa = self._pa
        try:
            for batch in found:
                held = [pa.array([value] * batch.num_rows, pa.string()) for value in values]
                arrays = [*batch.columns, *held]
                yield pa.RecordBatch.from_arrays(arrays, names=[str(number) for number in range(len(arrays))])
        except (pa.ArrowException, ValueError) as error:
            raise self._unreadable(entry, error) from error

    def _unreadable(self, entry: FileEntry, error: object) -> InvalidInputError:
        return InvalidInputError(f"{self.name}: {entry.path!r:.200} cannot be read as a table: {error!s:.500}")


def _format_of(path: str) -> tuple[str, str | None]:
    """Return the format of a data file, and its compression."""
    stem, _, extension = path.lower().rpartition(".")
    codec = _CODECS.get(extension)
    extension = stem.rpartition(".")[2] if codec else extension
    return _ALIASES.get(extension, extension), codec


def _held_by_folders(path: str, names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the columns that the names of folders hold, as ``year=2026`` does, with their values."""
    found = {}
    for folder in path.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if equals and name and unquote(name) not in names:
            found[unquote(name)] = None if value == _NO_VALUE else unquote(value)
    return list(found.items())


def _kept(pa: Any, array: Any, kind: Any) -> Any:
    """Return an array in another type that has the same values.

    Raises:
        ArrowException: the type does not have them.
    """
    if array.null_count == len(array):
        return pa.nulls(len(array), kind)
    cast = array.cast(kind)
    if not _without_nan(pa, cast.cast(array.type)).equals(_without_nan(pa, array)):
        raise pa.ArrowInvalid(f"{kind} does not hold its values of {array.type}")
    return cast


def _without_nan(pa: Any, array: Any) -> Any:
    """Return an array with nulls in the place of NaN, which is not equal to itself."""
    if not pa.types.is_floating(array.type):
        return array
    compute = imported("pyarrow.compute", "arrow")
    return compute.if_else(compute.is_nan(array), pa.scalar(None, array.type), array)
