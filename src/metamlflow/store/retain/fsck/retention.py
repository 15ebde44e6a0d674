"""Examine what says how long versions are kept: protections, policies, and the records that keep collections apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import (
    COLLECTIONS,
    POLICIES,
    PROTECTIONS,
    protection_key,
    protections_prefix,
    version_prefix,
)
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import is_live, state_that_holds, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.fsck.kinds import Severity
from metamlflow.store.retain.fsck.names import series_gap, unreadable
from metamlflow.store.retain.fsck.report import FsckFinding, found
from metamlflow.store.retain.fsck.series import Records
from metamlflow.store.retain.record_reads import Read

_SHOWN = 100
_LABELS = {POLICIES: "lists of policies", COLLECTIONS: "records of collections"}


def newest_of_series_findings(records: Records) -> Iterator[FsckFinding]:
    """Yield what is wrong with policies and records of collections: of each, nothing but the newest holds."""
    for prefix, label in _LABELS.items():
        series = {read.at.number: read for read in records.below(prefix) if not read.gone}
        for number, read in series.items():
            for finding in unreadable([read]):
                yield finding if number == max(series) else replace(finding, severity="note")
        if series:
            yield from series_gap(label, series)


def protection_findings(records: Records) -> Iterator[FsckFinding]:
    """Yield what is wrong with protections. All of them count, so each that is missing is told."""
    for (name, version), group in itertools.groupby(records.below(PROTECTIONS), key=_version_of):
        reads = list(group)

        def judge(reads: Iterable[Read], name: ArtifactName = name, version: int = version) -> list[FsckFinding]:
            return _judged(records, name, version, [read for read in reads if not read.gone])

        yield from records.look_again(judge, protections_prefix(name, version), reads)


def _version_of(read: Read) -> tuple[ArtifactName, int]:
    assert read.at.name is not None  # noqa: S101 (for the type checker: the keys of protections name versions)
    assert read.at.version is not None  # noqa: S101
    return read.at.name, read.at.version


def _judged(records: Records, name: ArtifactName, version: int, reads: list[Read]) -> list[FsckFinding]:
    begun = {read.at.number: read for read in reads if read.at.kind == "protection"}
    ended = {read.at.number for read in reads if read.at.kind == "unprotection"}
    findings = list(unreadable(reads))
    newest = max(begun.keys() | ended, default=0)
    for number in itertools.islice((n for n in range(1, newest + 1) if n not in begun), _SHOWN):
        key, severity = protection_key(name, version, number), "note" if number in ended else "fault"
        message = f"protection {number:,} of {name}@{version} is missing"
        findings.append(found("protection-missing", key, message, name=str(name), version=version, severity=severity))
    held = [read for number, read in begun.items() if number not in ended]
    if held:
        with records.doubts.about(version_prefix(name, version), str(name), version):
            wrong = _wrong_with(records.store, name, version)
            if wrong is not None:
                kind, message, severity = wrong
                key = held[0].info.key
                findings.append(found(kind, key, message, name=str(name), version=version, severity=severity))
    return findings


def _wrong_with(store: Store, name: ArtifactName, version: int) -> tuple[str, str, Severity] | None:
    """Return what is wrong with the version that is protected, as it is now."""
    status = version_status(store, name, version)
    if status.info is None and not status.erased:
        return "protection-of-nothing", f"{name}@{version} is protected, and does not exist", "note"
    if status.erased:
        return "protection-not-live", f"{name}@{version} is protected, and was erased", "note"
    try:
        if is_live(store, name, status, by_times=False):
            return None
        record = state_that_holds(store, name, status, None)
    except StoreFormatError:
        return None  # it is told by itself that the state cannot be read
    is_absent = record is not None and record.state == "absent"  # a migration brings protections of those as well
    state = record.state if record is not None else "not live"
    return "protection-not-live", f"{name}@{version} is protected, and {state}", "note" if is_absent else "fault"
