"""The features of the two stores of a migration: known to it, and turned on at the destination before it needs them."""

from __future__ import annotations

from metamlflow.errors import ConflictError
from metamlflow.store.catalog.turn_on import turn_on, wait_before
from metamlflow.store.migrate.blobs import StorePair


def look_again(ends: StorePair) -> None:
    """Look at the features of both stores, if the last look is old.

    Raises:
        StoreFormatError: one of them has a feature that is not known: this library cannot tell what belongs to it.
    """
    ends.source.recheck_if_due()
    ends.destination.recheck_if_due()


def bring_features(ends: StorePair) -> None:
    """Turn on at the destination what is turned on at the source. Without features, no request.

    Raises:
        ConflictError: clients of the destination may not know them yet.
        StoreFormatError: one of the stores has a feature that is not known.
    """
    wanted = ends.source.features
    if not wanted:
        return
    turn_on(ends.destination, wanted)
    if wait := wait_before(ends.destination, wanted):
        raise ConflictError(
            f"features of {ends.source.url} were turned on at {ends.destination.url}, and clients that opened that "
            "before do not know them yet; nothing else was copied",
            hint=f"Migrate again in {wait}.",
        )
