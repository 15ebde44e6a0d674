"""Objects of S3 that an artifact points to: version ids from the listing, the digests that S3 holds, exact reads."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metamlflow.backend.external import ObjectMeta, drift_error
from metamlflow.backend.options import with_configured_defaults
from metamlflow.backend.tags import bare_tag, entity_tag
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StoreNotFoundError,
)
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.error_context import Wording
from metamlflow_s3.error_table import is_composite, parts_of, status_of
from metamlflow_s3.listings import Listings, field
from metamlflow_s3.options import check_options, parse_url
from metamlflow_s3.resolving import PROTOCOLS

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
_NOT_IMPLEMENTED = frozenset({405, 501})
_BEYOND_END = 416
_UNPINNED = (
    "The bucket keeps versions, and listing them takes s3:ListBucketVersions: without it nothing could be pinned. "
    "Allow it, or point to single objects."
)


def open_external(root: str, options: Mapping[str, Any]) -> S3ExternalStore:
    """Open a bucket, ``s3://bucket``; ``options`` are those of ``s3fs.S3FileSystem``. No network.

    Raises:
        InvalidInputError: the URL names no bucket, or an option would not be honoured.
    """
    check_options(with_configured_defaults(options, PROTOCOLS))
    return S3ExternalStore(parse_url(root)[0], options)


class S3ExternalStore:
    """A bucket as an external store; every promise is in :class:`metamlflow.backend.external.ExternalStore`."""

    def __init__(self, bucket: str, options: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._given = dict(options)
        self._options = with_configured_defaults(options, PROTOCOLS)
        self._connection = S3Connection(bucket, self._options)
        self._wording = Wording(f"s3://{bucket}", self._options)
        self._listings = Listings(self._connection, self._wording, f"s3://{bucket}")

    def __getstate__(self) -> tuple[str, dict[str, Any]]:
        return self._bucket, self._given

    def __setstate__(self, state: tuple[str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def url_of(self, name: str) -> str:
        """Return the URI of an object."""
        return f"s3://{self._bucket}/{name}"

    def head(self, name: str, version: str | None = None) -> ObjectMeta:
        """Return what HEAD tells; one request."""
        pinned: dict[str, Any] = {"VersionId": version} if version else {}
        try:
            with self._wording.translated(self.url_of(name)):
                answer = self._connection.call("head_object", Key=name, **self._connection.asks_for_checksums, **pinned)
        except ObjectNotFoundError as error:
            if self._connection.bucket_is_missing():
                raise self._wording.missing_bucket() from error
            raise
        return ObjectMeta(
            name=name,
            size=field(answer, "ContentLength"),
            version=real_version(answer.get("VersionId")),
            etag=entity_tag(answer.get("ETag")),
            modified_ns=_nanoseconds(field(answer, "LastModified")),
            held=held_digests(answer) | self._md5(answer),
        )

    def list_objects(self, prefix: str, *, after: str = "", older: bool = False) -> Iterator[ObjectMeta]:
        """Yield the listing of versions, a page of 1,000 at a time; where that is not to be had, that of objects."""
        try:
            pages = self._listings.versions(prefix, after)
            first = next(pages)
        except MetaMLFlowError as error:
            if isinstance(error, AccessDeniedError):
                yield from self._plain_listing(prefix, after, error.with_hint(_UNPINNED), none_kept=False)
            elif status_of(error) in _NOT_IMPLEMENTED:
                yield from self._plain_listing(prefix, after, error, none_kept=True)
            else:
                raise
            return
        if not (first.get("Versions") or first.get("DeleteMarkers") or first.get("IsTruncated")):
            # Some servers have no versions to list, and say so in this way.
            yield from self._plain_listing(prefix, after, self._unlisted(prefix), none_kept=False)
            return
        for page in chain((first,), pages):
            for item in page.get("Versions", ()):
                current = bool(field(item, "IsLatest"))
                if current or older:
                    yield self._listed(item, real_version(item.get("VersionId")), current=current)

    def read(self, seen: ObjectMeta, start: int, end: int) -> Buffer:
        """Return a range of a version, or on condition of the ETag; one request."""
        if end <= start:
            self._check(seen)
            return b""
        same: dict[str, Any] = {}
        if seen.version:
            same = {"VersionId": seen.version}
        elif seen.etag and not self._options.get("local_expiry_check"):  # some servers know no If-Match
            same = {"IfMatch": entity_tag(seen.etag)}
        ranged = {"Range": f"bytes={start}-{end - 1}"}  # also of a whole: never more than was registered
        try:
            with self._wording.translated(self.url_of(seen.name)):
                answer, data = self._ranged(seen, start, end, {**same, **ranged})
        except (AlreadyExistsError, ObjectNotFoundError, StoreNotFoundError):  # 412 and 404
            raise self._drifted(seen) from None
        # Without Content-Range it is the whole object: something on the way has ignored the range.
        size = _whole_size(answer)
        if (seen.etag and entity_tag(answer.get("ETag")) != entity_tag(seen.etag)) or size not in {None, seen.size}:
            raise self._drifted(seen)
        if len(data) != min(end, seen.size) - start:
            raise self._drifted(seen)
        return data

    # --- how ----------------------------------------------------------------------------------------------------------

    def _ranged(self, seen: ObjectMeta, start: int, end: int, arguments: Mapping[str, Any]) -> tuple[Any, bytearray]:
        try:
            # Of an object of parts the checksum may be one over those of the parts, and not say so.
            checked = not parts_of({"ETag": seen.etag})
            return self._connection.fetch(start, end, checked=checked, Key=seen.name, **arguments)
        except Exception as error:  # raised again, but for one status
            if status_of(error) == _BEYOND_END:
                raise self._drifted(seen) from None
            raise

    def _check(self, seen: ObjectMeta) -> None:
        try:
            found = self.head(seen.name, seen.version)
        except (ObjectNotFoundError, StoreNotFoundError):
            raise self._drifted(seen) from None
        if seen.difference(found):
            raise drift_error(self.url_of(seen.name), seen, found)

    def _drifted(self, seen: ObjectMeta) -> MetaMLFlowError:
        try:
            return drift_error(self.url_of(seen.name), seen, self.head(seen.name))
        except (ObjectNotFoundError, StoreNotFoundError):  # the bucket, perhaps
            return drift_error(self.url_of(seen.name), seen, None)

    def _plain_listing(
        self, prefix: str, after: str, error: MetaMLFlowError, *, none_kept: bool
    ) -> Iterator[ObjectMeta]:
        """Yield the current objects where versions cannot be listed.

        Raises:
            MetaMLFlowError: ``error``, if there are versions to be missed; not looked for if ``none_kept``, which means
                that the server has none.
        """
        asked = none_kept
        for page in self._listings.objects(prefix, after):
            for item in page.get("Contents", ()):
                if not asked and self._keeps_versions(field(item, "Key")):
                    raise error
                asked = True
                yield self._listed(item, None, current=True)

    def _unlisted(self, prefix: str) -> MetaMLFlowError:
        return StorageError(
            f"the listing of {self.url_of(prefix)} cannot be relied on: it has no versions of objects that are there",
            hint="The bucket keeps versions, and its server does not list them. Point to single objects.",
            key=self.url_of(prefix),
        )

    def _keeps_versions(self, name: str) -> bool:
        """Whether the bucket keeps versions, or has: then each object has an id, be it ``null``."""
        with self._wording.translated(self.url_of(name)):
            return "VersionId" in self._connection.call("head_object", Key=name)

    def _listed(self, item: Mapping[str, Any], version: str | None, *, current: bool) -> ObjectMeta:
        return ObjectMeta(
            name=field(item, "Key"),
            size=field(item, "Size"),
            version=version,
            etag=entity_tag(item.get("ETag")),
            modified_ns=_nanoseconds(field(item, "LastModified")),
            current=current,
        )

    def _md5(self, answer: Mapping[str, Any]) -> dict[str, str]:
        """Return the ETag as the MD5 that it is on AWS, of an object that was put at once, in plain text or SSE-S3.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html says so. Other servers promise nothing.
        """
        tag = bare_tag(answer.get("ETag"))
        plain = answer.get("ServerSideEncryption") in {None, "AES256"} and "SSECustomerAlgorithm" not in answer
        host = urlsplit(self._connection.client.meta.endpoint_url).hostname or ""
        is_aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return {"md5": tag} if plain and is_aws and len(tag) == _MD5_CHARACTERS and "-" not in tag else {}


def _whole_size(answer: Mapping[str, Any]) -> int | None:
    """Return the size of the whole object that an answer is of, or a part of, in bytes; None if it does not tell."""
    total = str(answer.get("ContentRange", answer.get("ContentLength", ""))).rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def held_digests(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of a HEAD or GET, in hex, those over the digests of parts under a name that says so."""
    composite, number = is_composite(answer), parts_of(answer)
    held = {}
    for told, name in _DIGESTS.items():
        if not answer.get(told):
            continue
        digest, dash, parts = str(answer[told]).partition("-")
        value = base64.b64decode(digest).hex()
        if dash:
            held[f"{name}-composite"] = f"{value}-{parts}"
        elif not composite:
            held[name] = value
        elif number:
            held[f"{name}-composite"] = f"{value}-{number}"
    return held


def real_version(version: str | None) -> str | None:
    """Return a version id; ``null`` is that of whatever was written without one, and pins nothing."""
    return None if version in {None, "null"} else version


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000) * 1_000_000  # S3 tells milliseconds at most
