"""What a local store looks like on disk, past the backend: temp files, modes, odd neighbours."""

import errno
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.backend import open_backend
from metamlflow.errors import (
    InvalidInputError,
    ObjectNotFoundError,
    SourceNotFoundError,
    StorageError,
    UnsupportedStoreError,
)
from metamlflow.testing import blob_of
from metamlflow_local import LocalBackend

DAY = 24 * 3600


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    return LocalBackend(root)


def files_of(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def keys_of(backend, prefix=""):
    return [info.key for info in backend.list_objects(prefix)]


def temp_file(root, name, age_seconds):
    path = root / ".tmp" / f"7-{hashlib.md5(name.encode()).hexdigest()}"  # as the backend names them
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half of someth")
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


# --- temp files -------------------------------------------------------------------------------------------------------


def test_opening_and_reading_touch_no_disk(tmp_path, root):
    backend = open_backend(f"file://{root}", {})
    assert keys_of(backend) == []
    with pytest.raises(ObjectNotFoundError):
        backend.read("a")
    assert backend.delete(["a"]) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["", ".", ".tmp", ".tmp/", ".tmp/x"])
def test_temp_files_are_never_listed(backend, root, prefix):
    temp_file(root, "x-1", age_seconds=0)
    assert keys_of(backend, prefix) == []


def test_no_write_leaves_a_temp_file(backend, root):
    backend.create("a", b"1")
    with pytest.raises(FileExistsError):
        os.link(root / "a", root / "a")
    backend.put("b", blob_of(b"2"))
    backend.put("b", blob_of(b"2"))
    assert files_of(root) == ["a", "b"]


def test_a_sweep_takes_temp_files_of_yesterday_and_leaves_todays(backend, root):
    temp_file(root, "old", age_seconds=DAY + 60)
    fresh = temp_file(root, "fresh", age_seconds=DAY - 600)
    backend.create("a", b"1")
    assert [path.name for path in (root / ".tmp").iterdir()] == [fresh.name]


@pytest.mark.parametrize("name", ["video.mp4", "1-abc", f"x-{'1' * 32}", f"1-{'1' * 32}.part"])
def test_neither_a_sweep_nor_a_collection_takes_a_stranger_s_file_among_the_temp_files(root, name):
    client = MetaMLFlowClient(f"file://{root}")
    client.register_artifact("a", b"1")
    theirs, ours = root / ".tmp" / name, temp_file(root, "old", age_seconds=400 * DAY)
    theirs.write_bytes(b"a day's work")
    os.utime(theirs, (1, 1))
    report = client.collect_garbage()
    assert [Path(key).name for key in report.uploads] == [ours.name]
    LocalBackend(root).create("b", b"1")
    assert (theirs.exists(), ours.exists()) == (True, False)


def test_an_instance_sweeps_once(backend, root):
    backend.create("a", b"1")
    old = temp_file(root, "old", age_seconds=DAY + 60)
    backend.create("b", b"1")
    assert old.exists()


class Watched(io.RawIOBase):
    """A reader that calls ``on_read`` once, before its second piece."""

    def __init__(self, source, on_read):
        super().__init__()
        self.source, self.on_read = source, on_read

    def readable(self):
        return True

    def read(self, size=-1):
        if self.source.tell() and self.on_read:
            self.on_read, happen = None, self.on_read
            happen()
        return self.source.read(min(size, 500))


KILLED_CHILD = """
import io, sys, time
from dataclasses import replace
from pathlib import Path
from metamlflow.testing import blob_of
from metamlflow_local import LocalBackend

class Stalls(io.RawIOBase):
    pieces = 0
    def read(self, size=-1):
        self.pieces += 1
        if self.pieces < 4:
            return b"x" * 1000
        print("half", flush=True)
        time.sleep(60)

LocalBackend(Path(sys.argv[1])).put("blobs/a", replace(blob_of(b"x" * 6000), open=Stalls))
"""


