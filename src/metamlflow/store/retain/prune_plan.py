"""Which versions of a name a prune would take, and why the others stay. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from metamlflow.backend import ObjectInfo
from metamlflow.errors import ArtifactNotFoundError, IntegrityError, MetaMLFlowError, StoreFormatError
from metamlflow.format.layout import MARKER, manifest_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.condition_fields import facts_of
from metamlflow.model.names import ArtifactName
from metamlflow.model.retention import Rules, condition_of, duration_text
from metamlflow.store.catalog.records import read_if_listed, with_retries
from metamlflow.store.catalog.statuses import (
    RESTORED_WITHIN,
    VersionStatus,
    check_available,
    is_listed,
    live_or_damaged,
    load_manifest,
    state_that_holds,
    version_status,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, not_found
from metamlflow.store.retain.collecting.moment import tells_time
from metamlflow.store.retain.holds import NEWEST, NameHolds, among_the_newest, live_consumer, too_few
from metamlflow.store.retain.presence import missing_object
from metamlflow.store.retain.prune_report import PruneDecision, PruneReport
from metamlflow.store.transfer.scheduler import in_parallel

_LOOKED_AT = 100
"""Objects of the newest live version of each name that loses versions: a sample, and nearly always all of it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one name.

    Attributes:
        name: the name.
        rules: which of its versions may go.
        by: what the rules come from, for reasons and records: empty, or a policy.
        note: the caller's note for the records.
        obstacle: why nothing of it may be pruned, such as a policy that is not understood.
        is_given: whether the caller named it, so that it must exist.
    """

    name: ArtifactName
    rules: Rules
    by: str = ""
    note: str | None = None
    obstacle: str | None = None
    is_given: bool = False

    @property
    def reason(self) -> str:
        """Why its versions go."""
        return f"{self.by}: {self.rules}" if self.by else str(self.rules)


class Candidate(NamedTuple):
    """A version that would go: what is kept of its manifest, which may be large, while others are looked at."""

    name: ArtifactName
    version: int
    digest: str
    size: int

    @classmethod
    def of(cls, loaded: StoredManifest) -> Candidate:
        """Return what is kept of a manifest."""
        manifest = loaded.manifest
        return cls(manifest.name, manifest.version, loaded.digest, manifest.size)


@dataclass
class NamePlan:
    """What a prune would do with one name.

    Attributes:
        order: what was asked.
        candidates: the versions that would go, ascending.
        decided: what was decided about the others, and what was seen.
    """

    order: Order
    candidates: list[Candidate] = field(default_factory=list)
    decided: PruneReport = field(default_factory=PruneReport)


def storage_now(store: Store) -> tuple[datetime, ObjectInfo]:
    """Return the time by the storage's clock, and the marker as it told it. One request."""
    info = with_retries(lambda: store.backend.stat(MARKER), store.clock)
    return info.observed or store.clock.now(), info


def planned(store: Store, order: Order, now: datetime, *, even_if_used: bool) -> NamePlan:
    """Return the plan for one name.

    Args:
        store: the store.
        order: what is asked.
        now: the time by the storage's clock.
        even_if_used: whether versions go that live versions were made from.

    Raises:
        ArtifactNotFoundError: the name, or a version that was asked for by its number, does not exist.
    """
    name, plan = order.name, NamePlan(order)
    try:
        statuses = known_versions(store, name)
    except ArtifactNotFoundError:
        if order.is_given:
            raise
        return plan  # a name without versions: a publish of its first one was cut off
    live, damaged = live_or_damaged(store, name, statuses)
    plan.decided.damaged += [PruneDecision(str(name), version, error.message) for version, error in damaged.items()]
    statuses = [status for status in statuses if status.version not in damaged]
    holds = NameHolds.of(store, name)
    seen = _Seen(store, order, holds, statuses, live, now, known={*damaged, *(s.version for s in statuses)})
    plan.decided.warnings += [*seen.dangling(), *seen.cut_off(even_if_used=even_if_used), *seen.vanished()]
    wanted = order.rules.versions
    if wanted is not None:
        plan.decided.gone += _gone(store, name, wanted - damaged.keys(), statuses, live)
    standing: list[VersionStatus] = []
    for rank, status in enumerate(reversed(live)):
        if wanted is not None and status.version not in wanted:
            continue
        reason = order.obstacle or _kept_by_listing(order.rules, holds, status, rank, now)
        if reason is None:
            standing.append(status)
        else:
            plan.decided.kept.append(PruneDecision(str(name), status.version, reason))
    _read(store, plan, standing, even_if_used=even_if_used)
    if plan.candidates:
        plan.decided.damaged += _damage(store, name, live[-1])
    plan.decided.kept.sort(key=lambda decision: decision.version)
    return plan


def _kept_by_listing(rules: Rules, holds: NameHolds, status: VersionStatus, rank: int, now: datetime) -> str | None:
    """Return the reason to keep a version that needs no read of it, or None."""
    if rank == 0:
        return NEWEST
    if reason := holds.reason(status.version):
        return reason
    if rules.keep_last is not None and rank < rules.keep_last:
        return among_the_newest(rules.keep_last)
    if rules.older_than is not None and status.info is not None and not tells_time(status.info):
        return "the storage does not tell when it was written (older_than)"
    if rules.older_than is not None and (status.info is None or now - status.info.modified <= rules.older_than):
        return f"it is not older than {duration_text(rules.older_than)} (older_than)"
    return None


