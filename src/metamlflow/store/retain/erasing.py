"""Erase a version for good: its record, all that was said of it, and what a cache has of it. SPEC.md, section 12."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from metamlflow.backend import Backend, ObjectInfo, delete_seen
from metamlflow.errors import ConflictError, InvalidInputError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.layout import (
    CACHE,
    manifest_key,
    notes_prefix,
    protections_prefix,
    signatures_prefix,
    state_key,
    tomb_key,
)
from metamlflow.format.manifests import StoredManifest, decode_manifest
from metamlflow.format.records import decode_state
from metamlflow.format.tombs import Tomb, encode_tomb
from metamlflow.model.names import Reference
from metamlflow.store.catalog.aliases import aliases_of
from metamlflow.store.catalog.authors import user_name
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.protections import protected
from metamlflow.store.catalog.records import create_exclusively, with_retries
from metamlflow.store.catalog.statuses import VersionStatus, lists_in_order, pages, read_tomb, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_unknown
from metamlflow.store.retain.collecting.moment import BURY, TICK
from metamlflow.store.retain.erasure_report import ErasedObject, ErasureReport
from metamlflow.store.retain.lost import give_up, not_there, tomb_of_lost
from metamlflow.store.retain.remains import remains_of

_LOOKS = 5  # for notes that come meanwhile


def erase(
    store: Store, wanted: Reference, reason: str | None, *, lost: bool = False, dry_run: bool = False
) -> ErasureReport:
    """Erase a version that was pruned longer ago than the grace. Running it again goes on where it was cut off.

    Args:
        store: the store.
        wanted: name and number.
        reason: kept in the record that it was erased.
        lost: the version vanished, and is given up for good: the first call notes that, and one that comes a grace
            later erases it.
        dry_run: write nothing, and tell what goes and what stays.

    Raises:
        ArtifactNotFoundError: there is no such version.
        ConflictError: it is live, an alias names it, it is protected, or it was pruned too short ago: the error says
            from when on it can be erased.
        StoreFormatError: the store holds something unknown, or a record of the version is damaged.
    """
    if not isinstance(wanted.version, int):
        raise InvalidInputError(
            f"{wanted} does not name a version by its number", hint="Give one, such as 'features@2': it is for good."
        )
    store.marker_looked_at_again()
    refuse_unknown(store)
    return _Erasure(store, wanted, wanted.version).carry_out(reason, lost=lost, dry_run=dry_run)


class _Erasure:
    """One call."""

    def __init__(self, store: Store, wanted: Reference, version: int) -> None:
        self._store = store
        self._name = wanted.name
        self._version = version
        self._grace = store.marker().grace
        self._key = manifest_key(wanted.name, version)

    def carry_out(self, reason: str | None, *, lost: bool, dry_run: bool) -> ErasureReport:
        """Do the steps, from the first one that is not done."""
        store, status = self._store, version_status(self._store, self._name, self._version)
        if not lost and not status.erased and status.info is None:
            raise not_there(store, self._name, self._version)
        loaded: StoredManifest | None
        if status.erased:
            tomb, loaded = read_tomb(store, self._name, self._version), self._left(status)
        elif lost:
            tomb, loaded = self._given_up(reason, dry_run=dry_run), None
        else:
            loaded = self._erasable(status)
            tomb = self._tomb(loaded, reason)
        report = ErasureReport(str(self._name), self._version, dry_run, tomb.manifest_digest, tomb.reason)
        report.stays = remains_of(store, self._name, self._version, loaded)  # before it is gone
        if dry_run:
            if status.info is not None:
                report.manifest_from = self._deletable_from(status)
            report.goes = [*self._present(status), *(ErasedObject(kind, info.key) for kind, info in self._small())]
            return report
        if not status.erased:
            store.writable_marker()
            store.recheck_if_due()
            create_exclusively(
                store.backend, tomb_key(self._name, self._version), encode_tomb(tomb), tomb.record_id, store.clock
            )
            tomb = read_tomb(store, self._name, self._version)  # somebody else's, perhaps
            report.reason = tomb.reason
        self._delete_manifest(report)
        self._delete_small(report)
        return report

    # --- may it be erased? --------------------------------------------------------------------------------------------

    def _erasable(self, status: VersionStatus) -> StoredManifest:
        """Return the manifest of a version that may be erased; raise if it may not, or not yet."""
        reference, store = f"{self._name}@{self._version}", self._store
        live = ConflictError(
            f"{reference} is live, and is not erased", hint="Prune it first; a grace later it can be erased."
        )
        if status.state % 2 == 0:
            raise live
        key = state_key(self._name, self._version, status.state)
        record = decode_state(with_retries(lambda: read_record(store.backend, key), store.clock), key)
        data = with_retries(lambda: read_record(store.backend, self._key), store.clock)
        loaded = StoredManifest(decode_manifest(data, self._key, self._name, self._version), data)
        if record.manifest_digest != loaded.digest:
            raise live
        self._refuse_young(status, "pruned")
        self._refuse_held()
        return loaded

    def _given_up(self, reason: str | None, *, dry_run: bool) -> Tomb:
        """Return the tomb of a version that vanished; raise before a grace has passed since it was given up."""
        tomb = tomb_of_lost(self._store, self._name, self._version, reason)
        self._refuse_held()
        if not dry_run:
            self._store.writable_marker()
            self._store.recheck_if_due()
        give_up(self._store, tomb, dry_run=dry_run, refuse_young=self._refuse_young)
        # It may have been brought back while this looked.
        return tomb_of_lost(self._store, self._name, self._version, reason)

    def _refuse_young(self, status: VersionStatus, what: str) -> None:
        """Raise an error if the newest state of the version is younger than the grace."""
        reference, store = f"{self._name}@{self._version}", self._store
        key = state_key(self._name, self._version, status.state)
        seen = with_retries(lambda: store.backend.stat(key), store.clock)
        since = seen.modified + self._grace + TICK
        if (seen.observed or store.clock.now()) < since:
            raise ConflictError(
                f"{reference} was {what} on {seen.modified:%Y-%m-%d %H:%M:%S} UTC, and can be erased from "
                f"{since:%Y-%m-%d %H:%M:%S} UTC on",
                hint="Until then a publish that saw it live may rely on its content. It cannot be read meanwhile.",
            )

    def _refuse_held(self) -> None:
        reference, store = f"{self._name}@{self._version}", self._store
        names = sorted(alias for alias, version in aliases_of(store, self._name).items() if version == self._version)
        if names:
            raise ConflictError(
                f"the alias {names[0]} stands for {reference}, which is not erased",
                hint="Set the alias to another version, or remove it.",
            )
        if protected(store, self._name, self._version):
            raise ConflictError(
                f"{reference} is protected, and is not erased", hint="End its protections first, with unprotect."
            )

    def _tomb(self, loaded: StoredManifest, reason: str | None) -> Tomb:
        return Tomb(
            record_id=self._store.clock.new_id(),
            created_at=self._store.clock.now(),
            created_by=user_name(),
            name=self._name,
            version=self._version,
            manifest_digest=loaded.digest,
            previous=loaded.manifest.previous,
            reason=reason,
        )

    # --- what goes ----------------------------------------------------------------------------------------------------

    def _left(self, status: VersionStatus) -> StoredManifest | None:
        """Return what is left of the manifest of an erased version, if it can be read; nothing depends on it."""
        if status.info is None:
            return None
        try:
            data = read_record(self._store.backend, self._key)
            return StoredManifest(decode_manifest(data, self._key, self._name, self._version), data)
        except MetaMLFlowError:
            return None

    def _present(self, status: VersionStatus) -> Iterator[ErasedObject]:
        if status.info is not None:
            yield ErasedObject("manifest", self._key)

    def _small(self) -> Iterator[tuple[str, ObjectInfo]]:
        """Yield the objects about the version, in the order in which they go: of notes the oldest first."""
        store = self._store
        notes = sorted(pages(store, notes_prefix(self._name, self._version), 1000), key=lambda info: info.key)
        yield from (("note", info) for info in reversed(notes))  # the oldest has the last key
        # None of these is in force, and an erased version gets no other. Each goes before the record that ends it.
        protections = sorted(
            pages(store, protections_prefix(self._name, self._version), 1000), key=lambda info: info.key
        )
        yield from (("protection", info) for info in reversed(protections))
        yield from (("signature", info) for info in pages(store, signatures_prefix(self._name, self._version), 1000))
        # Any of it may have been made from this version; whoever needs it makes it again.
        yield from (("cache", info) for info in pages(store, CACHE, 1000))

    def _delete_manifest(self, report: ErasureReport) -> None:
        store = self._store
        try:
            seen = store.backend.stat(self._key)
        except ObjectNotFoundError:
            return
        until = self._deletable_from()
        if until is not None:
            report.manifest_from = until
            return
        reason = _why_not_deleted(store.backend, seen)
        (report.failed if reason else report.goes).append(ErasedObject("manifest", self._key, reason))

    def _deletable_from(self, before: VersionStatus | None = None) -> datetime | None:
        """Return from when on the manifest may be deleted, or None for now.

        Args:
            before: of a dry run: how the version is listed, perhaps without a tomb, which then would be created now.
        """
        store = self._store
        if lists_in_order(store):
            return None
        if before is not None and not before.erased:
            seen = before.state_info and before.state_info.observed
            return (seen or store.clock.now()) + self._grace * BURY + TICK
        tomb: ObjectInfo = with_retries(lambda: store.backend.stat(tomb_key(self._name, self._version)), store.clock)
        until = tomb.modified + self._grace * BURY + TICK
        return until if (tomb.observed or store.clock.now()) < until else None

    def _delete_small(self, report: ErasureReport) -> None:
        for _ in range(_LOOKS):
            found = list(self._small())
            for kind, info in found:
                # By its version where the bucket keeps them: a deletion that only hides would leave the text there.
                reason = _why_not_deleted(self._store.backend, info)
                (report.failed if reason else report.goes).append(ErasedObject(kind, info.key, reason))
            if not found or report.failed:
                return


def _why_not_deleted(backend: Backend, info: ObjectInfo) -> str:
    """Delete an object; return why that failed, or an empty text."""
    for failure in delete_seen(backend, [info]):
        if not isinstance(failure.error, ObjectNotFoundError):
            return _reason(failure.error)
    return ""


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, MetaMLFlowError) else str(error)
