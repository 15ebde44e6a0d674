"""The commands that delete: what no version needs, and a version for good."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow._arguments import blame_by_names
from metamlflow._looks import counted
from metamlflow.cli.arguments import client_for, file_to_write, parse_duration
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, ReferenceArgument, StoreOption
from metamlflow.cli.output import Row, emit, emit_document, emit_rows, note, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.signals import interruptible, told_to_go_on
from metamlflow.cli.spreading import DaskOption, executor_at
from metamlflow.errors import InvalidInputError

if TYPE_CHECKING:
    from metamlflow.types import CollectionReport, ErasureReport

collecting_app = typer.Typer()

_OWNERS = 20


@collecting_app.command(short_help="Delete the content that no version needs.")
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be deleted, and why.")] = False,
    save: Annotated[
        str | None, typer.Option("--save", metavar="FILE", help="With --dry-run: write the plan to this file.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="FILE", help="Delete only what this plan lists and is still garbage."),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Keep what no version names for so long, such as 30d, if that is longer."),
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Also in a store with a grace under 24 hours, where content can be lost.")
    ] = False,
    dask: DaskOption = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Delete the content that no version needs, after the store's grace. Exits with 5 if a deletion failed.

    It stops before it deletes anything if the store holds anything unknown, a record cannot be read, or content of a
    live version is missing or not whole. In a pipe: the garbage of each version, and of none ("-"): NAME@VERSION,
    objects, bytes, reason; then what was not deleted: NAME@VERSION, failed or unclear, object, reason.
    """
    if save is not None and not dry_run:
        raise typer.BadParameter("give it with --dry-run", param_hint="--save")
    if plan is not None and dry_run:
        raise typer.BadParameter("a plan is the result of a dry run: give one of both", param_hint="--plan, --dry-run")
    page = None if save is None else file_to_write(save, "--save")
    wanted = None if grace is None else parse_duration(grace, "--grace")
    client = client_for(store, options)
    report: CollectionReport
    with (
        told_to_go_on("what was deleted stays deleted, and was garbage", writes=not dry_run),
        interruptible() as interruption,
        shown_progress("collecting", interruption) as progress,
        executor_at(dask) as executor,
    ):
        try:
            if dry_run:
                report = found = client.collect_garbage(
                    dry_run=True, grace=wanted, unsafe=unsafe, executor=executor, progress=progress
                )
                if page is not None:
                    found.save(page)
            else:
                report = client.collect_garbage(
                    plan=plan, grace=wanted, unsafe=unsafe, executor=executor, progress=progress
                )
        except InvalidInputError as error:
            blame_by_names(error, {"plan": "--plan", "grace": "--grace", "unsafe": "--unsafe"})
            raise
    if as_json:
        emit_document("collection", report.to_json())
    elif sys.stdout.isatty():
        for line in _lines(report):
            emit(line)
    else:
        emit_rows(_rows(report))
    for text in report.notes if not as_json else ():
        note(printable(text))
    return ExitCode.GOOD if report else ExitCode.STORAGE


@collecting_app.command(short_help="Erase a pruned version for good.")
def erase(
    reference: ReferenceArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept, so repeat nothing of it here.")
    ] = None,
    lost: Annotated[
        bool,
        typer.Option(
            "--lost", help="Give up a version that vanished: now, and erase it a grace later by the same command."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what goes and what stays.")] = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Erase a version that was pruned longer ago than the store's grace: its record, notes and signatures.

    Nothing brings it back, and its number is never used again. Its content is freed by the next `metamlflow gc`. Exits
    with 5 if something could not be deleted; the same command goes on. In a pipe: failed, goes, later or stays; what;
    and why.
    """
    with told_to_go_on("what was erased stays erased", writes=not dry_run):
        report = client_for(store, options).erase(reference, reason, lost=lost, dry_run=dry_run)
    if as_json:
        emit_document("erasure", report.to_json())
    elif sys.stdout.isatty():
        emit(report.summary())
        for status, what, why in _erased_rows(report):
            emit(f"  {status:<6}  {printable(str(what))}" + (f": {printable(str(why))}" if why else ""))
    else:
        emit_rows(_erased_rows(report))
    return ExitCode.GOOD if report else ExitCode.STORAGE


def _rows(report: CollectionReport) -> Iterator[Row]:
    for it in report.owners:
        yield it.reference or "-", it.blobs, it.bytes, it.reason
    for failed in report.failed:
        yield failed.reference or "-", "unclear" if failed.unclear else "failed", failed.key, failed.reason


def _lines(report: CollectionReport) -> Iterator[str]:
    """Yield a report as lines for people."""
    yield report.summary()
    for it in report.owners[:_OWNERS]:
        size = f"{counted(it.blobs, 'object')}, {counted(it.bytes, 'byte')}"
        yield f"  {it.reference or 'no version'}: {size}: {printable(it.reason)}"
    if len(report.owners) > _OWNERS:
        yield f"  and {len(report.owners) - _OWNERS:,} versions more (--json lists them)"
    for what, keys in (("manifest of an erased version", report.manifests), ("unfinished upload", report.uploads)):
        yield from (f"  {what}: {printable(key)}" for key in keys[:_OWNERS])
        if len(keys) > _OWNERS:
            yield f"  and {len(keys) - _OWNERS:,} more (--json lists them)"
    for kept in report.kept_versions[:_OWNERS]:
        until = f" until {kept.until:%Y-%m-%d %H:%M} UTC" if kept.until else ""
        yield f"  kept{until}: {kept.reference}: {printable(kept.reason)}"
    for failed in report.failed:
        yield f"  {'unclear' if failed.unclear else 'failed'}: {failed.key}: {printable(failed.reason)}"


def _erased_rows(report: ErasureReport) -> Iterator[Row]:
    for failed in report.failed:
        yield "failed", failed.key, failed.reason
    for it in report.goes:
        yield "goes", it.key, it.kind
    if report.manifest_from and not report.dry_run:
        when = f"{report.manifest_from:%Y-%m-%dT%H:%M:%SZ}"
        yield "later", "its manifest", f"deleted from {when} on, by the same command or `metamlflow gc`"
    for left in report.stays:
        yield "stays", left.what, left.why
