"""The backend: what fsspec does not promise. The rest of the seam is FsspecBackend's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from metamlflow.backend import Blob, FsspecBackend
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    StorageFullError,
    StorageUnavailableError,
)

from metamlflow_toy.database import PIECE
from metamlflow_toy.filesystem import ToyFileSystem


def open_backend(url: str, options: Mapping[str, Any]) -> ToyBackend:
    """Open the store at ``toy:///folder/name.toy``. Touches no disk."""
    if options:
        raise InvalidInputError(f"a toy store takes no storage options, got {', '.join(sorted(options))}")
    return ToyBackend(url)


def _sqlite_errors(error: Exception) -> MetaMLFlowError | None:
    """Translate what SQLite says, which is no OSError."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError("no space is left for the toy store", hint="Free some space and try again.")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}:
        return AccessDeniedError("the toy store's file cannot be opened or written", hint="Check its permissions.")
    return StorageUnavailableError(f"SQLite failed: {error}", hint="Try again.")


class ToyBackend(FsspecBackend):
    """All objects of a store in one SQLite file."""

    own_errors = staticmethod(_sqlite_errors)

    def __init__(self, url: str) -> None:
        filesystem = ToyFileSystem(use_listings_cache=False)
        super().__init__(filesystem, filesystem._strip_protocol(url), url)  # noqa: SLF001 (fsspec's own)
        self._swept = False

    def create(self, key: str, data: bytes) -> None:
        """Create a record: the insert of its row has one winner."""
        if not self._insert(key, _pieces_of(data), len(data)):
            raise AlreadyExistsError(f"{self.url_of(key)} exists already", key=key)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content piece by piece, unless it is there."""
        database, name = self._filesystem.split(self.path_of(key))
        with self.translated(key):
            try:
                database.find(name)
            except FileNotFoundError:
                pass
            else:
                return False
        with blob.open() as source:
            return self._insert(key, _pieces_from(source), blob.size)

    def replace(self, key: str, blob: Blob) -> None:
        """Store content in the place of an object: one transaction takes the old row away and brings the new one."""
        with blob.open() as source:
            self._insert(key, _pieces_from(source), blob.size, over=True)

    def _insert(self, key: str, pieces: Iterator[bytes], size: int, *, over: bool = False) -> bool:
        database, name = self._filesystem.split(self.path_of(key))
        with self.translated(key):
            if not self._swept:
                self._swept = True
                database.sweep()
            try:
                return bool(database.insert(name, pieces, size, over=over))
            except ValueError as error:
                raise IntegrityError(f"{self.url_of(key)}: {error}", key=key) from error


def _pieces_of(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def _pieces_from(source: BinaryIO) -> Iterator[bytes]:
    """Yield pieces of one MiB: all but the last are full, whatever a single read returns."""
    piece = b""
    while chunk := source.read(PIECE - len(piece)):
        piece += chunk
        if len(piece) == PIECE:
            yield piece
            piece = b""
    if piece:
        yield piece
