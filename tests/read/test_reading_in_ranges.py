"""A reader by address fetches little more than was asked for, and verifies what its layout allows."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from metamlflow import IntegrityError
from metamlflow.data import _open_ranges as open_ranges
from metamlflow.filesystem import MetaMLFlowFileSystem
from metamlflow.model.manifests import Entry
from metamlflow.model.names import ArtifactName
from metamlflow.store.ingest.sources import Source
from metamlflow.store.publish.publish import PublishRequest, publish
from metamlflow.store.read import ranged
from metamlflow.store.read.ranged import BlobReader
from metamlflow.store.transfer.windows import WindowReader
from metamlflow.testing import MemoryBackend
from metamlflow.testing.clients import client_on
from metamlflow.testing.memory import StoredObject

KIB, MIB = 1024, 1024 * 1024
LARGE = os.urandom(20 * MIB)
SMALL = os.urandom(MIB)


class Counting(MemoryBackend):
    """Notes the ranges of content that are read, and alters a bit of one answer if told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[str, int, int]] = []
        self.damaged: set[int] = set()

    def read(self, key, start=0, end=None):
        data = super().read(key, start, end)
        if key.startswith("blobs/"):
            self.ranges.append((key, start, len(data)))
            if len(self.ranges) - 1 in self.damaged:
                data = bytes([data[0] ^ 1]) + data[1:]
        return data

    @property
    def moved(self) -> int:
        return sum(size for _, _, size in self.ranges)

    def change(self, key, change) -> None:
        stored = self.bucket.objects[key]
        self.bucket.objects[key] = StoredObject(change(stored.data), stored.modified)


@pytest.fixture
def backend():
    return Counting()


@pytest.fixture
def artifact(backend):
    return client_on(backend).register_artifact("data", {"large": LARGE, "small": SMALL, "empty": b""})


@pytest.fixture
def fs(artifact):
    return MetaMLFlowFileSystem.of(artifact)


def flipped(at: int):
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_the_end_of_a_large_file_costs_kilobytes(fs, backend):
    with fs.open("data/large") as file:
        file.seek(-8, os.SEEK_END)
        assert file.read() == LARGE[-8:]
        file.seek(5 * MIB)
        assert file.read(100_000) == LARGE[5 * MIB :][:100_000]
    assert backend.moved < 100_000 + 64 * KIB
    assert len(backend.ranges) == 2


def test_a_read_in_order_fetches_ever_larger_ranges_and_each_byte_once(fs, backend):
    with fs.open("data/large") as file:
        assert b"".join(iter(lambda: file.read(10_000), b"")) == LARGE
    assert backend.moved == len(LARGE)
    assert len(backend.ranges) < 12


def test_a_large_part_comes_in_several_requests_at_once(fs, backend):
    with fs.open("data/large") as file:
        file.seek(1000)
        assert file.read(18 * MIB) == LARGE[1000:][: 18 * MIB]
    assert len(backend.ranges) == 3
    assert max(size for _, _, size in backend.ranges) <= 8 * MIB


def test_any_jumps_read_what_a_plain_file_would(fs):
    moves = random.Random(4)
    with fs.open("data/large") as file:
        for _ in range(200):
            start, size = moves.randrange(len(LARGE) + 10), moves.choice([0, 1, 7, 8192, 70_000, 300_000])
            if moves.random() < 0.6:
                file.seek(start)
            start = file.tell()
            assert file.read(size) == LARGE[start : start + size]
            assert fs.cat_file("data/large", start, start + size) == LARGE[start : start + size]
        assert file.seek(-3, os.SEEK_END) == len(LARGE) - 3
        assert file.read() == LARGE[-3:]
        assert fs.cat_file("data/large", -5, -2) == LARGE[-5:-2]


