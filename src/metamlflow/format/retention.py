"""The records of retention: the list of a store's policies, and the protections of versions with what ends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from metamlflow.format.documents import FORMAT, Fields, Problems, dump, format_instant
from metamlflow.format.manifests import is_record_id
from metamlflow.format.records import check_origin, open_record
from metamlflow.model.names import ArtifactName
from metamlflow.model.notes import note_problem
from metamlflow.model.patterns import NamePattern, pattern_problem
from metamlflow.model.retention import MAX_KEEP_LAST, MAX_SECONDS, Policy, Protection, Rules

MAX_POLICIES = 1_000
"""The largest number of policies in a store."""
_WHAT = "list of policies"


@dataclass(frozen=True, slots=True)
class StoredPolicies:
    """The policies of a store as they were read, in the order in which they were set.

    Attributes:
        policies: all of them, each with a pattern of its own.
        number: of the record; 0 if there is none.
        extra: fields of a later version, which the next record keeps.
    """

    policies: tuple[Policy, ...] = ()
    number: int = 0
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def encode_policies(stored: StoredPolicies, record_id: str, created_at: datetime, created_by: str) -> bytes:
    """Return the bytes of a list of policies."""
    return dump(
        {
            **stored.extra,
            "created_at": format_instant(created_at),
            "created_by": created_by,
            "format": FORMAT,
            "policies": [_encoded(policy) for policy in stored.policies],
            "record_id": record_id,
        }
    )


def _encoded(policy: Policy) -> dict[str, Any]:
    rules = policy.rules
    said = {
        "keep_last": rules.keep_last,
        "older_than_seconds": None if rules.older_than is None else int(rules.older_than.total_seconds()),
        "where": rules.where,
        "note": policy.note,
    }
    return {
        **policy.extra,
        **{name: value for name, value in said.items() if value is not None},
        "created_at": format_instant(policy.created_at),
        "created_by": policy.created_by,
        "pattern": str(policy.pattern),
    }


def decode_policies(data: bytes, key: str, number: int) -> StoredPolicies:
    """Read a list of policies.

    Raises:
        StoreFormatError: it is damaged. A policy with a rule that is not known is not: it must not be applied.
    """
    fields, problems = open_record(data, key, _WHAT)
    check_origin(fields)
    fields.text("created_by")
    policies: list[Policy] = []
    for place, item in fields.items("policies"):
        if len(policies) == MAX_POLICIES:
            fields.note("policies", f"more than {MAX_POLICIES:,} policies")
            break
        if (policy := _policy(item, place, problems)) is not None:
            policies.append(policy)
    if len({policy.pattern for policy in policies}) < len(policies):
        fields.note("policies", "two policies have the same pattern")
    problems.raise_if_any(_WHAT)
    return StoredPolicies(tuple(policies), number, fields.unknown())


def _policy(item: Any, place: str, problems: Problems) -> Policy | None:
    before = problems.count
    fields = Fields(item, place, problems)
    pattern = fields.text("pattern", pattern_problem)
    keep_last = fields.integer("keep_last", 1, MAX_KEEP_LAST) if fields.has("keep_last") else None
    seconds = fields.integer("older_than_seconds", 1, MAX_SECONDS) if fields.has("older_than_seconds") else None
    where = fields.optional_text("where")
    note = fields.optional_text("note", note_problem)
    created_at, created_by = fields.instant("created_at"), fields.text("created_by")
    if problems.count > before:
        return None
    rules = Rules(keep_last, None if seconds is None else timedelta(seconds=seconds), where)
    return Policy(NamePattern(pattern), rules, note, created_at, created_by, fields.unknown())


# --- protections ------------------------------------------------------------------------------------------------------


def encode_protection(created_by: str, note: str | None, record_id: str, created_at: datetime) -> bytes:
    """Return the bytes of a protection, or of the record that ends one."""
    said = {} if note is None else {"note": note}
    return dump(
        {
            **said,
            "created_at": format_instant(created_at),
            "created_by": created_by,
            "format": FORMAT,
            "record_id": record_id,
        }
    )


def decode_protection(data: bytes, key: str, name: ArtifactName, version: int, number: int) -> Protection:
    """Read protection ``number`` of a version.

    Raises:
        StoreFormatError: it is damaged. It protects all the same.
    """
    fields, problems = open_record(data, key, "protection")
    fields.text("record_id", is_record_id)
    protection = Protection(
        name=str(name),
        version=version,
        number=number,
        note=fields.optional_text("note", note_problem),
        created_at=fields.instant("created_at"),
        created_by=fields.text("created_by"),
    )
    problems.raise_if_any("protection")
    return protection
