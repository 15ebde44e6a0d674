"""Resumable uploads as the service documents them, which fake-gcs-server does not keep to.

The server here is small: it takes one upload as https://cloud.google.com/storage/docs/resumable-uploads describes it,
and does to chunks what a test tells it to.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google_crc32c
import pytest

from metamlflow.errors import AccessDeniedError, StorageUnavailableError
from metamlflow.testing import blob_of
from metamlflow_gcs import open_backend
from metamlflow_gcs.uploads import CHUNK_BYTES

pytestmark = pytest.mark.emulator

QUANTUM = 256 * 1024
CONTENT = bytes(range(256)) * (CHUNK_BYTES // 256 * 2) + b"the last chunk"  # in three chunks


class Service(ThreadingHTTPServer):
    """An upload, and what happens to its chunks: by number, ``(bytes that are kept, status to answer or None)``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held = b""
        self.faults: dict[int, tuple[int, int | None]] = {}
        self.told: list[str] = []
        self.chunks = 0
        self.exists = False
        self.cancelled = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def log_message(self, *_):
        pass

    def _answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self._answer(404)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, Location=f"{self.server.url}/upload/storage/v1/b/b/o?upload_id=1")

    def do_DELETE(self):
        self.server.cancelled = True
        self._answer(499)

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        told = self.headers["Content-Range"]
        self.server.told.append(told)
        start, total = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", told).groups()
        if start is None:
            return self._state(int(total))
        self.server.chunks += 1
        kept, status = self.server.faults.get(self.server.chunks, (len(data), None))
        assert int(start) == len(self.server.held), "a hole, or bytes sent twice"
        self.server.held += data[:kept]
        if status:
            return self._answer(status)
        return self._state(int(total))

    def _state(self, total):
        held = self.server.held
        if len(held) == total:
            if self.server.exists:
                return self._answer(412)
            checksum = b64encode(google_crc32c.value(held).to_bytes(4, "big")).decode()
            return self._answer(200, json.dumps({"size": str(total), "crc32c": checksum, "generation": "1"}).encode())
        return self._answer(308, **({"Range": f"bytes=0-{len(held) - 1}"} if held else {}))


@pytest.fixture
def service():
    service = Service()
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service
    service.shutdown()
    thread.join()
    service.server_close()


def put(service):
    return open_backend("gs://b/p", {"endpoint_url": service.url, "token": "anon"}).put("key", blob_of(CONTENT))


FAULTS = {
    "none": {},
    "nothing-arrived": {2: (0, 503)},
    "a-part-arrived": {2: (3 * QUANTUM, 503)},
    "the-reply-was-lost": {2: (CHUNK_BYTES, 503)},
    "a-part-was-taken": {1: (5 * QUANTUM, None)},
    "the-last-reply-was-lost": {3: (CHUNK_BYTES, 503)},
    "again-and-again": {1: (QUANTUM, 503), 2: (QUANTUM, 500)},
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=list(FAULTS))
def test_an_upload_goes_on_from_what_the_server_has(service, faults):
    service.faults = faults
    assert put(service) is True
    assert service.held == CONTENT
    assert not service.cancelled


def test_a_key_that_was_created_meanwhile_is_left_as_it_is(service):
    service.exists = True
    assert put(service) is False
    assert service.cancelled


def test_a_server_that_keeps_failing_ends_the_upload(service):
    service.faults = dict.fromkeys(range(1, 10), (0, 503))
    with pytest.raises(StorageUnavailableError):
        put(service)
    assert (service.chunks, service.cancelled) == (3, True)


def test_a_refused_chunk_is_not_sent_again(service):
    service.faults = {2: (0, 403)}
    with pytest.raises(AccessDeniedError):
        put(service)
    assert (service.chunks, service.cancelled) == (2, True)
