"""A range that the fast engine asks for takes no more memory than was asked for, whatever is sent."""

from __future__ import annotations

import socket
import threading
import time

import pytest

pytest.importorskip("obstore")
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
