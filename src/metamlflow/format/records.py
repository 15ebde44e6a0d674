"""The small records beside the manifests: marker, name, state, alias, idempotency claim."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, cast

from metamlflow.format.documents import FORMAT, Fields, Problems, dump, format_instant, parse_object, shown
from metamlflow.format.layout import MARKER, state_number_of_key
from metamlflow.format.manifests import is_digest, is_record_id, is_uuid
from metamlflow.model.aliases import AliasChange
from metamlflow.model.manifests import WRITER
from metamlflow.model.names import MAX_VERSION
from metamlflow.model.notes import note_problem
from metamlflow.model.uris import uri_problem

DEFAULT_GRACE = timedelta(days=7)
FEATURES: frozenset[str] = frozenset()
"""The features that ``requires`` of a marker may name. Format 1 begins with none."""

State = Literal["pruned", "restored", "absent"]
STATES: tuple[State, ...] = ("pruned", "restored", "absent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What makes a folder or prefix a store.

    Attributes:
        record_id: of this record.
        store_id: random, for as long as the store lives; a migrated store has its own.
        created_at: when.
        grace: how long bytes that nothing names are kept; a constant of the store.
    """

    record_id: str
    store_id: str
    created_at: datetime
    grace: timedelta = DEFAULT_GRACE


def encode_marker(marker: Marker) -> bytes:
    """Return the bytes of the marker."""
    return dump(
        {
            "created_at": format_instant(marker.created_at),
            "format": FORMAT,
            "grace_seconds": int(marker.grace.total_seconds()),
            "record_id": marker.record_id,
            "requires": [],
            "store_id": marker.store_id,
        }
    )


def decode_marker(data: bytes) -> Marker:
    """Read the marker.

    Raises:
        StoreFormatError: it is damaged, or the store needs a newer library.
    """
    fields, problems = open_record(data, MARKER, "store marker")
    fields.requires(FEATURES)
    marker = Marker(
        record_id=fields.text("record_id", is_record_id),
        store_id=fields.text("store_id", is_record_id),
        created_at=fields.instant("created_at"),
        grace=timedelta(seconds=fields.integer("grace_seconds", 1, 10**10)),
    )
    problems.raise_if_any("store marker")
    return marker


def encode_name(name: str, record_id: str, created_at: datetime) -> bytes:
    """Return the bytes of the record that makes a name listable."""
    return dump({"created_at": format_instant(created_at), "format": FORMAT, "name": name, "record_id": record_id})


def check_name_record(data: bytes, key: str, name: str) -> None:
    """Check the record that makes a name listable. Readers go by its key alone.

    Raises:
        StoreFormatError: it is damaged, or speaks of another name.
    """
    fields, problems = open_record(data, key, "name record")
    if (said := fields.text("name")) and said != name:
        fields.note("name", f"expected {shown(name)}, as the key has it, got {shown(said)}")
    check_origin(fields)
    problems.raise_if_any("name record")


@dataclass(frozen=True, slots=True)
class StateRecord:
    """What a state record says.

    Attributes:
        state: the state.
        manifest_digest: of the manifest that it speaks of. It says nothing of another one under that number.
        created_by: who changed the state, for people; None if that is not recorded.
        note: why, if that was said.
    """

    state: State
    manifest_digest: str
    created_by: str | None = field(default=None, compare=False)
    note: str | None = field(default=None, compare=False)


def encode_state(
    state: State,
    manifest_digest: str,
    record_id: str,
    created_at: datetime,
    created_by: str | None = None,
    note: str | None = None,
) -> bytes:
    """Return the bytes of a state record of the version whose manifest has this digest."""
    said = {name: value for name, value in (("created_by", created_by), ("note", note)) if value is not None}
    return dump(
        {
            **said,
            "created_at": format_instant(created_at),
            "format": FORMAT,
            "manifest_digest": manifest_digest,
            "record_id": record_id,
            "state": state,
        }
    )


def decode_state(data: bytes, key: str) -> StateRecord:
    """Read a version's state record."""
    fields, problems = open_record(data, key, "state record")
    state = fields.text("state", lambda value: None if value in STATES else f"expected one of {', '.join(STATES)}")
    # The number alone tells a listing whether the version is live, so the two must agree.
    if (number := state_number_of_key(key)) and state in STATES and (state == "restored") == bool(number % 2):
        fields.note("state", f'"{state}" cannot be record {number}: even ones restore, odd ones do not')
    manifest_digest = fields.text("manifest_digest", is_digest)
    created_by, note = fields.optional_text("created_by"), fields.optional_text("note", note_problem)
    check_origin(fields)
    problems.raise_if_any("state record")
    return StateRecord(cast("State", state), manifest_digest, created_by, note)


