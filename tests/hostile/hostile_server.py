"""A server on 127.0.0.1 that speaks enough of S3 to be read, serves the files of a folder, and lies as a case says.

A case is a function that is given each answer before it is sent, and may change it, or send what it likes by itself.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "lied"
_MODIFIED = "2026-01-31T12:00:00.000Z"


@dataclass
class Answer:
    """What is about to be sent. ``body`` may be an iterator that never ends."""

    status: int
    headers: dict[str, str]
    body: bytes
    op: str
    key: str = ""
    asked: str = ""
    query: dict[str, str] = field(default_factory=dict)
    number: int = 0


Lie = Callable[["Handler", Answer], bool | None]
"""Changes an answer; returns True if it has sent one by itself."""


class HostileServer:
    """The server; a context manager. ``counts`` are requests by operation."""

    def __init__(self, folder: Path, lie: Lie, handler: type[Handler] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler or Handler)
        server.daemon_threads = True
        self.url = server.url = f"http://127.0.0.1:{server.server_address[1]}"
        server.folder, server.lie, server.counts = folder, lie, self.counts
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms between its head and its body

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send(Answer(412, {}, _error("PreconditionFailed"), "PutObject"))

    def _answer(self) -> None:
        url = urlsplit(self.path)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        answer = self._object(key) if key else _listing(self.server.folder, query)
        answer.query, answer.asked = query, self.headers.get("Range", "")
        self._told(answer)

    def _told(self, answer: Answer) -> None:
        self.server.counts[answer.op] += 1
        answer.number = self.server.counts.total()
        try:
            if not self.server.lie(self, answer):
                self.send(answer)
        except OSError:  # the client has heard enough
            self.close_connection = True

    def _object(self, key: str) -> Answer:
        op = "HeadObject" if self.command == "HEAD" else "GetObject"
        path = self.server.folder / key
        if not path.is_file():
            return Answer(404, {"Content-Type": "application/xml"}, _error("NoSuchKey"), op, key)
        data = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"',
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
            "Content-Type": "application/octet-stream",
        }
        asked = self.headers.get("Range", "")
        if not asked or op == "HeadObject":
            return Answer(200, headers, data, op, key)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        if not part:
            return Answer(416, {}, _error("InvalidRange"), op, key)
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return Answer(206, headers, part, op, key)

    def head(self, answer: Answer, **more: str) -> None:
        """Send status and headers; a header of ``more`` that is empty is left out."""
        self.send_response_only(answer.status, HTTPStatus(answer.status).phrase)
        headers = {"Date": formatdate(usegmt=True), "Content-Length": str(len(answer.body))} | answer.headers
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def send(self, answer: Answer) -> None:
        """Send an answer as it is."""
        self.head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    @property
    def is_fast(self) -> bool:
        """Whether the fast engine asks."""
        return "object_store" in self.headers.get("User-Agent", "")

    def pour(self, data: bytes, seconds: float = 2, pause: float = 0) -> None:
        """Send data again and again, until the client has had enough or a time is over."""
        self.close_connection = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.wfile.write(data)
            time.sleep(pause)

    def drip(self, data: bytes) -> None:
        """Send a byte a second, until the client has had enough."""
        self.close_connection = True
        for byte in data:
            self.wfile.write(bytes([byte]))
            time.sleep(1)

    def reset(self) -> None:
        """Break the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def listing_of(keys: list[tuple[str, int, str]], *, more: str = "", prefix: str = "") -> bytes:
    """Return a page of ListObjectsV2."""
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_MODIFIED}</LastModified><ETag>&quot;{tag}&quot;</ETag>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, size, tag in keys
    )
    token = f"<NextContinuationToken>{escape(more)}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(keys)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    ).encode()


def keys_below(folder: Path, prefix: str, after: str = "") -> list[tuple[str, int, str]]:
    """Return key, size and tag of the files whose keys begin so, in order."""
    paths = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    found = sorted(item for item in paths if item[0].startswith(prefix) and item[0] > after)
    return [
        (key, path.stat().st_size, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
        for key, path in found
        if not key.startswith(".tmp/")
    ]


def _listing(folder: Path, query: dict[str, str]) -> Answer:
    prefix = query.get("prefix", "")
    most = int(query.get("max-keys", 1000))
    after = query.get("continuation-token") or query.get("start-after", "")
    found = keys_below(folder, prefix, after)
    more = found[most - 1][0] if len(found) > most else ""
    body = listing_of(found[:most], more=more, prefix=prefix)
    return Answer(200, {"Content-Type": "application/xml"}, body, "ListObjectsV2")
