"""Examine the blobs that live versions name: their sizes in one listing, and their bytes or digests one by one."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache

from metamlflow._looks import counted
from metamlflow.backend import ObjectInfo
from metamlflow.errors import IntegrityError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.layout import sha256_of_blob_key, version_prefix
from metamlflow.model.findings import Finding, Level
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import is_live, version_status
from metamlflow.store.catalog.store import Store, store_from
from metamlflow.store.read.content import check_stored
from metamlflow.store.retain.blob_index import Compared, Naming, listed_blobs, named_and_listed
from metamlflow.store.retain.catalogue import Catalogue
from metamlflow.store.retain.fsck.doubts import Doubts
from metamlflow.store.retain.fsck.progress import BlobCounts, BlobProgress
from metamlflow.store.retain.fsck.report import FsckFinding, found
from metamlflow.store.retain.fsck.selection import BlobSelection
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.store.transfer.remote_tasks import RemoteTask, spread
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.store.transfer.spooling import SMALL

_TOGETHER = 256  # blobs of one task, and of one line of progress
_MOST_BYTES_TOGETHER = 1024**3
_ASKED = 100  # versions that are asked whether they are live, before a blob of theirs is told as damaged


@dataclass(frozen=True, slots=True)
class Look:
    """A blob to look at.

    Attributes:
        naming: the first version that names it.
        others: indexes of further versions that name it, a hundred at most.
        level: how it is looked at.
        listed: its object as listed; None if it was not listed, or with another size.
    """

    naming: Naming
    others: tuple[int, ...]
    level: Level
    listed: ObjectInfo | None


@dataclass(slots=True)
class BlobPass:
    """One pass over the blobs of a store.

    Attributes:
        store: the store.
        level: how the selected blobs are looked at.
        selection: which are.
        pace: the rate.
        executor: runs parts of the work; None for threads here.
        progress: the file with what is done; None for none.
        counter: counts for the caller.
        doubts: notes what the storage refuses to say.
        blobs: how many blobs live versions name.
        examined: how many were looked at one by one.
        bytes: how many bytes of these were read.
        foreign: keys among the blobs that are no blob's.
        unverifiable: how many could not be compared at this level.
    """

    store: Store
    level: Level
    selection: BlobSelection
    pace: RateLimit
    executor: Executor | None
    progress: BlobProgress | None
    counter: Counter
    doubts: Doubts
    blobs: int = 0
    examined: int = 0
    bytes: int = 0
    foreign: list[FsckFinding] = field(default_factory=list)
    unverifiable: int = 0
    _first: str = ""
    _again: int = 0

    def findings(self, catalogue: Catalogue) -> Iterator[FsckFinding]:
        """Yield what is wrong with blobs, in the order of their keys, and what lies among them."""
        if self.progress is not None:
            before = self.progress.counts
            self.examined, self.bytes = before.examined, before.bytes
            self.unverifiable, self._first = before.unverifiable, before.first_unverifiable
        compared = named_and_listed(catalogue.blobs.by_key(), listed_blobs(self.store))
        looks = (look for each in compared for look in self._looks(each))
        noted: list[tuple[Look, Finding | None]] = []
        with closing(self._done(looks)) as done:  # work that is no longer needed is cancelled at once
            for look, finding in done:
                self.examined += 1
                self.bytes += look.naming.size if look.level == "full" and finding is None else 0
                self.counter.add(files=1)
                noted.append((look, finding))
                if len(noted) == _TOGETHER:
                    yield from self._told(catalogue, noted)
                    noted = []
        yield from self._told(catalogue, noted)
        yield from self.foreign
        if count := self.unverifiable:
            message = f"the storage holds no digest of {counted(count, 'blob')}; the first is {self._first}"
            yield found("blob-unverifiable", self._first, message)
        if self.progress is not None:
            self.progress.finish()

    def _looks(self, compared: Compared) -> Iterator[Look]:
        """Yield how a blob is looked at, once for each size that is claimed of it; nothing if the listing tells."""
        key, namings, info = compared
        claims = (naming for naming in namings if not naming.is_pointer)
        first = next(claims, None)
        if first is None:
            if sha256_of_blob_key(key) is None and not key.endswith("/"):
                self.foreign.append(found("foreign-object", key, f"{key} is the key of no content"))
            return
        self.blobs += 1
        by_claim: dict[tuple[int, str | None], tuple[Naming, list[int]]] = {}
        for naming in itertools.chain((first,), claims):
            _, others = by_claim.setdefault((naming.size, naming.crc32c), (naming, []))
            if len(others) < _ASKED:
                others.append(naming.version)
        for naming, others in by_claim.values():
            if naming.path is None:
                continue  # a list of files, which was read
            is_listed = info is not None and info.size == naming.size
            if self.level == "stat" or not self.selection.has(naming.sha256):
                if not is_listed:
                    yield Look(naming, tuple(others), "stat", None)
            elif self.progress is None or not is_listed or not self.progress.is_done(key):
                yield Look(naming, tuple(others), self.level if is_listed else "stat", info if is_listed else None)

    def _done(self, looks: Iterable[Look]) -> Generator[tuple[Look, Finding | None]]:
        if self.executor is None:
            yield from in_parallel(
                lambda look: (look, looked_at(self.store, look, self.pace)),
                looks,
                size_of=_bytes_in_memory,
                cancel=self.counter.cancel,
            )
            return
        executor, state = self.executor, pickle.dumps(self.store)
        results = spread(
            lambda task: RemoteTask(executor, look_elsewhere, task, _is_whole, "a part of the examination"),
            (Looks(state, self.pace.rates, looks) for looks in _together(looks)),
            here=look_elsewhere,
            check=self.counter.add,
        )
        with closing(results):
            for done in results:
                yield from done

    def _told(self, catalogue: Catalogue, noted: list[tuple[Look, Finding | None]]) -> Iterator[FsckFinding]:
        """Yield the findings of blobs that a version needs that is live now, too; record that they are done."""
        again = [look.naming.key for look, finding in noted if finding and finding.status != "unverifiable"]
        for look, finding in noted:
            if finding is not None and finding.status == "unverifiable":
                self.unverifiable += 1
                self._first = self._first or finding.key
            elif finding is not None and (told := self._finding(catalogue, look, finding)) is not None:
                yield told
        self._again += len(again)
        if self.progress is not None and noted:
            counts = BlobCounts(self.examined - self._again, self.bytes, self.unverifiable, self._first)
            self.progress.note([look.naming.key for look, _ in noted], set(again), counts)

    def _finding(self, catalogue: Catalogue, look: Look, finding: Finding) -> FsckFinding | None:
        versions = [catalogue.versions[index] for index in dict.fromkeys(look.others)]
        needs = [known for known in versions if is_needed(self.store, known.name, known.version, self.doubts)]
        if not needs:
            return None  # pruned meanwhile, so its bytes may be gone
        first, more = needs[0], len(needs) - 1
        also = f", and by {more:,} more version{'s' * (more > 1)}" if more else ""
        what = _WORDS[finding.status]
        return found(
            _kind_of(finding), look.naming.key,
            f"{what}: expected {finding.expected}, got {finding.actual}; named by {first.name}@{first.version}{also}",
            name=str(first.name), version=first.version, path=look.naming.path or "",
            expected=finding.expected, actual=finding.actual,
        )  # fmt: skip


_WORDS = {
    "missing": "missing",
    "modified": "damaged",
    "unreadable": "cannot be read",
}


def is_needed(store: Store, name: ArtifactName, version: int, doubts: Doubts) -> bool:
    """Whether a version is live at this moment, so that its bytes have to be there: one listing.

    It was live when it was read, and stays so where the storage refuses to say.
    """
    with doubts.about(version_prefix(name, version), str(name), version):
        status = version_status(store, name, version)
        return status.info is not None and is_live(store, name, status, by_times=False)
    return True


def looked_at(store: Store, look: Look, pace: RateLimit) -> Finding | None:
    """Look at a blob; return what is wrong with it, or None."""
    entry = look.naming.entry()
    expected = f"sha256:{entry.sha256}"
    try:
        return check_stored(
            store, entry, look.level, lambda size: pace.take(size=size), lambda: pace.take(objects=1), look.listed
        )
    except ObjectNotFoundError:
        return Finding(entry.path, "missing", entry.key, expected, "missing")
    except IntegrityError as error:
        return Finding(entry.path, "modified", entry.key, error.expected, error.actual)
    except MetaMLFlowError as error:
        return Finding(entry.path, "unreadable", entry.key, expected, error.message)


@dataclass(frozen=True, slots=True)
class Looks:
    """Blobs that one task looks at.

    Its text shows no option of the store: executors write tasks to their logs.
    """

    store: bytes = field(repr=False)
    rates: tuple[float | None, float | None]
    looks: list[Look] = field(repr=False)


def look_elsewhere(task: Looks) -> list[tuple[Look, Finding | None]]:
    """Look at blobs in another thread, process or machine."""
    store, pace = store_from(task.store), _pace_of(task.rates)
    return list(in_parallel(lambda look: (look, looked_at(store, look, pace)), task.looks, size_of=_bytes_in_memory))


def _is_whole(task: Looks, result: object) -> bool:
    return (
        isinstance(result, list)
        and all(isinstance(done, tuple) and len(done) == 2 for done in result)  # noqa: PLR2004 (a look, and what it found)
        and [look for look, _ in result] == task.looks
        and all(found is None or isinstance(found, Finding) for _, found in result)
    )


@lru_cache(maxsize=8)
def _pace_of(rates: tuple[float | None, float | None]) -> RateLimit:
    return RateLimit(*rates)


def _bytes_in_memory(look: Look) -> int | None:
    if look.level != "full":
        return 0
    return look.naming.size if look.naming.size <= SMALL else None


def _together(looks: Iterable[Look]) -> Iterator[list[Look]]:
    task: list[Look] = []
    size = 0
    for look in looks:
        task.append(look)
        size += look.naming.size if look.level == "full" else 0
        if len(task) == _TOGETHER or size > _MOST_BYTES_TOGETHER:
            yield task
            task, size = [], 0
    if task:
        yield task


def _kind_of(finding: Finding) -> str:
    if finding.status == "modified":
        return "blob-size" if finding.actual.endswith(" bytes") else "blob-altered"
    return f"blob-{finding.status}"