def encode_alias(
    version: int | None,
    record_id: str,
    created_at: datetime,
    *,
    created_by: str | None = None,
    note: str | None = None,
    writer: str | None = None,
) -> bytes:
    """Return the bytes of an alias record; None as the version removes the alias. Other fields of None are left out."""
    said = {"created_by": created_by, "note": note, WRITER: writer}
    return dump(
        {
            **{field: value for field, value in said.items() if value is not None},
            "created_at": format_instant(created_at),
            "format": FORMAT,
            "record_id": record_id,
            "version": version,
        }
    )


def decode_alias(data: bytes, key: str) -> int | None:
    """Read an alias record: the version that it stands for, or None if it was removed."""
    return decode_alias_change(data, key, "", "", 0).version


def decode_alias_change(data: bytes, key: str, name: str, alias: str, number: int) -> AliasChange:
    """Read record ``number`` of an alias of a name, with all that it says.

    Raises:
        StoreFormatError: it is damaged, or its note is beyond the limit.
    """
    fields, problems = open_record(data, key, "alias record")
    fields.text("record_id", is_record_id)
    change = AliasChange(
        name=name,
        alias=alias,
        number=number,
        version=None if fields.is_null("version") else fields.integer("version", 1, MAX_VERSION),
        note=fields.optional_text("note", note_problem),
        created_at=fields.instant("created_at"),
        created_by=fields.optional_text("created_by"),
        writer=fields.optional_text(WRITER),
    )
    problems.raise_if_any("alias record")
    return change


@dataclass(frozen=True, slots=True)
class Claim:
    """What an idempotency record says: its publish is to become this version, under this record and artifact id."""

    version: int
    record_id: str
    artifact_id: str


def encode_claim(claim: Claim, created_at: datetime) -> bytes:
    """Return the bytes of an idempotency record."""
    return dump(
        {
            "artifact_id": claim.artifact_id,
            "created_at": format_instant(created_at),
            "format": FORMAT,
            "record_id": claim.record_id,
            "version": claim.version,
        }
    )


def decode_claim(data: bytes, key: str) -> Claim:
    """Read an idempotency record."""
    fields, problems = open_record(data, key, "idempotency record")
    claim = Claim(
        version=fields.integer("version", 1, MAX_VERSION),
        record_id=fields.text("record_id", is_record_id),
        artifact_id=fields.text("artifact_id", is_uuid),
    )
    fields.instant("created_at")
    problems.raise_if_any("idempotency record")
    return claim


@dataclass(frozen=True, slots=True)
class Relocation:
    """Data that is only pointed to has moved.

    Attributes:
        old: where it was: the URI of an object, or one that ends in a slash and stands for all that begins with it.
        new: where it is now; it ends in a slash if ``old`` does.
    """

    old: str
    new: str


def relocation_problem(relocation: Relocation) -> str | None:
    """Return what is wrong with a relocation, or None."""
    for uri in (relocation.old, relocation.new):
        if problem := uri_problem(uri):
            return problem
    if relocation.old.endswith("/") != relocation.new.endswith("/"):
        return "either both URIs end in a slash, or neither does"
    return "old and new are the same" if relocation.old == relocation.new else None


def encode_relocation(relocation: Relocation, record_id: str, created_at: datetime) -> bytes:
    """Return the bytes of a relocation."""
    return dump(
        {
            "created_at": format_instant(created_at),
            "format": FORMAT,
            "new": relocation.new,
            "old": relocation.old,
            "record_id": record_id,
        }
    )


def decode_relocation(data: bytes, key: str) -> Relocation:
    """Read a relocation."""
    fields, problems = open_record(data, key, "relocation")
    relocation = Relocation(fields.text("old"), fields.text("new"))
    check_origin(fields)
    problems.raise_if_any("relocation")
    if problem := relocation_problem(relocation):
        fields.note("old", problem)
        problems.raise_if_any("relocation")
    return relocation


def check_origin(fields: Fields) -> None:
    """Note what is wrong with the two fields that every record has."""
    fields.text("record_id", is_record_id)
    fields.instant("created_at")


def open_record(data: bytes, key: str, what: str) -> tuple[Fields, Problems]:
    """Return the fields of a record, its format checked, and where problems with them are noted."""
    problems = Problems(key)
    document = parse_object(data, problems)
    if document is None:
        problems.raise_if_any(what)
    fields = Fields(document, "", problems)
    fields.format()
    return fields, problems
