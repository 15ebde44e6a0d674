"""Content on its way to S3: small in one conditional request, large in parts that a conditional completion joins."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

from metamlflow.backend.budget import ByteBudget, content_budget
from metamlflow.backend.seam import Blob
from metamlflow.backend.uploading import read_exactly, read_part
from metamlflow.errors import AlreadyExistsError, StorageUnavailableError
from metamlflow_s3.answers import s3_error
from metamlflow_s3.connection import Connection

PART_BYTES = 16 * 1024 * 1024
"""Up to this size content goes in one request; above, in parts of it, each of which costs the client some 3 ms."""
_MAX_PARTS = 9_900  # S3 takes 10,000
_PARTS_AT_A_TIME = 3  # of one object; and one more is read meanwhile


@contextmanager
def content_of(blob: Blob, where: str) -> Iterator[bytes]:
    """Return content that fits into one request, within the budget of memory."""
    held = nullcontext() if blob.in_memory else content_budget().hold(blob.size)
    with held, blob.open() as source:
        yield read_exactly(source, blob.size, where)


class Uploader:
    """Uploads to one bucket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, key: str, data: bytes, sha256: bytes, *, once: bool) -> None:
        """Create an object with one request, whose content the server checks. ``once``: see Connection.call."""
        known: dict[str, Any] = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": _base64(sha256)}
        checksum = known if self._connection.checksums else _md5(data)
        self._connection.call("put_object", once=once, Key=key, Body=data, IfNoneMatch="*", **checksum)

    def send_large(self, key: str, blob: Blob, exists: Callable[[], bool]) -> bool:
        """Create an object in parts; return whether this call is known to have created it.

        Leaves no unfinished upload behind, unless the server refuses that as well.

        Args:
            key: of the object.
            blob: its content.
            exists: looks whether the object is there.
        """
        kind: dict[str, Any] = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
        # Repeated after a lost answer, it may leave an empty upload: harmless, and lifecycle rules remove it.
        upload = self._connection.call(
            "create_multipart_upload", Key=key, **(kind if self._connection.checksums else {})
        )["UploadId"]
        try:
            parts = self._send_parts(key, upload, blob)
            self._complete(key, upload, blob, parts)
        except BaseException as error:
            with suppress(Exception):  # the first error is the one to tell
                self._connection.call("abort_multipart_upload", Key=key, UploadId=upload)
            if not isinstance(error, Exception):
                raise
            failure = s3_error(error)
            if isinstance(failure, AlreadyExistsError):
                return False
            # An answer got lost, and repeating the request found the upload gone: it may have been completed.
            if isinstance(failure, StorageUnavailableError) and exists():
                return False
            raise
        return True

    def _complete(self, key: str, upload: str, blob: Blob, parts: list[dict[str, Any]]) -> None:
        whole: dict[str, Any] = {"ChecksumCRC32C": _base64(bytes.fromhex(blob.crc32c)), "ChecksumType": "FULL_OBJECT"}
        self._connection.call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
            **(whole if self._connection.checksums else {}),
        )

    def _send_parts(self, key: str, upload: str, blob: Blob) -> list[dict[str, Any]]:
        size = max(PART_BYTES, -(-blob.size // _MAX_PARTS))
        pending: list[Future[dict[str, Any]]] = []
        # Used again and again: fresh memory would cost as much as reading the file does.
        spare: SimpleQueue[bytearray] = SimpleQueue()
        budget, room = content_budget(), Semaphore(_PARTS_AT_A_TIME + 1)
        with blob.open() as source, ThreadPoolExecutor(_PARTS_AT_A_TIME, "metamlflow-part") as pool:
            try:
                for start in range(0, blob.size, size):
                    wanted = min(size, blob.size - start)
                    room.acquire()
                    taken = budget.take(wanted)
                    try:
                        part = bytearray(wanted) if spare.empty() else spare.get()
                        del part[wanted:]
                        crc32c = read_part(source, part, key, last=start + size >= blob.size)
                        pending.append(pool.submit(self._send_part, key, upload, len(pending) + 1, part, crc32c))
                    except BaseException:
                        budget.give_back(taken)
                        raise
                    pending[-1].add_done_callback(partial(_reuse, spare, part, budget, taken))
                    pending[-1].add_done_callback(lambda _: room.release())
                    del part  # here it would stay while the next one is waited for
                    if failed := next((part for part in pending if part.done() and part.exception()), None):
                        failed.result()
                return [part.result() for part in pending]
            except BaseException:
                for part in pending:
                    part.cancel()
                raise

    def _send_part(self, key: str, upload: str, number: int, data: bytearray, crc32c: int) -> dict[str, Any]:
        part: dict[str, Any] = {"Key": key, "UploadId": upload, "PartNumber": number}
        if not self._connection.checksums:
            answer = self._connection.call("upload_part", Body=data, **part, **_md5(data))
            return {"PartNumber": number, "ETag": answer["ETag"]}
        known: dict[str, Any] = {"ChecksumCRC32C": _base64(crc32c.to_bytes(4, "big"))}
        answer = self._connection.call("upload_part", Body=data, ChecksumAlgorithm="CRC32C", **part, **known)
        return {"PartNumber": number, "ETag": answer["ETag"], **known}


def _reuse(spare: SimpleQueue[bytearray], part: bytearray, budget: ByteBudget, taken: int, _: object) -> None:
    spare.put(part)
    budget.give_back(taken)


def _md5(data: bytes | bytearray) -> dict[str, Any]:
    """The checksum that servers know which know no other."""
    return {"ContentMD5": _base64(hashlib.md5(data, usedforsecurity=False).digest())}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
