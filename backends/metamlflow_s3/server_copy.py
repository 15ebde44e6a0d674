"""Copies that S3 makes by itself: whole, or in parts where an object is large."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import AlreadyExistsError
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.uploads import MAX_PARTS, PART_BYTES, S3Uploader

if TYPE_CHECKING:
    from metamlflow.backend.seam import Backend

WHOLE_BYTES = 1024 * 1024 * 1024
"""Up to this size an object is copied with one request. S3 takes up to 5 GiB so; in parts it is faster."""
COPY_PART_BYTES = 256 * 1024 * 1024
_PARTS_AT_A_TIME = 8
_AMAZON = ".amazonaws.com"


class S3Copies:
    """The part of an S3 backend that copies from another; see :class:`metamlflow.backend.ServerSideCopy`."""

    _bucket: str
    _prefix: str
    _connection: S3Connection
    _translated: Callable[[str], AbstractContextManager[None]]
    _uploader: S3Uploader
    _exists: Callable[[str], bool | None]

    def obstacle_to(self, source: Backend) -> str | None:
        """Return None for buckets at one endpoint, or both at Amazon."""
        if not isinstance(source, S3Copies):
            return "the other end is no S3 bucket"
        places = [urlsplit(backend._connection.client.meta.endpoint_url) for backend in (self, source)]  # noqa: SLF001 (its own kind)
        if places[0].netloc == places[1].netloc:
            return None
        hosts = [place.hostname or "" for place in places]
        # Not across partitions: hosts in China end in another way.
        return (
            None if all(host.endswith(_AMAZON) for host in hosts) else f"{places[1].netloc} is not {places[0].netloc}"
        )

    def copy_from(self, source: Backend, key: str, size: int, crc32c: str) -> bool:
        """Copy an object; it must not be there, and that is looked at first: some servers know no condition here."""
        assert isinstance(source, S3Copies)  # noqa: S101 (obstacle_to tells)
        if self._exists(key):
            return False
        place = {"Bucket": source._bucket, "Key": source._prefix + key}  # noqa: SLF001 (its own kind)
        name = self._prefix + key
        try:
            with self._translated(key):
                if size > WHOLE_BYTES:
                    parts = partial(self._copy_parts, name, place, size)
                    return self._uploader.in_parts(name, crc32c, lambda: self._exists(key), parts)
                # The checksum that an upload of this size would have left.
                checksum: dict[str, Any] = {"ChecksumAlgorithm": "SHA256" if size <= PART_BYTES else "CRC32C"}
                known = checksum if self._connection.checksums else {}
                self._connection.call("copy_object", Key=name, CopySource=place, IfNoneMatch="*", **known)
        except AlreadyExistsError:
            return False
        return True

    def _copy_parts(self, name: str, place: dict[str, str], size: int, upload: str) -> list[dict[str, Any]]:
        length = max(COPY_PART_BYTES, -(-size // MAX_PARTS))
        ranges = [(start, min(start + length, size) - 1) for start in range(0, size, length)]
        with ThreadPool(_PARTS_AT_A_TIME, "metamlflow-copy") as pool:
            return list(pool.map(partial(self._copy_part, name, place, upload), range(1, len(ranges) + 1), ranges))

    def _copy_part(
        self, name: str, place: dict[str, str], upload: str, number: int, bounds: tuple[int, int]
    ) -> dict[str, Any]:
        answer = self._connection.call(
            "upload_part_copy",
            Key=name,
            CopySource=place,
            CopySourceRange=f"bytes={bounds[0]}-{bounds[1]}",
            UploadId=upload,
            PartNumber=number,
        )["CopyPartResult"]
        held = {name: answer[name] for name in ("ETag", "ChecksumCRC32C") if name in answer}
        return {"PartNumber": number, **held}
