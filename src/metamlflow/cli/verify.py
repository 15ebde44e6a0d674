"""Verification of several versions, one after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metamlflow.cli.arguments import file_to_write, parse_byte_rate, parse_rate
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.output import emit, emit_document, emit_rows, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.rows import report_lines, report_rows
from metamlflow.cli.signals import interruptible

if TYPE_CHECKING:
    from metamlflow.artifacts import Progress, UnreadableVersion, VerifyReport
    from metamlflow.client import MetaMLFlowClient


_LINES = "\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """The options of a verification: its rates, its resume file, and whether it follows lineage."""

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
    """Verify the given versions (none: all), and write each report as soon as it is done.

    Raises:
        NotFoundError: a version, or the store, does not exist.
    """
    from metamlflow.artifacts import Verification

    objects, size = limits.objects_per_second, limits.bytes_per_second
    wanted = [reference if "@" in reference else f"{reference}@latest" for reference in references]
    found: list[VerifyReport | UnreadableVersion] = []
    draw: Callable[[Progress], None]
    with interruptible() as interruption:
        reports = client.verify_each(
            wanted or None,
            level,
            lineage=limits.lineage,
            objects_per_second=None if objects is None else parse_rate(objects, "--objects-per-second"),
            bytes_per_second=None if size is None else parse_byte_rate(size, "--bytes-per-second"),
            resume=None if limits.resume is None else file_to_write(limits.resume, "--resume"),
            progress=lambda state: draw(state),  # noqa: PLW0108 (each version has a bar of its own)
        )
        while True:
            # One bar per version: a report must be written while no bar is drawn.
            with shown_progress("verifying", interruption) as draw:
                report = next(reports, None)
            if report is None:
                break
            found.append(report)
            if not as_json:
                _show(report)
    verification = Verification.of(found)
    if as_json:
        emit_document("verification", verification.to_json())
    return ExitCode.GOOD if verification else ExitCode.CHECK_FAILED


def _show(found: VerifyReport | UnreadableVersion) -> None:
    from metamlflow.artifacts import UnreadableVersion

    if isinstance(found, UnreadableVersion):
        if sys.stdout.isatty():
            emit(f"failed  {found.reference}  {printable(found.error.message, keep=_LINES)}")
        else:
            emit_rows([(found.reference, "unreadable", found.error.message)])
    elif sys.stdout.isatty():
        for line in report_lines(found):
            emit(line)
    else:
        emit_rows(report_rows(found))
