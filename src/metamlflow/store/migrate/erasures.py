"""Erased versions in a migration: none is brought back, and an erasure of the source is carried to the destination.

SPEC.md, "Migrate". A migration deletes nothing: a manifest that lies where a version was erased is left to whoever
erases or collects there.
"""

from __future__ import annotations

from metamlflow.format.layout import manifest_key, name_key, state_key, tomb_key
from metamlflow.format.manifests import digest_of
from metamlflow.format.tombs import DIGEST_OF_NOTHING, Tomb
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import VersionStatus, read_tomb, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import another_history, copy_record, read_or_none
from metamlflow.store.migrate.report import VersionReport
from metamlflow.store.migrate.states import create_state, newest_record


def carry_erasure(ends: StorePair, version: VersionId, report: VersionReport) -> None:
    """Carry the erasure of a version of the source to the destination, as far as its grace allows that now.

    Where the destination has the version, it is pruned first: whoever saw it live may rely on its content. Once that
    was a whole grace of the destination ago, another migration creates the record that it was erased.

    Raises:
        ConflictError: the destination has another version under that number.
    """
    destination = ends.destination
    tomb = read_tomb(ends.source, *version)
    report.manifest_digest = tomb.manifest_digest
    status = version_status(destination, *version)
    if status.erased:
        check_same_erasure(destination, tomb.manifest_digest, version)
    elif status.info is None or _is_long_given_up(destination, version, status, tomb):
        copy_record(ends, name_key(version[0]))
        copy_record(ends, tomb_key(*version))
    else:
        report.status, report.reason = "pruned", _PRUNED
        return
    report.status = "erased"


_PRUNED = "it was erased at the source; here it is pruned now, and a migration after this store's grace erases it"


def _is_long_given_up(destination: Store, version: VersionId, status: VersionStatus, tomb: Tomb) -> bool:
    """Whether the version was pruned longer ago than the grace; prune it if it is live."""
    found = digest_of(read_or_none(destination, manifest_key(*version)) or b"")
    if found != tomb.manifest_digest:
        raise another_history(version, tomb.manifest_digest, found)
    record = newest_record(destination, version, (status.state,))
    if record is None or record.manifest_digest != found:
        number = status.state + 1
        if record is not None:
            create_state(destination, version, number, "restored", found)
            number += 1
        create_state(destination, version, number, "pruned", found)
        return False
    key = state_key(*version, status.state)
    info = with_retries(lambda: destination.backend.stat(key), destination.clock)
    return (info.observed or destination.clock.now()) - info.modified > destination.marker().grace


def check_same_erasure(destination: Store, digest: str, version: VersionId) -> None:
    """Refuse a destination in which another version was erased under that number."""
    found = read_tomb(destination, *version).known_digest
    if found is not None and digest not in {found, DIGEST_OF_NOTHING}:
        raise another_history(version, digest, found)
