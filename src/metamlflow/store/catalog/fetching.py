"""Fetch stored content of a recorded size: never read past that size, and never trust the record alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from metamlflow.backend import ObjectInfo
from metamlflow.errors import IntegrityError
from metamlflow.model.manifests import Entry, Shard
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.ranges import RANGE_BYTES, Fetch

if TYPE_CHECKING:
    from typing_extensions import Buffer

REMEDY = "Put this object back with `metamlflow repair` from a copy"


def fetch_whole(store: Store, blob: Entry | Shard) -> Buffer:
    """Return a blob's bytes, compared with its recorded size and SHA-256; one request up to 8 MiB, two above.

    One byte more than the recorded size is requested, to detect an object that is too long. Content that differs is
    fetched once more: servers state no checksum for a range, so damage in transit shows only here.

    Raises:
        ObjectNotFoundError: the object does not exist.
        IntegrityError: the content differs from its record.
    """
    if blob.size > RANGE_BYTES:
        check_size(store, blob)
    for _ in range(2):
        data = with_retries(lambda: store.fetch(blob.key, 0, blob.size + 1), store.clock)
        size, sha256 = memoryview(data).nbytes, hashlib.sha256(data).hexdigest()
        if (size, sha256) == (blob.size, blob.sha256):
            return data
    compare(blob, size, sha256)
    return data


def range_fetcher(store: Store, key: str) -> Fetch:
    """Return a function that fetches a range of a blob, and retries after transient failures."""
    return lambda start, end: with_retries(lambda: store.fetch(key, start, end), store.clock)


def check_size(store: Store, blob: Entry | Shard) -> None:
    """Compare an object's size with the record before memory, requests or disk space are spent on it; one request.

    Raises:
        ObjectNotFoundError: the object does not exist.
        IntegrityError: the object has another size.
    """
    info = with_retries(lambda: store.backend.stat(blob.key), store.clock)
    if info.size != blob.size:
        raise damaged(blob, f"{info.size} bytes")


def compare(blob: Entry | Shard, size: int, sha256: str) -> None:
    """Compare content with its record. For a ``size`` that is too large, the error says only that it is.

    Raises:
        IntegrityError: the content differs.
    """
    if size > blob.size:
        raise damaged(blob, f"more than {blob.size} bytes")
    if size != blob.size:
        raise damaged(blob, f"{size} bytes")
    if sha256 != blob.sha256:
        raise damaged(blob, f"sha256:{sha256}")


def damaged(blob: Entry | Shard, actual: str) -> IntegrityError:
    """Return the error for content that differs from its record; ``actual`` is a size or a digest."""
    expected = f"sha256:{blob.sha256}" if actual.startswith("sha256:") else f"{blob.size} bytes"
    return IntegrityError(
        f"{_named(blob)} is damaged in the store: expected {expected}, got {actual} ({blob.key})",
        hint=f"Nothing of it was used. {REMEDY}, or use another version.",
        expected=expected,
        actual=actual,
        path=blob.path,
        key=blob.key,
    )


def absent(blob: Entry | Shard) -> IntegrityError:
    """Return the error for missing content."""
    return IntegrityError(
        f"{_named(blob)} is missing in the store ({blob.key})",
        hint=f"Something else deleted it. {REMEDY}, or use another version.",
        expected=f"sha256:{blob.sha256}",
        actual="missing",
        path=blob.path,
        key=blob.key,
    )


def damaged_on_its_way(path: str, expected: str, key: str) -> IntegrityError:
    """Return the error for content that is intact in the store but was damaged in an earlier read."""
    return IntegrityError(
        f"{path!r} was damaged on its way: the bytes read before are not the registered content",
        hint="The stored object is good. Discard the bytes read before, and open it again.",
        expected=expected,
        actual="other bytes, once",
        path=path,
        key=key,
    )


def _named(blob: Entry | Shard) -> str:
    return "a part of the artifact's list of files" if blob.path is None else repr(blob.path)


def held_checksum(info: ObjectInfo, entry: Entry) -> tuple[str, str] | None:
    """Return the blob's expected checksum and the one that its storage holds; None if it holds none."""
    recorded = {"sha256": entry.sha256, "crc32c": entry.crc32c}
    held = {name: value for name, value in info.checksums.items() if recorded.get(name)}
    if not held:
        return None
    name, value = max(held.items())  # sha256 before crc32c
    return f"{name}:{recorded[name]}", f"{name}:{value}"
