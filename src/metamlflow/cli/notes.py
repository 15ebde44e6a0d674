"""The commands for notes: title, description and tags of a name or a version."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow.cli.arguments import client_for
from metamlflow.cli.completion import references
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, StoreOption
from metamlflow.cli.output import Row, emit_document, emit_rows, note, printable
from metamlflow.errors import AccessDeniedError, MetaMLFlowError

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact
    from metamlflow.types import Notes

notes_app = typer.Typer()

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]",
        help="The notes on a name, or on a version of it: a number, 'latest' or an alias.",
        autocompletion=references,
    ),
]
_TITLES = ("NUMBER", "CREATED", "BY", "TITLE", "DESCRIPTION", "TAGS")
_LEFT_OUT = ("TAGS", "DESCRIPTION", "BY", "CREATED")


@notes_app.command(short_help="Change title, description or tags of a name or a version.")
def annotate(
    target: TargetArgument,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="One line; an empty text removes the title.")
    ] = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="Any text; an empty one removes it.")
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY[=VALUE]", help="A tag to set; without a value, a label. Repeatable."),
    ] = None,
    removed: Annotated[
        list[str] | None, typer.Option("--untag", metavar="KEY", help="A tag to remove. Repeatable.")
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Change the notes on a name or a version, and print them as they are then.

    What is not given stays as it is. The version itself does not change: nor do its digests and signatures.
    """
    changed = _tags(tags or (), removed or ())
    if title is None and description is None and not changed:
        raise typer.BadParameter("give one or more", param_hint="--title, --description, --tag, --untag")
    client = client_for(store, options)
    _show(client.annotate(target, title=title, description=description, tags=changed or None), as_json=as_json)


@notes_app.command(short_help="Show title, description and tags of a name or a version.")
def notes(
    target: TargetArgument,
    history: Annotated[bool, typer.Option("--history", help="Show the notes after each change.")] = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the notes on a name or a version, or with --history those after each change, the oldest first.

    In a pipe: a field and its text, separated by a tab; with --history: number, time, author, title, description, and
    the tags as JSON.
    """
    client = client_for(store, options)
    if not history:
        _show(client.notes(target), as_json=as_json)
        return
    found = client.notes_history(target)
    if as_json:
        emit_document("notes-history", {"notes": [change.to_json() for change in found]})
    else:
        emit_rows(map(_history_row, found), _TITLES if found else (), _LEFT_OUT)


def notes_shown(artifact: Artifact) -> tuple[Notes | None, bool]:
    """Return the notes on a version, and whether they could be read; if not, None and a line on stderr.

    Notes that this user may not read are no fault.

    They are no part of the version, whose facts are shown in any case.
    """
    try:
        return artifact.notes, True
    except MetaMLFlowError as error:
        note(f"the notes cannot be read: {printable(error.message)}")
        return None, isinstance(error, AccessDeniedError)


def _show(found: Notes, *, as_json: bool) -> None:
    if as_json:
        emit_document("notes", found.to_json())
    else:
        emit_rows(note_rows(found))


def note_rows(found: Notes) -> Iterator[Row]:
    """Yield the notes, a field in each row; a description takes a row for each line on a terminal."""
    if found.title is not None:
        yield "title", found.title
    if found.description is not None:
        lines = found.description.splitlines() if sys.stdout.isatty() else [found.description]
        for number, line in enumerate(lines):
            yield "" if number else "description", line
    for tag, value in sorted(found.tags.items()):
        yield f"tag.{tag}", value
    if found.created_at is not None and found.created_by is not None:
        yield "noted", found.created_at
        yield "noted by", found.created_by


def _history_row(found: Notes) -> Row:
    tags = json.dumps(dict(found.tags), ensure_ascii=False, sort_keys=True)
    return (
        found.number,
        found.created_at or "-",
        found.created_by or "-",
        found.title or "",
        found.description or "",
        tags,
    )


def _tags(given: Sequence[str], removed: Sequence[str]) -> dict[str, str | None]:
    """Return the changes of tags by tag; None removes one.

    Raises:
        typer.BadParameter: a tag is given twice.
    """
    changed: dict[str, str | None] = {}
    for option, tag, value in [
        *(("--tag", *_split(text)) for text in given),
        *(("--untag", text, None) for text in removed),
    ]:
        if tag in changed:
            raise typer.BadParameter(f"{tag!r:.80} is given twice", param_hint=option)
        changed[tag] = value
    return changed


def _split(text: str) -> tuple[str, str]:
    tag, _, value = text.partition("=")
    return tag, value
