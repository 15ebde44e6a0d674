"""Protections: while one is in force, nobody prunes the version. Each is a record, and another record ends it.

A protection has a number of its own and its own end, so whoever takes back theirs never ends one of somebody else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial

from metamlflow.errors import (
    ArtifactNotFoundError,
    ConflictError,
    DamagedRecordWarning,
    IntegrityError,
    StoreFormatError,
)
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.known_keys import is_known
from metamlflow.format.layout import (
    PROTECTIONS,
    all_protections_prefix,
    parse_protection_key,
    protection_key,
    protections_prefix,
)
from metamlflow.format.retention import decode_protection, encode_protection
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.retention import Protection
from metamlflow.store.catalog.authors import user_name
from metamlflow.store.catalog.bounded import kept, read_record
from metamlflow.store.catalog.records import Losses, create_exclusively, key_is_listed, read_if_listed, with_retries
from metamlflow.store.catalog.statuses import check_available, is_live, list_versions, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_keys
from metamlflow.store.catalog.versions import known_version, load_reference, not_found
from metamlflow.store.transfer.scheduler import in_parallel

ProtectedVersion = tuple[ArtifactName, int]


def protect(store: Store, reference: Reference, note: str | None) -> Protection:
    """Protect a version from being pruned; return the protection.

    Raises:
        ArtifactNotFoundError: the version does not exist.
        ArtifactPrunedError: it is pruned or absent, perhaps since this call began. It is not protected.
        ArtifactErasedError: it was erased.
        StoreNotFoundError, ConflictError: there is no store, or it was replaced since this client opened it; the latter
            also if the version was given up and came back meanwhile.
    """
    store.open_for_change()
    name, version = reference.name, load_reference(store, reference).manifest.version
    record_id, now = store.clock.new_id(), store.clock.now()
    data = encode_protection(user_name(), note, record_id, now)
    losses = Losses(store.clock)
    while True:
        store.recheck_if_due()
        number = next_protection(_sizes(store, name, version))
        key = protection_key(name, version, number)
        if create_exclusively(store.backend, key, data, record_id, store.clock) is not None:
            break
        losses.note(key)
    status = version_status(store, name, version)
    if is_live(store, name, status, by_times=False):
        return decode_protection(data, key, name, version, number)
    # A prune looked for protections before this one existed, so the version is gone.
    _end(store, name, version, number, "it was pruned meanwhile")
    check_available(store, name, status)
    raise ConflictError(
        f"{name}@{version} was given up and came back while it was being protected, so it is not protected by this",
        hint="Protect it again.",
    )


def unprotect(store: Store, reference: Reference, note: str | None) -> int:
    """End all protections of a version that are in force now; return how many those were.

    Those of a version that vanished can be ended, too: they stop every collection.

    Raises:
        ArtifactNotFoundError: the version does not exist, and is not protected.
        ArtifactErasedError: it was erased.
        StoreNotFoundError, ConflictError: there is no store, or it was replaced since this client opened it.
    """
    store.open_for_change()
    missing: ArtifactNotFoundError | None = None
    try:
        version = known_version(store, reference)
    except ArtifactNotFoundError as error:
        if not isinstance(reference.version, int):
            raise
        version, missing = reference.version, error
    found = protected(store, reference.name, version).get((reference.name, version), [])
    if missing is not None and not found:
        raise missing
    return sum(_end(store, reference.name, version, number, note) for number in found)


def _end(store: Store, name: ArtifactName, version: int, number: int, note: str | None) -> bool:
    store.recheck_if_due()
    record_id = store.clock.new_id()
    data = encode_protection(user_name(), note, record_id, store.clock.now())
    key = protection_key(name, version, number, ends=True)
    return create_exclusively(store.backend, key, data, record_id, store.clock) is not None


def protected(
    store: Store, name: ArtifactName | None = None, version: int | None = None, *, strict: bool = False
) -> dict[ProtectedVersion, list[int]]:
    """Return the versions that are protected now, each with the numbers of its protections. One listing, no read.

    Args:
        store: the store.
        name: only the versions of this name.
        version: only this version of the name.
        strict: for who gives something up by the answer.

    Raises:
        StoreFormatError: with ``strict``, a key there is not known: it may protect something.
    """
    found = _sizes(store, name, version)
    if strict:
        refuse_keys(key for key in found if not is_known(key))
    return in_force(found)


def _sizes(store: Store, name: ArtifactName | None, version: int | None) -> dict[str, int]:
    """Return the sizes of the records by their keys: one listing."""
    if name is None:
        prefix = PROTECTIONS
    elif version is None:
        prefix = all_protections_prefix(name)
    else:
        prefix = protections_prefix(name, version)
    return with_retries(lambda: {info.key: info.size for info in store.backend.list_objects(prefix)}, store.clock)


def next_protection(keys: Iterable[str]) -> int:
    """Return the number of the next protection of a version, by the listed keys of all of it and of what ends them."""
    return max((found.number for key in keys if (found := parse_protection_key(key))), default=0) + 1


def in_force(keys: Iterable[str]) -> dict[ProtectedVersion, list[int]]:
    """Return the versions that are protected, by the listed keys of protections and of what ends them."""
    begun: dict[ProtectedVersion, set[int]] = {}
    ended: dict[ProtectedVersion, set[int]] = {}
    for key in keys:
        if found := parse_protection_key(key):
            (ended if found.ends else begun).setdefault((found.name, found.version), set()).add(found.number)
    open_now = {version: sorted(numbers - ended.get(version, set())) for version, numbers in begun.items()}
    return {version: numbers for version, numbers in open_now.items() if numbers}


def protections(store: Store, name: ArtifactName | None = None, version: int | None = None) -> list[Protection]:
    """Return the protections in force, by name, version and number: one listing, and a read of each.

    A damaged one, or one that is listed and cannot be read, is left out with a warning. It protects all the same.

    Raises:
        ArtifactNotFoundError: there is no artifact of this name, and nothing of it is protected: one more listing.
    """

    def read(wanted: tuple[ArtifactName, int, int]) -> Protection | StoreFormatError | IntegrityError | None:
        """Return a protection, why it cannot be read, or None if its writer took it back."""
        key = protection_key(*wanted)

        def look() -> Protection:
            return decode_protection(with_retries(partial(read_record, store.backend, key), store.clock), key, *wanted)

        try:
            return read_if_listed(key, look, partial(key_is_listed, store.backend, key, store.clock), store.clock)
        except (StoreFormatError, IntegrityError) as error:
            return kept(error)

    sizes = _sizes(store, name, version)
    found = sorted(in_force(sizes).items())
    if name is not None and not found and next(list_versions(store, name), None) is None:
        raise not_found(store, name, version)
    wanted = [(*subject, number) for subject, numbers in found for number in numbers]
    readable = []
    # Together no more of them than memory holds: a hostile record may be as large as any document.
    for protection in in_parallel(read, wanted, size_of=lambda at: min(sizes[protection_key(*at)], MAX_DOCUMENT_BYTES)):
        if isinstance(protection, StoreFormatError | IntegrityError):
            warnings.warn(f"left out of the list: {protection}", DamagedRecordWarning, stacklevel=3)
        elif protection is not None:
            readable.append(protection)
    return readable
