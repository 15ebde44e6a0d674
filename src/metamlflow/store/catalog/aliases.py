"""Aliases: movable names for versions, stored as numbered records; the newest record counts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from metamlflow.errors import (
    AliasMovedError,
    ConflictError,
    DamagedRecordWarning,
    InvalidInputError,
    InvalidNameError,
    StoreFormatError,
)
from metamlflow.format.layout import alias_key, alias_of_any_key, aliases_prefix, artifacts_prefix, parse_alias_key
from metamlflow.format.records import decode_alias, decode_alias_change, encode_alias
from metamlflow.model.aliases import AliasChange
from metamlflow.model.manifests import Manifest
from metamlflow.model.names import ArtifactName, Reference, alias_problem
from metamlflow.store.catalog.authors import user_name, writer
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import Losses, create_exclusively, looked_again, read_if_listed, with_retries
from metamlflow.store.catalog.statuses import check_available, is_live, pages, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import (
    load_reference,
    newest_alias_keys,
    newest_alias_record,
    not_found,
)
from metamlflow.store.transfer.scheduler import in_parallel

_PAGE = 1_000  # keys

Key = TypeVar("Key")


def set_alias(
    store: Store,
    alias: Reference,
    target: Reference,
    *,
    expected: int | None = None,
    note: str | None = None,
    dry_run: bool = False,
) -> AliasChange:
    """Create the next record of an alias, after all existing ones; return it.

    Args:
        store: the store.
        alias: the alias, with the name.
        target: the version that it is to stand for.
        expected: the version that it must stand for now; 0 for none; None if anything will do.
        note: why.
        dry_run: write nothing, and return the record as it would be.

    Raises:
        AliasMovedError: it does not stand for the expected version; nothing was changed.
        ArtifactNotFoundError: the target does not exist.
        ArtifactPrunedError: the target is pruned or absent, perhaps since this call began.
        ArtifactErasedError: the target was erased.
        InvalidNameError: the alias is malformed.
        StoreNotFoundError, ConflictError: the store is gone since this client opened it, or was replaced by another
            one; the latter also if the target was given up and came back meanwhile.
    """
    text = checked_alias(alias)
    store.open_for_change(writing=not dry_run)
    version = load_reference(store, target).manifest.version
    wanted = _Wanted(alias.name, text, version, expected, note)
    if dry_run:
        return _next(store, wanted)[0]
    change, before = _append(store, wanted)
    status = version_status(store, alias.name, version)
    if is_live(store, alias.name, status, by_times=False):
        return change
    # A prune looked for aliases before this one existed, so the version is gone.
    _undo(store, change, before)
    check_available(store, alias.name, status)
    raise ConflictError(
        f"{alias.name}@{version} was given up and came back while the alias {text!r} was set, so it is as before",
        hint="Set it again.",
    )


def remove_alias(
    store: Store,
    alias: Reference,
    *,
    expected: int | None = None,
    note: str | None = None,
    dry_run: bool = False,
) -> AliasChange:
    """Create the record that removes an alias, after all existing ones; return it. Arguments as for :func:`set_alias`.

    Raises:
        ArtifactNotFoundError: there is no such alias, or it was removed before.
        AliasMovedError: it does not stand for the expected version; nothing was changed.
        InvalidNameError: the alias is malformed.
    """
    wanted = _Wanted(alias.name, checked_alias(alias), None, expected, note)
    if expected == 0:
        raise InvalidInputError("an alias that stands for no version cannot be removed", hint="Leave out expected=0.")
    store.open_for_change(writing=not dry_run)
    return (_next if dry_run else _append)(store, wanted)[0]


def checked_alias(alias: Reference) -> str:
    """Return an alias; raise InvalidNameError if a number, ``latest`` or another word is in its place."""
    text = str(alias.version)
    if problem := alias_problem(text):
        raise InvalidNameError(f"invalid alias {text!r}: {problem}", value=text)
    return text


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A change of an alias as a caller wants it; see the arguments of :func:`set_alias`."""

    name: ArtifactName
    alias: str
    version: int | None
    expected: int | None
    note: str | None


