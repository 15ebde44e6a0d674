"""Datasets: artifacts that hold tables, registered from and read back as pandas or Arrow data."""

from __future__ import annotations

import errno
import importlib
import inspect
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self

from metamlflow.artifacts import Artifact, PointerEntry, ProgressCallback
from metamlflow.errors import InvalidInputError, MissingDependencyError, StorageFullError
from metamlflow.model.names import ArtifactName
from metamlflow.model.paths import path_problem
from metamlflow.store.schemas import is_data_file, is_visible_data_file
from metamlflow.store.staging import TEMP_DIR_VARIABLE, temp_folder
from metamlflow.store.transfer import in_parallel

__all__ = ["Dataset"]

_CODECS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}
_ALIASES = {"ndjson": "jsonl", "pq": "parquet"}
_BLOCK_BYTES = 16 * 1024 * 1024  # pyarrow wants a row of text to fit in a block; its own choice is 1 MiB
_GROUP_ROWS = 128 * 1024  # of a row group
_GROUP_BYTES = 64 * 1024 * 1024  # the same for a stream, which is never in memory as a whole
# What pandas and pyarrow raise for values that they cannot convert; pyarrow's own errors derive from these.
_CONVERSION_ERRORS = (ValueError, TypeError, NotImplementedError, OverflowError)
_ONE_BY_ONE = "Give path=: a file, or a folder whose files belong together."


class ArtifactClient(Protocol):
    """What a dataset needs of a client: two methods of :class:`~metamlflow.client.MetaMLFlowClient`."""

    @property
    def register_artifact(self) -> Callable[..., Artifact]:
        """Store content as the next version of a name."""

    def get_artifact(self, name: str, version: int | str = ...) -> Artifact:
        """Return one version."""


