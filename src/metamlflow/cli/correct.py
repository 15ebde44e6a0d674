"""The commands that publish stored content again: ``update-metadata`` and ``copy``."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow.cli.aliases import DryRunOption
from metamlflow.cli.arguments import client_for, parse_whole, read_metadata
from metamlflow.cli.completion import names
from metamlflow.cli.options import (
    DebugOption,
    IdempotencyOption,
    JsonOption,
    MetaFileOption,
    MetaOption,
    OptionsOption,
    ReferenceArgument,
    StoreOption,
)
from metamlflow.cli.output import Row, Size, emit, emit_document, emit_rows

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact
    from metamlflow.types import VersionPlan

correct_app = typer.Typer()


@correct_app.command("update-metadata", short_help="Publish a version with corrected metadata.")
def update_metadata(
    reference: ReferenceArgument,
    meta: MetaOption = None,
    meta_file: MetaFileOption = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="KEY", help="A key of the metadata to remove. Repeatable.")
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="The newest version, if that is another one, whose content is to be given up; else the command exits "
            "with 4.",
        ),
    ] = None,
    why: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="Why; it begins the description in the notes.")
    ] = None,
    idempotency_key: IdempotencyOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Publish the content of a version with other metadata as the next version, and print NAME@VERSION.

    No content is copied; files, type, schema and inputs stay. The values that are given replace former ones, and all
    others stay. With --dry-run in a pipe: the new version, the corrected one, 'publish' or 'nothing', files and bytes,
    separated by tabs, and then a line for each value.
    """
    values = read_metadata(meta_file, meta)
    newest = None if expected is None else parse_whole(expected, "--expected", 1)
    client = client_for(store, options)
    keys = remove or ()
    if dry_run:
        plan = client.update_metadata(reference, values, remove=keys, expected=newest, note=why, dry_run=True)
        _show_plan(plan, as_json=as_json, values=True)
    else:
        done = client.update_metadata(
            reference, values, remove=keys, expected=newest, note=why, idempotency_key=idempotency_key
        )
        _show(done, as_json=as_json)


@correct_app.command(short_help="Publish a version under another name.")
def copy(
    reference: ReferenceArgument,
    to_name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of the copy; it need not exist.", autocompletion=names)
    ],
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="The version of NAME that must be the newest, or 0 for none; else nothing is changed, and the command "
            "exits with 4.",
        ),
    ] = None,
    why: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="Why; it becomes the description in the notes.")
    ] = None,
    idempotency_key: IdempotencyOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Publish a version under another name of the store as its next version, and print NAME@VERSION.

    No content is copied. If the newest version of NAME is this copy already, that is printed, and nothing is published.
    With --dry-run in a pipe: the copy, the original, 'publish' or 'nothing', files and bytes, separated by tabs.
    """
    newest = None if expected is None else parse_whole(expected, "--expected", 0)
    client = client_for(store, options)
    if dry_run:
        plan = client.copy(reference, to_name, expected=newest, note=why, dry_run=True)
        _show_plan(plan, as_json=as_json)
    else:
        done = client.copy(reference, to_name, expected=newest, note=why, idempotency_key=idempotency_key)
        _show(done, as_json=as_json)


def _show(artifact: Artifact, *, as_json: bool) -> None:
    if as_json:
        emit_document("artifact", artifact.to_json())
    else:
        emit(f"{artifact.name}@{artifact.version}")


def _show_plan(plan: VersionPlan, *, as_json: bool, values: bool = False) -> None:
    if as_json:
        emit_document("version-plan", plan.to_json())
        return
    does = "publish" if plan.publishes else "nothing"
    row = (plan.reference, plan.source, does, plan.files, Size(plan.size))
    emit_rows([row], ("NEW", "CONTENT OF", "DOES", "FILES", "SIZE"))
    if values:
        emit_rows(_values(plan))


def _values(plan: VersionPlan) -> Iterator[Row]:
    for name, value in plan.metadata.items():
        yield f"metadata.{name}", json.dumps(value, ensure_ascii=False)
