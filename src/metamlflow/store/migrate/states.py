"""The states of a migrated version: as at the source, or absent if its bytes are not copied."""

from __future__ import annotations

from dataclasses import dataclass

from metamlflow.errors import ConflictError
from metamlflow.format.layout import state_key
from metamlflow.format.records import State, decode_state, encode_state
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import create_exclusively, with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import copy_record, read_or_none
from metamlflow.store.migrate.survey import VersionState


def has_come_apart(ends: StorePair, version: VersionId, state: VersionState) -> bool:
    """Whether the newest state at the destination is its own: it left the version out, or pruned it itself."""
    newest = max(state.there, default=0)
    if not newest:
        return False
    key = state_key(*version, newest)
    return newest not in state.states or read_or_none(ends.source, key) != read_or_none(ends.destination, key)


def is_given_up_there(ends: StorePair, version: VersionId, state: VersionState) -> bool:
    """Whether the destination itself pruned the version. Then its bytes are not copied again."""
    newest = max(state.there, default=0)
    key = state_key(*version, newest)
    data = read_or_none(ends.destination, key) if newest % 2 else None
    return data is not None and decode_state(data, key) == "pruned" and has_come_apart(ends, version, state)


@dataclass(frozen=True, slots=True)
class StatesBrought:
    """The number of created records, and the number of the record that marks the version absent, if any."""

    created: int = 0
    absent: int | None = None


def bring_states(ends: StorePair, version: VersionId, state: VersionState, *, bytes_are_there: bool) -> StatesBrought:
    """Create the state records that the destination lacks, but none that claims bytes that are not there.

    Call it before the manifest of a new version is created.

    Args:
        ends: both stores.
        version: the version.
        state: its states at both ends.
        bytes_are_there: whether the destination has all of its content.
    """
    leaves_out = state.is_live and not bytes_are_there and not state.is_live_there
    if has_come_apart(ends, version, state):
        newest = max(state.there)
        if bytes_are_there and newest % 2:
            create_state(ends.destination, version, newest + 1, "restored")
        elif leaves_out and newest % 2 == 0:
            create_state(ends.destination, version, newest + 1, "absent")
            return StatesBrought(1, newest + 1)
        elif not state.is_live and newest % 2 == 0:
            create_state(ends.destination, version, newest + 1, "pruned")
        else:
            return StatesBrought()
        return StatesBrought(1)
    missing = [number for number in state.states if number not in state.there]
    absent = max(state.states, default=0) + 1 if leaves_out else None
    if absent is not None:
        create_state(ends.destination, version, absent, "absent")
    # The newest first: an older one alone may claim that the bytes are present.
    for number in sorted(missing, reverse=True):
        copy_record(ends, state_key(*version, number))
    return StatesBrought(len(missing) + leaves_out, absent)


def create_state(store: Store, version: VersionId, number: int, state: State) -> None:
    """Create a state record; accept one with the same meaning that another migration has just created."""
    key = state_key(*version, number)
    record_id = store.clock.new_id()
    data = encode_state(state, record_id, store.clock.now())
    if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
        return
    if decode_state(with_retries(lambda: read_record(store.backend, key), store.clock), key) != state:
        raise ConflictError(
            f"{version[0]}@{version[1]}: somebody changed its state at the destination meanwhile",
            hint="Migrate again.",
        )
