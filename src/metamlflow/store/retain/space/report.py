"""The space that a store takes: by name, by version, in time, and what nothing needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamlflow._arguments import absolute_path
from metamlflow._looks import bytes_text, counted, grid_of, one_line, utc_text
from metamlflow.backend import translated_errors

if TYPE_CHECKING:
    from rich.table import Table


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


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The space that a store takes. All sizes are in bytes.

    Attributes:
        uri: the URI of the store.
        blobs: the number of its blobs.
        bytes: of all blobs.
        live: of those that live versions name.
        pruned: of those that only versions name that are not live.
        pruned_old: the part of these that a collection may free now.
        garbage: of those that no version names.
        garbage_blobs: their number.
        garbage_old: the part of their bytes that is older than the grace, which a collection may free now. The rest may
            belong to a registration that is under way.
        missing: of content that live versions name and the store does not have.
        pointed: of data outside of the store.
        names: by name, the largest first.
        versions: by version, by name and number.
        growth: one entry for each day on which something was registered.
        unreadable: the records that could not be read. What they name seems to be garbage, and is none.
    """

    uri: str
    blobs: int
    bytes: int
    live: int
    pruned: int
    pruned_old: int
    garbage: int
    garbage_blobs: int
    garbage_old: int
    missing: int
    pointed: int
    names: tuple[NameUsage, ...]
    versions: tuple[VersionUsage, ...]
    growth: tuple[Growth, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def collectable(self) -> int:
        """What a collection may free now; 0 if a record cannot be read, since a collection then deletes nothing."""
        return 0 if self.unreadable else self.garbage_old + self.pruned_old

    @property
    def complete(self) -> bool:
        """Whether every record was read, so that the figures are exact."""
        return not self.unreadable

    def __repr__(self) -> str:
        return f"<UsageReport of {one_line(self.uri)}: {self.verdict}>"

    @property
    def verdict(self) -> str:
        """The totals in one line."""
        parts = [f"{bytes_text(self.bytes)} in {counted(self.blobs, 'blob')}", f"{bytes_text(self.live)} live"]
        parts += [f"{bytes_text(self.pruned)} of pruned versions"] if self.pruned else []
        parts += [f"{bytes_text(self.garbage)} that no version names"] if self.garbage else []
        parts += [f"{bytes_text(self.missing)} missing"] if self.missing else []
        parts += [f"{bytes_text(self.pointed)} elsewhere"] if self.pointed else []
        if not self.complete:
            parts.append(f"not exact: {counted(len(self.unreadable), 'record')} cannot be read")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        totals = ("bytes", "live", "pruned", "pruned_old", "garbage", "garbage_blobs", "garbage_old", "missing")
        fields = ("uri", "complete", "blobs", *totals, "pointed", "collectable")
        return {field: getattr(self, field) for field in fields} | {
            "names": [name.to_json() for name in self.names],
            "versions": [version.to_json() for version in self.versions],
            "growth": [day.to_json() for day in self.growth],
            "unreadable": list(self.unreadable),
        }

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as one page that needs no network and runs no script; write it to a file, too, if given."""
        from metamlflow.store.retain.space.page import page

        text = page(self)
        if path is not None:
            file = Path(absolute_path(os.fspath(path)))
            with translated_errors(str(file)):
                file.write_text(text, "utf-8")
        return text

    def _repr_html_(self) -> str:
        rows = [
            (each.name, each.versions, *map(bytes_text, (each.bytes, each.own, each.shared, each.pointed)))
            for each in self.names
        ]
        heads = ("name", "versions", "bytes", "own", "shared", "elsewhere")
        return grid_of(f"Space of {self.uri}: {self.verdict}", heads, rows)

    def __rich__(self) -> Table:
        """Return the names as a table for rich."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("NAME", "VERSIONS", "BYTES", "OWN", "SHARED", "ELSEWHERE", box=None, pad_edge=False)
        for each in self.names:
            sizes = map(bytes_text, (each.bytes, each.own, each.shared, each.pointed))
            table.add_row(escape(each.name), f"{each.versions:,}", *sizes)
        return table
