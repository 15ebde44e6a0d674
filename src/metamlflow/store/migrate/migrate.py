"""A migration from its plan to its report: which versions are copied, in which order, and the result of each."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass, field
from functools import partial

from metamlflow.backend import CheapStat, ServerSideCopy
from metamlflow.errors import InvalidInputError, MetaMLFlowError
from metamlflow.format.layout import (
    DISTRIBUTIONS,
    MARKER,
    NAMES,
    RUNS,
    SIGNATURES,
    all_signatures_prefix,
    hidden_prefix,
    parse_hidden_key,
    run_of_key,
    runs_prefix,
)
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.migrate.blobs import PROOFS, CopyOptions, Proof, StorePair
from metamlflow.store.migrate.features import bring_features, look_again
from metamlflow.store.migrate.plan import VersionTask, before_of, planned
from metamlflow.store.migrate.pointers import CopyTarget, copy_pointers, expect_copies
from metamlflow.store.migrate.protections import bring_protections
from metamlflow.store.migrate.records import copy_record, copy_records, listed
from metamlflow.store.migrate.relocations import asked_relocations, bring_relocations
from metamlflow.store.migrate.report import MigrationReport, VersionReport
from metamlflow.store.migrate.selection import Versions
from metamlflow.store.migrate.survey import NameState, look, look_at
from metamlflow.store.migrate.version import DestinationIndex, Migration, new_contents, once
from metamlflow.store.migrate.workers import CopyPool
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.ranges import RANGE_BYTES
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.store.transfer.spooling import SMALL


@callback_errors()
def migrate_store(
    source: Store,
    destination: Store,
    names: Iterable[str] | None = None,
    *,
    versions: Versions | None = None,
    verify: Proof = "sent",
    server_side: bool = False,
    executor: Executor | None = None,
    copy_pointers_to: str | None = None,
    relocations: Iterable[str] = (),
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> MigrationReport:
    """Copy versions to another store, unchanged, ascending within a name and inputs before consumers.

    Content that exists there is not sent again, so the same call continues an interrupted migration. After a conflict
    or a failure the rest of that name is skipped, and everything else continues.

    Raises:
        StoreNotFoundError: the source does not exist.
        ArtifactNotFoundError: one of the names does not exist.
        InvalidInputError: source and destination are one store, or no server can copy between them.
    """
    began = time.monotonic()
    ends = StorePair(source, destination)
    _check(ends, verify, server_side=server_side)
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InvalidInputError(
            f"executor is not an Executor: {executor!r:.80}", hint="See concurrent.futures.Executor."
        )
    asked = asked_relocations(relocations)
    external = CopyTarget.parse(ends, copy_pointers_to) if copy_pointers_to is not None else None
    _check_identity(ends)
    states = look(ends, names, versions)
    if not dry_run:
        destination.writable_marker()
        bring_features(ends)
    report = MigrationReport(source.url, destination.url, dry_run)
    if server_side and (why := _obstacle(ends)):
        report.notes.append(f"nothing was copied by a server, because {why}: all content passed through this machine")
        server_side = False
    for state in states:
        report.versions += _told_by_listings(state, looks=verify != "sent" and not dry_run)
    plan = planned(ends, states, lambda name: look_at(ends, name, versions), every=names is None)
    if dry_run:
        report.versions += in_parallel(partial(_expected, ends), plan)
        if external is not None:
            expect_copies(ends, [state.name for state in states], external, report)
    else:
        how = _how(ends, verify, server_side=server_side)
        _carry_out(ends, states, plan, report, how, executor, progress, every=names is None)
        moved = [state.name for state in states if state.conflict is None]
        _bring(ends, report, "relocations", lambda: report.problems.extend(bring_relocations(ends, moved, asked)))
        if external is not None:
            copy_pointers(ends, external, report, progress)
    report.versions.sort(key=lambda version: (version.name, version.version))
    report.seconds = time.monotonic() - began
    return report


def _check(ends: StorePair, verify: Proof, *, server_side: bool) -> None:
    inner, outer = sorted((_real(ends.source), _real(ends.destination)), key=len, reverse=True)
    if inner.startswith(outer) and inner != outer and not _are_apart(ends):
        raise InvalidInputError(f"{inner[:-1]} lies within {outer[:-1]}", hint=_BESIDE)
    if verify not in PROOFS:
        raise InvalidInputError(
            f"verify is {verify!r:.40}, not one of {', '.join(PROOFS)}",
            hint="'checksum' compares what the destination's storage holds, 'full' reads every byte back.",
        )
    backend = ends.destination.backend
    if verify == "checksum" and isinstance(backend, CheapStat):
        raise InvalidInputError(
            f"{ends.destination.url} is on a disk, which holds no checksums",
            hint="Use 'full' (--verify full), which reads every byte back.",
        )
    if server_side and type(backend) is not type(ends.source.backend) and (why := _obstacle(ends)):
        raise InvalidInputError(
            f"no server can copy from {ends.source.url} to {ends.destination.url}: {why}",
            hint="Leave out server_side (--server-side): the bytes then pass through this machine.",
        )
    if server_side and not isinstance(backend, ServerSideCopy):
        raise InvalidInputError(
            f"no server can copy to {ends.destination.url}: its storage offers no such copies",
            hint="Leave out server_side (--server-side): the bytes then pass through this machine.",
        )


def _check_identity(ends: StorePair) -> None:
    """Refuse two ways to the same store. The id decides, not the URL: two servers may have a bucket of the same name.

    Raises:
        StoreNotFoundError: the source does not exist.
        StoreFormatError: the destination holds something other than a store.
    """
    source_id = ends.source.marker_looked_at_again().store_id
    ends.destination.check_place()
    if ends.destination.is_open and ends.destination.marker_looked_at_again().store_id == source_id:
        raise InvalidInputError(
            f"source and destination are the same store: both have the id {source_id}",
            hint=f"{_BESIDE} A copy of a store that was made without this library has its id too: migrate into an "
            "empty place instead.",
        )


_BESIDE = "Give a destination beside the source."


def _obstacle(ends: StorePair) -> str:
    """Return why no server can copy from one end to the other; empty if one can."""
    backend = ends.destination.backend
    if not isinstance(backend, ServerSideCopy):
        return "its storage offers no such copies"
    return backend.obstacle_to(ends.source.backend) or ""


def _are_apart(ends: StorePair) -> bool:
    """Whether the two stores are at different servers, where equal URLs mean different places."""
    return isinstance(ends.destination.backend, ServerSideCopy) and bool(_obstacle(ends))


def _real(store: Store) -> str:
    """Return the location of a store, ending in a slash, however its URL is spelt; local links are resolved."""
    scheme, _, place = store.backend.url.rstrip("/").partition("://")
    return f"{scheme}://{os.path.realpath(place) if scheme == 'file' else place}/"


def _how(ends: StorePair, verify: Proof, *, server_side: bool) -> CopyOptions:
    """Return how to copy content; objects older than this moment existed before."""
    destination = ends.destination
    seen = with_retries(lambda: destination.backend.stat(MARKER), destination.clock)
    return CopyOptions(seen.observed or destination.clock.now(), verify, server_side)


def _told_by_listings(state: NameState, *, looks: bool) -> Iterable[VersionReport]:
    """Return reports from listings alone. ``looks``: versions live in both stores are examined and reported later."""
    name = str(state.name)
    if state.conflict is None:
        present = [number for number in state.present if not (looks and number in state.live_at_both)]
        return [VersionReport(name, n, "erased" if n in state.erased else "present") for n in present]
    conflict, due = state.conflict, [version.number for version in state.due]
    reason = f"the name was not compared: see version {conflict.version}"
    if conflict.status == "conflict":
        reason = "the name has another history at the destination"
    others = sorted({*state.present, *due} - {conflict.version})
    skipped = [VersionReport(name, number, "skipped", reason=reason) for number in others]
    return [*skipped, VersionReport(name, conflict.version, conflict.status, conflict.digest, reason=conflict.reason)]


# --- what would be done -----------------------------------------------------------------------------------------------


def _expected(ends: StorePair, item: VersionTask) -> VersionReport:
    """Return the expected effort for a version. Content that exists at the destination for other reasons is counted."""
    name, number = item.id
    report = VersionReport(str(name), number, "planned", files=item.files, reason=item.problem)
    try:
        _add_expected(ends, item, report)
    except MetaMLFlowError as error:
        report.status, report.reason = "failed", error.message
    return report


def _add_expected(ends: StorePair, item: VersionTask, report: VersionReport) -> None:
    name, number = item.id
    if item.state.damaged:
        raise item.state.damaged
    if item.state.is_erased:
        report.reason = "it was erased at the source"
        return
    loaded = load_manifest(ends.source, name, number, seen=item.state.info)
    report.manifest_digest = loaded.digest
    report.requests = 4 + len(loaded.manifest.inputs) + (6 if loaded.manifest.run else 0) + len(item.state.states)
    if item.moves:
        before = before_of(ends.source, item)
        for content in once(new_contents(ends.source, loaded.manifest, before, carried=ends.check_carried)):
            report.objects += 1
            report.bytes += content.size
            report.requests += 2 if content.size <= SMALL else 2 * -(-content.size // RANGE_BYTES) + 3


# --- doing it ---------------------------------------------------------------------------------------------------------


@dataclass
class _Queue:
    """The versions under way: each waits for those that it needs, which began before it."""

    migration: Migration
    conflicts: frozenset[ArtifactName] = frozenset()
    ended: dict[VersionId, bool] = field(default_factory=dict)
    refused: set[ArtifactName] = field(default_factory=set)
    cancelled: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def bring(self, item: VersionTask) -> VersionReport:
        """Copy a version as soon as its needs are met. Runs in a worker thread."""
        with self.changed:
            self.changed.wait_for(lambda: self.cancelled or all(need in self.ended for need in item.needs))
            if self.cancelled:
                raise CancelledError
            refused = item.id[0] in self.refused
            missing = [need for need in item.inputs if need[0] in self.conflicts or self.ended.get(need) is False]
        name, number = item.id
        reason = None
        if refused:
            reason = "an earlier version of the name did not get through"
        elif missing:
            reason = f"{missing[0][0]}@{missing[0][1]}, which it was made from, did not get through"
        elif self.migration.is_hopeless:
            reason = "storage refused or did not answer for many versions before it; migrate again when it does"
        if reason:
            report = VersionReport(str(name), number, "skipped", files=item.files, reason=reason)
        else:
            report = self.migration.bring(item)
        with self.changed:
            got_through = report.status not in {"conflict", "failed", "skipped"}
            self.ended[item.id] = got_through
            if not got_through:
                self.refused.add(name)
            self.changed.notify_all()
        return report

    def cancel(self) -> None:
        """Start no more versions."""
        self.migration.spreader.counter.cancel()
        with self.changed:
            self.cancelled = True
            self.changed.notify_all()


def _carry_out(
    ends: StorePair,
    states: list[NameState],
    plan: list[VersionTask],
    report: MigrationReport,
    how: CopyOptions,
    executor: Executor | None,
    progress: ProgressCallback | None,
    *,
    every: bool,
) -> None:
    looks = how.proof != "sent"
    files, size = sum(item.objects for item in plan), sum(item.size for item in plan)
    # The amount to examine is unknown before it is read.
    counter = Counter("migrate", progress, total_files=None if looks else files, total_bytes=None if looks else size)
    ledger = DestinationIndex(ends.destination)
    surveyed = frozenset(state.name for state in states)
    migration = Migration(ends, CopyPool(ends, how, counter, executor), ledger, ledger.now(), surveyed)
    if looks:
        report.versions += _looked_at(migration, states)
    line = _Queue(migration, frozenset(state.name for state in states if state.conflict is not None))
    report.versions += in_parallel(line.bring, plan, size_of=lambda _: None, cancel=line.cancel)
    report.notes += sorted(migration.notes)
    refused = line.refused | line.conflicts

    def bring_others(state: NameState) -> None:
        if state.others and _told(report, state.name, partial(look_again, ends)):
            for key in state.others:
                _told(report, state.name, partial(copy_record, ends, key))

    for _ in in_parallel(bring_others, [state for state in states if state.name not in refused]):
        pass
    _bring(ends, report, "hiding records", lambda: _bring_hidden(ends, states, refused, every=every))
    brought = [state.name for state in states if state.name not in refused]
    _bring(ends, report, "protections", lambda: bring_protections(ends, brought, every=every))
    _bring(ends, report, "signatures", lambda: _bring_signatures(ends, states, refused, every=every))
    _bring(ends, report, "runs", lambda: _bring_runs(ends, every=every))


def _looked_at(migration: Migration, states: list[NameState]) -> Iterator[VersionReport]:
    """Examine the content of all versions that are live in both stores."""
    due = ((state.name, number) for state in states if state.conflict is None for number in sorted(state.live_at_both))
    cancel = migration.spreader.counter.cancel
    yield from in_parallel(lambda version: migration.look_at(*version), due, size_of=lambda _: None, cancel=cancel)


def _bring_hidden(ends: StorePair, states: list[NameState], refused: set[ArtifactName], *, every: bool) -> None:
    """Copy the records that hide names or show them again: of a whole store with one listing."""
    names = {str(state.name) for state in states} - set(map(str, refused))
    prefixes = [NAMES] if every else [hidden_prefix(ArtifactName(name)) for name in sorted(names)]
    for prefix in prefixes:
        found = ((info.key, parse_hidden_key(info.key)) for info in listed(ends.source, prefix))
        keys = [key for key, hides in found if hides and hides[0] in names]
        there = {info.key for info in listed(ends.destination, prefix)} if keys else set()
        for _ in in_parallel(partial(copy_record, ends), (key for key in keys if key not in there)):
            pass


def _bring_signatures(ends: StorePair, states: list[NameState], refused: set[ArtifactName], *, every: bool) -> None:
    """Copy the signatures of all names that were copied; of a whole store with one listing."""
    prefixes = {state.name: all_signatures_prefix(state.name) for state in states}
    if every:
        copy_records(ends, SIGNATURES, but=tuple(prefixes[name] for name in refused if name in prefixes))
    else:
        for _ in in_parallel(partial(copy_records, ends), (prefixes[s.name] for s in states if s.name not in refused)):
            pass


def _bring_runs(ends: StorePair, *, every: bool) -> None:
    """Copy the records of runs: for a whole store all of them, else those of runs that the destination knows."""
    if every:
        copy_records(ends, RUNS)
        return
    known = {runs_prefix(run_of_key(info.key)) for info in listed(ends.destination, RUNS)}
    prefixes = sorted({*known, DISTRIBUTIONS}) if known else []
    for _ in in_parallel(partial(copy_records, ends), prefixes):
        pass


def _bring(ends: StorePair, report: MigrationReport, what: str, bring: Callable[[], None]) -> None:
    """Bring a group of records, after a look at the features of both stores. A failure stops no other group."""
    if _told(report, what, partial(look_again, ends)):
        _told(report, what, bring)


def _told(report: MigrationReport, what: str, work: Callable[[], None]) -> bool:
    """Do something; return whether it succeeded. A failure becomes a problem of the report."""
    try:
        work()
    except MetaMLFlowError as error:
        report.problems.append(f"{what}: {error.message}")
        return False
    return True
