"""The reference model passes the suite, and does what only it does."""

import pickle
from datetime import UTC, datetime, timedelta

import fsspec
import pytest

from metamlflow.testing import BackendSuite, MemoryBackend, MemoryBucket, StoredObject, blob_of


class TestMemoryBackend(BackendSuite):
    put_memory_bytes = 200 * 1024 * 1024  # it is made to keep everything in memory

    @pytest.fixture
    def backend(self):
        return MemoryBackend()

    def reopen(self, backend):
        return MemoryBackend(backend.bucket)

    def raw_read(self, backend, key):
        return backend.bucket.objects[key].data

    def raw_write(self, backend, key, data):
        backend.bucket.objects[key] = StoredObject(data, datetime.now(UTC))


def test_times_come_from_the_bucket_s_clock():
    now = datetime(2031, 1, 1, tzinfo=UTC)
    backend = MemoryBackend(MemoryBucket(clock=lambda: now))
    backend.create("a", b"1")
    now += timedelta(days=3)
    info = backend.stat("a")
    assert (info.observed - info.modified, info.observed) == (timedelta(days=3), now)


def test_buckets_are_strangers_unless_shared():
    one, another = MemoryBackend(), MemoryBackend()
    one.create("a", b"1")
    assert list(another.list_objects()) == []
    assert MemoryBackend(one.bucket).read("a") == b"1"


def test_a_memory_backend_refuses_to_leave_its_process():
    with pytest.raises(TypeError, match="lives in its process alone"):
        pickle.dumps(MemoryBackend())


def test_its_file_system_lists_folders_and_refuses_to_write():
    backend = MemoryBackend(MemoryBucket("shelf"))
    backend.put("data/a.csv", blob_of(b"x\n1\n"))
    assert backend.filesystem.ls("shelf", detail=False) == ["shelf/data"]
    assert backend.filesystem.info("shelf/data/a.csv")["size"] == 4
    with pytest.raises(OSError, match="for reading"), fsspec.open(backend.url_of("data/a.csv"), "wb") as file:
        file.write(b"no")
    with pytest.raises(FileNotFoundError), fsspec.open(backend.url_of("data/b.csv")) as file:
        file.read()


def test_urls_of_a_bucket_that_is_gone_open_nothing():
    url = MemoryBackend().url_of("a")
    with pytest.raises(FileNotFoundError), fsspec.open(url) as file:
        file.read()
