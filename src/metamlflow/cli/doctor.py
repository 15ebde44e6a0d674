"""Display of the checks of a store and its place, and of access policies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metamlflow.cli.output import emit, emit_document, emit_rows, note, printable
from metamlflow.cli.rows import CHECKED, check_row

if TYPE_CHECKING:
    from metamlflow.client import MetaMLFlowClient
    from metamlflow.types import Check, Role


def examined(client: MetaMLFlowClient, *, as_json: bool) -> bool:
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


def advised(client: MetaMLFlowClient, role: Role, *, as_json: bool) -> None:
    """Show the least access to a client's store that a role needs: the policy on stdout, notes about it on stderr."""
    policy = client.access_policy(role)
    if as_json:
        content = {"uri": client.storage_uri, "role": role, "text": policy.text, "document": policy.document}
        emit_document("policy", {**content, "notes": list(policy.notes)})
        return
    emit(policy.text)
    for line in policy.notes:
        note(f"note: {line}")