def test_what_is_read_from_start_to_end_is_verified_before_its_end(fs, artifact, backend, tmp_path):
    backend.change(artifact.entries["large"].key, flipped(100))
    with fs.open("data/large") as file:
        parts = iter(lambda: file.read(MIB), b"")
        assert next(parts)  # as of any reader that verifies at the end
        with pytest.raises(IntegrityError):
            list(parts)
        assert file.tell() < len(LARGE)
    for read in (fs.cat_file, lambda path: fs.open(path).read(), lambda path: fs.get(path, str(tmp_path / "x"))):
        with pytest.raises(IntegrityError):
            read("data/large")
    assert not list(tmp_path.iterdir())


def test_a_file_of_up_to_a_mebibyte_is_verified_also_where_a_part_is_read(fs, artifact, backend):
    with fs.open("data/small") as file:
        file.seek(1000)
        assert file.read(10) == SMALL[1000:1010]
    assert len(backend.ranges) == 1
    backend.change(artifact.entries["small"].key, flipped(MIB - 1))
    with fs.open("data/small") as file, pytest.raises(IntegrityError):
        file.read(10)
    with pytest.raises(IntegrityError):
        fs.cat_file("data/small", 5, 10)


def test_a_part_of_a_large_file_in_a_bucket_is_verified_only_when_asked_for(artifact, fs, backend):
    backend.change(artifact.entries["large"].key, flipped(100))
    assert fs.cat_file("data/large", 100, 101) == bytes([LARGE[100] ^ 1])
    with MetaMLFlowFileSystem.of(artifact, verify="whole").open("data/large") as file:
        file.seek(5 * MIB)
        with pytest.raises(IntegrityError):
            file.read(1)


def test_a_forged_size_costs_two_requests_at_most_and_no_memory(fs, artifact, backend):
    forged = replace(artifact.entries["small"], size=2**52)
    with closing(BlobReader(artifact._store, artifact._manifest, forged)) as ranges:
        for start, size in [(0, 2**52), (2**51, 2**51), (0, 2**40)]:
            backend.ranges.clear()
            with pytest.raises(IntegrityError):
                ranges.read_at(start, size)
            assert len(backend.ranges) <= 2


@pytest.mark.parametrize("path", ["large", "small", "empty"])
@pytest.mark.parametrize("change", ["shorter", "longer", "missing"])
def test_an_object_that_is_missing_or_of_another_size_is_told(fs, artifact, backend, path, change):
    key = artifact.entries[path].key
    if change == "missing":
        del backend.bucket.objects[key]
    elif change == "longer":
        backend.change(key, lambda data: data + b"!")
    elif path == "empty":
        pytest.skip("nothing is shorter")
    else:
        backend.change(key, lambda data: data[:-1])
    with fs.open(f"data/{path}") as file:
        file.seek(-9 if path != "empty" else 0, os.SEEK_END)
        with pytest.raises(IntegrityError):
            file.read()
    with pytest.raises(IntegrityError):
        fs.cat_file(f"data/{path}")


def test_what_was_damaged_on_its_way_is_fetched_again(fs, backend):
    backend.damaged = {2}
    assert fs.open("data/large").read() == LARGE
    backend.ranges.clear()
    backend.damaged = {0}
    assert fs.cat_file("data/small", 3, 9) == SMALL[3:9]


# --- on a disk --------------------------------------------------------------------------------------------------------


@pytest.fixture
def local(client):
    artifact = client.register_artifact("data", {"large": LARGE[: 3 * MIB], "other": b"x"})
    return artifact, MetaMLFlowFileSystem.of(artifact)


def test_a_file_of_a_local_store_is_verified_before_its_first_byte(local, raw):
    artifact, fs = local
    raw.overwrite(raw.root / artifact.entries["large"].key, flipped(2 * MIB)(LARGE[: 3 * MIB]))
    for read in (lambda: fs.open("data/large").read(1), lambda: fs.cat_file("data/large", 5, 6)):
        with pytest.raises(IntegrityError):
            read()
    assert MetaMLFlowFileSystem.of(artifact, verify="ranges").cat_file("data/large", 5, 6) == LARGE[5:6]


