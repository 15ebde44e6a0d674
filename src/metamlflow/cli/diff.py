"""The command ``diff``: the differences between two versions."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow.cli.arguments import client_for, file_to_write, parse_whole
from metamlflow.cli.completion import references
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, SourceOptionsOption, StoreOption
from metamlflow.cli.output import coloured, emit, emit_document, emit_rows

if TYPE_CHECKING:
    from metamlflow.types import ArtifactDiff

diff_app = typer.Typer()

_ON_TERMINALS, _IN_DOCUMENTS = 20, 1_000
_COLOURS = {"+": "32", "-": "31", "~": "33", ">": "36"}


def _version(metavar: str, text: str) -> object:
    return typer.Argument(metavar=metavar, help=text, autocompletion=references)


@diff_app.command(short_help="Show the differences between two versions.")
def diff(
    before: Annotated[str, _version("BEFORE", "The first version: NAME[@VERSION].")],
    after: Annotated[str, _version("AFTER", "The second version; it may have another name.")],
    rows: Annotated[
        bool, typer.Option("--rows", help="Count the rows of tables that differ, too. Reads both versions.")
    ] = False,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="COLUMN", help="A key column, which tells rows apart; implies --rows. Repeatable."
        ),
    ] = None,
    other_store: Annotated[
        str | None, typer.Option("--other-store", metavar="URI", help="The store of AFTER, if it is another one.")
    ] = None,
    other_options: Annotated[
        list[str] | None,
        typer.Option("--other-option", metavar="KEY=VALUE", help="A storage option of that store. Repeatable."),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write the differences as a page of HTML, too.")
    ] = None,
    files: Annotated[
        str | None,
        typer.Option(
            "--files",
            metavar="N",
            help="How many files of each kind to list; -1 lists all. [default: 20 on a terminal, 1000 in JSON and "
            "HTML, all in a pipe]",
        ),
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Show the files, columns, metadata and inputs that differ between two versions. Exits with 1 if any do.

    In a pipe a line for each difference: section, change, name, before and after, separated by tabs.
    """
    listed = None if files is None else parse_whole(files, "--files", -1)
    page = None if html is None else file_to_write(html, "--html")
    client = client_for(store, options, source_options)
    other = None
    if other_store is not None:
        other = client_for(other_store, other_options, source_options, place="--other-store", option="--other-option")
    elif other_options:
        raise typer.BadParameter("give --other-store, too", param_hint="--other-option")
    found = client.diff(before, after, store=other, rows=rows, keys=keys or ())
    if page is not None:
        found.to_html(page, files=_IN_DOCUMENTS if listed is None else sys.maxsize if listed < 0 else listed)
    if as_json:
        emit_document("diff", found.to_json(files=_most(listed, _IN_DOCUMENTS)))
    elif sys.stdout.isatty():
        _show(found, sys.maxsize if listed is not None and listed < 0 else listed)
    else:
        lines = found.lines(_most(listed, None))
        emit_rows((line.section, line.change, line.name, line.before, line.after) for line in lines)
    return ExitCode.CHECK_FAILED if found else ExitCode.GOOD


def _most(listed: int | None, default: int | None) -> int | None:
    if listed is None:
        return default
    return None if listed < 0 else listed


def _show(found: ArtifactDiff, most: int | None) -> None:
    for line in found.to_text(_ON_TERMINALS if most is None else most).splitlines():
        colour = _COLOURS.get(line[2:3]) if line.startswith("  ") and line[3:4] == " " else None
        emit(f"\x1b[{colour}m{line}\x1b[0m" if colour and coloured(1) else line)
