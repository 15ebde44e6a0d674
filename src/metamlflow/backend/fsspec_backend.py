"""What every backend on top of an fsspec file system shares: all but create and put, which fsspec does not promise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, BinaryIO, cast

from metamlflow.backend.seam import Blob, DeleteFailure, ObjectInfo
from metamlflow.backend.translation import Table, translated_errors
from metamlflow.backend.walking import walk
from metamlflow.errors import MetaMLFlowError, ObjectNotFoundError


class FsspecBackend(ABC):
    """The seam's verbs over an fsspec file system, but for :meth:`create` and :meth:`put`.

    Args:
        filesystem: an fsspec file system made with its listings cache off.
        root: the path of the store within it, as ``filesystem._strip_protocol`` gives it.
        url: the same as a URL without secrets.
    """

    max_key_bytes: int = 1024

    def __init__(self, filesystem: Any, root: str, url: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        """The root, as a URL without secrets."""
        return self._url

    @property
    def filesystem(self) -> Any:
        """The fsspec file system underneath."""
        return self._filesystem

    def url_of(self, key: str) -> str:
        """Return a URL of the object that fsspec opens."""
        return f"{self._url}/{key}"

    @abstractmethod
    def create(self, key: str, data: bytes) -> None:
        """Create a small record exclusively; see :meth:`Backend.create`."""

    @abstractmethod
    def put(self, key: str, blob: Blob) -> bool:
        """Store content, streamed, whole or not at all; see :meth:`Backend.put`."""

    def open(self, key: str) -> BinaryIO:
        """Return a seekable reader of the object as it is now."""
        with self.translated(key):
            reader = self._filesystem.open(self.path_of(key), "rb", cache_type="none")
        if (getattr(reader, "details", None) or {}).get("type") == "directory":
            reader.close()  # several file systems open a folder as an empty file
            raise ObjectNotFoundError(f"there is no object {self.url_of(key)}", key=key)
        return cast("BinaryIO", reader)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from ``start`` to before ``end``, cut at the object's end."""
        if end is not None and end <= start:
            self.stat(key)  # asked for no bytes, fsspec's file systems answer with all of them, or an error
            return b""
        with self.translated(key):
            return bytes(self._filesystem.cat_file(self.path_of(key), start=start or None, end=end))

    def stat(self, key: str) -> ObjectInfo:
        """Return what the store knows of the object."""
        with self.translated(key):
            info = self._filesystem.info(self.path_of(key))
        if info["type"] != "file":
            raise ObjectNotFoundError(f"there is no object {key}", key=key)
        return self.object_info(key, info)

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with ``prefix``, in key order: a request for each folder on the way."""
        folder, _, _ = prefix.rpartition("/")
        below = f"{folder}/" if folder else ""
        found = walk(self._filesystem, self._root, below, prefix, after, self.translated)
        for key, info in islice(found, limit):
            yield self.object_info(key, info)

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete objects one by one; a missing key is no failure."""
        failures = []
        for key in keys:
            try:
                with self.translated(key):
                    self._filesystem.rm_file(self.path_of(key))
            except ObjectNotFoundError:
                continue
            except MetaMLFlowError as error:
                failures.append(DeleteFailure(key, error))
        return failures

    gathers_listings: bool = True

    # --- for subclasses ---------------------------------------------------------------------------------------------

    own_errors: Table | None = None
    """Rows that go before the common table of :func:`translated_errors`."""

    def path_of(self, key: str) -> str:
        """Return the file system's path of a key."""
        return f"{self._root}/{key}" if key else self._root or "/"

    def translated(self, key: str) -> Any:
        """Return the context manager that turns the client's errors into ours, naming ``key``."""
        return translated_errors(self.url_of(key), own=self.own_errors)

    def object_info(self, key: str, info: dict[str, Any]) -> ObjectInfo:
        """Turn an fsspec info dict into ours; a subclass adds version and checksums."""
        modified = info.get("mtime") or info.get("created") or info.get("LastModified")
        if isinstance(modified, int | float):
            modified = datetime.fromtimestamp(modified, UTC)
        if not isinstance(modified, datetime):
            modified = datetime.fromtimestamp(0, UTC)  # unknown reads as old: nothing relies on what may be collected
        if modified.tzinfo is None:
            modified = modified.replace(tzinfo=UTC)
        return ObjectInfo(key, int(info["size"]), modified, observed=datetime.now(UTC), etag=info.get("ETag"))
