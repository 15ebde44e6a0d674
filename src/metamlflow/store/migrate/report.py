"""The result, or the plan, of a migration: for each version, as values, as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metamlflow._looks import bytes_text, counted, grid_of

_GOOD = frozenset({"migrated", "absent", "present", "planned", "pruned", "erased"})


@dataclass
class VersionReport:
    """The result of one version.

    Attributes:
        name: the name of the artifact.
        version: its number.
        status: ``migrated``; ``absent`` (its manifest was copied, its bytes were left out); ``present`` (nothing was
            left to do, and it was not examined again); ``planned``; ``erased`` (at one end or both: nothing brings it
            back); ``pruned`` (it was erased at the source, and waits for the destination's grace); ``conflict``;
            ``skipped`` (after another failed); ``failed``.
        manifest_digest: the digest of its manifest at the source; None if it was not read.
        files: the number of its files; None if the manifest was not read.
        objects: how many of its blobs the destination did not have before; planned: how many it is expected to need.
        bytes: the bytes of these blobs.
        requests: planned: about how many, at both ends; else None.
        reason: the error or obstacle, if there was one.
    """

    name: str
    version: int
    status: str
    manifest_digest: str | None = None
    files: int | None = None
    objects: int = 0
    bytes: int = 0
    requests: int | None = None
    reason: str | None = None

    def __repr__(self) -> str:
        new = f"{counted(self.objects, 'object')} and {bytes_text(self.bytes)} new"
        return f"<VersionReport {self.name}@{self.version}: {self.status}, {new}>"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class MigrationReport:
    """The result of a migration, or its plan (``dry_run``). True in a condition if nothing was refused and none failed.

    Attributes:
        source: URL of the store that was read.
        destination: URL of the store that was written.
        dry_run: whether nothing was done.
        versions: one report for each version, by name and number.
        problems: failures beside the versions: records that could not be copied, pointed data that was not copied.
        notes: things that succeeded in another way than requested, such as content that no server would copy.
        copied_objects: how many objects that artifacts point to were copied, or are to be.
        copied_bytes: the bytes of these objects.
        seconds: how long it took.
    """

    source: str
    destination: str
    dry_run: bool = False
    versions: list[VersionReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    copied_objects: int = 0
    copied_bytes: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was refused and nothing failed."""
        return not self.problems and all(version.status in _GOOD for version in self.versions)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def counts(self) -> dict[str, int]:
        """The number of versions with each status."""
        found: dict[str, int] = {}
        for version in self.versions:
            found[version.status] = found.get(version.status, 0) + 1
        return found

    @property
    def totals(self) -> dict[str, int]:
        """The sums of ``files``, ``objects``, ``bytes`` and ``requests`` over all versions."""
        names = "files", "objects", "bytes", "requests"
        return {name: sum(getattr(version, name) or 0 for version in self.versions) for name in names}

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
            "copied_objects": self.copied_objects,
            "copied_bytes": self.copied_bytes,
            "versions": [version.to_json() for version in self.versions],
            "problems": self.problems,
            "notes": self.notes,
        }

    def __repr__(self) -> str:
        what = "plan" if self.dry_run else "ok" if self.ok else "failed"
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items())) or "nothing to do"
        problems = f"; {counted(len(self.problems), 'problem')}" if self.problems else ""
        return f"<MigrationReport {what}: {counts}; {bytes_text(self.totals['bytes'])} new{problems}>"

    def _repr_html_(self) -> str:
        title = f"{'Plan of a migration' if self.dry_run else 'Migration'}: {self.summary()}"
        # Failures come first, because the page shows a limited number.
        ordered = sorted(self.versions, key=lambda version: version.status in _GOOD)
        rows = [
            (
                f"{v.name}@{v.version}",
                v.status,
                v.files if v.files is not None else "",
                v.objects,
                v.bytes,
                v.reason or "",
            )
            for v in ordered
        ]
        page = grid_of(title, ("artifact", "status", "files", "objects", "bytes", "reason"), rows)
        return page + (
            grid_of("Problems", ("what happened",), [(text,) for text in self.problems]) if self.problems else ""
        )

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
        if self.problems:
            lines += ["", "## Problems", "", *(f"* {_cell(problem)}" for problem in self.problems)]
        if self.notes:
            lines += ["", "## Notes", "", *(f"* {_cell(note)}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def summary(self) -> str:
        """Return the whole report in one line."""
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items())) or "nothing"
        totals = self.totals
        moved = f"{counted(totals['objects'], 'object')} and {counted(totals['bytes'], 'byte')}"
        if self.copied_objects:
            pointed = f"{counted(self.copied_objects, 'object')} and {counted(self.copied_bytes, 'byte')}"
            pointed = f"; {pointed} of pointed-to data {'to copy' if self.dry_run else 'copied'}"
        else:
            pointed = ""
        problems = f"; {counted(len(self.problems), 'problem')}" if self.problems else ""
        if self.dry_run:
            return f"{counts}; about {moved}, and {counted(totals['requests'], 'request')}{pointed}{problems}"
        return f"{counts}; {moved} new at the destination{pointed}, in {self.seconds:.1f} s{problems}"


def _row(version: VersionReport) -> str:
    cells = (
        f"{version.name}@{version.version}",
        version.status,
        "" if version.files is None else f"{version.files:,}",
        f"{version.objects:,}",
        f"{version.bytes:,}",
        f"`{version.manifest_digest}`" if version.manifest_digest else "",
        _cell(version.reason),
    )
    return f"| {' | '.join(cells)} |"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
