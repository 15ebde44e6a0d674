"""The command that restores missing or damaged objects."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow._arguments import blame_by_names
from metamlflow.cli.arguments import client_for, parse_assignments
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, ReferenceArgument, StoreOption
from metamlflow.cli.output import Row, emit, emit_document, emit_rows, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.signals import interruptible
from metamlflow.errors import InvalidInputError

if TYPE_CHECKING:
    from metamlflow.artifacts import RepairReport

repair_app = typer.Typer()


@repair_app.command(short_help="Restore missing or damaged objects of a version.")
def repair(
    reference: ReferenceArgument,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="The good bytes: another store (a folder or a URI), a folder with the files at their paths, a file.",
        ),
    ],
    from_options: Annotated[
        list[str] | None,
        typer.Option("--from-option", metavar="KEY=VALUE", help="A storage option of SOURCE, as --option. Repeatable."),
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Restore the objects that a full verification of a version finds missing or modified. Exits with 1 if some remain.

    Only bytes with the digest in the object's key are written, under that key, and read back. Running it again does no
    harm. In a pipe, separated by tabs: NAME@VERSION, ok or failed, the numbers of repaired and of damaged objects; then
    for each object: NAME@VERSION, repaired or damaged, path, object, and the reason.
    """
    client = client_for(store, options)
    given = parse_assignments(from_options, "--from-option", nested=True) if from_options else None
    with interruptible() as interruption, shown_progress("repairing", interruption) as progress:
        try:
            report = client.repair(reference, source, source_options=given, progress=progress)
        except InvalidInputError as error:
            blame_by_names(error, {"source": "--from", "source_options": "--from-option"})
            raise
    if as_json:
        emit_document("repair", report.to_json())
    elif sys.stdout.isatty():
        for line in _lines(report):
            emit(line)
    else:
        emit_rows(_rows(report))
    return ExitCode.GOOD if report else ExitCode.CHECK_FAILED


def _rows(report: RepairReport) -> Iterator[Row]:
    reference = f"{report.name}@{report.version}"
    yield reference, "ok" if report.ok else "failed", len(report.repaired), len(report.damaged)
    for found in report.repaired:
        yield reference, "repaired", found.path or "-", found.key
    for found in report.damaged:
        yield reference, "damaged", found.path or "-", found.key, found.reason


def _lines(report: RepairReport) -> Iterator[str]:
    """Yield a report as lines for people, in the same form as ``verify``."""
    verdict, (repaired, damaged) = "ok    " if report.ok else "failed", (len(report.repaired), len(report.damaged))
    yield f"{verdict}  {report.name}@{report.version}  {repaired:,} repaired, {damaged:,} damaged"
    for status, objects in (("repaired", report.repaired), ("damaged", report.damaged)):
        for found in objects:
            yield f"  {status}: {printable(found.path) or 'a record of a version'}"
            yield f"    object    {printable(found.key)}"
            if found.reason:
                yield f"    reason    {printable(found.reason)}"
