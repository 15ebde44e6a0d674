"""The time by which a collection or a prune judges: the storage's, and whether it says anything of an object's age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from metamlflow.backend import ObjectInfo
from metamlflow.errors import InvalidInputError, ObjectNotFoundError, UnsupportedStoreError
from metamlflow.format.layout import MARKER
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store

LEAST_GRACE = timedelta(hours=24)
"""With a shorter grace a late request may do harm: S3 takes a signed request for 15 minutes."""
MOST_GRACE = timedelta(days=100_000)
MOST_SKEW = timedelta(minutes=5)
BURY = 1 / 2
"""Of the grace: a manifest that lies under a tomb is deleted when the tomb is older, where listings have no order."""
TICK = timedelta(seconds=1)
"""Storages tell a time of writing in whole seconds, some of them: an object may be younger than it looks by this."""
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)  # no store is older
_NO_AGES = (
    "Ages cannot be told there. Set the clocks of the storage and of this machine by NTP; some network disks and "
    "WebDAV servers do not tell when an object was written."
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a collection goes by.

    Attributes:
        now: the storage's time before anything else was asked.
        grace: how long what nothing names is kept.
        of_store: the store's own grace, which the protocol's shares are of.
        locked: for how long the storage itself keeps each object from being deleted.
    """

    now: datetime
    grace: timedelta
    of_store: timedelta
    locked: timedelta = timedelta()

    @property
    def cutoff(self) -> datetime:
        """What was written before this is older than the grace, however the storage rounds its times."""
        return self.now - self.grace - TICK

    @property
    def blob_cutoff(self) -> datetime:
        """As :attr:`cutoff`, and no lock of the storage holds what was written before."""
        return self.now - max(self.grace, self.locked) - TICK

    def blob_deletable_from(self, written: datetime) -> datetime:
        """Return from when on an object that nothing names can be deleted."""
        return written + max(self.grace, self.locked) + TICK

    def deletable_from(self, written: datetime) -> datetime:
        """Return from when on a collection may delete what was written or given up at a time."""
        return written + self.grace + TICK


def check_grace(grace: timedelta | None) -> None:
    """Raise InvalidInputError if a grace is none, or absurdly long."""
    given: object = grace
    if grace is not None and (not isinstance(given, timedelta) or grace > MOST_GRACE):
        raise InvalidInputError(
            f"grace is a timedelta of at most {MOST_GRACE.days:,} days, such as timedelta(days=30), not {grace!r:.80}"
        )


def moment_of(store: Store, grace: timedelta | None, *, unsafe: bool) -> Moment:
    """Ask the storage for its time: one look at the marker.

    Args:
        store: the store.
        grace: how long to keep what nothing names, if longer than the store's own.
        unsafe: whether a store with a grace under a day is collected.

    Raises:
        InvalidInputError: the grace is none, or shorter than the store's, or the store's is shorter than a day.
        StoreNotFoundError: there is no store.
    """
    check_grace(grace)
    try:
        seen = with_retries(lambda: store.backend.stat(MARKER), store.clock)
    except ObjectNotFoundError:
        store.marker()  # raises what every other call does where no store is
        raise
    of_store = store.marker_looked_at_again().grace
    if grace is not None and grace < of_store:
        raise InvalidInputError(
            f"grace: {grace} is shorter than the store's, {of_store}",
            hint="It can only be longer: who publishes relies on the store's.",
        )
    if of_store < LEAST_GRACE and not unsafe:
        raise InvalidInputError(
            f"the grace of {store.url} is {of_store}, and a collection needs 24 hours: a request that lands late could "
            "otherwise take content away that a version needs",
            hint="Such a store is for tests. If nobody publishes to it meanwhile, collect with unsafe=True (--unsafe).",
        )
    return Moment(seen.observed or datetime.now(UTC), grace or of_store, of_store)


def check_clock(moment: Moment, probe: ObjectInfo, before: ObjectInfo | None, waited: timedelta = timedelta()) -> None:
    """Refuse a storage whose times say nothing of the age of an object.

    Args:
        moment: what the collection goes by.
        probe: an object that was written just now, looked at just now.
        before: one that was written earlier, if there is one.
        waited: how long it took from before it was sent until it was looked at, by this machine's clock.

    Raises:
        UnsupportedStoreError: its time of writing is off by more than five minutes from the storage's clock, or the
            clock does not advance.
    """
    now = probe.observed or moment.now
    stands = probe.modified < moment.now - TICK or now < moment.now or (before and probe.modified < before.modified)
    check_age(probe, now, waited, stands=bool(stands), nothing="nothing was deleted")


def check_age(probe: ObjectInfo, now: datetime, waited: timedelta, *, nothing: str, stands: bool = False) -> None:
    """Refuse a storage that says of an object that was written just now that it is older, or from the future.

    Args:
        probe: the object, looked at just now.
        now: the time by the storage's clock.
        waited: how long it took from before it was sent until it was looked at, by this machine's clock.
        nothing: what was not done, for the error.
        stands: whether the clock is known not to advance.

    Raises:
        UnsupportedStoreError: its time of writing is off by more than five minutes, or the clock does not advance.
    """
    off = abs(now - probe.modified)
    if off <= MOST_SKEW + waited and not stands:
        return
    what = f"is off by {off}" if off > MOST_SKEW else "does not advance"
    raise UnsupportedStoreError(
        f"the storage's clock {what}: an object that was written just now is from {probe.modified:%Y-%m-%d %H:%M:%S}, "
        f"and the storage says that it is {now:%Y-%m-%d %H:%M:%S} UTC; {nothing}",
        hint=_NO_AGES,
        key=probe.key,
    )


def tells_time(info: ObjectInfo) -> bool:
    """Whether the storage says when an object was written: some say for each that it was 1970, or 1980."""
    return info.modified >= _FIRST


def check_tells_time(info: ObjectInfo, *, nothing: str) -> None:
    """Refuse a storage that does not say when an object was written. For whoever writes nothing to compare with.

    Raises:
        UnsupportedStoreError: it says a time at which there were no stores.
    """
    if not tells_time(info):
        raise UnsupportedStoreError(
            f"the storage does not tell when an object was written: it says {info.modified:%Y-%m-%d} of {info.key}; "
            f"{nothing}",
            hint=_NO_AGES,
            key=info.key,
        )
