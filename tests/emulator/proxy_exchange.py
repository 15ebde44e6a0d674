"""One request through the fault proxy: read, forwarded and answered, with the faults that strike it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from proxy_faults import (
    AlterReply,
    AlterRequest,
    Delay,
    Late,
    LoseReply,
    Refuse,
    Request,
    Reset,
    SkewDate,
    StripConditions,
    TruncateReply,
)
from proxy_operations import content_start, names_itself_in_the_body
from proxy_wire import (
    Block,
    Head,
    Wire,
    altered,
    altered_below_first_line,
    blocks,
    first_half,
    reply_framing,
    request_framing,
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CONTINUE_SECONDS = 1.0  # how long a server may take to ask for the body
BEGINNING = 16 * 1024  # bytes in which an upload says what it is for
_HEADER_CONDITIONS = (
    "if-match", "if-none-match", "if-modified-since", "if-unmodified-since",
    "x-goog-if-generation-match", "x-goog-if-metageneration-match",
)  # fmt: skip
_QUERY_CONDITIONS = (
    "ifgenerationmatch", "ifgenerationnotmatch", "ifmetagenerationmatch", "ifmetagenerationnotmatch",
)  # fmt: skip

_F = TypeVar("_F")


class Proxy(Protocol):
    """What an exchange asks of the proxy it belongs to."""

    url: str
    upstream: str

    def book(self, head: Head, body: bytes) -> Request: ...
    def note(self, request: Request, **statuses: int) -> None: ...
    def connect(self) -> Wire: ...
    def later(self, seconds: float, work: Callable[[], None]) -> None: ...
    def leave_at_work(self, place: str, finish: Callable[[], None]) -> None: ...
    def await_turn(self, place: str) -> None: ...


@dataclass
class Connection:
    """A client's connection and the one to the server that serves it, kept from one exchange to the next."""

    client: Wire
    upstream: Wire | None = None
    used: float = 0.0

    def to_server(self, proxy: Proxy) -> Wire:
        # Servers end idle connections after seconds; one that ends under a request would be a fault nobody asked for.
        if self.upstream is None or self.upstream.readable() or time.monotonic() - self.used > 1:
            self.drop_upstream()
            self.upstream = proxy.connect()
        self.used = time.monotonic()
        return self.upstream

    def drop_upstream(self) -> None:
        if self.upstream is not None:
            self.upstream.close()
        self.upstream = None

    def reset(self) -> bool:
        self.client.reset()
        self.drop_upstream()
        return False


