"""Examine a store: all of its records, and the blobs that its live versions name. Nothing is written.

Records are listed before blobs, so the bytes of each version that was seen are there when the blobs are listed. What
seems wrong is looked at a second time before it is told: publishers, pruners and migrations may be at work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

from metamlflow._arguments import blamed_on
from metamlflow.backend import ObjectInfo
from metamlflow.errors import InvalidInputError
from metamlflow.model.findings import LEVELS, Level
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.catalogue import Catalogue, ShardFailure, names_read
from metamlflow.store.retain.fsck.blobs import BlobPass, is_needed
from metamlflow.store.retain.fsck.doubts import Doubts
from metamlflow.store.retain.fsck.links import Links
from metamlflow.store.retain.fsck.progress import BlobProgress
from metamlflow.store.retain.fsck.report import FsckFinding, FsckReport, found, ordered
from metamlflow.store.retain.fsck.retention import newest_of_series_findings, protection_findings
from metamlflow.store.retain.fsck.second_look import judged_twice
from metamlflow.store.retain.fsck.selection import BlobSelection
from metamlflow.store.retain.fsck.series import (
    NamesSeen,
    Records,
    feature_findings,
    relocation_findings,
    run_findings,
    signature_findings,
)
from metamlflow.store.retain.fsck.surroundings import cache_findings, root_findings, upload_findings
from metamlflow.store.retain.versions import Now
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.rate_limit import RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class FsckRequest:
    """How a store is examined.

    Attributes:
        level: how the content is examined.
        selection: which blobs are read or looked at one by one.
        pace: the rate.
        executor: runs parts of the work; None for threads here.
        resume: a file that records which blobs are done; None for none.
        progress: the progress callback.
    """

    level: Level = "full"
    selection: BlobSelection = field(default_factory=BlobSelection)
    pace: RateLimit = field(default_factory=RateLimit)
    executor: Executor | None = None
    resume: str | os.PathLike[str] | None = None
    progress: ProgressCallback | None = None


@callback_errors()
def examine_store(store: Store, cache: FileCache, request: FsckRequest) -> FsckReport:
    """Examine a store; continue after every finding.

    Args:
        store: the store.
        cache: the local cache that a client uses.
        request: how.

    Raises:
        InvalidInputError: an argument is invalid.
        StoreNotFoundError: there is no store.
        StorageError: the storage does not list the store.
    """
    if request.level not in LEVELS:
        raise InvalidInputError(f"unknown level {request.level!r:.80}: use {', '.join(map(repr, LEVELS))}")
    store.marker()
    chosen = request.selection
    progress = None
    if request.resume is not None:
        head = {"fsck": store.url, "level": request.level, "share": chosen.share, "seed": chosen.seed}
        with blamed_on("resume"):
            progress = BlobProgress(request.resume, head | {"part": chosen.part, "parts": chosen.parts})
    doubts = Doubts()
    with Catalogue(lambda state: state == "live") as catalogue, Links(doubts) as links:
        examination = _Examination(store, request, catalogue, links, Now.of(store))
        findings = list(examination.of_records())
        counter = Counter("fsck", request.progress)
        blobs = BlobPass(store, request.level, chosen, request.pace, request.executor, progress, counter, doubts)
        findings += blobs.findings(catalogue)
        findings += upload_findings(store)
        findings += cache_findings(store, cache, full=request.level == "full")
        findings += doubts.findings
        return FsckReport(
            uri=store.url,
            level=request.level,
            findings=ordered(findings),
            versions=len(catalogue.versions),
            records=examination.records.count,
            blobs=blobs.blobs,
            examined=blobs.examined,
            bytes=blobs.bytes,
        )


class _Examination:
    """One examination of the records of a store."""

    def __init__(self, store: Store, request: FsckRequest, catalogue: Catalogue, links: Links, now: Now) -> None:
        skipped = frozenset({"edge"} if request.level == "full" else {"edge", "distributions"})
        self._store = store
        self._pace = request.pace
        self._catalogue = catalogue
        self._links = links
        self._now = now
        self._unknown: list[FsckFinding] = []
        self._doubts = links.doubts
        self.records = Records(store, request.pace, self._doubts, skipped)

    def of_records(self) -> Iterator[FsckFinding]:
        """Yield what is wrong with records, and fill the catalogue."""
        yield from root_findings(self._store)
        yield from feature_findings(self.records)
        names = NamesSeen(self.records)
        yield from names.findings
        altered: set[str] = set()
        for records in names_read(self._store, self._pace, self._note_unknown):
            self.records.count += sum(1 for _ in records.all())
            latest, findings = judged_twice(self._store, records, self._now, self._pace, self._doubts)
            yield from findings
            altered.update(finding.key for finding in findings if finding.kind == "manifest-altered")
            self._catalogue.add(latest)
            self._links.add(latest)
            if latest.committed():
                yield from names.use(latest.name)
        yield from names.unused(self._now)
        for failure in self._catalogue.read_shards(self._store, self._pace):
            yield from self._of_list(failure)
        yield from self._links.edge_findings(self._store, self._now)
        yield from run_findings(self.records, self._links)
        yield from signature_findings(self.records, self._links)
        yield from (told for told in self._links.contradictions(self._store) if told.key not in altered)
        yield from relocation_findings(self.records)
        yield from protection_findings(self.records)
        yield from newest_of_series_findings(self.records)
        yield from self._unknown
        yield from self.records.foreign

    def _of_list(self, failure: ShardFailure) -> Iterator[FsckFinding]:
        for index in failure.versions:
            known = self._catalogue.versions[index]
            if is_needed(self._store, known.name, known.version, self._doubts):
                message = f"a part of the list of files of {known.name}@{known.version}: {failure.error.message}"
                yield found(
                    "list-damaged", failure.shard.key, message, name=str(known.name), version=known.version,
                    expected=f"sha256:{failure.shard.sha256}", actual=getattr(failure.error, "actual", ""),
                )  # fmt: skip

    def _note_unknown(self, info: ObjectInfo) -> None:
        if not info.key.endswith("/"):
            self._unknown.append(found("unknown-key", info.key, f"{info.key} is the key of no record of an artifact"))
