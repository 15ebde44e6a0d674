"""Content on its way to S3: small in one conditional request, large in parts that a conditional completion joins."""

from __future__ import annotations

import base64
import hashlib
import mmap
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Self

from metamlflow.backend.budget import content_budget
from metamlflow.backend.seam import Blob
from metamlflow.backend.threads import ThreadPool
from metamlflow.backend.uploading import read_part
from metamlflow.errors import AlreadyExistsError, StorageUnavailableError
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.error_table import s3_error
from metamlflow_s3.part_sender import Borrowed

PART_BYTES = 16 * 1024 * 1024
"""Up to this size content goes in one request; above, in parts of it, each of which costs the client some 3 ms."""
MAX_PARTS = 9_900  # S3 takes 10,000
_PARTS_AT_A_TIME = 3  # of one object; and one more is read meanwhile


class S3Uploader:
    """Uploads to one bucket."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection

    def send(self, key: str, data: bytes, sha256: bytes, *, once: bool, over: bool = False) -> str | None:
        """Create an object with one request, whose content the server checks; return its version, if it has one.

        ``once``: see Connection.call. ``over``: also if the key exists.
        """
        known: dict[str, Any] = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": _base64(sha256)}
        checksum = known if self._connection.checksums else _md5(data)
        kind = {**_condition(over=over), **checksum}
        answer = self._connection.call("put_object", once=once, Key=key, Body=data, **kind)
        version: str | None = answer.get("VersionId")
        return version

    def send_large(self, key: str, blob: Blob, exists: Callable[[], bool | None], *, over: bool = False) -> bool:
        """Create an object in parts; as :meth:`in_parts`."""
        return self.in_parts(key, blob.crc32c, exists, lambda upload: self._send_parts(key, upload, blob), over=over)

    def in_parts(
        self,
        key: str,
        crc32c: str,
        exists: Callable[[], bool | None],
        bring: Callable[[str], list[dict[str, Any]]],
        *,
        over: bool = False,
    ) -> bool:
        """Create an object of parts; return whether this call is known to have created it.

        Leaves no unfinished upload behind, unless the server refuses that as well.

        Args:
            key: of the object.
            crc32c: of all of it, which the server compares; empty if it is not known.
            exists: looks whether the object is there; None: the credentials may not know.
            bring: takes the upload's id and returns the parts, once the server has them.
            over: create it also if the key exists.
        """
        checked = bool(crc32c) and self._connection.checksums
        kind: dict[str, Any] = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"} if checked else {}
        # Repeated after a lost answer, it may leave an empty upload: harmless, and lifecycle rules remove it.
        upload = self._connection.call("create_multipart_upload", Key=key, **kind)["UploadId"]
        try:
            self._complete(key, upload, crc32c if checked else "", bring(upload), over=over)
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

    def _complete(self, key: str, upload: str, crc32c: str, parts: list[dict[str, Any]], *, over: bool) -> None:
        whole: dict[str, Any] = {}
        if crc32c:
            whole = {"ChecksumCRC32C": _base64(bytes.fromhex(crc32c)), "ChecksumType": "FULL_OBJECT"}
        self._connection.call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            **_condition(over=over),
            **whole,
        )

    def _send_parts(self, key: str, upload: str, blob: Blob) -> list[dict[str, Any]]:
        size = max(PART_BYTES, -(-blob.size // MAX_PARTS))
        pending: list[Future[dict[str, Any]]] = []
        with (
            _Buffers(size) as buffers,
            blob.open() as source,
            ThreadPool(_PARTS_AT_A_TIME, "metamlflow-part") as pool,
        ):
            try:
                for start in range(0, blob.size, size):
                    buffer = buffers.get()
                    data = buffer[: blob.size - start]
                    crc32c = read_part(source, data, key, last=start + size >= blob.size)
                    pending.append(pool.submit(self._send_part, key, upload, len(pending) + 1, data, crc32c))
                    pending[-1].add_done_callback(partial(buffers.put_back, buffer))
                    if failed := next((part for part in pending if part.done() and part.exception()), None):
                        failed.result()
                return [part.result() for part in pending]
            except BaseException:
                for part in pending:
                    part.cancel()
                raise

    def _send_part(self, key: str, upload: str, number: int, data: memoryview, crc32c: int) -> dict[str, Any]:
        part: dict[str, Any] = {"Key": key, "UploadId": upload, "PartNumber": number}
        if not self._connection.checksums:
            answer = self._connection.call("upload_part", Body=Borrowed(data), **part, **_md5(data))
            return {"PartNumber": number, "ETag": answer["ETag"]}
        known: dict[str, Any] = {"ChecksumCRC32C": _base64(crc32c.to_bytes(4, "big"))}
        body = Borrowed(data)
        answer = self._connection.call("upload_part", Body=body, ChecksumAlgorithm="CRC32C", **part, **known)
        return {"PartNumber": number, "ETag": answer["ETag"], **known}


class _Buffers:
    """What the parts of one upload are read into, again and again: fresh memory costs as much as reading a file does.

    They are the system's own pages. An allocator keeps large memory for the thread that had it, so uploads from many
    threads would take several times the budget. They count in it until all of them are given back. Who has one never
    waits for another upload's.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._budget = content_budget()
        self._taken: list[int] = []
        self._spare: SimpleQueue[memoryview] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(sum(self._taken))

    def get(self) -> memoryview:
        """Return a buffer, as soon as there is one."""
        if self._spare.empty() and len(self._taken) <= _PARTS_AT_A_TIME:
            taken = self._budget.take_at_once(self._size) if self._taken else self._budget.take(self._size)
            if taken is not None:
                self._taken.append(taken)
                return memoryview(mmap.mmap(-1, self._size))
        return self._spare.get()

    def put_back(self, buffer: memoryview, _: object) -> None:
        """Take back a buffer whose part was sent."""
        self._spare.put(buffer)


def _condition(*, over: bool) -> dict[str, Any]:
    return {} if over else {"IfNoneMatch": "*"}


def _md5(data: bytes | memoryview) -> dict[str, Any]:
    """The checksum that servers know which know no other."""
    return {"ContentMD5": _base64(hashlib.md5(data, usedforsecurity=False).digest())}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
