"""A range that the fast engine asks for takes no more memory than was asked for, whatever is sent."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from loopback import serving
from metamlflow.backend.budget import content_budget

pytest.importorskip("obstore")
from metamlflow_s3 import obstore_engine
from metamlflow_s3.obstore_engine import FastEngine, NotPlainError

ASKED = 4 << 20
SENT = 512 << 20
HEADS = {
    "announced as asked, sent in chunks": f"Content-Length: {ASKED}\r\nTransfer-Encoding: chunked\r\n",
    "announced as asked, sent at length": f"Content-Length: {ASKED}\r\n",
    "announced as all there is": f"Content-Length: {SENT}\r\n",
}


@pytest.fixture
def endless():
    """Serve answers that go on for 512 MiB; gives how to begin, the address, and how many bytes were taken."""
    taken = [0]

    def serve(listener, head):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            piece = b"x" * (1 << 20)
            if "chunked" in head:
                piece = b"100000\r\n" + piece + b"\r\n"
            answer = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{ASKED - 1}/{SENT}\r\n{head}"
            try:
                connection.sendall(
                    f'{answer}ETag: "a"\r\nLast-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n'.encode()
                )
                while taken[0] < SENT:
                    connection.sendall(piece)
                    taken[0] += 1 << 20
            except OSError:  # what was wanted: the reader has gone
                return

    listener = socket.create_server(("127.0.0.1", 0))

    def begin(head):
        threading.Thread(target=serve, args=(listener, head), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", taken

    with listener:
        yield begin


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_no_more_is_taken_from_the_server_than_a_range_and_what_is_on_its_way(endless, head):
    address, taken = endless(head)
    settings = {"access_key_id": "a", "secret_access_key": "b", "endpoint": address, "region": "us-east-1"}
    engine = FastEngine("bucket", settings, {"allow_http": True}, None)
    data = engine.read("key", 0, ASKED)
    assert bytes(data) == b"x" * ASKED
    assert taken[0] < ASKED + (32 << 20)


@pytest.mark.full
def test_a_large_answer_by_drops_is_not_waited_for_until_the_server_has_proven_to_be_quick():
    """The other engine asks next, which has more patience."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{ASKED - 1}/{SENT}\r\n"
                stamps = 'ETag: "a"\r\nLast-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n'
                connection.sendall(f"{head}Content-Length: {ASKED}\r\n{stamps}".encode())
                try:
                    while True:
                        connection.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {"access_key_id": "a", "secret_access_key": "b", "endpoint": address, "region": "us-east-1"}
        engine = FastEngine("bucket", settings, {"allow_http": True}, None)
        began = time.monotonic()
        with pytest.raises(NotPlainError, match="by drops"):
            engine.read("key", 0, ASKED)
        assert time.monotonic() - began < 10


class Ranges(BaseHTTPRequestHandler):
    """Serves ranges of an object of zeros, and breaks off in the middle of those of the key ``broken``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_): ...

    def do_GET(self):
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{SENT}")
        self.send_header("Content-Length", str(end + 1 - start))
        self.send_header("ETag", '"a"')
        self.send_header("Last-Modified", "Wed, 21 Oct 2026 07:28:00 GMT")
        self.end_headers()
        is_broken = self.path.endswith("broken")
        self.wfile.write(bytes((end + 1 - start) // (2 if is_broken else 1)))
        self.close_connection = is_broken


def test_what_is_in_memory_twice_while_it_is_joined_has_its_place_in_the_budget(monkeypatch):
    """And where there is no room it is not waited for: whoever reads a range holds some of the budget already."""
    sizes, take = [], obstore_engine._taken

    def noted(answer, most, *, at_once=1):
        sizes.append(at_once)
        return take(answer, most, at_once=at_once)

    monkeypatch.setattr(obstore_engine, "_taken", noted)
    budget = content_budget()
    everything = budget.take(1 << 40)
    budget.give_back(everything)
    with serving(Ranges) as address:
        settings = {"access_key_id": "a", "secret_access_key": "b", "endpoint": address, "region": "us-east-1"}
        engine = FastEngine("bucket", settings, {"allow_http": True}, None)
        for taken, joined in ((0, 1), (0, ASKED), (everything, 1), (everything - ASKED, ASKED)):
            with budget.hold(taken):
                assert bytes(engine.read("key", 0, ASKED)) == bytes(ASKED)
            assert sizes.pop() == joined
        with pytest.raises(NotPlainError):
            engine.read("broken", 0, ASKED)
        assert sizes.pop() == ASKED
    assert budget.take_at_once(everything) == everything  # all was given back, also by what failed
    budget.give_back(everything)