def test_a_file_of_a_local_store_is_verified_once_until_it_changes(local, raw, monkeypatch):
    artifact, fs = local
    verified = []
    verify = ranged._verify
    monkeypatch.setattr(ranged, "_verify", lambda source, entry: verified.append(entry.path) or verify(source, entry))
    for start in range(3):
        assert fs.cat_file("data/large", start, start + 9) == LARGE[start : start + 9]
    assert verified == ["large"]
    path = raw.root / artifact.entries["large"].key
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes([LARGE[100] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as somebody does who hides a change
    with pytest.raises(IntegrityError):
        fs.cat_file("data/large", 0, 9)


@pytest.mark.parametrize(
    "change",
    [flipped(2 * MIB), lambda data: data[: 2 * MIB], lambda data: data + b"x", lambda _: b""],
    ids=["flipped", "cut off", "longer", "emptied"],
)
def test_a_file_of_a_local_store_that_changes_while_it_is_open_is_told(local, raw, change):
    artifact, fs = local
    path = raw.root / artifact.entries["large"].key
    with fs.open("data/large") as file:
        assert file.read(10) == LARGE[:10]
        path.chmod(0o644)
        path.write_bytes(change(LARGE[: 3 * MIB]))
        for start in (0, 2 * MIB, 3 * MIB - 1):
            file.seek(start)
            with pytest.raises(IntegrityError):
                file.read(10)


def test_a_file_of_a_local_store_can_be_touched_and_unlinked_while_it_is_open(local, raw):
    artifact, fs = local
    path = raw.root / artifact.entries["large"].key
    with fs.open("data/large") as file:
        for act in (lambda: os.utime(path), lambda: path.chmod(0o644), path.unlink):
            assert file.read(10) == LARGE[file.tell() - 10 : file.tell()]
            act()
        assert file.read() == LARGE[30 : 3 * MIB]


# --- long lists of files ----------------------------------------------------------------------------------------------


class Taken(Source):
    """Items that all have one content."""

    def __init__(self, items):
        self._items = items

    def walk(self, problems):
        yield from self._items


@pytest.mark.full
def test_a_file_among_very_many_costs_one_page_of_the_list(backend):
    client = client_on(backend)
    (one,) = client.register_artifact("one", b"x").entries
    paths = sorted(f"{folder}/{number}" for folder in ("a", "b", "c") for number in range(20_000))
    entries = [Entry(path, one.size, one.sha256, one.crc32c, one.key) for path in paths]
    draft = PublishRequest(name=ArtifactName("many"), source=Taken(entries), artifact_type="dataset", metadata={})
    publish(client._store, draft)
    artifact = client.get_artifact("many")
    pages = len(artifact._manifest.shards)
    assert pages > 6
    backend.ranges.clear()
    fs = MetaMLFlowFileSystem.of(artifact)
    assert fs.cat("many@1/b/777") == b"x"
    assert len(backend.ranges) == 2
    assert fs.ls("many@1", detail=False) == ["many@1/a", "many@1/b", "many@1/c"]
    assert fs.isdir("many@1/c")
    assert len(backend.ranges) < 2 + pages
    assert len(fs.ls("many@1/b")) == 20_000
    assert fs.find("many@1") == [f"many@1/{path}" for path in paths]


# --- one file in several threads --------------------------------------------------------------------------------------


class Gate:
    """Parts of a file that come when they are let through."""

    def __init__(self, ranges) -> None:
        self.ranges, self.close = ranges, ranges.close
        self.reached, self.opened = threading.Event(), threading.Event()

    def read_at(self, start, size):
        self.reached.set()
        assert self.opened.wait(30)
        return self.ranges.read_at(start, size)


@pytest.mark.parametrize("place", ["bucket", "disk", "disk, in ranges", "disk, of a data set"])
def test_threads_that_seek_and_read_one_file_at_once_get_what_they_sought(fs, local, place):
    """As DuckDB does: nothing keeps another thread from coming between the two calls."""
    if place != "bucket":
        fs = MetaMLFlowFileSystem.of(local[0], verify="auto" if place == "disk" else "ranges")
    size = fs.size("data/large")
    file = open_ranges(local[0], "large") if place == "disk, of a data set" else fs.open("data/large")
    gate = file._ranges = Gate(file._ranges)

    def read(seed: int) -> bool:
        moves = random.Random(seed)
        for _ in range(100):
            at, length = moves.randrange(size), moves.choice([9, 20_000, 80_000])
            file.seek(at)
            time.sleep(0)  # somebody else's turn
            if file.read(length) != LARGE[:size][at : at + length]:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(read, 0)
        assert gate.reached.wait(30)
        others = [pool.submit(read, seed) for seed in range(1, 8)]
        time.sleep(0.01)
        gate.opened.set()
        assert all(one.result() for one in (first, *others))
    assert fs.cat("data/large") == LARGE[:size]


@pytest.mark.parametrize("second", [200, 100], ids=["elsewhere", "the same place"])
def test_a_seek_of_another_thread_before_the_first_read_moves_nobody(fs, second):
    file = fs.open("data/large")
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(file.seek, 100).result()
        other.submit(file.seek, second).result()
        assert other.submit(file.read, 4).result() == LARGE[second : second + 4]
        assert one.submit(file.read, 4).result() == LARGE[100:104]


class Disturbed(WindowReader):
    """Content of which one answer is damaged on its way, while another thread reads at a place."""

    def __init__(self, place: int, *, is_lasting: bool) -> None:
        super().__init__(len(LARGE), ("sha256", hashlib.sha256(LARGE).hexdigest()))
        self.place, self.is_lasting, self.is_armed = place, is_lasting, False

    def _fetch(self, start, end):
        data = bytearray(LARGE[start:end])
        if self.is_armed and (start or self.is_lasting) and start <= 100 * KIB < end:
            self.is_armed = self.is_lasting
            data[100 * KIB - start] ^= 1
            if not self.is_lasting:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(self.read_at, self.place, 10).result()
        return bytes(data)

    def _compare(self, digester):
        if digester.digests()["sha256"] != hashlib.sha256(LARGE).hexdigest():
            raise IntegrityError("damaged")

    def _damaged_before(self):
        return IntegrityError("damaged before")


@pytest.mark.parametrize("place", [0, 64 * KIB, 5 * MIB])
def test_a_whole_read_is_verified_whatever_another_thread_reads_meanwhile(place):
    reader = Disturbed(place, is_lasting=False)
    reader.read_at(0, 10)
    reader.is_armed = True
    assert reader.read_at(0, len(LARGE)) == LARGE
    assert not reader.is_armed


def test_a_whole_read_is_verified_also_from_a_window_that_came_late():
    reader = Disturbed(0, is_lasting=True)
    reader.is_armed = True
    reader.read_at(0, 10)
    late = reader._held
    reader.read_at(64 * KIB, 10)
    reader._held = late  # as by a thread that fetched it before, and keeps it only now
    with pytest.raises(IntegrityError):
        reader.read_at(0, len(LARGE))


def test_calls_one_after_another_share_one_position_whichever_threads_they_are_in(fs):
    file = fs.open("data/large")
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:

        def call(pool, name, *given):
            return pool.submit(getattr(file, name), *given).result()

        call(one, "seek", 0, os.SEEK_END)
        assert call(other, "tell") == len(LARGE)
        call(other, "seek", 5)
        assert call(one, "read", 10) == LARGE[5:15]
        assert call(other, "read", 10) == LARGE[15:25]
        call(one, "seek", -3, os.SEEK_CUR)
        assert call(other, "read", 4) == LARGE[22:26]
