"""Retention policies: a numbered series of lists, each complete, so that only the newest is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from metamlflow.errors import InvalidInputError, NotFoundError
from metamlflow.format.layout import POLICIES, parse_policies_key, policies_key
from metamlflow.format.retention import MAX_POLICIES, StoredPolicies, decode_policies, encode_policies
from metamlflow.model.patterns import NamePattern
from metamlflow.model.retention import Policy, Rules
from metamlflow.store.catalog.authors import user_name
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import Losses, create_exclusively, looked_again, with_retries
from metamlflow.store.catalog.statuses import pages
from metamlflow.store.catalog.store import Store

_Change = Callable[[tuple[Policy, ...]], tuple[Policy, ...]]


def policies(store: Store) -> tuple[Policy, ...]:
    """Return the policies of a store, in the order in which they were set. One listing, and a read if there are any.

    Raises:
        StoreFormatError: the newest record is damaged. None before it holds instead.
    """
    return looked_again(lambda: _newest(store), store.clock).policies


def set_policy(store: Store, pattern: NamePattern, rules: Rules, note: str | None) -> Policy:
    """Set the policy of a pattern, in place of the one that it had; return it.

    Raises:
        InvalidInputError: the store has too many policies already.
        StoreNotFoundError, ConflictError: there is no store, or it was replaced since this client opened it.
        StoreFormatError: the newest record is damaged, so that what it says would be lost.
    """
    if rules.older_than is not None and rules.older_than.total_seconds() % 1:
        raise InvalidInputError("older_than of a policy is a whole number of seconds")
    policy = Policy(pattern, rules, note, store.clock.now(), user_name())

    def changed(known: tuple[Policy, ...]) -> tuple[Policy, ...]:
        others = _without(known, pattern)
        if len(others) == MAX_POLICIES:
            raise InvalidInputError(f"a store has at most {MAX_POLICIES:,} policies", hint="Remove one first.")
        return (*others, policy)

    _change(store, changed)
    return policy


def remove_policy(store: Store, pattern: NamePattern) -> Policy:
    """Remove the policy of a pattern; return what it was.

    Raises:
        NotFoundError: the store has no policy for this very pattern.
    """
    removed: list[Policy] = []

    def changed(known: tuple[Policy, ...]) -> tuple[Policy, ...]:
        removed[:] = [policy for policy in known if policy.pattern == pattern]
        if not removed:
            raise NotFoundError(
                f"there is no policy for {str(pattern)!r}",
                hint=f"There are policies for {', '.join(repr(str(p.pattern)) for p in known[:10])}."
                if known
                else "The store has no policies.",
            )
        return _without(known, pattern)

    _change(store, changed)
    return removed[0]


def deciding_policy(known: Sequence[Policy], name: str) -> Policy | None:
    """Return the policy that decides about a name: the closest one, and of equally close ones the one set last."""
    found = [policy for policy in known if policy.pattern.matches(name)]
    return max(reversed(found), key=lambda policy: policy.pattern.literal_characters, default=None)


def _without(known: tuple[Policy, ...], pattern: NamePattern) -> tuple[Policy, ...]:
    return tuple(policy for policy in known if policy.pattern != pattern)


def _change(store: Store, change: _Change) -> None:
    store.open_for_change()
    record_id = store.clock.new_id()
    losses = Losses(store.clock)
    while True:
        store.recheck_if_due()
        before = looked_again(lambda: _newest(store), store.clock)
        after = replace(before, policies=change(before.policies), number=before.number + 1)
        key = policies_key(after.number)
        data = encode_policies(after, record_id, store.clock.now(), user_name())
        if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
            return
        losses.note(key)


def _newest(store: Store) -> StoredPolicies:
    for info in pages(store, POLICIES, 16):
        if number := parse_policies_key(info.key):
            data = with_retries(partial(read_record, store.backend, info.key), store.clock)
            return decode_policies(data, info.key, number)
    return StoredPolicies()
