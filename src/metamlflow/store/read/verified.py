"""Read blobs so that wrong bytes are never returned as their content."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import IO, Any, BinaryIO

from metamlflow.backend import CheapStat
from metamlflow.backend.seeking import SeekableReader
from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.model.manifests import Entry, Manifest
from metamlflow.store.catalog.fetching import (
    absent,
    check_size,
    compare,
    damaged_on_its_way,
    fetch_whole,
    range_fetcher,
)
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import check_available, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.ranges import copy_ranges, not_told, write_all
from metamlflow.store.transfer.spooling import CHUNK, SMALL, OnBytes, discard, new_spool, spool_errors


def verifying_reader(store: Store, manifest: Manifest, entry: Entry) -> io.RawIOBase:
    """Return a seekable reader of a blob that raises IntegrityError instead of returning wrong bytes."""
    return _VerifyingReader(entry, opener(store, manifest, entry))


def opener(store: Store, manifest: Manifest, entry: Entry) -> Callable[[], BinaryIO]:
    """Return a function that opens an entry's blob; a missing blob raises the error of :func:`missing`."""

    def open_blob() -> BinaryIO:
        try:
            return with_retries(lambda: store.backend.open(entry.key), store.clock)
        except ObjectNotFoundError:
            raise missing(store, manifest, entry) from None

    return open_blob


