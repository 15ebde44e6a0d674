"""Artifacts and reports as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from metamlflow._looks import bytes_text, counted, utc_text
from metamlflow.cli.output import Row, Size, printable

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact, VerifyReport
    from metamlflow.types import Check

LISTED = ("NAME", "VERSION", "TYPE", "FILES", "SIZE", "CREATED", "BY")
ALIASES = "ALIASES"
LEFT_OUT = ("BY", "FILES", "TYPE", "CREATED", "SIZE")
CHECKED = ("CHECK", "VERDICT", "FOUND")


def listed_row(artifact: Artifact, *, aliases: bool = False) -> Row:
    """Return an artifact as a row of a listing, in the columns ``LISTED``, and ``ALIASES`` if wanted."""
    row: Row = (
        artifact.name,
        artifact.version,
        artifact.artifact_type,
        len(artifact.entries),
        Size(artifact.size),
        artifact.created_at,
        artifact.created_by,
    )
    return (*row, ",".join(artifact.aliases)) if aliases else row


def listed_document(artifact: Artifact, *, aliases: bool) -> dict[str, Any]:
    """Return an artifact of a listing as JSON values, with its aliases if wanted."""
    return {**artifact.to_json(), "aliases": list(artifact.aliases)} if aliases else artifact.to_json()


def fact_rows(artifact: Artifact) -> Iterator[Row]:
    """Yield the facts of an artifact, one per row; metadata values as JSON."""
    yield "name", artifact.name
    yield "version", str(artifact.version)
    yield "type", artifact.artifact_type
    if artifact.saved_as is not None:
        yield "saved as", artifact.saved_as
    yield "created", utc_text(artifact.created_at)
    yield "by", artifact.created_by
    yield "files", str(len(artifact.entries))
    yield "bytes", str(artifact.size)
    yield "digest", artifact.digest
    yield "manifest", artifact.manifest_digest
    yield "id", artifact.artifact_id
    document = artifact.to_json()
    path = document["storage_path"]
    if path is not None and path not in {place.uri for place in artifact.pointed}:
        yield "stored", path
    for place in artifact.pointed:
        yield "points to", place.uri
    for source in artifact.inputs:
        yield "input", f"{source.name}@{source.version}"
    for name, value in document["metadata"].items():
        yield f"metadata.{name}", json.dumps(value, ensure_ascii=False)
    schema: Mapping[str, Any] = artifact.schema or {}
    for field in schema.get("fields", ()):
        yield f"schema.{field['name']}", f"{field['type']}{'' if field.get('nullable', True) else ' not null'}"


def entry_rows(artifact: Artifact, count: int | None) -> Iterator[Row]:
    """Yield the first ``count`` entries (None: all), one per row."""
    for entry in islice(artifact.entries, count):
        known = f"sha256:{entry.sha256}" if entry.uri is None or entry.sha256 else entry.evidence.strength
        yield ("entry", entry.path, Size(entry.size), known, *((entry.uri,) if entry.uri is not None else ()))


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


def check_row(check: Check) -> Row:
    """Return a check of the doctor as a row: name, verdict, observation, and a remedy or a dash."""
    return check.name, check.verdict, check.found, check.remedy or "-"
