"""The sources of good bytes for a repair: another store, or files. They return only bytes with the wanted digest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from metamlflow._arguments import local_path
from metamlflow.backend import Blob, translated_errors
from metamlflow.errors import (
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    SourceNotFoundError,
)
from metamlflow.format.layout import MARKER, blob_key, extension_of_blob_key
from metamlflow.format.manifests import digest_of
from metamlflow.model.manifests import Entry
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.ingest.filesystems import place_source
from metamlflow.store.ingest.hashing import stage
from metamlflow.store.ingest.sources import SourceFile, SourceProblems, no_options
from metamlflow.store.read.resending import blob_from
from metamlflow.store.transfer.spooling import OnBytes


class Donor(Protocol):
    """A place that may have the damaged content."""

    def blob(self, content: Entry, on_bytes: OnBytes) -> Blob:
        """Return content to put: with this size and SHA-256, or with a reader that raises before its end.

        Raises:
            MetaMLFlowError: the place does not have the content.
        """

    def record(self, key: str, digest: str) -> bytes:
        """Return a record with this digest; raises the errors of :meth:`blob`."""


def donor_of(source: object, store: Store, opened: Callable[[str], Store]) -> Donor:
    """Return the donor for the source of good bytes that a caller names.

    Args:
        source: another store, its URL or folder, or a local file or folder with the content.
        store: the store to repair.
        opened: opens a store by its URL or path.

    Raises:
        SourceNotFoundError: nothing exists at that place.
        InvalidInputError: the source is none of these, or is the damaged store itself.
    """
    if not isinstance(source, Store):
        place = _local(source)
        if place is not None and not _is_store(place):
            return FileDonor(place)
        source = opened(os.fspath(cast("str", source)))
    if source.has_way_of(store):  # do not compare ids: a copy made without the library has the same id
        raise InvalidInputError("the source is the damaged store itself", hint="Give a copy of it.")
    return StoreDonor(source)


def _local(source: object) -> Path | None:
    """Return the local path of a source of good bytes, or None if it is not local."""
    if not isinstance(source, str | os.PathLike):
        raise InvalidInputError(f"a source is a path, a URL or a client, not {type(source).__name__}")
    text = os.fspath(source)
    if not text:
        raise InvalidInputError("the source is an empty path", hint="Use '.' for the current folder.")
    path = local_path(text)
    return None if path is None else Path(path)


def _is_store(place: Path) -> bool:
    """Return whether a path holds a store; raise an error if the path does not exist."""
    with translated_errors(str(place)):
        if (place / MARKER).is_file():
            return True
        if not place.exists():
            raise SourceNotFoundError(f"there is nothing at {place}", hint="Check the path.", source=str(place))
    return False


class StoreDonor:
    """Another store: a migrated one has the same keys, any other may have the content under its plain key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.marker()

    def blob(self, content: Entry, on_bytes: OnBytes) -> Blob:
        """Return the content at its key, or at the key without a publish id."""
        plain = blob_key(content.sha256, extension_of_blob_key(content.key))
        failure: MetaMLFlowError | None = None
        for key in dict.fromkeys((content.key, plain)):
            try:
                return blob_from(self._store, replace(content, key=key), on_bytes)
            except (ObjectNotFoundError, IntegrityError) as error:
                if failure is None or isinstance(error, IntegrityError):
                    failure = error
        raise self._not_there(failure)

    def record(self, key: str, digest: str) -> bytes:
        """Return the record at the same key."""
        try:
            data = with_retries(lambda: read_record(self._store.backend, key), self._store.clock)
        except ObjectNotFoundError as error:
            raise self._not_there(error) from None
        if digest_of(data) != digest:
            raise SourceNotFoundError(f"{self._store.url} has another record there: {digest_of(data)}")
        return data

    def _not_there(self, failure: MetaMLFlowError | None) -> MetaMLFlowError:
        if isinstance(failure, IntegrityError):
            return SourceNotFoundError(f"the source {self._store.url} is damaged too: {failure.message}")
        return SourceNotFoundError(f"the source {self._store.url} does not have it")


class FileDonor:
    """A file, or a folder with files under their logical paths (such as a download) or under their keys."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def blob(self, content: Entry, on_bytes: OnBytes) -> Blob:
        """Return a file that has the content. It is refused if it changes before it was sent."""
        found = ""
        for file in self._files(content):
            with _as_told():
                source = place_source(str(file), "", no_options)
                source.scan()
                (item,) = source.items(SourceProblems())
                blob = stage(cast("SourceFile", item), on_bytes).blob  # it was a file a moment ago
            if (blob.size, blob.sha256) == (content.size, content.sha256):
                return blob
            found = f"{file} has other bytes: {blob.size} bytes, sha256:{blob.sha256}"
        raise SourceNotFoundError(found or f"the source {self._place} does not have it")

    def record(self, key: str, digest: str) -> bytes:
        """Return a record from a folder that is a copy of a store without its marker."""
        file = self._place / key
        if self._place.is_dir() and file.is_file() and digest_of(data := file.read_bytes()) == digest:
            return data
        raise SourceNotFoundError(f"the source {self._place} does not have the record")

    def _files(self, content: Entry) -> Iterator[Path]:
        if self._place.is_file():
            yield self._place
            return
        for name in dict.fromkeys((content.path, content.key)):
            if (file := self._place / name).is_file():
                yield file


@contextmanager
def _as_told() -> Iterator[None]:
    """Turn the error for a file that cannot be read into one for a source that does not have the content."""
    try:
        yield
    except OSError as error:
        raise SourceNotFoundError(f"the source cannot be read: {error}") from error