def copy_blob(store: Store, entry: Entry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    """Read a blob once, compare it with its size and SHA-256, and write it to ``target`` if one is given.

    Raises:
        ObjectNotFoundError: the blob does not exist.
        IntegrityError: the content differs from the registered content; discard the bytes written.
    """
    if entry.size <= SMALL:
        data = fetch_whole(store, entry)
        if target is not None:
            write_all(target, data)
        on_bytes(entry.size)
    elif isinstance(store.backend, CheapStat):
        _copy_stream(lambda: with_retries(lambda: store.backend.open(entry.key), store.clock), entry, target, on_bytes)
    else:
        _copy_ranges(store, entry, target, on_bytes)


def _copy_ranges(store: Store, entry: Entry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    """Copy in ranges; servers state no checksum for a range, so damage in transit shows at the end: repeat once."""
    fetch, prove_size = range_fetcher(store, entry.key), partial(check_size, store, entry)
    for told in (on_bytes, not_told):
        digest = hashlib.sha256()
        size = copy_ranges(fetch, entry.size, digest, target, told, prove_size=prove_size)
        if (size, digest.hexdigest()) == (entry.size, entry.sha256):
            return
        if target is not None:
            target.truncate(0)  # it may have received too many bytes
    compare(entry, size, digest.hexdigest())


def _copy_stream(open_blob: Callable[[], BinaryIO], entry: Entry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    digest, size = hashlib.sha256(), 0
    with open_blob() as source:
        while size <= entry.size and (chunk := source.read(min(CHUNK, entry.size + 1 - size))):
            digest.update(chunk)
            size += len(chunk)
            if size > entry.size:
                break
            if target is not None:
                write_all(target, chunk)
            on_bytes(len(chunk))
    compare(entry, size, digest.hexdigest())


def missing(store: Store, manifest: Manifest, entry: Entry) -> IntegrityError:
    """Return the error for missing content; if the version was pruned meanwhile, raise ArtifactPrunedError instead."""
    check_available(store, manifest.name, version_status(store, manifest.name, manifest.version))
    return absent(entry)


class _VerifyingReader(SeekableReader):
    """The raw reader of a blob.

    A local file is verified completely before its first bytes are returned. Content from a network is hashed as it is
    read sequentially; its last bytes are returned only if the digest matches. A seek, as Parquet and zip readers do,
    reads everything once into a temp file, which then serves every later read.
    """

    def __init__(self, entry: Entry, open_blob: Callable[[], BinaryIO]) -> None:
        super().__init__(entry.size)
        self._entry = entry
        self._open_blob = open_blob
        self._source: IO[bytes] = open_blob()
        self._digest = hashlib.sha256()
        self._hashed = 0  # number of bytes hashed sequentially
        self._verified = False

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._entry.size and (self._verified or self._entry.size):
            if not self._verified and self._hashed == self._position:
                self._finish(b"")
            return 0
        if not self._verified and (self._position != self._hashed or self._is_worth_a_look_ahead(len(buffer))):
            self._jump()
        if self._verified:
            self._source.seek(self._position)
            chunk = self._source.read(len(buffer))
        else:
            chunk = self._read_in_order(len(buffer))
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def readall(self) -> bytes:
        """Return the remaining bytes. If nothing was returned before, data damaged in transit is read again."""
        start, is_first = self._position, not self._hashed
        try:
            return super().readall()
        except IntegrityError:
            if not is_first or not self._verified:
                raise
        self._position = start
        return super().readall()

    def _read_in_order(self, size: int) -> bytes:
        handed_out = self._digest.copy(), self._hashed
        chunk = self._source.read(min(size, self._entry.size - self._hashed))
        self._digest.update(chunk)
        self._hashed += len(chunk)
        if not chunk or self._hashed == self._entry.size:
            try:
                self._finish(self._source.read(1))
            except IntegrityError:
                if self._is_local():
                    raise
                self._digest, self._hashed = handed_out
                self._verify_all()  # shows whether it was damaged in transit or in the store
                self._source.seek(self._hashed)
                chunk = self._source.read(size)
        return chunk

    def _finish(self, excess: bytes) -> None:
        """Compare the content with its registered size and digest after it was read to its end."""
        compare(self._entry, self._hashed + len(excess), self._digest.hexdigest())
        self._verified = self._is_local()

    def _is_worth_a_look_ahead(self, asked: int) -> bool:
        """Whether to verify a local file completely before its first bytes are returned: a caller may stop early."""
        return self._hashed == 0 and asked < self._entry.size and self._is_local()

    def _is_local(self) -> bool:
        try:
            self._source.fileno()
        except (OSError, AttributeError):
            return False
        return True

    def _jump(self) -> None:
        """Make any part readable; fetch once more if the content was damaged in transit."""
        try:
            self._verify_all()
        except IntegrityError:
            if self._verified or self._is_local():
                raise
            self._verify_all()

    def _verify_all(self) -> None:
        """Read and verify the whole content again; later reads are served from this copy.

        Raises:
            IntegrityError: the content differs from the registered content, or from the bytes returned before.
        """
        is_local = self._is_local()
        with ExitStack() as on_failure:
            source: IO[bytes] = on_failure.enter_context(self._open_blob())
            kept = source
            if not is_local:
                kept = new_spool()
                on_failure.callback(discard, kept)
            begins_the_same = self._copy_verified(source, None if is_local else kept)
            on_failure.pop_all()
        self._source.close()
        if kept is not source:
            source.close()
        self._source = kept
        self._verified = True
        if not begins_the_same:
            raise damaged_on_its_way(self._entry.path, f"sha256:{self._entry.sha256}", self._entry.key)

    def _copy_verified(self, source: IO[bytes], target: IO[bytes] | None) -> bool:
        """Read to the end and compare; return whether the content begins with the bytes hashed before."""
        digest, size, begins_the_same = hashlib.sha256(), 0, self._hashed == 0
        while size <= self._entry.size:
            end = self._hashed if size < self._hashed else self._entry.size + 1
            if not (chunk := source.read(min(CHUNK, end - size))):
                break
            digest.update(chunk)
            size += len(chunk)
            if size == self._hashed:
                begins_the_same = digest.digest() == self._digest.digest()
            if target is not None:
                with spool_errors():
                    target.write(chunk)
        compare(self._entry, size, digest.hexdigest())
        if target is not None:
            with spool_errors():
                target.flush()
        return begins_the_same

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
