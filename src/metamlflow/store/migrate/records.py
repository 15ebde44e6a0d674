"""Copy records unchanged from one store to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from metamlflow.backend import ObjectInfo
from metamlflow.backend.external import is_folder_marker
from metamlflow.errors import AlreadyExistsError, ConflictError, ObjectNotFoundError
from metamlflow.format.layout import NAMES, manifest_key
from metamlflow.format.manifests import digest_of, record_id_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.records import create_exclusively, patiently, with_retries
from metamlflow.store.catalog.statuses import tomb_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.transfer.scheduler import in_parallel

HISTORY_HINT = "The two stores have different histories: migrate to an empty store, or under other names."


def copy_records(ends: StorePair, prefix: str, *, but: tuple[str, ...] = ()) -> None:
    """Create every record below a prefix of the source that the destination does not have.

    Args:
        ends: both stores.
        prefix: the prefix of the keys.
        but: prefixes of keys to leave out.

    Raises:
        ConflictError: the destination has another record under one of the keys.
    """
    keys = [info.key for info in listed(ends.source, prefix) if not info.key.startswith(but)]
    there = {info.key for info in listed(ends.destination, prefix)} if keys else set()
    for _ in in_parallel(partial(copy_record, ends), (key for key in keys if key not in there)):
        pass


def copy_record(ends: StorePair, key: str, *, in_time: Callable[[], bool] = lambda: True) -> None:
    """Create a record of the source at the destination, unless it exists there already.

    ``in_time`` is called before each further attempt; if it returns False, no attempt follows.

    Raises:
        ConflictError: the destination has another record under this key.
    """
    data = read_or_none(ends.source, key)
    if data is None:
        return
    destination = ends.destination
    record_id = record_id_of(data)
    if record_id is not None:
        stored = create_exclusively(destination.backend, key, data, record_id, destination.clock, in_time=in_time)
    else:  # an edge, or a list of distributions: its key determines its content
        with suppress(AlreadyExistsError):
            patiently(lambda: destination.backend.create(key, data), destination.clock)
        stored = data
    if stored != data and not key.startswith(NAMES):  # records of the same name are equivalent
        raise ConflictError(f"{key}: the destination has another record", hint=HISTORY_HINT)


def everything_below(store: Store, prefix: str) -> Iterator[ObjectInfo]:
    """Yield all objects below a prefix except folder markers; continue after transient failures of the listing."""
    return (info for info in listed_in_order(store, prefix) if not is_folder_marker(info.key, info.size))


def listed(store: Store, prefix: str) -> list[ObjectInfo]:
    """Return all objects below a prefix except folder markers: on a disk these would collide with the folders."""
    found = with_retries(lambda: list(store.backend.list_objects(prefix)), store.clock)
    return [info for info in found if not is_folder_marker(info.key, info.size)]


def read_or_none(store: Store, key: str) -> bytes | None:
    """Return the bytes of a record, or None if it does not exist."""
    try:
        return with_retries(lambda: read_record(store.backend, key), store.clock)
    except ObjectNotFoundError:
        return None


def digest_at(store: Store, version: tuple[ArtifactName, int]) -> str | None:
    """Return the digest of a version's manifest, also if it was erased; empty if there is neither.

    None if it was erased after its manifest was lost, and nothing tells the digest any more.
    """
    if tomb := tomb_of(store, *version):
        return tomb.known_digest
    data = read_or_none(store, manifest_key(*version))
    return "" if data is None else digest_of(data)


def another_history(version: VersionId, ours: str, theirs: str) -> ConflictError:
    """Return the error for a name that has another history at the destination."""
    return ConflictError(
        f"{version[0]}@{version[1]} has another history at the destination: {ours} at the source, {theirs} there",
        hint=HISTORY_HINT,
    )
