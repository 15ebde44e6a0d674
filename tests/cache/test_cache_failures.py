"""The cache after failures: errors, full disks and killed processes leave nothing behind."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest
from cache_processes import FORK, fill_model, get, held, in_child, leave, leftovers

from metamlflow.errors import (
    IntegrityError,
    StorageFullError,
)
from metamlflow.store.cache.file_cache import FileCache


@pytest.mark.parametrize("error", [KeyboardInterrupt, IntegrityError("wrong"), ConnectionError("gone")])
def test_a_failed_fetch_passes_its_error_on_and_leaves_nothing(cache, error):
    def fetch(file):
        file.write(b"half")
        file.flush()
        raise error

    def fill(folder):
        fill_model(folder)
        raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        cache.file("a" * 64, "x", fetch, size=8)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        cache.folder("a" * 64, fill, size=8)
    assert leftovers(cache.root) == []
    assert get(cache, b"next").read_bytes() == b"next"


def write_to_full_device(_):
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 (a device)
        full.write(b"x")


def run_out_of_quota(_):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def write_more_than_a_file_may_hold(_):
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def run_out_of_space_translated(_):
    raise StorageFullError("s3://bucket: no space is left on the disk")


HAS_FULL_DEVICE = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.mark.parametrize(
    "fetch",
    [
        pytest.param(write_to_full_device, marks=HAS_FULL_DEVICE),
        run_out_of_quota,
        write_more_than_a_file_may_hold,
        run_out_of_space_translated,
    ],
)
def test_a_full_disk_is_an_error_that_names_the_cache_and_what_to_set(cache, fetch):
    for ask in (
        lambda: cache.file("a" * 64, "x", fetch, size=1),
        lambda: cache.folder("a" * 64, fetch, size=1),
    ):
        with pytest.raises(StorageFullError) as raised:
            ask()
        assert str(cache.root) in str(raised.value)
        assert "METAMLFLOW_CACHE_DIR" in str(raised.value)
        assert "METAMLFLOW_CACHE_SIZE" in str(raised.value)
    assert leftovers(cache.root) == []


def test_a_cache_that_cannot_write_a_byte_can_still_be_cleared(cache):
    leave(cache, b"a" * 300)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        assert cache.clear() == 300

    in_child(work)
    assert not held(cache, b"a" * 300)


def test_a_cache_that_was_deleted_by_hand_is_made_again(cache):
    get(cache, b"before")
    subprocess.run(["rm", "-rf", cache.root], check=True)
    assert get(cache, b"before").read_bytes() == b"before"
    in_child(cache.clear)
    assert held(cache, b"before")


def test_what_a_killed_fetch_left_is_removed_by_the_next_process(cache):
    begun = FORK.Event()

    def fetch(file):
        file.write(b"x" * 500)
        file.flush()
        begun.set()
        time.sleep(60)

    child = FORK.Process(target=lambda: cache.file("b" * 64, "x", fetch, size=1000))
    child.start()
    assert begun.wait(20)
    assert [path for path in leftovers(cache.root) if path.endswith("/x")]
    in_child(FileCache(cache.root).clear)
    assert [path for path in leftovers(cache.root) if path.endswith("/x")], "a fetch under way was swept"
    child.kill()
    child.join()
    get(cache, b"next")
    assert not [path for path in leftovers(cache.root) if path.endswith("/x")]
