"""Objects of S3 that an artifact points to: version ids from the listing, the digests that S3 holds, exact reads."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metamlflow.backend.lakes import Sighting, drifted
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StoreNotFoundError,
)
from metamlflow_s3.answers import status_of
from metamlflow_s3.connection import Connection
from metamlflow_s3.options import check_options, parse_url
from metamlflow_s3.wording import Wording

if TYPE_CHECKING:
    from typing_extensions import Buffer

_DIGESTS = {
    "ChecksumSHA256": "sha256",
    "ChecksumSHA1": "sha1",
    "ChecksumCRC64NVME": "crc64nvme",
    "ChecksumCRC32C": "crc32c",
    "ChecksumCRC32": "crc32",
}
_MD5_CHARACTERS = 32
_PAGE = 1000
_NOT_IMPLEMENTED = frozenset({405, 501})
_BEYOND_END = 416


def open_lake(root: str, options: Mapping[str, Any]) -> S3Lake:
    """Open a bucket, ``s3://bucket``; ``options`` are those of ``s3fs.S3FileSystem``. No network.

    Raises:
        InvalidInputError: the URL names no bucket, or an option would not be honoured.
    """
    check_options(options)
    return S3Lake(parse_url(root)[0], options)


class S3Lake:
    """A bucket as a lake; every promise is in :class:`metamlflow.backend.lakes.Lake`."""

    def __init__(self, bucket: str, options: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._options = dict(options)
        self._connection = Connection(bucket, options)
        self._wording = Wording(f"s3://{bucket}", options)

    def __getstate__(self) -> tuple[str, dict[str, Any]]:
        return self._bucket, self._options

    def __setstate__(self, state: tuple[str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def url_of(self, name: str) -> str:
        """Return the URI of an object."""
        return f"s3://{self._bucket}/{name}"

    def look(self, name: str, version: str | None = None) -> Sighting:
        """Return what HEAD tells; one request."""
        pinned: dict[str, Any] = {"VersionId": version} if version else {}
        with self._wording.translated(self.url_of(name)):
            answer = self._connection.call("head_object", Key=name, ChecksumMode="ENABLED", **pinned)
        return Sighting(
            name=name,
            size=answer["ContentLength"],
            version=real_version(answer.get("VersionId")),
            etag=answer.get("ETag"),
            modified_ns=_nanoseconds(answer["LastModified"]),
            held=held_digests(answer) | self._md5(answer),
        )

    def look_below(self, prefix: str, *, after: str = "", older: bool = False) -> Iterator[Sighting]:
        """Yield the listing of versions, a page of 1,000 at a time; where that is not to be had, that of objects."""
        try:
            pages = self._pages("list_object_versions", prefix, {"KeyMarker": after} if after else {})
            first = next(pages)
        except MetaMLFlowError as error:
            yield from self._plain_listing(prefix, after, error)
            return
        for page in chain((first,), pages):
            for item in page.get("Versions", ()):
                if item["IsLatest"] or older:
                    version = real_version(item.get("VersionId"))
                    yield self._listed(item, version, current=item["IsLatest"])

    def read(self, seen: Sighting, start: int, end: int) -> Buffer:
        """Return a range of a version, or on condition of the ETag; one request."""
        if end <= start:
            self._check(seen)
            return b""
        same: dict[str, Any] = {}
        if seen.version:
            same = {"VersionId": seen.version}
        elif seen.etag and not self._options.get("local_expiry_check"):  # some servers know no If-Match
            same = {"IfMatch": seen.etag}
        whole = start == 0 and end >= seen.size
        ranged = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        try:
            with self._wording.translated(self.url_of(seen.name)):
                # Of all of it a byte more, by which an object that has grown is noticed.
                answer, data = self._ranged(seen, start, seen.size + 1 if whole else end, {**same, **ranged})
        except (AlreadyExistsError, ObjectNotFoundError, StoreNotFoundError):  # 412 and 404
            raise self._drifted(seen) from None
        if (seen.etag and answer.get("ETag") != seen.etag) or len(data) != min(end, seen.size) - start:
            raise self._drifted(seen)
        return data

    # --- how ----------------------------------------------------------------------------------------------------------

    def _ranged(self, seen: Sighting, start: int, end: int, arguments: Mapping[str, Any]) -> tuple[Any, bytearray]:
        try:
            return self._connection.fetch(start, end, Key=seen.name, **arguments)
        except Exception as error:
            if status_of(error) == _BEYOND_END:
                raise self._drifted(seen) from None
            raise

    def _check(self, seen: Sighting) -> None:
        try:
            found = self.look(seen.name, seen.version)
        except (ObjectNotFoundError, StoreNotFoundError):
            raise self._drifted(seen) from None
        if seen.difference(found):
            raise drifted(self.url_of(seen.name), seen, found)

    def _drifted(self, seen: Sighting) -> MetaMLFlowError:
        try:
            return drifted(self.url_of(seen.name), seen, self.look(seen.name))
        except (ObjectNotFoundError, StoreNotFoundError):  # the bucket, perhaps
            return drifted(self.url_of(seen.name), seen, None)

    def _pages(self, method: str, prefix: str, where: dict[str, Any]) -> Iterator[Any]:
        while True:
            with self._wording.translated(self.url_of(prefix)):
                page = self._connection.call(method, Prefix=prefix, MaxKeys=_PAGE, **where)
            yield page
            if not page.get("IsTruncated"):
                return
            if method == "list_objects_v2":
                where = {"ContinuationToken": page["NextContinuationToken"]}
            else:
                where = {"KeyMarker": page["NextKeyMarker"]}
                if page.get("NextVersionIdMarker"):
                    where["VersionIdMarker"] = page["NextVersionIdMarker"]

    def _plain_listing(self, prefix: str, after: str, error: MetaMLFlowError) -> Iterator[Sighting]:
        """Yield the current objects where versions cannot be listed, if there are none to be missed."""
        refused = isinstance(error, AccessDeniedError)
        if not refused and status_of(error) not in _NOT_IMPLEMENTED:
            raise error
        asked = False
        for page in self._pages("list_objects_v2", prefix, {"StartAfter": after} if after else {}):
            for item in page.get("Contents", ()):
                if refused and not asked and self._keeps_versions(item["Key"]):
                    raise error.with_hint(
                        "The bucket keeps versions, and listing them takes s3:ListBucketVersions: without it nothing "
                        "could be pinned. Allow it, or point to single objects."
                    )
                asked = True
                yield self._listed(item, None, current=True)

    def _keeps_versions(self, name: str) -> bool:
        """Whether the bucket keeps versions, or has: then each object has an id, be it ``null``."""
        with self._wording.translated(self.url_of(name)):
            return "VersionId" in self._connection.call("head_object", Key=name)

    def _listed(self, item: Mapping[str, Any], version: str | None, *, current: bool) -> Sighting:
        return Sighting(
            name=item["Key"],
            size=item["Size"],
            version=version,
            etag=item.get("ETag"),
            modified_ns=_nanoseconds(item["LastModified"]),
            current=current,
        )

    def _md5(self, answer: Mapping[str, Any]) -> dict[str, str]:
        """Return the ETag as the MD5 that it is on AWS, of an object that was put at once, in plain text or SSE-S3.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html says so. Other servers promise nothing.
        """
        tag = str(answer.get("ETag", "")).strip('"')
        plain = answer.get("ServerSideEncryption") in {None, "AES256"} and "SSECustomerAlgorithm" not in answer
        host = urlsplit(self._connection.client.meta.endpoint_url).hostname or ""
        is_aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return {"md5": tag} if plain and is_aws and len(tag) == _MD5_CHARACTERS and "-" not in tag else {}


def held_digests(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of a HEAD or GET, in hex, those over the digests of parts under a name that says so."""
    composite = answer.get("ChecksumType") == "COMPOSITE"
    held = {}
    for field, name in _DIGESTS.items():
        if not answer.get(field):
            continue
        digest, dash, parts = str(answer[field]).partition("-")
        value = base64.b64decode(digest).hex()
        if dash:
            held[f"{name}-composite"] = f"{value}-{parts}"
        elif not composite:
            held[name] = value
    return held


def real_version(version: str | None) -> str | None:
    """Return a version id; ``null`` is that of whatever was written without one, and pins nothing."""
    return None if version in {None, "null"} else version


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000) * 1_000_000  # S3 tells milliseconds at most
