"""Prove lineage: each manifest upstream is the one that was used."""

from __future__ import annotations

from metamlflow.errors import ObjectNotFoundError, StorageError, StoreFormatError
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest, decode_manifest, digest_of
from metamlflow.model.findings import Finding
from metamlflow.model.manifests import Input
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import tomb_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.scheduler import in_parallel


def lineage_findings(store: Store, loaded: StoredManifest) -> list[Finding]:
    """Return the manifests that differ from those that were used, on all ways upstream from a version.

    Each manifest is read once, and its bytes are compared with the digest that each of its consumers recorded. The
    inputs of an altered manifest are not followed, because they prove nothing.
    """
    findings: list[Finding] = []
    checked: dict[tuple[str, int, str], None] = {}
    frontier = list(loaded.manifest.inputs)
    while frontier:
        wanted = {(str(used.name), used.version, used.manifest_digest): used for used in frontier}
        fresh = [used for place, used in wanted.items() if place not in checked]
        checked |= dict.fromkeys(wanted)
        frontier = []
        for outcome in in_parallel(lambda used: _check(store, used), fresh):
            if isinstance(outcome, Finding):
                findings.append(outcome)
            else:
                frontier += outcome
    return findings


def _check(store: Store, used: Input) -> Finding | list[Input]:
    """Return the finding for a manifest that was used, or its own inputs if it is intact."""
    key = manifest_key(used.name, used.version)
    try:
        data = with_retries(lambda: read_record(store.backend, key), store.clock)
    except ObjectNotFoundError:
        return _missing(store, used, key)
    except (StorageError, StoreFormatError) as error:
        return Finding("", "unreadable", key, used.manifest_digest, error.message)
    actual = digest_of(data)
    if actual != used.manifest_digest:
        return Finding("", "modified", key, used.manifest_digest, actual)
    try:
        return list(decode_manifest(data, key, used.name, used.version).inputs)
    except StoreFormatError as error:
        return Finding("", "unreadable", key, used.manifest_digest, error.message)


def _missing(store: Store, used: Input, key: str) -> Finding:
    """Return the finding for a manifest that is not there: lost, or erased.

    The record of an erased version repeats the digest, so the link to it holds; what was before it is not known.
    """
    try:
        tomb = tomb_of(store, used.name, used.version)
    except (StorageError, StoreFormatError) as error:
        return Finding("", "unreadable", key, used.manifest_digest, error.message)
    if tomb is None:
        return Finding("", "missing", key, used.manifest_digest, "missing")
    if tomb.known_digest not in {None, used.manifest_digest}:
        return Finding("", "modified", key, used.manifest_digest, tomb.manifest_digest)
    return Finding("", "unverifiable", key, used.manifest_digest, f"erased on {tomb.created_at:%Y-%m-%d}")
