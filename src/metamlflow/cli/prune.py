"""The commands that give versions up, bring them back, and keep others from being given up."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow._looks import utc_text
from metamlflow.cli.arguments import client_for, parse_duration, parse_whole
from metamlflow.cli.completion import names as known_names
from metamlflow.cli.completion import references
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, StoreOption
from metamlflow.cli.output import Row, Size, emit, emit_document, emit_rows, note, printable
from metamlflow.cli.signals import interruptible, told_to_go_on
from metamlflow.errors import MetaMLFlowError

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact
    from metamlflow.types import Policy, Protection, PruneDecision, PruneReport

prune_app = typer.Typer()
retention_app = typer.Typer(
    help="Policies that say which versions `metamlflow prune --policies` gives up.", no_args_is_help=True
)
prune_app.add_typer(retention_app, name="retention")

_DECIDED = ("VERSION", "DECISION", "SIZE", "REASON")
_POLICIES = ("PATTERN", "KEEP LAST", "OLDER THAN", "WHERE", "NOTE", "SET", "BY")
_PROTECTED = ("VERSION", "BY", "CREATED", "NOTE")

VersionArgument = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="A number or an alias.", autocompletion=references)
]
PatternArgument = Annotated[
    str, typer.Argument(metavar="PATTERN", help="A name, or a pattern such as 'team/*'; ** also spans slashes.")
]
KeepLastOption = Annotated[
    str | None, typer.Option("--keep-last", metavar="N", help="The newest N live versions of each name stay.")
]
OlderThanOption = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="DURATION",
        help="Only what was written to this store longer ago, such as 36h, 90d or 12w, by the storage's clock.",
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(metavar="CONDITION", help="Only what fulfils it, such as 'metadata.accuracy < 0.5 and size > 1000'."),
]
NoteOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why: a text of at most 5,000 bytes.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Write nothing; only report what would be done.")]


@prune_app.command(short_help="Give up versions; `restore` brings them back.")
def prune(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Names, or patterns such as 'team/*'; ** also spans slashes.",
            autocompletion=known_names,
        ),
    ] = None,
    keep_last: KeepLastOption = None,
    older_than: OlderThanOption = None,
    where: WhereOption = None,
    versions: Annotated[
        list[str] | None,
        typer.Option("--version", metavar="N", help="Only this version, of one NAME. Repeatable."),
    ] = None,
    policies: Annotated[
        bool, typer.Option("--policies", help="Go by the store's policies, of all names or of those given.")
    ] = False,
    even_if_used: Annotated[
        bool, typer.Option("--even-if-used", help="Also what live versions were made from.")
    ] = False,
    why: NoteOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Give up the versions that all given rules agree on, and say of each other one why it stays.

    Nothing is deleted: `metamlflow restore` brings a version back for half of the store's grace. The newest live
    version of a name, and what an alias, a protection or a live version made from it holds, always stays. Exits with 0
    also if there is nothing to do, with 1 if something is damaged (then nothing is pruned), and with 5 if a version
    failed. In a pipe: NAME@VERSION, decision, bytes and reason, separated by tabs.
    """
    rules = keep_last, older_than, where, versions
    if policies and (any(rule is not None for rule in rules) or why is not None):
        raise typer.BadParameter("leave out rules and --note: the policies have theirs", param_hint="--policies")
    if not policies and not names:
        raise typer.BadParameter("give one or more, or --policies", param_hint="NAME...")
    kept, age = _rules(keep_last, older_than)
    numbers = [parse_whole(text, "--version", 1) for text in versions or ()] or None
    client = client_for(store, options)
    with told_to_go_on("what was pruned stays pruned", writes=not dry_run), interruptible():
        if policies:
            report = client.apply_policies(names or None, even_if_used=even_if_used, dry_run=dry_run)
        else:
            report = client.prune(
                names or [],
                keep_last=kept,
                older_than=age,
                where=where,
                versions=numbers,
                even_if_used=even_if_used,
                note=why,
                dry_run=dry_run,
            )
    _show(report, as_json=as_json)
    return ExitCode.CHECK_FAILED if report.damaged else ExitCode.STORAGE if report.failed else ExitCode.GOOD


def _rules(keep_last: str | None, older_than: str | None) -> tuple[int | None, timedelta | None]:
    return (
        None if keep_last is None else parse_whole(keep_last, "--keep-last", 1),
        None if older_than is None else parse_duration(older_than, "--older-than"),
    )


def _show(report: PruneReport, *, as_json: bool) -> None:
    if as_json:
        emit_document("prune", report.to_json())
        return
    rows = [_decided_row(status, decision) for status, decision in report.decisions]
    emit_rows(rows, _DECIDED if rows else (), ("SIZE",))
    for warning in report.warnings:
        note(f"warning: {printable(warning)}")
    note(report.summary().replace("`client.restore` brings", "`metamlflow restore` brings"))


