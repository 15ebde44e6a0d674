"""Copies that S3 makes by itself: whole, or in parts where an object is large."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from metamlflow.backend.threads import ThreadPool
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.uploads import MAX_PARTS, PART_BYTES, S3Uploader

WHOLE_BYTES = 1024 * 1024 * 1024
"""Up to this size an object is copied with one request. S3 takes up to 5 GiB so; in parts it is faster."""
COPY_PART_BYTES = 256 * 1024 * 1024
_PARTS_AT_A_TIME = 8
_AMAZON = ".amazonaws.com"


class S3Copies:
    """Copies into and out of one bucket.

    Args:
        connection: to the server.
        bucket: its name.
        uploader: into the bucket.
    """

    def __init__(self, connection: S3Connection, bucket: str, uploader: S3Uploader) -> None:
        self._connection = connection
        self._bucket = bucket
        self._uploader = uploader

    def obstacle_to(self, source: S3Copies) -> str | None:
        """Return None for buckets at one endpoint, or both at Amazon; else what is in the way."""
        places = [urlsplit(copies._connection.client.meta.endpoint_url) for copies in (self, source)]  # noqa: SLF001 (its own kind)
        if places[0].netloc == places[1].netloc:
            return None
        hosts = [place.hostname or "" for place in places]
        # Not across partitions: hosts in China end in another way.
        return (
            None if all(host.endswith(_AMAZON) for host in hosts) else f"{places[1].netloc} is not {places[0].netloc}"
        )

    def place_of(self, name: str) -> dict[str, str]:
        """Return how a request names an object of this bucket that is to be copied."""
        return {"Bucket": self._bucket, "Key": name}

    def copy(self, place: dict[str, str], name: str, size: int, crc32c: str, exists: Callable[[], bool | None]) -> bool:
        """Copy an object on condition that there is none; return whether this call is known to have created it.

        Args:
            place: of the object that is copied.
            name: of the copy.
            size: in bytes.
            crc32c: of the content, 8 hex digits; empty if it is not known.
            exists: looks whether the copy is there.
        """
        if size > WHOLE_BYTES:
            return self._uploader.in_parts(name, crc32c, exists, partial(self._copy_parts, name, place, size))
        # The checksum that an upload of this size would have left.
        checksum: dict[str, Any] = {"ChecksumAlgorithm": "SHA256" if size <= PART_BYTES else "CRC32C"}
        known = checksum if self._connection.checksums else {}
        self._connection.call("copy_object", Key=name, CopySource=place, IfNoneMatch="*", **known)
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
