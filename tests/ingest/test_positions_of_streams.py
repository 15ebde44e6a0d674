"""A file object is content, whole, whatever its position: what was written to it is never left out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import pickle
import socket
import tarfile
import tempfile
import zipfile

import fsspec
import pytest

from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError

CONTENT = b"epoch,loss\n1,0.5\n"


def written(stream):
    """Return a file object into which the content was written, and which stands at its end."""
    stream.write(CONTENT)
    return stream


def opened(mode):
    def make(folder):
        if "r" in mode:
            (folder / "t.csv").touch()
        return written((folder / "t.csv").open(mode))

    return make


def spooled(most):
    return lambda folder: written(tempfile.SpooledTemporaryFile(max_size=most))


def mapped(folder):
    area = mmap.mmap(-1, len(CONTENT))
    return written(area)


def member_of_zip(folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("in/t.csv", CONTENT)
    with zipfile.ZipFile(folder / "a.zip") as archive:
        member = archive.open("in/t.csv")  # it holds the file open for itself
    member.read(5)
    return member


def member_of_tar(folder):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("t.csv")
        info.size = len(CONTENT)
        archive.addfile(info, io.BytesIO(CONTENT))
    packed.seek(0)
    member = tarfile.open(fileobj=packed).extractfile("t.csv")  # noqa: SIM115 (the member needs it)
    member.read(5)
    return member


def unpacked(module):
    def make(folder):
        (folder / "t.csv.packed").write_bytes(module.compress(CONTENT))
        stream = module.open(folder / "t.csv.packed")
        stream.read(5)
        return stream

    return make


STREAMS = {
    "memory": lambda folder: written(io.BytesIO()),
    "a file opened w+b": opened("w+b"),
    "a file opened r+b": opened("r+b"),
    "a file opened a+b": opened("a+b"),
    "a file opened x+b": opened("x+b"),
    "a file without a buffer": lambda folder: written((folder / "t.csv").open("w+b", buffering=0)),
    "a temporary file with a name": lambda folder: written(tempfile.NamedTemporaryFile()),  # noqa: SIM115 (the test closes it)
    "a temporary file": lambda folder: written(tempfile.TemporaryFile()),  # noqa: SIM115 (the same)
    "a spooled file in memory": spooled(1000),
    "a spooled file on the disk": spooled(3),
    "mapped memory": mapped,
    "a member of a zip": member_of_zip,
    "a member of a tar": member_of_tar,
    "gzip": unpacked(gzip),
    "bz2": unpacked(bz2),
    "xz": unpacked(lzma),
    "what fsspec opened": lambda folder: written(fsspec.open(f"file://{folder}/t.csv", "w+b").open()),
    "a file in fsspec's memory": lambda folder: written(fsspec.filesystem("memory").open("/positions.csv", "wb")),
}


@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS)
def test_what_was_written_or_read_before_is_registered_with_the_rest(client, folder, make):
    with make(folder) as stream:
        position = stream.tell()
        assert position > 0
        assert client.register_artifact("a", stream).read_bytes() == CONTENT
        assert client.register_artifact("b", {"in/t.csv": stream, "x": b""}).read_bytes("in/t.csv") == CONTENT
        assert Dataset.register(client, "c", {"t.csv": stream}).to_arrow().num_rows == 1
        assert stream.tell() == position


def test_a_model_that_was_just_dumped_is_not_empty(client):
    stream = io.BytesIO()
    pickle.dump({"weights": [1, 2]}, stream)
    assert pickle.loads(client.register_artifact("model", stream).read_bytes()) == {"weights": [1, 2]}


def test_what_is_written_after_a_registration_belongs_to_the_next(client, folder):
    with (folder / "log").open("w+b") as stream:
        stream.write(b"1")
        first = client.register_artifact("a", stream)
        stream.write(b"2")
        second = client.register_artifact("a", stream)
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"12")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_a_file_open_for_writing_only_is_refused_with_the_remedy(client, store_folder, folder, mode):
    with (folder / "t").open(mode) as stream:
        stream.write(CONTENT)
        with pytest.raises(InvalidInputError, match=rf"for writing only(?s:.)*{folder}/t"):
            client.register_artifact("a", {"x": stream, "y": b""})
    assert not store_folder.exists()
    assert client.register_artifact("a", folder / "t").read_bytes() == CONTENT


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=lambda module: module.__name__)
def test_a_packer_open_for_writing_is_refused(client, store_folder, folder, module):
    with module.open(folder / "t", "wb") as stream, pytest.raises(InvalidInputError, match="for writing only"):
        client.register_artifact("a", stream)
    assert not store_folder.exists()


def test_a_stream_that_cannot_go_back_is_read_once_from_where_it_stands(client):
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as stream:
        ours.sendall(CONTENT)
        ours.shutdown(socket.SHUT_WR)
        assert client.register_artifact("a", stream).read_bytes() == CONTENT


def test_a_stream_that_was_read_in_part_and_cannot_go_back_is_refused(client, store_folder):
    class Body(io.RawIOBase):
        position = 5

        def tell(self):
            return self.position

        def read(self, size=-1):
            return b""

    with pytest.raises(InvalidInputError, match="stands at byte 5 and cannot go back"):
        client.register_artifact("a", Body())
    assert not store_folder.exists()


def test_one_file_object_at_two_places_is_refused(client, store_folder):
    stream = io.BytesIO(CONTENT)
    with pytest.raises(InvalidInputError, match="'a', 'in/b' are one file object"):
        client.register_artifact("a", {"a": stream, "in": {"b": stream}})
    assert not store_folder.exists()


@pytest.mark.parametrize(
    "close", [lambda stream: stream.close(), lambda stream: stream.detach()], ids=["closed", "detached"]
)
def test_a_file_object_that_is_no_longer_open_is_refused(client, store_folder, folder, close):
    (folder / "t").write_bytes(CONTENT)
    stream = (folder / "t").open("rb")
    raw = stream.raw
    close(stream)
    with pytest.raises(InvalidInputError, match=r"closed|detached"):
        client.register_artifact("a", stream)
    raw.close()
    assert not store_folder.exists()


def test_memory_that_was_released_is_refused(client, store_folder):
    view = memoryview(CONTENT)
    view.release()
    with pytest.raises(InvalidInputError, match="released"):
        client.register_artifact("a", view)
    assert not store_folder.exists()


def test_a_read_of_another_kind_is_no_file_object(client, store_folder, folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("t.csv", CONTENT)
    with zipfile.ZipFile(folder / "a.zip") as archive, pytest.raises(InvalidInputError, match="ZipFile"):
        client.register_artifact("a", archive)
    assert not list(store_folder.rglob("*_v1.json"))


# --- what fsspec.open returns ---------------------------------------------------------------------------------------


def test_a_file_that_fsspec_is_to_open_is_the_bytes_that_it_reads(client, folder):
    (folder / "t.csv.gz").write_bytes(gzip.compress(CONTENT))
    packed = client.register_artifact("a", fsspec.open(f"file://{folder}/t.csv.gz"))
    plain = client.register_artifact("a", fsspec.open(f"file://{folder}/t.csv.gz", compression="infer"))
    assert [entry.path for entry in packed.entries] == ["t.csv.gz"]
    assert gzip.decompress(packed.read_bytes()) == CONTENT
    assert [entry.path for entry in plain.entries] == ["t.csv"]
    assert plain.read_bytes() == CONTENT


def test_files_that_fsspec_is_to_open_may_stand_in_a_list(client):
    memory = fsspec.filesystem("memory")
    for name in "ab":
        memory.pipe_file(f"/listed/{name}.csv", CONTENT)
    artifact = client.register_artifact("a", fsspec.open_files("memory://listed/*.csv"))
    assert [entry.path for entry in artifact.entries] == ["a.csv", "b.csv"]
    assert artifact.read_bytes("b.csv") == CONTENT


@pytest.mark.parametrize("mode", ["wb", "rt"])
def test_a_file_that_fsspec_is_to_open_otherwise_is_refused(client, store_folder, folder, mode):
    (folder / "t").write_bytes(CONTENT)
    with pytest.raises(InvalidInputError, match="'rb'"):
        client.register_artifact("a", fsspec.open(f"file://{folder}/t", mode))
    assert not store_folder.exists()
    assert (folder / "t").read_bytes() == CONTENT


def test_what_fsspec_is_writing_is_not_taken_from_the_disk(client, store_folder, folder):
    with fsspec.open(f"file://{folder}/t", "wb") as stream:
        stream.write(CONTENT)
        with pytest.raises(InvalidInputError, match="for writing only"):
            client.register_artifact("a", stream)
    assert not store_folder.exists()
