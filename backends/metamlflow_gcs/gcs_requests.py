"""What a bucket of GCS is asked, one request each; above it is :class:`metamlflow.backend.ObjectStoreBackend`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import google_crc32c

from metamlflow.backend.loop_stream import LoopStream
from metamlflow.backend.object_requests import Opened, Page, PageRequest
from metamlflow.backend.paced import PacedBody
from metamlflow.backend.seam import Blob, ObjectInfo
from metamlflow_gcs.connection import GCSConnection, Request, object_path
from metamlflow_gcs.error_table import Refusal, number_in
from metamlflow_gcs.listings import PAGE, page_of
from metamlflow_gcs.objects import FIELDS, media_request, object_info
from metamlflow_gcs.uploads import CHUNK_BYTES, GCSUpload, GCSUploader, chunk_bytes

_DELETES = 32  # at a time
_BEYOND_END = 416


class GCSRequests:
    """Requests about the objects of one bucket; see :class:`metamlflow.backend.ObjectRequests`.

    Args:
        connection: to the server. It makes a request that fails and may pass again by itself.
        bucket: its name.
        kms_key: the resource name of the key to encrypt with, where it is not the bucket's default.
    """

    one_request_bytes = CHUNK_BYTES

    def __init__(self, connection: GCSConnection, bucket: str, kms_key: str | None) -> None:
        self._connection = connection
        self._bucket = bucket
        self._uploader = GCSUploader(connection, bucket, kms_key)

    def put(self, name: str, data: bytes, blob: Blob | None, *, over: bool) -> None:
        """Create an object with one request; a record is sent once."""
        crc32c = f"{google_crc32c.value(data):08x}" if blob is None else blob.crc32c
        self._uploader.send(name, data, crc32c, repeat=blob is not None, over=over)

    def part_bytes(self, size: int) -> int:
        """Return the size of the chunks."""
        return chunk_bytes(size)

    def begin_upload(self, name: str, blob: Blob, *, over: bool) -> GCSUpload:
        """Open the session of a resumable upload."""
        return self._uploader.begin(name, blob, over=over)

    def get(self, name: str, start: int, end: int | None, pin: str | None) -> bytes:
        """Return a range, of one generation if that is named."""
        try:
            return self._connection.request(media_request(self._bucket, name, start, end, pin)).body
        except Refusal as refusal:
            if refusal.status == _BEYOND_END:
                return b""
            raise

    def stream(self, name: str, start: int, pin: str | None) -> Opened:
        """Ask for an object from a byte on, of one generation if that is named."""
        request = media_request(self._bucket, name, start, generation=pin)
        body = self._connection.run(self._connection.stream, request)
        size = None if start else number_in(body.headers.get("Content-Length", ""))  # a proxy may have taken it off
        stream = LoopStream(self._connection.filesystem.loop, PacedBody(body))
        return Opened(stream, size, body.headers.get("X-Goog-Generation"))

    def head(self, name: str) -> ObjectInfo:
        """Return what the server knows of the object, its CRC32C included."""
        answer = self._connection.request(Request("GET", object_path(self._bucket, name), {"fields": FIELDS}))
        return object_info(name, answer.json(), answer)

    def page(self, asked: PageRequest) -> Page:
        """Return a page of a listing."""
        params = {
            "prefix": asked.prefix,
            "fields": f"nextPageToken,items({FIELDS})",
            "maxResults": str(min(asked.limit + bool(asked.after), PAGE)),  # the offset itself is listed too
        }
        params |= {"startOffset": asked.after} if asked.after else {}
        params |= {"pageToken": asked.token} if asked.token else {}
        answer, resources, token = page_of(self._connection, self._bucket, params)
        return Page([object_info(None, resource, answer) for resource in resources], token)

    def delete(self, names: Sequence[str]) -> list[tuple[str, Exception]]:
        """Delete objects, many at a time, each with a request of its own."""
        return self._connection.run(self._delete, names)

    def delete_generations(self, objects: Sequence[tuple[str, str]]) -> list[tuple[str, Exception]]:
        """Delete objects, each on condition of its generation, with one request that is not repeated."""
        return self._connection.run(self._delete, [name for name, _ in objects], dict(objects))

    async def _delete(
        self, names: Sequence[str], generations: Mapping[str, str] | None = None
    ) -> list[tuple[str, Exception]]:
        gate = asyncio.Semaphore(_DELETES)
        outcomes = await asyncio.gather(*(self._delete_one(name, generations, gate) for name in names))
        return [failed for failed in outcomes if failed is not None]

    async def _delete_one(
        self, name: str, generations: Mapping[str, str] | None, gate: asyncio.Semaphore
    ) -> tuple[str, Exception] | None:
        on = {} if generations is None else {"ifGenerationMatch": generations[name]}
        path, good = object_path(self._bucket, name), (200, 204)
        try:
            async with gate:
                await self._connection.exchange(Request("DELETE", path, on, good=good, repeat=not on))
        except Exception as error:  # noqa: BLE001 (the backend tells what it is, and raises what is no failure of GCS)
            return name, error
        return None
