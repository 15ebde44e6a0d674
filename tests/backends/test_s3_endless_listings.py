"""A listing that goes on for ever is given up, and what arrived of it is given up with it."""

from __future__ import annotations

import socket
import threading
import time
from traceback import walk_tb

import pytest

pytest.importorskip("obstore")
from metamlflow_s3.obstore_engine import FastEngine, NotPlainError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n<ListBucketResult>"


@pytest.fixture
def address():
    """Serve a listing without end, at 10 MB/s."""

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            try:
                connection.sendall(HEAD)
                while True:
                    connection.sendall(b"<Contents><Key>x</Key></Contents>" * 3000)
                    time.sleep(0.01)
            except OSError:  # what was wanted: the reader has gone
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def types_held_by(error):
    """The types of all local variables that an error and its causes keep alive."""
    while error is not None:
        for frame, _ in walk_tb(error.__traceback__):
            yield from (type(value).__name__ for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__


def test_an_error_that_is_kept_keeps_nothing_of_an_endless_listing(address):
    settings = {"access_key_id": "a", "secret_access_key": "b", "endpoint": address, "region": "us-east-1"}
    engine = FastEngine("bucket", settings, {"allow_http": True}, None)
    began = time.monotonic()
    with pytest.raises(NotPlainError, match="takes too long") as caught:
        list(engine.list("folder/", ""))
    assert time.monotonic() - began < 5
    held = set(types_held_by(caught.value))
    assert {"FastEngine", "TimeoutError"} & held  # so the frames are looked at
    assert "ListStream" not in held
