"""Content of which one answer was damaged on its way, which no server tells of a range: asked for once more."""

from __future__ import annotations

import io
import os
import shutil
from typing import Any

import pytest

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import IntegrityError
from metamlflow.store.catalog.store import Store
from metamlflow.testing import MemoryBackend
from metamlflow_local.lake import LocalLake

MIB = 1024 * 1024
LARGE = os.urandom(17 * MIB)  # three ranges


class Damaging(MemoryBackend):
    """Alters a bit in the middle of the answer with this number, counted from 0, of those with content."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: range = range(0)
        self.answers = 0

    def _passed(self, key: str, data: bytes) -> bytes:
        if not key.startswith("blobs/"):
            return data
        number, self.answers = self.answers, self.answers + 1
        if number not in self.damaged:
            return data
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return self._passed(key, super().read(key, start, end))

    def open(self, key: str) -> Any:
        return io.BytesIO(self._passed(key, super().read(key)))


@pytest.fixture
def backend():
    return Damaging()


@pytest.fixture
def client(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    return MetaMLFlowClient._on(Store(backend.url, {}, backend=backend))


@pytest.fixture
def artifact(client):
    return client.register_artifact("large", {"x.bin": LARGE})


def damage(backend, numbers: range) -> None:
    backend.damaged, backend.answers = numbers, 0


def read_and_go_back(artifact, _):
    with artifact.open("x.bin") as file:
        file.seek(1)
        file.read(1)
        file.seek(0)
        return file.read()


WAYS = {
    "read_bytes": lambda artifact, _: artifact.read_bytes("x.bin"),
    "open": lambda artifact, _: artifact.open("x.bin").read(),
    "jump": read_and_go_back,
    "download": lambda artifact, folder: artifact.download(folder / "out").read_bytes(),
    "local_path": lambda artifact, _: artifact.local_path("x.bin").read_bytes(),
    "verify": lambda artifact, _: LARGE if artifact.verify() else b"",
}


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_was_damaged_once_is_asked_for_again(backend, artifact, tmp_path, way, number):
    damage(backend, range(number, number + 1))
    assert WAYS[way](artifact, tmp_path) == LARGE


@pytest.mark.parametrize("way", ["read_bytes", "open", "jump", "download", "local_path"])
def test_what_is_damaged_where_it_lies_is_told_after_a_second_look(backend, artifact, tmp_path, way):
    damage(backend, range(1000))
    with pytest.raises(IntegrityError, match="damaged in the store"):
        WAYS[way](artifact, tmp_path)
    assert backend.answers <= 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("go_on", ["to the end", "back"])
def test_bytes_that_were_handed_out_before_are_compared_as_well(backend, artifact, go_on):
    damage(backend, range(1))
    with artifact.open("x.bin") as file:
        file.read(10 * MIB)  # the altered byte among them
        if go_on == "back":
            file.seek(0)
        with pytest.raises(IntegrityError, match="damaged on its way"):
            file.read()
        file.seek(0)
        assert file.read() == LARGE


@pytest.mark.parametrize("number", [0, 2])
def test_a_migration_sends_again_what_was_damaged_on_its_way(backend, client, artifact, tmp_path, number):
    damage(backend, range(number, number + 1))
    assert migrate(client, tmp_path / "copy")
    assert MetaMLFlowClient(tmp_path / "copy").verify_all()


@pytest.mark.parametrize("number", [0, 2])
def test_a_repair_asks_its_source_again(backend, client, artifact, tmp_path, number):
    migrate(client, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "blobs")
    damaged = MetaMLFlowClient(tmp_path / "copy")
    damage(backend, range(number, number + 1))
    assert damaged.repair("large", client)
    assert damaged.verify_all()


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("way", ["download", "verify"])
def test_what_is_pointed_to_is_asked_for_again_too(tmp_path, monkeypatch, way, number):
    (tmp_path / "x.bin").write_bytes(LARGE)
    artifact = MetaMLFlowClient(tmp_path / "store").register_pointer("p", tmp_path / "x.bin", evidence="full")
    honest, answers = LocalLake.read, []

    def damaging(lake: Any, seen: Any, start: int, end: int) -> Any:
        data = bytearray(honest(lake, seen, start, end))
        answers.append(start)
        if len(answers) == number + 1:
            data[len(data) // 2] ^= 1
        return data

    monkeypatch.setattr(LocalLake, "read", damaging)
    assert WAYS[way](artifact, tmp_path) == LARGE
    assert len(answers) > number
