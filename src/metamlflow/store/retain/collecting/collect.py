"""Collect the garbage of a store: the steps of SPEC.md, section 13."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from functools import partial

from metamlflow._looks import counted
from metamlflow.backend import LeavesUploads, ObjectInfo, UnfinishedUpload
from metamlflow.backend.retention import lock_of, retention_notes
from metamlflow.errors import InvalidInputError, MetaMLFlowError
from metamlflow.format.layout import MARKER, sha256_of_blob_key
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_unknown_around
from metamlflow.store.retain.collecting.deletions import Deletions
from metamlflow.store.retain.collecting.kept import Owner, Owners, Scratch
from metamlflow.store.retain.collecting.moment import Moment, moment_of
from metamlflow.store.retain.collecting.naming import NamesOfVersions
from metamlflow.store.retain.collecting.plan import CollectionPlan, Planned, load_plan, plan_id, planned_by
from metamlflow.store.retain.collecting.report import (
    UNNAMED,
    CollectionReport,
    FailedDeletion,
    GarbageObject,
    Gathering,
    KeptVersion,
)
from metamlflow.store.retain.collecting.series import refuse_overlap, turn
from metamlflow.store.retain.collecting.sweeping import NOBODY, Candidate, Candidates, Sweep
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors

Plan = CollectionPlan | str | os.PathLike[str]

_MOST_UPLOADS = 10_000


def plan_collection(
    store: Store,
    *,
    grace: timedelta | None = None,
    unsafe: bool = False,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> CollectionPlan:
    """Return what a collection would delete now. Nothing is written.

    Args:
        store: the store.
        grace: keep what nothing names for so long, if longer than the store's grace.
        unsafe: also in a store with a grace under a day.
        executor: reads and lists in other processes; None for this one.
        progress: the progress callback.
    """
    with callback_errors():
        return _Collection(store, moment_of(store, grace, unsafe=unsafe), executor, progress).plan(unsafe=unsafe)


def collect(
    store: Store,
    plan: Plan | None = None,
    *,
    grace: timedelta | None = None,
    unsafe: bool = False,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> CollectionReport:
    """Delete what no version needs; with a plan, only what it lists and is still garbage.

    An executor reads and lists; what is deleted is always deleted from here, once.

    Raises:
        ConflictError: another collection is under way, or a deletion of an earlier one may still be applied.
        StoreFormatError: the store holds something unknown.
        IntegrityError: content of a live version is missing.
        StorageError: something cannot be read, so that it is not known what it names.
        UnsupportedStoreError: the storage's clock tells no ages.
        InvalidInputError: the grace is too short, or the plan is another store's.
    """
    with callback_errors():
        planned = planned_by(plan) if isinstance(plan, CollectionPlan) else None if plan is None else load_plan(plan)
        moment = moment_of(store, grace, unsafe=unsafe)
        if planned is not None:
            moment = replace(moment, grace=max(planned.grace, moment.grace))
        if planned is not None and planned.store_id != store.marker().store_id:
            raise InvalidInputError("plan: it is that of another store", hint=f"Make one of {store.url}.")
        refuse_overlap(store, moment)
        return _Collection(store, moment, executor, progress).run(planned)


class _Collection:
    """One collection, from its listing on."""

    def __init__(
        self, store: Store, moment: Moment, executor: Executor | None, progress: ProgressCallback | None
    ) -> None:
        self._store = store
        self._executor = executor
        locked, self._notes = lock_of(store.backend)
        self._moment = replace(moment, locked=locked)
        self._progress = progress
        self._began = store.clock.elapsed()
        self._folder = Scratch()
        self._found = Candidates(self._folder.path)
        self._owners: Owners | None = None
        self._manifests: list[ObjectInfo] = []
        self._uploads: list[UnfinishedUpload] = []

    # --- looking ------------------------------------------------------------------------------------------------------

    def plan(self, *, unsafe: bool) -> CollectionPlan:
        """Look, and return what would be deleted."""
        try:
            report = self._judge()
        except BaseException:
            with self._folder:  # a traceback may keep this object for long
                raise
        plan = CollectionPlan(**{name: getattr(report, name) for name in report.__dataclass_fields__})
        plan.dry_run = True
        marker = self._store.marker()
        plan._planned = Planned(  # noqa: SLF001 (made here)
            marker.store_id,
            self._moment.grace,
            frozenset(info.key for info in self._manifests),
            frozenset(upload.id for upload in self._uploads),
            lambda: iter(self._found),
        )
        plan._described, plan._folder = self._described, self._folder  # noqa: SLF001 (the folder lives with the plan)
        plan._apply = partial(  # noqa: SLF001
            collect, self._store, grace=self._moment.grace, unsafe=unsafe, progress=self._progress
        )
        plan.seconds = self._store.clock.elapsed() - self._began
        return plan

    def _judge(self) -> CollectionReport:
        """Read what versions name, and hold it against what is there."""
        try:
            return self._looked()
        except MetaMLFlowError as error:
            error.with_hint(f"{error.hint or ''} The collection stopped: nothing was deleted.".strip())
            raise

    def _looked(self) -> CollectionReport:
        store, folder = self._store, self._folder.path
        refuse_unknown_around(store)
        named = NamesOfVersions(store, self._moment, folder, Counter("collect", self._progress), self._executor)
        named.read()
        self._owners, self._manifests = named.owners, named.survey.buried
        counter = Counter("collect", self._progress)
        swept = Sweep(store, self._moment, named.keys, named.owners, self._found, counter, self._executor).run()
        self._uploads, notes = self._unfinished()
        gathering = Gathering()
        for candidate in self._found:
            gathering.add(self._described(candidate))
        marker, survey = store.marker(), named.survey
        manifests, manifest_bytes = _manifests_of(self._manifests)
        others = [*manifests] + [upload.id for upload in self._uploads]
        return CollectionReport(
            store=store.url,
            store_id=marker.store_id,
            now=self._moment.now,
            grace=self._moment.grace,
            plan_id=plan_id(marker.store_id, self._moment.now.isoformat(), (c.info for c in self._found), others),
            versions=dict(sorted(survey.counts.items())),
            kept_blobs=swept.kept.blobs,
            kept_bytes=swept.kept.bytes,
            waiting={day: (tally.blobs, tally.bytes) for day, tally in sorted(swept.waiting.items())},
            blobs=gathering.blobs,
            bytes=gathering.bytes,
            owners=gathering.owners,
            names=gathering.names,
            largest=gathering.largest,
            oldest=gathering.oldest,
            kept_versions=tuple(KeptVersion(it.reference, it.reason, it.until) for it in survey.held + survey.waiting),
            manifests=manifests,
            manifest_bytes=manifest_bytes,
            uploads=tuple(upload.key for upload in self._uploads),
            foreign=swept.foreign,
            notes=self._notes + notes + retention_notes(store.backend, MARKER),
        )

    def _unfinished(self) -> tuple[list[UnfinishedUpload], list[str]]:
        """Return the store's own uploads that nobody can finish any more, and why they could not be listed."""
        backend = self._store.backend
        if not isinstance(backend, LeavesUploads):
            return [], []
        try:
            ours = filter(_is_ours, backend.unfinished_uploads(self._moment.cutoff))
            return list(itertools.islice(ours, _MOST_UPLOADS)), []
        except MetaMLFlowError as error:  # nothing depends on it
            return [], [f"unfinished uploads could not be listed: {error.message}"]

    def _owner(self, place: int) -> Owner | None:
        return None if place == NOBODY or self._owners is None else self._owners.get(place)

    def _described(self, candidate: Candidate) -> GarbageObject:
        owner, info = self._owner(candidate.owner), candidate.info
        until = self._moment.blob_deletable_from(info.modified)
        reference, reason = (owner.reference, owner.reason) if owner else (None, UNNAMED)
        return GarbageObject(info.key, info.size, info.modified, until, reference, reason)

    # --- deleting -----------------------------------------------------------------------------------------------------

    def run(self, planned: Planned | None) -> CollectionReport:
        """Look, and delete what is garbage; of that, with a plan, only what it lists."""
        with self._folder:
            report = self._judge()
            blobs: Iterable[Candidate] = self._found if planned is None else planned.only(self._found)
            manifests = [it for it in self._manifests if planned is None or it.key in planned.manifests]
            uploads = [it for it in self._uploads if planned is None or it.id in planned.uploads]
            if planned is not None:
                self._tell_only(report, planned.only(self._found), manifests, uploads)
            if report.blobs or manifests or uploads:
                self._delete(report, blobs, manifests, uploads)
        report.seconds = self._store.clock.elapsed() - self._began
        return report

    def _tell_only(
        self,
        report: CollectionReport,
        blobs: Iterable[Candidate],
        manifests: list[ObjectInfo],
        uploads: list[UnfinishedUpload],
    ) -> None:
        """Let the report tell of the planned garbage alone: the rest is not this collection's."""
        gathering = Gathering()
        for candidate in blobs:
            gathering.add(self._described(candidate))
        report.blobs, report.bytes = gathering.blobs, gathering.bytes
        report.owners, report.names = gathering.owners, gathering.names
        report.largest, report.oldest = gathering.largest, gathering.oldest
        report.manifests, report.manifest_bytes = _manifests_of(manifests)
        report.uploads = tuple(upload.key for upload in uploads)

    def _delete(
        self,
        report: CollectionReport,
        blobs: Iterable[Candidate],
        manifests: list[ObjectInfo],
        uploads: list[UnfinishedUpload],
    ) -> None:
        files, size = report.blobs + len(report.manifests), report.bytes + report.manifest_bytes
        counter = Counter("collect", self._progress, total_files=files, total_bytes=size)
        with turn(self._store, self._moment) as taken:
            deletions = Deletions(self._store, taken, counter)
            try:
                deletions.run(itertools.chain(blobs, (Candidate(info, NOBODY) for info in manifests)))
                if deletions.outcome.stopped is None:
                    self._abandon(uploads, report)
            except (KeyboardInterrupt, MetaMLFlowError) as stop:
                done = deletions.outcome
                stop.add_note(f"{counted(done.deleted, 'object')} deleted by then, {counted(done.freed, 'byte')} freed")
                raise
            finally:
                done = deletions.outcome
                report.deleted, report.freed, report.left = done.deleted, done.freed, done.left
                report.failures, report.stopped = done.failures, done.stopped
                report.failed = [self._named(failed, owner) for failed, owner in done.failed]

    def _named(self, failed: FailedDeletion, place: int) -> FailedDeletion:
        owner = self._owner(place)
        return replace(failed, reference=owner.reference) if owner else failed

    def _abandon(self, uploads: list[UnfinishedUpload], report: CollectionReport) -> None:
        backend = self._store.backend
        if not isinstance(backend, LeavesUploads):
            return
        for upload in uploads:
            try:
                backend.abandon(upload)
            except MetaMLFlowError as error:
                report.notes.append(f"an unfinished upload of {upload.key} could not be removed: {error.message}")


def _manifests_of(infos: Sequence[ObjectInfo]) -> tuple[tuple[str, ...], int]:
    """Return keys, and how many bytes they are of."""
    return tuple(info.key for info in infos), sum(info.size for info in infos)


def _is_ours(upload: UnfinishedUpload) -> bool:
    """Whether an upload is one that a writer of this format makes: others may send to the same bucket."""
    return upload.is_temporary or sha256_of_blob_key(upload.key) is not None
