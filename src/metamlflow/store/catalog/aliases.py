"""Aliases: movable names for versions, stored as numbered records; the newest record counts."""

from __future__ import annotations

from functools import partial

from metamlflow.errors import InvalidNameError
from metamlflow.format.layout import alias_key, alias_of_key, every_alias_prefix
from metamlflow.format.records import decode_alias, encode_alias
from metamlflow.model.names import ArtifactName, Reference, alias_problem
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import Losses, create_exclusively, looked_again, with_retries
from metamlflow.store.catalog.statuses import check_available, is_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import load_reference, newest_alias_record


def set_alias(store: Store, alias: Reference, target: Reference | None) -> None:
    """Create the next record of an alias, after all existing ones; None as the target removes the alias.

    Raises:
        ArtifactNotFoundError: the target does not exist.
        ArtifactPrunedError: the target is pruned or absent, perhaps since this call began.
        ArtifactErasedError: the target was erased.
        InvalidNameError: the alias is malformed.
        StoreNotFoundError, ConflictError: the store is gone since this client opened it, or was replaced by another
            one.
    """
    text = str(alias.version)
    if problem := alias_problem(text):
        raise InvalidNameError(f"invalid alias {text!r}: {problem}", value=text)
    was_open = store.is_open
    store.writable_marker()
    if was_open:
        store.recheck(writing=True)  # another store in its place may have the same names
    # For a removal too: an alias of a name that does not exist is a mistyped name.
    version = load_reference(store, target or Reference(alias.name)).manifest.version
    before = _append(store, alias.name, text, version if target else None)
    if target:
        status = version_status(store, alias.name, version)
        if not is_live(store, alias.name, status):
            # A prune looked for aliases before this one existed, so the version is gone.
            _undo(store, alias.name, text, before)
            check_available(store, alias.name, status)


def _undo(store: Store, name: ArtifactName, alias: str, before: int | None) -> None:
    """Give an alias its former target back, if that is live, before and after; otherwise remove the alias.

    The second look is the one of every alias: whoever prunes the target writes first and looks for aliases afterwards.
    """

    def lives() -> bool:
        return before is not None and is_live(store, name, version_status(store, name, before))

    back = before if lives() else None
    _append(store, name, alias, back)
    if back is not None and not lives():
        _append(store, name, alias, None)


def aliases_of(store: Store, name: ArtifactName) -> dict[str, int]:
    """Return the aliases of a name with their versions: one listing, and one read for each alias."""
    return looked_again(lambda: _aliases_of(store, name), store.clock)


def _aliases_of(store: Store, name: ArtifactName) -> dict[str, int]:
    newest: dict[str, str] = {}
    for info in with_retries(lambda: list(store.backend.list_objects(every_alias_prefix(name))), store.clock):
        if alias := alias_of_key(name, info.key):
            newest.setdefault(alias, info.key)  # the newest record of an alias is listed first
    found = {
        alias: decode_alias(with_retries(partial(read_record, store.backend, key), store.clock), key)
        for alias, key in newest.items()
    }
    return {alias: version for alias, version in found.items() if version is not None}


def _append(store: Store, name: ArtifactName, alias: str, version: int | None) -> int | None:
    """Create the record after the newest one; return the previous target of the alias."""
    record_id = store.clock.new_id()
    data = encode_alias(version, record_id, store.clock.now())
    losses = Losses(store.clock)
    while True:
        store.recheck_if_due()
        number, held = looked_again(lambda: newest_alias_record(store, name, alias), store.clock)
        key = alias_key(name, alias, number + 1)
        if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
            return held
        losses.note(key)
