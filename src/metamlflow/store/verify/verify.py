"""Verify that the objects a version names exist, and have the registered sizes and digests."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from functools import lru_cache

from metamlflow._arguments import blamed_on
from metamlflow.errors import InvalidInputError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.findings import LEVELS, Finding, Level, Status
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store, store_from
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.store.verify.lineage import lineage_findings
from metamlflow.store.verify.parts import Checking, Slice, SliceResult, check_slice, slices_of
from metamlflow.store.verify.progress import VerificationProgress
from metamlflow.store.verify.report import UnreadableVersion, VerifyReport

_AT_A_TIME = 64  # parts that are submitted to an executor, or finished, at a time


def verify(
    store: Store, loaded: StoredManifest, level: Level, progress: ProgressCallback | None = None
) -> VerifyReport:
    """Verify a version: its manifest, its lists of files, and each file at ``level``. Continue after a finding."""
    (report,) = verify_each(store, [loaded], level, progress=progress)
    assert isinstance(report, VerifyReport)  # noqa: S101 (only a version that could not be loaded has none)
    return report


def verify_each(
    store: Store,
    versions: Iterable[StoredManifest | UnreadableVersion],
    level: Level,
    *,
    lineage: bool = False,
    objects_per_second: float | None = None,
    bytes_per_second: float | None = None,
    resume: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> Iterator[VerifyReport | UnreadableVersion]:
    """Return an iterator over a report of each version, in their order; unreadable versions are passed on.

    The arguments are those of :meth:`Artifact.verify`, and are checked before this returns. With an ``executor``, parts
    of many versions are under way at a time, each in its own task, which opens the store anew in its process.

    Raises:
        InvalidInputError: an argument is invalid.
    """
    if level not in LEVELS:
        raise InvalidInputError(f"unknown verification level {level!r:.80}: use {', '.join(map(repr, LEVELS))}")
    pace = RateLimit(objects_per_second, bytes_per_second)
    done = None
    if resume is not None:
        with blamed_on("resume"):
            done = VerificationProgress(resume, store, level)

    def begun(loaded: StoredManifest) -> _Version:
        return _Version(Checking(store, loaded, level, pace), progress, done, executor, lineage=lineage)

    return _reports(versions, begun, done, at_once=executor is not None)


def _reports(
    versions: Iterable[StoredManifest | UnreadableVersion],
    begun: Callable[[StoredManifest], _Version],
    done: VerificationProgress | None,
    *,
    at_once: bool,
) -> Iterator[VerifyReport | UnreadableVersion]:
    under_way: deque[UnreadableVersion | _Version] = deque()
    try:
        with callback_errors():
            for version in versions:
                under_way.append(version if isinstance(version, UnreadableVersion) else begun(version))
                while under_way and (not at_once or _parts_in(under_way) > _AT_A_TIME):
                    yield _ended(under_way[0])
                    under_way.popleft()
            while under_way:
                yield _ended(under_way[0])
                under_way.popleft()
    finally:  # the executor belongs to the caller: cancel the tasks that are no longer needed
        for left in under_way:
            if isinstance(left, _Version):
                left.cancel()
    if done:
        done.finish()


def _parts_in(under_way: Iterable[UnreadableVersion | _Version]) -> int:
    return sum(version.parts for version in under_way if isinstance(version, _Version))


def _ended(version: UnreadableVersion | _Version) -> VerifyReport | UnreadableVersion:
    return version if isinstance(version, UnreadableVersion) else version.report()


class _Version:
    """One version under verification, part by part."""

    def __init__(
        self,
        checking: Checking,
        progress: ProgressCallback | None,
        resume: VerificationProgress | None,
        executor: Executor | None,
        *,
        lineage: bool,
    ) -> None:
        manifest = checking.loaded.manifest
        self._checking = checking
        self._resume = resume
        self._executor = executor
        self._lineage = lineage
        to_read = manifest.size if checking.level == "full" else 0
        reference = f"{manifest.name}@{manifest.version}"
        self._counter = Counter(
            "verify", progress, total_files=manifest.files, total_bytes=to_read, reference=reference
        )
        self._left = deque(slices_of(manifest, fine=executor is not None or resume is not None))
        self._submitted: deque[tuple[Slice, SliceResult | Future[SliceResult]]] = deque()
        self.parts = len(self._left)
        self._submit()

    def _submit(self) -> None:
        while self._executor is not None and self._left and len(self._submitted) < _AT_A_TIME:
            part = self._left.popleft()
            done = self._done(part)
            self._submitted.append((part, done or self._executor.submit(check_elsewhere, *self._task(part))))

    def _task(self, part: Slice) -> tuple[bytes, str, int, str, Level, RateLimit, Slice]:
        checking, manifest = self._checking, self._checking.loaded.manifest
        store = pickle.dumps(checking.store)
        return store, str(manifest.name), manifest.version, checking.loaded.digest, checking.level, checking.pace, part

    def _done(self, part: Slice) -> SliceResult | None:
        return self._resume.done(self._checking.loaded, part) if self._resume else None

    def report(self) -> VerifyReport:
        """Verify the remaining parts, and return the result of all."""
        manifest = self._checking.loaded.manifest
        read, findings = 0, list[Finding]()
        for part, result in self._results():
            if self._resume and self._done(part) is None:
                self._resume.note(self._checking.loaded, part, result)
            read += result.bytes
            findings += result.findings
        if self._lineage:
            findings += lineage_findings(self._checking.store, self._checking.loaded)
        level = self._checking.level
        return VerifyReport(manifest.name, manifest.version, level, manifest.files, read, tuple(findings))

    def cancel(self) -> None:
        """Cancel the tasks that the executor has not begun."""
        for _, submitted in self._submitted:
            if not isinstance(submitted, SliceResult):
                submitted.cancel()

    def _results(self) -> Iterator[tuple[Slice, SliceResult]]:
        while self._submitted or self._left:
            if self._executor is None:
                part = self._left.popleft()
                yield part, self._done(part) or check_slice(self._checking, part, self._counter)
                continue
            part, submitted = self._submitted[0]
            result = submitted if isinstance(submitted, SliceResult) else submitted.result()
            self._submitted.popleft()
            self._submit()
            self._counter.add(size=result.bytes)
            yield part, result


def check_elsewhere(
    store_state: bytes, name: str, version: int, digest: str, level: Level, pace: RateLimit, part: Slice
) -> SliceResult:
    """Verify a part of a version in another thread, process or machine."""
    store = store_from(store_state)
    try:
        loaded = load_manifest(store, ArtifactName(name), version)
    except MetaMLFlowError as error:
        status: Status = "missing" if isinstance(error, ObjectNotFoundError) else "unreadable"
        key = manifest_key(ArtifactName(name), version)
        return SliceResult(0, (Finding("", status, key, digest, error.message),))
    # The digest that the caller loaded counts: if the manifest was altered in between, that is a finding.
    checking = Checking(store, loaded, level, _pace_of(pace.rates))
    result = check_slice(checking, part, Counter("verify", None))
    if loaded.digest == digest:
        return result
    changed = Finding("", "modified", name, digest, loaded.digest)
    return SliceResult(result.bytes, (changed, *result.findings))


@lru_cache(maxsize=8)
def _pace_of(rates: tuple[float | None, float | None]) -> RateLimit:
    """Return the rate limit of this process: each task brings its own, and shares it here."""
    return RateLimit(*rates)