@dataclass(frozen=True, slots=True, repr=False)
class Dataset:
    """An artifact whose files are tables: CSV, TSV or JSON lines (each also compressed), or Parquet.

    Wraps any artifact, whatever its type, as its attribute ``artifact``. ``pip install 'metamlflow[pandas]'`` brings
    what frames need, ``'metamlflow[arrow]'`` what Arrow tables need.
    """

    artifact: Artifact

    @classmethod
    def register(
        cls,
        client: ArtifactClient,
        name: str,
        data: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        file_name: str | None = None,
        inputs: Any = (),
        if_unchanged: Literal["new_version", "reuse"] = "new_version",
        idempotency_key: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Self:
        """Store data as the next version of ``name``, an artifact of type ``dataset``.

        Equal tables become equal bytes under equal versions of pandas and pyarrow: ``if_unchanged="reuse"`` works.

        Args:
            client: the :class:`~metamlflow.client.MetaMLFlowClient` to register with.
            name: such as ``fraud/features``.
            data: what ``client.register_artifact`` takes, or a table: a pandas DataFrame, a pyarrow Table or
                RecordBatchReader (never in memory as a whole), or what else has an Arrow stream. A table becomes one
                Parquet file. Tables may also be values of a mapping of logical paths.
            metadata: JSON-like values, copied at once.
            file_name: what a table's Parquet file is called; default: the last part of ``name`` with ``.parquet``.
            inputs: what it was made from, as for ``client.register_artifact``.
            if_unchanged: as there, and so are the others.
            idempotency_key: any text that names this registration, such as a job's id.
            progress: called as files and bytes are done.

        Raises:
            InvalidInputError: Parquet cannot hold a column, or two have one name; nothing was registered.
            StorageFullError: the temporary Parquet file found no room; ``METAMLFLOW_TMPDIR`` sets its place.
            MissingDependencyError: a table was given, and pyarrow is not installed.
        """
        if file_name is not None and not _is_table(data):
            raise InvalidInputError("file_name is for a table", hint="Name other data in a mapping: {path: data}.")
        file_name = file_name if file_name is not None else f"{Path(str(ArtifactName.parse(name))).name}.parquet"
        options = {
            "inputs": inputs,
            "if_unchanged": if_unchanged,
            "idempotency_key": idempotency_key,
            "progress": progress,
        }
        with _as_files(data, file_name) as files:
            return cls(client.register_artifact(name, files, "dataset", metadata, **options))

    @classmethod
    def open(cls, client: ArtifactClient, name: str, version: int | str = "latest") -> Self:
        """Return one version. Arguments and errors as for ``client.get_artifact``."""
        return cls(client.get_artifact(name, version))

    @property
    def name(self) -> str:
        """The name that all versions share."""
        return self.artifact.name

    @property
    def version(self) -> int:
        """The version number, counted from 1."""
        return self.artifact.version

    @property
    def metadata(self) -> dict[str, Any]:
        """What was given at registration; a fresh copy each time."""
        return self.artifact.metadata

    @property
    def schema(self) -> dict[str, Any] | None:
        """The Arrow schema of its first data file as JSON values, where one was captured; a fresh copy."""
        return self.artifact.schema

    @property
    def files(self) -> tuple[str, ...]:
        """The logical paths of its tables, in path order: known extensions, and no part that begins with a dot."""
        return tuple(e.path for e in self.artifact.entries if is_visible_data_file(e.path))

    def to_pandas(self, path: str | None = None, **options: Any) -> Any:
        """Return the data as a ``pandas.DataFrame``. All of a file is verified before pandas sees any of it.

        Several files become one frame, in path order; they must be of one format and have the same columns.

        Args:
            path: the file or the folder to read, by its logical path; default: all of ``files``.
            options: for pandas' reader of the format: ``read_csv``, ``read_json`` or ``read_parquet``.

        Raises:
            InvalidInputError: there is no table, or the files do not make up one.
            IntegrityError: the content is damaged or missing.
            ArtifactNotFoundError: there is nothing at ``path``.
            MissingDependencyError: pandas, or pyarrow where it is needed, is not installed.
        """
        pandas = _import("pandas", "pandas")
        if options.get("chunksize") or options.get("iterator"):
            raise InvalidInputError(
                "a dataset is read as a whole, without chunksize or iterator",
                hint="For chunks, give dataset.artifact.local_path() to pandas' own reader.",
            )
        frames = self._read(path, lambda file, stream: _read_pandas(pandas, file, stream, options), "columns")
        # Files that are numbered from 0 each would make an index with repeats.
        numbered = all(frame.index.identical(pandas.RangeIndex(len(frame))) for frame in frames)
        return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=numbered)

    def to_arrow(self, path: str | None = None) -> Any:
        """Return the data as a ``pyarrow.Table``. Argument, order and errors as for :meth:`to_pandas`."""
        pa = _import("pyarrow", "arrow")
        tables = self._read(path, lambda file, stream: _read_arrow(pa, file, stream), "column_names")
        if len(tables) == 1:
            return tables[0]
        try:
            ordered = [table.select(tables[0].column_names) for table in tables]
            return pa.concat_tables(ordered, promote_options="permissive")
        except _CONVERSION_ERRORS as error:
            raise InvalidInputError(f"the files' columns do not fit together: {error}", hint=_ONE_BY_ONE) from error

    def __repr__(self) -> str:
        return f"<Dataset{repr(self.artifact).removeprefix('<Artifact')}"

    def _paths(self, path: str | None) -> Sequence[str]:
        """Return the files to be read as one table: at least one, all of one format."""
        where = f"{self.name}@{self.version}" + (f" at {path!r}" if path else "")
        if path is not None and self.artifact.entries.find(path):
            paths = [path] if is_data_file(path) else []
        else:
            folder = f"{path.rstrip('/')}/" if path else ""
            paths = [file for file in self.files if file.startswith(folder)]
            if not paths and path:
                self.artifact.open(path).close()  # raises, and suggests what there is
            if any("=" in file[len(folder) :].rpartition("/")[0] for file in paths):
                # Read like other files, they would silently lack these columns.
                raise InvalidInputError(
                    f"{where} keeps columns in the names of folders",
                    hint="Give dataset.artifact.local_path() to pandas.read_parquet or pyarrow.dataset.dataset.",
                )
        formats = {_format(file)[0]: file for file in reversed(paths)}
        if not formats:
            raise InvalidInputError(
                f"{where} holds no file that is named as a table",
                hint="Tables are .csv, .tsv, .jsonl and .ndjson (also .gz, .bz2, .zst), .parquet and .pq; "
                "dataset.artifact opens all other files.",
            )
        if len(formats) > 1:
            found = ", ".join(f"{kind} ({file!r})" for kind, file in sorted(formats.items()))
            raise InvalidInputError(f"{where} holds files of several formats: {found}", hint=_ONE_BY_ONE)
        return paths

    def _opened(self, path: str) -> BinaryIO:
        entry = self.artifact.entries[path]
        if isinstance(entry, PointerEntry) and entry.evidence.digest():
            # A jump in a pointer's data verifies nothing: the whole of it is fetched and compared first.
            return self.artifact.local_path(path).open("rb")
        return self.artifact.open(path)

    def _read(self, path: str | None, parse: Callable[[str, BinaryIO], Any], columns: str) -> list[Any]:
        def read(path: str) -> Any:
            with self._opened(path) as stream:
                # A jump has all of it verified, so that no parser trips over damage, or stops before it shows.
                stream.seek(1)
                stream.read(1)
                stream.seek(0)
                try:
                    return parse(path, stream)
                except Exception as error:
                    error.add_note(f"while reading {path!r} of {self.name}@{self.version}")
                    raise

        paths = self._paths(path)
        tables = list(in_parallel(read, paths))
        for file, table in zip(paths, tables, strict=True):
            if odd := set(getattr(table, columns)) ^ set(getattr(tables[0], columns)):
                some = f"only one of {paths[0]!r} and {file!r} has {', '.join(sorted(map(repr, odd))[:9])}"
                raise InvalidInputError(f"the files' columns are not the same: {some}", hint=_ONE_BY_ONE)
        return tables


