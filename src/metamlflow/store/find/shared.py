"""Generations of the catalog below the store's ``cache/``: manifests in one file, for readers that have none of them.

    cache/catalog/<inverse>-<rows>-<random>.parquet    key and document of each manifest, in the order of the keys

Nothing in it is believed. A document is used in place of the manifest only if its MD5 is the one that a listing of the
store has just shown for that manifest; everything else is read from the store. So a generation that is old, or that a
stranger wrote, costs time and changes no result. Where listings show no MD5, none is written or read.

The file is plain: no compression, few rows in a group, small documents. So whoever reads it holds little of it at a
time, whatever its bytes are.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import google_crc32c

from metamlflow.backend import Blob, CheapStat, ObjectInfo
from metamlflow.backend.tags import bare_tag
from metamlflow.errors import MetaMLFlowError
from metamlflow.format.layout import ARTIFACTS, CATALOGS, catalog_key, parse_catalog_key
from metamlflow.format.listed_keys import listed_key
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.statuses import page_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.find.columns import arrow
from metamlflow.store.find.segments import Segments, damage

_log = logging.getLogger(__name__)
_MOST_FILE_BYTES = 2 * 1024**3
_MOST_DOCUMENT_BYTES = 64 * 1024
_MOST_GROUP_BYTES = 4 * 1024 * 1024
_GROUP_ROWS = 512
_ROWS_AT_ONCE = 16
_CHUNK = 1024 * 1024
_LEAST_ROWS = 1_000
_GROWTH = 1.25
_KEPT = 2  # generations: whoever reads the one before finds it
_MD5_CHARACTERS = 32


def proves(info: ObjectInfo, data: bytes) -> bool:
    """Whether a listing proves that an object has these bytes: by the MD5 that the storage holds."""
    told = _md5_of(info)
    return bool(told) and len(data) == info.size and hashlib.md5(data, usedforsecurity=False).hexdigest() == told


def _md5_of(info: ObjectInfo) -> str:
    tag = info.checksums.get("md5") or bare_tag(info.etag)
    return tag if len(tag) == _MD5_CHARACTERS else ""


# --- reading ----------------------------------------------------------------------------------------------------------


class SharedDocuments:
    """The documents of a generation, asked for in the order of their keys."""

    def __init__(self, found: Iterator[tuple[str, bytes]]) -> None:
        self._found = found
        self._next: tuple[str, bytes] | None = ("", b"")

    def get(self, info: ObjectInfo) -> bytes | None:
        """Return the bytes of an object, if they are here and the listing proves them."""
        while self._next is not None and self._next[0] < info.key:
            self._next = self._following(self._next[0])
        if self._next is None or self._next[0] != info.key:
            return None
        data = self._next[1]
        return data if proves(info, data) else None

    def _following(self, before: str) -> tuple[str, bytes] | None:
        try:
            found = next(self._found, None)
        except damage() as error:
            _log.debug("the shared catalog is damaged: %s", error)
            return None
        return found if found is not None and found[0] > before else None


@contextmanager
def shared_documents(store: Store, folder: Path) -> Iterator[SharedDocuments]:
    """Give the documents of the newest generation, or none; the file is in ``folder`` meanwhile."""
    place = folder / f"shared.{secrets.token_hex(4)}.temp"
    try:
        found: Iterator[tuple[str, bytes]] = iter(())
        if not isinstance(store.backend, CheapStat):
            try:
                found = _fetched(store, place)
            except Exception as error:  # noqa: BLE001 (whatever lies there, all is read from the store then)
                _log.debug("the shared catalog is not used: %s", error)
        yield SharedDocuments(found)
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)


def _fetched(store: Store, place: Path) -> Iterator[tuple[str, bytes]]:
    newest = next((info for info in page_of(store, CATALOGS, "", _KEPT) if parse_catalog_key(info.key)), None)
    if newest is None or newest.size > _MOST_FILE_BYTES:
        return iter(())
    left = newest.size
    with store.backend.open(newest.key) as source, place.open("xb") as file:
        while left and (data := source.read(min(left, _CHUNK))):
            file.write(data)
            left -= len(data)
    return _documents_in(place)


def _documents_in(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what a file holds, as far as it is of the form that this module writes."""
    import pyarrow.parquet as pq

    limit = _MOST_GROUP_BYTES
    with pq.ParquetFile(place, thrift_string_size_limit=limit, thrift_container_size_limit=10 * limit) as file:
        if not file.schema_arrow.equals(_schema()):
            return
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            columns = [group.column(index) for index in range(group.num_columns)]
            if group.num_rows > _GROUP_ROWS or any(
                column.compression != "UNCOMPRESSED" or column.total_compressed_size > limit for column in columns
            ):
                return
            for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[number], use_threads=False):
                if batch.nbytes > _ROWS_AT_ONCE * 2 * _MOST_DOCUMENT_BYTES:
                    return
                keys, documents = (column.to_pylist() for column in batch.columns)
                if None in keys or None in documents:
                    return
                yield from zip(keys, documents, strict=True)


