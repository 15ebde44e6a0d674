"""What a migration did, or is going to do: of each version, as values, as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_GOOD = frozenset({"migrated", "absent", "present", "planned"})


@dataclass
class VersionReport:
    """What became of one version.

    Attributes:
        name: of the artifact.
        version: its number.
        status: ``migrated``; ``absent`` (its manifest went, its bytes were not to go); ``present`` (nothing was left to
            do, and it was not looked at again); ``planned``; ``conflict``; ``skipped`` (after another failed);
            ``failed``.
        manifest_digest: of its manifest at the source; empty if it was not read.
        files: how many it has.
        objects: how many of its blobs the destination did not have before; planned: how many it is expected to need.
        bytes: of these.
        requests: planned: about how many, at both ends.
        reason: what went wrong, if something did.
    """

    name: str
    version: int
    status: str
    manifest_digest: str = ""
    files: int = 0
    objects: int = 0
    bytes: int = 0
    requests: int = 0
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class MigrationReport:
    """What a migration did, or with ``dry_run`` would do. True in a condition if nothing was refused and none failed.

    Attributes:
        source: URL of the store that was read.
        destination: URL of the store that was written.
        dry_run: whether nothing was done.
        versions: one report for each version, by name and number.
        problems: what went wrong beside the versions: names whose records could not be brought.
        seconds: how long it took.
    """

    source: str
    destination: str
    dry_run: bool = False
    versions: list[VersionReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was refused and nothing failed."""
        return not self.problems and all(version.status in _GOOD for version in self.versions)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def counts(self) -> dict[str, int]:
        """How many versions have each status."""
        found: dict[str, int] = {}
        for version in self.versions:
            found[version.status] = found.get(version.status, 0) + 1
        return found

    @property
    def totals(self) -> dict[str, int]:
        """The sums of ``files``, ``objects``, ``bytes`` and ``requests`` over all versions."""
        return {
            name: sum(getattr(v, name) for v in self.versions) for name in ("files", "objects", "bytes", "requests")
        }

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "source": self.source,
            "destination": self.destination,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            **self.totals,
            "versions": [version.to_json() for version in self.versions],
            "problems": self.problems,
        }

    def to_markdown(self) -> str:
        """Return the report as a Markdown page."""
        what = "Plan of a migration" if self.dry_run else "Migration"
        lines = [
            f"# {what}",
            "",
            f"From `{self.source}` to `{self.destination}`: {self.summary()}.",
            "",
            "| artifact | status | files | objects | bytes | manifest digest | reason |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(version) for version in self.versions]
        lines += ["", *(f"* {_cell(problem)}" for problem in self.problems)]
        return "\n".join(lines).rstrip() + "\n"

    def summary(self) -> str:
        """Return the whole in a line."""
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items())) or "nothing"
        totals = self.totals
        moved = f"{totals['objects']:,} objects and {totals['bytes']:,} bytes"
        if self.dry_run:
            return f"{counts}; about {moved}, and {totals['requests']:,} requests"
        return f"{counts}; {moved} new at the destination, in {self.seconds:.1f} s"


def _row(version: VersionReport) -> str:
    cells = (
        f"{version.name}@{version.version}",
        version.status,
        f"{version.files:,}",
        f"{version.objects:,}",
        f"{version.bytes:,}",
        f"`{version.manifest_digest}`" if version.manifest_digest else "",
        _cell(version.reason),
    )
    return f"| {' | '.join(cells)} |"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
