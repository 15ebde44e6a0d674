"""Store the content of a version: hash each file, rely on a stored blob or put a new one, and list it, in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from metamlflow.format.entries import INLINE_ITEMS, cut_shards, encode_shard, specials
from metamlflow.format.layout import extension_of
from metamlflow.model.manifests import ContentDigest, EmptyFolder, Entry, Item, Shard
from metamlflow.store.catalog.entries import Predecessor
from metamlflow.store.ingest.hashing import Staged, stage, stage_bytes
from metamlflow.store.ingest.schemas import capture_schema, has_cheap_schema, is_visible_data_file
from metamlflow.store.ingest.sources import Source, SourceFile, SourcePointer, SourceProblems
from metamlflow.store.publish.blobs import BlobWriter
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.scheduler import QUICK_BYTES, Ready, in_parallel
from metamlflow.store.transfer.spooling import SMALL

_SHARD_EXTENSION = ".jsonl"


@dataclass(frozen=True, slots=True)
class VersionContent:
    """The items of a version, and their totals.

    ``requires`` names the format features that the items need; ``schema`` is that of the first data file, if it is
    known.
    """

    items: tuple[Item, ...] | None
    shards: tuple[Shard, ...] | None
    files: int
    folders: int
    size: int
    digest: str
    schema: Mapping[str, Any] | None
    requires: tuple[str, ...] = ()


def store_content(
    writer: BlobWriter,
    source: Source,
    predecessor: Predecessor,
    last_shards: tuple[Shard, ...] | None,
    counter: Counter,
) -> VersionContent:
    """Store everything in ``source``.

    Args:
        writer: stores the blobs.
        source: the items to store.
        predecessor: the items of the last version: the blobs that it names are relied on.
        last_shards: the last version's shards, which are relied on too.
        counter: counts the progress.
    """
    storing = _Storing(writer, counter)
    items = in_parallel(
        lambda step: step.finish(storing),
        _steps(source, predecessor),
        first=lambda step: step.begin(storing),
        size_of=lambda step: step.bytes_in_memory,
        cancel=counter.cancel,
    )
    known = {shard.sha256: shard.key for shard in last_shards or ()}
    return _collect(items, partial(_store_shard, writer, known), storing.schemas)


@dataclass(slots=True)
class _Storing:
    """One attempt to store content, and the schemas found on the way."""

    writer: BlobWriter
    counter: Counter
    schemas: list[Mapping[str, Any] | None] = field(default_factory=list)

    def on_bytes(self, size: int) -> None:
        """Count bytes that were read or sent."""
        self.counter.add(size=size)


class _Step(Protocol):
    """How one item of a source becomes an item of the version: first in the calling thread, then in a worker."""

    @property
    def bytes_in_memory(self) -> int | None:
        """How many bytes the step holds in memory at a time; None: it takes them from the budget itself."""

    def begin(self, storing: _Storing) -> _Step | Ready[Item]:
        """Do the quick part; return the item, or a step with the work left for a worker."""

    def finish(self, storing: _Storing) -> Item:
        """Do the work that :meth:`begin` left, and return the item."""


def _steps(source: Source, predecessor: Predecessor) -> Iterator[_Step]:
    """Yield the step of each item: the only place that depends on the kinds of items of a source."""
    problems = SourceProblems()
    schema_found = False
    for item in source.items(problems):
        if isinstance(item, SourceFile):
            wants_schema = not schema_found and is_visible_data_file(item.path)
            schema_found = schema_found or wants_schema
            before = predecessor.at(item.path)
            yield _StoredFile(item, before.key if before else None, wants_schema)
        elif isinstance(item, SourcePointer):
            wants_schema = not schema_found and item.opened is not None and has_cheap_schema(item.path)
            schema_found = schema_found or wants_schema
            yield _Gathered(item, wants_schema) if item.gather or wants_schema else _TakenOver(item.entry)
        else:
            # Of a version that this one is derived from: its schema holds.
            schema_found = schema_found or is_visible_data_file(item.path)
            yield _TakenOver(item)
    problems.raise_if_any()  # items that appeared in the folder since the scan


def _in_memory(size: int | None) -> int | None:
    return None if size is None or size > SMALL else size


@dataclass(frozen=True, slots=True)
class _StoredFile:
    """A file to store, with the facts known before it is read, or with its hashes after that."""

    file: SourceFile
    relied_on: str | None
    wants_schema: bool
    staged: Staged | None = None

    @property
    def bytes_in_memory(self) -> int | None:
        """The size of a small file."""
        return _in_memory(self.file.size)

    def begin(self, storing: _Storing) -> _Step | Ready[Item]:
        """Hash a small local file, and check whether its content is stored already."""
        file = self.file
        if file.local is None or self.wants_schema or (file.size or 0) > QUICK_BYTES:
            return self
        staged = stage(file, storing.on_bytes)
        key = storing.writer.reliable_key(staged.blob, extension_of(file.path), self.relied_on)
        return replace(self, staged=staged) if key is None else Ready(self._stored(storing, staged, key))

    def finish(self, storing: _Storing) -> Item:
        """Hash the file, unless that is done, and store it."""
        if self.staged is not None:
            return self._stored(storing, self.staged, self._store(storing, self.staged))
        with stage(self.file, storing.on_bytes) as staged:
            key = self._store(storing, staged)
            if self.wants_schema:
                storing.schemas.append(capture_schema(self.file.path, staged.peek))
        return self._stored(storing, staged, key)

    def _store(self, storing: _Storing, staged: Staged) -> str:
        return storing.writer.store(staged.blob, extension_of(self.file.path), relied_on=self.relied_on)

    def _stored(self, storing: _Storing, staged: Staged, key: str) -> Entry:
        if staged.passes:
            staged.passes.complete()
        storing.counter.add(files=1)
        file, blob = self.file, staged.blob
        return Entry(file.path, blob.size, blob.sha256, blob.crc32c, key, file.executable)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Pointed data for which more evidence is to be collected, or its schema captured."""

    pointer: SourcePointer
    wants_schema: bool

    @property
    def bytes_in_memory(self) -> int | None:
        """The size of a small object, if it is read."""
        return _in_memory(self.pointer.size) if self.pointer.reads else 0

    def begin(self, storing: _Storing) -> _Step | Ready[Item]:  # noqa: ARG002 (each needs at least one request)
        """Leave the work to a worker."""
        return self

    def finish(self, storing: _Storing) -> Item:
        """Collect the evidence."""
        pointer = self.pointer
        entry = pointer.gather(pointer.entry, storing.on_bytes) if pointer.gather else pointer.entry
        if self.wants_schema and pointer.opened:
            storing.schemas.append(capture_schema(entry.path, partial(pointer.opened, entry)))
        storing.counter.add(files=1, size=0 if self.pointer.reads else entry.size)
        return entry


