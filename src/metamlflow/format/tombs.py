"""The records that take something out of sight: of a version that was erased, and of a name that is hidden."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from metamlflow.format.documents import FORMAT, dump, format_instant, shown
from metamlflow.format.manifests import is_digest, is_record_id, previous_digest
from metamlflow.format.records import check_origin, open_record
from metamlflow.model.names import MAX_VERSION, ArtifactName
from metamlflow.model.notes import note_problem

Visibility = Literal["hidden", "shown"]
VISIBILITIES: tuple[Visibility, ...] = ("hidden", "shown")
DIGEST_OF_NOTHING = f"sha256:{hashlib.sha256(b'').hexdigest()}"
"""The digest of no bytes, which no manifest has: in a tomb for one that nothing tells of any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tomb:
    """The record that a version was erased for good. It holds over its states and over any manifest of that number.

    Attributes:
        record_id: of this record.
        created_at: when, by the eraser's clock, in UTC.
        created_by: who erased it.
        name: the name of the artifact.
        version: the number, which is never used again.
        manifest_digest: of the erased manifest: what the next version holds as ``previous``.
        previous: what the erased manifest held as ``previous``; it cannot be proven any more. None in version 1.
        reason: why it was erased, if that was said.
    """

    record_id: str
    created_at: datetime
    created_by: str
    name: ArtifactName
    version: int
    manifest_digest: str
    previous: str | None
    reason: str | None = None

    @property
    def known_digest(self) -> str | None:
        """The digest of the erased manifest, to compare; None if it was lost, and nothing tells its digest."""
        return None if self.manifest_digest == DIGEST_OF_NOTHING else self.manifest_digest

    @property
    def known_previous(self) -> str | None:
        """The digest of the manifest before, to compare; None in version 1, and if nothing tells it."""
        return None if self.previous == DIGEST_OF_NOTHING else self.previous


def encode_tomb(tomb: Tomb) -> bytes:
    """Return the bytes of the record that a version was erased."""
    return dump(
        {
            "created_at": format_instant(tomb.created_at),
            "created_by": tomb.created_by,
            "format": FORMAT,
            "manifest_digest": tomb.manifest_digest,
            "name": tomb.name,
            "previous": tomb.previous,
            "reason": tomb.reason,
            "record_id": tomb.record_id,
            "version": tomb.version,
        }
    )


def decode_tomb(data: bytes, key: str, name: ArtifactName, version: int) -> Tomb:
    """Read the record that a version was erased.

    Raises:
        StoreFormatError: it is damaged, or speaks of another version than its key.
    """
    fields, problems = open_record(data, key, "record of an erased version")
    fields.text(
        "name", lambda said: None if said == name else f"expected {shown(str(name))} as in the key, got {shown(said)}"
    )
    number = fields.integer("version", 1, MAX_VERSION)
    if number != version:
        fields.note("version", f"expected {version} as in the key, got {number}")
    tomb = Tomb(
        record_id=fields.text("record_id", is_record_id),
        created_at=fields.instant("created_at"),
        created_by=fields.text("created_by"),
        name=name,
        version=version,
        manifest_digest=fields.text("manifest_digest", is_digest),
        previous=previous_digest(fields, version),
        reason=fields.optional_text("reason", note_problem),
    )
    problems.raise_if_any("record of an erased version")
    return tomb


def encode_visibility(state: Visibility, record_id: str, created_at: datetime) -> bytes:
    """Return the bytes of a record that hides a name from listings, or shows it again."""
    return dump({"created_at": format_instant(created_at), "format": FORMAT, "record_id": record_id, "state": state})


def decode_visibility(data: bytes, key: str, number: int) -> Visibility:
    """Read record ``number`` of those that hide a name and show it again.

    Raises:
        StoreFormatError: it is damaged, or says another thing than its number.
    """
    fields, problems = open_record(data, key, "hiding record")
    state = fields.text(
        "state", lambda value: None if value in VISIBILITIES else f"expected one of {', '.join(VISIBILITIES)}"
    )
    if state in VISIBILITIES and (state == "hidden") != bool(number % 2):
        fields.note("state", f'"{state}" cannot be record {number}: odd ones hide, even ones show')
    check_origin(fields)
    problems.raise_if_any("hiding record")
    return cast("Visibility", state)
