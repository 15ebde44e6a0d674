"""What an erasure deleted, or would delete, and what stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metamlflow._looks import counted, grid_of, one_line

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class ErasedObject:
    """An object that goes with a version.

    Attributes:
        kind: ``manifest``, ``note``, ``protection``, ``signature``, or ``cache`` (which anybody makes again).
        key: in the store.
        reason: why it could not be deleted; empty if it was, or will be.
    """

    kind: str
    key: str
    reason: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as JSON values."""
        return {"kind": self.kind, "key": self.key, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Remaining:
    """Something of an erased version that stays.

    Attributes:
        what: what it is.
        why: why it stays, and what to do about it.
    """

    what: str
    why: str

    def to_json(self) -> dict[str, str]:
        """Return it as JSON values."""
        return {"what": self.what, "why": self.why}


@dataclass
class ErasureReport:
    """What an erasure did, or a dry run would do. True in a condition if nothing failed.

    Attributes:
        name: the name of the artifact.
        version: its number, which is never used again.
        dry_run: whether nothing was done.
        manifest_digest: of the erased version: what its number stands for from now on.
        reason: why it was erased.
        goes: the objects that were deleted, or would be.
        stays: what stays of it, here and elsewhere.
        failed: the objects that could not be deleted; erase again.
        manifest_from: from when on its manifest may be deleted, in UTC, if that is not yet: on a disk, and wherever
            listings are in no order. Erase again then; or the next collection after that deletes it.
    """

    name: str
    version: int
    dry_run: bool
    manifest_digest: str
    reason: str | None = None
    goes: list[ErasedObject] = field(default_factory=list)
    stays: list[Remaining] = field(default_factory=list)
    failed: list[ErasedObject] = field(default_factory=list)
    manifest_from: datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def __bool__(self) -> bool:
        return self.ok

    def summary(self) -> str:
        """Return the report in one line."""
        done = "to be erased" if self.dry_run else "erased"
        text = f"{one_line(self.name)}@{self.version}: {done}, {counted(len(self.goes), 'object')} of it"
        if self.manifest_from:
            text += f"; its manifest is deleted from {self.manifest_from:%Y-%m-%d %H:%M:%S} UTC on"
        return text + (f"; {len(self.failed):,} failed" if self.failed else "")

    def __repr__(self) -> str:
        return f"<ErasureReport {'ok' if self.ok else 'failed'}: {self.summary()}>"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        lists = {name: [each.to_json() for each in getattr(self, name)] for name in ("goes", "stays", "failed")}
        return {
            "name": self.name,
            "version": self.version,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "manifest_digest": self.manifest_digest,
            "reason": self.reason,
            "manifest_from": self.manifest_from and self.manifest_from.isoformat(),
            **lists,
        }

    def _repr_html_(self) -> str:
        rows = [("failed", it.key, it.reason) for it in self.failed] + [("goes", it.key, it.kind) for it in self.goes]
        rows += [("stays", it.what, it.why) for it in self.stays]
        return grid_of(f"Erasure of {self.summary()}", ("", "what", "why"), rows)

    def __rich__(self) -> Table:
        """Return the report as a table for rich."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("", "WHAT", "WHY", box=None, pad_edge=False, header_style="bold")
        for status, what, why in (
            *(("failed", it.key, it.reason) for it in self.failed),
            *(("goes", it.key, it.kind) for it in self.goes),
            *(("stays", it.what, it.why) for it in self.stays),
        ):
            table.add_row(status, escape(what), escape(why))
        return table
