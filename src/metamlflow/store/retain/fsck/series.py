"""Examine the records beside the artifacts: names, runs, signatures, relocations, lists of features."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from metamlflow.backend import ObjectInfo
from metamlflow.errors import MissingDependencyError
from metamlflow.format.features import StoreFeatures
from metamlflow.format.layout import (
    FEATURES,
    NAMES,
    POLICIES,
    PROTECTIONS,
    RELOCATIONS,
    RUNS,
    SIGNATURES,
    distributions_key,
    name_key,
    relocation_key,
    runs_prefix,
    versions_prefix,
)
from metamlflow.format.signatures import SignatureRecord
from metamlflow.model.names import ArtifactName
from metamlflow.model.runs import RunEnd, RunStart
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.statuses import page_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.fsck.doubts import Doubts
from metamlflow.store.retain.fsck.links import Links
from metamlflow.store.retain.fsck.names import series_gap, unreadable
from metamlflow.store.retain.fsck.report import FsckFinding, found
from metamlflow.store.retain.presence import stat_or_none
from metamlflow.store.retain.record_reads import Read, known_records, read_each
from metamlflow.store.retain.versions import Now
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.store.verify.signatures import is_good

_RECORDS_ALONE = (FEATURES, POLICIES, PROTECTIONS)
"""Below these anything that is not known keeps collectors from deleting; below ``artifacts/`` too."""
_SHOWN = 100


class Records:
    """Reads the records below prefixes of a store, and counts them.

    Args:
        store: the store.
        pace: the rate.
        doubts: notes what the storage refuses to say.
        skipped: kinds of records that are listed and not read.
    """

    def __init__(
        self, store: Store, pace: RateLimit, doubts: Doubts | None = None, skipped: frozenset[str] = frozenset()
    ) -> None:
        self.store = store
        self.doubts = doubts or Doubts()
        self._pace = pace
        self._skipped = skipped
        self.count = 0
        self.foreign: list[FsckFinding] = []

    def below(self, prefix: str) -> Iterator[Read]:
        """Yield what the records below a prefix say; note what is none."""
        known = known_records(listed_in_order(self.store, prefix), self.note_foreign)
        for read in read_each(self.store, known, self._pace, unread=self._skipped):
            self.count += 1
            yield read

    def note_foreign(self, info: ObjectInfo) -> None:
        """Note an object that is no record; what a console makes for a folder is none either, and harmless."""
        if not info.key.endswith("/"):
            kind = "unknown-key" if info.key.startswith(_RECORDS_ALONE) else "foreign-object"
            self.foreign.append(found(kind, info.key, f"{info.key} is the key of no record"))

    def look_again(
        self, judge: Callable[[Iterable[Read]], list[FsckFinding]], prefix: str, first: list[Read]
    ) -> list[FsckFinding]:
        """Return what is wrong with some records; if anything is, look at them again, and return what still is.

        A listing may show one record and miss another that was created meanwhile.
        """
        findings = judge(first)
        if not findings:
            return []
        before = {(finding.kind, finding.key) for finding in findings}
        with self.doubts.about(prefix):
            return [finding for finding in judge(list(self.below(prefix))) if (finding.kind, finding.key) in before]
        return findings


# --- names ------------------------------------------------------------------------------------------------------------


class NamesSeen:
    """The records of all names, and the names that turned out to have versions."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._recorded: dict[ArtifactName, ObjectInfo] = {}
        self._used: set[ArtifactName] = set()
        self.findings: list[FsckFinding] = []
        hiding: dict[ArtifactName, dict[int, Read]] = {}
        for read in records.below(NAMES):
            if read.at.name is None or read.gone:
                continue
            if read.at.kind == "hiding":
                hiding.setdefault(read.at.name, {})[read.at.number] = read
            else:
                self._recorded[read.at.name] = read.info
            self.findings += unreadable([read])
        for name, series in hiding.items():
            self.findings += series_gap(f"hiding records of {name}", series)

    def use(self, name: ArtifactName) -> Iterator[FsckFinding]:
        """Note that a name has versions; yield a finding if it has no record."""
        self._used.add(name)
        if name in self._recorded:
            return
        key = name_key(name)
        with self._records.doubts.about(key, str(name)):
            if stat_or_none(self._records.store, key) is None:
                yield found("name-record-missing", key, f"{name} has versions and no record", name=str(name))

    def unused(self, now: Now) -> Iterator[FsckFinding]:
        """Yield the names that have a record and no version. A registration may be about to make the first."""
        store = self._records.store
        for name, info in self._recorded.items():
            if name in self._used:
                continue
            with self._records.doubts.about(info.key, str(name)):
                if not page_of(store, versions_prefix(name), "", 1) and stat_or_none(store, info.key) is not None:
                    severity = "note" if now.is_younger(info) else "fault"
                    message = f"{name} has a record and no version"
                    yield found("name-without-version", info.key, message, name=str(name), severity=severity)


