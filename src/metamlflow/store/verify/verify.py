"""Looking whether what versions name is there, and is what was registered."""

from __future__ import annotations

import json
import os
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from metamlflow.backend import translated_errors
from metamlflow.errors import InvalidInputError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import Loaded
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.store import Store, store_from
from metamlflow.store.catalog.versions import load_manifest
from metamlflow.store.transfer.local_paths import absolute_path
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.rate_limit import Pace
from metamlflow.store.verify.parts import Checking, Part, PartResult, check_part, parts_of
from metamlflow.store.verify.report import Finding, Level, Status, Unreadable, VerifyReport

_AT_A_TIME = 64  # parts that an executor has to do or has done


class Journal:
    """What is done of a verification, in a file of this machine, so that a run that was stopped goes on from there.

    The file is removed when the verification has come to its end. What was unreadable is tried again.

    Raises:
        InvalidInputError: the file is something else, or of another verification.
    """

    def __init__(self, file: str | os.PathLike[str], store: Store, level: Level) -> None:
        self._file = Path(absolute_path(os.fspath(file)))
        self._head = {"verification": store.url, "level": level}
        self._done: dict[tuple[str, str], PartResult] = {}
        with translated_errors(str(self._file)):
            self._begun = self._file.exists() and self._file.stat().st_size > 0
            if self._begun:
                self._read()

    def _read(self) -> None:
        # A run that was killed may have left half a line: what it said is done again.
        lines = [_parsed(line) for line in self._file.read_text("utf-8", errors="replace").splitlines()]
        if not lines or lines[0] != self._head:
            raise InvalidInputError(
                f"{self._file} is no journal of a verification of this store at this level",
                hint="Give another file, or remove this one to begin anew.",
            )
        for line in lines[1:]:
            with suppress(KeyError, TypeError):  # of another shape: not written by this library
                findings = tuple(Finding(**finding) for finding in line["findings"])
                self._done[line["manifest"], json.dumps(line["part"])] = PartResult(line["bytes"], findings)

    def done(self, loaded: Loaded, part: Part) -> PartResult | None:
        """Return what an earlier run found of a part, if nothing in it was unreadable."""
        found = self._done.get((loaded.digest, json.dumps(asdict(part))))
        return None if found is None or any(f.status == "unreadable" for f in found.findings) else found

    def note(self, loaded: Loaded, part: Part, result: PartResult) -> None:
        """Write down that a part is done."""
        findings = [finding.to_json() for finding in result.findings]
        line = {"manifest": loaded.digest, "part": asdict(part), "bytes": result.bytes, "findings": findings}
        with translated_errors(str(self._file)), self._file.open("a", encoding="utf-8") as file:
            if not self._begun:
                file.write(f"{json.dumps(self._head)}\n")
                self._begun = True
            file.write(f"{json.dumps(line)}\n")

    def finish(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


@callback_errors()
def verify(
    store: Store,
    loaded: Loaded,
    level: Level,
    progress: ProgressCallback | None = None,
    *,
    pace: Pace | None = None,
    journal: Journal | None = None,
    executor: Executor | None = None,
) -> VerifyReport:
    """Check a version: its manifest, its lists of files, and each file at ``level``. Goes on after a finding."""
    found = verify_versions(store, [loaded], level, progress, pace=pace, journal=journal, executor=executor)
    (report,) = (report for report in found if isinstance(report, VerifyReport))
    return report


def verify_versions(
    store: Store,
    versions: Iterable[Loaded | Unreadable],
    level: Level,
    progress: ProgressCallback | None = None,
    *,
    pace: Pace | None = None,
    journal: Journal | None = None,
    executor: Executor | None = None,
) -> Iterator[VerifyReport | Unreadable]:
    """Yield a report of each version, in their order; what cannot be read is passed on.

    With an ``executor`` parts of many versions are under way at a time, each in a task of its own, which opens the
    store anew where it is carried out.
    """
    pace = pace or Pace()
    under_way: deque[Unreadable | _Version] = deque()
    try:
        for version in versions:
            if isinstance(version, Unreadable):
                under_way.append(version)
            else:
                under_way.append(_Version(Checking(store, version, level, pace), progress, journal, executor))
            while under_way and (executor is None or _parts_in(under_way) > _AT_A_TIME):
                yield _ended(under_way[0])
                under_way.popleft()
        while under_way:
            yield _ended(under_way[0])
            under_way.popleft()
    finally:  # the executor is the caller's: what was given to it in vain is taken back
        for begun in under_way:
            if isinstance(begun, _Version):
                begun.cancel()


def _parts_in(under_way: Iterable[Unreadable | _Version]) -> int:
    return sum(version.parts for version in under_way if isinstance(version, _Version))


def _ended(version: Unreadable | _Version) -> VerifyReport | Unreadable:
    return version if isinstance(version, Unreadable) else version.report()


class _Version:
    """One version that is being checked, part by part."""

    def __init__(
        self,
        checking: Checking,
        progress: ProgressCallback | None,
        journal: Journal | None,
        executor: Executor | None,
    ) -> None:
        manifest = checking.loaded.manifest
        self._checking = checking
        self._journal = journal
        self._executor = executor
        to_read = manifest.size if checking.level == "full" else 0
        self._counter = Counter("verify", progress, total_files=manifest.files, total_bytes=to_read)
        self._left = deque(parts_of(manifest, fine=executor is not None or journal is not None))
        self._submitted: deque[tuple[Part, PartResult | Future[PartResult]]] = deque()
        self.parts = len(self._left)
        self._submit()

    def _submit(self) -> None:
        while self._executor is not None and self._left and len(self._submitted) < _AT_A_TIME:
            part = self._left.popleft()
            done = self._done(part)
            self._submitted.append((part, done or self._executor.submit(check_elsewhere, *self._task(part))))

    def _task(self, part: Part) -> tuple[bytes, str, int, str, Level, Pace, Part]:
        checking, manifest = self._checking, self._checking.loaded.manifest
        store = pickle.dumps(checking.store)
        return store, str(manifest.name), manifest.version, checking.loaded.digest, checking.level, checking.pace, part

    def _done(self, part: Part) -> PartResult | None:
        return self._journal.done(self._checking.loaded, part) if self._journal else None

    def report(self) -> VerifyReport:
        """Check what is left, and return what was found of all."""
        manifest = self._checking.loaded.manifest
        read, findings = 0, list[Finding]()
        for part, result in self._results():
            if self._journal and self._done(part) is None:
                self._journal.note(self._checking.loaded, part, result)
            read += result.bytes
            findings += result.findings
        level = self._checking.level
        return VerifyReport(manifest.name, manifest.version, level, manifest.files, read, tuple(findings))

    def cancel(self) -> None:
        """Take back what was given to the executor and has not begun."""
        for _, submitted in self._submitted:
            if not isinstance(submitted, PartResult):
                submitted.cancel()

    def _results(self) -> Iterator[tuple[Part, PartResult]]:
        while self._submitted or self._left:
            if self._executor is None:
                part = self._left.popleft()
                yield part, self._done(part) or check_part(self._checking, part, self._counter)
                continue
            part, submitted = self._submitted[0]
            result = submitted if isinstance(submitted, PartResult) else submitted.result()
            self._submitted.popleft()
            self._submit()
            self._counter.add(size=result.bytes)
            yield part, result


def check_elsewhere(
    store_state: bytes, name: str, version: int, digest: str, level: Level, pace: Pace, part: Part
) -> PartResult:
    """Check a part of a version in another thread, process or machine."""
    store = store_from(store_state)
    try:
        loaded = load_manifest(store, ArtifactName(name), version)
    except MetaMLFlowError as error:
        status: Status = "missing" if isinstance(error, ObjectNotFoundError) else "unreadable"
        key = manifest_key(ArtifactName(name), version)
        return PartResult(0, (Finding("", status, key, digest, error.message),))
    # What was loaded there counts: had the manifest been altered in between, that is a finding of the first part.
    checking = Checking(store, loaded, level, _pace_of(pace.rates))
    result = check_part(checking, part, Counter("verify", None))
    if loaded.digest == digest:
        return result
    changed = Finding("", "modified", name, digest, loaded.digest)
    return PartResult(result.bytes, (changed, *result.findings))


@lru_cache(maxsize=8)
def _pace_of(rates: tuple[float | None, float | None]) -> Pace:
    """Return the pace of this process: tasks come with their own, and share it here."""
    return Pace(*rates)