class Exchange:
    """One request and its reply; ``run`` returns whether the client's connection may be used again."""

    def __init__(self, proxy: Proxy, connection: Connection, head: Head) -> None:
        self._proxy = proxy
        self._connection = connection
        self._client = connection.client
        self._head = head
        self._framing = request_framing(head)
        self._expects = head.get("expect").lower() == "100-continue"
        peeks = names_itself_in_the_body(head.target) and not self._expects
        self._beginning = self._client.peek(min(self._framing.length or 0, BEGINNING)) if peeks else b""
        self._request = proxy.book(head, self._beginning)
        self._place = f"{self._request.operation.bucket}/{self._request.key}"

    def run(self) -> bool:
        if delay := self._fault(Delay):
            time.sleep(delay.seconds)
        if self._resets("start"):
            return self._connection.reset()
        if refusal := self._fault(Refuse):
            return self._refuse(refusal)
        if late := self._fault(Late):
            return self._apply_later(late)
        head = without_conditions(self._head) if self._fault(StripConditions) else self._head
        self._proxy.await_turn(self._place)
        upstream = self._connection.to_server(self._proxy)
        upstream.send(head.encode())
        if self._resets("headers"):
            return self._connection.reset()
        reply = self._await_continue(upstream) if self._expects else None
        keeps = reply is None
        if reply is None:
            self._send_body(upstream)
            if self._resets("body") or self._resets("before_reply"):
                return self._break_request(upstream)
            reply = read_reply(upstream)
        return self._answer(upstream, reply, keeps=keeps and self._head.keeps_alive)

    # --- the request --------------------------------------------------------------------------------------------------

    def _fault(self, kind: type[_F]) -> _F | None:
        return next((fault for fault in self._request.faults if isinstance(fault, kind)), None)

    def _resets(self, place: str) -> bool:
        return any(fault == Reset(place) for fault in self._request.faults)  # type: ignore[arg-type]

    def _await_continue(self, upstream: Wire) -> Head | None:
        """Pass on that the server wants the body; or return its answer, if it is final already."""
        if upstream.readable(CONTINUE_SECONDS):
            reply = upstream.head()
            if reply is not None and reply.status != 100:
                return reply
        self._client.send(CONTINUE)
        return None

    def _send_body(self, upstream: Wire) -> None:
        body: Iterable[Block] = blocks(self._client, self._framing)
        if fault := self._fault(AlterRequest):
            body = self._altered_request(body, fault)
        if self._resets("body"):
            body = first_half(body, self._framing)
        refused = False
        for block in body:
            try:
                if not refused:
                    upstream.send(block.data)
            except ConnectionError:
                refused = True  # a server may answer early and stop reading; the client's bytes are read all the same

    def _altered_request(self, body: Iterable[Block], fault: AlterRequest) -> Iterator[Block]:
        if "aws-chunked" in self._head.get("content-encoding"):
            return altered_below_first_line(body, fault.at or 0)
        begin = content_start(self._head.get("content-type"), self._beginning)
        middle = 0 if begin else (self._framing.length or 0) // 2
        return altered(body, begin + (middle if fault.at is None else fault.at))

    def _whole_body(self) -> bytes:
        if self._expects:
            self._client.send(CONTINUE)
        return b"".join(block.data for block in blocks(self._client, self._framing))

    def _refuse(self, refusal: Refuse) -> bool:
        if not self._expects:  # else nothing was asked for, and nothing comes
            for _ in blocks(self._client, self._framing):
                pass
        return self._send_refusal(refusal, keeps=not self._expects)

    def _apply_later(self, late: Late) -> bool:
        body = self._whole_body()
        head = self._head.without("expect", "connection").having("Connection", "close")

        def apply() -> None:
            upstream = self._proxy.connect()
            upstream.send(head.encode() + body)
            self._proxy.note(self._request, upstream_status=read_reply(upstream).status)
            upstream.close()

        try:
            if late.answer is None:
                return self._connection.reset()
            return self._send_refusal(late.answer, keeps=True)
        finally:
            self._proxy.later(late.seconds, apply)

    def _send_refusal(self, refusal: Refuse, *, keeps: bool) -> bool:
        kind, body = refusal.content(self._request.operation)
        keeps = keeps and self._head.keeps_alive
        head = Head(f"HTTP/1.1 {refusal.status} Refused".encode(), ())
        date = formatdate(usegmt=True)
        standard = (("Content-Type", kind), ("Content-Length", str(len(body))), ("Date", date))
        for name, value in (*standard, *refusal.headers):
            head = head.having(name, value)
        self._proxy.note(self._request, status=refusal.status)
        self._send(head if keeps else head.having("Connection", "close"), b"" if self._head.method == "HEAD" else body)
        return keeps

    def _break_request(self, upstream: Wire) -> bool:
        if self._resets("body"):
            return self._connection.reset()
        self._connection.upstream = None  # the server's stays, for it is at work now

        def finish() -> None:
            with suppress(OSError):  # its answer is for nobody
                read_reply(upstream)
            upstream.close()

        self._proxy.leave_at_work(self._place, finish)
        return self._connection.reset()

    # --- the reply ----------------------------------------------------------------------------------------------------

    def _answer(self, upstream: Wire, reply: Head, *, keeps: bool) -> bool:
        framing = reply_framing(reply, self._head.method)
        body: Iterable[Block] = blocks(upstream, framing)
        self._proxy.note(self._request, upstream_status=reply.status)
        if self._fault(LoseReply):
            for _ in body:
                pass
            return self._connection.reset()
        keeps = keeps and framing.delimited
        head = self._edited(reply, keeps=keeps)
        if self._resets("reply"):
            return self._break_reply(head, first_half(body, framing), empty=framing.length == 0)
        if self._fault(TruncateReply):
            body, keeps = first_half(body, framing), False
        if fault := self._fault(AlterReply):
            body = altered(body, (framing.length or 0) // 2 if fault.at is None else fault.at)
        self._proxy.note(self._request, status=reply.status)
        self._send(head, b"")
        for block in body:
            self._send_block(block)
        if not (framing.delimited and reply.keeps_alive) or self._fault(TruncateReply):
            self._connection.drop_upstream()
        return keeps

    def _edited(self, reply: Head, *, keeps: bool) -> Head:
        """The reply's head, made to speak of this connection and not of the one to the server."""
        head = Head(reply.start.replace(b"HTTP/1.0", b"HTTP/1.1", 1), reply.lines).without("connection", "keep-alive")
        location = head.get("location")
        if location.startswith(self._proxy.upstream):  # a resumable upload would go on past the proxy
            head = head.having("Location", self._proxy.url + location.removeprefix(self._proxy.upstream))
        if (skew := self._fault(SkewDate)) and head.get("date"):
            date = parsedate_to_datetime(head.get("date")) + timedelta(seconds=skew.seconds)
            head = head.having("Date", format_datetime(date, usegmt=True))
        return head if keeps else head.having("Connection", "close")

    def _break_reply(self, head: Head, half: Iterable[Block], *, empty: bool) -> bool:
        raw = head.encode()
        self._send(raw[: len(raw) // 2] if empty else raw, b"")
        for block in half:
            self._send_block(block)
        # What was sent has to be read before the reset overtakes it.
        time.sleep(0.05)
        return self._connection.reset()

    def _send(self, head: Head | bytes, body: bytes) -> None:
        self._client.send((head.encode() if isinstance(head, Head) else head) + body)

    def _send_block(self, block: Block) -> None:
        self._client.send(block.data)


def read_reply(upstream: Wire) -> Head:
    """The head of the server's reply, interim ones left out."""
    while True:
        reply = upstream.head()
        if reply is None:
            raise ConnectionResetError("the server ended the connection without a reply")
        if reply.status >= 200:
            return reply


def without_conditions(head: Head) -> Head:
    """The head without its preconditions, those in the query (GCS) included."""
    method, target, version = head.start.split(b" ")
    url = urlsplit(target.decode("latin-1"))
    kept = [part for part in url.query.split("&") if part.partition("=")[0].lower() not in _QUERY_CONDITIONS]
    target = url._replace(query="&".join(kept)).geturl().encode("latin-1")
    return Head(b" ".join([method, target, version]), head.lines).without(*_HEADER_CONDITIONS)
