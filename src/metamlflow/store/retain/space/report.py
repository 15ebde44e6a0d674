"""The space that a store takes: by name, by version, in time, and what nothing needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamlflow._arguments import absolute_path
from metamlflow._looks import bytes_text, counted, grid_of, one_line
from metamlflow.backend import translated_errors
from metamlflow.store.retain.space.figures import Growth, NameUsage, VersionUsage
from metamlflow.store.retain.space.page import page

if TYPE_CHECKING:
    from rich.table import Table


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
        unreadable: the records that could not be read, and manifests that vanished. What they name seems to be
            garbage, and is none.
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
        warning = ""
        if not self.complete:
            warning = f"{counted(len(self.unreadable), 'record')} cannot be read, so these figures are not exact."
        text = page(self.uri, list(self._totals()), self.growth, self.names, warning)
        if path is not None:
            file = Path(absolute_path(os.fspath(path)))
            with translated_errors(str(file)):
                _write_whole(file, text)
        return text

    def _totals(self) -> Iterator[tuple[str, str]]:
        yield bytes_text(self.bytes), f"in {counted(self.blobs, 'blob')}"
        yield bytes_text(self.live), "needed by live versions"
        yield bytes_text(self.pruned), "of pruned versions only"
        yield bytes_text(self.garbage), "that no version names"
        yield bytes_text(self.collectable), "free to collect now"
        yield bytes_text(self.pointed), "pointed to, elsewhere"
        if self.missing:
            yield bytes_text(self.missing), "missing"

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


def _write_whole(file: Path, text: str) -> None:
    """Replace a file, or leave the one that is there as it is. A link stays, and what it leads to is replaced."""
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():  # a pipe, a device
        file.write_text(text, "utf-8")
        return
    new = file.with_name(f".{file.name[:100]}.{os.getpid()}.new")
    try:
        new.write_text(text, "utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
