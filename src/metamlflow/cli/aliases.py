"""The commands that say which version is meant: ``alias`` with its subcommands, and ``rollback``."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow.cli.arguments import client_for, parse_whole
from metamlflow.cli.completion import names
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, IdempotencyOption, JsonOption, OptionsOption, StoreOption
from metamlflow.cli.output import Row, Size, emit, emit_document, emit_rows, note

if TYPE_CHECKING:
    from metamlflow.types import AliasChange

alias_app = typer.Typer(
    name="alias",
    help="Names for versions, such as production, that can be moved.",
    short_help="Names for versions that can be moved.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
rollback_app = typer.Typer()

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The artifact's name.", autocompletion=names)]
AliasArgument = Annotated[str, typer.Argument(metavar="ALIAS", help="Such as production.")]
WhyOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why; it is kept in the history.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")]
_TITLES = ("NUMBER", "VERSION", "CREATED", "BY", "NOTE")
_LEFT_OUT = ("NUMBER", "BY", "NOTE", "CREATED")


@alias_app.callback()
def alias_group(context: typer.Context, debug: DebugOption = False) -> int | None:
    """Show the help and exit with a usage error if no command is given."""
    if context.invoked_subcommand is not None:
        return None
    note(context.get_help())
    raise typer.Exit(ExitCode.USAGE)


@alias_app.command("set", short_help="Set an alias to a version.")
def set_alias(
    name: NameArgument,
    alias: AliasArgument,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A number, 'latest' (the newest version now) or another alias.")
    ],
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="The version that it must stand for now, or 0 for none; else nothing is changed, and the command "
            "exits with 4.",
        ),
    ] = None,
    why: WhyOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Set an alias to a version, and print NAME@ALIAS and the version."""
    wanted = None if expected is None else parse_whole(expected, "--expected", 0)
    client = client_for(store, options)
    _show(client.set_alias(name, alias, version, expected=wanted, note=why, dry_run=dry_run), as_json=as_json)


@alias_app.command("rm", short_help="Remove an alias.")
def remove_alias(
    name: NameArgument,
    alias: AliasArgument,
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="The version that it must stand for now; else nothing is changed, and the command exits with 4.",
        ),
    ] = None,
    why: WhyOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove an alias, and print NAME@ALIAS and a dash. Its history stays; no version changes."""
    wanted = None if expected is None else parse_whole(expected, "--expected", 1)
    client = client_for(store, options)
    _show(client.remove_alias(name, alias, expected=wanted, note=why, dry_run=dry_run), as_json=as_json)


@alias_app.command("ls", short_help="List the aliases of a name.")
def list_aliases(
    name: NameArgument,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the aliases of a name and the versions that they stand for. In a pipe separated by a tab."""
    found = client_for(store, options).aliases(name)
    if as_json:
        emit_document("aliases", {"name": name, "aliases": found})
    else:
        emit_rows(found.items(), ("ALIAS", "VERSION") if found else ())


@alias_app.command("history", short_help="Show who moved an alias, when and why.")
def alias_history(
    name: NameArgument,
    alias: AliasArgument,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show all changes of an alias, the oldest first.

    In a pipe: number, version (a dash: removed), time, author and note, separated by tabs.
    """
    found = client_for(store, options).alias_history(name, alias)
    if as_json:
        emit_document("alias-history", {"changes": [change.to_json() for change in found]})
    else:
        emit_rows(map(_history_row, found), _TITLES if found else (), _LEFT_OUT)


@rollback_app.command(short_help="Publish an earlier version's content again.")
def rollback(
    name: NameArgument,
    to_version: Annotated[
        str, typer.Option("--to", metavar="VERSION", help="The earlier version: a number, or an alias.")
    ],
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
    """Publish the content and the metadata of an earlier version as the next version, and print NAME@VERSION.

    No content is copied. If the newest version is the earlier one published again already, that is printed and nothing
    is published, so the command can be repeated. With --dry-run in a pipe: the version that would have the content, the
    earlier one, 'publish' or 'nothing', files and bytes, separated by tabs.
    """
    client = client_for(store, options)
    if dry_run:
        plan = client.rollback(name, to_version, note=why, idempotency_key=idempotency_key, dry_run=True)
        if as_json:
            emit_document("rollback-plan", plan.to_json())
        else:
            new, earlier = (f"{plan.name}@{version}" for version in (plan.version, plan.to_version))
            does = "publish" if plan.publishes else "nothing"
            emit_rows(
                [(new, earlier, does, plan.files, Size(plan.size))], ("NEW", "CONTENT OF", "DOES", "FILES", "SIZE")
            )
        return
    artifact = client.rollback(name, to_version, note=why, idempotency_key=idempotency_key)
    if as_json:
        emit_document("artifact", artifact.to_json())
    else:
        emit(f"{artifact.name}@{artifact.version}")


def _show(change: AliasChange, *, as_json: bool) -> None:
    if as_json:
        emit_document("alias", change.to_json())
    else:
        emit_rows([(change.reference, _stands(change.version))])


def _history_row(change: AliasChange) -> Row:
    return change.number, _stands(change.version), change.created_at, change.created_by or "-", change.note or ""


def _stands(version: int | None) -> int | str:
    return "-" if version is None else version
