"""Datasets: artifacts of tables, registered from pandas or Arrow data and read back as such."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self, cast

from metamlflow._packages import imported, package
from metamlflow.artifacts import Artifact, ProgressCallback
from metamlflow.errors import InvalidInputError
from metamlflow.model.likeness import quoted
from metamlflow.model.names import ArtifactName
from metamlflow.store.ingest.schemas import is_visible_data_file
from metamlflow.store.publish.blobs import Reliance
from metamlflow.store.read.shared_files import RangesFile
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.tables.files import checked_columns, is_table_file, schema_table, split_of
from metamlflow.tables.reading import conversion_errors, format_of, read_arrow, read_pandas
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
    """An artifact whose files are tables: CSV, TSV or JSON lines (each also compressed), Parquet, ORC or Feather.

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
        partition_by: str | Sequence[str] = (),
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
                stream. A table becomes one Parquet file. Tables may also be values of a mapping of logical paths. A
                list or an iterator of tables becomes a folder of files, ``part-00000.parquet`` and so on, which are
                written one after the other: only one table at a time is in memory.
            metadata: JSON-like values, copied at once.
            file_name: the name of a table's Parquet file; default: the last part of ``name`` with ``.parquet``.
            partition_by: columns of a table that become names of folders, such as ``year=2024/``, instead of being
                columns of the files: texts, whole numbers, bools or dates with few values.
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
        keys = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
        with as_files(data, file_name, keys) as files:
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
        return tuple(e.path for e in self.artifact.entries if is_table_file(e.path) and is_visible_data_file(e.path))

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Its tables by split, in path order: the first folder, or else the file's name without extension and number.

        So ``train/a.csv``, ``train.parquet`` and ``train-00000-of-00002.parquet`` belong to the split ``train``. All
        methods that read take the name of a split as ``path``. Folders such as ``year=2024`` are no splits.
        """
        found: dict[str, list[str]] = {}
        for file in self.files:
            found.setdefault(split_of(file), []).append(file)
        return {name: tuple(files) for name, files in found.items() if name}

    def scan(self, path: str | None = None) -> Any:
        """Return the data as a ``pyarrow.dataset.Dataset``, which reads the columns, rows and files that a query needs.

        Of Parquet, ORC and Feather in a bucket only the needed ranges are transferred. A part of a file cannot be
        compared with the file's digest: sizes are checked, and the checksums of pages in Parquet files that this
        library wrote. Files of a local store, files of at most 1 MiB, and texts that are read to their end are
        verified completely. Columns in names of folders (``year=2024/``) are included; a file that has such a column
        too is an error. Files that lack a column of the first one have nulls there; one with other columns, or with
        types whose values would change, is an error as soon as it is read. (With DuckDB use :meth:`to_duckdb`: given
        this data set itself, it may wait for ever when a file fails.)

        Args:
            path: the file, folder or split to read; default: all of ``files``.

        Raises:
            InvalidInputError: the artifact has no table, or its files have several formats, or do not fit together.
            ArtifactNotFoundError: nothing exists at ``path``.
            MissingDependencyError: pyarrow is not installed.
        """
        paths, folder = self._paths(path)
        return self._scanned(paths, folder, partial(_open_ranges, self.artifact))

    def iter_batches(
        self,
        columns: Sequence[str] | None = None,
        batch_size: int = 65_536,
        *,
        filter: Any = None,  # noqa: A002 (as pyarrow calls it)
        path: str | None = None,
    ) -> Iterator[Any]:
        """Yield the data as ``pyarrow.RecordBatch`` of at most ``batch_size`` rows, in order, in constant memory.

        Of a Parquet file, a few row groups are in memory at a time, or some 16 MiB of them if they are smaller.

        Args:
            columns: the columns to read; default: all.
            batch_size: the most rows of a batch; a batch does not cross the end of a file or row group.
            filter: an expression of ``pyarrow.dataset``; rows for which it is not true are left out.
            path: as for :meth:`scan`, like the errors.

        Raises:
            InvalidInputError: there are no such columns; told before anything is read.
        """
        options = {"batch_size": batch_size, "batch_readahead": 2, "fragment_readahead": 1}
        scanned, reference = self.scan(path), f"{self.artifact.name}@{self.artifact.version}"
        chosen = None if columns is None else checked_columns(reference, scanned.schema.names, columns)
        from metamlflow.tables.pieces import batches_in_order

        found = batches_in_order(scanned, columns=chosen, filter=filter, **options)
        return (batch for batch in found if batch.num_rows)

    def to_polars(self, path: str | None = None, *, lazy: bool = False) -> Any:
        """Return the data as a ``polars.DataFrame``, verified as by :meth:`to_arrow`; a registered frame is the same.

        Args:
            path: as for :meth:`scan`, like the errors.
            lazy: return a ``polars.LazyFrame`` over :meth:`scan`, which reads what its query needs.
        """
        polars = package("polars", "polars")
        return polars.scan_pyarrow_dataset(self.scan(path)) if lazy else polars.from_arrow(self.to_arrow(path))

    def to_duckdb(self, connection: Any = None, path: str | None = None) -> Any:
        """Return the data as a relation of DuckDB over :meth:`scan`: a query reads what it needs.

        Args:
            connection: a connection of DuckDB; default: a new one in memory, which the relation keeps.
            path: as for :meth:`scan`, like the errors.
        """
        duckdb = imported("duckdb", "duckdb")
        scanned = self.scan(path)
        from metamlflow.tables.scanned import ScannedDataset

        return (duckdb.connect() if connection is None else connection).from_arrow(ScannedDataset.of(scanned))

    def torch(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        shuffle: int | None = None,
        path: str | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> Any:
        """Return the data as a ``torch.utils.data.IterableDataset``, for a ``DataLoader`` with any number of workers.

        Each row is read by exactly one worker of one rank: files, or row groups if there are few files, are dealt out
        to them. So some may have more rows than others, and with fewer row groups than workers some have none.

        Args:
            columns: the columns to read; default: all.
            batch_size: yield dicts of column to tensor, or to a list where a column has no numbers or has nulls; give
                the ``DataLoader`` ``batch_size=None``. None: yield rows, as dicts of Python values.
            shuffle: a seed: the order of the row groups and of the rows in each is random, the same for the same seed
                and epoch; ``set_epoch`` of the result sets the epoch. None: the order of the data.
            path: as for :meth:`scan`, like the errors.
            rank: the number of this process among ``world_size``. Default: of ``torch.distributed`` if it is
                initialised now, else of the variables ``RANK`` and ``WORLD_SIZE``, else 0 of 1.
            world_size: the number of processes that share the data.
        """
        self._paths(path)  # refuses what cannot be read here, and not in a worker
        imported("pyarrow", "arrow")
        package("torch", "torch")
        from metamlflow.tables import torch_rows as rows

        chosen = None if columns is None else list(columns)
        return rows.TorchRows(partial(self.scan, path), chosen, batch_size, shuffle, rows.place(rank, world_size))

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
        paths, folder = self._paths(path)
        if _in_folders(paths, folder):
            if options.keys() - {"columns"}:
                raise InvalidInputError(
                    f"a partitioned data set takes no {', '.join(sorted(options.keys() - {'columns'}))}, only columns",
                    hint="For filters: dataset.scan().to_table(filter=...).to_pandas().",
                )
            return self._whole(paths, folder, options.get("columns")).to_pandas()
        frames = self._read(paths, lambda file, stream: read_pandas(pandas, file, stream, options), "columns")
        # If every file's index counts from 0, keeping them would make an index with duplicates.
        numbered = all(frame.index.identical(pandas.RangeIndex(len(frame))) for frame in frames)
        return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=numbered)

    def to_arrow(self, path: str | None = None) -> Any:
        """Return the data as a ``pyarrow.Table``. Argument, order and errors as for :meth:`to_pandas`."""
        pa = imported("pyarrow", "arrow")
        paths, folder = self._paths(path)
        if _in_folders(paths, folder):
            return self._whole(paths, folder, None)
        tables = self._read(paths, lambda file, stream: read_arrow(pa, file, stream), "column_names")
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
        return self.artifact._repr_html_() + schema_table(self.schema)

    def _paths(self, path: str | None) -> tuple[Sequence[str], str]:
        """Return the files to read as one table, at least one, all of one format; and the folder that they are in."""
        where = f"{self.name}@{self.version}" + (f" at {path!r}" if path else "")
        folder = f"{path.rstrip('/')}/" if path else ""
        if path is not None and self.artifact.entries.find(path):
            paths, folder = ([path] if is_table_file(path) else []), f"{path.rpartition('/')[0]}/".lstrip("/")
        else:
            paths = [file for file in self.files if file.startswith(folder)]
            if not paths and path:
                paths, folder = list(self.splits.get(path, ())), ""
            if not paths and path:
                self.artifact.open(path).close()  # raises, and suggests what there is
        formats = {format_of(file)[0]: file for file in reversed(paths)}
        if not formats:
            raise InvalidInputError(
                f"{where} has no file with the extension of a table",
                hint="Tables are .csv, .tsv, .jsonl and .ndjson (also .gz, .bz2, .zst), .parquet and .pq, .feather, "
                ".arrow and .orc; dataset.artifact opens all other files.",
            )
        if len(formats) > 1:
            found = ", ".join(f"{kind} ({file!r})" for kind, file in sorted(formats.items()))
            raise InvalidInputError(f"{where} holds files of several formats: {found}", hint=_ONE_BY_ONE)
        return paths, folder

    def _scanned(self, paths: Sequence[str], folder: str, opened: Callable[[str], BinaryIO]) -> Any:
        sizes = {path: self.artifact.entries[path].size for path in paths}
        imported("pyarrow", "arrow")
        from metamlflow.tables.scanning import dataset_of

        return dataset_of(sizes, folder, opened, self._opened, self._copied)

    def _whole(self, paths: Sequence[str], folder: str, columns: Sequence[str] | None) -> Any:
        """Return files in folders that hold columns as one table, each file verified completely before it is read."""
        return self._scanned(paths, folder, self._verified).to_table(columns=None if columns is None else list(columns))

    def _opened(self, path: str) -> BinaryIO:
        entry = self.artifact.entries[path]
        if entry.only_whole_is_verified:
            # A seek in a pointer's data verifies nothing, so the whole file is fetched and compared first.
            return self.artifact.local_path(path).open("rb")
        return self.artifact.open(path)

    def _copied(self, path: str) -> BinaryIO:
        return self.artifact.local_path(path).open("rb")

    def _verified(self, path: str) -> BinaryIO:
        """Return a reader of a file that was verified completely: a seek verifies the whole file."""
        stream = self._opened(path)
        stream.seek(1)
        stream.read(1)
        stream.seek(0)
        return stream

    def _read(self, paths: Sequence[str], parse: Callable[[str, BinaryIO], Any], columns: str) -> list[Any]:
        def read(path: str) -> Any:
            """Return one file, parsed after it was verified completely."""
            with self._verified(path) as stream:  # so that a parser neither fails on damage nor stops before it
                try:
                    return parse(path, stream)
                except Exception as error:  # parsers have no common error; it is raised again with a note
                    error.add_note(f"while reading {path!r} of {self.name}@{self.version}")
                    raise

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


def _in_folders(paths: Sequence[str], folder: str) -> bool:
    """Whether names of folders hold columns, as in ``year=2024/part-0.parquet``."""
    return any("=" in path[len(folder) :].rpartition("/")[0] for path in paths)


def _open_ranges(artifact: Artifact, path: str) -> BinaryIO:
    """Return a seekable reader of a file for somebody who reads a few parts of it: the rest is not requested.

    It verifies what files that are opened by their address verify; ``artifact.open`` verifies all at the first seek.
    """
    artifact._used()  # noqa: SLF001 (no method, since it is not for callers)
    content = artifact._content(path)  # noqa: SLF001 (the same)
    return cast("BinaryIO", RangesFile(content.ranged(), content.entry.size))
