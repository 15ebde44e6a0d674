"""Listings of a bucket, page by page, and none of them believed alone.

The next page is asked for from the last key of the page itself. A server's own marker is not used where there is such a
key: radosgw 16.2 tells ``NextKeyMarker`` raw although its answer says ``encoding-type=url``, and clients that
decode it jump over hundreds of objects. Pages that overlap, go back, leave the prefix or never end are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from operator import itemgetter
from typing import Any

from metamlflow.backend.course import Course
from metamlflow.errors import MetaMLFlowError, StorageUnavailableError
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.error_context import Wording

PAGE = 1000
"""Keys in a page, the most that S3 takes."""
_UNREADABLE = "Try again; if it stays, the server lists wrongly."

_Page = Mapping[str, Any]


class Listings:
    """Makes the listings of one bucket.

    Args:
        connection: for the requests.
        wording: for their failures.
        url: of the bucket.
    """

    def __init__(self, connection: S3Connection, wording: Wording, url: str) -> None:
        self._connection = connection
        self._wording = wording
        self._url = url

    def objects(self, prefix: str, after: str = "", size: int = PAGE) -> Iterator[_Page]:
        """Yield pages of the current objects, in the order of their keys, each with at most ``size`` of them."""
        course = Course(f"{self._url}/{prefix}", prefix, after)
        where: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            page = self._ask("list_objects_v2", prefix, size, where)
            keys = [field(item, "Key") for item in page.get("Contents", ())]
            course.follow((key, None) for key in keys)
            yield page
            if not page.get("IsTruncated"):
                return
            if keys:
                where = {"StartAfter": keys[-1]}
            else:
                where = {"ContinuationToken": course.marker(page.get("NextContinuationToken"))}

    def lacks(self, name: str) -> bool:
        """Whether a listing can be had and does not show the object; False where it does, or may not be asked for."""
        try:
            page = self._ask("list_objects_v2", name, 1, {})
        except MetaMLFlowError:
            return False
        return all(field(item, "Key") != name for item in page.get("Contents", ()))

    def versions(self, prefix: str, after: str = "") -> Iterator[_Page]:
        """Yield pages of all versions, in the order of their keys, each key's newest first."""
        course = Course(f"{self._url}/{prefix}", prefix, after)
        where: dict[str, Any] = {"KeyMarker": after} if after else {}
        while True:
            page = self._ask("list_object_versions", prefix, PAGE, where)
            lists = (page.get("Versions", ()), page.get("DeleteMarkers", ()))
            # Each list is in the order of the keys; what is out of order in one of them stays so in both together.
            told = ([(field(item, "Key"), item.get("VersionId")) for item in items] for items in lists)
            course.follow(merge(*told, key=itemgetter(0)))
            yield page
            if not page.get("IsTruncated"):
                return
            if any(lists):
                where = _after_last(page, course.last)
            else:
                where = {"KeyMarker": course.marker(page.get("NextKeyMarker"))}
                if page.get("NextVersionIdMarker"):
                    where["VersionIdMarker"] = page["NextVersionIdMarker"]

    def uploads(self, prefix: str) -> Iterator[_Page]:
        """Yield the multipart uploads that are not finished, in the order of their keys."""
        course, where = Course(f"{self._url}/{prefix}", prefix, ""), dict[str, Any]()
        while True:
            page = self._asked("list_multipart_uploads", prefix, MaxUploads=PAGE, **where)
            found = page.get("Uploads", ())
            course.follow((field(item, "Key"), field(item, "UploadId")) for item in found)
            yield from found
            if not page.get("IsTruncated") or not found:
                return
            where = {"KeyMarker": field(found[-1], "Key"), "UploadIdMarker": field(found[-1], "UploadId")}

    def _ask(self, method: str, prefix: str, size: int, where: Mapping[str, Any]) -> _Page:
        return self._asked(method, prefix, MaxKeys=size, **where)

    def _asked(self, method: str, prefix: str, **how: Any) -> _Page:
        with self._wording.translated(f"{self._url}/{prefix}"):
            page: _Page = self._connection.call(method, Prefix=prefix, **how)
        return page


def _after_last(page: _Page, last: str) -> dict[str, Any]:
    """Return where the next page of versions begins: after the last version of the last key."""
    where = {"KeyMarker": last}
    told = page.get("NextVersionIdMarker")
    if not told:  # the server breaks off between keys alone
        return where
    # Versions and deletions come as two lists. Of the last key, the older one was the last.
    ends = [items[-1] for items in (page.get("Versions"), page.get("DeleteMarkers")) if items]
    ends = [item for item in ends if item["Key"] == last]
    ids = [item.get("VersionId") for item in ends]
    oldest = min(ends, key=lambda item: field(item, "LastModified")).get("VersionId")
    if version := told if told in ids else oldest:
        where["VersionIdMarker"] = version
    return where


def field(item: Mapping[str, Any], name: str) -> Any:
    """Return what a listing, or another answer, tells of an object.

    Raises:
        StorageUnavailableError: it does not; the answer was damaged, perhaps.
    """
    try:
        return item[name]
    except KeyError:
        raise StorageUnavailableError(f"the answer tells no {name} of an object", hint=_UNREADABLE) from None