def _next(store: Store, wanted: _Wanted) -> tuple[AliasChange, int | None]:
    """Return the record that would come after the newest one, and what the alias stands for now.

    Raises:
        ArtifactNotFoundError: an alias that does not exist is to be removed.
        AliasMovedError: it does not stand for the expected version.
    """
    name, alias, expected = wanted.name, wanted.alias, wanted.expected
    number, held = looked_again(lambda: newest_alias_record(store, name, alias), store.clock)
    if wanted.version is None and held is None and (number == 0 or expected is None):
        raise not_found(store, name, alias)
    if expected is not None and expected != (held or 0):
        raise _moved(name, alias, expected, held or 0)
    return _record(store, wanted, number + 1), held


def _record(store: Store, wanted: _Wanted, number: int) -> AliasChange:
    now = store.clock.now()
    return AliasChange(str(wanted.name), wanted.alias, number, wanted.version, wanted.note, now, user_name(), writer())


def _append(store: Store, wanted: _Wanted) -> tuple[AliasChange, int | None]:
    """Create the record after the newest one; return it, and the former target of the alias.

    What is compared is the newest record, and its successor is claimed: so nobody comes between.
    """
    losses = Losses(store.clock)
    record_id = store.clock.new_id()
    while True:
        store.recheck_if_due()
        change, held = _next(store, wanted)
        if _claim(store, change, record_id):
            return change, held
        losses.note(alias_key(wanted.name, wanted.alias, change.number))


def _claim(store: Store, change: AliasChange, record_id: str) -> bool:
    """Claim one record of an alias; return whether it is ours."""
    data = encode_alias(
        change.version,
        record_id,
        change.created_at,
        created_by=change.created_by,
        note=change.note,
        writer=change.writer,
    )
    key = alias_key(ArtifactName(change.name), change.alias, change.number)
    return create_exclusively(store.backend, key, data, record_id, store.clock) is not None


def _moved(name: ArtifactName, alias: str, expected: int, current: int) -> AliasMovedError:
    stands = f"stands for version {current}" if current else "stands for no version"
    wanted = f"version {expected}" if expected else "none"
    return AliasMovedError(
        f"the alias {alias!r} of {name!r} {stands}, and not for {wanted} as expected; it was left as it is",
        hint="`metamlflow alias history` or `client.alias_history()` tells who moved it and why. Then decide again.",
        name=name,
        alias=alias,
        expected=expected,
        current=current,
    )


def _undo(store: Store, made: AliasChange, before: int | None) -> None:
    """Give an alias its former target back, if that is live, before and after; otherwise remove the alias.

    Only if nobody has moved it since: the record claimed is the one after ``made``. The second look is the one of every
    alias: whoever prunes the target writes first and looks for aliases afterwards.
    """
    name = ArtifactName(made.name)
    why = f"undone: version {made.version} was given up meanwhile"

    def lives() -> bool:
        return before is not None and is_live(store, name, version_status(store, name, before), by_times=False)

    def claim(number: int, version: int | None) -> bool:
        store.recheck_if_due()
        wanted = _Wanted(name, made.alias, version, None, why)
        return _claim(store, _record(store, wanted, number), store.clock.new_id())

    back = before if lives() else None
    if claim(made.number + 1, back) and back is not None and not lives():
        claim(made.number + 2, None)


# --- looks ------------------------------------------------------------------------------------------------------------


def aliases_of(store: Store, name: ArtifactName, *, leniently: bool = False) -> dict[str, int]:
    """Return the aliases of a name with their versions: one listing, and one read for each alias.

    Args:
        store: the store.
        name: the name.
        leniently: leave out a damaged record with a warning. Not for whoever deletes by the answer.

    Raises:
        StoreFormatError: a record is damaged.
    """
    look = partial(_look, store, name, leniently=leniently)
    return looked_again(look, store.clock)


def _look(store: Store, name: ArtifactName, *, leniently: bool) -> dict[str, int]:
    return dict(_stands(store, newest_alias_keys(store, name), leniently=leniently))


