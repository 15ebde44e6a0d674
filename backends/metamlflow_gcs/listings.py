"""Listings of a bucket, page by page, and none of them believed alone: for stores and for pointers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from metamlflow.backend.course import Course
from metamlflow_gcs.connection import Answer, GCSConnection, Request, object_path
from metamlflow_gcs.error_table import UnreadableAnswer
from metamlflow_gcs.objects import told_errors

PAGE = 1000
"""Objects in a page, the most that GCS gives."""

T = TypeVar("T")


def listed(
    connection: GCSConnection,
    bucket: str,
    params: Mapping[str, str],
    parsed: Callable[[Mapping[str, Any], Answer], T],
    *,
    after: str = "",
) -> Iterator[T]:
    """Yield what ``parsed`` makes of each object's resource, in the order of the names; lazy, a page at a time.

    Args:
        connection: to the server.
        bucket: its name.
        params: of the requests, ``prefix`` among them; with ``versions`` a name may come several times.
        parsed: turns a resource, and the answer that it came in, into what is wanted.
        after: only names greater than this one.

    Raises:
        StorageError: pages overlap, go back, leave the prefix or never end.
    """
    root, prefix = f"gs://{bucket}", params["prefix"]
    course = Course(f"{root}/{prefix}", prefix, after)
    older = "versions" in params
    params = {**params, "startOffset": after} if after else dict(params)
    while True:
        with told_errors(f"{root}/{prefix}", root):
            answer, resources, token = page_of(connection, bucket, params)
            # The offset itself is listed too, where it is a name.
            resources = [resource for resource in resources if _name(resource) > after]
            found = [parsed(resource, answer) for resource in resources]
        course.follow((_name(each), str(each.get("generation")) if older else None) for each in resources)
        yield from found
        if token is None:
            return
        params["pageToken"] = token if resources else course.marker(token)


def page_of(
    connection: GCSConnection, bucket: str, params: Mapping[str, str]
) -> tuple[Answer, list[Mapping[str, Any]], str | None]:
    """Return the answer that holds a page of a listing, its objects' resources, and the next page's token, if any.

    Raises:
        UnreadableAnswer: it is no page.
    """
    answer = connection.request(Request("GET", object_path(bucket), params, about="bucket"))
    page = answer.json()
    resources = _items(page)
    for resource in resources:
        _name(resource)
    token = page.get("nextPageToken")
    return answer, resources, str(token) if token else None


def _items(page: Mapping[str, Any]) -> list[Any]:
    items = page.get("items") or []
    if not isinstance(items, list):
        raise UnreadableAnswer(f"no list of objects: {type(items).__name__}")
    return items


def _name(resource: Any) -> str:
    name = resource.get("name") if isinstance(resource, Mapping) else None
    if not isinstance(name, str):
        raise UnreadableAnswer("an object without a name")
    return name
