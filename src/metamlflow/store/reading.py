"""Reading content so that wrong bytes never count as read."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from metamlflow.backend import CheapLooks
from metamlflow.backend.seeking import SeekableReader
from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.model.manifests import EmptyFolder, Entry, FileEntry, Item, Manifest
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.claiming import retried
from metamlflow.store.opening import Store
from metamlflow.store.pointer_reading import PointerReader, copy_pointer, read_pointer
from metamlflow.store.ranges import Fetch, copy_ranges, write_all
from metamlflow.store.staging import CHUNK, SMALL, TEMP_DIR_VARIABLE, OnBytes, discard, spool_errors
from metamlflow.store.versions import check_available, version_status

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BUFFER = 1024 * 1024
_POINTER_BUFFER = 8 * 1024  # the reader below asks for more than this by itself, where it is read in order


def open_entry(store: Store, manifest: Manifest, entry: FileEntry) -> io.BufferedReader:
    """Return a seekable reader of a file's content that raises IntegrityError instead of giving wrong bytes.

    In a local store all of the content is verified before the first of it is handed out. From a bucket, read from start
    to end, it is verified as it passes, and the read that would return the last of it raises; at the first jump all of
    it is verified, and then any part can be read. What is only pointed to is read on condition of what was registered.
    """
    if isinstance(entry, PointerEntry):
        return io.BufferedReader(PointerReader(store, entry), _POINTER_BUFFER)
    return io.BufferedReader(_VerifyingReader(entry, opener(store, manifest, entry)), _BUFFER)


def opener(store: Store, manifest: Manifest, entry: Entry) -> Callable[[], BinaryIO]:
    """Return a function that opens an entry's blob; what a missing blob means is in its error."""

    def open_blob() -> BinaryIO:
        try:
            return retried(lambda: store.backend.open(entry.key), store.clock)
        except ObjectNotFoundError:
            raise missing(store, manifest, entry) from None

    return open_blob


def read_entry(store: Store, manifest: Manifest, entry: FileEntry) -> Buffer:
    """Return a file's whole content, verified; one request for all of it.

    Raises:
        IntegrityError: it is missing or not what was registered.
    """
    if isinstance(entry, PointerEntry):
        return read_pointer(store, entry)
    try:
        return _read_blob(store, entry)
    except ObjectNotFoundError:
        raise missing(store, manifest, entry) from None


def bytes_in_memory(item: Item) -> int | None:
    """Return how many bytes :func:`copy_entry` has in memory at a time; None: it takes them from the budget itself."""
    if isinstance(item, EmptyFolder):
        return 0
    return item.size if item.size <= SMALL else None


