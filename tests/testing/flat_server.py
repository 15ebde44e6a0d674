"""A server of objects by name over HTTP, in a process of its own: conditions, ranges, ETags, parts, pages by name."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

OBJECTS: dict[str, tuple[bytes, float]] = {}
PARTS: dict[str, dict[int, bytes]] = {}
LOCK = threading.Lock()
LARGEST_PAGE = 1000


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        getattr(self, f"on_{self.command.lower()}")(unquote(place.path[1:]), asked, body)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = handle_any  # noqa: N815 (its names)

    def on_get(self, name, asked, _):
        if not name:
            self.list(asked)
            return
        with LOCK:
            found = OBJECTS.get(name)
        if found is None:
            self.answer(404)
            return
        data, modified = found
        tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        ranged, (start, _, last) = "Range" in self.headers, self.headers.get("Range", "bytes=0-")[6:].partition("-")
        if self.headers.get("If-Match", tag) != tag:
            self.answer(412)
        elif ranged and int(start) >= len(data):
            self.answer(416)
        else:
            facts = {"ETag": tag, "X-Modified": str(modified), "X-Now": str(time.time()), "X-Size": str(len(data))}
            part = data[int(start) : int(last) + 1 if last else None]
            self.answer(206 if ranged else 200, b"" if self.command == "HEAD" else part, **facts)

    on_head = on_get

    def on_put(self, name, asked, body):
        if "upload" in asked:
            PARTS.setdefault(asked["upload"], {})[int(asked["start"])] = body
            self.answer(201)
        else:
            self.store(name, body)

    def on_post(self, name, asked, _):
        parts = PARTS.pop(asked["upload"], {})
        self.store(name, b"".join(parts[start] for start in sorted(parts)))

    def on_delete(self, name, asked, _):
        with LOCK:
            kept, key = (PARTS, asked["upload"]) if "upload" in asked else (OBJECTS, name)
            found = kept.pop(key, None)
        self.answer(404 if found is None else 204)

    def store(self, name, data):
        with LOCK:
            free = name not in OBJECTS or "If-None-Match" not in self.headers
            if free:
                OBJECTS[name] = data, time.time()
        self.answer(201 if free else 412)

    def list(self, asked):
        with LOCK:
            items = [(name, len(data), modified) for name, (data, modified) in OBJECTS.items()]
        prefix, after, most = asked.get("prefix", ""), asked.get("after", ""), min(int(asked["limit"]), LARGEST_PAGE)
        found = sorted(item for item in items if item[0].startswith(prefix) and item[0] > after)
        self.answer(200, json.dumps({"objects": found[:most], "more": len(found) > most}).encode())


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # else connections that come at once are let in a second later


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
