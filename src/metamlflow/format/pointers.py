"""Pointers as JSON: entries that lie elsewhere, and the places that an artifact points to."""

from __future__ import annotations

import re
from typing import Any, cast

from metamlflow.format.documents import BEFORE, Fields, Problems, pattern, shown
from metamlflow.model.paths import path_problem
from metamlflow.model.pointers import (
    COMPOSITE,
    DIGEST_HEX,
    POINTED_KINDS,
    STRENGTHS,
    Evidence,
    Pointed,
    PointedKind,
    PointerEntry,
    Strength,
)
from metamlflow.model.uris import uri_problem

FEATURE = "pointers"
"""What ``requires`` of a manifest names if it points to anything."""

_NO_VERSION = "expected no version where S3 says null"
_DIGITS = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DIGEST_PROBLEM = {name: pattern(f"[0-9a-f]{{{n}}}", f"{n} lower-case hex digits") for name, n in DIGEST_HEX.items()}
_DIGEST_PROBLEM |= {
    name + COMPOSITE: pattern(f"[0-9a-f]{{{n}}}-[1-9][0-9]{{0,4}}", f"{n} lower-case hex digits, '-' and a number")
    for name, n in DIGEST_HEX.items()
}


def pointer_entry_to_json(entry: PointerEntry) -> dict[str, Any]:
    """Return the fields of an entry that lies elsewhere, but for its path."""
    evidence = entry.evidence
    document: dict[str, Any] = {"evidence": evidence.strength, "size": entry.size, "uri": entry.uri}
    optional = {
        "computed": dict(evidence.computed),
        "etag": evidence.etag,
        "held": dict(evidence.held),
        "modified_ns": None if evidence.modified_ns is None else str(evidence.modified_ns),
        "version": entry.version,
    }
    return document | {name: value for name, value in optional.items() if value not in (None, {})}


def pointer_entry_from(fields: Fields, path: str) -> PointerEntry:
    """Read an entry that lies elsewhere; its path has been read."""
    evidence = Evidence(
        etag=fields.optional_text("etag"),
        modified_ns=_nanoseconds(fields),
        held=_digests(fields, "held"),
        computed=_digests(fields, "computed"),
    )
    said = fields.text("evidence", _strength_problem)
    if said and said != evidence.strength:
        fields.note("evidence", f"expected {evidence.strength!r}, which is what there is, got {said!r:.80}")
    return PointerEntry(
        path=path,
        size=fields.integer("size", 0),
        uri=_uri(fields),
        version=fields.optional_text("version", lambda value: _NO_VERSION if value == "null" else None),
        evidence=evidence,
        extra=fields.unknown() or None,
    )


def _nanoseconds(fields: Fields) -> int | None:
    """Read a time in nanoseconds: a text of digits, for as a number most parsers of JSON would round it."""
    value = fields.value("modified_ns")
    if isinstance(value, int) and not isinstance(value, bool):
        fields.note("modified_ns", f"expected a text of digits, got the number {shown(value)}, as {BEFORE} wrote it")
        return None
    text = fields.optional_text("modified_ns", digits_problem)
    return int(text) if text and digits_problem(text) is None else None


def digits_problem(value: str) -> str | None:
    """Return what is wrong with ``value`` as a whole number that is written as a text, or None."""
    if _DIGITS.fullmatch(value) and -(2**63) <= int(value) < 2**63:
        return None
    return "expected a text of digits from -2**63 to 2**63 - 1"


def _uri(fields: Fields) -> str:
    uri = fields.text("uri")
    if isinstance(fields.value("uri"), str) and (problem := uri_problem(uri)):
        fields.note("uri", problem)  # without the value, which may be a secret
    return uri


def _digests(fields: Fields, name: str) -> dict[str, str]:
    digests = fields.optional_mapping(name) or {}
    for kind, value in digests.items():
        problem = _DIGEST_PROBLEM.get(kind)
        complaint = "unknown digest" if problem is None else not isinstance(value, str) or problem(value)
        if complaint:
            fields.note(f"{name}.{kind:.80}", complaint if isinstance(complaint, str) else "expected a string")
    return digests


def pointed_to_json(pointed: Pointed) -> dict[str, Any]:
    """Return the JSON object of a place that an artifact points to."""
    return {"evidence": pointed.evidence, "kind": pointed.kind, "path": pointed.path, "uri": pointed.uri}


def pointed_from_json(value: Any, place: str, problems: Problems) -> Pointed:
    """Read one item of a manifest's ``pointers``."""
    fields = Fields(value, place, problems)
    path = fields.text("path", lambda path: path_problem(path) if path else None)
    kind = fields.text("kind", lambda kind: None if kind in POINTED_KINDS else f"expected one of {POINTED_KINDS}")
    evidence = fields.optional_text("evidence", _strength_problem)
    return Pointed(path, _uri(fields), cast("PointedKind", kind), cast("Strength | None", evidence))


def _strength_problem(value: str) -> str | None:
    return None if value in STRENGTHS else f"expected one of {', '.join(STRENGTHS)}"