def _import(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'metamlflow[{extra}]'"
        raise MissingDependencyError(f"{module} cannot be imported: {error}", hint=hint, extra=extra) from error


def _format(path: str) -> tuple[str, str | None]:
    """Return the format and the compression of a data file."""
    stem, _, extension = path.lower().rpartition(".")
    codec = _CODECS.get(extension)
    extension = stem.rpartition(".")[2] if codec else extension
    return _ALIASES.get(extension, extension), codec


def _read_pandas(pandas: Any, path: str, stream: BinaryIO, options: Mapping[str, Any]) -> Any:
    kind, codec = _format(path)
    if kind == "parquet":
        _import("pyarrow", "pandas")
        return pandas.read_parquet(stream, **options)
    if codec == "zstd":  # for which pandas wants one more package
        stream, codec = _import("pyarrow", "pandas").CompressedInputStream(stream, codec), None
    defaults: dict[str, Any] = {"compression": codec} if codec else {}
    if kind != "jsonl":
        separator = {"sep": "\t"} if kind == "tsv" and "delimiter" not in options else {}
        return pandas.read_csv(stream, **{**defaults, **separator, **options})
    if "engine" not in options:
        # Values as they are written: pandas makes a number of "007", and dates of numbers by their column's name.
        defaults |= {"dtype": False, "precise_float": True}
        if inspect.signature(pandas.read_json).parameters["convert_dates"].default is True:  # a pandas that still asks
            defaults["convert_dates"] = False
    return pandas.read_json(stream, **{"lines": True, **defaults, **options})


def _read_arrow(pa: Any, path: str, stream: BinaryIO) -> Any:
    kind, codec = _format(path)
    reader = importlib.import_module({"parquet": "pyarrow.parquet", "jsonl": "pyarrow.json"}.get(kind, "pyarrow.csv"))
    if kind == "parquet":
        return reader.ParquetFile(stream).read()
    source = pa.CompressedInputStream(stream, codec) if codec else stream
    blocks = reader.ReadOptions(block_size=_BLOCK_BYTES)
    if kind == "jsonl":
        return reader.read_json(source, read_options=blocks)
    how = reader.ParseOptions(delimiter="\t" if kind == "tsv" else ",", newlines_in_values=True)
    return reader.read_csv(source, read_options=blocks, parse_options=how)


def _is_table(data: object) -> bool:
    # So pandas, pyarrow, polars and others mark their tables: none of them need be imported to know one.
    return hasattr(data, "__arrow_c_stream__")


@contextmanager
def _as_files(data: Any, file_name: str) -> Iterator[Any]:
    """Give ``data`` with each table in it (itself, or values of a mapping) as the path of a temporary Parquet file."""
    whole = _is_table(data)
    members = {file_name: data} if whole else data if isinstance(data, Mapping) else {}
    tables = {path: table for path, table in members.items() if _is_table(table)}
    for path in tables:
        if path_problem(path) or not path.lower().endswith((".parquet", ".pq")) or (whole and "/" in path):
            raise InvalidInputError(f"{path!r:.200} is no name of a Parquet file", hint="Give it one: 'name.parquet'.")
    if not tables:
        yield data
        return
    with temp_folder() as folder:
        files = {path: Path(folder, str(number), Path(path).name) for number, path in enumerate(tables)}
        for path, file in files.items():
            file.parent.mkdir()
            _write_parquet(tables[path], file)
        yield files[file_name] if whole else {**members, **files}


def _write_parquet(data: Any, path: Path) -> None:
    """Write a table; its bytes depend on its content, and not on how that is chunked in memory."""
    frames = getattr(sys.modules.get("pandas"), "DataFrame", ())
    pa = _import("pyarrow", "pandas" if isinstance(data, frames) else "arrow")
    pq = importlib.import_module("pyarrow.parquet")
    schema, pieces = _pieces(pa, _frame_as_arrow(pa, data) if isinstance(data, frames) else data)
    _check_names(schema.names)
    piece = schema.empty_table()
    try:
        with path.open("wb") as sink, pq.ParquetWriter(sink, schema) as writer:
            for piece in pieces:
                writer.write_table(piece.combine_chunks())
    except _CONVERSION_ERRORS as error:
        parts = ((name, piece.select([name])) for name in schema.names)
        _blame_column(error, parts, lambda part: pq.write_table(part, io.BytesIO()))
        raise  # of a stream's own making
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        hint = f"Set {TEMP_DIR_VARIABLE} to a folder with more room, or register a file."
        place = str(path.parents[2])
        raise StorageFullError(f"the temp folder {place} has no room for the table", hint=hint, key=place) from error


def _pieces(pa: Any, data: Any) -> tuple[Any, Iterable[Any]]:
    """Return a table's schema, and its rows as small tables."""
    if isinstance(data, pa.Table):
        return data.schema, (data.slice(start, _GROUP_ROWS) for start in range(0, data.num_rows, _GROUP_ROWS))
    try:
        reader = data if isinstance(data, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(data)
    except _CONVERSION_ERRORS as error:
        kind = type(data).__name__
        raise InvalidInputError(f"a {kind} is no table: {error}", hint="A series has to_frame().") from error

    def grouped() -> Iterator[Any]:
        batches, rows, size = [], 0, 0
        for batch in reader:
            batches.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                yield pa.Table.from_batches(batches)
                batches, rows, size = [], 0, 0
        if batches:
            yield pa.Table.from_batches(batches)

    return reader.schema, grouped()


def _frame_as_arrow(pa: Any, frame: Any) -> Any:
    _check_names(frame.columns)
    try:
        return pa.Table.from_pandas(frame)
    except _CONVERSION_ERRORS as error:
        parts = ((name, frame.iloc[:, [place]].reset_index(drop=True)) for place, name in enumerate(frame.columns))
        _blame_column(error, parts, pa.Table.from_pandas)
        raise InvalidInputError(f"the frame's index cannot be stored as Parquet: {error}", hint="Reset it.") from error


def _check_names(names: Iterable[Any]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidInputError(f"several columns are called {', '.join(map(repr, twice[:9]))}", hint="Rename them.")


def _blame_column(error: Exception, parts: Iterable[tuple[Any, Any]], convert: Callable[[Any], Any]) -> None:
    """Raise an error that names the first column with which alone ``convert`` fails, if there is one."""
    for name, part in parts:
        try:
            convert(part)
        except _CONVERSION_ERRORS:
            hint = "Convert it to numbers, text or times first."
            raise InvalidInputError(f"column {name!r} cannot be stored as Parquet: {error}", hint=hint) from error
