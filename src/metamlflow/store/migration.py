"""A migration from its plan to its report: which versions go, in which order, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from metamlflow.errors import InvalidInputError, MetaMLFlowError
from metamlflow.format.layout import RUNS, SIGNATURES, artifact_prefix, escape_name, manifest_key, parse_version_key
from metamlflow.format.manifests import digest_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.edges import VersionId
from metamlflow.store.history import names_in_use
from metamlflow.store.migrating import Ends, Migration, VersionReport, listed, read_or_none
from metamlflow.store.opening import Store
from metamlflow.store.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer import in_parallel
from metamlflow.store.versions import load_manifest, not_found


@dataclass(frozen=True, slots=True)
class Planned:
    """A version that is to go, and what has to be there before it."""

    version: VersionId
    needs: tuple[VersionId, ...]
    size: int
    files: int


@dataclass
class MigrationReport:
    """What a migration did, or with ``dry_run`` would do. True in a condition if nothing was refused and none failed.

    Attributes:
        source: URL of the store that was read.
        destination: URL of the store that was written.
        dry_run: whether nothing was done.
        versions: one report for each version, by name and number.
        problems: what went wrong beside the versions: names whose records could not be brought.
    """

    source: str
    destination: str
    dry_run: bool = False
    versions: list[VersionReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was refused and nothing failed."""
        return not self.problems and all(v.status in {"migrated", "present", "planned"} for v in self.versions)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def counts(self) -> dict[str, int]:
        """How many versions have each status."""
        found: dict[str, int] = {}
        for version in self.versions:
            found[version.status] = found.get(version.status, 0) + 1
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "source": self.source,
            "destination": self.destination,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "counts": self.counts,
            "bytes": sum(version.bytes for version in self.versions),
            "versions": [version.to_json() for version in self.versions],
            "problems": self.problems,
        }

    def to_markdown(self) -> str:
        """Return the report as a Markdown page."""
        what = "Plan of a migration" if self.dry_run else "Migration"
        lines = [
            f"# {what}",
            "",
            f"From `{self.source}` to `{self.destination}`: "
            + (", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items())) or "nothing")
            + ".",
            "",
            "| artifact | status | files | bytes sent | manifest digest | reason |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(version) for version in self.versions]
        lines += ["", *(f"* {_cell(problem)}" for problem in self.problems)]
        return "\n".join(lines).rstrip() + "\n"


def _row(version: VersionReport) -> str:
    cells = (
        f"{version.name}@{version.version}",
        version.status,
        f"{version.files:,}",
        f"{version.bytes:,}",
        f"`{version.manifest_digest}`",
        _cell(version.reason),
    )
    return f"| {' | '.join(cells)} |"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


@callback_errors()
def migrate_store(
    source: Store,
    destination: Store,
    names: Iterable[str] | None = None,
    *,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> MigrationReport:
    """Bring versions to another store, ascending within a name and inputs before consumers; nothing of them changes.

    What is there already is not sent again: so the same call goes on where one was stopped. After a conflict or a
    failure the rest of that name is skipped, and all else goes on.

    Raises:
        StoreNotFoundError: there is no source.
        ArtifactNotFoundError: one of the names does not exist.
        InvalidInputError: source and destination are one store.
    """
    if source.url == destination.url:
        raise InvalidInputError("source and destination are the same store", hint="Give another destination.")
    source.marker()
    wanted = _wanted(source, names)
    report = MigrationReport(source.url, destination.url, dry_run)
    if not dry_run:
        destination.writable_marker()
    found = list(in_parallel(partial(_look, source, destination), wanted))
    plan = _planned(source, [(state.name, number) for state in found for number in state.missing if not state.conflict])
    total = sum(item.size for item in plan)
    counter = Counter("migrate", progress, total_files=sum(item.files for item in plan), total_bytes=total)
    migration = Migration(Ends(source, destination), counter)
    refused: set[ArtifactName] = set()
    for state in found:
        report.versions += state.reports()
        refused |= {state.name} if state.conflict else set()
    for item in _ordered(plan):
        name, number = item.version
        if dry_run:
            report.versions.append(VersionReport(str(name), number, "planned", "", item.files, item.size))
        elif name in refused:
            reason = "an earlier version of the name did not get through"
            report.versions.append(VersionReport(str(name), number, "skipped", "", item.files, reason=reason))
        else:
            report.versions.append(migration.version(name, number))
            if report.versions[-1].status not in {"migrated", "present"}:
                refused.add(name)
    if not dry_run:
        _bring_the_rest(migration, [state for state in found if state.name not in refused], report, every=names is None)
    report.versions.sort(key=lambda version: (version.name, version.version))
    return report


@dataclass(frozen=True, slots=True)
class NameState:
    """What both stores have of a name, from their listings.

    Attributes:
        name: the name.
        present: versions that both have, the newest of which is the same at both: then so are all before it, since each
            manifest holds the digest of the one before.
        missing: versions that only the source has.
        others: keys of further records (states, aliases, idempotency claims) that only the source has.
        conflict: what the newest version that both have is at the source and at the destination, if that differs.
    """

    name: ArtifactName
    present: tuple[int, ...]
    missing: tuple[int, ...]
    others: tuple[str, ...]
    conflict: tuple[str, str] | None = None

    def reports(self) -> Iterator[VersionReport]:
        """Yield what there is to tell before anything is brought."""
        for number in self.present[:-1] if self.conflict else self.present:
            yield VersionReport(str(self.name), number, "skipped" if self.conflict else "present", "")
        if self.conflict:
            ours, theirs = self.conflict
            reason = f"it has another history at the destination: {ours} at the source, {theirs} there"
            yield VersionReport(str(self.name), self.present[-1], "conflict", ours, reason=reason)
            for number in self.missing:
                yield VersionReport(str(self.name), number, "skipped", "", reason="the name has another history")


def _look(source: Store, destination: Store, name: ArtifactName) -> NameState:
    """Compare what both stores list of a name: a listing of each, and a read of one manifest of each."""
    prefix = artifact_prefix(name)
    ours = {info.key for info in listed(source, prefix)}
    theirs = {info.key for info in listed(destination, prefix)}
    numbers = {
        key: parsed.version
        for key in ours
        if (parsed := parse_version_key(name, key)) is not None and parsed.state is None
    }
    if not numbers:
        return NameState(name, (), (), ())
    present = tuple(sorted(number for key, number in numbers.items() if key in theirs))
    missing = tuple(sorted(number for key, number in numbers.items() if key not in theirs))
    others = tuple(sorted(key for key in ours - theirs if key not in numbers))
    conflict = None
    if present:
        key = manifest_key(name, present[-1])
        digests = digest_of(read_or_none(source, key) or b""), digest_of(read_or_none(destination, key) or b"")
        conflict = None if digests[0] == digests[1] else digests
    return NameState(name, present, missing, others, conflict)


def _wanted(source: Store, names: Iterable[str] | None) -> list[ArtifactName]:
    if names is None:
        return names_in_use(source)
    wanted = sorted({ArtifactName.parse(name) for name in ([names] if isinstance(names, str) else names)})
    known = set(names_in_use(source))
    for name in wanted:
        if name not in known:
            raise not_found(source, name, None)
    return wanted


def _planned(source: Store, versions: list[VersionId]) -> list[Planned]:
    """Read the manifests that are to go, and keep what the order needs."""

    def plan(version: VersionId) -> Planned | None:
        try:
            manifest = load_manifest(source, *version).manifest
        except MetaMLFlowError:
            return Planned(version, (), 0, 0)  # migrating it will tell what is wrong
        before = [(version[0], version[1] - 1)] if version[1] > 1 else []
        needs = (*before, *((used.name, used.version) for used in manifest.inputs))
        return Planned(version, needs, manifest.size, manifest.files)

    return [item for item in in_parallel(plan, versions) if item is not None]


def _ordered(plan: list[Planned]) -> Iterator[Planned]:
    """Yield each version after all that it needs; without recursion, for a chain may be long."""
    by_version = {item.version: item for item in plan}
    done: set[VersionId] = set()
    for first in plan:
        waiting = [first]
        begun: set[VersionId] = set()
        while waiting:
            item = waiting[-1]
            open_needs = [n for n in item.needs if n in by_version and n not in done and n not in begun]
            begun.add(item.version)
            if open_needs and item.version not in done:
                waiting += [by_version[need] for need in open_needs]
                continue
            waiting.pop()
            if item.version not in done:
                done.add(item.version)
                yield item


def _bring_the_rest(migration: Migration, names: list[NameState], report: MigrationReport, *, every: bool) -> None:
    """Bring what belongs to names (states, aliases, claims, signatures); of a whole store also runs with no version."""
    for state in names:
        try:
            for key in state.others:
                migration.create(key)
            migration.copy(f"{SIGNATURES}{escape_name(state.name)}/_v")
        except MetaMLFlowError as error:
            report.problems.append(f"{state.name}: {error.message}")
    if every:
        try:
            migration.copy(RUNS)
        except MetaMLFlowError as error:
            report.problems.append(error.message)
