"""The space of a version, of a name, and at the end of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from metamlflow._looks import utc_text


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """The space of one version. All sizes are in bytes.

    Attributes:
        name: the name.
        version: its number.
        state: ``live``, ``pruned``, ``absent``, or ``unknown`` if a damaged record would tell.
        created_at: when it was registered, in UTC; None if its record cannot be read.
        files: the number of its files.
        bytes: of the content that it names and the store has; content that it names twice counts once.
        own: the part of it that no other live version names.
        shared: the part of it that others name, too.
        pointed: of its data outside of the store.
    """

    name: str
    version: int
    state: str
    created_at: datetime | None
    files: int
    bytes: int
    own: int
    shared: int
    pointed: int

    @property
    def frees(self) -> int:
        """What pruning it would free after the grace; nothing more if it is not live."""
        return self.own if self.state == "live" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the version as JSON values."""
        fields = ("name", "version", "state", "files", "bytes", "own", "shared", "pointed", "frees")
        created = None if self.created_at is None else utc_text(self.created_at)
        return {"created_at": created} | {field: getattr(self, field) for field in fields}


@dataclass(frozen=True, slots=True)
class NameUsage:
    """The space of one name, or of all names below one. All sizes are in bytes.

    Attributes:
        name: the name, or what the names begin with, if ``depth`` was given.
        versions: the number of its versions that have a manifest.
        live: the number of its live versions.
        bytes: of the content that its versions name and the store has, each content once.
        own: the part of it that no other name's live version names: what pruning all of them would free.
        shared: the part of it that other names need, too.
        pointed: of its data outside of the store.
    """

    name: str
    versions: int
    live: int
    bytes: int
    own: int
    shared: int
    pointed: int

    def to_json(self) -> dict[str, Any]:
        """Return the name as JSON values."""
        fields = ("name", "versions", "live", "bytes", "own", "shared", "pointed")
        return {field: getattr(self, field) for field in fields}


@dataclass(frozen=True, slots=True)
class Growth:
    """What was there at the end of a day, by the times in the manifests.

    Attributes:
        day: the day, in UTC.
        registered: the bytes of all versions registered until then, as if nothing were shared.
        stored: the bytes that they needed, each content once.
    """

    day: date
    registered: int
    stored: int

    def to_json(self) -> dict[str, Any]:
        """Return the day as JSON values."""
        return {"day": self.day.isoformat(), "registered": self.registered, "stored": self.stored}
