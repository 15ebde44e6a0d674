"""A web server that a manifest names is a stranger's: no answer of it takes more memory than was asked for."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loopback import running
from metamlflow import MetaMLFlowClient
from metamlflow.errors import MetaMLFlowError

pytest.importorskip("aiohttp")

MIB = 1024 * 1024
FAR_TOO_MUCH = 100 * MIB
DATA = b"id,amount\n1,2\n"


class Server(ThreadingHTTPServer):
    """Says in HEAD that it has a small file. What it answers to GET is set by a test; ``sent`` counts its bytes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.get = plain
        self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        """Whoever asked has closed the connection."""


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.begin(200, {"Content-Length": str(len(DATA)), "Accept-Ranges": "bytes"})

    def do_GET(self):
        self.server.get(self)

    def begin(self, status, headers):
        self.send_response(status)
        for name, value in {"ETag": '"1"', "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def pour(self, part, size):
        for _ in range(size // len(part)):
            self.wfile.write(part)
            self.server.sent += len(part)

    def log_message(self, *_):
        pass


def plain(handler):
    handler.begin(200, {"Content-Length": str(len(DATA))})
    handler.wfile.write(DATA)


def endless_whole(handler):
    handler.begin(200, {})
    handler.pour(DATA + bytes(MIB), FAR_TOO_MUCH)


def endless_part(handler):
    handler.begin(206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})
    handler.pour(DATA + bytes(MIB), FAR_TOO_MUCH)


@cache
def packed_zeros():
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(FAR_TOO_MUCH // MIB)) + packer.flush()


def unpacked(handler):
    packed = packed_zeros()
    handler.begin(200, {"Content-Encoding": "gzip", "Content-Length": str(len(packed))})
    handler.wfile.write(packed)


def denied_at_length(handler):
    handler.begin(403, {})
    handler.pour(bytes(MIB), FAR_TOO_MUCH)


def by_drops(handler):
    handler.begin(200, {"Content-Length": str(len(DATA))})
    for byte in DATA:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.2)


@pytest.fixture
def server():
    server = Server()
    with running(server):
        yield server


@pytest.fixture
def client(store_folder, server):
    return MetaMLFlowClient(store_folder, pointer_policy={server.url: "allow"})


@contextmanager
def little_memory(most):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.full
@pytest.mark.parametrize("answer", [endless_whole, endless_part, unpacked, denied_at_length])
@pytest.mark.parametrize("evidence", ["stat", "full"])
def test_no_answer_is_read_far_past_what_was_asked_for(client, server, answer, evidence):
    artifact = client.register_pointer("a", f"{server.url}/x.csv", evidence=evidence)
    server.get = answer
    for use in (artifact.read_bytes, lambda: artifact.open().read(), artifact.materialize):
        with little_memory(40 * MIB), pytest.raises(MetaMLFlowError):
            use()
    assert server.sent < FAR_TOO_MUCH / 2


def test_a_page_of_links_is_read_to_a_limit(client, server):
    server.get = endless_whole
    with pytest.raises(MetaMLFlowError, match="than was asked for"):
        client.register_pointer("a", f"{server.url}/d/")
    assert server.sent < FAR_TOO_MUCH


def test_a_server_that_ignores_ranges_is_read_as_before(client, server):
    server.get = plain
    artifact = client.register_pointer("a", f"{server.url}/x.csv", evidence="full")
    with artifact.open() as file:
        file.seek(3)
        assert file.read(4) == DATA[3:7]
    assert artifact.read_bytes() == DATA


@pytest.mark.full
def test_an_answer_that_comes_by_drops_is_not_waited_for(client, server, monkeypatch):
    monkeypatch.setattr("metamlflow.backend.paced.PATIENCE_SECONDS", 0.5)
    artifact = client.register_pointer("a", f"{server.url}/x.csv", evidence="stat")
    server.get = by_drops
    for use in (artifact.read_bytes, lambda: artifact.open().read(), artifact.materialize):
        began = time.monotonic()
        with pytest.raises(MetaMLFlowError, match="by drops"):
            use()
        assert time.monotonic() < began + 2


def test_an_answer_that_is_late_and_whole_is_taken(client, server, monkeypatch):
    monkeypatch.setattr("metamlflow.backend.paced.PATIENCE_SECONDS", 0.3)
    artifact = client.register_pointer("a", f"{server.url}/x.csv", evidence="stat")

    def late(handler):
        handler.begin(200, {"Content-Length": str(len(DATA))})
        time.sleep(0.6)
        handler.wfile.write(DATA)

    server.get = late
    assert artifact.read_bytes() == DATA
