"""Judge the records of one name: what each says, and whether together they make a sound sequence. No request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from metamlflow.errors import AccessDeniedError, StorageUnavailableError
from metamlflow.format.records import Claim, StateRecord
from metamlflow.model.names import MAX_VERSION
from metamlflow.store.catalog.history import Link, SequenceProblem, sequence_problems
from metamlflow.store.retain.fsck.kinds import Severity
from metamlflow.store.retain.fsck.report import FsckFinding, found
from metamlflow.store.retain.record_reads import Read
from metamlflow.store.retain.versions import NameRecords, Now

_UNREADABLE = {
    "manifest": "manifest-unreadable",
    "tomb": "tomb-unreadable",
    "state": "state-unreadable",
    "alias": "alias-unreadable",
    "note": "note-unreadable",
    "claim": "claim-unreadable",
    "name": "name-record-wrong",
    "hiding": "hiding-unreadable",
    "start": "run-unreadable",
    "end": "run-unreadable",
    "input": "run-unreadable",
    "distributions": "distributions-altered",
    "signature": "signature-unreadable",
    "relocation": "relocation-unreadable",
    "features": "features-unreadable",
    "policies": "policies-unreadable",
    "protection": "protection-unreadable",
    "unprotection": "protection-unreadable",
    "collection": "collection-unreadable",
}
_OF_SEQUENCES: Mapping[SequenceProblem, str] = {
    "missing": "version-missing",
    "altered": "manifest-altered",
    "buried": "manifest-under-tomb",
}
_BURIED_SHARE = 1 / 2  # of the grace: an erasure may wait so long before it deletes the manifest


def unreadable(reads: Iterable[Read]) -> Iterator[FsckFinding]:
    """Yield a finding for each record that could not be read."""
    for read in reads:
        if read.error is not None:
            at, error = read.at, read.error
            kind = _UNREADABLE[at.kind]
            if isinstance(error, AccessDeniedError | StorageUnavailableError) and kind == "name-record-wrong":
                continue  # nobody needs to read it, and it must not be replaced
            told = "; ".join(getattr(error, "problems", ())) or error.message
            yield found(kind, read.info.key, error.message, name=str(at.name or ""), version=at.version, actual=told)


def judged(records: NameRecords, now: Now) -> list[FsckFinding]:
    """Return what is wrong with the records of a name."""
    findings = list(unreadable(records.all()))
    damaged = {finding.key for finding in findings}
    findings += _sequence(records, now, damaged)
    findings += _states(records, now)
    findings += _aliases(records)
    findings += _claims(records)
    findings += _notes(records)
    for label, series in (
        *((f"state records of version {version}", numbered) for version, numbered in records.states.items()),
        *((f"records of the alias {alias!r}", numbered) for alias, numbered in records.aliases.items()),
        *((f"notes on {'the name' if of is None else of}", numbered) for of, numbered in records.notes.items()),
        *(("claims under one idempotency key", numbered) for numbered in records.claims.values()),
    ):
        findings += series_gap(label, series)
    return findings


def series_gap(label: str, series: Mapping[int, Read]) -> Iterator[FsckFinding]:
    """Yield a note if a series of numbered records lacks one below its newest."""
    newest = max(series)
    if len(series) != newest:
        read = series[newest]
        message = f"of the {label}, {newest - len(series):,} below number {newest:,} are missing"
        yield found("series-gap", read.info.key, message, name=str(read.at.name or ""), version=read.at.version)


def _sequence(records: NameRecords, now: Now, damaged: set[str]) -> Iterator[FsckFinding]:
    links = (_link(records, version) for version in records.committed())
    for problem, error in sequence_problems(records.name, links):
        key = error.key or ""
        if problem == "altered" and key in damaged:
            continue  # it is told already that it cannot be read
        severity: Severity = "fault"
        version = next((v for v in records.manifests if records.manifests[v].info.key == key), None)
        if problem == "buried" and version in records.tombs:
            severity = "note" if now.is_younger(records.tombs[version].info, _BURIED_SHARE) else "fault"
        if problem == "missing":
            version = _number_of(error.expected)
        yield found(
            _OF_SEQUENCES[problem], key, error.message, name=str(records.name), version=version,
            expected=error.expected, actual=error.actual, severity=severity,
        )  # fmt: skip


def _number_of(expected: str) -> int | None:
    number = expected.removeprefix("version ")
    return int(number) if number.isdecimal() else None


def _link(records: NameRecords, version: int) -> Link:
    manifest, tomb = records.manifests.get(version), records.tombs.get(version)
    if tomb is not None:
        is_buried = manifest is not None and not manifest.gone
        if tomb.value is None:
            return Link(version, is_buried=is_buried)
        return Link(version, tomb.value.manifest_digest, tomb.value.known_previous, is_buried=is_buried)
    assert manifest is not None  # noqa: S101 (for the type checker: a committed version has one of the two)
    if manifest.gone:
        return Link(version, is_lost=True)
    previous = None if manifest.value is None else manifest.value.previous
    return Link(version, manifest.digest or None, previous)


def _states(records: NameRecords, now: Now) -> Iterator[FsckFinding]:
    for version, states in records.states.items():
        newest = states[max(states)]
        name = str(records.name)
        if version not in records.manifests:
            if version not in records.tombs:
                severity: Severity = "note" if now.is_younger(newest.info) else "fault"
                message = f"{name}@{version} has state records and no manifest"
                yield found(
                    "state-without-version", newest.info.key, message, name=name, version=version, severity=severity
                )
            continue
        digest = records.manifests[version].digest
        for read in states.values():
            record: StateRecord | None = read.value
            if record is not None and digest and record.manifest_digest != digest and version not in records.tombs:
                yield found(
                    "state-of-another", read.info.key, f"a state of {name}@{version} speaks of another manifest",
                    name=name, version=version, expected=digest, actual=record.manifest_digest,
                )  # fmt: skip


def _aliases(records: NameRecords) -> Iterator[FsckFinding]:
    name = str(records.name)
    for alias, numbered in records.aliases.items():
        newest = numbered[max(numbered)]
        version = newest.value
        if version is None:  # removed, damaged, or gone
            continue
        if version not in records.manifests and version not in records.tombs:
            message = f"the alias {name}@{alias} stands for version {version}, which does not exist"
            yield found("alias-to-nothing", newest.info.key, message, name=name, version=version)
        elif (state := records.state_of(version)) not in {"live", "unknown"}:  # a damaged state is told by itself
            message = f"the alias {name}@{alias} stands for {name}@{version}, whose state is {state}"
            yield found("alias-not-live", newest.info.key, message, name=name, version=version, actual=state)


def _claims(records: NameRecords) -> Iterator[FsckFinding]:
    name, committed = str(records.name), records.committed()
    head = committed[-1] if committed else 0
    for numbered in records.claims.values():
        newest = numbered[max(numbered)]
        claim: Claim | None = newest.value
        if claim is None or claim.version in records.manifests or claim.version in records.tombs:
            continue
        kind = "claim-open" if claim.version == min(head + 1, MAX_VERSION) else "claim-without-version"
        message = f"an idempotency claim is for {name}@{claim.version}, which does not exist"
        yield found(kind, newest.info.key, message, name=name, version=claim.version)


def _notes(records: NameRecords) -> Iterator[FsckFinding]:
    committed = set(records.committed())
    for version, numbered in records.notes.items():
        if (version in committed) if version is not None else committed:
            continue
        newest = numbered[max(numbered)]
        of = records.name if version is None else f"{records.name}@{version}"
        message = f"there are notes on {of}, which does not exist"
        yield found("note-without-version", newest.info.key, message, name=str(records.name), version=version)
