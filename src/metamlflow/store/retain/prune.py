"""Prune: give versions up, so that a collection may free their content after the grace. SPEC.md, "Prune".

Nothing is deleted here. Each version is claimed by a record of its own and then looked at again: what has come to hold
it meanwhile has it restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from threading import Event, Lock

from metamlflow._looks import counted
from metamlflow.errors import InvalidInputError, MetaMLFlowError, UnsupportedStoreError
from metamlflow.format.layout import state_key
from metamlflow.model.names import ArtifactName
from metamlflow.model.notes import MAX_NOTE_BYTES
from metamlflow.model.patterns import NamePattern
from metamlflow.model.retention import Policy, Rules
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.policies import deciding_policy, policies
from metamlflow.store.catalog.records import Losses, looked_again, with_retries
from metamlflow.store.catalog.statuses import RESTORED_WITHIN, claim_state, is_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.moment import check_age, check_tells_time
from metamlflow.store.retain.holds import NameHolds, live_consumer, too_few_newer
from metamlflow.store.retain.prune_plan import Candidate, NamePlan, Order, planned, sized, storage_now
from metamlflow.store.retain.prune_report import PruneReport
from metamlflow.store.retain.restore import restore_version
from metamlflow.store.transfer.scheduler import in_parallel

Until = Callable[[], datetime]
"""Until when a version that is pruned now can be restored."""
_NOTHING = "nothing was pruned"


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
        UnsupportedStoreError: it does not tell when an object was written; nothing was pruned.
        StoreFormatError: the record of an alias is damaged, or a protection is not known; nothing was pruned.
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
    """Return the names that fit a pattern, and what to say of patterns that none fits.

    Hidden names are included, and those whose record was lost.

    A name that is given as it is costs no listing.
    """
    names, idle, named = set(given), [], {str(name) for name in given}
    if len(given) < len(patterns):
        every = names_in_use(store)
        for pattern in patterns:
            fitting = {name for name in every if pattern.matches(name)}
            names |= fitting
            if not fitting and str(pattern) not in named:
                idle.append(f"no name fits {str(pattern)!r}")
    return sorted(names), idle


def _carried_out(store: Store, orders: Sequence[Order], *, even_if_used: bool, dry_run: bool) -> PruneReport:
    report = PruneReport(dry_run)
    if not dry_run:
        store.open_for_change()
    started, (now, marker) = store.clock.elapsed(), storage_now(store)
    if not dry_run or any(order.rules.older_than for order in orders):
        check_tells_time(marker, nothing=_NOTHING)

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
    ages, stop = _Ages(store), Event()

    def prune_one(plan: NamePlan) -> PruneReport:
        done = PruneReport()
        begun.append(done)
        turns = (_Turn(store, plan.order, found, ages, even_if_used=even_if_used) for found in plan.candidates)
        _prune(turns, done, until, stop)
        return done

    try:
        yield from in_parallel(prune_one, plans, cancel=stop.set)
    except KeyboardInterrupt as interrupted:
        interrupted.add_note(f"{counted(sum(len(done.pruned) for done in begun), 'version')} pruned by then")
        raise


def _prune(turns: Iterator[_Turn], done: PruneReport, until: Until, stop: Event) -> None:
    """Prune the candidates of one name, the oldest first; a failure ends it for this name, and ``stop`` for all."""
    for turn in turns:
        if stop.is_set():
            break
        try:
            turn.take(done, until)
        except MetaMLFlowError as error:
            if error is turn.ages.refusal:
                raise
            done.failed.append(sized(turn.candidate, turn.failure(error)))
            break


class _Ages:
    """Whether the storage tells ages: the first record of a prune shows it, and until then there is no second one.

    Attributes:
        refusal: the error, once it is known that it does not.
    """

    def __init__(self, store: Store) -> None:
        self.refusal: UnsupportedStoreError | None = None
        self._store = store
        self._lock = Lock()
        self._are_told = False

    @contextmanager
    def one_at_first(self) -> Iterator[None]:
        """Let one claim at a time, until :meth:`check` has passed; none once it has not."""
        with nullcontext() if self._are_told else self._lock:
            if self.refusal is not None:
                raise self.refusal
            yield

    def check(self, key: str, sent: float) -> None:
        """Look at a record that was written just now: one request, once.

        Raises:
            UnsupportedStoreError: its time of writing says nothing, so nobody could tell until when to restore.
        """
        if self._are_told:
            return
        store = self._store
        info = with_retries(lambda: store.backend.stat(key), store.clock)
        waited = timedelta(seconds=store.clock.elapsed() - sent)
        try:
            check_age(info, info.observed or store.clock.now(), waited, nothing=_NOTHING)
        except UnsupportedStoreError as error:
            self.refusal = error
            raise
        self._are_told = True


class _Turn:
    """One version that is to be pruned."""

    def __init__(self, store: Store, order: Order, candidate: Candidate, ages: _Ages, *, even_if_used: bool) -> None:
        self._store = store
        self._order = order
        self.candidate = candidate
        self.ages = ages
        self._even_if_used = even_if_used
        self._is_claimed = False
        self._reason = ""

    def take(self, done: PruneReport, until: Until) -> None:
        """Prune it, look again, and enter the outcome."""
        deadline = until()
        with self.ages.one_at_first():
            is_ours = self._claim()
        if not is_ours:
            done.gone.append(sized(self.candidate, "somebody else pruned it at the same time"))
        elif (reason := self._held_now()) is None:
            done.pruned.append(sized(self.candidate, self._order.reason, deadline))
        else:
            self._undo(reason)
            done.kept.append(sized(self.candidate, f"{reason} by now, so it was restored"))

    def failure(self, error: MetaMLFlowError) -> str:
        """Return what happened, for the report."""
        if self._reason or not self._is_claimed:
            return self._reason or error.message
        return f"it is pruned, but was not looked at again: {error.message}"

    def _claim(self) -> bool:
        """Claim the next odd state; return False if it is not live any more."""
        store, (name, version, digest, _) = self._store, self.candidate
        losses = Losses(store.clock)
        while True:
            store.recheck_if_due()
            status = version_status(store, name, version)
            if status.erased or not is_live(store, name, status, by_times=False):
                return False
            number = status.state + 1
            if number % 2 == 0:  # the newest record speaks of another manifest, and has the odd number
                claim_state(store, name, version, number, "restored", digest)
                losses.note(state_key(name, version, number))
                continue
            sent = store.clock.elapsed()
            if claim_state(store, name, version, number, "pruned", digest, note=self._note()):
                self._is_claimed = True
                self._check_ages(number, sent)
                return True
            losses.note(state_key(name, version, number))

    def _check_ages(self, number: int, sent: float) -> None:
        """Take the record back if the storage does not tell its age; this machine's clock tells that it is young."""
        store, (name, version, digest, _) = self._store, self.candidate
        try:
            self.ages.check(state_key(name, version, number), sent)
        except UnsupportedStoreError as refused:
            try:
                claim_state(store, name, version, number + 1, "restored", digest, note="undone: no ages are told here")
            except MetaMLFlowError as error:
                refused.add_note(f"{name}@{version} stays pruned, since it could not be restored: {error.message}")
            raise

    def _note(self) -> str:
        note = self._order.note or self._order.reason
        return note.encode()[:MAX_NOTE_BYTES].decode(errors="ignore")

    def _held_now(self) -> str | None:
        """Return what holds it now, or None: whoever names it writes first and looks at it afterwards."""
        store, name, version = self._store, self._order.name, self.candidate.version

        def look() -> str | None:
            return (
                NameHolds.of(store, name).reason(version)
                or too_few_newer(store, name, version, self._order.rules.keep_last)
                or (None if self._even_if_used else live_consumer(store, (name, version)))
            )

        return looked_again(look, store.clock)

    def _undo(self, reason: str) -> None:
        store, name, version = self._store, self._order.name, self.candidate.version
        try:
            restore_version(store, name, version, f"undone: {reason}")
        except MetaMLFlowError as error:
            if is_live(store, name, version_status(store, name, version), by_times=False):
                return  # somebody else restored it
            self._reason = f"it stays pruned, although {reason} by now, since it cannot be restored: {error.message}"
            raise
