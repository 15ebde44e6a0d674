"""The records of collections: that one has begun, goes on, or has ended, so that no two delete at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from metamlflow.format.documents import FORMAT, dump, format_instant
from metamlflow.format.manifests import is_record_id
from metamlflow.format.records import open_record

Phase = Literal["begun", "going", "ended"]
PHASES: tuple[Phase, ...] = ("begun", "going", "ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRecord:
    """What a record of a collection says.

    Attributes:
        record_id: of this record.
        created_at: when, by the collector's clock, in UTC; what counts is the storage's time of writing.
        created_by: who collects.
        collection: the id of the collection: that of its first record.
        phase: ``begun``, ``going`` or ``ended``.
        unclear: whether a deletion of this collection may still be applied. Of one that has not ended, nobody knows.
    """

    record_id: str
    created_at: datetime
    created_by: str
    collection: str
    phase: Phase
    unclear: bool = False


def encode_collection(record: CollectionRecord) -> bytes:
    """Return the bytes of a record of a collection."""
    said = {
        "collection": record.collection,
        "created_at": format_instant(record.created_at),
        "created_by": record.created_by,
        "format": FORMAT,
        "phase": record.phase,
        "record_id": record.record_id,
    }
    return dump(said | ({"unclear": True} if record.unclear else {}))


def decode_collection(data: bytes, key: str) -> CollectionRecord:
    """Read a record of a collection.

    Raises:
        StoreFormatError: it is damaged.
    """
    what = "record of a collection"
    fields, problems = open_record(data, key, what)
    phase = fields.text("phase", lambda value: None if value in PHASES else f"expected one of {', '.join(PHASES)}")
    record = CollectionRecord(
        record_id=fields.text("record_id", is_record_id),
        created_at=fields.instant("created_at"),
        created_by=fields.text("created_by"),
        collection=fields.text("collection", is_record_id),
        phase=cast("Phase", phase),
        unclear=fields.mark("unclear"),
    )
    problems.raise_if_any(what)
    return record
