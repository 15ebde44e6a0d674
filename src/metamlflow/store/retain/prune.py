"""Prune: give versions up, so that a collection may free their content after the grace. SPEC.md, "Prune".

Nothing is deleted here. Each version is claimed by a record of its own and then looked at again: what has come to hold
it meanwhile has it restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from metamlflow._looks import counted
from metamlflow.errors import InvalidInputError, MetaMLFlowError
from metamlflow.format.layout import state_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName
from metamlflow.model.notes import MAX_NOTE_BYTES
from metamlflow.model.patterns import NamePattern
from metamlflow.model.retention import Policy, Rules
from metamlflow.store.catalog.policies import deciding_policy, policies
from metamlflow.store.catalog.protections import open_for_change
from metamlflow.store.catalog.records import Losses, looked_again
from metamlflow.store.catalog.statuses import RESTORED_WITHIN, claim_state, is_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import list_names
from metamlflow.store.retain.holds import NameHolds, live_consumer, too_few_newer
from metamlflow.store.retain.prune_plan import NamePlan, Order, planned, sized, storage_now
from metamlflow.store.retain.prune_report import PruneReport
from metamlflow.store.retain.restore import restore_version
from metamlflow.store.transfer.scheduler import in_parallel

Until = Callable[[], datetime]
"""Until when a version that is pruned now can be restored."""


def prune(
    store: Store,
    patterns: Sequence[NamePattern],
    rules: Rules,
    note: str | None,
    *,
    even_if_used: bool = False,
    dry_run: bool = False,
) -> PruneReport:
    """Prune the versions of the names that fit a pattern, as far as the rules say and nothing holds them.

    Raises:
        InvalidInputError: versions are given by their numbers, and not one name.
        ArtifactNotFoundError: a name that was given, or a version, does not exist; nothing was pruned.
        StoreNotFoundError: the store does not exist.
        StorageError: the storage failed while it was looked at; nothing was pruned.
    """
    if rules.versions is not None and not (len(patterns) == 1 and patterns[0].is_name):
        raise InvalidInputError(
            "versions are given by their numbers, but not of one name",
            hint="Give one name, and no pattern.",
        )
    store.marker()
    given = [ArtifactName(str(pattern)) for pattern in patterns if pattern.is_name]
    names, idle = _matching(store, patterns, given)
    orders = [Order(name, rules, note=note, is_given=name in given) for name in names]
    report = _carried_out(store, orders, even_if_used=even_if_used, dry_run=dry_run)
    report.warnings += idle
    return report


def apply_policies(
    store: Store,
    patterns: Sequence[NamePattern] | None,
    *,
    even_if_used: bool = False,
    dry_run: bool = False,
) -> PruneReport:
    """Prune what the store's policies say, of all names or of those that fit a pattern. Raises as :func:`prune`."""
    store.marker()
    known = policies(store)
    every = [NamePattern("**")] if patterns is None else patterns
    names, idle = _matching(store, every, []) if known else ([], ["the store has no policies"])
    decided = ((name, deciding_policy(known, name)) for name in names)
    orders = [_order_of(name, policy) for name, policy in decided if policy is not None]
    report = _carried_out(store, orders, even_if_used=even_if_used, dry_run=dry_run)
    report.warnings += idle if patterns is not None or not known else []
    return report


def _order_of(name: ArtifactName, policy: Policy) -> Order:
    by = f"policy {str(policy.pattern)!r}"
    problem = policy.obstacle()
    return Order(name, policy.rules, by, obstacle=f"{by} is not applied: {problem}" if problem else None)


def _matching(
    store: Store, patterns: Sequence[NamePattern], given: Sequence[ArtifactName]
) -> tuple[list[ArtifactName], list[str]]:
    """Return the names that fit a pattern, hidden ones included, and what to say of patterns that none fits.

    A name that is given as it is costs no listing.
    """
    names, idle, named = set(given), [], {str(name) for name in given}
    if len(given) < len(patterns):
        every = list(list_names(store, include_hidden=True))
        for pattern in patterns:
            fitting = {name for name in every if pattern.matches(name)}
            names |= fitting
            if not fitting and str(pattern) not in named:
                idle.append(f"no name fits {str(pattern)!r}")
    return sorted(names), idle


