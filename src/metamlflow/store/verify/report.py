"""The results of a verification, of one version and of many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from metamlflow._looks import counted as _counted
from metamlflow._looks import grid_of
from metamlflow.errors import IntegrityError, StoreFormatError
from metamlflow.model.findings import STATUSES, Finding, Level

if TYPE_CHECKING:
    from rich.table import Table


def counted(files: int, findings: Iterable[Finding]) -> dict[str, int]:
    """Return the number of files with each status; files without a finding are ``ok``."""
    counts = dict.fromkeys(("ok", *STATUSES), 0)
    paths = set()
    for finding in findings:
        counts[finding.status] += 1
        paths.add(finding.path)
    counts["ok"] = files - len(paths - {""})
    return counts


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of a verification. True in a condition if all is well.

    Attributes:
        name: the name of the artifact.
        version: its number.
        level: the requested level.
        files: the number of files in the version.
        bytes: the number of bytes read.
        findings: everything that is not as registered, in path order.
    """

    name: str
    version: int
    level: Level
    files: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as it was registered."""
        return not self.findings

    @property
    def counts(self) -> dict[str, int]:
        """The number of files that are ``ok``, ``modified``, ``missing``, ``unreadable`` and ``unverifiable``."""
        return counted(self.files, self.findings)

    def __bool__(self) -> bool:
        return self.ok

    def with_findings(self, more: Iterable[Finding]) -> VerifyReport:
        """Return the report with further findings at its end."""
        return replace(self, findings=(*self.findings, *more))

    def raise_if_failed(self) -> None:
        """Raise IntegrityError for the first finding, if there is one; its message names the others."""
        if self.ok:
            return
        first = self.findings[0]
        lines = "\n  ".join(
            f"{f.path or f.key}: {f.status}, expected {f.expected}, got {f.actual}" for f in self.findings
        )
        if any(finding.status in ("modified", "missing") for finding in self.findings):
            what = "is not as it was registered"
            hint = "Restore these objects from a copy of the store, or use another version."
        else:
            what = "could not be verified"
            hint = "No damage is known. Remove the cause that kept it from being read, and verify it again."
        raise IntegrityError(
            f"{self.name}@{self.version} {what}:\n  {lines}",
            hint=hint,
            expected=first.expected,
            actual=first.actual,
            path=first.path,
            key=first.key,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "level": self.level,
            "ok": self.ok,
            "files": self.files,
            "bytes": self.bytes,
            "counts": self.counts,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def __repr__(self) -> str:
        return f"<VerifyReport {self.name}@{self.version}: {self._verdict}, level {self.level}>"

    @property
    def _verdict(self) -> str:
        files = _counted(self.files, "file")
        if self.ok:
            return f"ok, {files}"
        counts = ", ".join(f"{count:,} {status}" for status, count in self.counts.items() if count and status != "ok")
        return f"failed: {counts} of {files}"

    def _repr_html_(self) -> str:
        return _page(f"{self.name}@{self.version}: {self._verdict}, level {self.level}", [self], [])

    def __rich__(self) -> Table:
        """Return the report as a table for rich."""
        return _table([self])


@dataclass(frozen=True, slots=True)
class UnreadableVersion:
    """A version whose record is damaged, so that not even its files are known; or a gap in a name's versions.

    Attributes:
        reference: the name, or name and version.
        error: why it cannot be read.
    """

    reference: str
    error: StoreFormatError | IntegrityError

    def to_json(self) -> dict[str, Any]:
        """Return the version as JSON values."""
        error = self.error
        return {
            "reference": self.reference,
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying many versions. True in a condition if all is well.

    Attributes:
        reports: one for each version, in the order of the names and numbers.
        errors: versions whose record cannot be read, and gaps in a name's versions.
    """

    reports: tuple[VerifyReport, ...] = field(default=())
    errors: tuple[UnreadableVersion, ...] = field(default=())

    @classmethod
    def of(cls, found: Iterable[VerifyReport | UnreadableVersion]) -> Verification:
        """Return the results of many versions, as one."""
        found = list(found)
        return cls(
            tuple(report for report in found if isinstance(report, VerifyReport)),
            tuple(error for error in found if isinstance(error, UnreadableVersion)),
        )

    @property
    def ok(self) -> bool:
        """Whether everything is as it was registered."""
        return not self.errors and all(self.reports)

    @property
    def counts(self) -> dict[str, int]:
        """The number of files of all versions with each status, as in a report."""
        every = [report.counts for report in self.reports]
        return {status: sum(counts[status] for counts in every) for status in ("ok", *STATUSES)}

    @property
    def exit_code(self) -> int:
        """0 if all is well, else 1: for ``sys.exit`` in a nightly job."""
        return 0 if self.ok else 1

    def __bool__(self) -> bool:
        return self.ok

    def to_json(self) -> dict[str, Any]:
        """Return the reports as JSON values."""
        return {
            "ok": self.ok,
            "counts": self.counts,
            "reports": [report.to_json() for report in self.reports],
            "errors": [error.to_json() for error in self.errors],
        }

    def __repr__(self) -> str:
        return f"<Verification {self._verdict}>"

    @property
    def _verdict(self) -> str:
        found = f"{_counted(len(self.reports), 'version')}, {_counted(sum(r.files for r in self.reports), 'file')}"
        if self.ok:
            return f"ok: {found}"
        failed = sum(not report for report in self.reports)
        errors = f", {_counted(len(self.errors), 'record')} damaged or missing" if self.errors else ""
        return f"failed: {failed:,} of {found}{errors}"

    def _repr_html_(self) -> str:
        return _page(f"Verification {self._verdict}", self.reports, self.errors)

    def __rich__(self) -> Table:
        """Return the reports as a table for rich."""
        table = _table(self.reports)
        for error in self.errors:
            table.add_row(error.reference, "unreadable", error.error.message)
        return table


def _page(title: str, reports: Iterable[VerifyReport], errors: Iterable[UnreadableVersion]) -> str:
    """Return the results as HTML; failures come first, because the page shows a limited number."""
    rows: list[tuple[object, ...]] = [(error.reference, "unreadable", error.error.message) for error in errors]
    for report in sorted(reports, key=bool):
        reference = f"{report.name}@{report.version}"
        if report.ok:
            rows.append((reference, "ok", _counted(report.files, "file")))
        for finding in report.findings:
            what = f"{finding.path or finding.key}: expected {finding.expected}, got {finding.actual}"
            rows.append((reference, finding.status, what))
    return grid_of(title, ("artifact", "status", "what"), rows)


def _table(reports: Iterable[VerifyReport]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("ARTIFACT", "STATUS", "WHAT", box=None, pad_edge=False, header_style="bold")
    for report in reports:
        counts = ", ".join(f"{count:,} {status}" for status, count in report.counts.items() if count) or "no files"
        reference = escape(f"{report.name}@{report.version}")
        table.add_row(reference, "ok" if report.ok else "failed", f"level {report.level}: {counts}")
        for finding in report.findings:
            what = f"{finding.path or finding.key}: expected {finding.expected}, got {finding.actual}"
            table.add_row("", finding.status, escape(what))
    return table
