"""A listing that goes on for ever is given up, and what arrived of it is given up with it."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from traceback import walk_tb

import pytest

pytest.importorskip("obstore")
from metamlflow_s3 import obstore_engine
from metamlflow_s3.obstore_engine import FastEngine, NotPlainError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n<ListBucketResult>"


@dataclass
class Endless:
    """A server whose listings have no end, at 10 MB/s, and how often it was asked."""

    listener: socket.socket
    asked: int = 0

    @property
    def address(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # the test has ended
                return
            with connection:
                connection.recv(1 << 16)
                self.asked += 1
                try:
                    connection.sendall(HEAD)
                    while True:
                        connection.sendall(b"<Contents><Key>x</Key></Contents>" * 3000)
                        time.sleep(0.01)
                except OSError:  # what was wanted: the reader has gone
                    continue


@pytest.fixture
def endless():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Endless(listener)
        threading.Thread(target=server.serve, daemon=True).start()
        yield server


def engine_of(address, bucket="bucket"):
    settings = {"access_key_id": "a", "secret_access_key": "b", "endpoint": address, "region": "us-east-1"}
    return FastEngine(bucket, settings, {"allow_http": True}, None)


def types_held_by(error):
    """The types of all local variables that an error and its causes keep alive."""
    while error is not None:
        for frame, _ in walk_tb(error.__traceback__):
            yield from (type(value).__name__ for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__


def test_an_error_that_is_kept_keeps_nothing_of_an_endless_listing(endless):
    engine = engine_of(endless.address)
    began = time.monotonic()
    with pytest.raises(NotPlainError, match="takes too long") as caught:
        list(engine.list("folder/", ""))
    assert time.monotonic() - began < 5
    held = set(types_held_by(caught.value))
    assert {"FastEngine", "TimeoutError"} & held  # so the frames are looked at
    assert "ListStream" not in held


def test_a_bucket_that_listed_without_end_is_not_asked_again_for_a_while_by_any_client(endless, monkeypatch):
    monkeypatch.setattr(obstore_engine, "_PAGE_SECONDS", 0.2)
    with pytest.raises(NotPlainError, match="takes too long"):
        list(engine_of(endless.address).list("folder/", ""))
    asked = endless.asked
    with pytest.raises(NotPlainError, match="went astray before"):
        list(engine_of(endless.address).list("another/", ""))
    assert endless.asked == asked
    with pytest.raises(NotPlainError, match="takes too long"):
        list(engine_of(endless.address, "another").list("folder/", ""))
    assert endless.asked > asked
    asked = endless.asked
    monkeypatch.setattr(obstore_engine, "_ASTRAY_SECONDS", 0)
    with pytest.raises(NotPlainError, match="takes too long"):
        list(engine_of(endless.address).list("folder/", ""))
    assert endless.asked > asked