def _decided_row(status: str, decision: PruneDecision) -> Row:
    size = "-" if decision.bytes is None else Size(decision.bytes)
    return decision.ref, status, size, decision.reason


@prune_app.command(short_help="Bring a pruned version back.")
def restore(
    reference: VersionArgument,
    why: NoteOption = None,
    dry_run: DryRunOption = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a pruned version live again, and print NAME@VERSION. Possible for half of the store's grace.

    Exits with 4 if it is live, or was pruned too long ago, and with 1 if an object of it is gone.
    """
    client = client_for(store, options)
    with told_to_go_on("the version is restored, or still pruned", writes=not dry_run):
        artifact = client.restore(reference, note=why, dry_run=dry_run)
    if as_json:
        emit_document("artifact", artifact.to_json())
    else:
        emit(f"{artifact.name}@{artifact.version}")
        if dry_run:
            note("it can be restored; nothing was done")


@prune_app.command(short_help="Keep a version from being pruned.")
def protect(
    reference: VersionArgument,
    why: NoteOption = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Keep a live version from being pruned, until `unprotect`, and print NAME@VERSION."""
    protection = client_for(store, options).protect(reference, why)
    if as_json:
        emit_document("protection", protection.to_json())
    else:
        emit(protection.ref)


@prune_app.command(short_help="End the protections of a version.")
def unprotect(
    reference: VersionArgument,
    why: NoteOption = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """End all protections of a version, whoever set them, and print their number."""
    ended = client_for(store, options).unprotect(reference, why)
    if as_json:
        emit_document("unprotected", {"ended": ended})
    else:
        emit(str(ended))


@prune_app.command(short_help="List the protected versions.")
def protections(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only versions of this name.", autocompletion=known_names)
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the protections in force. In a pipe: NAME@VERSION, author, time and note, separated by tabs."""
    found = client_for(store, options).protections(name)
    if as_json:
        emit_document("protections", {"protections": [protection.to_json() for protection in found]})
    else:
        rows = [(p.ref, p.created_by, p.created_at, p.note or "") for p in found]
        emit_rows(rows, _PROTECTED if rows else (), ("CREATED", "BY"))


@retention_app.command("set", short_help="Set the policy of a pattern.")
def set_policy(
    pattern: PatternArgument,
    keep_last: KeepLastOption = None,
    older_than: OlderThanOption = None,
    where: WhereOption = None,
    why: NoteOption = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Set the policy of a pattern, in place of the one that it had. Prunes nothing: `prune --policies` does."""
    kept, age = _rules(keep_last, older_than)
    client = client_for(store, options)
    _show_policy(client.set_policy(pattern, keep_last=kept, older_than=age, where=where, note=why), as_json=as_json)


@retention_app.command("ls", short_help="List the policies.")
def list_policies(
    store: StoreOption = None, options: OptionsOption = None, as_json: JsonOption = False, debug: DebugOption = False
) -> None:
    """List the policies, in the order in which they were set.

    In a pipe: pattern, keep-last, older-than in seconds, condition, note, time and author, separated by tabs.
    """
    found = client_for(store, options).policies()
    if as_json:
        emit_document("policies", {"policies": [policy.to_json() for policy in found]})
    else:
        emit_rows([_policy_row(policy) for policy in found], _POLICIES if found else (), ("NOTE", "BY", "SET"))


@retention_app.command("rm", short_help="Remove the policy of a pattern.")
def remove_policy(
    pattern: PatternArgument,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove the policy of this very pattern, and print what it was."""
    _show_policy(client_for(store, options).remove_policy(pattern), as_json=as_json)


def _show_policy(policy: Policy, *, as_json: bool) -> None:
    if as_json:
        emit_document("retention", policy.to_json())
    else:
        emit_rows([_policy_row(policy)], _POLICIES, ("NOTE", "BY", "SET"))


def _policy_row(policy: Policy) -> Row:
    facts = policy.to_json()
    older = facts["older_than_seconds"]
    return (
        facts["pattern"],
        facts["keep_last"] or "-",
        "-" if older is None else f"{older:.0f}",
        facts["where"] or "-",
        facts["note"] or "",
        policy.created_at,
        policy.created_by,
    )


def protections_shown(artifact: Artifact) -> list[Protection]:
    """Return the protections of a version; none, and a line on stderr, if they cannot be listed."""
    try:
        return artifact.protections
    except MetaMLFlowError as error:
        note(f"the protections cannot be read: {printable(error.message)}")
        return []


def protection_rows(found: Sequence[Protection]) -> list[Row]:
    """Return the protections of a version, one per row."""
    return [
        ("protected", f"by {p.created_by} on {utc_text(p.created_at)}" + (f": {p.note}" if p.note else ""))
        for p in found
    ]
