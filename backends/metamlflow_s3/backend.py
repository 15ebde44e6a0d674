"""A store in an S3 bucket, through the client of an s3fs file system and, for what is small or many, a faster engine.

Every option of s3fs (profile, endpoint, encryption, requester pays, anonymous, checksums relaxed) means here what its
users know it to mean: where the faster engine cannot be told one, s3fs makes all requests. See ``engines.py``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from metamlflow.backend.options import with_configured_defaults
from metamlflow.backend.seam import Blob, DeleteFailure, ObjectInfo
from metamlflow.backend.streaming import StreamedObject
from metamlflow.backend.tags import bare_tag, same_tag
from metamlflow.backend.uploading import content_of
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.deletions import Deletions
from metamlflow_s3.doctor import S3Doctor
from metamlflow_s3.engines import EngineChoice
from metamlflow_s3.error_context import Wording
from metamlflow_s3.error_table import WEB_PAGE, says_no_more_than_denied, status_of
from metamlflow_s3.listings import PAGE, Listings, field
from metamlflow_s3.object_facts import checksums_of, date_of, real_version
from metamlflow_s3.obstore_engine import NotPlainError
from metamlflow_s3.options import check_options, parse_url
from metamlflow_s3.policy import S3Policies
from metamlflow_s3.reader import S3Stream
from metamlflow_s3.resolving import PROTOCOLS
from metamlflow_s3.server_copy import S3Copies
from metamlflow_s3.uploads import PART_BYTES, S3Uploader
from metamlflow_s3.vigilance import Create, Vigilance

if TYPE_CHECKING:
    from typing_extensions import Buffer

if find_spec("s3fs") is None:  # imported when first used; but whoever opens a store is told now
    raise ModuleNotFoundError("No module named 's3fs'", name="s3fs")

_LIMIT_BYTES = 64 * 1024 * 1024
"""A range from an object's start to beyond this is a limit. All of it is asked for, with its checksum, and cut off."""
_BEYOND_END = 416
_MD5_CHARACTERS = 32
_LATER = "Try again; if it stays, check the network and the endpoint."
_BUFFER_BYTES = 1024 * 1024


def open_backend(url: str, options: Mapping[str, Any]) -> S3Backend:
    """Open the store at an ``s3://bucket/prefix`` URL; ``options`` are those of ``s3fs.S3FileSystem``. No network.

    Raises:
        InvalidInputError: the URL names no bucket, or an option would not be honoured.
        UnsupportedStoreError: the bucket is of a kind that cannot hold a store.
    """
    bucket, prefix = parse_url(url)
    check_options(with_configured_defaults(options, PROTOCOLS))
    return S3Backend(bucket, prefix, options)


