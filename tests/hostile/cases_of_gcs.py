"""Hostile servers of GCS: what may come back instead of what the JSON API documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cases_of_servers import CASES as OF_ANY_SERVER
from hostile_gcs_server import page_of
from hostile_server import Answer, Handler, Lie

CASES: dict[str, Lie] = {name: lie for name, lie in OF_ANY_SERVER.items() if not name.startswith("a listing")}
DEEP = b"[" * 200_000
LARGE_PAGE = page_of([{"name": "x" * 2000}] * 10_000)  # made once: it is asked for a thousand times


def _case(name: str, op: str) -> Callable[[Callable[[Handler, Answer], bytes]], None]:
    def keep(change: Callable[[Handler, Answer], bytes]) -> None:
        def lie(handler: Handler, answer: Answer) -> None:
            if answer.op == op and answer.status == 200:
                answer.body = change(handler, answer)

        CASES[name] = lie

    return keep


def _items(answer: Answer) -> list[dict[str, Any]]:
    return json.loads(answer.body)["items"]


def _with(answer: Answer, **fields: object) -> bytes:
    return page_of([item | fields for item in _items(answer)])


PAGES: dict[str, Callable[[Handler, Answer], bytes]] = {
    "a page that repeats": lambda _, a: page_of(_items(a), "same"),
    "a page that repeats under a new token": lambda _, a: page_of(_items(a), f"page-{a.number}"),
    "empty pages": lambda _, a: page_of([], f"page-{a.number}"),
    "empty pages under one token": lambda *_: page_of([], "same"),
    "pages that jump back": lambda _, a: page_of(_items(a)[::-1]),
    "one name again and again": lambda _, a: page_of(_items(a)[:1] * 3),
    "names outside of the prefix": lambda *_: page_of(
        [{"name": name, "size": "1", "generation": "1", "updated": "2026-01-31T12:00:00Z"} for name in ("0", "zz/x")]
    ),
    "items that are a number": lambda *_: b'{"items": 5}',
    "items that are no objects": lambda *_: b'{"items": [null, 7, "name", []]}',
    "names that are no texts": lambda _, a: _with(a, name=["a", "b"]),
    "sizes below nothing": lambda _, a: _with(a, size="-5"),
    "sizes that are no numbers": lambda _, a: _with(a, size="9e999", generation="x"),
    "times before all times": lambda _, a: _with(a, timeCreated="0001-01-01T00:00:00+14:00"),
    "checksums that are no texts": lambda _, a: _with(a, crc32c={"a": 1}, md5Hash=[1]),
    "a page of nested lists": lambda *_: DEEP,
    "a page that is a list": lambda *_: b"[1, 2]",
    "a page of 20 MB": lambda *_: LARGE_PAGE,
}
for _name, _change in PAGES.items():
    _case(_name, "ListObjectsV2")(_change)


@_case("resources of nothing", "HeadObject")
def _nothing(*_: object) -> bytes:
    return b"{}"


@_case("resources with a size that is another", "HeadObject")
def _other_size(_: Handler, answer: Answer) -> bytes:
    return json.dumps(json.loads(answer.body) | {"size": str(1 << 62)}).encode()


@_case("HEAD and GET that disagree", "HeadObject")  # here a look is answered with a document, and not with headers
def _disagree(_: Handler, answer: Answer) -> bytes:
    other = {"size": "7", "etag": "other", "generation": "7", "crc32c": "AAAAAA=="}
    return json.dumps(json.loads(answer.body) | other).encode()


def _deep_refusals(_: Handler, answer: Answer) -> None:
    if answer.op == "GetObject":
        answer.status, answer.headers, answer.body = 403, {}, DEEP


def _long_refusals(_: Handler, answer: Answer) -> None:
    if answer.op == "GetObject":
        answer.status, answer.body = 400, json.dumps({"error": {"message": "\n\x1b[2J" * 40_000}}).encode()


def _dripping_pages(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "ListObjectsV2":
        return None
    handler.head(answer)
    handler.drip(answer.body)
    return True


def _endless_pages(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "ListObjectsV2":
        return None
    handler.head(answer, Content_Length="", Connection="close")
    handler.wfile.write(b'{"items": [{}')
    handler.pour(b', {"name": "x"}' * 100_000)
    return True


CASES |= {
    "refusals of nested lists": _deep_refusals,
    "refusals at length": _long_refusals,
    "a page without end": _endless_pages,
    "a listing that drips": _dripping_pages,
}

UPLOADS: dict[str, dict[str, Any]] = {
    "no session": {"OpenSession": {"Location": ""}},
    "a session at no URL": {"OpenSession": {"Location": "http://[::1/x"}},
    "a session that is a text": {"OpenSession": {"Location": "mailto:x"}},
    "a received range that is none": {"PUT": {"Range": "bytes=0-many", "status": 308}},
    "a received range of 6,000 digits": {"PUT": {"Range": "bytes=0-" + "9" * 6_000, "status": 308}},
    "a received range that is too short": {"PUT": {"Range": "bytes=0-3", "status": 308}},
    "no resource": {"PUT": {"body": b"{}"}, "PutObject": {"body": b"{}"}},
    "a resource that is a list": {"PUT": {"body": b"[]"}, "PutObject": {"body": b"[]"}},
    "a resource of 1 byte": {
        op: {"body": b'{"size": "1", "generation": "7", "name": "of-others"}'} for op in ("PUT", "PutObject")
    },
    "a checksum that is a number": {
        op: {"body": b'{"size": "1", "generation": "7", "crc32c": 5}'} for op in ("PUT", "PutObject")
    },
    "a copy that goes on": {"POST": {"body": b'{"done": false, "rewriteToken": "same"}'}},
    "a copy that goes on without a token": {"POST": {"body": b'{"done": false}'}},
    "nested lists": {op: {"body": DEEP} for op in ("PUT", "PutObject", "POST")},
}
"""What is answered to writes, by operation: headers, a body, a status."""
