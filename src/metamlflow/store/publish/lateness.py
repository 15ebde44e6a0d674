"""Publishes that may have taken too long: how old an attempt is, and what is looked at after a win that came late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from metamlflow.errors import MetaMLFlowError, ObjectNotFoundError, StorageError
from metamlflow.format.manifests import StoredManifest
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import claim_state, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.scheduler import in_parallel

_log = logging.getLogger(__name__)


class AttemptAge:
    """How long an attempt has taken: by this machine's clock, or by the storage's where that says more. Thread-safe.

    A virtual machine that is paused does not count that time. The storage does; but its time is only known from answers
    that are asked for anyway.

    Args:
        clock: of this machine.
        started: before the attempt's first request, in seconds of that clock.
    """

    def __init__(self, clock: Clock, started: float) -> None:
        self.started = started
        self._clock = clock
        self._lock = threading.Lock()
        self._first: datetime | None = None
        self._last: datetime | None = None

    def note(self, observed: datetime | None) -> None:
        """Take note of the storage's time in an answer; None if the answer does not tell it."""
        if observed is not None:
            with self._lock:
                self._first = min(self._first or observed, observed)
                self._last = max(self._last or observed, observed)

    def seconds(self) -> float:
        """Return the age, in seconds."""
        elapsed = self._clock.elapsed() - self.started
        with self._lock:
            if self._first is None or self._last is None:
                return elapsed
            return max(elapsed, (self._last - self._first).total_seconds())


def holds_after_all(store: Store, loaded: StoredManifest, put_back: Callable[[], object]) -> bool:
    """Look again at a version that was won so late that a collection may have taken what it relies on.

    Content that is missing is put back under the keys that the manifest names. That is safe, since the version is live.

    Args:
        store: the store.
        loaded: the manifest that was won.
        put_back: stores the content again.

    Returns:
        False if the number had been erased: then the manifest is no version.

    Raises:
        StorageError: content is missing and could not be put back. The version was pruned.
    """
    name, version = loaded.manifest.name, loaded.manifest.version
    status = version_status(store, name, version)
    if status.erased:
        return False
    cause: MetaMLFlowError | None = None
    if not _is_whole(store, loaded):
        _log.warning("%s@%d was registered late, and content that it relies on was collected", name, version)
        try:
            put_back()
        except MetaMLFlowError as error:
            cause = error
        if cause is not None or not _is_whole(store, loaded):
            number = status.state + 1
            if number % 2 == 0:  # the odd state speaks of another manifest: an even one follows it first
                claim_state(store, name, version, number, "restored", loaded.digest)
                number += 1
            claim_state(store, name, version, number, "pruned", loaded.digest)
            raise StorageError(
                f"{name}@{version} was registered so late that its content had been collected; it could not be "
                f"stored again, so the version was pruned{f': {cause.message}' if cause else ''}",
                hint="Register it again. This machine was probably paused for days.",
            ) from cause
    return True


def _is_whole(store: Store, loaded: StoredManifest) -> bool:
    """Whether every object that a manifest names is there: one look at each, in parallel."""

    def keys() -> Iterator[str]:
        yield from (shard.key for shard in loaded.manifest.shards or ())
        for entry in Entries(store, loaded.manifest, as_registered=True):
            yield from (held.key for held in entry.objects())

    def is_there(key: str) -> bool:
        try:
            with_retries(lambda: store.backend.stat(key), store.clock)
        except ObjectNotFoundError:
            return False
        return True

    try:
        return all(in_parallel(is_there, keys()))
    except MetaMLFlowError as error:  # a list of files is gone, and with it the names of the others
        _log.debug("%s", error)
        return False
