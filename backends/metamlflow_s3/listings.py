"""Listings of a bucket, page by page, and none of them believed alone.

The next page is asked for from the last key of the page itself. A server's own marker is not used where there is such a
key: radosgw 16.2 tells ``NextKeyMarker`` raw although its answer says ``encoding-type=url``, and clients that
decode it jump over hundreds of objects. Pages that overlap, go back, leave the prefix or never end are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metamlflow.errors import MetaMLFlowError, StorageError, StorageUnavailableError
from metamlflow_s3.connection import Connection
from metamlflow_s3.wording import Wording

PAGE = 1000
"""Keys in a page, the most that S3 takes."""
_EMPTY_PAGES = 100  # in a row, that say that more follows
_REMEDY = "The server, or something on the way to it, lists wrongly. Use another one, or a newer version of it."
_UNREADABLE = "Try again; if it stays, the server lists wrongly."

_Page = Mapping[str, Any]


class Listings:
    """Makes the listings of one bucket.

    Args:
        connection: for the requests.
        wording: for their failures.
        url: of the bucket.
    """

    def __init__(self, connection: Connection, wording: Wording, url: str) -> None:
        self._connection = connection
        self._wording = wording
        self._url = url

    def objects(self, prefix: str, after: str = "", size: int = PAGE) -> Iterator[_Page]:
        """Yield pages of the current objects, in the order of their keys, each with at most ``size`` of them."""
        course = _Course(f"{self._url}/{prefix}", prefix, after)
        where: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            page = self._ask("list_objects_v2", prefix, size, where)
            keys = [field(item, "Key") for item in page.get("Contents", ())]
            course.follow(keys)
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
        course = _Course(f"{self._url}/{prefix}", prefix, after)
        where: dict[str, Any] = {"KeyMarker": after} if after else {}
        while True:
            page = self._ask("list_object_versions", prefix, PAGE, where)
            lists = (page.get("Versions", ()), page.get("DeleteMarkers", ()))
            for items in lists:
                course.follow([field(item, "Key") for item in items], [item.get("VersionId") for item in items])
            course.end_page()
            yield page
            if not page.get("IsTruncated"):
                return
            if any(lists):
                where = _after_last(page, course.last)
            else:
                where = {"KeyMarker": course.marker(page.get("NextKeyMarker"))}
                if page.get("NextVersionIdMarker"):
                    where["VersionIdMarker"] = page["NextVersionIdMarker"]

    def _ask(self, method: str, prefix: str, size: int, where: Mapping[str, Any]) -> _Page:
        with self._wording.translated(f"{self._url}/{prefix}"):
            page: _Page = self._connection.call(method, Prefix=prefix, MaxKeys=size, **where)
        return page


class _Course:
    """Where a listing has come to, and whether it may go there."""

    def __init__(self, url: str, prefix: str, after: str) -> None:
        self._url = url
        self._prefix = prefix
        self.last = after  # key of the page before, or what the listing begins after
        self._newest = after  # key in the page that is read
        self._boundary: set[str | None] = set()  # versions of the last key that were listed
        self._found: list[tuple[str, str | None]] = []
        self._empty = 0
        self._markers: set[str] = set()

    def follow(self, keys: list[str], versions: list[str | None] | None = None) -> None:
        """Take in the keys of a page (or one of its lists), which are to go on from the page before.

        Raises:
            StorageError: they do not.
        """
        before = self.last
        for number, key in enumerate(keys):
            again = key == before and versions is not None
            if key < before or (key == before and not (again and (number or self._boundary))):
                raise self._refused(f"after {before!r} it tells {key!r}")
            if not key.startswith(self._prefix):
                raise self._refused(f"it tells {key!r}, which is outside of it")
            if versions is not None:
                if key == self.last and versions[number] in self._boundary:
                    raise self._refused(f"it tells the version {versions[number]} of {key!r} a second time")
                self._found.append((key, versions[number]))
            before = key
        self._empty = 0 if keys else self._empty
        if versions is None:
            self.last = before
        self._newest = max(self._newest, before)

    def end_page(self) -> None:
        """Go on to the next page of versions, whose first key may be the last of this one."""
        same = self._newest == self.last
        found = {version for key, version in self._found if key == self._newest}
        self._boundary = (self._boundary | found) if same else found
        self.last, self._found = self._newest, []

    def marker(self, told: str | None) -> str:
        """Return what a page without keys says to go on from.

        Raises:
            StorageError: it says nothing new.
        """
        self._empty += 1
        if not told or told in self._markers:
            raise self._refused("it is cut off, and does not tell where it goes on")
        if self._empty > _EMPTY_PAGES:
            raise self._refused(f"{_EMPTY_PAGES} pages without a key, and no end")
        self._markers.add(told)
        return told

    def _refused(self, what: str) -> StorageError:
        return StorageError(f"the listing of {self._url} cannot be relied on: {what}", hint=_REMEDY, key=self._url)


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