def test_a_put_that_is_killed_leaves_nothing_but_a_temp_file(backend, root):
    child = subprocess.Popen([sys.executable, "-c", KILLED_CHILD, str(root)], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout.readline() == "half\n"
        child.send_signal(signal.SIGKILL)
    assert keys_of(backend) == []
    [left] = (root / ".tmp").iterdir()
    os.utime(left, (0, 0))
    assert backend.put("blobs/a", blob_of(b"x" * 6000)) is True
    assert files_of(root) == ["blobs/a"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_put_that_is_interrupted_leaves_nothing_at_all(backend, root, interruption):
    def interrupt():
        raise interruption

    blob = replace(blob_of(b"x" * 1000), open=lambda: Watched(io.BytesIO(b"x" * 1000), interrupt))
    with pytest.raises(interruption):
        backend.put("a", blob)
    assert files_of(root) == []


def test_a_source_that_cannot_be_opened_is_no_failure_of_the_store(backend, root):
    with pytest.raises(FileNotFoundError) as caught:
        backend.put("a", replace(blob_of(b"x"), open=(root / "missing.csv").open))
    assert not isinstance(caught.value, ObjectNotFoundError | SourceNotFoundError)
    assert not root.exists()


# --- files and folders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"),
    [(0o022, 0o444, 0o755), (0o027, 0o440, 0o750), (0o002, 0o444, 0o775), (0o077, 0o400, 0o700)],
)
def test_what_is_stored_is_read_only_and_all_modes_honour_the_umask(backend, root, umask, file_mode, folder_mode):
    before = os.umask(umask)
    try:
        backend.put("blobs/a", blob_of(b"1"))
        backend.create("names/b.json", b"2")
    finally:
        os.umask(before)
    modes = {name: (root / name).stat().st_mode & 0o777 for name in ("blobs/a", "names/b.json", "blobs", ".tmp", ".")}
    assert modes == {
        "blobs/a": file_mode,
        "names/b.json": file_mode,
        "blobs": folder_mode,
        ".tmp": folder_mode,
        ".": folder_mode,
    }


def test_a_listing_gives_files_and_links_to_files_alone(backend, root, monkeypatch):
    backend.create("a/file", b"1")
    (root / "a/empty folder").mkdir()
    (root / "a/to-file").symlink_to(root / "a/file")
    (root / "a/to-nothing").symlink_to(root / "missing")
    (root / "a/to-folder").symlink_to(root / "a/empty folder")
    os.mkfifo(root / "a/pipe")
    with socket.socket(socket.AF_UNIX) as plug:
        monkeypatch.chdir(root)  # a socket's path may have 107 bytes only
        plug.bind("a/socket")
    assert keys_of(backend) == ["a/file", "a/to-file"]


def test_a_listing_that_is_left_reads_no_further_folder(backend, root):
    for number in range(5):
        backend.create(f"{number}/a", b"1")
    scanned = []
    _SCANS.append(scanned)
    try:
        assert next(backend.list_objects()).key == "0/a"
        in_full, scanned[:] = list(scanned), []
        assert keys_of(backend, "3/") == ["3/a"]
        below_prefix, scanned[:] = list(scanned), []
        assert [info.key for info in backend.list_objects(after="3/a")] == ["4/a"]
    finally:
        _SCANS.clear()
    assert [len(in_full), len(below_prefix), len(scanned)] == [2, 1, 3]


_SCANS = []


def _count_scans(event, arguments):
    if event == "os.scandir" and _SCANS:
        _SCANS[0].append(arguments[0])


sys.addaudithook(_count_scans)


def test_exactly_one_of_many_threads_says_that_it_put_a_blob(backend):
    blob, barrier = blob_of(b"x" * 10_000), threading.Barrier(8)

    def put(instance, key):
        barrier.wait()
        return instance.put(key, blob)

    with ThreadPoolExecutor(8) as pool:
        for turn in range(20):
            answers = pool.map(put, [backend, LocalBackend(backend._root)] * 4, [f"blobs/{turn}"] * 8)
            assert sorted(answers) == [False] * 7 + [True]


# --- disks that cannot, or say wrongly that they did not --------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_a_disk_without_hard_links_is_refused(backend, root, monkeypatch, number):
    # A disk that has none (exFAT, some FUSE mounts) cannot be made here: its kernel module may be missing.
    def no_link(source, target):
        raise OSError(number, os.strerror(number), source, None, target)

    monkeypatch.setattr(os, "link", no_link)
    for write in (lambda: backend.create("a", b"1"), lambda: backend.put("b", blob_of(b"2"))):
        with pytest.raises(UnsupportedStoreError, match="hard links"):
            write()
    assert files_of(root) == []


@pytest.mark.parametrize("write", ["create", "put"])
def test_a_link_whose_reply_was_lost_is_recognised_as_our_own(backend, root, monkeypatch, write):
    real_link = os.link

    def link_twice(source, target):  # as an NFS client does that sends its request again
        real_link(source, target)
        real_link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    if write == "create":
        backend.create("a", b"1")
    else:
        assert backend.put("a", blob_of(b"1")) is True
    assert (root / "a").read_bytes() == b"1"
    assert files_of(root) == ["a"]


# --- roots and keys ---------------------------------------------------------------------------------------------------


def test_the_longest_key_fits_and_a_longer_one_is_refused(backend, root):
    longest = ("x" * 199 + "/") * 30
    longest = longest[: backend.max_key_bytes]
    longest = longest[:-1] + "y"
    backend.create(longest, b"1")
    assert (backend.read(longest), keys_of(backend)) == (b"1", [longest])
    with pytest.raises(StorageError, match="too long for the disk"):
        backend.create(f"{longest}z", b"1")


def test_a_name_that_the_disk_does_not_take_is_refused(backend):
    with pytest.raises(StorageError, match="too long for the disk"):
        backend.create(f"names/{'x' * 300}.json", b"1")


def test_a_file_in_the_place_of_the_root_is_named(tmp_path):
    Path(tmp_path / "file").write_bytes(b"")
    backend = LocalBackend(tmp_path / "file")
    assert keys_of(backend) == []
    with pytest.raises(UnsupportedStoreError, match="is not a folder"):
        backend.create("a", b"1")


def test_storage_options_are_refused():
    with pytest.raises(InvalidInputError, match="takes no storage options, got anon, key"):
        open_backend("file:///store", {"key": 1, "anon": True})
