"""The result, or the plan, of a prune: what became of each version and why, as values, as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metamlflow._looks import bytes_text, grid_of, minute_text, one_line, utc_text

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class PruneDecision:
    """What a prune decided about one version.

    Attributes:
        name: the name of the artifact.
        version: its number.
        reason: the rule or the obstacle that decided.
        bytes: the sum of the sizes of its files; None if its manifest was not read. Other versions may share them.
        restorable_until: of a pruned version: ``client.restore`` undoes it until then, by the storage's clock; in a dry
            run, if it were pruned now.
    """

    name: str
    version: int
    reason: str
    bytes: int | None = None
    restorable_until: datetime | None = None

    @property
    def ref(self) -> str:
        """The version, such as ``model@3``."""
        return f"{self.name}@{self.version}"

    def __repr__(self) -> str:
        return f"<PruneDecision {one_line(self.ref)}: {one_line(self.reason, 200)}>"

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        until = self.restorable_until
        return {
            "ref": self.ref,
            "name": self.name,
            "version": self.version,
            "reason": self.reason,
            "bytes": self.bytes,
            "restorable_until": None if until is None else utc_text(until),
        }


@dataclass
class PruneReport:
    """The result of a prune, or its plan (``dry_run``). True in a condition if nothing failed.

    Attributes:
        dry_run: whether nothing was done: then ``pruned`` holds what would be.
        pruned: the versions that were pruned.
        kept: the live versions that were considered and stay, each with the first reason that keeps it.
        gone: versions that were asked for by number and were not live any more.
        failed: versions that could not be pruned, or could not be looked at again after it.
        damaged: what was found missing or damaged on the way. If anything is, nothing was pruned.
        warnings: observations that changed nothing, such as an alias of a version that is pruned.
    """

    dry_run: bool = False
    pruned: list[PruneDecision] = field(default_factory=list)
    kept: list[PruneDecision] = field(default_factory=list)
    gone: list[PruneDecision] = field(default_factory=list)
    failed: list[PruneDecision] = field(default_factory=list)
    damaged: list[PruneDecision] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing was found damaged."""
        return not self.failed and not self.damaged

    def __bool__(self) -> bool:
        return self.ok

    def add(self, other: PruneReport) -> None:
        """Take in the decisions and warnings of another report."""
        for group in ("pruned", "kept", "gone", "failed", "damaged", "warnings"):
            getattr(self, group).extend(getattr(other, group))

    @property
    def bytes(self) -> int:
        """The sum of the sizes of what was pruned. A collection frees at most so much: versions share content."""
        return sum(decision.bytes or 0 for decision in self.pruned)

    @property
    def decisions(self) -> list[tuple[str, PruneDecision]]:
        """Every decision with its status: failures first, then what was pruned, then what stays."""
        pruned = "would prune" if self.dry_run else "pruned"
        groups = (
            ("damaged", self.damaged),
            ("failed", self.failed),
            (pruned, self.pruned),
            ("gone", self.gone),
            ("kept", self.kept),
        )
        return [(status, decision) for status, group in groups for decision in group]

    def summary(self) -> str:
        """Return the whole report in one line."""
        pruned = "would be pruned" if self.dry_run else "pruned"
        text = f"{len(self.pruned):,} {pruned} ({bytes_text(self.bytes)}), {len(self.kept):,} kept"
        for what, group in (("not live any more", self.gone), ("failed", self.failed), ("damaged", self.damaged)):
            text += f", {len(group):,} {what}" if group else ""
        if self.pruned and not self.dry_run:
            first = min((d.restorable_until for d in self.pruned if d.restorable_until), default=None)
            text += f"; `client.restore` brings them back until {minute_text(first)}" if first else ""
        return text

    def __repr__(self) -> str:
        what = "plan" if self.dry_run else "ok" if self.ok else "failed"
        return f"<PruneReport {what}: {self.summary()}>"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        groups = ("pruned", "kept", "gone", "failed", "damaged")
        return {
            "dry_run": self.dry_run,
            "ok": self.ok,
            "bytes": self.bytes,
            **{group: [decision.to_json() for decision in getattr(self, group)] for group in groups},
            "warnings": list(self.warnings),
        }

    def _repr_html_(self) -> str:
        title = f"{'Plan of a prune' if self.dry_run else 'Prune'}: {self.summary()}"
        rows = [
            (
                decision.ref,
                status,
                decision.reason,
                "" if decision.bytes is None else bytes_text(decision.bytes),
                minute_text(decision.restorable_until) if decision.restorable_until else "",
            )
            for status, decision in self.decisions
        ]
        page = grid_of(title, ("version", "decision", "reason", "size", "can be restored until"), rows)
        noted = [(text,) for text in self.warnings]
        return page + (grid_of("Warnings", ("what was seen",), noted) if noted else "")

    def __rich__(self) -> Table:
        """Return the report as a table for rich."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("VERSION", "DECISION", "SIZE", "REASON", box=None, pad_edge=False, header_style="bold")
        for status, decision in self.decisions:
            size = "-" if decision.bytes is None else bytes_text(decision.bytes)
            table.add_row(escape(decision.ref), status, size, escape(one_line(decision.reason, 200)))
        return table
