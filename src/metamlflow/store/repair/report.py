"""The objects that a repair put back, and those that are still damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamlflow._looks import grid_of, one_line

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class RepairedObject:
    """One object that a repair dealt with.

    Attributes:
        path: the file's logical path; empty for a manifest or a list of files.
        key: the object's key in the store, or the URI of pointed data.
        reason: why the object is still damaged; empty if it was put back.
    """

    path: str
    key: str
    reason: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the object as JSON values."""
        return {"path": self.path, "key": self.key, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The result of repairing one version. True in a condition if nothing is damaged any more.

    Attributes:
        name: the name of the artifact.
        version: its number.
        repaired: the objects that were put back and then read again.
        damaged: the objects that are still missing or differ from the registered content.
    """

    name: str
    version: int
    repaired: tuple[RepairedObject, ...]
    damaged: tuple[RepairedObject, ...]

    @property
    def ok(self) -> bool:
        """Whether every object exists as it was registered."""
        return not self.damaged

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<RepairReport {self._verdict}>"

    @property
    def _verdict(self) -> str:
        damaged = f"failed: {len(self.damaged):,} damaged, " if self.damaged else "ok: "
        return f"{one_line(self.name)}@{self.version}: {damaged}{len(self.repaired):,} repaired"

    def _repr_html_(self) -> str:
        # Failures come first, because the page shows a limited number.
        found = [("damaged", it) for it in self.damaged] + [("repaired", it) for it in self.repaired]
        rows = [(status, it.path or "-", it.key, it.reason) for status, it in found]
        return grid_of(f"Repair of {self._verdict}", ("status", "path", "object", "reason"), rows)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "ok": self.ok,
            "repaired": [found.to_json() for found in self.repaired],
            "damaged": [found.to_json() for found in self.damaged],
        }

    def __rich__(self) -> Table:
        """Return the report as a table for rich."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("STATUS", "PATH", "OBJECT", box=None, pad_edge=False, header_style="bold")
        for status, objects in (("repaired", self.repaired), ("damaged", self.damaged)):
            for found in objects:
                what = f"{found.key}: {found.reason}" if found.reason else found.key
                table.add_row(status, escape(found.path or "-"), escape(what))
        return table
