"""Which versions of a name a prune would take, and why the others stay. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metamlflow.errors import ArtifactNotFoundError, MetaMLFlowError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.layout import MARKER
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.condition_fields import facts_of
from metamlflow.model.names import ArtifactName
from metamlflow.model.retention import Rules, condition_of, duration_text
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import VersionStatus, check_available, live_among, load_manifest, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, not_found
from metamlflow.store.retain.holds import NEWEST, NameHolds, among_the_newest, live_consumer
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


@dataclass
class NamePlan:
    """What a prune would do with one name.

    Attributes:
        order: what was asked.
        candidates: the versions that would go, ascending.
        decided: what was decided about the others, and what was seen.
    """

    order: Order
    candidates: list[StoredManifest] = field(default_factory=list)
    decided: PruneReport = field(default_factory=PruneReport)


def storage_now(store: Store) -> datetime:
    """Return the time by the storage's clock. One request."""
    info = with_retries(lambda: store.backend.stat(MARKER), store.clock)
    return info.observed or store.clock.now()


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
    live = live_among(store, name, statuses)
    holds = NameHolds.of(store, name)
    plan.decided.warnings += _dangling(store, order, holds, statuses, live)
    wanted = order.rules.versions
    if wanted is not None:
        plan.decided.gone += _gone(store, name, wanted, statuses, live)
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
    if rules.older_than is not None and (status.info is None or now - status.info.modified <= rules.older_than):
        return f"it is not older than {duration_text(rules.older_than)} (older_than)"
    return None


def _read(store: Store, plan: NamePlan, standing: Sequence[VersionStatus], *, even_if_used: bool) -> None:
    """Decide about the versions that only a read tells of."""
    name = plan.order.name
    condition = None if plan.order.obstacle else condition_of(plan.order.rules)

    def judged(status: VersionStatus) -> tuple[StoredManifest | None, str | None]:
        loaded = load_manifest(store, name, status.version, seen=status.info)
        if condition is not None and not (answer := condition.answer(facts_of(loaded.manifest))):
            return loaded, f"{answer.reason} (where)" if answer.reason else "the condition does not hold (where)"
        return loaded, None if even_if_used else live_consumer(store, (name, status.version))

    def outcome(status: VersionStatus) -> tuple[StoredManifest | None, str | None] | StoreFormatError:
        try:
            return judged(status)
        except StoreFormatError as error:
            return error
        except ObjectNotFoundError:
            return None, "its manifest is gone"

    for status, found in zip(standing, in_parallel(outcome, standing), strict=True):
        if isinstance(found, StoreFormatError):
            plan.decided.damaged.append(PruneDecision(str(name), status.version, found.message))
            continue
        loaded, reason = found
        if loaded is not None and reason is None:
            plan.candidates.append(loaded)
        else:
            size = None if loaded is None else loaded.manifest.size
            plan.decided.kept.append(PruneDecision(str(name), status.version, reason or "", size))
    plan.candidates.sort(key=lambda loaded: loaded.manifest.version)


def _damage(store: Store, name: ArtifactName, newest: VersionStatus) -> Iterator[PruneDecision]:
    """Yield what is damaged in the version that readers get from now on: a look, not a verification."""
    try:
        loaded = load_manifest(store, name, newest.version, seen=newest.info)
        missing: MetaMLFlowError | None = missing_object(store, loaded, most=_LOOKED_AT, sizes=True)
    except StoreFormatError as error:
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


def _dangling(
    store: Store, order: Order, holds: NameHolds, statuses: Sequence[VersionStatus], live: Sequence[VersionStatus]
) -> Iterator[str]:
    """Yield what holds a version that is not live: a prune was cut off before it looked again, or undid itself late.

    Or it is not there at all: what holds it is the only witness if it was the newest one.
    """
    alive = {status.version for status in live}
    for status in statuses:
        reason = None if status.version in alive or status.erased else holds.reason(status.version)
        if reason is not None:
            yield f"{order.name}@{status.version} is not live, and yet {reason}: restore it, or set that right"
    for version in sorted({*holds.aliases, *holds.protected} - {status.version for status in statuses}):
        now = version_status(store, order.name, version)
        if now.info is None and not now.erased:  # nor was it published after the listing
            yield (
                f"{order.name}@{version} is missing, and yet {holds.reason(version)}: its manifest was deleted by "
                "something else than this library. `fsck` brings it back from a copy; collect nothing before"
            )


def sized(loaded: StoredManifest, reason: str, until: datetime | None = None) -> PruneDecision:
    """Return the decision about a version that was read."""
    manifest = loaded.manifest
    return PruneDecision(str(manifest.name), manifest.version, reason, manifest.size, until)