@dataclass(frozen=True, slots=True)
class _TakenOver:
    """An item that needs no more work."""

    item: Item
    bytes_in_memory: int = 0

    def begin(self, storing: _Storing) -> _Step | Ready[Item]:
        """Return the item."""
        return Ready(self.finish(storing))

    def finish(self, storing: _Storing) -> Item:
        """Return the item."""
        if not isinstance(self.item, EmptyFolder):
            storing.counter.add(files=1, size=self.item.size)
        return self.item


def _collect(
    items: Iterable[Item], store_shard: Callable[[list[Item]], Shard], schemas: list[Mapping[str, Any] | None]
) -> VersionContent:
    """Total the items; beyond the inline limit, store them as shards on the way."""
    digest = ContentDigest()
    files = folders = size = 0
    kinds: set[type[Any]] = set()

    def counted() -> Iterator[Item]:
        nonlocal files, folders, size
        for item in items:
            digest.add(item)
            if isinstance(item, EmptyFolder):
                folders += 1
            else:
                files, size = files + 1, size + item.size
                kinds.add(type(item))
            yield item

    stream = counted()
    inline: tuple[Item, ...] | None = tuple(itertools.islice(stream, INLINE_ITEMS + 1))
    shards = None
    if inline is not None and len(inline) > INLINE_ITEMS:
        shards = tuple(store_shard(run) for run in cut_shards(itertools.chain(inline, stream)))
        inline = None
    schema = schemas[0] if schemas else None
    requires = tuple(special.feature for special in specials(kinds))
    return VersionContent(inline, shards, files, folders, size, str(digest), schema, requires)


def _store_shard(writer: BlobWriter, known: Mapping[str, str], run: list[Item]) -> Shard:
    blob = stage_bytes(encode_shard(run))
    key = writer.store(blob, _SHARD_EXTENSION, relied_on=known.get(blob.sha256))
    return Shard(run[0].path, len(run), blob.size, blob.sha256, key)
