"""The commands ``doctor``, which examines a store and its place, and ``policy``, which prints access policies."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metamlflow.cli.arguments import client_for
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, StoreOption
from metamlflow.cli.output import emit, emit_document, emit_rows, note, printable
from metamlflow.cli.rows import CHECKED, check_row

if TYPE_CHECKING:
    from metamlflow.client import MetaMLFlowClient
    from metamlflow.types import Check, Role

doctor_app = typer.Typer()


@doctor_app.command(short_help="Examine a store and its place.")
def doctor(
    store: StoreOption = None, options: OptionsOption = None, as_json: JsonOption = False, debug: DebugOption = False
) -> int:
    """Examine a store and its place, check by check. Exits with 1 if a check failed.

    Creates no store and writes nothing, except that it tries to create the marker of an existing store a second time.
    In a pipe: name, verdict (ok, warning, failed or unknown), observation and remedy, separated by tabs.
    """
    return ExitCode.GOOD if _examined(client_for(store, options), as_json=as_json) else ExitCode.CHECK_FAILED


@doctor_app.command(short_help="Print the least access that a role needs.")
def policy(
    role: Annotated[
        Literal["reader", "writer", "pruner", "collector"],
        typer.Option(
            help="A reader gets and lists; a writer also creates, never overwrites; a pruner gives versions up; "
            "a collector deletes."
        ),
    ] = "writer",
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print the least access that a role needs for a store: an IAM policy, or commands. Touches no network."""
    _advised(client_for(store, options), role, as_json=as_json)


def _examined(client: MetaMLFlowClient, *, as_json: bool) -> bool:
    """Run and show all checks of a client's store; return whether none failed."""
    diagnosis = client.doctor()
    if as_json:
        emit_document("doctor", diagnosis.to_json())
    else:
        _show(diagnosis.checks)
    return diagnosis.ok


def _show(checks: Sequence[Check]) -> None:
    if not sys.stdout.isatty():
        emit_rows(map(check_row, checks))
        return
    emit_rows((check_row(check)[:3] for check in checks), CHECKED)
    # Below the table, since a narrow column would break commands that are meant to be copied.
    for check in checks:
        if check.remedy:
            emit(f"\n{check.name}: {printable(check.remedy)}")


def _advised(client: MetaMLFlowClient, role: Role, *, as_json: bool) -> None:
    """Show the least access to a client's store that a role needs: the policy on stdout, notes about it on stderr."""
    policy = client.access_policy(role)
    if as_json:
        content = {"uri": client.storage_uri, "role": role, "text": policy.text, "document": policy.document}
        emit_document("policy", {**content, "notes": list(policy.notes)})
        return
    emit(policy.text)
    for line in policy.notes:
        note(f"note: {line}")
