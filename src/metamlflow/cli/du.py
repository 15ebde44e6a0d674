"""The command that shows the space that names and versions take."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow.cli.arguments import client_for, file_to_write, parse_whole
from metamlflow.cli.completion import names
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, StoreOption
from metamlflow.cli.output import Row, Size, emit_document, emit_rows, note, printable
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.signals import interruptible

if TYPE_CHECKING:
    from metamlflow.types import NameUsage, VersionUsage

du_app = typer.Typer()
_NAMES = ("NAME", "VERSIONS", "SIZE", "OWN", "SHARED", "ELSEWHERE")
_VERSIONS = ("VERSION", "STATE", "SIZE", "FREES", "SHARED", "ELSEWHERE")
_LEFT_OUT = ("ELSEWHERE", "SHARED")


@du_app.command(short_help="Show the space that names and versions take.")
def du(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show the versions of this name.", autocompletion=names)
    ] = None,
    depth: Annotated[
        str | None, typer.Option(metavar="N", help="Add up the names that have N first segments in common.")
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write one page that needs no network to this file.")
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Show the space of each name, the largest first, or of each version of one; and what no version names.

    Exits with 1 if a record cannot be read, so that the figures are not exact. In a pipe, separated by tabs: name,
    versions, bytes, bytes of its own, bytes shared with other names, and bytes elsewhere. For one name: NAME@VERSION,
    state, bytes, bytes that pruning it would free, bytes shared with other versions, and bytes elsewhere.
    """
    page = None if html is None else file_to_write(html, "--html")
    levels = None if depth is None else parse_whole(depth, "--depth", 1)
    client = client_for(store, options)
    with interruptible() as interruption, shown_progress("adding up", interruption) as progress:
        report = client.usage(name, depth=levels, progress=progress)
    if page is not None:
        report.to_html(page)
        note(f"written to {html}")
    if as_json:
        emit_document("usage", report.to_json())
    elif name is not None:
        emit_rows(map(_version_row, report.versions), _VERSIONS, _LEFT_OUT)
    else:
        emit_rows(map(_name_row, report.names), _NAMES if report.names else (), _LEFT_OUT)
    note(printable(report.verdict))
    return ExitCode.GOOD if report.complete else ExitCode.CHECK_FAILED


def _name_row(usage: NameUsage) -> Row:
    return usage.name, usage.versions, Size(usage.bytes), Size(usage.own), Size(usage.shared), Size(usage.pointed)


def _version_row(usage: VersionUsage) -> Row:
    sizes = (Size(usage.bytes), Size(usage.frees), Size(usage.shared), Size(usage.pointed))
    return f"{usage.name}@{usage.version}", usage.state, *sizes
