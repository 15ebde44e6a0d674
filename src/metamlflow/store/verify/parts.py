"""Verify a part of a version: its manifest, its lists of files, and each file in the way of its kind of content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from metamlflow.errors import IntegrityError, MetaMLFlowError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.entries import MAX_INLINE_ITEMS
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import ShardedSums, StoredManifest, digest_of
from metamlflow.model.findings import Finding, Level, Status
from metamlflow.model.manifests import EmptyFolder, Item, Manifest, Shard
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.content import Content, Survey
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.store.transfer.scheduler import in_parallel

_TOGETHER = 1024  # items per part of a version whose items would fit into one manifest, where parts are wanted


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of a version's items: a range of its shards, or of the items in its manifest.

    Attributes:
        start: the first shard; of a version whose items would fit into one manifest, the first item.
        stop: the end of the range, exclusive; None for all that follow.
        first: whether the manifest itself is verified with this part.
    """

    start: int = 0
    stop: int | None = None
    first: bool = True


@dataclass(frozen=True, slots=True)
class SliceResult:
    """The findings of a part, and the number of bytes read."""

    bytes: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Checking:
    """How a version is verified."""

    store: Store
    loaded: StoredManifest
    level: Level
    pace: RateLimit


def slices_of(manifest: Manifest, *, fine: bool) -> Iterator[Slice]:
    """Yield the parts of a version: without ``fine`` a single one, else each shard, or some of the items at a time."""
    by_items = _goes_by_items(manifest)
    count = manifest.files + manifest.folders if by_items else len(manifest.shards or ())
    if not fine or not count:
        yield Slice()
        return
    size = _TOGETHER if by_items else 1
    for start in range(0, count, size):
        yield Slice(start, start + size, first=start == 0)


def _goes_by_items(manifest: Manifest) -> bool:
    """Whether parts of a version are told by their items. One shard may hold all, and would be a single part."""
    return manifest.files + manifest.folders <= MAX_INLINE_ITEMS


def check_slice(checking: Checking, part: Slice, counter: Counter) -> SliceResult:
    """Verify some of a version's items; continue after a finding."""
    findings = _check_manifest(checking) if part.first else []
    if part.first and part != Slice():
        findings += _check_sums(checking)
    read = 0
    manifest = checking.loaded.manifest
    files = (item for item in _items_of(checking, part, findings) if not isinstance(item, EmptyFolder))
    survey = Survey(checking.store, manifest, checking.level, from_start=part.start == 0)
    in_memory = partial(_bytes_in_memory, checking.level)
    work = partial(_check, checking, counter)
    for finding, size in in_parallel(work, map(survey.of, files), size_of=in_memory, cancel=counter.cancel):
        findings += [finding] if finding else []
        read += size
    return SliceResult(read, tuple(findings))


def _check_sums(checking: Checking) -> list[Finding]:
    """Compare a version in parts with what its manifest sums up, by reading all of its lists of files once more.

    One part does it for all: the digest over the items cannot be put together from those of parts.
    """
    manifest = checking.loaded.manifest
    entries, sums = Entries(checking.store, manifest, as_registered=True), ShardedSums(manifest)
    try:
        for number in range(len(manifest.shards or ())):
            sums.add(entries.of_shard(number))
    except (IntegrityError, StoreFormatError):
        return []  # the part with this list tells it
    return _sums_findings(checking, sums) if manifest.shards else []


def _sums_findings(checking: Checking, sums: ShardedSums) -> list[Finding]:
    manifest = checking.loaded.manifest
    try:
        sums.check(manifest_key(manifest.name, manifest.version))
    except StoreFormatError as error:
        return [_sums_finding(error)]
    return []


def _sums_finding(error: StoreFormatError) -> Finding:
    return Finding("", "modified", error.key, "what the lists of files sum up to", "; ".join(error.problems))


