"""The catalog on this machine: Parquet files in a private folder, each with the rows of versions that were new then.

    <cache folder>/catalogs/<key>/<time>-<random>.parquet    a segment: rows that are never changed
    <cache folder>/catalogs/<key>/records                    what aliases, notes and odd states said

A row counts while a listing shows the very object that it was made from; of two rows of one object the later one does.
Processes may share a folder: a segment is renamed into place whole, and one that is gone or damaged costs its rows,
which are read from the store again.
"""

from __future__ import annotations

import logging
import secrets
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from metamlflow.backend import ObjectInfo
from metamlflow.format.manifests import StoredManifest
from metamlflow.store.find.columns import INDEX, arrow, batch_of, identity_of, row_of, schema, weight_of

_log = logging.getLogger(__name__)
_FORMAT = {b"metamlflow.catalog": b"2"}
_GROUP_ROWS = 2_048
_INDEXED = 8_192  # rows at a time
_GROUP_BYTES = 16 * 1024 * 1024
_MOST_SEGMENTS = 8
_SUFFIX = ".parquet"
_UNFINISHED_SECONDS = 86_400  # nobody writes one file for so long


class SegmentWriter:
    """Writes a segment row group by row group, so that memory does not grow with the number of rows. A context manager.

    The segment is there when the context ends without an error, if any row was added.
    """

    def __init__(self, folder: Path) -> None:
        self._place = folder / f"{time.time_ns():020d}-{secrets.token_hex(8)}{_SUFFIX}"
        self._temp = self._place.with_suffix(f".{secrets.token_hex(4)}.temp")
        self._schema = schema().with_metadata(_FORMAT)
        self._writer: Any = None
        self._rows: list[tuple[Any, ...]] = []
        self._weight = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
            if self._writer is not None:
                self._writer.close()
            if kind is None and self.rows:
                self._temp.rename(self._place)
        finally:
            with suppress(OSError):
                self._temp.unlink(missing_ok=True)

    @property
    def segment(self) -> Segment | None:
        """The written segment, or None if no row was added."""
        return Segment(self._place) if self.rows else None

    def add(self, info: ObjectInfo, loaded: StoredManifest) -> None:
        """Add a version, given its manifest and the object that it was read from."""
        self._rows.append(row_of(info, loaded))
        self._weight += weight_of(loaded)
        if len(self._rows) >= _GROUP_ROWS or self._weight >= _GROUP_BYTES:
            self._flush()

    def add_table(self, table: Any) -> None:
        """Add rows of another segment."""
        self._flush()
        if table.num_rows:
            self._open().write_table(table.cast(self._schema), row_group_size=_GROUP_ROWS)
            self.rows += table.num_rows

    def _flush(self) -> None:
        if self._rows:
            self._open().write_batch(batch_of(self._rows).replace_schema_metadata(_FORMAT))
            self.rows += len(self._rows)
            self._rows, self._weight = [], 0

    def _open(self) -> Any:
        if self._writer is None:
            import pyarrow.parquet as pq

            encoded = ["name", "artifact_type", "kind", "created_by", "run", "writer", "schema"]
            self._writer = pq.ParquetWriter(
                self._temp,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=encoded,
                write_page_checksum=True,
            )
        return self._writer


@dataclass
class Segment:
    """A file of rows. Its columns are read when they are asked for, and kept, but for the documents."""

    path: Path
    _held: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def file(self) -> Any:
        """The open Parquet file."""
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path, page_checksum_verification=True)

    @cached_property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.file.metadata.num_rows)

    def is_ours(self) -> bool:
        """Whether this version of the library wrote its like."""
        return bool(self.file.schema_arrow.equals(schema()) and (self.file.schema_arrow.metadata or {}) == _FORMAT)

    def close(self) -> None:
        """Close the file. Its columns that were read stay."""
        if "file" in self.__dict__:
            self.file.close()

    def column(self, name: str) -> Any:
        """Return a column, as an array of one chunk or more."""
        if name not in self._held:
            self._held[name] = self.file.read(columns=[name], use_threads=False).column(0)
        return self._held[name]

    def documents(self, rows: Sequence[int]) -> Iterator[tuple[str, bytes | None, str]]:
        """Yield key, manifest and manifest digest of rows, which ascend; only their row groups are read."""
        begin, wanted = 0, iter(rows)
        row = next(wanted, None)
        for group in range(self.file.num_row_groups):
            if row is None:
                return
            end = begin + self.file.metadata.row_group(group).num_rows
            if row < end:
                found = self.file.read_row_group(
                    group, columns=["key", "document", "manifest_digest"], use_threads=False
                )
                places = []
                while row is not None and row < end:
                    places.append(row - begin)
                    row = next(wanted, None)
                picked = found.take(places) if len(places) < end - begin else found
                yield from zip(*(picked.column(name).to_pylist() for name in found.column_names), strict=True)
            begin = end


