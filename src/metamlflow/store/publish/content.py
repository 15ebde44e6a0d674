"""Storing the content of a version: hash, rely or put, and list, all while the files pass by."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from metamlflow.format.entries import MAX_INLINE_ITEMS, cut_shards, encode_shard
from metamlflow.format.layout import extension_of
from metamlflow.model.manifests import ContentDigest, EmptyFolder, Entry, Item, Shard
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.entries import Predecessor
from metamlflow.store.ingest.hashing import Staged, stage, stage_bytes
from metamlflow.store.ingest.schemas import capture_schema, is_visible_data_file
from metamlflow.store.ingest.sources import Problems, Source, SourceFile, SourceItem, SourcePointer
from metamlflow.store.publish.blobs import BlobWriter
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.scheduler import QUICK_BYTES, Ready, in_parallel
from metamlflow.store.transfer.spooling import SMALL

_SHARD_EXTENSION = ".jsonl"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version, in the store or pointed to; ``schema`` is that of its first data file, where known."""

    items: tuple[Item, ...] | None
    shards: tuple[Shard, ...] | None
    files: int
    folders: int
    size: int
    digest: str
    schema: Mapping[str, Any] | None
    has_pointers: bool = False


@dataclass(frozen=True, slots=True)
class _Planned:
    """A source item with what is known before it is read; once it is hashed, with that."""

    item: SourceItem
    relied_on: str | None = None
    wants_schema: bool = False
    staged: Staged | None = None


def store_content(
    writer: BlobWriter,
    source: Source,
    predecessor: Predecessor,
    last_shards: tuple[Shard, ...] | None,
    counter: Counter,
) -> Content:
    """Bring everything in ``source`` into the store.

    Args:
        writer: puts the blobs.
        source: what is to be stored.
        predecessor: the items of the last version: blobs that it names are relied on.
        last_shards: the last version's shards, which are relied on too.
        counter: is told the progress.
    """
    storing = _Storing(writer, counter)
    items = in_parallel(
        storing.finish,
        _planned(source, predecessor),
        first=storing.begin,
        size_of=_bytes_in_memory,
        cancel=counter.cancel,
    )
    known = {shard.sha256: shard.key for shard in last_shards or ()}
    return _collect(items, partial(_store_shard, writer, known), storing.schemas)


def _bytes_in_memory(planned: _Planned) -> int | None:
    item = planned.item
    if not (isinstance(item, SourceFile) or (isinstance(item, SourcePointer) and item.reads)):
        return 0
    size = item.size
    return None if size is None or size > SMALL else size


def _planned(source: Source, predecessor: Predecessor) -> Iterator[_Planned]:
    problems = Problems()
    schema_found = False
    for item in source.items(problems):
        if not isinstance(item, SourceFile):
            yield _Planned(item)
            continue
        wants_schema = not schema_found and is_visible_data_file(item.path)
        schema_found = schema_found or wants_schema
        yield _Planned(item, predecessor.key_at(item.path), wants_schema)
    problems.raise_if_any()  # what came into the folder since it was scanned


class _Storing:
    """Hashes and stores the files of one attempt."""

    def __init__(self, writer: BlobWriter, counter: Counter) -> None:
        self._writer = writer
        self._counter = counter
        self.schemas: list[Mapping[str, Any] | None] = []

    def begin(self, planned: _Planned) -> _Planned | Ready[Item]:
        """Hash a small local file, and see whether its content is in the store already. In the calling thread."""
        file = planned.item
        if isinstance(file, SourcePointer):
            return planned if file.gather else self._taken_over(file.entry)
        if not isinstance(file, SourceFile):
            return self._taken_over(file)
        if file.local is None or planned.wants_schema or (file.size or 0) > QUICK_BYTES:
            return planned
        staged = stage(file, self._on_bytes)
        key = self._writer.reliable_key(staged.blob, extension_of(file.path), planned.relied_on)
        if key is None:
            return _Planned(file, planned.relied_on, staged=staged)
        return Ready(self._stored(file, staged, key))

    def finish(self, planned: _Planned) -> Item:
        """Store a file that :meth:`begin` left. In a worker thread."""
        file = planned.item
        if isinstance(file, SourcePointer) and file.gather:
            entry = file.gather(file.entry, self._on_bytes)
            self._counter.add(files=1, size=0 if file.reads else entry.size)
            return entry
        assert isinstance(file, SourceFile)  # noqa: S101 (for the type checker)
        extension = extension_of(file.path)
        if planned.staged is not None:
            key = self._writer.store(planned.staged.blob, extension, relied_on=planned.relied_on)
            return self._stored(file, planned.staged, key)
        with stage(file, self._on_bytes) as staged:
            key = self._writer.store(staged.blob, extension, relied_on=planned.relied_on)
            if planned.wants_schema:
                self.schemas.append(capture_schema(file.path, staged.peek))
        return self._stored(file, staged, key)

    def _taken_over(self, item: Item) -> Ready[Item]:
        if not isinstance(item, EmptyFolder):
            self._counter.add(files=1, size=item.size)
        return Ready(item)

    def _on_bytes(self, size: int) -> None:
        self._counter.add(size=size)

    def _stored(self, file: SourceFile, staged: Staged, key: str) -> Entry:
        if staged.passes:
            staged.passes.complete()
        self._counter.add(files=1)
        blob = staged.blob
        return Entry(file.path, blob.size, blob.sha256, blob.crc32c, key, file.executable)


def _collect(
    items: Iterable[Item], store_shard: Callable[[list[Item]], Shard], schemas: list[Mapping[str, Any] | None]
) -> Content:
    """Sum up the items; beyond the inline limit, store them as shards while they pass."""
    digest = ContentDigest()
    files = folders = size = 0
    has_pointers = False

    def counted() -> Iterator[Item]:
        nonlocal files, folders, size, has_pointers
        for item in items:
            digest.add(item)
            if isinstance(item, EmptyFolder):
                folders += 1
            else:
                files, size = files + 1, size + item.size
                has_pointers = has_pointers or isinstance(item, PointerEntry)
            yield item

    stream = counted()
    inline: tuple[Item, ...] | None = tuple(itertools.islice(stream, MAX_INLINE_ITEMS + 1))
    shards = None
    if inline is not None and len(inline) > MAX_INLINE_ITEMS:
        shards = tuple(store_shard(run) for run in cut_shards(itertools.chain(inline, stream)))
        inline = None
    schema = schemas[0] if schemas else None
    return Content(inline, shards, files, folders, size, str(digest), schema, has_pointers)


def _store_shard(writer: BlobWriter, known: Mapping[str, str], run: list[Item]) -> Shard:
    blob = stage_bytes(encode_shard(run))
    key = writer.store(blob, _SHARD_EXTENSION, relied_on=known.get(blob.sha256))
    return Shard(run[0].path, len(run), blob.size, blob.sha256, key)
