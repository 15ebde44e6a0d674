"""Examine a store, and put right what can be: from the store itself, or from a copy. Nothing is deleted."""

from __future__ import annotations

from dataclasses import dataclass

from metamlflow.errors import InvalidInputError
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.repair.donors import Donor
from metamlflow.store.repair.mending import Mending
from metamlflow.store.retain.fsck.examine import FsckRequest, examine_store
from metamlflow.store.retain.fsck.report import FsckReport
from metamlflow.store.retain.fsck.selection import selection_of
from metamlflow.store.transfer.progress import callback_errors
from metamlflow.store.transfer.rate_limit import RateLimit

__all__ = ["FsckRequest", "MendRequest", "RateLimit", "fsck", "selection_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MendRequest:
    """What is to be put right.

    Attributes:
        is_wanted: whether anything is.
        dry_run: only tell what would be put right.
        donor: has good bytes; None for what the store itself has alone.
    """

    is_wanted: bool = False
    dry_run: bool = False
    donor: Donor | None = None


@callback_errors()
def fsck(store: Store, cache: FileCache, request: FsckRequest, mend: MendRequest) -> FsckReport:
    """Examine a store, and put right what is asked for.

    Raises:
        InvalidInputError: an argument is invalid; a dry run of nothing was asked for.
        StoreNotFoundError: there is no store.
        StoreFormatError: the store has a feature that this library does not know, so nothing may be written to it.
    """
    if mend.dry_run and not mend.is_wanted:
        raise InvalidInputError(
            "dry_run: it says what a repair would put right, and none was asked for", hint="Give repair=True, too."
        )
    if mend.is_wanted and not mend.dry_run:
        store.marker_looked_at_again()  # refused now, and not after hours of reading
    report = examine_store(store, cache, request)
    if not mend.is_wanted:
        return report
    return Mending(store, mend.donor, request.progress, dry_run=mend.dry_run).of(report)
