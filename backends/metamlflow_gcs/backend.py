"""A store in a bucket of Google Cloud Storage, over the JSON API.

Every option of gcsfs (token, project, endpoint, requester pays, proxies) means here what its users know it to mean: its
file system is made from them, and each request goes through that file system's session and credentials.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from itertools import islice
from typing import Any, BinaryIO, cast

import google_crc32c

from metamlflow.backend.budget import content_budget
from metamlflow.backend.options import with_configured_defaults
from metamlflow.backend.seam import Blob, DeleteFailure, ObjectInfo
from metamlflow.backend.streaming import StreamedObject
from metamlflow.backend.uploading import content_of
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageUnavailableError,
)
from metamlflow_gcs.connection import Answer, GCSConnection, Request, object_path
from metamlflow_gcs.doctor import GCSDoctor
from metamlflow_gcs.error_table import Refusal
from metamlflow_gcs.listings import PAGE, listed
from metamlflow_gcs.objects import FIELDS, media_request, object_info, told_errors
from metamlflow_gcs.options import PROTOCOLS, check_options, is_emulator, parse_url, spare_emulators_grpc
from metamlflow_gcs.policy import GCSPolicies
from metamlflow_gcs.reader import GCSStream
from metamlflow_gcs.server_copy import GCSCopies
from metamlflow_gcs.uploads import CHUNK_BYTES, GCSUploader, chunk_bytes

if find_spec("gcsfs") is None:  # imported when first used; but whoever opens a store is told now
    raise ModuleNotFoundError("No module named 'gcsfs'", name="gcsfs")

_DELETES = 32  # at a time
_BEYOND_END = 416


def open_backend(url: str, options: Mapping[str, Any]) -> GCSBackend:
    """Open the store at a ``gs://bucket/prefix`` URL; ``options`` are those of ``gcsfs.GCSFileSystem``. No network.

    One option is ours: ``kms_key_name`` encrypts all that is written with that key of Cloud KMS.

    Raises:
        InvalidInputError: the URL names no bucket, or gcsfs would ignore an option.
    """
    bucket, prefix = parse_url(url)
    check_options(with_configured_defaults(options, PROTOCOLS))
    return GCSBackend(bucket, prefix, options)


class GCSBackend(GCSCopies, GCSDoctor, GCSPolicies):
    """The backend seam over a GCS bucket; every promise is in :class:`metamlflow.backend.Backend`."""

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, Any]) -> None:
        self._given = dict(options)
        self._options = with_configured_defaults(options, PROTOCOLS)
        if is_emulator(self._options):
            spare_emulators_grpc()
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._connection = GCSConnection(self._options)
        self._uploader = GCSUploader(self._connection, bucket, self._options.get("kms_key_name"))

    @property
    def url(self) -> str:
        """The root, as a URL."""
        return f"gs://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def filesystem(self) -> Any:
        """The gcsfs file system underneath."""
        return self._connection.filesystem

    @property
    def max_key_bytes(self) -> int:
        """What is left of the 1,024 bytes of an object's name."""
        return 1024 - len(self._prefix.encode())

    def __getstate__(self) -> tuple[str, str, dict[str, Any]]:
        return self._bucket, self._prefix.rstrip("/"), self._given

    def __setstate__(self, state: tuple[str, str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def url_of(self, key: str) -> str:
        """Return the object's ``gs://`` URL."""
        return f"gs://{self._bucket}/{self._prefix}{key}"

    def create(self, key: str, data: bytes) -> None:
        """Create a record with one conditional request, sent once: a conflict is never one with itself."""
        with self._translated(key):
            self._uploader.send(self._prefix + key, data, f"{google_crc32c.value(data):08x}", repeat=False)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content with one conditional request, or in chunks of a conditional resumable upload."""
        name = self._prefix + key
        if blob.size > CHUNK_BYTES:
            # A refusal would come after all of it was sent: so look first.
            if self._exists(key):
                return False
            with content_budget().hold(2 * chunk_bytes(blob.size)):
                return self._uploader.send_large(name, blob, lambda: self._translated(key))
        with content_of(blob, self.url_of(key)) as data:
            try:
                with self._translated(key):
                    self._uploader.send(name, data, blob.crc32c, repeat=True)
            except AlreadyExistsError:
                return False
            except StorageUnavailableError as error:
                # Others store the same content just now, and only one write a second of a name is let through. Looks
                # are not limited; and what lies under the key is the content.
                if error.throttled and self._exists(key):
                    return False
                raise
        return True

    def replace(self, key: str, blob: Blob) -> None:
        """Store content with one request, or in chunks of a resumable upload, as the newest generation."""
        name = self._prefix + key
        if blob.size > CHUNK_BYTES:
            with content_budget().hold(2 * chunk_bytes(blob.size)):
                self._uploader.send_large(name, blob, lambda: self._translated(key), over=True)
            return
        with content_of(blob, self.url_of(key)) as data, self._translated(key):
            self._uploader.send(name, data, blob.crc32c, repeat=True, over=True)

    def open(self, key: str) -> BinaryIO:
        """Return a seekable reader that streams from where it is, of the generation found now. One request."""
        with self._translated(key):
            body = self._connection.run(self._connection.stream, self._media(key))
        try:
            size, generation = int(body.headers["Content-Length"]), body.headers.get("X-Goog-Generation")
        except KeyError:  # a proxy on the way took it off
            info = self.stat(key)
            size, generation = info.size, info.version

        def stream(body: Any) -> GCSStream:
            return GCSStream(self._connection, body, lambda: self._translated(key))

        def stream_at(start: int) -> GCSStream:
            with self._translated(key):
                request = self._media(key, start, generation=generation)
                return stream(self._connection.run(self._connection.stream, request))

        reader = StreamedObject(stream_at, size, self.url_of(key), stream(body))
        return cast("BinaryIO", io.BufferedReader(reader, 1024 * 1024))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range with one request."""
        if end is not None and end <= start:
            self.stat(key)  # an HTTP range cannot be empty
            return b""
        with self._translated(key):
            try:
                answer = self._connection.request(self._media(key, start, end))
            except Refusal as refusal:
                if refusal.status == _BEYOND_END:
                    return b""
                raise
        return answer.body

    def stat(self, key: str) -> ObjectInfo:
        """Return what the server knows of the object, its CRC32C included."""
        with self._translated(key):
            answer = self._connection.request(
                Request("GET", object_path(self._bucket, self._prefix + key), {"fields": FIELDS})
            )
            return object_info(key, answer.json(), answer)

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the listing page by page; a page is fetched when its first key is asked for."""
        return islice(self._list(prefix, after, limit), limit)

    def list_after(self, after: str, limit: int) -> list[ObjectInfo]:
        """Return the objects that follow a key, with one request."""
        return list(self.list_objects(after=after, limit=limit))

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete objects, many at a time, each with a request of its own."""
        failures: list[DeleteFailure] = []
        left = iter(keys)
        while batch := list(islice(left, PAGE)):
            failures += self._connection.run(self._delete, batch)
        return failures

    # --- how ----------------------------------------------------------------------------------------------------------

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return told_errors(self.url_of(key), self.url)

    def _media(self, key: str, start: int = 0, end: int | None = None, *, generation: str | None = None) -> Request:
        return media_request(self._bucket, self._prefix + key, start, end, generation)

    def _list(self, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        # The offset itself is listed too, where it is a key.
        most = PAGE if limit is None else min(limit + bool(after), PAGE)
        params = {
            "prefix": self._prefix + prefix,
            "fields": f"nextPageToken,items({FIELDS})",
            "maxResults": str(most),
        }

        def parsed(resource: Mapping[str, Any], answer: Answer) -> ObjectInfo:
            return object_info(None, resource, answer, len(self._prefix))

        beyond = self._prefix + after if after else ""
        return listed(self._connection, self._bucket, params, parsed, after=beyond)

    def _exists(self, key: str) -> bool:
        try:
            self.stat(key)
        except (ObjectNotFoundError, AccessDeniedError):
            # Without the right to list, GCS answers 403 for what is not there: not known, and the upload will tell.
            return False
        return True

    async def _delete(self, keys: list[str]) -> list[DeleteFailure]:
        gate = asyncio.Semaphore(_DELETES)
        outcomes = await asyncio.gather(*(self._delete_one(key, gate) for key in keys))
        return [failure for failure in outcomes if failure is not None]

    async def _delete_one(self, key: str, gate: asyncio.Semaphore) -> DeleteFailure | None:
        try:
            async with gate:
                with self._translated(key):
                    await self._connection.exchange(
                        Request("DELETE", object_path(self._bucket, self._prefix + key), good=(200, 204))
                    )
        except ObjectNotFoundError:
            return None
        except MetaMLFlowError as error:
            return DeleteFailure(key, error)
        return None
