"""Restore a version that was pruned. The steps are those of SPEC.md, "Restoring a version"."""

from __future__ import annotations

from datetime import timedelta

from metamlflow._looks import minute_text
from metamlflow.backend import ObjectInfo
from metamlflow.errors import ConflictError, StorageError
from metamlflow.format.layout import state_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.records import Losses, looked_again, with_retries
from metamlflow.store.catalog.statuses import (
    RESTORED_WITHIN,
    VersionStatus,
    claim_state,
    erased_error,
    is_live,
    load_manifest,
    pruned_error,
    read_tomb,
    state_that_holds,
    version_status,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_version, not_found
from metamlflow.store.publish.lateness import AttemptAge
from metamlflow.store.retain.presence import missing_object

_ATTEMPTS_WITHIN = 1 / 16  # of the grace
_LANDED_WITHIN = 5 / 8  # of the grace: a win that is seen later is looked at again
_HINT = "Register its files again instead."


def restore(store: Store, reference: Reference, note: str | None, *, dry_run: bool = False) -> StoredManifest:
    """Make a pruned version live again; return its manifest. With ``dry_run`` only check that this is possible.

    Raises:
        ConflictError: it is live, or was pruned too long ago: what it names may be collected at any moment.
        IntegrityError: an object that it names is gone.
        ArtifactNotFoundError: the version does not exist.
        ArtifactPrunedError: it is not pruned but absent: a migration left it out.
        ArtifactErasedError: it was erased.
        OutcomeUnknownError: the storage did not say whether it was restored.
    """
    store.marker()
    if not dry_run:
        store.open_for_change()
    version = looked_again(lambda: known_version(store, reference), store.clock)
    if dry_run:
        return looked_again(lambda: _restorable(store, reference.name, version), store.clock)[0]
    return restore_version(store, reference.name, version, note)


def restore_version(store: Store, name: ArtifactName, version: int, note: str | None) -> StoredManifest:
    """As :func:`restore`, in a store that is open for writing. A prune undoes itself by this."""
    losses = Losses(store.clock)
    while True:
        store.recheck_if_due()
        loaded, lost = looked_again(lambda: _attempt(store, name, version, note, tried=losses.count > 0), store.clock)
        if lost is None:
            return loaded
        losses.note(lost)


def _attempt(
    store: Store, name: ArtifactName, version: int, note: str | None, *, tried: bool
) -> tuple[StoredManifest, str | None]:
    """Restore it; return the key of the state if another writer took its number, and None if it is live now."""
    if tried and is_live(store, name, version_status(store, name, version), by_times=False):
        return load_manifest(store, name, version), None  # somebody else restored it at the same time
    loaded, status, age = _restorable(store, name, version)
    store.recheck_if_due()
    won = _claim(store, status, loaded, note, age)
    return loaded, None if won else state_key(name, version, status.state + 1)


def _restorable(store: Store, name: ArtifactName, version: int) -> tuple[StoredManifest, VersionStatus, _PrunedAge]:
    """Return a pruned version whose content is all there, and how long ago it was pruned; or raise the obstacle."""
    status = version_status(store, name, version)
    if status.erased:
        raise erased_error(read_tomb(store, name, version))
    if status.info is None:
        raise not_found(store, name, version)
    loaded = load_manifest(store, name, version) if status.state % 2 else None
    record = None if loaded is None else state_that_holds(store, name, status, loaded.digest)
    if loaded is None or record is None:
        raise ConflictError(f"{name}@{version} is not pruned: it is live", hint="There is nothing to restore.")
    if record.state == "absent":
        raise pruned_error(store, name, status, record)
    age = _PrunedAge(store, name, status)
    age.check()
    if missing := missing_object(store, loaded, seen=lambda info: age.clock.note(info.observed)):
        raise missing.with_hint(f"It cannot be restored. {_HINT}")
    return loaded, status, age


def _claim(store: Store, status: VersionStatus, loaded: StoredManifest, note: str | None, age: _PrunedAge) -> bool:
    name, version, number = loaded.manifest.name, status.version, status.state + 1
    age.ask()
    age.check()
    sent = age.seconds()
    won = claim_state(
        store,
        name,
        version,
        number,
        "restored",
        loaded.digest,
        note=note,
        in_time=lambda: age.seconds() - sent < age.grace * _ATTEMPTS_WITHIN,
    )
    if won and age.is_late() and (missing := missing_object(store, loaded)):
        claim_state(store, name, version, number + 1, "pruned", loaded.digest, note="it was restored too late")
        raise StorageError(
            f"{name}@{version} was restored so late that its content had been collected, so it was pruned again",
            hint=f"{_HINT} This machine was probably paused for days.",
        ) from missing
    return won


class _PrunedAge:
    """How long ago a version was pruned: by the storage's clock when it was asked, and the time that passed since."""

    def __init__(self, store: Store, name: ArtifactName, status: VersionStatus) -> None:
        self.clock = AttemptAge(store.clock, store.clock.elapsed())
        self._ref = f"{name}@{status.version}"
        self._store = store
        self._key = state_key(name, status.version, status.state)
        info = self.ask()
        self._pruned_at = info.modified
        self._when_asked = ((info.observed or store.clock.now()) - info.modified).total_seconds()
        self.grace = store.marker().grace.total_seconds()

    def ask(self) -> ObjectInfo:
        """Ask the storage for its time: the clock of a machine that was paused does not count that. One request."""
        info = with_retries(lambda: self._store.backend.stat(self._key), self._store.clock)
        self.clock.note(info.observed)
        return info

    def seconds(self) -> float:
        """Return the age now."""
        return self._when_asked + self.clock.seconds()

    def is_late(self) -> bool:
        """Whether a win that is seen now may have landed after a collection that did not see it. One request."""
        self.ask()
        return self.seconds() > self.grace * _LANDED_WITHIN

    def check(self) -> None:
        """Refuse a restore that would be sent too late."""
        if self.seconds() >= self.grace * RESTORED_WITHIN:
            until = self._pruned_at + timedelta(seconds=self.grace * RESTORED_WITHIN)
            raise ConflictError(
                f"{self._ref} was pruned on {minute_text(self._pruned_at)} and could be restored until "
                f"{minute_text(until)}: what it names may be collected at any moment",
                hint=_HINT,
            )
