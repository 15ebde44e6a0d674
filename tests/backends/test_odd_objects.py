"""What lies in a store folder in place of an object: no call waits for a pipe or reads a device."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import MetaMLFlowError, NotFoundError, PointerDriftError, StorageError
from metamlflow.testing import blob_of
from metamlflow_local import LocalBackend

DAY = 24 * 3600


def make_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have 107 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as plug:
            plug.bind(path.name[:90])
        Path(path.name[:90]).rename(path.name)
    finally:
        os.chdir(before)


KINDS = {
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a pipe": lambda path: (os.mkfifo(f"{path}.pipe"), path.symlink_to(f"{path}.pipe")),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere"),
    "links in a ring": lambda path: path.symlink_to(path.name),
    "a folder": Path.mkdir,
}


@pytest.fixture
def backend(tmp_path):
    backend = LocalBackend(tmp_path / "store")
    backend.create("a/there", b"1")
    return backend


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_call_of_the_backend_answers_at_once_and_none_takes_it_for_an_object(backend, tmp_path, kind):
    kind(tmp_path / "store/a/odd")
    for call in (backend.open, backend.read, backend.stat, lambda key: backend.read(key, 0, 10)):
        with pytest.raises(StorageError):
            call("a/odd")
    with pytest.raises(StorageError, match="lies where an object belongs"):
        backend.create("a/odd", b"1")
    with pytest.raises(StorageError, match="lies where an object belongs"):
        backend.put("a/odd", blob_of(b"1"))
    assert not backend.holds("a/odd", 0)
    assert [info.key for info in backend.list_objects()] == ["a/there"]
    assert not list((tmp_path / "store/.tmp").iterdir())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_replacement_takes_the_place_of_whatever_is_not_a_folder(backend, tmp_path, kind):
    odd = tmp_path / "store/a/odd"
    kind(odd)
    if odd.is_dir():
        with pytest.raises(StorageError, match="a folder lies where an object belongs"):
            backend.replace("a/odd", blob_of(b"1"))
    else:
        backend.replace("a/odd", blob_of(b"1"))
        assert backend.read("a/odd") == b"1"
    assert not list((tmp_path / "store/.tmp").iterdir())


@pytest.mark.parametrize("kind", [*(kind for kind in KINDS.values() if kind is not Path.mkdir), Path.touch])
def test_nothing_is_stored_below_what_is_not_a_folder_and_the_error_says_so(backend, tmp_path, kind):
    kind(tmp_path / "store/a/odd")
    writes = {
        "create": lambda: backend.create("a/odd/x", b"1"),
        "put": lambda: backend.put("a/odd/x", blob_of(b"1")),
        "replace": lambda: backend.replace("a/odd/x", blob_of(b"1")),
    }
    for name, write in writes.items():
        with pytest.raises(StorageError, match=r"not a folder lies where a folder belongs|lead round") as caught:
            write()
        assert not isinstance(caught.value, NotFoundError), name
    assert not list((tmp_path / "store/.tmp").iterdir())


PLACES = {
    "the marker": lambda raw: raw.root / "metamlflow.json",
    "the manifest": lambda raw: raw.manifest_path("a", 1),
    "the blob": lambda raw: raw.blob_path(b"content", ".txt"),
    "the name": lambda raw: raw.root / "names/a.json",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_use_of_a_store_ends_with_what_was_registered_or_an_error(client, raw, tmp_path, place, kind):
    client.register_artifact("a", {"x.txt": b"content"})
    place(raw).unlink()
    kind(place(raw))
    reader = MetaMLFlowClient(raw.root, cache_dir=tmp_path / "cache")

    def fetched(folder: Path) -> bytes:
        return folder.read_bytes()

    reads = {
        "read": lambda: reader.get_artifact("a").read_bytes("x.txt"),
        "download": lambda: fetched(reader.get_artifact("a").download(tmp_path / "out")),
        "cache": lambda: fetched(reader.get_artifact("a").local_path()),
        "register again": lambda: reader.register_artifact("a", {"x.txt": b"content"}).read_bytes("x.txt"),
    }
    for name, read in reads.items():
        began = time.monotonic()
        with suppress(MetaMLFlowError):
            assert read() == b"content", name
        assert time.monotonic() - began < 20, name
    for use in (reader.list_artifacts, lambda: reader.get_artifact("a", 1).verify()):
        with suppress(MetaMLFlowError):
            use()


# --- temp files and clocks --------------------------------------------------------------------------------------------


@contextmanager
def at_work(backend: LocalBackend):
    with backend._temp_file() as (path, descriptor):
        yield path, descriptor


def test_a_temp_file_that_is_being_written_is_not_swept_however_old_it_seems(backend, tmp_path):
    with at_work(backend) as (path, _):
        os.utime(path, (1, 1))  # as a disk with another clock shows it
        left = path.with_name(f"1-{'1' * 32}")
        left.touch()
        os.utime(left, (1, 1))
        LocalBackend(tmp_path / "store").create("b", b"1")
        assert path.exists()
        assert not left.exists()


def test_a_client_whose_clock_is_days_ahead_sweeps_by_the_time_of_the_disk(backend, tmp_path, monkeypatch):
    fresh = tmp_path / f"store/.tmp/1-{'1' * 32}"
    fresh.touch()
    ahead = time.time() + 3 * DAY
    monkeypatch.setattr(time, "time", lambda: ahead)
    LocalBackend(tmp_path / "store").create("b", b"1")
    assert fresh.exists()


# --- depth ------------------------------------------------------------------------------------------------------------


def test_a_store_folder_deeper_than_pythons_stack_is_listed(tmp_path):
    backend = LocalBackend(tmp_path / "s")
    key = "/".join("d" * (sys.getrecursionlimit() + 100)) + "/x"
    try:
        backend.create(key, b"1")
        assert [info.key for info in backend.list_objects()] == [key]
        assert [info.key for info in backend.list_objects(after=key[:-3])] == [key]
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "s"], check=True)  # pytest's own way takes Python's stack


@pytest.mark.parametrize("evidence", ["stat", "full"])
def test_a_pipe_in_place_of_pointed_data_is_not_even_opened(tmp_path, evidence):
    file = tmp_path / "lake.csv"
    file.write_bytes(b"x\n1\n")
    client = MetaMLFlowClient(tmp_path / "store")
    artifact = client.register_pointer("a", file, evidence=evidence)
    file.unlink()
    os.mkfifo(file)
    for use in (artifact.read_bytes, lambda: artifact.open().read(), lambda: artifact.download(tmp_path / "out")):
        with pytest.raises(PointerDriftError, match="neither a file nor a folder"):
            use()
    assert not artifact.verify("full").ok
    with pytest.raises(OSError, match="No such device"):  # ENXIO: nobody has opened it for reading
        os.open(file, os.O_WRONLY | os.O_NONBLOCK)
