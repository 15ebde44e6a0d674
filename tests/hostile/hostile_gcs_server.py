"""The hostile server, speaking enough of the JSON API of GCS to be read."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
from hostile_server import BUCKET, Answer, Handler, keys_below

_MODIFIED = "2026-01-31T12:00:00.000Z"
_JSON = {"Content-Type": "application/json; charset=UTF-8"}


class GCSHandler(Handler):
    """One connection. Operations have the names that those of S3 have, so that cases serve for both."""

    def do_POST(self) -> None:  # noqa: N802 (the name that the server looks for)
        self._write()

    do_PUT = do_DELETE = do_POST  # noqa: N815 (likewise)

    def _write(self) -> None:
        data = self._received()
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        op = {"resumable": "OpenSession", "multipart": "PutObject"}.get(query.get("uploadType", ""), self.command)
        answer = Answer(200, dict(_JSON), b"{}", op, query.get("name", ""), query=query)
        if op == "OpenSession":
            answer.headers["Location"] = f"{self.server.url}{url.path}?upload_id=1"
        elif op == "PUT":
            answer.body = json.dumps(resource_of("key", data)).encode()
        self._told(answer)

    def _received(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        key = unquote(url.path.partition(f"/b/{BUCKET}/o")[2].removeprefix("/"))
        if not key:
            answer = self._listing(query)
        elif query.get("alt") == "media":
            answer = self._object(key)
            data = self.server.folder / key
            if answer.status in {200, 206}:
                answer.headers |= {"X-Goog-Generation": "1", "X-Goog-Hash": f"crc32c={_crc32c(data.read_bytes())}"}
        else:
            path = self.server.folder / key
            found = path.is_file()
            body = json.dumps(resource_of(key, path.read_bytes()) if found else _NOT_FOUND).encode()
            answer = Answer(200 if found else 404, dict(_JSON), body, "HeadObject", key)
        answer.query, answer.asked = query, self.headers.get("Range", "")
        self._told(answer)

    def _listing(self, query: dict[str, str]) -> Answer:
        found = keys_below(self.server.folder, query.get("prefix", ""))
        start = query.get("pageToken") or query.get("startOffset", "")
        found = [item for item in found if item[0] >= start]
        most = int(query.get("maxResults", 1000))
        more = found[most][0] if len(found) > most else ""
        items = [resource_of(key, (self.server.folder / key).read_bytes()) for key, _, _ in found[:most]]
        return Answer(200, dict(_JSON), page_of(items, more), "ListObjectsV2")


_NOT_FOUND = {"error": {"message": "No such object", "errors": [{"reason": "notFound"}]}}


def page_of(items: list[Any], more: str = "") -> bytes:
    """Return a page of a listing."""
    return json.dumps({"items": items} | ({"nextPageToken": more} if more else {})).encode()


def resource_of(name: str, data: bytes) -> dict[str, Any]:
    """Return an object's resource."""
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return {
        "name": name, "size": str(len(data)), "generation": "1", "crc32c": _crc32c(data), "etag": "CAE=",
        "md5Hash": b64encode(md5).decode(), "timeCreated": _MODIFIED, "updated": _MODIFIED,
    }  # fmt: skip


def _crc32c(data: bytes) -> str:
    return b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
