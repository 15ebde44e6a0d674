"""The reference model of the seam: a dict under a lock."""

from __future__ import annotations

import io
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

import fsspec

from metamlflow.backend import Blob, DeleteFailure, ObjectInfo
from metamlflow.errors import AlreadyExistsError, IntegrityError, ObjectNotFoundError

PROTOCOL = "metamlflow-memory"
_CHUNK = 1024 * 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The bytes of one object, and the time of their writing."""

    data: bytes
    modified: datetime


class MemoryBucket:
    """The shared state of :class:`MemoryBackend` instances: the "server", with its own clock.

    Attributes:
        name: the name of the bucket in URLs, as long as the bucket exists.
        objects: every object by key. A test may read and write here without the backend.
        lock: held while ``objects`` is read or changed.
        clock: returns the server's time, aware and in UTC.
    """

    def __init__(self, name: str | None = None, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self.name = name or uuid.uuid4().hex
        self.objects: dict[str, StoredObject] = {}
        self.lock = threading.Lock()
        self.clock = clock
        _BUCKETS[self.name] = self

    def insert(self, key: str, data: bytes) -> bool:
        """Store ``data`` unless the key exists; return whether it did not."""
        with self.lock:
            if key in self.objects:
                return False
            self.objects[key] = StoredObject(data, self.clock())
            return True

    def get(self, key: str) -> StoredObject:
        """Return the object, or raise ObjectNotFoundError."""
        with self.lock:
            stored = self.objects.get(key)
        if stored is None:
            raise ObjectNotFoundError(f"there is no object {key}", key=key)
        return stored


_BUCKETS: weakref.WeakValueDictionary[str, MemoryBucket] = weakref.WeakValueDictionary()


class MemoryBackend:
    """A backend that keeps its objects in a :class:`MemoryBucket`: by default one of its own.

    Two instances on one bucket see one another's objects as two clients of a server would. Its URLs open through fsspec
    in this process only; therefore it refuses to be pickled.
    """

    max_key_bytes: int = 1024

    def __init__(self, bucket: MemoryBucket | None = None) -> None:
        self.bucket = bucket or MemoryBucket()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a MemoryBackend lives in its process alone and cannot be pickled")

    @property
    def url(self) -> str:
        """The bucket's URL."""
        return f"{PROTOCOL}://{self.bucket.name}"

    @property
    def filesystem(self) -> Any:
        """A read-only fsspec file system over all buckets of this process."""
        return fsspec.filesystem(PROTOCOL)

    def url_of(self, key: str) -> str:
        """Return a URL that fsspec opens in this process."""
        return f"{self.url}/{key}"

    def create(self, key: str, data: bytes) -> None:
        """Create a record exclusively."""
        if not self.bucket.insert(key, bytes(data)):
            raise AlreadyExistsError(f"{self.url_of(key)} exists already", key=key)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content, whole or not at all."""
        with self.bucket.lock:
            if key in self.bucket.objects:
                return False
        return self.bucket.insert(key, self._content_of(key, blob))

    def replace(self, key: str, blob: Blob) -> None:
        """Store content, replacing an existing object."""
        content = self._content_of(key, blob)
        with self.bucket.lock:
            self.bucket.objects[key] = StoredObject(content, self.bucket.clock())

    def _content_of(self, key: str, blob: Blob) -> bytes:
        content = bytearray()
        with blob.open() as source:
            while chunk := source.read(_CHUNK):
                content += chunk
        if len(content) != blob.size:
            raise IntegrityError(
                f"{self.url_of(key)}: {len(content)} bytes arrived where {blob.size} were announced",
                expected=str(blob.size),
                actual=str(len(content)),
                key=key,
            )
        return bytes(content)

    def open(self, key: str) -> BinaryIO:
        """Return a reader of the object."""
        return io.BytesIO(self.bucket.get(key).data)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range of the object."""
        return self.bucket.get(key).data[start:end]

    def stat(self, key: str) -> ObjectInfo:
        """Return size and time of writing."""
        return self._info(key, self.bucket.get(key))

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects that existed when the first one was requested."""
        with self.bucket.lock:
            found = [item for item in self.bucket.objects.items() if item[0].startswith(prefix) and item[0] > after]
        for key, stored in sorted(found, key=lambda item: item[0].encode())[:limit]:
            yield self._info(key, stored)

    def list_after(self, after: str, limit: int) -> list[ObjectInfo]:
        """Return the objects that follow a key."""
        return list(self.list_objects(after=after, limit=limit))

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete objects; never fails."""
        for key in keys:
            with self.bucket.lock:
                self.bucket.objects.pop(key, None)
        return []

    def _info(self, key: str, stored: StoredObject) -> ObjectInfo:
        return ObjectInfo(key, len(stored.data), stored.modified, observed=self.bucket.clock())


class MemoryBucketFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read-only fsspec view of the buckets of this process, as ``<bucket>/<key>``."""

    protocol = PROTOCOL
    cachable = False

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 (fsspec's signature)
        """List the objects directly at or below ``path``."""
        bucket, path = self._bucket_of(path), self._strip_protocol(path)
        found: dict[str, dict[str, Any]] = {}
        with bucket.lock:
            objects = {f"{bucket.name}/{key}": stored for key, stored in bucket.objects.items()}
        for name, stored in objects.items():
            if name == path:
                return [self._entry(name, stored) if detail else name]
            if name.startswith(f"{path}/"):
                child, slash, _rest = name.removeprefix(f"{path}/").partition("/")
                child = f"{path}/{child}"
                found[child] = {"name": child, "size": 0, "type": "directory"} if slash else self._entry(child, stored)
        if not found and path != bucket.name:
            raise FileNotFoundError(path)
        return [found[name] if detail else name for name in sorted(found)]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        if mode != "rb":
            raise OSError(f"{path}: this file system is for reading")
        try:
            return io.BytesIO(self._bucket_of(path).get(self._strip_protocol(path).partition("/")[2]).data)
        except ObjectNotFoundError as error:
            raise FileNotFoundError(path) from error

    def _bucket_of(self, path: str) -> MemoryBucket:
        name = self._strip_protocol(path).partition("/")[0]
        bucket = _BUCKETS.get(name)
        if bucket is None:
            raise FileNotFoundError(f"there is no bucket {name} in this process")
        return bucket

    @staticmethod
    def _entry(name: str, stored: StoredObject) -> dict[str, Any]:
        return {"name": name, "size": len(stored.data), "type": "file", "mtime": stored.modified}


fsspec.register_implementation(PROTOCOL, MemoryBucketFileSystem, clobber=True)
