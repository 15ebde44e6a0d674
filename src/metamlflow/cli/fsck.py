"""The command that examines a whole store, and repairs what can be repaired."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow._arguments import blame_by_names
from metamlflow.cli.arguments import (
    client_for,
    file_to_write,
    parse_assignments,
    parse_byte_rate,
    parse_rate,
    parse_whole,
)
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import (
    BytesPerSecondOption,
    DebugOption,
    JsonOption,
    LevelOption,
    ObjectsPerSecondOption,
    OptionsOption,
    ResumeOption,
    StoreOption,
)
from metamlflow.cli.output import Row, emit, emit_document, emit_rows, note, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.signals import interruptible, told_to_go_on
from metamlflow.errors import InvalidInputError

if TYPE_CHECKING:
    from metamlflow.types import FsckFinding, FsckReport

fsck_app = typer.Typer()
_NAMES = {
    "source": "--from",
    "source_options": "--from-option",
    "sample": "--sample",
    "subset": "--subset",
    "dry_run": "--dry-run",
}


SourceOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SOURCE",
        help="Good copies to repair from: another store (a folder or a URI), or a folder. Implies --repair.",
    ),
]
FromOption = Annotated[
    list[str] | None,
    typer.Option("--from-option", metavar="KEY=VALUE", help="A storage option of SOURCE, as --option. Repeatable."),
]


@fsck_app.command(short_help="Examine the whole store; repair what can be repaired.")
def fsck(
    level: LevelOption = "full",
    sample: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Read this share of the content, such as 1% or 0.01; records in full."),
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Another number makes another sample.")] = "0",
    subset: Annotated[
        str | None, typer.Option(metavar="N/T", help="Read part N of T of the content; T runs read all.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write name records and edges anew; with --from, content and manifests.")
    ] = False,
    source: SourceOption = None,
    from_options: FromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what --repair would repair.")] = False,
    resume: ResumeOption = None,
    objects_per_second: ObjectsPerSecondOption = None,
    bytes_per_second: BytesPerSecondOption = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Examine every record of a store and the content of its live versions. Exits with 1 if a fault is left.

    Continues after every finding, and deletes nothing. Notes, such as what an interrupted command left, are no faults.
    In a pipe: status (fault, note or mended), kind, NAME@VERSION, object, what was found, and the remedy, separated by
    tabs.
    """
    client = client_for(store, options)
    if from_options and source is None:
        raise typer.BadParameter(
            "it is an option of a source, and none is given with --from", param_hint="--from-option"
        )
    given = parse_assignments(from_options, "--from-option", nested=True) if from_options else None
    objects, size = objects_per_second, bytes_per_second
    with (
        told_to_go_on("what was mended stays mended", writes=(repair or source is not None) and not dry_run),
        interruptible() as interruption,
        shown_progress("examining", interruption) as progress,
    ):
        try:
            report = client.fsck(
                level=level,
                sample=sample,
                seed=parse_whole(seed, "--seed", 0),
                subset=subset,
                repair=repair,
                dry_run=dry_run,
                source=source,
                source_options=given,
                objects_per_second=None if objects is None else parse_rate(objects, "--objects-per-second"),
                bytes_per_second=None if size is None else parse_byte_rate(size, "--bytes-per-second"),
                resume=None if resume is None else file_to_write(resume, "--resume"),
                progress=progress,
            )
        except InvalidInputError as error:
            blame_by_names(error, _NAMES)
            raise
    if as_json:
        emit_document("fsck", report.to_json())
    else:
        _show(report)
    return ExitCode.GOOD if report else ExitCode.CHECK_FAILED


def _show(report: FsckReport) -> None:
    if not sys.stdout.isatty():
        emit_rows(map(_row, report.findings))
    else:
        for finding in report.findings:
            for line in _lines(finding):
                emit(line)
    note(printable(report.verdict))


def _row(finding: FsckFinding) -> Row:
    what = f"{finding.message} ({finding.reason})" if finding.reason else finding.message
    return finding.status, finding.kind, finding.reference or "-", finding.key, what, finding.remedy


def _lines(finding: FsckFinding) -> Iterator[str]:
    """Yield a finding as lines for people, in the same form as ``verify``."""
    yield f"{finding.status:6}  {finding.kind}  {printable(finding.reference)}".rstrip()
    yield f"    object    {printable(finding.key)}"
    yield f"    what      {printable(finding.message)}"
    yield f"    means     {finding.means}"
    yield f"    remedy    {finding.remedy}"
    if finding.reason:
        yield f"    reason    {printable(finding.reason)}"
