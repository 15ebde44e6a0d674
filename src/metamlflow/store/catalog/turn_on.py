"""Turn on features of a store. No public call does: format 1 has none yet, and the first one will come with its own."""

from __future__ import annotations

from datetime import timedelta

from metamlflow.errors import ConflictError, InvalidInputError
from metamlflow.format.features import MAX_FEATURES, StoreFeatures, encode_features
from metamlflow.format.layout import FEATURES, features_key, parse_features_key
from metamlflow.store.catalog.features import MAX_RECORDS, check_writable, every_list, newest_features
from metamlflow.store.catalog.records import Losses, create_exclusively
from metamlflow.store.catalog.store import Store

NOTHING = timedelta(0)


def turn_on(store: Store, wanted: StoreFeatures) -> StoreFeatures:
    """Turn on features; return all that are turned on. They are never turned off again.

    Clients that opened the store before do not know yet: see :func:`wait_before`.

    Raises:
        StoreFormatError: the store has a feature that this library does not know, even if it is turned on meanwhile.
        InvalidInputError: this library does not know the wanted ones itself.
        ConflictError: the store would have more features or records than a reader takes.
    """
    if problems := wanted.unknown_to_writers():
        raise InvalidInputError(f"only features that this library knows can be turned on: {', '.join(problems)}")
    store.writable_marker()
    record_id = store.clock.new_id()
    losses, created = Losses(store.clock), ""
    while True:
        there = newest_features(store.backend, store.clock)
        check_writable(there)
        merged = there.united(wanted)
        if merged == there:
            store.recheck(writing=True)
            return there
        number = (parse_features_key(there.key) or 0) + 1
        if number > MAX_RECORDS or max(len(merged.read), len(merged.write)) > MAX_FEATURES:
            raise ConflictError(
                f"{FEATURES} has {number - 1:,} records, and a store takes {MAX_RECORDS:,}, each of {MAX_FEATURES:,} "
                "names",
                hint="Migrate to a new store.",
            )
        key = features_key(number)
        data = encode_features(merged, record_id, store.clock.now())
        # Listed again whoever won: what is returned is the list that holds.
        won = create_exclusively(store.backend, key, data, record_id, store.clock) is not None
        if not won or key == created:
            losses.note(key)
        created = key if won else created


def wait_before(store: Store, wanted: StoreFeatures) -> timedelta:
    """Return how long to wait before anything may rely on features that are turned on; zero if that is over.

    By then every client that opened the store before has looked again, or has ended what it was about. The clock is
    that of the storage. One listing, and two requests for each record.
    """
    oldest = [features for features in every_list(store.backend, store.clock) if features.united(wanted) == features]
    if not oldest:
        return store.marker().grace
    seen = store.backend.stat(oldest[-1].key)
    age = (seen.observed or store.clock.now()) - seen.modified
    return max(NOTHING, store.marker().grace - age)
