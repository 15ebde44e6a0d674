"""Checking a part of a version: what is stored by its blobs, what is pointed to where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from metamlflow.errors import IntegrityError, MetaMLFlowError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import Loaded, digest_of
from metamlflow.model.manifests import EmptyFolder, Entry, FileEntry, Item, Manifest, Shard
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.fetching import damaged, held_checksum
from metamlflow.store.catalog.records import retried
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.verified import bytes_in_memory, copy_entry, missing
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.rate_limit import Pace
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.store.verify.pointers import Listed, check_content, check_look, with_listings
from metamlflow.store.verify.report import Finding, Level, Status

_TOGETHER = 1024  # entries of a manifest without shards, where parts of it are wanted


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a version's items, by the shards or by the places in the manifest where they stand.

    Attributes:
        start: the first shard, or item of a manifest without shards.
        stop: the one after the last; None for all that follow.
        first: whether the manifest itself is checked along.
    """

    start: int = 0
    stop: int | None = None
    first: bool = True


@dataclass(frozen=True, slots=True)
class PartResult:
    """What was found of a part, and how many bytes were read."""

    bytes: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Checking:
    """How a version is checked."""

    store: Store
    loaded: Loaded
    level: Level
    pace: Pace


def parts_of(manifest: Manifest, *, fine: bool) -> Iterator[Part]:
    """Yield the parts of a version: without ``fine`` one, else each shard, or some of the items at a time."""
    sharded = manifest.shards is not None
    count = len(manifest.shards or ()) if sharded else len(manifest.items or ())
    if not fine or not count:
        yield Part()
        return
    size = 1 if sharded else _TOGETHER
    for start in range(0, count, size):
        yield Part(start, start + size, first=start == 0)


def check_part(checking: Checking, part: Part, counter: Counter) -> PartResult:
    """Check some of a version's items; goes on after a finding."""
    findings = _check_manifest(checking) if part.first else []
    read = 0
    manifest = checking.loaded.manifest
    files = (item for item in _items_of(checking, part, findings) if not isinstance(item, EmptyFolder))
    found = with_listings(checking.store, manifest, files, checking.level, from_start=part.start == 0)
    in_memory = bytes_in_memory if checking.level == "full" else lambda _: 0
    work = partial(_check, checking, counter)
    for finding, size in in_parallel(work, found, size_of=lambda pair: in_memory(pair[0]), cancel=counter.cancel):
        findings += [finding] if finding else []
        read += size
    return PartResult(read, tuple(findings))


def _shard_finding(error: IntegrityError | StoreFormatError) -> Finding:
    if isinstance(error, StoreFormatError):
        return Finding("", "modified", error.key, "a list of files", "; ".join(error.problems))
    status: Status = "missing" if error.actual == "missing" else "modified"
    return Finding("", status, error.key or "", error.expected, error.actual)


def _items_of(checking: Checking, part: Part, findings: list[Finding]) -> Iterator[Item]:
    """Yield the items of a part; a shard that is damaged is a finding, and the next one follows."""
    manifest = checking.loaded.manifest
    entries = Entries(checking.store, manifest)
    if manifest.shards is None:
        yield from entries.inline()[part.start : part.stop]
        return
    for number in range(len(manifest.shards))[part.start : part.stop]:
        try:
            items = entries.of_shard(number)
            _check_order(items, manifest.shards[number + 1 : number + 2])
        except (IntegrityError, StoreFormatError) as error:
            findings.append(_shard_finding(error))
            continue
        yield from items


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
        actual = digest_of(retried(lambda: read_record(store.backend, key), store.clock))
    except ObjectNotFoundError:
        return [Finding("", "missing", key, loaded.digest, "missing")]
    except StoreFormatError as error:  # it has grown past all that a manifest can be
        return [Finding("", "modified", key, loaded.digest, "; ".join(error.problems))]
    return [] if actual == loaded.digest else [Finding("", "modified", key, loaded.digest, actual)]


def _check(checking: Checking, counter: Counter, pair: tuple[FileEntry, Listed | None]) -> tuple[Finding | None, int]:
    """Return what is wrong with a file, and how many bytes of it were read."""
    entry, seen = pair
    if isinstance(entry, PointerEntry):
        key, expected, check = entry.uri, "readable data", partial(_check_pointer, checking, seen, entry)
    else:
        key, expected, check = entry.key, f"sha256:{entry.sha256}", partial(_check_stored, checking, entry)

    def on_bytes(size: int) -> None:
        counter.add(size=size)
        checking.pace.take(size=size)

    try:
        finding = check(on_bytes)
    except IntegrityError as error:
        status: Status = "missing" if error.actual == "missing" else "modified"
        finding = Finding(entry.path, status, key, error.expected, error.actual)
    except MetaMLFlowError as error:
        finding = Finding(entry.path, "unreadable", key, expected, error.message)
    counter.add(files=1)
    return finding, entry.size if checking.level == "full" and finding is None else 0


def _check_stored(checking: Checking, entry: Entry, on_bytes: Callable[[int], None]) -> Finding | None:
    checking.pace.take(objects=1)
    if checking.level == "full":
        copy_entry(checking.store, checking.loaded.manifest, entry, None, on_bytes)
        return None
    return _check_stat(checking.store, checking.loaded.manifest, entry, checking.level)


def _check_pointer(
    checking: Checking, seen: Listed | None, entry: PointerEntry, on_bytes: Callable[[int], None]
) -> Finding | None:
    if checking.level == "full":
        checking.pace.take(objects=1)
        return check_content(checking.store, entry, on_bytes)
    return check_look(checking.store, entry, seen, checking.level, lambda: checking.pace.take(objects=1))


def _check_stat(store: Store, manifest: Manifest, entry: Entry, level: Level) -> Finding | None:
    try:
        info = retried(lambda: store.backend.stat(entry.key), store.clock)
    except ObjectNotFoundError:
        raise missing(store, manifest, entry) from None
    if info.size != entry.size:
        raise damaged(entry, f"{info.size} bytes")
    if level == "stat":
        return None
    held = held_checksum(info, entry)
    if held is None:
        return Finding(
            entry.path,
            "unverifiable",
            entry.key,
            f"sha256:{entry.sha256}",
            "the storage holds no checksum; use level full",
        )
    expected, actual = held
    return None if actual == expected else Finding(entry.path, "modified", entry.key, expected, actual)