# --- runs -------------------------------------------------------------------------------------------------------------


def run_findings(records: Records, links: Links) -> Iterator[FsckFinding]:
    """Yield what is wrong with the records of runs, and note what they say was used and made."""
    lists: set[str] = set()
    wanted: dict[str, str] = {}
    for (is_list, run), group in itertools.groupby(records.below(RUNS), key=_run_of):
        reads = list(group)
        if is_list:
            lists.update(read.at.of for read in reads)
            yield from unreadable(reads)
            continue
        yield from records.look_again(_judged_run, runs_prefix(run), reads)
        for read in reads:
            _note_run(read, links, wanted)
    for digest, run in wanted.items():
        if digest in lists:
            continue
        key = distributions_key(digest)
        with records.doubts.about(key):
            if stat_or_none(records.store, key) is None:
                yield found("distributions-missing", key, f"run {run} names a list of packages that does not exist")


def _run_of(read: Read) -> tuple[bool, str]:
    is_list = read.at.kind == "distributions"
    return is_list, "" if is_list else read.at.of


def _judged_run(reads: Iterable[Read]) -> list[FsckFinding]:
    found_reads = [read for read in reads if not read.gone]
    findings = list(unreadable(found_reads))
    if found_reads and not any(read.at.kind == "start" for read in found_reads):
        run, key = found_reads[0].at.of, found_reads[0].info.key
        findings.append(found("run-without-start", key, f"run {run} has records, and its first one is missing"))
    return findings


def _note_run(read: Read, links: Links, wanted: dict[str, str]) -> None:
    record, key = read.value, read.info.key
    if isinstance(record, RunStart):
        listed = (record.environment or {}).get("distributions")
        if isinstance(listed, str):
            wanted.setdefault(listed.removeprefix("sha256:"), read.at.of)
    elif isinstance(record, RunEnd):
        for made in record.outputs:
            links.say((made.name, made.version), made.manifest_digest, key, "run")
    elif read.at.kind == "input" and record is not None:
        links.say((record.name, record.version), record.manifest_digest, key, "run")


# --- signatures, relocations, features --------------------------------------------------------------------------------


def signature_findings(records: Records, links: Links) -> Iterator[FsckFinding]:
    """Yield what is wrong with signatures, and note which manifests they are over."""
    can_check = True
    for read in records.below(SIGNATURES):
        yield from unreadable([read])
        record: SignatureRecord | None = read.value
        name, version = read.at.name, read.at.version
        if record is None or name is None or version is None:
            continue
        links.say((name, version), record.manifest_digest, read.info.key, "signature")
        try:
            is_valid = not can_check or is_good(record, record.manifest_digest)
        except (MissingDependencyError, ImportError):
            can_check = False  # the package for signatures is not installed
            continue
        if not is_valid:
            message = f"the signature of {name}@{version} is not one of the key that it names"
            yield found("signature-invalid", read.info.key, message, name=str(name), version=version)


def relocation_findings(records: Records) -> Iterator[FsckFinding]:
    """Yield what is wrong with the relocations: each of them counts."""

    def judge(reads: Iterable[Read]) -> list[FsckFinding]:
        series = {read.at.number: read for read in reads if not read.gone}
        findings = list(unreadable(series.values()))
        lost = itertools.islice((n for n in range(1, max(series, default=0)) if n not in series), _SHOWN)
        for number in lost:
            key = relocation_key(number)
            findings.append(found("relocation-missing", key, f"relocation {number:,} is missing"))
        return findings

    yield from records.look_again(judge, RELOCATIONS, list(records.below(RELOCATIONS)))


def feature_findings(records: Records) -> Iterator[FsckFinding]:
    """Yield what is wrong with the lists of features, and the features that this library does not know."""
    reads = list(records.below(FEATURES))
    yield from unreadable(reads)
    series = {read.at.number: read for read in reads if not read.gone}
    if series:
        yield from series_gap("lists of features", series)
        newest: StoreFeatures | None = series[max(series)].value
        if newest is not None and (problems := (*newest.unknown_to_readers(), *newest.unknown_to_writers())):
            key = series[max(series)].info.key
            yield found("feature-unknown", key, "; ".join(problems))
