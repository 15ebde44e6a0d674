"""The states of a migrated version: as at the source, or absent if its bytes are not copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metamlflow.errors import ConflictError, StorageUnavailableError
from metamlflow.format.layout import state_key
from metamlflow.format.records import State, StateRecord, decode_state
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import claim_state
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import copy_record, read_or_none
from metamlflow.store.migrate.survey import VersionState

_SENT_WITHIN = 1 / 16  # of the grace: states that come before their manifest, after a look that showed none


def has_come_apart(ends: StorePair, version: VersionId, state: VersionState) -> bool:
    """Whether the newest state at the destination is its own: it left the version out, or pruned it itself."""
    newest = max(state.there, default=0)
    if not newest:
        return False
    key = state_key(*version, newest)
    return newest not in state.states or read_or_none(ends.source, key) != read_or_none(ends.destination, key)


def is_given_up_there(ends: StorePair, version: VersionId, state: VersionState, digest: str) -> bool:
    """Whether the destination itself pruned the version. Then its bytes are not copied again."""
    found = newest_record(ends.destination, version, state.there)
    if found is None or found.state != "pruned" or found.manifest_digest != digest:
        return False
    return has_come_apart(ends, version, state)


def newest_record(store: Store, version: VersionId, numbers: tuple[int, ...]) -> StateRecord | None:
    """Return the newest state record of a version, if its number is odd and it is there."""
    newest = max(numbers, default=0)
    key = state_key(*version, newest) if newest % 2 else ""
    data = read_or_none(store, key) if key else None
    return decode_state(data, key) if data is not None else None


class Deadline:
    """Until when states may be created that come before their manifest: somebody else may publish that number."""

    def __init__(self, store: Store) -> None:
        self._clock = store.clock
        self._until = store.clock.elapsed() + store.marker().grace.total_seconds() * _SENT_WITHIN

    def is_open(self) -> bool:
        """Whether there is time left."""
        return self._clock.elapsed() <= self._until

    def check(self) -> None:
        """Raise StorageUnavailableError if there is none."""
        if not self.is_open():
            raise StorageUnavailableError(
                "the states of a version took too long to create after the look at its number",
                hint="Migrate again; this machine was probably paused.",
            )


@dataclass(frozen=True, slots=True)
class StateWriter:
    """Creates the state records of one version that the destination lacks, but none that claims bytes that are missing.

    Attributes:
        ends: both stores.
        version: the version.
        state: its states at both ends.
        digest: of its manifest, which every record that is made here names.
        deadline: until when they may be created; None if the destination has the manifest already.
    """

    ends: StorePair
    version: VersionId
    state: VersionState
    digest: str
    deadline: Deadline | None

    def bring(self, *, bytes_are_there: bool) -> int:
        """Create them; return how many. Call it before the manifest of a new version is created.

        Args:
            bytes_are_there: whether the destination has all of its content.
        """
        state = self.state
        leaves_out = state.is_live and not bytes_are_there and not state.is_live_there
        if has_come_apart(self.ends, self.version, state):
            return self._continued(leaves_out=leaves_out, bytes_are_there=bytes_are_there)
        missing = [number for number in state.states if number not in state.there]
        if leaves_out:
            # A record of the source that speaks of another manifest is odd as well, and hides nothing.
            newest = max(state.states, default=0)
            self._create(newest + 1 + newest % 2, "absent")
            if newest % 2:
                self._create(newest + 1, "restored")
        # The newest first: an older one alone may claim that the bytes are present.
        for number in sorted(missing, reverse=True):
            self._check()
            copy_record(self.ends, state_key(*self.version, number), in_time=self._is_in_time)
        return len(missing) + leaves_out

    def _continued(self, *, leaves_out: bool, bytes_are_there: bool) -> int:
        """Go on with the destination's own numbering."""
        newest = max(self.state.there)
        record = newest_record(self.ends.destination, self.version, self.state.there)
        is_gone = record is not None and record.manifest_digest == self.digest
        if bytes_are_there:
            if record is None:
                return 0
            self._create(newest + 1, "restored")
            return 1
        wanted: State | None = "absent" if leaves_out else None if self.state.is_live else "pruned"
        if wanted is None or is_gone:
            return 0
        self._create(newest + 1 + newest % 2, wanted)
        if record is not None:  # of another manifest: it hides nothing, but has the odd number
            self._create(newest + 1, "restored")
        return 1

    def _is_in_time(self) -> bool:
        return self.deadline is None or self.deadline.is_open()

    def _check(self) -> None:
        if self.deadline is not None:
            self.deadline.check()

    def _create(self, number: int, state: State) -> None:
        self._check()
        create_state(self.ends.destination, self.version, number, state, self.digest, in_time=self._is_in_time)


def create_state(
    store: Store,
    version: VersionId,
    number: int,
    state: State,
    digest: str,
    *,
    in_time: Callable[[], bool] = lambda: True,
) -> None:
    """Create a state record; accept one with the same meaning that another migration has just created."""
    if claim_state(store, *version, number, state, digest, in_time=in_time):
        return
    key = state_key(*version, number)
    found = decode_state(with_retries(lambda: read_record(store.backend, key), store.clock), key)
    if found != StateRecord(state, digest):
        raise ConflictError(
            f"{version[0]}@{version[1]}: somebody changed its state at the destination meanwhile",
            hint="Migrate again.",
        )
