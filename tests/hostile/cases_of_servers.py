"""Hostile servers: what may come back instead of what was asked for."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from hostile_server import Answer, Handler, Lie, keys_below, listing_of

CASES: dict[str, Lie] = {}
GIB = 1 << 30
PIECE = b"x" * (1 << 20)
PAGE = b"<!DOCTYPE html><html><body>Log in</body></html>"


def _case(name: str) -> Callable[[Lie], Lie]:
    def keep(lie: Lie) -> Lie:
        CASES[name] = lie
        return lie

    return keep


def _is_content(answer: Answer) -> bool:
    return answer.op == "GetObject" and answer.key.startswith("blobs/") and answer.status in {200, 206}


def _is_record(answer: Answer) -> bool:
    return answer.op == "GetObject" and answer.key.endswith(".json") and answer.status in {200, 206}


@_case("a marker of 3 GB")
def _large_marker(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "GetObject" or answer.key != "metamlflow.json":
        return None
    handler.head(answer, Content_Length=str(3 * GIB))
    handler.pour(PIECE)
    return True


@_case("content without end and without length")
def _endless(handler: Handler, answer: Answer) -> bool | None:
    if not _is_content(answer):
        return None
    handler.head(answer, Content_Length="", Connection="close")
    handler.pour(PIECE)
    return True


@_case("records without end and without length")
def _endless_records(handler: Handler, answer: Answer) -> bool | None:
    if not _is_record(answer):
        return None
    handler.head(answer, Content_Length="", Connection="close")
    handler.pour(PIECE)
    return True


@_case("content of 3 GB where 9 bytes were asked for")
def _more(handler: Handler, answer: Answer) -> bool | None:
    if not _is_content(answer):
        return None
    handler.head(answer, Content_Length=str(3 * GIB))
    handler.pour(PIECE)
    return True


@_case("content in chunks without end")
def _chunked(handler: Handler, answer: Answer) -> bool | None:
    if not _is_content(answer):
        return None
    handler.head(answer, Content_Length="", Transfer_Encoding="chunked")
    handler.pour(b"100000\r\n" + PIECE + b"\r\n")
    return True


@_case("content that is announced as a terabyte")
def _announced(handler: Handler, answer: Answer) -> bool | None:
    if not _is_content(answer):
        return None
    handler.head(answer, Content_Length=str(1 << 40))
    handler.wfile.write(answer.body)
    handler.close_connection = True
    return True


@_case("content that is announced too short")
def _short(handler: Handler, answer: Answer) -> None:
    if _is_content(answer):
        answer.body = answer.body[:-1]


@_case("records that are cut off")
def _cut(handler: Handler, answer: Answer) -> bool | None:
    if not _is_record(answer):
        return None
    handler.head(answer)
    handler.wfile.write(answer.body[:-5])
    handler.close_connection = True
    return True


@_case("ranges that are ignored")
def _unranged(handler: Handler, answer: Answer) -> None:
    if answer.status == 206:
        answer.body = (handler.server.folder / answer.key).read_bytes()
        answer.status = 200
        del answer.headers["Content-Range"]


@_case("ranges that are others")
def _other_range(handler: Handler, answer: Answer) -> None:
    if answer.status == 206:
        answer.headers["Content-Range"] = "bytes 7-9/10"


@_case("ranges of other bytes under the right name")
def _shifted(handler: Handler, answer: Answer) -> None:
    if answer.status == 206:
        answer.body = answer.body[1:] + b"x"


@_case("a redirect to itself")
def _loop(handler: Handler, answer: Answer) -> None:
    if answer.op == "GetObject":
        answer.status, answer.headers, answer.body = 307, {"Location": handler.path}, b""


@_case("a redirect to another host")
def _elsewhere(handler: Handler, answer: Answer) -> None:
    if answer.op == "GetObject":
        answer.status, answer.headers, answer.body = 307, {"Location": "http://127.0.0.2/stolen"}, b""


@_case("content that is a bomb of gzip")
def _bomb(handler: Handler, answer: Answer) -> None:
    if _is_content(answer) or _is_record(answer):
        answer.body = BOMB
        answer.headers |= {"Content-Encoding": "gzip"}


BOMB = gzip.compress(bytes(1 << 28))


@_case("a drip of one byte a second")
def _drip(handler: Handler, answer: Answer) -> bool | None:
    if answer.key != "metamlflow.json" or answer.op != "GetObject":
        return None
    handler.head(answer)
    handler.drip(answer.body)
    return True


@_case("a drip of headers")
def _drip_of_headers(handler: Handler, answer: Answer) -> bool | None:
    if answer.key != "metamlflow.json" or answer.op != "GetObject":
        return None
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    handler.drip(b"x" * 8_000)
    return True


@_case("headers without end")
def _endless_headers(handler: Handler, answer: Answer) -> bool | None:
    if not _is_record(answer):
        return None
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    handler.pour(b"X: %b\r\n" % (b"x" * 100) * 10_000)
    return True


@_case("a listing that drips")
def _drip_of_keys(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "ListObjectsV2":
        return None
    handler.head(answer)
    handler.drip(answer.body)
    return True


def _listing_case(name: str, change: Callable[[Handler, Answer], bytes]) -> None:
    def lie(handler: Handler, answer: Answer) -> None:
        if answer.op == "ListObjectsV2":
            answer.body = change(handler, answer)

    CASES[name] = lie


def _found(handler: Handler, answer: Answer) -> list[tuple[str, int, str]]:
    return keys_below(handler.server.folder, answer.query.get("prefix", ""))


_listing_case("a listing that repeats one page", lambda h, a: listing_of(_found(h, a), more="same"))
_listing_case("a listing of empty pages", lambda _, a: listing_of([], more=f"page-{a.number}"))
_listing_case("a listing that says there is more and not where", lambda h, a: listing_of(_found(h, a)).replace(
    b"<IsTruncated>false", b"<IsTruncated>true"
))  # fmt: skip
_listing_case("a listing that jumps back", lambda h, a: listing_of(_found(h, a)[::-1]))
_listing_case("a listing of keys outside of the prefix", lambda *_: listing_of(
    [("zz/../../etc/passwd", 1, "0" * 32), ("\u202eevil", 1, "0" * 32), ("names/../x.json", 1, "0" * 32)]
))  # fmt: skip
_listing_case("a listing of control characters", lambda h, a: listing_of(
    [(f"{a.query.get('prefix', '')}\t\r\n", 1, "0" * 32), *_found(h, a)]
))  # fmt: skip
_listing_case("a listing of nonsense sizes and times", lambda h, a: listing_of(_found(h, a)).replace(
    b"<Size>", b"<Size>-9e999").replace(b"2026-01-31", b"9999999-99-99"))  # fmt: skip
_listing_case("a listing of 10 MB", lambda *_: listing_of([("x" * 900 + str(i), 1, "0" * 32) for i in range(10_000)]))
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(12))
    + b"]>"
)
_listing_case("a listing that laughs a billion times", lambda *_: (
    LAUGHS + b"<ListBucketResult><Name>&m;</Name></ListBucketResult>"
))  # fmt: skip
_listing_case("a listing of keys that laugh a billion times", lambda h, a: (
    LAUGHS + listing_of(_found(h, a)).partition(b"?>")[2].replace(b"<Key>", b"<Key>&m;")
))  # fmt: skip
_listing_case("a listing that laughs in UTF-16", lambda h, a: (
    (LAUGHS + listing_of(_found(h, a)).partition(b"?>")[2].replace(b"<Key>", b"<Key>&m;"))
    .replace(b'"1.0"', b'"1.0" encoding="UTF-16"').decode().encode("utf-16")
))  # fmt: skip
_listing_case("a listing that is no XML", lambda *_: b"{}")


@_case("a listing without end")
def _endless_listing(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "ListObjectsV2":
        return None
    handler.head(answer, Content_Length="", Connection="close")
    handler.wfile.write(answer.body.partition(b"<Contents>")[0])
    # The fast engine holds what arrives in the seconds that it gives a page, and here not at the speed of memory.
    handler.pour(b"<Contents><Key>x</Key></Contents>" * 10_000, seconds=20, pause=0.005 if handler.is_fast else 0)
    return True


@_case("HEAD and GET that disagree")
def _disagree(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "HeadObject":
        return None
    handler.head(answer, Content_Length="7", ETag='"other"')
    return True


@_case("checksums that lie")
def _checksums(handler: Handler, answer: Answer) -> None:
    if answer.op in {"GetObject", "HeadObject"} and answer.status < 300:
        answer.headers |= {"x-amz-checksum-crc32c": "AAAAAA==", "x-amz-checksum-sha256": "A" * 43 + "="}


@_case("tags that change with each answer")
def _tags(handler: Handler, answer: Answer) -> None:
    answer.headers["ETag"] = f'"{answer.number:032x}"'


@_case("403, 404 and 500 in turns")
def _turns(handler: Handler, answer: Answer) -> None:
    if answer.number % 2:
        answer.status = (403, 404, 500)[answer.number // 2 % 3]
        answer.body = b"" if answer.op == "HeadObject" else b"<Error><Code>Odd</Code></Error>"


@_case("connections that break")
def _reset(handler: Handler, answer: Answer) -> bool | None:
    if answer.op != "GetObject" or answer.number % 2:
        return None
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n")
    handler.reset()
    return True


@_case("a login page")
def _page(handler: Handler, answer: Answer) -> None:
    answer.status, answer.headers, answer.body = 200, {"Content-Type": "text/html"}, PAGE


@_case("headers that are no numbers and no dates")
def _headers(handler: Handler, answer: Answer) -> bool | None:
    handler.head(answer, Last_Modified="yesterday", Date="tomorrow", x_amz_version_id="\u00ff", ETag="")
    if handler.command != "HEAD":
        handler.wfile.write(answer.body)
    return True
