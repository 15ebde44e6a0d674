"""Note records: each is the complete state of the notes on a name or a version, so that only the newest is read.

A note names no content, in no version of the format: a collector need not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metamlflow.format.documents import FORMAT, Fields, dump, format_instant
from metamlflow.format.manifests import is_record_id
from metamlflow.format.records import open_record
from metamlflow.model.manifests import WRITER
from metamlflow.model.names import ArtifactName
from metamlflow.model.notes import (
    MAX_TAGS,
    Notes,
    description_problem,
    tag_problem,
    tag_value_problem,
    title_problem,
)

_WHAT = "note record"


@dataclass(frozen=True, slots=True)
class StoredNotes:
    """A note record as it was read.

    Attributes:
        notes: what it says.
        extra: fields of a later version, which the next record keeps.
    """

    notes: Notes
    extra: Mapping[str, Any] = field(default_factory=dict)


def encode_notes(stored: StoredNotes, record_id: str) -> bytes:
    """Return the bytes of a note record, whose notes say when and by whom they were made.

    Raises:
        InvalidInputError: they would be more than a reader accepts.
    """
    notes = stored.notes
    assert notes.created_at is not None  # noqa: S101 (for the type checker)
    return dump(
        {
            **stored.extra,
            "created_at": format_instant(notes.created_at),
            "created_by": notes.created_by,
            "description": notes.description,
            "format": FORMAT,
            "record_id": record_id,
            "tags": dict(notes.tags),
            "title": notes.title,
            WRITER: notes.writer,
        }
    )


def decode_notes(data: bytes, key: str, name: ArtifactName, version: int | None, number: int) -> StoredNotes:
    """Read note record ``number`` on a version, or on the name if that is None.

    Raises:
        StoreFormatError: it is damaged, or beyond the limits of a note.
    """
    fields, problems = open_record(data, key, _WHAT)
    fields.text("record_id", is_record_id)
    notes = Notes(
        name=str(name),
        version=version,
        number=number,
        title=fields.optional_text("title", title_problem),
        description=fields.optional_text("description", description_problem),
        tags=_tags(fields),
        created_at=fields.instant("created_at"),
        created_by=fields.text("created_by"),
        writer=fields.optional_text(WRITER),
    )
    problems.raise_if_any(_WHAT)
    return StoredNotes(notes, fields.unknown())


def _tags(fields: Fields) -> dict[str, str]:
    tags = fields.optional_mapping("tags") or {}
    if len(tags) > MAX_TAGS:
        fields.note("tags", f"expected at most {MAX_TAGS} tags, got {len(tags)}")
        return {}
    for tag, value in tags.items():
        if problem := tag_problem(tag) or tag_value_problem(value):
            fields.note("tags", f"{tag!a:.80}: {problem}")
    return tags
