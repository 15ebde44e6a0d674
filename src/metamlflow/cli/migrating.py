"""The commands that move a store and compare two."""

# As in app.py: flags are positional to Python, and `debug` is read elsewhere.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow.cli.arguments import client_for
from metamlflow.cli.exits import ExitCode
from metamlflow.cli.interrupting import interruptible
from metamlflow.cli.options import DebugOption, JsonOption
from metamlflow.cli.output import Row, Size, emit_document, emit_rows, note
from metamlflow.cli.progress import shown_progress

if TYPE_CHECKING:
    from metamlflow.client import MetaMLFlowClient
    from metamlflow.migration import VersionReport

migration_app = typer.Typer()

SourceArgument = Annotated[str, typer.Argument(metavar="SRC", help="The store to read: a folder or a URI.")]
DestinationArgument = Annotated[str, typer.Argument(metavar="DST", help="The other store.")]
FromOption = Annotated[
    list[str] | None,
    typer.Option("--from-option", metavar="KEY=VALUE", help="A storage option of SRC, as --option. Repeatable."),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option("--to-option", metavar="KEY=VALUE", help="A storage option of DST, as --option. Repeatable."),
]


def _ends(
    source: str, destination: str, of_source: Sequence[str] | None, of_destination: Sequence[str] | None
) -> tuple[MetaMLFlowClient, MetaMLFlowClient]:
    return client_for(source, of_source), client_for(destination, of_destination)


@migration_app.command(short_help="Bring versions to another store, unchanged.")
def migrate(
    source: SourceArgument,
    destination: DestinationArgument,
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="NAME", help="Only this name. Repeatable. [default: all]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    markdown: Annotated[
        str | None, typer.Option("--markdown", metavar="FILE", help="Write the report to this file too, as Markdown.")
    ] = None,
    from_options: FromOption = None,
    to_options: ToOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Bring versions to another store: numbers, ids, digests and manifest bytes unchanged. Exits with 4 on a conflict.

    What DST has already is not sent again: the same command goes on where one was stopped, and mirrors a store.
    In a pipe: NAME@VERSION, status, files, bytes sent and manifest digest, separated by tabs.
    """
    from metamlflow.migration import migrate as bring

    ends = _ends(source, destination, from_options, to_options)
    with interruptible() as interruption, shown_progress("migrating", interruption) as progress:
        report = bring(*ends, names or None, dry_run=dry_run, progress=progress)
    if markdown is not None:
        Path(markdown).write_text(report.to_markdown(), "utf-8")
    if as_json:
        emit_document("migration", report.to_json())
    else:
        emit_rows(map(_row, report.versions))
        for version in report.versions:
            if version.reason and version.status != "skipped":
                note(f"{version.status}: {version.name}@{version.version}: {version.reason}")
        for problem in report.problems:
            note(f"failed: {problem}")
    if report:
        return ExitCode.GOOD
    return ExitCode.CONFLICT if "conflict" in report.counts else ExitCode.STORAGE


def _row(version: VersionReport) -> Row:
    reference = f"{version.name}@{version.version}"
    return reference, version.status, version.files, Size(version.bytes), version.manifest_digest or "-"


@migration_app.command(short_help="Tell what differs between two stores.")
def compare(
    source: SourceArgument,
    destination: DestinationArgument,
    full: Annotated[bool, typer.Option("--full", help="Read all content; else content goes by key and size.")] = False,
    from_options: FromOption = None,
    to_options: ToOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Tell what differs between two stores, but for their markers and caches. Exits with 1 if anything does.

    In a pipe: key, what (only here, only there, other), and what it is in SRC and in DST, separated by tabs.
    """
    from metamlflow.migration import compare as compared

    ends = _ends(source, destination, from_options, to_options)
    with interruptible() as interruption, shown_progress("comparing", interruption) as progress:
        differences = compared(*ends, full=full, progress=progress)
    if as_json:
        found = [difference.to_json() for difference in differences]
        emit_document("comparison", {"equal": not differences, "differences": found})
    else:
        emit_rows((d.key, d.what, d.here or "-", d.there or "-") for d in differences)
    return ExitCode.GOOD if not differences else ExitCode.CHECK_FAILED