def _shard_finding(error: IntegrityError | StoreFormatError) -> Finding:
    if isinstance(error, StoreFormatError):
        return Finding("", "modified", error.key, "a list of files", "; ".join(error.problems))
    status: Status = "missing" if error.actual == "missing" else "modified"
    return Finding("", status, error.key or "", error.expected, error.actual)


def _items_of(checking: Checking, part: Slice, findings: list[Finding]) -> Iterator[Item]:
    """Yield the items of a part; a damaged shard becomes a finding, and the next shard follows."""
    manifest = checking.loaded.manifest
    entries = Entries(checking.store, manifest)
    if manifest.shards is None:
        yield from entries.inline()[part.start : part.stop]
        return
    sums = ShardedSums(manifest)
    for number, wanted in _shards_of(manifest, manifest.shards, part):
        try:
            items = entries.of_shard(number)
            _check_order(items, manifest.shards[number + 1 : number + 2])
        except (IntegrityError, StoreFormatError) as error:
            if wanted.start == 0:  # else the part in which it begins tells it
                findings.append(_shard_finding(error))
            continue
        sums.add(items)
        yield from checking.store.relocations.applied(items[wanted])
    if part == Slice() and not findings:  # else not all of the items were seen
        findings += _sums_findings(checking, sums)


def _shards_of(manifest: Manifest, shards: tuple[Shard, ...], part: Slice) -> Iterator[tuple[int, slice]]:
    """Yield the shards that a part's items stand in, each with which of its items these are."""
    begin = 0
    for number, shard in enumerate(shards):
        if not _goes_by_items(manifest):
            first, last = 0, shard.count if number in range(len(shards))[part.start : part.stop] else 0
        else:
            first = max(part.start - begin, 0)
            last = shard.count if part.stop is None else min(part.stop - begin, shard.count)
        if first < last:
            yield number, slice(first, last)
        begin += shard.count


def _check_order(items: tuple[Item, ...], following: tuple[Shard, ...]) -> None:
    if items and following and items[-1].path >= following[0].first:
        raise StoreFormatError(
            f"two lists of files overlap at {items[-1].path!r:.200}",
            key=following[0].key,
            problems=(f"first: out of order after {items[-1].path!r:.200}",),
        )


def _check_manifest(checking: Checking) -> list[Finding]:
    store, loaded = checking.store, checking.loaded
    key = manifest_key(loaded.manifest.name, loaded.manifest.version)
    try:
        actual = digest_of(with_retries(lambda: read_record(store.backend, key), store.clock))
    except ObjectNotFoundError:
        return [Finding("", "missing", key, loaded.digest, "missing")]
    except StoreFormatError as error:  # the object is larger than a manifest can be
        return [Finding("", "modified", key, loaded.digest, "; ".join(error.problems))]
    return [] if actual == loaded.digest else [Finding("", "modified", key, loaded.digest, actual)]


_Seen = tuple[Content[Any], Any]
"""A file's content, and the overview's result for it."""


def _bytes_in_memory(level: Level, seen: _Seen) -> int | None:
    return seen[0].bytes_in_memory if level == "full" else 0


def _check(checking: Checking, counter: Counter, seen: _Seen) -> tuple[Finding | None, int]:
    """Return the finding for a file, if any, and the number of bytes read."""
    content, shown = seen
    path, level = content.entry.path, checking.level

    def on_bytes(size: int) -> None:
        counter.add(size=size)
        checking.pace.take(size=size)

    try:
        finding = content.check(level, shown, on_bytes, lambda: checking.pace.take(objects=1))
    except IntegrityError as error:
        status: Status = "missing" if error.actual == "missing" else "modified"
        finding = Finding(path, status, content.place, error.expected, error.actual)
    except MetaMLFlowError as error:
        finding = Finding(path, "unreadable", content.place, content.expected, error.message)
    counter.add(files=1)
    return finding, content.entry.size if level == "full" and finding is None else 0