def aliases_now(store: Store, name: ArtifactName, version: int) -> tuple[str, ...]:
    """Return the aliases that stand for a version, sorted; for whoever holds an artifact, perhaps for long.

    Raises:
        StoreNotFoundError, ConflictError: there is none, as the store is gone or was replaced.
    """
    found = aliases_of(store, name, leniently=True)
    if not found and store.is_open:
        store.recheck()
    elif not found:
        store.marker()
    return aliases_for(found, version)


class AliasesOfMany:
    """The aliases of all names, or of one, as one listing shows them; a damaged record is left out with a warning.

    Costs a read for each alias. The listing is that of the name's aliases, or for all names that of all records beside
    the content; below the last slash of ``prefix``, if all names begin with that.
    """

    def __init__(self, store: Store, name: ArtifactName | None, prefix: str = "") -> None:
        self._aliases = (
            looked_again(lambda: _look_at_all(store, prefix), store.clock)
            if name is None
            else {str(name): aliases_of(store, name, leniently=True)}
        )

    def of(self, version: Manifest) -> tuple[str, ...]:
        """Return the aliases that stand for a version, sorted."""
        return aliases_for(self._aliases.get(str(version.name), {}), version.version)


def _look_at_all(store: Store, prefix: str) -> dict[str, dict[str, int]]:
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for info in pages(store, artifacts_prefix(prefix), _PAGE):
        if known := alias_of_any_key(info.key):
            name, alias, number = known
            newest[name, alias] = max(newest.get((name, alias), (0, "")), (number, info.key))
    found: dict[str, dict[str, int]] = {}
    for (name, alias), version in _stands(store, {at: key for at, (_, key) in newest.items()}, leniently=True):
        found.setdefault(name, {})[alias] = version
    return found


def _stands(store: Store, keys: Mapping[Key, str], *, leniently: bool) -> Iterator[tuple[Key, int]]:
    """Yield the version of each alias that was not removed; what has to be read is read in parallel."""

    def read(key: str) -> int | StoreFormatError | None:
        try:
            return decode_alias(with_retries(partial(read_record, store.backend, key), store.clock), key)
        except StoreFormatError as error:
            if not leniently:
                raise
            return error

    for at, version in zip(keys, in_parallel(read, keys.values()), strict=True):
        if isinstance(version, StoreFormatError):
            _warn(f"left out of the aliases: {version}")
        elif version is not None:
            yield at, version


def aliases_for(aliases: Mapping[str, int], version: int) -> tuple[str, ...]:
    """Return those of a name's aliases that stand for one version, sorted."""
    return tuple(sorted(alias for alias, stands_for in aliases.items() if stands_for == version))


def alias_history(store: Store, alias: Reference) -> list[AliasChange]:
    """Return the changes of an alias, ascending: one listing, and a read of each record.

    A damaged record is left out with a warning, and does not hide the others.

    Raises:
        ArtifactNotFoundError: the alias never existed.
        InvalidNameError: it is malformed.
        IntegrityError: the storage goes on listing a record that it says does not exist.
    """
    name, text = alias.name, checked_alias(alias)

    def read(number: int) -> AliasChange | StoreFormatError | None:
        key = alias_key(name, text, number)
        try:
            data = read_if_listed(
                key,
                lambda: with_retries(partial(read_record, store.backend, key), store.clock),
                lambda: number in listed(),
                store.clock,
            )
            return None if data is None else decode_alias_change(data, key, str(name), text, number)
        except StoreFormatError as error:
            return error

    def listed() -> set[int]:
        found = pages(store, aliases_prefix(name, text), _PAGE)
        return {number for info in found if (number := parse_alias_key(name, text, info.key))}

    numbers = sorted(listed())
    if not numbers:
        raise not_found(store, name, text)
    changes = []
    for change in in_parallel(read, numbers):
        if isinstance(change, StoreFormatError):
            _warn(f"left out of the history: {change}")
        elif change is not None:
            changes.append(change)
    return changes


def _warn(message: str) -> None:
    warnings.warn(message, DamagedRecordWarning, stacklevel=4)
