"""Registering bytes and file objects: whole, from their beginning, and never text."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import threading

import pandas as pd
import pytest

from metamlflow.errors import InvalidInputError, StorageError, StorageUnavailableError

BIG = os.urandom(3 << 20)


def paths(artifact):
    return [entry.path for entry in artifact.entries]


@pytest.mark.parametrize("content", [b"", b"x", bytearray(b"y"), memoryview(b"z"), BIG], ids=len)
def test_bytes_are_stored_under_the_last_part_of_the_name(client, content):
    artifact = client.register_artifact("team/data.csv", content)
    assert paths(artifact) == ["data.csv"]
    assert artifact.read_bytes() == bytes(content)
    assert artifact.storage_path.endswith(".csv")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_file_object_in_memory_is_read_whole_and_left_open(client, size):
    stream = io.BytesIO(BIG[:size])
    assert client.register_artifact("a", stream).read_bytes() == BIG[:size]
    assert not stream.closed


def test_an_open_file_gives_its_name_and_is_read_whole_wherever_it_stands(client, folder):
    (folder / "t.csv").write_bytes(b"header,rest")
    with (folder / "t.csv").open("rb") as stream:
        stream.seek(7)
        artifact = client.register_artifact("a", stream)
        assert stream.read() == b"rest"  # its position is put back
    assert paths(artifact) == ["t.csv"]
    assert artifact.read_bytes() == b"header,rest"


def test_a_stream_that_decompresses_is_stored_decompressed(client, folder):
    with gzip.open(folder / "t.csv.gz", "wb") as out:
        out.write(BIG)
    with gzip.open(folder / "t.csv.gz") as stream:
        assert client.register_artifact("a", {"t.csv": stream}).read_bytes("t.csv") == BIG


@pytest.mark.parametrize("size", [0, 10, 3 << 20])
def test_a_pipe_is_read_to_its_end(client, size):
    reader, writer = os.pipe()

    def feed():
        with os.fdopen(writer, "wb") as out:
            out.write(BIG[:size])

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reader, "rb") as stream:
        artifact = client.register_artifact("piped", stream)
    thread.join()
    assert paths(artifact) == ["piped"]
    assert artifact.read_bytes() == BIG[:size]


def test_an_object_with_nothing_but_read_will_do(client):
    class Trickle:
        left = 5

        def read(self, size):
            self.left -= 1
            return b"ab" if self.left >= 0 else b""

    assert client.register_artifact("a", Trickle()).read_bytes() == b"ab" * 5


@pytest.mark.parametrize("make", [lambda f: (f / "t").open("r"), lambda f: io.StringIO("x")], ids=["file", "memory"])
def test_a_text_file_is_refused_with_the_remedy(client, folder, make):
    (folder / "t").write_text("x")
    with make(folder) as stream, pytest.raises(InvalidInputError, match="'rb'"):
        client.register_artifact("a", stream)


def test_a_stream_that_gives_text_is_refused_with_the_remedy(client, raw):
    with tempfile.NamedTemporaryFile("w+") as stream:
        stream.write("text")
        stream.seek(0)
        with pytest.raises(InvalidInputError, match=r"gave str instead of bytes(?s:.)*'rb'"):
            client.register_artifact("a", stream)
    assert raw.manifests() == []


def test_a_closed_file_is_refused(client, folder):
    with (folder / "t").open("wb") as stream:
        pass
    with pytest.raises(InvalidInputError, match="closed file"):
        client.register_artifact("a", stream)


def test_a_stream_that_fails_registers_nothing(client, raw):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(StorageUnavailableError, match="bad: the disk failed"):
        client.register_artifact("a", {"bad": Broken(), "good": b"1"})
    assert raw.manifests() == []


def test_a_data_frame_is_told_who_takes_it(client):
    with pytest.raises(InvalidInputError, match=r"DataFrame(?s:.)*metamlflow\.Dataset\.register"):
        client.register_artifact("a", pd.DataFrame({"x": [1]}))


NO_CONTENT = [None, 3, 1.5, True, {1, 2}, object(), (x for x in "ab"), print]


@pytest.mark.parametrize("value", NO_CONTENT, ids=lambda value: type(value).__name__)
def test_what_can_be_no_content_is_refused(client, store_folder, value):
    with pytest.raises(InvalidInputError, match="cannot be registered"):
        client.register_artifact("a", value)
    assert not store_folder.exists()


def test_a_temp_folder_that_does_not_exist_is_named(client, raw, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_TMPDIR", "/nonexistent/temp")
    with pytest.raises(StorageError, match=r"temp folder /nonexistent/temp cannot be used(?s:.)*METAMLFLOW_TMPDIR"):
        client.register_artifact("a", io.BytesIO(BIG))
    assert raw.manifests() == []
    assert client.register_artifact("a", io.BytesIO(b"small ones need none")).version == 1


def test_spooled_copies_are_gone_afterwards(client, tmp_path, monkeypatch):
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setenv("METAMLFLOW_TMPDIR", str(spool))
    client.register_artifact("a", {"x": io.BytesIO(BIG), "y": io.BytesIO(BIG[1:])})
    assert list(spool.iterdir()) == []