def _read(store: Store, plan: NamePlan, standing: Sequence[VersionStatus], *, even_if_used: bool) -> None:
    """Decide about the versions that only a read tells of."""
    name = plan.order.name
    condition = None if plan.order.obstacle else condition_of(plan.order.rules)

    def judged(loaded: StoredManifest) -> str | None:
        if condition is not None and not (answer := condition.answer(facts_of(loaded.manifest))):
            return f"{answer.reason} (where)" if answer.reason else "the condition does not hold (where)"
        return None if even_if_used else live_consumer(store, (name, loaded.manifest.version))

    def outcome(status: VersionStatus) -> tuple[Candidate | None, str | None] | MetaMLFlowError:
        try:
            loaded = _loaded(store, name, status)
        except (StoreFormatError, IntegrityError) as error:
            return error
        return (None, "its manifest is gone") if loaded is None else (Candidate.of(loaded), judged(loaded))

    for status, found in zip(standing, in_parallel(outcome, standing), strict=True):
        if isinstance(found, MetaMLFlowError):
            plan.decided.damaged.append(PruneDecision(str(name), status.version, found.message))
            continue
        candidate, reason = found
        if candidate is not None and reason is None:
            plan.candidates.append(candidate)
        else:
            size = None if candidate is None else candidate.size
            plan.decided.kept.append(PruneDecision(str(name), status.version, reason or "", size))
    plan.candidates.sort(key=lambda candidate: candidate.version)


def _loaded(store: Store, name: ArtifactName, status: VersionStatus) -> StoredManifest | None:
    """Return the manifest of a version that was listed; None if it is listed no more.

    Raises:
        StoreFormatError: it is damaged.
        IntegrityError: the storage goes on listing it, and saying that it does not exist.
    """
    return read_if_listed(
        manifest_key(name, status.version),
        partial(load_manifest, store, name, status.version, seen=status.info),
        partial(is_listed, store, name, status.version),
        store.clock,
    )


def _damage(store: Store, name: ArtifactName, newest: VersionStatus) -> Iterator[PruneDecision]:
    """Yield what is damaged in the version that readers get from now on: a look, not a verification."""
    missing: MetaMLFlowError | None
    try:
        loaded = _loaded(store, name, newest)
        missing = None if loaded is None else missing_object(store, loaded, most=_LOOKED_AT, sizes=True)
    except (StoreFormatError, IntegrityError) as error:
        missing = error
    if missing is not None:
        yield PruneDecision(str(name), newest.version, missing.message)


def _gone(
    store: Store,
    name: ArtifactName,
    wanted: frozenset[int],
    statuses: Sequence[VersionStatus],
    live: Sequence[VersionStatus],
) -> Iterator[PruneDecision]:
    by_number, alive = {status.version: status for status in statuses}, {status.version for status in live}
    for version in sorted(wanted - alive):
        if version not in by_number:
            raise not_found(store, name, version)
        try:
            check_available(store, name, by_number[version])
        except MetaMLFlowError as error:
            yield PruneDecision(str(name), version, error.message)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of one name, to warn of what is not live and should be: a prune was cut off, or undone late."""

    store: Store
    order: Order
    holds: NameHolds
    statuses: Sequence[VersionStatus]
    live: Sequence[VersionStatus]
    now: datetime
    known: set[int]

    def _given_up(self) -> list[VersionStatus]:
        alive = {status.version for status in self.live}
        return [status for status in self.statuses if status.version not in alive and not status.erased]

    def dangling(self) -> Iterator[str]:
        """Yield what holds a version that is not live: an alias or a protection."""
        for status in self._given_up():
            if reason := self.holds.reason(status.version):
                yield self._to_restore(status, reason)

    def cut_off(self, *, even_if_used: bool) -> list[str]:
        """Return what else should have had a version restored that was pruned a short while ago, and can be restored.

        Whoever pruned it was killed, perhaps, before it looked again; or it was asked for.
        """
        store, name = self.store, self.order.name
        window: timedelta = store.marker().grace * RESTORED_WITHIN

        def look(status: VersionStatus) -> str | None:
            newer = sum(1 for other in self.live if other.version > status.version)
            reason = too_few(newer, self.order.rules.keep_last) or (
                None if even_if_used else live_consumer(store, (name, status.version))
            )
            if reason is None:
                return None
            record = state_that_holds(store, name, status, None)
            return self._to_restore(status, reason) if record is not None and record.state == "pruned" else None

        recent = [
            status
            for status in self._given_up()
            if status.info is not None
            and status.state_info is not None
            and self.now - status.state_info.modified < window
            and self.holds.reason(status.version) is None
        ]
        return [text for text in in_parallel(look, recent) if text is not None]

    def vanished(self) -> Iterator[str]:
        """Yield what is held and not there at all: what holds it is the only witness if it was the newest one."""
        name = self.order.name
        for version in sorted({*self.holds.aliases, *self.holds.protected} - self.known):
            now = version_status(self.store, name, version)
            if now.info is None and not now.erased:  # nor was it published after the listing
                yield (
                    f"{name}@{version} is missing, and yet {self.holds.reason(version)}: its manifest was deleted by "
                    "something else than this library. `fsck` brings it back from a copy; collect nothing before"
                )

    def _to_restore(self, status: VersionStatus, reason: str) -> str:
        return f"{self.order.name}@{status.version} is not live, and yet {reason}: restore it, or set that right"


def sized(candidate: Candidate, reason: str, until: datetime | None = None) -> PruneDecision:
    """Return the decision about a version that was read."""
    return PruneDecision(str(candidate.name), candidate.version, reason, candidate.size, until)
