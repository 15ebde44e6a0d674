"""Hash the content to register, and guarantee that the stored content is the hashed content."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Self, cast

import google_crc32c

from metamlflow.backend import Blob
from metamlflow.errors import MetaMLFlowError, SourceChangedError
from metamlflow.store.ingest.sources import SourceFile, printable, source_error
from metamlflow.store.transfer.progress import TwoPasses
from metamlflow.store.transfer.regular_files import NotAFileError, open_regular
from metamlflow.store.transfer.spooling import CHUNK, SMALL, OnBytes, discard, new_spool, spool_errors


class Hasher:
    """SHA-256, CRC32C and size of content that is read once."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._crc32c = 0
        self.size = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._sha256.update(chunk)
        self._crc32c = google_crc32c.extend(self._crc32c, bytes(chunk))
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        """64 hex digits."""
        return self._sha256.hexdigest()

    @property
    def crc32c(self) -> str:
        """8 hex digits, big-endian."""
        return f"{self._crc32c:08x}"

    def blob(self, opener: Callable[[], BinaryIO]) -> Blob:
        """Return the hashed content as a blob; ``opener`` opens it for another reading."""
        return Blob(self.size, self.sha256, self.crc32c, opener)


@dataclass
class Staged:
    """A hashed file that can be stored. Closing it removes its spooled copy, if it has one.

    ``peek`` returns a seekable reader for reading parts of it.
    """

    blob: Blob
    peek: Callable[[], BinaryIO]
    spool: BinaryIO | None = None
    passes: TwoPasses | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.spool is not None:
            discard(self.spool)


def stage_bytes(data: bytes) -> Blob:
    """Return content in memory as a blob."""
    crc32c = f"{google_crc32c.value(data):08x}"
    return Blob(len(data), hashlib.sha256(data).hexdigest(), crc32c, partial(io.BytesIO, data), data)


def stage(file: SourceFile, on_bytes: OnBytes) -> Staged:
    """Hash a file.

    A small file is kept in memory. A large local file is read again when it is stored, and refused if it has changed by
    then. Anything else is spooled to a temp file (in ``METAMLFLOW_TMPDIR``, or the system's temp folder).

    Raises:
        SourceChangedError: the file changed while it was read.
        StorageFullError: no space for the spooled copy.
    """
    return _stage_local(file, file.local, on_bytes) if file.local is not None else _stage_stream(file, on_bytes)


def _stage_local(file: SourceFile, path: str, on_bytes: OnBytes) -> Staged:
    passes: TwoPasses | None = None
    try:
        # A descriptor, not a file object: for a small file, creating one takes longer than everything else.
        # O_NONBLOCK avoids a wait if the path has become a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise _changed(path, "it is no longer a file")
            if before.st_size <= SMALL:
                blob = stage_bytes(_read_small(descriptor, before.st_size))
                peek = blob.open
                on_bytes(blob.size)
            else:
                hasher = Hasher()
                passes = TwoPasses(on_bytes)
                # A file that grows as fast as it is read would never end.
                while hasher.size <= before.st_size and (chunk := os.read(descriptor, CHUNK)):
                    hasher.update(chunk)
                    passes.hashed(len(chunk))
                blob = hasher.blob(lambda: _CheckedReader(path, hasher.size, hasher.crc32c, passes))
                peek = file.open
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise _changed(path, "it is gone") from error
    except OSError as error:
        raise source_error(path, error) from error
    if blob.size != before.st_size or _signature(before) != _signature(after):
        raise _changed(path, "it was written to while it was read")
    return Staged(blob, peek, passes=passes)


def _read_small(descriptor: int, size: int) -> bytes:
    """Read a file of an expected size, and one byte more, which detects a file that grows."""
    data = os.read(descriptor, size + 1)
    while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
        data += more
    return data


def _signature(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _stage_stream(file: SourceFile, on_bytes: OnBytes) -> Staged:
    hasher = Hasher()
    passes = TwoPasses(on_bytes)
    spool = new_spool()

    def rewound(passes: TwoPasses | None = None) -> BinaryIO:
        return cast("BinaryIO", _Rewound(spool, passes))

    try:
        with file.open() as source:
            while chunk := source.read(CHUNK):
                hasher.update(chunk)
                with spool_errors():
                    spool.write(chunk)
                passes.hashed(len(chunk))
        with spool_errors():
            spool.flush()  # buffered bytes may meet a full disk only now
        if file.compare is not None:
            file.compare(hasher.blob(rewound))
    except OSError as error:
        discard(spool)
        if isinstance(error, MetaMLFlowError):
            raise
        raise source_error(file.path, error) from error
    except BaseException:
        discard(spool)
        raise
    return Staged(hasher.blob(partial(rewound, passes)), rewound, cast("BinaryIO", spool), passes)


class _Rewound(io.RawIOBase):
    """A reader of a spool from its start; the spool stays open for another attempt."""

    def __init__(self, spool: IO[bytes], passes: TwoPasses | None = None) -> None:
        self._spool, self._passes = spool, passes
        spool.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._spool.read(len(buffer))
        buffer[: len(chunk)] = chunk
        if self._passes:
            self._passes.stored(self._spool.tell())
        return len(chunk)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._spool.seek(offset, whence)

    def tell(self) -> int:
        return self._spool.tell()


class _CheckedReader(io.FileIO):
    """Reads a file a second time; raises an error, at the end at the latest, if the content is not the hashed one.

    The check is CRC32C and size: ten times cheaper than SHA-256, and sufficient to detect another writer.
    """

    def __init__(self, path: str, size: int, crc32c: str, passes: TwoPasses) -> None:
        try:
            super().__init__(open_regular(path))
        except FileNotFoundError as error:
            raise _changed(path, "it is gone") from error
        except NotAFileError as error:
            raise _changed(path, "it is no longer a file") from error
        except OSError as error:
            raise source_error(path, error) from error
        self._path, self._left, self._expected, self._crc = path, size, crc32c, 0
        self._size, self._passes = size, passes

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes; if the file changed, raise SourceChangedError instead of the last bytes."""
        chunk = super().read(size)
        self._left -= len(chunk)
        self._passes.stored(self._size - self._left)
        self._crc = google_crc32c.extend(self._crc, chunk)
        at_end = self._left == 0
        if self._left < 0 or (not chunk and self._left) or (at_end and f"{self._crc:08x}" != self._expected):
            raise _changed(self._path, "its content is no longer what was hashed")
        return chunk


def _changed(path: str, how: str) -> SourceChangedError:
    return SourceChangedError(
        f"{printable(path)} changed while it was being registered: {how}; nothing was registered",
        hint="Wait until it is complete, or register a copy.",
        source=Path(path).as_posix(),
    )
