"""Content of which one answer was damaged on its way, which no server tells of a range: asked for once more."""

from __future__ import annotations

import io
import os
import shutil
from typing import Any

import pytest

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import IntegrityError, PointerDriftError
from metamlflow.store.catalog.store import Store
from metamlflow.testing import MemoryBackend
from metamlflow_local.external import LocalExternalStore

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


@pytest.mark.full
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


class DamagedAnswers:
    """Alters a bit in the middle of each of the answers with these numbers, of those with content."""

    def __init__(self, monkeypatch) -> None:
        self.damaged: range = range(0)
        self.count = 0
        honest = LocalExternalStore.read

        def read(lake: Any, seen: Any, start: int, end: int) -> Any:
            data = bytearray(honest(lake, seen, start, end))
            if self.count in self.damaged:
                data[len(data) // 2] ^= 1
            self.count += 1
            return data

        monkeypatch.setattr(LocalExternalStore, "read", read)


@pytest.fixture
def answers(monkeypatch):
    return DamagedAnswers(monkeypatch)


@pytest.fixture
def pointer(tmp_path, answers):
    (tmp_path / "x.bin").write_bytes(LARGE)
    artifact = MetaMLFlowClient(tmp_path / "store").register_pointer("p", tmp_path / "x.bin", evidence="full")
    answers.count = 0
    return artifact


def read_in_pieces(artifact, _):
    with artifact.open("x.bin") as file:
        return b"".join(iter(lambda: file.read(100_000), b""))


POINTER_WAYS = {name: WAYS[name] for name in ("open", "download", "verify")}


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("way", POINTER_WAYS)
def test_what_is_pointed_to_is_asked_for_again_too(pointer, answers, tmp_path, way, number):
    answers.damaged = range(number, number + 1)
    assert POINTER_WAYS[way](pointer, tmp_path) == LARGE
    assert answers.count > number


def test_the_last_part_of_what_is_pointed_to_is_asked_for_again(pointer, answers, tmp_path):
    assert read_in_pieces(pointer, tmp_path) == LARGE
    last = answers.count - 1
    answers.count, answers.damaged = 0, range(last, last + 1)
    assert read_in_pieces(pointer, tmp_path) == LARGE


def test_parts_of_what_is_pointed_to_that_were_handed_out_are_compared_as_well(pointer, answers):
    answers.damaged = range(1)
    with pointer.open("x.bin") as file:
        file.read(MIB)  # the altered byte among them
        with pytest.raises(IntegrityError, match="damaged on its way") as caught:
            file.read()
        assert not isinstance(caught.value, PointerDriftError)
        file.seek(0)
        assert file.read() == LARGE


@pytest.mark.parametrize("size", [1, MIB])
def test_what_was_altered_past_its_time_is_told_as_drift_each_time(tmp_path, answers, size):
    place = tmp_path / "x.bin"
    place.write_bytes(bytes(size))
    artifact = MetaMLFlowClient(tmp_path / "store").register_pointer("p", place, evidence="full")
    was = place.stat()
    place.write_bytes(bytes(size - 1) + b"1")
    os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))
    with pytest.raises(PointerDriftError), artifact.open("x.bin") as file:
        read_to_end(file)


def read_to_end(file) -> None:
    """Read on, past an error: none of the last bytes comes."""
    while True:
        try:
            if not file.read(100_000):
                return
        except PointerDriftError:
            file.read(100_000)


@pytest.mark.parametrize("number", [0, 2])
def test_after_a_relocation_it_is_asked_for_again_too(pointer, answers, tmp_path, number):
    (tmp_path / "moved").mkdir()
    (tmp_path / "x.bin").rename(tmp_path / "moved/x.bin")
    client = MetaMLFlowClient(tmp_path / "store")
    client.relocate((tmp_path / "x.bin").as_uri(), (tmp_path / "moved/x.bin").as_uri())
    answers.count, answers.damaged = 0, range(number, number + 1)
    with MetaMLFlowClient(tmp_path / "store").get_artifact("p").open() as file:
        file.seek(1)
        assert file.read(1) == LARGE[1:2]
    assert answers.count > number