def _carried_out(store: Store, orders: Iterable[Order], *, even_if_used: bool, dry_run: bool) -> PruneReport:
    report = PruneReport(dry_run)
    if not dry_run:
        open_for_change(store)
    started, now = store.clock.elapsed(), storage_now(store)

    def plan_of(order: Order) -> NamePlan:
        return looked_again(lambda: planned(store, order, now, even_if_used=even_if_used), store.clock)

    def until() -> datetime:
        return now + timedelta(seconds=store.clock.elapsed() - started) + store.marker().grace * RESTORED_WITHIN

    plans = []
    for plan in in_parallel(plan_of, orders):
        plans.append(plan)
        report.add(plan.decided)
    if report.damaged:
        # A sound version may be the only good copy of what another one lacks.
        report.kept += [
            sized(loaded, "nothing is pruned while the store is damaged") for p in plans for loaded in p.candidates
        ]
    elif dry_run:
        report.pruned += [sized(loaded, p.order.reason, until()) for p in plans for loaded in p.candidates]
    else:
        for done in _all_pruned(store, plans, until, even_if_used=even_if_used):
            report.add(done)
    report.kept.sort(key=lambda decision: (decision.name, decision.version))
    return report


def _all_pruned(store: Store, plans: list[NamePlan], until: Until, *, even_if_used: bool) -> Iterator[PruneReport]:
    """Prune the candidates of each name. An interruption notes how many were pruned by then."""
    begun: list[PruneReport] = []

    def prune_one(plan: NamePlan) -> PruneReport:
        done = PruneReport()
        begun.append(done)
        _prune(store, plan, done, until, even_if_used=even_if_used)
        return done

    try:
        yield from in_parallel(prune_one, plans)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{counted(sum(len(done.pruned) for done in begun), 'version')} pruned by then")
        raise


def _prune(store: Store, plan: NamePlan, done: PruneReport, until: Until, *, even_if_used: bool) -> None:
    """Prune the candidates of one name, the oldest first; a failure ends it for this name."""
    for loaded in plan.candidates:
        turn = _Turn(store, plan.order, loaded, even_if_used=even_if_used)
        try:
            turn.take(done, until)
        except MetaMLFlowError as error:
            done.failed.append(sized(loaded, turn.failure(error)))
            break


class _Turn:
    """One version that is to be pruned."""

    def __init__(self, store: Store, order: Order, loaded: StoredManifest, *, even_if_used: bool) -> None:
        self._store = store
        self._order = order
        self._loaded = loaded
        self._even_if_used = even_if_used
        self._is_claimed = False
        self._reason = ""

    def take(self, done: PruneReport, until: Until) -> None:
        """Prune it, look again, and enter the outcome."""
        deadline = until()
        if not self._claim():
            done.gone.append(sized(self._loaded, "somebody else pruned it at the same time"))
        elif (reason := self._held_now()) is None:
            done.pruned.append(sized(self._loaded, self._order.reason, deadline))
        else:
            self._undo(reason)
            done.kept.append(sized(self._loaded, f"{reason} by now, so it was restored"))

    def failure(self, error: MetaMLFlowError) -> str:
        """Return what happened, for the report."""
        if self._reason or not self._is_claimed:
            return self._reason or error.message
        return f"it is pruned, but was not looked at again: {error.message}"

    def _claim(self) -> bool:
        """Claim the next odd state; return False if it is not live any more."""
        store, name, version = self._store, self._loaded.manifest.name, self._loaded.manifest.version
        losses = Losses(store.clock)
        while True:
            store.recheck_if_due()
            status = version_status(store, name, version)
            if status.erased or not is_live(store, name, status, by_times=False):
                return False
            number = status.state + 1
            if number % 2 == 0:  # the newest record speaks of another manifest, and has the odd number
                claim_state(store, name, version, number, "restored", self._loaded.digest)
            elif claim_state(store, name, version, number, "pruned", self._loaded.digest, note=self._note()):
                self._is_claimed = True
                return True
            losses.note(state_key(name, version, number))

    def _note(self) -> str:
        note = self._order.note or self._order.reason
        return note.encode()[:MAX_NOTE_BYTES].decode(errors="ignore")

    def _held_now(self) -> str | None:
        """Return what holds it now, or None: whoever names it writes first and looks at it afterwards."""
        store, name, version = self._store, self._order.name, self._loaded.manifest.version

        def look() -> str | None:
            return (
                NameHolds.of(store, name).reason(version)
                or too_few_newer(store, name, version, self._order.rules.keep_last)
                or (None if self._even_if_used else live_consumer(store, (name, version)))
            )

        return looked_again(look, store.clock)

    def _undo(self, reason: str) -> None:
        store, name, version = self._store, self._order.name, self._loaded.manifest.version
        try:
            restore_version(store, name, version, f"undone: {reason}")
        except MetaMLFlowError as error:
            if is_live(store, name, version_status(store, name, version), by_times=False):
                return  # somebody else restored it
            self._reason = f"it stays pruned, although {reason} by now, since it cannot be restored: {error.message}"
            raise
