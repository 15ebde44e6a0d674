"""Content that is hashed and then stored is counted at both, so that a bar goes on while it is uploaded."""

from __future__ import annotations

import io
import os

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.store.ingest.hashing import stage
from metamlflow.store.ingest.sources import SourceFile

SIZE = 3_000_001


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.mark.parametrize("local", [True, False], ids=["a file", "a stream"])
def test_half_is_counted_when_it_is_hashed_and_half_when_it_is_stored(file, local):
    counted = []
    source = SourceFile("big.bin", SIZE, lambda: io.BytesIO(file.read_bytes()), str(file) if local else None)
    with stage(source, counted.append) as staged:
        assert sum(counted) == SIZE // 2
        with staged.peek() as stream:
            stream.read(SIZE)
        assert sum(counted) == SIZE // 2, "a look counts nothing"
        with staged.blob.open() as stream:
            stream.read(1_000_000)
            assert SIZE // 2 < sum(counted) < SIZE
            while stream.read(1_000_000):
                pass
        assert sum(counted) == SIZE
        with staged.blob.open() as stream:  # as after a lost connection
            while stream.read(1_000_000):
                pass
        staged.passes.complete()
        assert sum(counted) == SIZE


@pytest.mark.parametrize("kind", ["a file", "a stream", "a folder"])
def test_every_byte_is_counted_once_also_where_nothing_has_to_be_stored(file, tmp_path, kind):
    client = MetaMLFlowClient(tmp_path / "store")
    sources = {
        "a file": lambda: file,
        "a stream": lambda: io.BytesIO(file.read_bytes()),
        "a folder": lambda: {"x": file, "y": b"12"},
    }
    total = SIZE + (2 if kind == "a folder" else 0)
    for _ in range(2):  # the second time all of it is in the store already
        states = []
        client.register_artifact("a", sources[kind](), progress=states.append)
        assert states[-1].bytes == total
        assert [state.bytes for state in states] == sorted(state.bytes for state in states)
        assert states[-1].finishing
        assert not states[0].finishing
