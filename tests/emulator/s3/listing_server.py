"""A server of one bucket that only lists, and has one defect of those that real ones were seen to have."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

_OBJECT = "<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>1</Size>"


class ListingServer:
    """Lists ``keys`` page by page, on a free port of 127.0.0.1; a context manager.

    Args:
        keys: of the objects.
        defect: the name of what it does wrongly; empty if nothing.
        page: keys in each.
    """

    def __init__(self, keys: list[str], defect: str = "", page: int = 10) -> None:
        self.keys, self.defect, self.asked = sorted(keys), defect, 0
        self.page = page
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}
                body = outer.answer(query).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1")
                self.send_header("ETag", '"e"')
                self.send_header("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
                if outer.defect == "versions-hidden":
                    self.send_header("x-amz-version-id", "1")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def options(self) -> dict[str, Any]:
        region = {"region_name": "us-east-1"}
        return {"key": "k", "secret": "s", "endpoint_url": self.url, "client_kwargs": region}

    def answer(self, query: dict[str, str]) -> str:
        versions = "versions" in query
        start = query.get("key-marker") or unquote(query.get("continuation-token", "")) or query.get("start-after", "")
        below = [key for key in self.keys if key.startswith(query.get("prefix", ""))]
        left = [key for key in below if key > start]
        if self.defect == "ignores-where-to-go-on":
            left = below
        elif self.defect == "begins-with-the-last-key-again" and start:
            left = [key for key in below if key >= start]
        elif self.defect == "goes-back" and start:
            left = below[3:]
        page, truncated = left[: self.page], len(left) > self.page
        if self.defect == "no-order" and start:
            page = page[::-1]
        elif self.defect == "leaves-the-prefix" and page:
            page[-1] = "zzz"
        elif self.defect == "pages-without-end":
            page, truncated = [], True
        elif self.defect in {"no-versions", "versions-hidden"} and versions:
            page, truncated = [], False
        return self._xml(page, truncated=truncated, versions=versions, encoded="encoding-type" in query)

    def _xml(self, page: list[str], *, truncated: bool, versions: bool, encoded: bool) -> str:
        def name(text: str) -> str:
            return quote(text, safe="") if encoded else escape(text)

        kind = "ListVersionsResult" if versions else "ListBucketResult"
        item = "Version" if versions else "Contents"
        more = "<VersionId>null</VersionId><IsLatest>true</IsLatest>" if versions else ""
        nameless = self.defect == "objects-without-names"
        keys = ["" if nameless else f"<Key>{name(key)}</Key>" for key in page]
        listed = "".join(f"<{item}>{key}{more}{_OBJECT}</{item}>" for key in keys)
        told = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
        if truncated and self.defect != "no-marker":
            last = page[-1] if page else f"{self.asked:08}"
            if versions:
                marker = escape(last) if self.defect == "raw-marker" else name(last)
                told += f"<NextKeyMarker>{marker}</NextKeyMarker>"
            else:  # a token is never encoded
                told += f"<NextContinuationToken>{quote(last, safe='')}</NextContinuationToken>"
            told += "<NextVersionIdMarker>null</NextVersionIdMarker>" if versions and page else ""
        encoding = "<EncodingType>url</EncodingType>" if encoded else ""
        return f"<?xml version='1.0'?><{kind}>{encoding}<Name>b</Name>{told}{listed}</{kind}>"