def _schema() -> Any:
    pa = arrow()
    return pa.schema([("key", pa.string()), ("document", pa.binary())])


# --- sharing ----------------------------------------------------------------------------------------------------------


def share(store: Store, segments: Segments, tombs: AbstractSet[tuple[ArtifactName, int]]) -> None:
    """Write the next generation if it would be much larger than the newest one and may be written. Never fails.

    Args:
        store: the store.
        segments: the rows.
        tombs: those of the listing that the rows come from.
    """
    if isinstance(store.backend, CheapStat) or len(segments) < _LEAST_ROWS:
        return
    place = segments.folder / f"shared.{secrets.token_hex(4)}.temp"
    try:
        listed = [(info.key, at) for info in page_of(store, CATALOGS, "", 1_000) if (at := parse_catalog_key(info.key))]
        newest = max((at for _, at in listed), default=(0, 0))
        if len(segments) < newest[1] * _GROWTH:
            return
        store.writable_marker()
        _write(segments, place)
        key = catalog_key(newest[0] + 1, len(segments), secrets.token_hex(8))
        if _put(store, key, place, tombs):
            store.backend.delete([key for key, at in listed if at[0] <= newest[0] + 1 - _KEPT])
    except (MetaMLFlowError, OSError) as error:
        _log.debug("the catalog is not shared: %s", error)
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)


def _put(store: Store, key: str, place: Path, tombs: AbstractSet[tuple[ArtifactName, int]]) -> bool:
    """Put a generation there; return False if it was taken back, since a version was erased meanwhile.

    Nothing is put by whoever may not delete, and could not take it back: that is tried first, with no object there.

    Whoever erases a version writes its tomb first, and clears ``cache/`` last. Both may happen after the listing that
    the rows come from, and before the put, which would bring the erased manifest back. So the tombs are listed again: a
    tomb that is not in this listing is younger than the generation, and its eraser finds it and deletes it.
    """
    if failures := store.backend.delete([key]):
        _log.debug("the catalog is not shared: %s", failures[0].error)
        return False
    is_sound = False
    try:
        store.backend.put(key, _blob(place))
        is_sound = all(tomb in tombs for tomb in _tombs(store))
    finally:
        if not is_sound:  # nor is it if that could not be told
            store.backend.delete([key])
    return is_sound


def _tombs(store: Store) -> Iterator[tuple[ArtifactName, int]]:
    """List all tombs: a request for each thousand records, of which somebody has just read many one by one."""
    for info in listed_in_order(store, ARTIFACTS):
        at = listed_key(info.key)
        if at is not None and at.kind == "tomb" and at.name is not None:
            yield at.name, at.version or 0


def _write(segments: Segments, place: Path) -> None:
    """Write all documents that are small, in the order of their keys."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    pa = arrow()
    order = pc.sort_indices(segments.column("key")).to_pylist()
    with pq.ParquetWriter(place, _schema(), compression="none", use_dictionary=False) as writer:
        for start in range(0, len(order), _GROUP_ROWS):
            rows = sorted(order[start : start + _GROUP_ROWS])
            found = sorted((key, data) for key, data, _ in segments.documents(rows) if data is not None)
            for part in _parts([one for one in found if len(one[1]) <= _MOST_DOCUMENT_BYTES]):
                keys, documents = zip(*part, strict=True)
                columns = [pa.array(keys, pa.string()), pa.array(documents, pa.binary())]
                writer.write_batch(pa.record_batch(columns, schema=_schema()))


def _parts(found: list[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Cut rows into groups of half the size that a reader takes."""
    part: list[tuple[str, bytes]] = []
    size = 0
    for one in found:
        part.append(one)
        size += len(one[1])
        if size > _MOST_GROUP_BYTES // 2:
            yield part
            part, size = [], 0
    if part:
        yield part


def _blob(place: Path) -> Blob:
    digest, checksum = hashlib.sha256(), 0
    with place.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            checksum = google_crc32c.extend(checksum, data)
    return Blob(place.stat().st_size, digest.hexdigest(), f"{checksum:08x}", lambda: place.open("rb"))
