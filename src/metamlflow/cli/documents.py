"""How artifacts and reports look: as JSON documents, and as rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from metamlflow.cli.output import Row, Size, printable, utc_text
from metamlflow.errors import PointerPolicyError
from metamlflow.model.looks import bytes_text, counted
from metamlflow.model.metadata import encode_mapping

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact, VerifyReport
    from metamlflow.model.manifests import FileEntry
    from metamlflow.store.doctor import Check

LISTED = ("NAME", "VERSION", "TYPE", "FILES", "SIZE", "CREATED", "BY")
LEFT_OUT = ("BY", "FILES", "TYPE", "CREATED", "SIZE")
CHECKED = ("CHECK", "VERDICT", "FOUND")


def _path_to_open(artifact: Artifact) -> str | None:
    """Return the URL that other tools may open; None where the policy does not let that be opened."""
    try:
        return artifact.storage_path
    except PointerPolicyError:
        return None


def artifact_document(artifact: Artifact, *, entries: int | None = 0) -> dict[str, Any]:
    """Return an artifact as JSON values, with its first ``entries`` entries (None: all; 0: no such field)."""
    document: dict[str, Any] = {
        "name": artifact.name,
        "version": artifact.version,
        "artifact_id": artifact.artifact_id,
        "artifact_type": artifact.artifact_type,
        "created_at": utc_text(artifact.created_at),
        "created_by": artifact.created_by,
        "files": len(artifact.entries),
        "size": artifact.size,
        "digest": artifact.digest,
        "manifest_digest": artifact.manifest_digest,
        "storage_path": _path_to_open(artifact),
        # As stored: NaN, which JSON lacks, is {"$float": "NaN"}.
        "metadata": encode_mapping(artifact.metadata),
        "schema": artifact.schema,
        "pointers": [{"path": p.path, "uri": p.uri, "kind": p.kind, "evidence": p.evidence} for p in artifact.pointed],
        "inputs": [
            {"name": str(i.name), "version": i.version, "manifest_digest": i.manifest_digest, "role": i.role}
            for i in artifact.inputs
        ],
    }
    if entries != 0:
        document["entries"] = [_entry_document(entry) for entry in islice(artifact.entries, entries)]
    return document


def _entry_document(entry: FileEntry) -> dict[str, Any]:
    names = ("path", "size", "sha256", "crc32c", "key", "executable")
    document: dict[str, Any] = {name: getattr(entry, name) for name in names}
    if entry.key is None:
        evidence = entry.evidence
        document |= {
            "uri": entry.uri,
            "version": entry.version,
            "evidence": {
                "strength": evidence.strength,
                "etag": evidence.etag,
                "modified_ns": evidence.modified_ns,
                "held": dict(evidence.held),
                "computed": dict(evidence.computed),
            },
        }
    return document


def listed_row(artifact: Artifact) -> Row:
    """Return an artifact as a row of a listing, in the columns ``LISTED``."""
    return (
        artifact.name,
        artifact.version,
        artifact.artifact_type,
        len(artifact.entries),
        Size(artifact.size),
        artifact.created_at,
        artifact.created_by,
    )


def fact_rows(artifact: Artifact) -> Iterator[Row]:
    """Yield what is known of an artifact, a fact a row; metadata values as JSON."""
    yield "name", artifact.name
    yield "version", str(artifact.version)
    yield "type", artifact.artifact_type
    yield "created", utc_text(artifact.created_at)
    yield "by", artifact.created_by
    yield "files", str(len(artifact.entries))
    yield "bytes", str(artifact.size)
    yield "digest", artifact.digest
    yield "manifest", artifact.manifest_digest
    yield "id", artifact.artifact_id
    path = _path_to_open(artifact)
    if path is not None and path not in {place.uri for place in artifact.pointed}:
        yield "stored", path
    for place in artifact.pointed:
        yield "points to", place.uri
    for source in artifact.inputs:
        yield "input", f"{source.name}@{source.version}"
    for name, value in encode_mapping(artifact.metadata).items():
        yield f"metadata.{name}", json.dumps(value, ensure_ascii=False)
    schema: Mapping[str, Any] = artifact.schema or {}
    for field in schema.get("fields", ()):
        yield f"schema.{field['name']}", f"{field['type']}{'' if field.get('nullable', True) else ' not null'}"


def entry_rows(artifact: Artifact, count: int | None) -> Iterator[Row]:
    """Yield the first ``count`` entries (None: all), a row each."""
    for entry in islice(artifact.entries, count):
        known = f"sha256:{entry.sha256}" if entry.sha256 else entry.evidence.strength if entry.key is None else ""
        yield ("entry", entry.path, Size(entry.size), known, *((entry.uri,) if entry.key is None else ()))


def report_rows(report: VerifyReport) -> Iterator[Row]:
    """Yield the verdict on a version, and a row for each finding."""
    reference = f"{report.name}@{report.version}"
    yield reference, "ok" if report.ok else "failed", report.level, report.files, Size(report.bytes)
    for finding in report.findings:
        yield reference, finding.status, finding.path or "-", finding.key, finding.expected, finding.actual


def report_lines(report: VerifyReport) -> Iterator[str]:
    """Yield a report as lines for people."""
    files, size = counted(report.files, "file"), bytes_text(report.bytes)
    verdict = "ok    " if report.ok else "failed"
    yield f"{verdict}  {report.name}@{report.version}  {files}, {size} read, level {report.level}"
    for finding in report.findings:
        yield f"  {finding.status}: {printable(finding.path) or 'a record of a version'}"
        yield f"    object    {printable(finding.key)}"
        yield f"    expected  {printable(finding.expected)}"
        yield f"    actual    {printable(finding.actual)}"


def check_document(check: Check) -> dict[str, str | None]:
    """Return a check of the doctor's as JSON values."""
    finding = check.finding
    return {"name": check.name, "verdict": finding.verdict, "found": finding.found, "remedy": finding.remedy}


def check_row(check: Check) -> Row:
    """Return a check of the doctor's as a row: name, verdict, what was found, and a remedy or a dash."""
    return check.name, check.verdict, check.finding.found, check.finding.remedy or "-"