class S3Backend(S3Copies, S3Doctor, S3Policies):
    """The backend seam over an S3 bucket; every promise is in :class:`metamlflow.backend.Backend`."""

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, Any]) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._given = dict(options)
        self._options = with_configured_defaults(options, PROTOCOLS)
        self._wording = Wording(self.url, self._options)
        self._connection = S3Connection(bucket, self._options)
        self._listings = Listings(self._connection, self._wording, f"s3://{bucket}")
        self._deletions = Deletions(self._connection, self._wording, self._prefix, self.url_of)
        self._vigilance = Vigilance(self._deletions.delete_version)
        self._uploader = S3Uploader(self._connection)
        self._engine = EngineChoice(self._connection, bucket, self._options)
        self._tags_are_md5 = True  # until an object shows otherwise: with KMS, say, they are not

    @property
    def url(self) -> str:
        """The root, as a URL."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def filesystem(self) -> Any:
        """An s3fs file system with the user's options."""
        return self._connection.filesystem

    @property
    def max_key_bytes(self) -> int:
        """What is left of the 1,024 bytes of an S3 key."""
        return 1024 - len(self._prefix.encode())

    def __getstate__(self) -> tuple[str, str, dict[str, Any]]:
        return self._bucket, self._prefix.rstrip("/"), self._given

    def __setstate__(self, state: tuple[str, str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def url_of(self, key: str) -> str:
        """Return the object's ``s3://`` URL."""
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def create(self, key: str, data: bytes) -> None:
        """Create a record with one conditional PUT (``If-None-Match: *``).

        Raises:
            UnsupportedStoreError: the bucket keeps versions since this client began, and conditions are ignored there.
        """
        self._create(key, data, self._create_by_any)

    def create_by_s3fs(self, key: str, data: bytes) -> None:
        """As :meth:`create`, through the s3fs client whatever engine there is."""
        self._create(key, data, self._create_slowly)

    def confirm(self, key: str, data: bytes) -> None:
        """Make sure that a record that is found in place, its creation unanswered, cannot have replaced another."""
        self._vigilance.found(self.url_of(key), key, data, self._create_slowly)

    def _create(self, key: str, data: bytes, create: Create) -> None:
        try:
            version = create(key, data)
        except AlreadyExistsError:
            self._vigilance.refused()
            raise
        self._vigilance.created(self.url_of(key), key, data, version, create)

    def _create_by_any(self, key: str, data: bytes) -> str | None:
        with self._translated(key):
            made = self._created_fast(key, data, once=True)
        return self._create_slowly(key, data) if made is None else made[0]

    def _create_slowly(self, key: str, data: bytes) -> str | None:
        with self._translated(key):
            return self._uploader.send(self._prefix + key, data, hashlib.sha256(data).digest(), once=True)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content with a conditional PUT, or in parts and a conditional completion."""
        try:
            if blob.size <= PART_BYTES:
                with self._translated(key), content_of(blob, key) as data:
                    if self._created_fast(key, data, once=False) is None:
                        self._uploader.send(self._prefix + key, data, bytes.fromhex(blob.sha256), once=False)
                return True
            # A refusal would come after all of it was sent: so look first.
            if self._exists(key):
                return False
            with self._translated(key):
                return self._uploader.send_large(self._prefix + key, blob, lambda: self._exists(key))
        except AlreadyExistsError:
            return False

    def replace(self, key: str, blob: Blob) -> None:
        """Store content with an unconditional PUT, or in parts that a completion joins: either is one step."""
        name = self._prefix + key
        if blob.size <= PART_BYTES:
            with self._translated(key), content_of(blob, key) as data:
                self._uploader.send(name, data, bytes.fromhex(blob.sha256), once=False, over=True)
            return
        with self._translated(key):
            self._uploader.send_large(name, blob, lambda: False, over=True)

    def open(self, key: str) -> BinaryIO:
        """Return a seekable reader that streams from where it is, of the object as it is now. One request."""
        with self._looking(key):
            answer = self._get(key)
        etag, size = answer.get("ETag"), int(field(answer, "ContentLength"))

        def stream_at(start: int) -> S3Stream:
            try:
                with self._translated(key):
                    again = self._get(key, start, etag=etag)
            except AlreadyExistsError as error:  # what 412 means elsewhere
                raise self._replaced(key) from error
            stream = self._stream(key, again)
            if not same_tag(again.get("ETag"), etag) or (start and "ContentRange" not in again):
                stream.close()
                raise self._replaced(key)
            return stream

        reader = StreamedObject(stream_at, size, self.url_of(key), self._stream(key, answer))
        return cast("BinaryIO", io.BufferedReader(reader, _BUFFER_BYTES))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range with one request; what was damaged on its way is asked for again."""
        if not start and (end is None or end > _LIMIT_BYTES) and (data := self._read_fast(key, end)) is not None:
            return data
        return bytes(self._read_slowly(key, start, end, checked=True))

    def _read_slowly(
        self, key: str, start: int = 0, end: int | None = None, *, checked: bool = False
    ) -> bytes | bytearray:
        if end is not None and end <= start:
            self.stat(key)  # an HTTP range cannot be empty
            return b""
        with self._looking(key):
            try:
                answer, data = self._connection.fetch(
                    start, end, checked=checked, Key=self._prefix + key, **_range(start, end)
                )
            except Exception as error:
                if status_of(error) == _BEYOND_END:
                    return b""
                raise
            self._check_it_is_s3(key, answer)
        self._vigilance.saw(answer.get("VersionId"))
        return data

    def fetch(self, key: str, start: int = 0, end: int | None = None) -> Buffer:
        """Return a range of content with one request, without asking for the checksum that S3 holds."""
        fast = self._engine.fast
        if fast is not None and (end is None or end > start):
            try:
                with self._translated(key):
                    return cast("Buffer", fast.read(self._prefix + key, start, end))
            except NotPlainError:
                pass
        return self._read_slowly(key, start, end)  # not read(), which would ask the fast engine once more

    def stat(self, key: str) -> ObjectInfo:
        """Return what HEAD tells, with the checksums that S3 holds."""
        try:
            with self._looking(key):
                asked = self._connection.asks_for_checksums
                answer = self._connection.call("head_object", Key=self._prefix + key, **asked)
                self._check_it_is_s3(key, answer)
        except ObjectNotFoundError as error:
            fast = self._engine.fast
            if not (fast and fast.worked) and self._connection.bucket_is_missing():
                raise self._wording.missing_bucket() from error
            raise
        return ObjectInfo(
            key=key,
            size=field(answer, "ContentLength"),
            modified=field(answer, "LastModified").astimezone(UTC),
            observed=date_of(answer),
            etag=answer.get("ETag"),
            version=real_version(answer.get("VersionId")),
            checksums=checksums_of(answer),
        )

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the listing page by page; a page is fetched when its first key is asked for."""
        return islice(self._list_fast(prefix, after, limit), limit)

    def list_after(self, after: str, limit: int) -> list[ObjectInfo]:
        """Return the objects that follow a key, with one request."""
        return list(self.list_objects(after=after, limit=limit))

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete up to 1,000 objects with a request."""
        return self._deletions.delete(keys)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return self._wording.translated(self.url_of(key))

    @contextmanager
    def _looking(self, key: str) -> Iterator[None]:
        """As :meth:`_translated`, for a request that looks: a refusal may mean that nothing is there.

        Where listing is allowed below a prefix alone, some servers answer 403 for a key that is missing: so a listing
        is asked. Where it may not be had, the refusal stands.
        """
        try:
            with self._translated(key):
                yield
        except AccessDeniedError as error:
            if not says_no_more_than_denied(error) or not self._listings.lacks(self._prefix + key):
                raise
            place = self.url_of(key)
            raise ObjectNotFoundError(f"{place}: there is no such object; the listing lacks it", key=place) from error

    def _placed(self, key: str, error: MetaMLFlowError) -> MetaMLFlowError:
        return self._wording.placed(self.url_of(key), error)

    def _get(self, key: str, start: int = 0, *, etag: str | None = None) -> Any:
        # Some servers know no If-Match; s3fs has an option for them, and the answer's ETag is compared in any case.
        same: dict[str, Any] = (
            {"IfMatch": f'"{bare_tag(etag)}"'} if etag and not self._options.get("local_expiry_check") else {}
        )
        answer = self._connection.call("get_object", Key=self._prefix + key, **_range(start, None), **same)
        try:
            self._check_it_is_s3(key, answer)
        except StorageError:
            self._stream(key, answer).close()
            raise
        return answer

    def _stream(self, key: str, answer: Any) -> S3Stream:
        return S3Stream(self._connection.loop, answer["Body"], lambda: self._translated(key))

    def _check_it_is_s3(self, key: str, answer: Mapping[str, Any]) -> None:
        """Refuse a web page: consoles and login pages answer 200 to any address, and S3 never without an ETag."""
        if "ETag" not in answer and "html" in answer.get("ContentType", ""):
            raise StorageError(f"{self.url_of(key)}: {WEB_PAGE[1]}", hint=WEB_PAGE[2], key=self.url_of(key))

    def _replaced(self, key: str) -> StorageError:
        return StorageError(
            f"{self.url_of(key)} is another object than when it was opened",
            hint="Something writes into the store past this library, or the server ignores ranges.",
            key=self.url_of(key),
        )

    def _exists(self, key: str) -> bool | None:
        """Whether there is such an object; None if these credentials may not know."""
        try:
            self.stat(key)
        except ObjectNotFoundError:
            return False
        except AccessDeniedError:
            return None
        return True

    def _created_fast(self, key: str, data: bytes, *, once: bool) -> tuple[str | None] | None:
        """Create an object through the fast engine, if that can be done and has a plain outcome; tell its version.

        With ``once``, an outcome that is not known is an error: its caller looks what lies there.
        """
        fast = self._engine.fast
        if fast is None:
            return None
        try:
            return (fast.create(self._prefix + key, data),)
        except NotPlainError as error:
            if once and not error.refused:
                raise self._placed(key, StorageUnavailableError(f"the request failed: {error}", hint=_LATER)) from error
            return None

    def _read_fast(self, key: str, end: int | None = None) -> bytes | None:
        """Return a whole object through the fast engine, if that can be done and nothing says that it was damaged.

        That engine does not see the checksums that S3 holds. But most ETags are an MD5; where one looks like it and is
        none (as with KMS), s3fs reads the object again, with its checksum, and from then on at once. A tag of another
        shape proves nothing, and a second read of each record there would double what the smallest job costs: such a
        record is as safe as the connection is.
        """
        fast = self._engine.fast if self._tags_are_md5 else None
        if fast is None:
            return None
        try:
            with self._translated(key):
                data, tag, version = fast.read_whole(self._prefix + key, end)
        except NotPlainError:
            return None
        self._vigilance.saw(version)
        tag = tag.strip('"')
        if end is not None and len(data) >= end:
            return data  # cut off: its tag says nothing of it
        if not tag:  # S3 never answers without: it may be a web page, which s3fs's way tells
            return None
        if len(tag) != _MD5_CHARACTERS or hashlib.md5(data, usedforsecurity=False).hexdigest() == tag:
            return data
        checked = bytes(self._read_slowly(key, 0, end, checked=True))
        self._tags_are_md5 = checked != data
        return checked

    def _list_fast(self, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        fast = self._engine.fast
        if fast is None or (prefix and not prefix.endswith("/")):  # it lists whole folders
            yield from self._list(prefix, after, limit)
            return
        try:
            for item in fast.list(self._prefix + prefix, after and self._prefix + after):
                after = item["path"].removeprefix(self._prefix)
                yield ObjectInfo(after, item["size"], item["last_modified"].astimezone(UTC), etag=item["e_tag"])
        except NotPlainError:
            yield from self._list(prefix, after, limit)

    def _list(self, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        size = PAGE if limit is None else max(1, min(limit, PAGE))
        for page in self._listings.objects(self._prefix + prefix, after and self._prefix + after, size):
            for item in page.get("Contents", ()):
                yield ObjectInfo(
                    key=field(item, "Key").removeprefix(self._prefix),
                    size=field(item, "Size"),
                    modified=field(item, "LastModified").astimezone(UTC),
                    observed=date_of(page),
                    etag=item.get("ETag"),
                )


def _range(start: int, end: int | None) -> dict[str, Any]:
    if not start and (end is None or end > _LIMIT_BYTES):
        return {}
    return {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