def copy_entry(store: Store, manifest: Manifest, entry: FileEntry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    """Read a file's content once, verified, and write it to ``target`` if one is given.

    Args:
        store: where it lies.
        manifest: of the version that it belongs to.
        entry: the file.
        target: a new file without a buffer.
        on_bytes: is told the progress.

    Raises:
        IntegrityError: it is missing or not what was registered; what was written must be thrown away.
    """
    if isinstance(entry, PointerEntry):
        copy_pointer(store, entry, target, on_bytes)
        return
    try:
        copy_blob(store, entry, target, on_bytes)
    except ObjectNotFoundError:
        raise missing(store, manifest, entry) from None


def copy_blob(store: Store, entry: Entry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    """Read a blob once, verified, and write it to ``target`` if one is given.

    Raises:
        ObjectNotFoundError: it is not there.
        IntegrityError: it is not what was registered; what was written must be thrown away.
    """
    if entry.size <= SMALL:
        data = _read_blob(store, entry)
        if target is not None:
            write_all(target, data)
        on_bytes(entry.size)
    elif isinstance(store.backend, CheapLooks):
        _copy_stream(lambda: retried(lambda: store.backend.open(entry.key), store.clock), entry, target, on_bytes)
    else:
        digest = hashlib.sha256()
        size = copy_ranges(range_fetcher(store, entry.key), entry.size, digest, target, on_bytes)
        if digest.hexdigest() != entry.sha256:
            raise damaged(entry, size, digest.hexdigest())


def _read_blob(store: Store, entry: Entry) -> Buffer:
    data = retried(lambda: store.fetch(entry.key), store.clock)
    actual = hashlib.sha256(data).hexdigest()
    if actual != entry.sha256:  # perhaps on its way: read() asks for the checksum that the store holds
        data = retried(lambda: store.backend.read(entry.key), store.clock)
        actual = hashlib.sha256(data).hexdigest()
    if actual != entry.sha256:
        raise damaged(entry, len(memoryview(data)), actual)
    return data


def range_fetcher(store: Store, key: str) -> Fetch:
    """Return a function that fetches a range of a blob, and repeats what may pass."""
    return lambda start, end: retried(lambda: store.fetch(key, start, end), store.clock)


def _copy_stream(open_blob: Callable[[], BinaryIO], entry: Entry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    digest, size = hashlib.sha256(), 0
    with open_blob() as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if size > entry.size:
                break
            if target is not None:
                write_all(target, chunk)
            on_bytes(len(chunk))
    if digest.hexdigest() != entry.sha256:
        raise damaged(entry, size, digest.hexdigest())


def damaged(entry: Entry, size: int, sha256: str) -> IntegrityError:
    """Return the error for content that is not what was registered."""
    if size != entry.size:
        expected, actual = f"{entry.size} bytes", f"{size} bytes"
    else:
        expected, actual = f"sha256:{entry.sha256}", f"sha256:{sha256}"
    return IntegrityError(
        f"{entry.path!r} is damaged in the store: expected {expected}, got {actual} ({entry.key})",
        hint="Nothing of it was used. Restore this object from a copy of the store, or use another version.",
        expected=expected,
        actual=actual,
        path=entry.path,
        key=entry.key,
    )


def missing(store: Store, manifest: Manifest, entry: Entry) -> IntegrityError:
    """Return the error for content that is not there, unless the version was pruned meanwhile: then raise that."""
    check_available(store, manifest.name, version_status(store, manifest.name, manifest.version))
    return IntegrityError(
        f"{entry.path!r} is missing in the store ({entry.key})",
        hint="Something else deleted it. Restore this object from a copy of the store, or use another version.",
        expected=f"sha256:{entry.sha256}",
        actual="missing",
        path=entry.path,
        key=entry.key,
    )


class _VerifyingReader(SeekableReader):
    """The raw reader under :func:`open_entry`.

    A local file is verified as a whole before its first bytes are handed out. What comes over a network is hashed while
    it is read in order; the last of it is handed out only if the digest is right. A jump there (what Parquet and zip
    readers do) makes it read everything once into a temp file, from which every later read is served.
    """

    def __init__(self, entry: Entry, open_blob: Callable[[], BinaryIO]) -> None:
        super().__init__(entry.size)
        self._entry = entry
        self._open_blob = open_blob
        self._source: IO[bytes] = open_blob()
        self._digest = hashlib.sha256()
        self._hashed = 0  # how far content was hashed in order
        self._verified = False

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._entry.size and (self._verified or self._entry.size):
            if not self._verified and self._hashed == self._position:
                self._finish(b"")
            return 0
        if not self._verified and (self._position != self._hashed or self._is_worth_a_look_ahead(len(buffer))):
            self._verify_all()
        if self._verified:
            self._source.seek(self._position)
            chunk = self._source.read(len(buffer))
        else:
            chunk = self._read_in_order(len(buffer))
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def _read_in_order(self, size: int) -> bytes:
        chunk = self._source.read(min(size, self._entry.size - self._hashed))
        self._digest.update(chunk)
        self._hashed += len(chunk)
        if not chunk or self._hashed == self._entry.size:
            self._finish(self._source.read(1))
        return chunk

    def _finish(self, excess: bytes) -> None:
        """Compare what was read to its end with what was registered."""
        if excess or self._hashed != self._entry.size or self._digest.hexdigest() != self._entry.sha256:
            raise damaged(self._entry, self._hashed + len(excess), self._digest.hexdigest())
        self._verified = self._is_local()

    def _is_worth_a_look_ahead(self, asked: int) -> bool:
        """Whether to verify a local file as a whole before its first bytes are handed out: a caller may stop early."""
        return self._hashed == 0 and asked < self._entry.size and self._is_local()

    def _is_local(self) -> bool:
        try:
            self._source.fileno()
        except (OSError, AttributeError):
            return False
        return True

    def _verify_all(self) -> None:
        with ExitStack() as on_failure:
            source: IO[bytes] = on_failure.enter_context(self._open_blob())
            kept = source
            if not self._is_local():
                folder = os.environ.get(TEMP_DIR_VARIABLE) or None
                kept = cast("IO[bytes]", tempfile.SpooledTemporaryFile(SMALL, dir=folder))  # noqa: SIM115 (closed below)
                on_failure.callback(discard, kept)
            digest, size = hashlib.sha256(), 0
            while size <= self._entry.size and (chunk := source.read(CHUNK)):
                digest.update(chunk)
                size += len(chunk)
                if kept is not source:
                    with spool_errors():
                        kept.write(chunk)
            if digest.hexdigest() != self._entry.sha256:
                raise damaged(self._entry, size, digest.hexdigest())
            with spool_errors():
                kept.flush()
            on_failure.pop_all()
        self._source.close()
        if kept is not source:
            source.close()
        self._source = kept
        self._verified = True

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
