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
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from metamlflow.backend.seam import Blob
from metamlflow.backend.uploading import read_exactly
from metamlflow.errors import IntegrityError, StorageUnavailableError
from metamlflow_gcs.connection import PATIENCE, Answer, GCSConnection, Request, object_path
from metamlflow_gcs.error_table import Refusal, UnreadableAnswer, gcs_error, number_in

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
        self._connection = connection
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
        answer = self._connection.request(
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
        self._check(name, _Stored.told_in(answer), len(data), crc32c)

    def send_large(
        self, name: str, blob: Blob, translated: Callable[[], AbstractContextManager[None]], *, over: bool = False
    ) -> bool:
        """Create an object in chunks, also ``over`` one that exists; return False if the key existed.

        Leaves no unfinished upload behind.

        Errors of the blob's reader pass as they are; those of the server are ``translated``.
        """
        session = ""
        try:
            with translated():
                session = self._open_session(name, blob, over=over)
            with blob.open() as source:
                answer = self._send_chunks(session, source, blob, name, translated)
            with translated():
                self._check(name, _Stored.told_in(answer), blob.size, blob.crc32c)
        except BaseException as error:
            if session:
                self._cancel(session)
            if isinstance(error.__cause__, Refusal) and error.__cause__.status == _EXISTS:
                return False
            raise
        return True

    def _open_session(self, name: str, blob: Blob, *, over: bool) -> str:
        answer = self._connection.request(
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
        return self._session_at(answer.headers.get("Location", ""))

    def _session_at(self, location: str) -> str:
        """Return where the content goes: to the server that the records go to, whatever host it tells.

        Only Google's own hosts may name one another.
        """
        own = urlsplit(self._connection.endpoint)
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

    def _send_chunks(
        self,
        session: str,
        source: BinaryIO,
        blob: Blob,
        name: str,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> Answer:
        """Send one chunk while the next is read; two are in memory at a time."""
        sending: Future[Answer] | None = None
        size = chunk_bytes(blob.size)
        try:
            for start in range(0, blob.size, size):
                last = start + size >= blob.size
                data = read_exactly(source, min(size, blob.size - start), name, last=last)
                with translated():
                    if sending is not None:
                        sending.result()
                    sending = self._connection.begin(self._send_chunk(session, name, data, start, blob.size))
                del data  # the sender has it; else three chunks would be in memory
            assert sending is not None  # noqa: S101 (a large blob is not empty)
            with translated():
                return sending.result()
        except BaseException:
            if sending is not None:
                sending.cancel()
            raise

    async def _send_chunk(self, session: str, name: str, data: bytes, start: int, total: int) -> Answer:
        """Send a chunk, after a failure from where the server has it."""
        at, end = start, start + len(data)
        tries = replace(PATIENCE, seconds=math.inf).begin()  # a chunk takes its time
        while True:
            headers = {"Content-Range": f"bytes {at}-{end - 1}/{total}", "Content-Type": _TYPE}
            piece = data if at == start else data[at - start :]
            try:
                answer = await self._connection.exchange(self._to(session, headers, piece))
            except Exception as error:  # the table knows those of all clients, which have no base in common
                pause = tries.pause()
                if pause is None or not isinstance(gcs_error(error), StorageUnavailableError):
                    raise
                await asyncio.sleep(pause)
                answer = await self._ask(session, name, total)
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

    async def _ask(self, session: str, name: str, total: int) -> Answer:
        """Ask the server how much of an upload it has."""
        headers = {"Content-Range": f"bytes */{total}", "Content-Length": "0"}
        answer = await self._connection.exchange(self._to(session, headers))
        if answer.status != _RESUME and (stored := _Stored.told_in(answer)).size != total:
            # Some emulators take the question for the end of the upload.
            await self._connection.exchange(self._removal(name, stored.generation))
            raise StorageUnavailableError(f"the server ended the upload after {stored.size} of {total} bytes")
        return answer

    def _to(self, session: str, headers: dict[str, str], *body: bytes) -> Request:
        return Request("PUT", session, {}, headers, body, good=(200, 201, _RESUME), about="session", repeat=not body)

    def _cancel(self, session: str) -> None:
        # The first error is the one to tell; and a session that stays ends by itself after a week.
        with suppress(Exception):
            self._connection.request(Request("DELETE", session, headers={"Content-Length": "0"}, good=(200, 204, 499)))

    def _check(self, name: str, stored: _Stored, size: int, crc32c: str) -> None:
        """Compare what the server says that it has with what was sent; remove it if it is something else."""
        if stored.size == size and stored.crc32c in {None, crc32c}:
            return
        self._connection.request(self._removal(name, stored.generation))
        raise IntegrityError(
            "the data was damaged on its way, and was removed again",
            hint="Try again; nothing was stored.",
            expected=f"{size} bytes, crc32c:{crc32c}",
            actual=f"{stored.size} bytes, crc32c:{stored.crc32c}",
        )

    def _removal(self, name: str, generation: str) -> Request:
        which = {"generation": generation, "ifGenerationMatch": generation}  # nobody else's object
        return Request("DELETE", object_path(self._bucket, name), which, good=(200, 204, 404))


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
