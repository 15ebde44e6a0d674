"""Sending content: small in one request, large in chunks of a resumable upload; onto a free key, but for a repair.

Both carry ``ifGenerationMatch=0``, on which GCS refuses a key that exists, and the content's CRC32C, on which it
refuses what was damaged on its way. See https://cloud.google.com/storage/docs/resumable-uploads.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from metamlflow.backend.seam import Blob
from metamlflow.errors import IntegrityError, StorageUnavailableError
from metamlflow_gcs.connection import PATIENCE, Answer, GCSConnection, Request, object_path
from metamlflow_gcs.error_table import UnreadableAnswer, gcs_error, number_in

CHUNK_BYTES = 8 * 1024 * 1024
"""Up to this size content goes in one request; above, in chunks of it. GCS wants a multiple of 256 KiB."""
_LARGE_CHUNK_BYTES = 4 * CHUNK_BYTES
_RESUME = 308
_EXISTS = 412
_TYPE = "application/octet-stream"
_GOOGLE = re.compile(r"(?:[a-z0-9-]+\.)+googleapis\.com")


def chunk_bytes(size: int) -> int:
    """Return in chunks of how many bytes content of ``size`` goes: one after the other, each waits for its answer."""
    return CHUNK_BYTES if size <= 2 * _LARGE_CHUNK_BYTES else _LARGE_CHUNK_BYTES


class GCSUploader:
    """Uploads into one bucket.

    Args:
        connection: to the server.
        bucket: its name.
        kms_key: the resource name of the key to encrypt with, where it is not the bucket's default.
    """

    def __init__(self, connection: GCSConnection, bucket: str, kms_key: str | None) -> None:
        self.connection = connection
        self._bucket = bucket
        self._key = {"kmsKeyName": kms_key} if kms_key else {}

    def send(self, name: str, data: bytes, crc32c: str, *, repeat: bool, over: bool = False) -> None:
        """Create an object with one request, also ``over`` one that exists.

        ``repeat`` it if a failure may pass and a conflict with itself is fine.
        """
        # The boundary is random: content that held a known one would be cut there.
        boundary = uuid.uuid4().hex
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{_resource(name, crc32c)}\r\n"
            f"--{boundary}\r\nContent-Type: {_TYPE}\r\n\r\n"
        )
        answer = self.connection.request(
            Request(
                "POST",
                object_path(self._bucket, kind="/upload"),
                {"uploadType": "multipart", **_condition(over=over), **self._key},
                {"Content-Type": f"multipart/related; boundary={boundary}"},
                (head.encode(), data, f"\r\n--{boundary}--\r\n".encode()),
                about="bucket",
                repeat=repeat,
            )
        )
        self.check(name, _Stored.told_in(answer), len(data), crc32c)

    def begin(self, name: str, blob: Blob, *, over: bool) -> GCSUpload:
        """Begin an upload in chunks."""
        answer = self.connection.request(
            Request(
                "POST",
                object_path(self._bucket, kind="/upload"),
                {"uploadType": "resumable", "name": name, **_condition(over=over), **self._key},
                {
                    "Content-Type": "application/json; charset=UTF-8",
                    "X-Upload-Content-Type": _TYPE,
                    "X-Upload-Content-Length": str(blob.size),
                },
                (_resource(name, blob.crc32c).encode(),),
                about="bucket",
            )
        )
        return GCSUpload(self, self._session_at(answer.headers.get("Location", "")), name, blob)

    def _session_at(self, location: str) -> str:
        """Return where the content goes: to the server that the records go to, whatever host it tells.

        Only Google's own hosts may name one another.
        """
        own = urlsplit(self.connection.endpoint)
        try:
            told = urlsplit(location)
        except ValueError as error:
            raise UnreadableAnswer("an upload's session at an invalid URL") from error
        if not told.path.startswith("/"):
            raise UnreadableAnswer("an upload without a session")
        same = (told.scheme, told.netloc) == (own.scheme, own.netloc)
        if same or (told.scheme == "https" and _GOOGLE.fullmatch(told.netloc) and _GOOGLE.fullmatch(own.netloc)):
            return location
        return f"{told.path}?{told.query}"

    def check(self, name: str, stored: _Stored, size: int, crc32c: str) -> None:
        """Compare what the server says that it has with what was sent; remove it if it is something else."""
        if stored.size == size and stored.crc32c in {None, crc32c}:
            return
        self.connection.request(self.removal(name, stored.generation))
        raise IntegrityError(
            "the data was damaged on its way, and was removed again",
            hint="Try again; nothing was stored.",
            expected=f"{size} bytes, crc32c:{crc32c}",
            actual=f"{stored.size} bytes, crc32c:{stored.crc32c}",
        )

    def removal(self, name: str, generation: str) -> Request:
        """Return the request that deletes just this generation of an object."""
        which = {"generation": generation, "ifGenerationMatch": generation}  # nobody else's object
        return Request("DELETE", object_path(self._bucket, name), which, good=(200, 204, 404))


class GCSUpload:
    """One upload in chunks; see :class:`metamlflow.backend.Upload`.

    Args:
        uploader: that began it.
        session: its URL.
        name: of the object to be.
        blob: what is known of the content.
    """

    def __init__(self, uploader: GCSUploader, session: str, name: str, blob: Blob) -> None:
        self._uploader = uploader
        self._connection = uploader.connection
        self._session = session
        self._name = name
        self._blob = blob
        self._sending: Future[Answer] | None = None

    def send(self, data: bytes, start: int) -> None:
        """Send a chunk; the last one ends the upload."""
        self._sending = self._connection.begin(self._send_chunk(data, start))
        self._sending.result()

    def finish(self) -> None:
        """Compare what the server has made of the chunks with what was sent."""
        assert self._sending is not None  # noqa: S101 (large content is not empty)
        stored = _Stored.told_in(self._sending.result())
        self._uploader.check(self._name, stored, self._blob.size, self._blob.crc32c)

    def cancel(self) -> None:
        """End the session. One that stays all the same ends by itself after a week."""
        if self._sending is not None:
            self._sending.cancel()
        gone = Request("DELETE", self._session, headers={"Content-Length": "0"}, good=(200, 204, 499))
        self._connection.request(gone)

    async def _send_chunk(self, data: bytes, start: int) -> Answer:
        """Send a chunk, after a failure from where the server has it."""
        at, end, total = start, start + len(data), self._blob.size
        tries = replace(PATIENCE, seconds=math.inf).begin()  # a chunk takes its time
        while True:
            headers = {"Content-Range": f"bytes {at}-{end - 1}/{total}", "Content-Type": _TYPE}
            piece = data if at == start else data[at - start :]
            try:
                answer = await self._connection.exchange(self._to(headers, piece))
            except Exception as error:  # the table knows those of all clients, which have no base in common
                pause = tries.pause()
                if pause is None or not isinstance(gcs_error(error), StorageUnavailableError):
                    raise
                await asyncio.sleep(pause)
                answer = await self._ask(total)
            else:
                pause = tries.pause()  # that the server took but a part of it counts as well
            if answer.status != _RESUME:
                return answer
            at = _received(answer)
            if at == end:
                return answer
            if pause is None or not start <= at < end:
                break
        raise StorageUnavailableError(f"the server has {at:,} bytes of the upload, and should have {end:,}")

    async def _ask(self, total: int) -> Answer:
        """Ask the server how much of an upload it has."""
        headers = {"Content-Range": f"bytes */{total}", "Content-Length": "0"}
        answer = await self._connection.exchange(self._to(headers))
        if answer.status != _RESUME and (stored := _Stored.told_in(answer)).size != total:
            # Some emulators take the question for the end of the upload.
            await self._connection.exchange(self._uploader.removal(self._name, stored.generation))
            raise StorageUnavailableError(f"the server ended the upload after {stored.size} of {total} bytes")
        return answer

    def _to(self, headers: dict[str, str], *body: bytes) -> Request:
        good = (200, 201, _RESUME)
        return Request("PUT", self._session, {}, headers, body, good=good, about="session", repeat=not body)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the server says that it has stored."""

    size: int
    crc32c: str | None
    generation: str

    @classmethod
    def told_in(cls, answer: Answer) -> _Stored:
        """Read the resource in an answer.

        Raises:
            UnreadableAnswer: there is none.
        """
        resource = answer.json()
        try:
            return cls(int(resource["size"]), crc32c_of(resource), str(resource["generation"]))
        except (KeyError, ValueError, TypeError) as error:
            raise UnreadableAnswer(f"no object resource: {error!r}") from error


def _condition(*, over: bool) -> dict[str, str]:
    return {} if over else {"ifGenerationMatch": "0"}


def crc32c_of(resource: dict[str, Any]) -> str | None:
    """Return the CRC32C that an object resource states, as 8 hex digits."""
    return base64.b64decode(resource["crc32c"]).hex() if resource.get("crc32c") else None


def _resource(name: str, crc32c: str) -> str:
    return json.dumps({"name": name, "contentType": _TYPE, "crc32c": base64.b64encode(bytes.fromhex(crc32c)).decode()})


def _received(answer: Answer) -> int:
    """Return how many bytes the server has: the header says ``bytes=0-<last>``, and is absent for none."""
    held = answer.headers.get("Range")
    if not held:
        return 0
    last = number_in(held.rpartition("-")[2])
    if last is None:
        raise UnreadableAnswer("an upload of which it cannot be told how much has arrived")
    return last + 1
