"""Judge the records of a name, and look a second time at what seems wrong before it is told.

Publishers, pruners and migrations may be at work, and a listing in no order may show a record and miss an earlier one.
"""

from __future__ import annotations

from metamlflow.format.layout import artifact_prefix
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.fsck.doubts import Doubts
from metamlflow.store.retain.fsck.names import judged
from metamlflow.store.retain.fsck.report import FsckFinding
from metamlflow.store.retain.record_reads import known_records, read_each
from metamlflow.store.retain.versions import NameRecords, Now
from metamlflow.store.transfer.rate_limit import RateLimit


def records_of(store: Store, name: NameRecords, pace: RateLimit) -> NameRecords:
    """Return the records of a name as they are now: one listing, and one read of each."""
    listed = known_records(listed_in_order(store, artifact_prefix(name.name)))
    return NameRecords.of(name.name, read_each(store, listed, pace, unread=frozenset()))


def judged_twice(
    store: Store, records: NameRecords, now: Now, pace: RateLimit, doubts: Doubts
) -> tuple[NameRecords, list[FsckFinding]]:
    """Return the records of a name and what is wrong with them: if anything is, as they are at a second look."""
    first = judged(records, now)
    if not first:
        return records, []
    with doubts.about(artifact_prefix(records.name), str(records.name)):
        again = records_of(store, records, pace)
        before = {(finding.kind, finding.key) for finding in first}
        return again, [finding for finding in judged(again, now) if (finding.kind, finding.key) in before]
    return records, first
