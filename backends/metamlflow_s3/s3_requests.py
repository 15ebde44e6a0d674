"""What a bucket of S3 is asked through the client of s3fs, and for small content through the fast engine first.

Above it is :class:`metamlflow.backend.ObjectStoreBackend`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

from metamlflow.backend.loop_stream import LoopStream
from metamlflow.backend.object_requests import Opened, Page, PageRequest
from metamlflow.backend.seam import Blob, ObjectInfo
from metamlflow.backend.tags import bare_tag, same_tag
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import AccessDeniedError, StorageError
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.engines import EngineChoice
from metamlflow_s3.error_table import WEB_PAGE, s3_error, status_of
from metamlflow_s3.listings import field
from metamlflow_s3.object_facts import checksums_of, date_of, real_version
from metamlflow_s3.obstore_engine import NotPlainError
from metamlflow_s3.uploads import S3Uploader
from metamlflow_s3.vigilance import Vigilance

LIMIT_BYTES = 64 * 1024 * 1024
"""A range from an object's start to beyond this is a limit. All of it is asked for, with its checksum, and cut off."""
_BEYOND_END = 416
_DELETES = 8  # at a time, where a request is needed for each


class S3Requests:
    """Requests about the objects of one bucket; see :class:`metamlflow.backend.ObjectRequests`.

    Args:
        connection: to the server. It makes a request that fails and may pass again by itself.
        url: of the bucket, for messages.
        engine: the fast one, if there is.
        uploader: of content.
        vigilance: is told of the versions that answers carry.
        conditional: whether the server knows ``If-Match``.
    """

    def __init__(
        self,
        connection: S3Connection,
        url: str,
        engine: EngineChoice,
        uploader: S3Uploader,
        vigilance: Vigilance,
        *,
        conditional: bool,
    ) -> None:
        self._connection = connection
        self._url = url
        self._engine = engine
        self._uploader = uploader
        self._vigilance = vigilance
        self._conditional = conditional

    def put(self, name: str, data: bytes, blob: Blob | None, *, over: bool) -> None:
        """Store content with one request, whose digest the server checks."""
        assert blob is not None  # noqa: S101 (records are created by the backend, which watches the conditions)
        fast = None if over else self._engine.fast
        if fast is not None:
            try:
                fast.create(name, data)
            except NotPlainError:
                pass
            else:
                return
        self._uploader.send(name, data, bytes.fromhex(blob.sha256), once=False, over=over)

    def get(self, name: str, start: int, end: int | None, pin: str | None) -> bytes:  # noqa: ARG002 (it streams)
        """Return a range, compared with the checksum that S3 holds where all of the object is asked for."""
        return bytes(self.fetch(name, start, end, checked=True))

    def fetch(self, name: str, start: int, end: int | None, *, checked: bool = False) -> bytes | bytearray:
        """As :meth:`get`, and not compared unless that is asked for."""
        try:
            answer, data = self._connection.fetch(start, end, checked=checked, Key=name, **_range(start, end))
        except Exception as error:
            if status_of(error) == _BEYOND_END:
                return b""
            raise
        self._check_it_is_s3(name, answer)
        self._vigilance.saw(answer.get("VersionId"))
        return data

    def stream(self, name: str, start: int, pin: str | None) -> Opened:
        """Ask for an object from a byte on, on condition of its ETag if that is named."""
        # Some servers know no If-Match; s3fs has an option for them, and the answer's ETag is compared in any case.
        same: dict[str, Any] = {"IfMatch": f'"{bare_tag(pin)}"'} if pin and self._conditional else {}
        answer = self._connection.call("get_object", Key=name, **_range(start, None), **same)
        stream = LoopStream(self._connection.loop, answer["Body"])
        try:
            self._check_it_is_s3(name, answer)
            size = int(field(answer, "ContentLength"))
        except StorageError:
            stream.close()
            raise
        tag = answer.get("ETag")
        if pin is None:
            return Opened(stream, size, tag)
        ranged = not start or "ContentRange" in answer
        return Opened(stream, size, pin if ranged and same_tag(tag, pin) else "")

    def head(self, name: str) -> ObjectInfo:
        """Return what HEAD tells, with the checksums that S3 holds."""
        answer = self._connection.call("head_object", Key=name, **self._connection.asks_for_checksums)
        self._check_it_is_s3(name, answer)
        return ObjectInfo(
            key=name,
            size=field(answer, "ContentLength"),
            modified=field(answer, "LastModified").astimezone(UTC),
            observed=date_of(answer),
            etag=answer.get("ETag"),
            version=real_version(answer.get("VersionId")),
            checksums=checksums_of(answer),
        )

    def look(self, name: str) -> ObjectInfo:
        """As :meth:`head`, by the fast engine if there is one, without checksums; ``null`` is told as a version too."""
        if (fast := self._engine.fast) is not None:
            try:
                found = fast.head(name)
            except NotPlainError:
                pass
            else:
                modified = found["last_modified"].astimezone(UTC)
                return ObjectInfo(name, found["size"], modified, None, found["e_tag"], found["version"])
        answer = self._connection.call("head_object", Key=name)
        self._check_it_is_s3(name, answer)
        modified = field(answer, "LastModified").astimezone(UTC)
        tag, version = answer.get("ETag"), answer.get("VersionId")
        return ObjectInfo(name, field(answer, "ContentLength"), modified, date_of(answer), tag, version)

    def page(self, asked: PageRequest) -> Page:
        """Return a page of a listing: after the last key of the page before, which servers tell right; see listings."""
        where: dict[str, Any] = {"StartAfter": asked.last} if asked.last else {}
        if asked.token != asked.last:
            where = {"ContinuationToken": asked.token} if asked.token else where
        answer = self._connection.call("list_objects_v2", Prefix=asked.prefix, MaxKeys=asked.limit, **where)
        observed = date_of(answer)
        objects = [
            ObjectInfo(
                key=field(item, "Key"),
                size=field(item, "Size"),
                modified=field(item, "LastModified").astimezone(UTC),
                observed=observed,
                etag=item.get("ETag"),
            )
            for item in answer.get("Contents", ())
        ]
        if not answer.get("IsTruncated"):
            return Page(objects)
        return Page(objects, objects[-1].key if objects else answer.get("NextContinuationToken") or "")

    def delete(self, names: Sequence[str]) -> list[tuple[str, Exception]]:
        """Delete objects with one request, or one by one where the server grants only that."""
        return self._delete(self._connection.call, [{"Key": name} for name in names])

    def delete_versions(self, objects: Sequence[tuple[str, str | None]]) -> list[tuple[str, Exception]]:
        """As :meth:`delete`, each by its version if it has one, and without ever making a request again."""
        wanted = [{"Key": name} | ({"VersionId": version} if version else {}) for name, version in objects]
        return self._delete(self._connection.call_once, wanted)

    def _delete(self, call: Callable[..., Any], objects: list[dict[str, str]]) -> list[tuple[str, Exception]]:
        try:
            answer = call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        except Exception as error:
            if not isinstance(s3_error(error), AccessDeniedError):
                raise
            # Some servers (radosgw 16.2) ask for a right to all of the bucket here, and for one key at that key alone.
            with ThreadPool(_DELETES, "metamlflow-delete") as pool:
                outcomes = pool.map(lambda item: self._delete_one(call, item), objects)
                return [failed for failed in outcomes if failed is not None]
        from botocore.exceptions import ClientError

        return [
            (field(failed, "Key"), ClientError({"Error": failed}, "DeleteObjects"))
            for failed in answer.get("Errors", ())
        ]

    def _delete_one(self, call: Callable[..., Any], item: Mapping[str, str]) -> tuple[str, Exception] | None:
        try:
            call("delete_object", **item)
        except Exception as error:  # noqa: BLE001 (the backend tells what it is, and raises what is no failure of S3)
            return item["Key"], error
        return None

    def _check_it_is_s3(self, name: str, answer: Mapping[str, Any]) -> None:
        """Refuse a web page: consoles and login pages answer 200 to any address, and S3 never without an ETag."""
        if "ETag" not in answer and "html" in answer.get("ContentType", ""):
            place = f"{self._url}/{name}"
            raise StorageError(f"{place}: {WEB_PAGE[1]}", hint=WEB_PAGE[2], key=place)


def _range(start: int, end: int | None) -> dict[str, Any]:
    if not start and (end is None or end > LIMIT_BYTES):
        return {}
    return {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
