"""Datasets: artifacts of tables, registered from pandas or Arrow data and read back as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self

from metamlflow.artifacts import Artifact, ProgressCallback
from metamlflow.errors import InvalidInputError
from metamlflow.model.likeness import quoted
from metamlflow.model.names import ArtifactName
from metamlflow.store.ingest.schemas import is_data_file, is_visible_data_file
from metamlflow.store.publish.blobs import Reliance
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.tables.reading import conversion_errors, format_of, imported, read_arrow, read_pandas
from metamlflow.tables.writing import as_files, is_table

__all__ = ["Dataset"]

_ONE_BY_ONE = "Give path=: a file, or a folder whose files belong together."


class ArtifactClient(Protocol):
    """The two methods of :class:`~metamlflow.client.MetaMLFlowClient` that a dataset calls."""

    @property
    def register_artifact(self) -> Callable[..., Artifact]:
        """Store content as the next version of a name."""

    def get_artifact(self, name: str, version: int | str = ...) -> Artifact:
        """Return one version."""


@dataclass(frozen=True, slots=True, repr=False)
class Dataset:
    """An artifact whose files are tables: CSV, TSV or JSON lines (each also compressed), or Parquet.

    Wraps an artifact of any type, as its attribute ``artifact``. Data frames need ``pip install 'metamlflow[pandas]'``,
    Arrow tables ``'metamlflow[arrow]'``.
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
        prove: Reliance | None = None,
        progress: ProgressCallback | None = None,
    ) -> Self:
        """Store data as the next version of ``name``, an artifact of type ``dataset``.

        Equal tables become equal bytes under equal versions of pandas and pyarrow: ``if_unchanged="reuse"`` works.

        Args:
            client: the :class:`~metamlflow.client.MetaMLFlowClient` to register with.
            name: the artifact's name, such as ``fraud/features``.
            data: any ``path`` of ``client.register_artifact``, or a table: a pandas DataFrame, a pyarrow Table or
                RecordBatchReader (never in memory as a whole), a polars DataFrame, or another object with an Arrow
                stream. A table becomes one Parquet file. Tables may also be values of a mapping of logical paths.
            metadata: JSON-like values, copied at once.
            file_name: the name of a table's Parquet file; default: the last part of ``name`` with ``.parquet``.
            inputs: the versions that it was made from, as for ``client.register_artifact``.
            if_unchanged: as for ``client.register_artifact``, like the following arguments.
            idempotency_key: a text that names this registration, such as a job's id.
            prove: how to check content that the store has already: ``stat``, ``checksum`` or ``full``.
            progress: called as files and bytes are done.

        Raises:
            InvalidInputError: a table would be read back differently: the error names all columns, labels and attrs
                that would change. Or two columns have the same name. Nothing was registered.
            StorageFullError: no room for the temporary Parquet file; ``METAMLFLOW_TMPDIR`` sets its folder.
            MissingDependencyError: a table was given, and pyarrow is not installed.
        """
        if file_name is not None and not is_table(data):
            raise InvalidInputError("file_name is for a table", hint="Name other data in a mapping: {path: data}.")
        file_name = file_name if file_name is not None else f"{Path(str(ArtifactName.parse(name))).name}.parquet"
        options = {
            "inputs": inputs,
            "if_unchanged": if_unchanged,
            "idempotency_key": idempotency_key,
            "prove": prove,
            "progress": progress,
        }
        with as_files(data, file_name) as files:
            return cls(client.register_artifact(name, files, "dataset", metadata, **options))

    @classmethod
    def open(cls, client: ArtifactClient, name: str, version: int | str = "latest") -> Self:
        """Return one version. Arguments and errors as for ``client.get_artifact``."""
        return cls(client.get_artifact(name, version))

    @property
    def name(self) -> str:
        """The artifact's name, which all its versions share."""
        return self.artifact.name

    @property
    def version(self) -> int:
        """The version number, counted from 1."""
        return self.artifact.version

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata given at registration; a fresh copy each time."""
        return self.artifact.metadata

    @property
    def schema(self) -> dict[str, Any] | None:
        """The Arrow schema of its first data file as JSON values, or None if none was captured; a fresh copy."""
        return self.artifact.schema

    @property
    def files(self) -> tuple[str, ...]:
        """The logical paths of its tables, in path order: known extensions, no path segment that begins with a dot."""
        return tuple(e.path for e in self.artifact.entries if is_visible_data_file(e.path))

    def to_pandas(self, path: str | None = None, **options: Any) -> Any:
        """Return the data as a ``pandas.DataFrame``. Each file is verified completely before pandas reads it.

        Several files become one frame, in path order; they must have the same format and the same columns.

        Args:
            path: the logical path of the file or folder to read; default: all of ``files``.
            options: options of pandas' reader of the format: ``read_csv``, ``read_json`` or ``read_parquet``.

        Raises:
            InvalidInputError: the artifact has no table, or its files do not form one table.
            IntegrityError: the content is damaged or missing.
            ArtifactNotFoundError: nothing exists at ``path``.
            MissingDependencyError: pandas, or pyarrow where it is needed, is not installed.
        """
        pandas = imported("pandas", "pandas")
        if options.get("chunksize") or options.get("iterator"):
            raise InvalidInputError(
                "a dataset is read as a whole, without chunksize or iterator",
                hint="For chunks, give dataset.artifact.local_path() to pandas' own reader.",
            )
        frames = self._read(path, lambda file, stream: read_pandas(pandas, file, stream, options), "columns")
        # If every file's index counts from 0, keeping them would make an index with duplicates.
        numbered = all(frame.index.identical(pandas.RangeIndex(len(frame))) for frame in frames)
        return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=numbered)

    def to_arrow(self, path: str | None = None) -> Any:
        """Return the data as a ``pyarrow.Table``. Argument, order and errors as for :meth:`to_pandas`."""
        pa = imported("pyarrow", "arrow")
        tables = self._read(path, lambda file, stream: read_arrow(pa, file, stream), "column_names")
        if len(tables) == 1:
            return tables[0]
        try:
            ordered = [table.select(tables[0].column_names) for table in tables]
            return pa.concat_tables(ordered, promote_options="permissive")
        except conversion_errors(pa) as error:
            raise InvalidInputError(f"the files' columns do not fit together: {error}", hint=_ONE_BY_ONE) from error

    def __repr__(self) -> str:
        return f"<Dataset{repr(self.artifact).removeprefix('<Artifact')}"

    def _repr_html_(self) -> str:
        return self.artifact._repr_html_()

    def _paths(self, path: str | None) -> Sequence[str]:
        """Return the files to read as one table: at least one, all of one format."""
        where = f"{self.name}@{self.version}" + (f" at {path!r}" if path else "")
        if path is not None and self.artifact.entries.find(path):
            paths = [path] if is_data_file(path) else []
        else:
            folder = f"{path.rstrip('/')}/" if path else ""
            paths = [file for file in self.files if file.startswith(folder)]
            if not paths and path:
                self.artifact.open(path).close()  # raises, and suggests what there is
            if any("=" in file[len(folder) :].rpartition("/")[0] for file in paths):
                # Read as plain files, they would silently lack these columns.
                raise InvalidInputError(
                    f"{where} keeps columns in the names of folders",
                    hint="Give dataset.artifact.local_path() to pandas.read_parquet or pyarrow.dataset.dataset.",
                )
        formats = {format_of(file)[0]: file for file in reversed(paths)}
        if not formats:
            raise InvalidInputError(
                f"{where} has no file with the extension of a table",
                hint="Tables are .csv, .tsv, .jsonl and .ndjson (also .gz, .bz2, .zst), .parquet and .pq; "
                "dataset.artifact opens all other files.",
            )
        if len(formats) > 1:
            found = ", ".join(f"{kind} ({file!r})" for kind, file in sorted(formats.items()))
            raise InvalidInputError(f"{where} holds files of several formats: {found}", hint=_ONE_BY_ONE)
        return paths

    def _opened(self, path: str) -> BinaryIO:
        entry = self.artifact.entries[path]
        if entry.only_whole_is_verified:
            # A seek in a pointer's data verifies nothing, so the whole file is fetched and compared first.
            return self.artifact.local_path(path).open("rb")
        return self.artifact.open(path)

    def _read(self, path: str | None, parse: Callable[[str, BinaryIO], Any], columns: str) -> list[Any]:
        def read(path: str) -> Any:
            """Return one file, parsed after it was verified completely."""
            with self._opened(path) as stream:
                # A seek verifies the whole file, so that a parser neither fails on damage nor stops before it.
                stream.seek(1)
                stream.read(1)
                stream.seek(0)
                try:
                    return parse(path, stream)
                except Exception as error:  # parsers have no common error; it is raised again with a note
                    error.add_note(f"while reading {path!r} of {self.name}@{self.version}")
                    raise

        paths = self._paths(path)
        tables = list(in_parallel(read, paths))
        for file, table in zip(paths, tables, strict=True):
            one, other = getattr(tables[0], columns), getattr(table, columns)
            # Compared by repr, since a label that is NaN is not equal to itself.
            if odd := set(map(repr, one)) ^ set(map(repr, other)):
                labels = {repr(label): label for label in (*one, *other)}
                named = [labels[spelled] for spelled in sorted(odd)[:9]]
                names = quoted(named) if all(isinstance(label, str) for label in named) else map(repr, named)
                some = f"only one of {paths[0]!r} and {file!r} has {', '.join(names)}"
                raise InvalidInputError(f"the files' columns are not the same: {some}", hint=_ONE_BY_ONE)
        return tables
