"""The records that keep two collections apart, in one series below ``collections/``.

Why not a lock: nothing is held. A collection deletes only for a short while after its own newest record, and nobody
else begins before a longer while has passed since that. SPEC.md, section 13, has the shares of the grace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from metamlflow.backend import ObjectInfo
from metamlflow.errors import ConflictError, MetaMLFlowError
from metamlflow.format.collections import CollectionRecord, Phase, decode_collection, encode_collection
from metamlflow.format.layout import COLLECTIONS, collection_key, parse_collection_key
from metamlflow.store.catalog.authors import user_name
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import create_exclusively, looked_again, with_retries
from metamlflow.store.catalog.statuses import pages
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.moment import TICK, Moment, check_clock

RENEWED = 1 / 32
"""Of the grace: deletions are sent only while the newest record of the collection is younger."""
OPEN = 1 / 8
"""Of the grace: a collection that has not ended keeps others waiting for so long after its newest record."""
UNCLEAR = 1 / 16
"""Of the grace: an unclear deletion keeps everybody waiting for so long: it lands within this, or never."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest record of a store's collections.

    Attributes:
        number: its number; 0 if there is none.
        record: what it says.
        info: its object.
    """

    number: int = 0
    record: CollectionRecord | None = None
    info: ObjectInfo | None = None

    def blocked_until(self, grace: timedelta) -> datetime | None:
        """Return until when no collection may delete, by the storage's clock, or None."""
        if self.record is None or self.info is None or (self.record.phase == "ended" and not self.record.unclear):
            return None
        share = UNCLEAR if self.record.phase == "ended" else OPEN
        return self.info.modified + grace * share + TICK


def newest_collection(store: Store) -> Newest:
    """Return the newest record: a listing, and a read and a look if there is one."""

    def look() -> Newest:
        for info in pages(store, COLLECTIONS, 1):
            number = parse_collection_key(info.key)
            if number is not None:
                data = with_retries(lambda key=info.key: read_record(store.backend, key), store.clock)  # type: ignore[misc]
                return Newest(number, decode_collection(data, info.key), store.backend.stat(info.key))
        return Newest()

    return looked_again(look, store.clock)


def refuse_overlap(store: Store, moment: Moment) -> Newest:
    """Return the newest record, unless it keeps others waiting.

    Raises:
        ConflictError: another collection is under way, or a deletion may still land.
    """
    newest = newest_collection(store)
    until = newest.blocked_until(moment.of_store)
    if until is None or newest.record is None or newest.info is None:
        return newest
    now = newest.info.observed or moment.now
    if now >= until:
        return newest
    who, began = newest.record.created_by, f"{newest.info.modified:%Y-%m-%d %H:%M:%S} UTC"
    if newest.record.phase == "ended":
        why = f"a deletion of the collection that {who} ended at {began} may still be applied"
    else:
        why = f"a collection of {who} is under way, or was cut off: its last record is from {began}"
    raise ConflictError(
        f"{why}; nothing was deleted",
        hint=f"Two collections at a time could lose content. Collect again from {until:%Y-%m-%d %H:%M:%S} UTC on.",
    )


class Turn:
    """One collection's turn to delete. One thread renews it.

    Attributes:
        waited: how long it took from before its newest record was sent until that was looked at.
        deletes: whether a deletion was sent.
        unclear: whether one may still be applied.
    """

    def __init__(self, store: Store, moment: Moment, before: Newest) -> None:
        self._store = store
        self._moment = moment
        self._number = before.number
        self._id = ""
        self._sent = 0.0
        self._unheard = False  # whether a claim was sent of which it is not known what became
        self.waited = timedelta()
        self.unclear = False
        self.deletes = False

    def begin(self) -> ObjectInfo:
        """Claim the turn; return its first record, as an object.

        Raises:
            ConflictError: another collection has begun.
        """
        return self._claim("begun")

    def renew_if_due(self) -> None:
        """Make sure that deletions may be sent now.

        Raises:
            ConflictError: another collection has begun: this one was silent for too long.
        """
        if self._store.clock.elapsed() - self._sent >= self._moment.of_store.total_seconds() * RENEWED:
            self._claim("going")

    @property
    def lasts(self) -> bool:
        """Whether a deletion may be sent now."""
        return self._store.clock.elapsed() - self._sent < self._moment.of_store.total_seconds() * RENEWED

    def end(self) -> None:
        """Let others begin; if a deletion is unclear, after a while."""
        if self._unheard:
            newest = newest_collection(self._store)
            if newest.record is not None and newest.record.collection == self._id:
                self._number = newest.number  # the claim did land; else this one takes its number
        self._claim("ended")

    def _claim(self, phase: Phase) -> ObjectInfo:
        store, number = self._store, self._number + 1
        key, sent, record_id = collection_key(number), store.clock.elapsed(), store.clock.new_id()
        self._id = self._id or record_id
        record = CollectionRecord(
            record_id=record_id,
            created_at=store.clock.now(),
            created_by=user_name(),
            collection=self._id,
            phase=phase,
        )
        record = replace(record, unclear=self.unclear and phase == "ended")
        self._unheard = True
        created = create_exclusively(store.backend, key, encode_collection(record), record_id, store.clock)
        if created is None:
            self._unheard = False
            raise ConflictError(
                "another collection has begun meanwhile, so this one stops",
                hint="What was deleted was garbage; collect again when the other one has ended.",
            )
        self._number, self._sent, self._unheard = number, sent, False
        seen = with_retries(lambda: store.backend.stat(key), store.clock)
        self.waited = timedelta(seconds=store.clock.elapsed() - sent)
        return seen


@contextmanager
def turn(store: Store, moment: Moment) -> Iterator[Turn]:
    """Take the turn to delete, for a block. However the block ends, its end is recorded if that can be done.

    Raises:
        ConflictError: another collection is under way, or a deletion may still land.
        UnsupportedStoreError: the storage's clock tells no ages.
    """
    before = refuse_overlap(store, moment)
    store.writable_marker()  # does the storage still refuse to create what exists? Else two could begin
    taken = Turn(store, moment, before)
    try:
        began = taken.begin()  # in here: a look at the record that fails leaves one that keeps others waiting
        check_clock(moment, began, before.info, taken.waited)
        yield taken
    except BaseException:
        taken.unclear = taken.deletes  # a request may be under way
        with suppress(MetaMLFlowError):
            taken.end()
        raise
    with suppress(MetaMLFlowError):  # others wait a little longer
        taken.end()
