"""A store in an S3 bucket, through the client of an s3fs file system and, for what is small or many, a faster engine.

Every option of s3fs (profile, endpoint, encryption, requester pays, anonymous, checksums relaxed) means here what its
users know it to mean: where the faster engine cannot be told one, s3fs makes all requests. See ``engines.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from metamlflow.backend.diagnosis import AccessPolicy, Examination, Role, StoreKeys
from metamlflow.backend.diagnosis import Create as CreateRecord
from metamlflow.backend.object_store import ObjectStoreBackend
from metamlflow.backend.options import with_configured_defaults
from metamlflow.backend.patience import Patience
from metamlflow.backend.seam import Backend, Blob, DeleteFailure, ObjectInfo, UnfinishedUpload
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ObjectNotFoundError,
    StorageUnavailableError,
)
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.doctor import examinations
from metamlflow_s3.engines import EngineChoice
from metamlflow_s3.error_context import Wording
from metamlflow_s3.error_table import says_no_more_than_denied
from metamlflow_s3.listings import PAGE, Listings, field
from metamlflow_s3.locks import default_lock, with_lock_times
from metamlflow_s3.obstore_engine import NotPlainError
from metamlflow_s3.options import check_options, parse_url
from metamlflow_s3.policy import access_policy
from metamlflow_s3.resolving import PROTOCOLS
from metamlflow_s3.s3_requests import LIMIT_BYTES, S3Requests
from metamlflow_s3.second_looks import SecondLooks
from metamlflow_s3.server_copy import S3Copies
from metamlflow_s3.uploads import PART_BYTES, S3Uploader
from metamlflow_s3.vigilance import Create, Vigilance

if TYPE_CHECKING:
    from typing_extensions import Buffer

if find_spec("s3fs") is None:  # imported when first used; but whoever opens a store is told now
    raise ModuleNotFoundError("No module named 's3fs'", name="s3fs")

_MD5_CHARACTERS = 32
_LATER = "Try again; if it stays, check the network and the endpoint."


def open_backend(url: str, options: Mapping[str, Any]) -> S3Backend:
    """Open the store at an ``s3://bucket/prefix`` URL; ``options`` are those of ``s3fs.S3FileSystem``. No network.

    Raises:
        InvalidInputError: the URL names no bucket, or an option would not be honoured.
        UnsupportedStoreError: the bucket is of a kind that cannot hold a store.
    """
    bucket, prefix = parse_url(url)
    check_options(with_configured_defaults(options, PROTOCOLS))
    return S3Backend(bucket, prefix, options)


class S3Backend(ObjectStoreBackend):
    """The backend seam over an S3 bucket; every promise is in :class:`metamlflow.backend.Backend`.

    What it does otherwise than its base: records are watched over in buckets that keep versions, two engines share the
    requests, and large content goes in several parts at a time.
    """

    patience = Patience(attempts=1)  # the connection has its own
    page_size = PAGE

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, Any]) -> None:
        root = f"s3://{bucket}"
        super().__init__(root, prefix, lambda: self._s3)
        self._configured = with_configured_defaults(options, PROTOCOLS)
        self._wording = Wording(self.url, self._configured)
        self._connection = S3Connection(bucket, self._configured)
        self._listings = Listings(self._connection, self._wording, root)
        self._vigilance = Vigilance(self._delete_version)
        self._uploader = S3Uploader(self._connection)
        self._copies = S3Copies(self._connection, bucket, self._uploader)
        self._engine = EngineChoice(self._connection, bucket, self._configured)
        conditional = not self._configured.get("local_expiry_check")
        self._s3 = S3Requests(
            self._connection, root, self._engine, self._uploader, self._vigilance, conditional=conditional
        )
        self._tags_are_md5 = True  # until an object shows otherwise: with KMS, say, they are not

    @property
    def filesystem(self) -> Any:
        """An s3fs file system with the user's options."""
        return self._connection.filesystem

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
        if (fast := self._engine.fast) is not None:
            try:
                return fast.create(self.name_of(key), data)
            except NotPlainError as error:
                if not error.refused:  # an outcome that is not known: the caller looks what lies there
                    failure = StorageUnavailableError(f"the request failed: {error}", hint=_LATER)
                    raise self._wording.placed(self.url_of(key), failure) from error
        return self._create_slowly(key, data)

    def _create_slowly(self, key: str, data: bytes) -> str | None:
        with self.translated(key):
            return self._uploader.send(self.name_of(key), data, hashlib.sha256(data).digest(), once=True)

    def put(self, key: str, blob: Blob) -> bool:
        """Store content with a conditional PUT, or in parts and a conditional completion."""
        if blob.size <= PART_BYTES:
            return super().put(key, blob)
        # A refusal would come after all of it was sent: so look first.
        if self.exists(key):
            return False
        try:
            with self.translated(key):
                return self._uploader.send_large(self.name_of(key), blob, lambda: self.exists(key))
        except AlreadyExistsError:
            return False

    def replace(self, key: str, blob: Blob) -> None:
        """Store content with an unconditional PUT, or in parts that a completion joins: either is one step."""
        if blob.size <= PART_BYTES:
            super().replace(key, blob)
            return
        with self.translated(key):
            self._uploader.send_large(self.name_of(key), blob, lambda: False, over=True)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a range with one request; what was damaged on its way is asked for again."""
        if not start and (end is None or end > LIMIT_BYTES) and (data := self._read_fast(key, end)) is not None:
            return data
        return super().read(key, start, end)

    def fetch(self, key: str, start: int = 0, end: int | None = None) -> Buffer:
        """Return a range of content with one request, without asking for the checksum that S3 holds."""
        if end is not None and end <= start:
            return super().read(key, start, end)
        if (fast := self._engine.fast) is not None:
            try:
                return cast("Buffer", fast.read(self.name_of(key), start, end))
            except NotPlainError:
                pass
        with self.looking(key):
            return self._s3.fetch(self.name_of(key), start, end)

    def stat(self, key: str) -> ObjectInfo:
        """Return what HEAD tells, with the checksums that S3 holds."""
        try:
            return super().stat(key)
        except ObjectNotFoundError as error:
            fast = self._engine.fast
            if not (fast and fast.worked) and self._connection.bucket_is_missing():
                raise self._wording.missing_bucket() from error
            raise

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the listing page by page; a page is fetched when its first key is asked for."""
        return islice(self._list_fast(prefix, after, limit), limit)

    def delete_seen(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Look at the objects again, and delete them with one request for a thousand: by version where it has one."""
        failures: list[DeleteFailure] = []
        for start in range(0, len(infos), self.page_size):
            same, changed = self._second_looks.at(infos[start : start + self.page_size])
            failures += changed
            if same:
                failures += with_lock_times(self.delete_once(same), self._head)
        return failures

    @property
    def _second_looks(self) -> SecondLooks:
        return SecondLooks(self._look, lambda prefix, after, most: self.list_objects(prefix, after=after, limit=most))

    def locked_for(self) -> timedelta | None:
        """Return the default retention of the bucket's Object Lock."""
        with self.translated(""):
            return default_lock(self._connection.call)

    def _head(self, key: str) -> Any:
        with self.translated(key):
            return self._connection.call("head_object", Key=self.name_of(key))

    def _look(self, key: str) -> ObjectInfo:
        with self.looking(key):
            return replace(self._s3.look(self.name_of(key)), key=key)

    def send_deletion(self, infos: Sequence[ObjectInfo]) -> Iterable[tuple[str, Exception]]:
        """Delete objects by the versions that a look told of."""
        return self._s3.delete_versions([(self.name_of(info.key), info.version) for info in infos])

    def unfinished_uploads(self, before: datetime) -> Iterator[UnfinishedUpload]:
        """Yield the multipart uploads below the prefix."""
        for upload in self._listings.uploads(self.name_of("")):
            key, began = field(upload, "Key").removeprefix(self.name_of("")), field(upload, "Initiated").astimezone(UTC)
            if began < before:
                yield UnfinishedUpload(key, field(upload, "UploadId"), began)

    def abandon(self, upload: UnfinishedUpload) -> None:
        """Abort a multipart upload."""
        with suppress(ObjectNotFoundError), self.translated(upload.key):
            self._connection.call("abort_multipart_upload", Key=self.name_of(upload.key), UploadId=upload.id)

    # --- what else it can do: parts that it holds ---------------------------------------------------------------------

    def obstacle_to(self, source: Backend) -> str | None:
        """Return None for buckets at one endpoint, or both at Amazon."""
        if not isinstance(source, S3Backend):
            return "the other end is no S3 bucket"
        return self._copies.obstacle_to(source._copies)  # noqa: SLF001 (its own kind)

    def copy_from(self, source: Backend, key: str, size: int, crc32c: str) -> bool:
        """Copy an object; it must not be there, and that is looked at first: some servers know no condition here."""
        assert isinstance(source, S3Backend)  # noqa: S101 (obstacle_to tells)
        if self.exists(key):
            return False
        place = source._copies.place_of(source.name_of(key))  # noqa: SLF001 (its own kind)
        try:
            with self.translated(key):
                return self._copies.copy(place, self.name_of(key), size, crc32c, lambda: self.exists(key))
        except AlreadyExistsError:
            return False

    def creators(self) -> Mapping[str, CreateRecord]:
        """Return the engines through which records are created."""
        creators: dict[str, CreateRecord] = {"s3fs": self.create_by_s3fs}
        return creators if self._engine.fast is None else {"obstore": self.create, **creators}

    def examinations(self, marker: str) -> Iterator[Examination]:  # noqa: ARG002 (buckets need no key)
        """Yield checks of client, credentials and bucket. Nothing is written."""
        return examinations(self._connection, self._engine, self.url)

    def access_policy(self, role: Role, keys: StoreKeys) -> AccessPolicy:
        """Return an IAM policy for the store's prefix."""
        return access_policy(self.url, self._configured, role, keys)

    # --- how ----------------------------------------------------------------------------------------------------------

    def translated(self, key: str) -> AbstractContextManager[None]:
        """Return the context manager that turns the clients' errors into ours, without a secret."""
        return self._wording.translated(self.url_of(key))

    @contextmanager
    def looking(self, key: str) -> Iterator[None]:
        """As :meth:`translated`, for a request that looks: a refusal may mean that nothing is there.

        Where listing is allowed below a prefix alone, some servers answer 403 for a key that is missing: so a listing
        is asked. Where it may not be had, the refusal stands.
        """
        try:
            with self.translated(key):
                yield
        except AccessDeniedError as error:
            if not says_no_more_than_denied(error) or not self._listings.lacks(self.name_of(key)):
                raise
            place = self.url_of(key)
            raise ObjectNotFoundError(f"{place}: there is no such object; the listing lacks it", key=place) from error

    def _delete_version(self, key: str, version: str) -> None:
        """Delete one version of an object for good."""
        with self.translated(key):
            self._connection.call("delete_object", Key=self.name_of(key), VersionId=version)

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
            data, tag, version = fast.read_whole(self.name_of(key), end)
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
        checked = super().read(key, 0, end)
        self._tags_are_md5 = checked != data
        return checked

    def _list_fast(self, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        fast = self._engine.fast
        if fast is not None and (not prefix or prefix.endswith("/")):  # it lists whole folders
            try:
                for item in fast.list(self.name_of(prefix), after and self.name_of(after)):
                    after = item["path"].removeprefix(self.name_of(""))
                    yield ObjectInfo(after, item["size"], item["last_modified"].astimezone(UTC), etag=item["e_tag"])
            except NotPlainError:
                pass
            else:
                return
        yield from super().list_objects(prefix, after=after, limit=limit)
