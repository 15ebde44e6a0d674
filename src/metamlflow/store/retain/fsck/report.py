"""The findings of an examination, and what was mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metamlflow._looks import bytes_text, counted, grid_of, one_line
from metamlflow.model.findings import Level
from metamlflow.store.retain.fsck.kinds import KINDS, Severity

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class FsckFinding:
    """One thing in a store that is not as it should be.

    Attributes:
        kind: what it is, such as ``blob-missing``; ``docs/fsck.md`` lists all kinds.
        key: the object in the store; of the local cache a path.
        message: what was found there.
        name: the artifact's name; empty if it is about none.
        version: its version; None if it is about none.
        path: the logical path of the file; empty if it is about none.
        expected: what was registered or recorded; empty if that says nothing.
        actual: what is there.
        severity: ``fault``, or ``note`` for what harms nobody.
        mended: whether it was put right.
        reason: why it was not put right, where that was tried.
    """

    kind: str
    key: str
    message: str
    name: str = ""
    version: int | None = None
    path: str = ""
    expected: str = ""
    actual: str = ""
    severity: Severity = "fault"
    mended: bool = False
    reason: str = ""

    @property
    def means(self) -> str:
        """What it means to whoever uses the store."""
        return KINDS[self.kind].means

    @property
    def remedy(self) -> str:
        """What to do."""
        return KINDS[self.kind].remedy

    @property
    def mendable(self) -> bool:
        """Whether a repair can put it right: from the store itself, or from a copy that has what it takes."""
        return KINDS[self.kind].mending != "none"

    @property
    def derivable(self) -> bool:
        """Whether a repair can put it right from the store itself."""
        return KINDS[self.kind].mending == "derived"

    @property
    def reference(self) -> str:
        """Name and version, such as ``features@2``; the name alone, or empty."""
        return self.name if self.version is None else f"{self.name}@{self.version}"

    @property
    def status(self) -> str:
        """``mended``, ``fault`` or ``note``."""
        return "mended" if self.mended else self.severity

    def as_mended(self, reason: str | None) -> FsckFinding:
        """Return the finding after an attempt to put it right, which failed for this reason, or None."""
        return replace(self, mended=reason is None, reason=reason or "")

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        fields = ("kind", "severity", "key", "message", "name", "version", "path", "expected", "actual")
        more = ("means", "remedy", "mendable", "mended", "reason")
        return {field: getattr(self, field) for field in (*fields, *more)}


def found(kind: str, key: str, message: str, **more: Any) -> FsckFinding:
    """Return a finding of a kind, with the severity of that kind unless another is given."""
    return FsckFinding(kind, key, message, **{"severity": KINDS[kind].severity, **more})


@dataclass(frozen=True, slots=True)
class FsckReport:
    """The result of examining a store. True in a condition if no fault is left.

    Attributes:
        uri: the URI of the store.
        level: how the content was examined.
        findings: everything that was found, faults first.
        versions: how many versions there are, pruned and erased ones included.
        records: how many records were read.
        blobs: how many blobs live versions name.
        examined: how many of these were read, or looked at one by one; the size of all was compared in a listing.
        bytes: the number of bytes of content read.
        dry_run: whether a repair was only planned: then ``mended`` of a finding says what would be put right.
    """

    uri: str
    level: Level
    findings: tuple[FsckFinding, ...]
    versions: int
    records: int
    blobs: int
    examined: int
    bytes: int
    dry_run: bool = False

    @property
    def ok(self) -> bool:
        """Whether no fault is left. Notes do not count; neither does what a repair has put right."""
        return not any(
            finding.severity == "fault" and (self.dry_run or not finding.mended) for finding in self.findings
        )

    @property
    def faults(self) -> tuple[FsckFinding, ...]:
        """The findings that are faults, mended ones included."""
        return tuple(finding for finding in self.findings if finding.severity == "fault")

    @property
    def notes(self) -> tuple[FsckFinding, ...]:
        """The findings that harm nobody."""
        return tuple(finding for finding in self.findings if finding.severity == "note")

    @property
    def mended(self) -> tuple[FsckFinding, ...]:
        """The findings that were put right, or would be in a dry run."""
        return tuple(finding for finding in self.findings if finding.mended)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind that was found."""
        return dict(sorted(Counter(finding.kind for finding in self.findings).items()))

    @property
    def exit_code(self) -> int:
        """0 if no fault is left, else 1: for ``sys.exit`` in a nightly job."""
        return 0 if self.ok else 1

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<FsckReport of {one_line(self.uri)}: {self.verdict}>"

    @property
    def verdict(self) -> str:
        """The result in one line."""
        looked = (
            f"{counted(self.versions, 'version')}, {counted(self.records, 'record')}, {counted(self.blobs, 'blob')}, "
            f"{bytes_text(self.bytes)} read, level {self.level}"
        )
        faults, notes, mended = len(self.faults), len(self.notes), len(self.mended)
        parts = [counted(faults, "fault")] if faults else ["sound"]
        parts += [f"{mended:,} {'would be mended' if self.dry_run else 'mended'}"] if mended else []
        parts += [counted(notes, "note")] if notes else []
        return f"{', '.join(parts)} ({looked})"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        fields = ("uri", "ok", "level", "versions", "records", "blobs", "examined", "bytes", "dry_run", "counts")
        return {field: getattr(self, field) for field in fields} | {
            "findings": [finding.to_json() for finding in self.findings]
        }

    def _repr_html_(self) -> str:
        rows = [
            (finding.status, finding.kind, finding.reference, finding.key, finding.message, finding.remedy)
            for finding in self.findings
        ]
        heads = ("status", "kind", "artifact", "object", "what", "remedy")
        return grid_of(f"Examination of {self.uri}: {self.verdict}", heads, rows)

    def __rich__(self) -> Table:
        """Return the findings as a table for rich."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("STATUS", "KIND", "ARTIFACT", "OBJECT", "WHAT", box=None, pad_edge=False, header_style="bold")
        for finding in self.findings:
            what = f"{finding.message} ({finding.reason})" if finding.reason else finding.message
            table.add_row(finding.status, finding.kind, *map(escape, (finding.reference, finding.key, what)))
        return table


def ordered(findings: Sequence[FsckFinding]) -> tuple[FsckFinding, ...]:
    """Return findings in the order of a report: faults first, then by kind, name and key; each once."""
    once = {(finding.kind, finding.key, finding.version): finding for finding in reversed(findings)}
    return tuple(
        sorted(once.values(), key=lambda finding: (finding.severity == "note", finding.kind, finding.name, finding.key))
    )
