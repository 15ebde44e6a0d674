"""Verifying several versions, one after another, whatever is found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metamlflow.cli.arguments import file_to_write, parse_byte_rate, parse_rate
from metamlflow.cli.documents import report_lines, report_rows
from metamlflow.cli.exits import ExitCode
from metamlflow.cli.interrupting import interruptible
from metamlflow.cli.output import emit, emit_document, emit_rows, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.model.blaming import blamed_on

if TYPE_CHECKING:
    from metamlflow.artifacts import Unreadable, VerifyReport
    from metamlflow.client import MetaMLFlowClient
    from metamlflow.format.manifests import Loaded


_LINES = "\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a verification goes, how it is held back, and where it keeps what is done; as the options say."""

    resume: str | None = None
    objects_per_second: str | None = None
    bytes_per_second: str | None = None
    lineage: bool = False


def check_all(
    client: MetaMLFlowClient,
    references: Sequence[str],
    level: Literal["full", "checksum", "stat"],
    limits: Limits,
    *,
    as_json: bool,
) -> ExitCode:
    """Verify the versions that are meant (none: all there are), and write what is found as it is found.

    Raises:
        NotFoundError: one of them, or the store, does not exist.
    """
    from metamlflow.store.transfer.rate_limit import Pace
    from metamlflow.store.verify.lineage import lineage_findings
    from metamlflow.store.verify.report import Unreadable, Verification
    from metamlflow.store.verify.selection import every_version, loaded_references
    from metamlflow.store.verify.verify import Journal, verify

    objects, size = limits.objects_per_second, limits.bytes_per_second
    pace = Pace(
        None if objects is None else parse_rate(objects, "--objects-per-second"),
        None if size is None else parse_byte_rate(size, "--bytes-per-second"),
    )
    resume = None if limits.resume is None else file_to_write(limits.resume, "--resume")
    store = client._store  # noqa: SLF001 (one version at a time, to show each as it is done)
    versions = loaded_references(store, references) if references else every_version(store)
    with blamed_on("--resume"):
        journal = Journal(resume, store, level) if resume else None

    def checked(version: Loaded | Unreadable) -> VerifyReport | Unreadable:
        if isinstance(version, Unreadable):
            return version
        what = f"verifying {version.manifest.name}@{version.manifest.version}"
        with interruptible() as interruption, shown_progress(what, interruption) as progress:
            report = verify(store, version, level, progress, pace=pace, journal=journal)
        return report.with_findings(lineage_findings(store, version)) if limits.lineage else report

    found = []
    for version in versions:
        found.append(checked(version))
        if not as_json:
            _show(found[-1])
    if journal:
        journal.finish()
    verification = Verification(
        tuple(report for report in found if not isinstance(report, Unreadable)),
        tuple(error for error in found if isinstance(error, Unreadable)),
    )
    if as_json:
        emit_document("verification", verification.to_json())
    return ExitCode.GOOD if verification else ExitCode.CHECK_FAILED


def _show(found: VerifyReport | Unreadable) -> None:
    from metamlflow.store.verify.report import Unreadable

    if isinstance(found, Unreadable):
        if sys.stdout.isatty():
            emit(f"failed  {found.reference}  {printable(found.error.message, keep=_LINES)}")
        else:
            emit_rows([(found.reference, "unreadable", found.error.message)])
    elif sys.stdout.isatty():
        for line in report_lines(found):
            emit(line)
    else:
        emit_rows(report_rows(found))