class Segments:
    """The rows of all segments, by a number that goes through all of them. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._segments: list[Segment] = []
        self._index: dict[str, int] | None = None
        self._identities = array("q")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the segments of a folder; those that are damaged, or of another version of the library, go."""
        found = cls(folder)
        failures = damage()
        _forget_unfinished(folder)
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            segment = Segment(path)
            try:
                if segment.is_ours() and segment.rows:
                    found._segments.append(segment)
                    continue
            except FileNotFoundError:
                continue  # another process has merged it with others
            except failures as error:
                _log.debug("%s: %s", path, error)
            path.unlink(missing_ok=True)
        return found

    def __len__(self) -> int:
        return sum(segment.rows for segment in self._segments)

    def add(self, segment: Segment) -> range:
        """Take in a segment that was written just now; return the numbers of its rows."""
        first = len(self)
        self._segments.append(segment)
        if self._index is not None:
            self._take_in(segment, first)
        return range(first, first + segment.rows)

    @property
    def index(self) -> dict[str, int]:
        """The row of each key: the last one."""
        if self._index is None:
            self._index, self._identities = {}, array("q")
            first = 0
            for segment in self._segments:
                self._take_in(segment, first)
                first += segment.rows
        return self._index

    def is_known(self, info: ObjectInfo) -> int | None:
        """Return the row that was made from the very object that a listing shows, or None."""
        row = self.index.get(info.key)
        return row if row is not None and self._identities[row] == hash(identity_of(info)) else None

    def current(self) -> bytearray:
        """Return for each row whether it is the last one of its key."""
        found = bytearray(len(self))
        for row in self.index.values():
            found[row] = 1
        return found

    def _take_in(self, segment: Segment, first: int) -> None:
        """Note the keys and identities of a segment's rows.

        Of an identity the hash is held, which takes a tenth of the memory; its seed is a secret of the process.
        """
        assert self._index is not None  # noqa: S101 (for the type checker)
        for batch in segment.file.iter_batches(_INDEXED, columns=list(INDEX), use_threads=False):
            keys, *identities = (column.to_pylist() for column in batch.columns)
            self._index.update(zip(keys, range(first, first + len(keys)), strict=True))
            self._identities.extend(map(hash, zip(*identities, strict=True)))
            first += len(keys)

    def column(self, name: str) -> Any:
        """Return a column of all rows, as a chunked array."""
        chunks = [chunk for segment in self._segments for chunk in segment.column(name).chunks]
        return arrow().chunked_array(chunks, schema().field(name).type)

    def table(self, names: Sequence[str]) -> Any:
        """Return some columns of all rows."""
        return arrow().table({name: self.column(name) for name in names})

    def rows_of(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the rows of keys, of those that have one."""
        if self._index is not None or len(self._segments) != 1:
            return {key: row for key in keys if (row := self.index.get(key)) is not None}
        import pyarrow.compute as pc

        pa = arrow()  # after a build, whose rows nobody has looked up yet: an index of all would be large
        places = pc.index_in(pa.array(keys, pa.string()), value_set=self.column("key").combine_chunks())
        return {key: row for key, row in zip(keys, places.to_pylist(), strict=True) if row is not None}

    def documents(self, rows: Iterable[int]) -> Iterator[tuple[str, bytes | None, str]]:
        """Yield key, manifest and manifest digest of rows, which ascend."""
        wanted, first = list(rows), 0
        for segment in self._segments:
            own = [row - first for row in wanted if first <= row < first + segment.rows]
            yield from segment.documents(own)
            first += segment.rows

    def merge(self, alive: Sequence[int]) -> bool:
        """Write the small segments, or all that have lost rows, anew as one; return whether that was called for.

        What is gone from the store goes from this machine as well: an erased version leaves nothing here.

        Args:
            alive: for each row whether it counts.
        """
        chosen, first = [], 0
        small = sorted(segment.rows for segment in self._segments)[:-1] if len(self._segments) > _MOST_SEGMENTS else []
        for segment in self._segments:
            counts = alive[first : first + segment.rows]
            if not all(counts) or segment.rows in small:
                chosen.append((segment, counts))
            first += segment.rows
        if not chosen:
            return False
        pa = arrow()
        with SegmentWriter(self.folder) as writer:
            for segment, counts in chosen:
                begin = 0
                for group in range(segment.file.num_row_groups):
                    table = segment.file.read_row_group(group, use_threads=False)
                    mask = pa.array([bool(one) for one in counts[begin : begin + table.num_rows]], pa.bool_())
                    writer.add_table(table.filter(mask))
                    begin += table.num_rows
        gone = [segment for segment, _ in chosen]
        self._segments = [segment for segment in self._segments if segment not in gone]
        if writer.segment is not None:
            self._segments.append(writer.segment)
        self._index = None
        for segment in gone:
            with suppress(OSError):
                segment.close()
                segment.path.unlink(missing_ok=True)
        return True


def _forget_unfinished(folder: Path) -> None:
    """Delete what processes that were killed have left."""
    for path in folder.glob("*.temp"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _UNFINISHED_SECONDS:
                path.unlink()


def damage() -> tuple[type[BaseException], ...]:
    """Return the errors that a damaged file of the catalog may give."""
    return (arrow().ArrowException, OSError, ValueError, LookupError, TypeError)
