"""The commands that migrate a store and compare two stores."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metamlflow._arguments import blamed_on
from metamlflow.backend import translated_errors
from metamlflow.cli.arguments import client_for, file_to_write
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, SourceOptionsOption
from metamlflow.cli.output import Row, Size, emit_document, emit_rows, note
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.signals import interruptible, told_to_go_on
from metamlflow.cli.spreading import DaskOption, executor_at

if TYPE_CHECKING:
    from metamlflow.migration import MigrationReport, VersionReport

migration_app = typer.Typer()
_MOST_DIGITS = 10
_TITLES = ("ARTIFACT", "STATUS", "FILES", "OBJECTS", "BYTES", "MANIFEST")

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


NamesOption = Annotated[
    list[str] | None, typer.Option("--name", metavar="NAME", help="Only this name. Repeatable. [default: all]")
]
VersionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--version",
        metavar="VERSION",
        help="Copy the content of these only: a number or 'latest' of every name, or NAME@VERSION. Repeatable. All "
        "others are copied as manifests, in the state absent. [default: all]",
    ),
]
ProofOption = Annotated[
    Literal["sent", "checksum", "full"],
    typer.Option("--verify", help="sent: DST checks the digest sent along; checksum: its digests; full: every byte."),
]
ServerSideOption = Annotated[
    bool, typer.Option("--server-side", help="Let the provider copy content over 1 MiB, within one provider.")
]
CopyPointersOption = Annotated[
    str | None,
    typer.Option(
        "--copy-pointers",
        metavar="URI",
        help="Copy pointed data into this bucket, prefix or folder; DST's pointers then lead there.",
    ),
]
RelocationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--relocation",
        metavar="OLD",
        help="Copy this relocation of SRC even if it moves DST's own pointers without proof. Repeatable.",
    ),
]
MarkdownOption = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE", help="Write the report to this file too, as Markdown.")
]


@migration_app.command(short_help="Copy versions to another store, unchanged.")
def migrate(
    source: SourceArgument,
    destination: DestinationArgument,
    names: NamesOption = None,
    versions: VersionsOption = None,
    verify: ProofOption = "sent",
    server_side: ServerSideOption = False,
    dask: DaskOption = None,
    copy_pointers: CopyPointersOption = None,
    relocations: RelocationOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be copied.")] = False,
    markdown: MarkdownOption = None,
    from_options: FromOption = None,
    to_options: ToOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Copy versions to another store: numbers, ids, digests and manifest bytes unchanged. Exits with 4 on a conflict.

    Objects that DST has are not sent again: the same command resumes an interrupted migration, and mirrors a store.
    In a pipe: NAME@VERSION, status, files, objects and bytes new to DST, and manifest digest, separated by tabs.
    """
    from metamlflow.migration import migrate as bring

    _check_names(names or ())
    page = None if markdown is None else file_to_write(markdown, "--markdown")
    with (
        told_to_go_on("copied versions stay, and are complete", writes=not dry_run),
        interruptible() as interruption,
        shown_progress("migrating", interruption) as progress,
        executor_at(dask) as executor,
    ):
        report = bring(
            client_for(source, from_options, source_options, place="SRC", option="--from-option"),
            client_for(destination, to_options, source_options, place="DST", option="--to-option"),
            names or None,
            versions=[_number_or_text(text) for text in versions] if versions else None,
            verify=verify,
            server_side=server_side,
            executor=executor,
            copy_pointers=copy_pointers,
            relocations=relocations or (),
            dry_run=dry_run,
            progress=progress,
        )
    _show(report, as_json=as_json)
    if page is not None:
        with translated_errors(str(page)):
            page.write_text(report.to_markdown(), "utf-8")
    if report:
        return ExitCode.GOOD
    return ExitCode.CONFLICT if "conflict" in report.counts else ExitCode.STORAGE


def _check_names(names: Iterable[str]) -> None:
    from metamlflow.types import ArtifactName

    with blamed_on("--name"):
        for name in names:
            ArtifactName.parse(name)


def _show(report: MigrationReport, *, as_json: bool) -> None:
    if as_json:
        emit_document("migration", report.to_json())
        return
    emit_rows(map(_row, report.versions), _TITLES if report.versions else (), ("MANIFEST", "OBJECTS", "FILES", "BYTES"))
    for version in report.versions:
        if version.reason and version.status != "skipped":
            note(f"{version.status}: {version.name}@{version.version}: {version.reason}")
    for problem in report.problems:
        note(f"failed: {problem}")
    for told in report.notes:
        note(told)
    note(report.summary())


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else text


def _row(version: VersionReport) -> Row:
    reference = f"{version.name}@{version.version}"
    digest = version.manifest_digest or "-"
    if sys.stdout.isatty():
        from metamlflow.cli.tables import shortened_digest

        digest = shortened_digest(digest)
    files = "-" if version.files is None else version.files
    return reference, version.status, files, version.objects, Size(version.bytes), digest


@migration_app.command(short_help="List the differences between two stores.")
def compare(
    source: SourceArgument,
    destination: DestinationArgument,
    full: Annotated[bool, typer.Option("--full", help="Read all content; else compare keys and sizes.")] = False,
    from_options: FromOption = None,
    to_options: ToOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """List the differences between two stores, except in markers and caches. Exits with 1 if there are any.

    In a pipe: key, kind (only here, only there, other), and the content in SRC and in DST, separated by tabs.
    """
    from metamlflow.migration import compare as compared

    ends = (
        client_for(source, from_options, place="SRC", option="--from-option"),
        client_for(destination, to_options, place="DST", option="--to-option"),
    )
    with interruptible() as interruption, shown_progress("comparing", interruption) as progress:
        differences = compared(*ends, full=full, progress=progress)
    if as_json:
        found = [difference.to_json() for difference in differences]
        emit_document("comparison", {"equal": not differences, "differences": found})
    else:
        emit_rows((d.key, d.what, d.here or "-", d.there or "-") for d in differences)
        note(f"{len(differences):,} differ" if differences else "nothing differs")
    return ExitCode.GOOD if not differences else ExitCode.CHECK_FAILED
