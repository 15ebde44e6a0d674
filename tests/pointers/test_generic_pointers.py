"""Pointers to any other place that fsspec opens: in memory, and on a file system that knows no times."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Pointer
from metamlflow.errors import (
    EvidenceUnavailableError,
    InvalidInputError,
    InvalidPathError,
    MissingDependencyError,
    PointerDriftError,
    SourceNotFoundError,
)


class TimelessFileSystem(MemoryFileSystem):
    """A file system that tells names and sizes alone."""

    protocol = "timeless"
    store: dict = {}  # noqa: RUF012 (as its parent has it, for all instances)
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("timeless://", "memory://"))

    def ls(self, path, detail=True, **kwargs):  # noqa: FBT002 (as fsspec has it)
        found = super().ls(path, detail=True, **kwargs)
        facts = [{name: info[name] for name in ("name", "size", "type")} for info in found]
        return facts if detail else [info["name"] for info in facts]

    def info(self, path, **kwargs):
        found = super().info(path, **kwargs)
        return {name: found[name] for name in ("name", "size", "type")}


ANYTHING = {"*": "allow"}


@pytest.fixture
def client(store_folder, tmp_path):
    """A client that opens whatever fsspec does."""
    return MetaMLFlowClient(store_folder, cache_dir=tmp_path / "cache", pointer_policy=ANYTHING)


@pytest.fixture(params=["memory", "timeless"])
def place(request):
    """Writes files to a folder of a file system of fsspec, and tells the folder's URI."""
    fsspec.register_implementation("timeless", TimelessFileSystem, clobber=True)
    filesystem = fsspec.filesystem(request.param)
    root = uuid4().hex
    filesystem.mkdir(f"/{root}")

    seconds = count(1_700_000_000)

    def write(path, data):
        filesystem.pipe_file(f"/{root}/{path}", data)
        filesystem.store[f"/{root}/{path}"].created = datetime.fromtimestamp(next(seconds), UTC)
        return f"{request.param}://{root}"

    write.filesystem, write.root, write.scheme = filesystem, root, request.param
    yield write
    filesystem.rm(f"/{root}", recursive=True)


def read_all(artifact):
    return {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries}


def test_an_object_is_pointed_to_and_read(client, raw, place, tmp_path):
    uri = place("deep/a.csv", b"a\n1\n")
    artifact = client.register_pointer("a", f"{uri}/deep/a.csv", evidence="full")
    (entry,) = raw.manifest("a")["entries"]
    assert (entry["uri"], entry["size"], entry["evidence"]) == (f"{uri}/deep/a.csv", 4, "full")
    assert ("modified_ns" in entry) is (place.scheme == "memory")
    assert raw.blobs() == set()
    assert artifact.storage_path == f"{uri}/deep/a.csv"
    assert artifact.read_bytes() == b"a\n1\n"
    assert artifact.download(tmp_path / "out").read_bytes() == b"a\n1\n"
    assert artifact.verify()
    assert artifact.verify("stat")


def test_a_folder_and_a_glob_keep_their_paths_in_order(client, place):
    content = {path: path.encode() for path in ("a", "b-c", "b/c.csv", "b/d/e.csv", "größe ?#%20.csv")}
    for path, data in content.items():
        uri = place(path, data)
    for spelled in (uri, f"{uri}/"):
        artifact = client.register_pointer("all", spelled)
        assert read_all(artifact) == content
        assert [entry.path for entry in artifact.entries] == sorted(content)
        assert artifact.storage_path == f"{uri}/"
        assert artifact.verify()
    chosen = client.register_pointer("csv", f"{uri}/b/**/*.csv")
    assert [entry.path for entry in chosen.entries] == ["c.csv", "d/e.csv"]
    assert chosen.read_bytes("d/e.csv") == b"b/d/e.csv"


def test_large_content_is_read_in_ranges_and_whole(client, place, tmp_path):
    data = bytes(range(256)) * 16_384
    uri = place("large", data)
    artifact = client.register_pointer("a", f"{uri}/large", evidence="full")
    with artifact.open() as reader:
        reader.seek(-10, 2)
        assert reader.read() == data[-10:]
        reader.seek(1_000_000)
        assert reader.read(300_000) == data[1_000_000:1_300_000]
    assert artifact.download(tmp_path / "out").read_bytes() == data
    assert artifact.materialize().read_bytes() == data


@pytest.mark.parametrize(
    ("change", "evidence"),
    [(b"longer than it was", "stat"), (b"", "stat"), (b"FOUR", "full"), (None, "stat"), (None, "full")],
)
def test_what_changed_is_not_handed_out(client, place, tmp_path, change, evidence):
    uri = place("a", b"four")
    artifact = client.register_pointer("a", f"{uri}/a", evidence=evidence)
    if change is None:
        place.filesystem.rm(f"/{place.root}/a")
    else:
        place("a", change)
    for use in (artifact.read_bytes, lambda: artifact.open().read(), lambda: artifact.download(tmp_path / "out")):
        with pytest.raises(PointerDriftError) as caught:
            use()
        assert (caught.value.path, caught.value.key) == ("a", f"{uri}/a")
    assert not (tmp_path / "out").exists()
    assert [finding.status for finding in artifact.verify().findings] == ["missing" if change is None else "modified"]


def test_with_a_time_the_same_size_tells_and_without_one_nothing_does(client, place):
    uri = place("a", b"four")
    artifact = client.register_pointer("a", f"{uri}/a")
    place("a", b"FOUR")
    assert artifact.verify("stat").counts["modified"] == (place.scheme == "memory")


def test_no_digest_is_held(client, raw, place):
    uri = place("a", b"1")
    for spelled in (f"{uri}/a", uri):
        with pytest.raises(EvidenceUnavailableError) as caught:
            client.register_pointer("a", spelled, evidence="checksum")
        assert caught.value.choices == ("full", "stat")
    assert raw.manifests() == []


@pytest.mark.parametrize("name", ["nope", "nope/", "*.nope"])
def test_where_there_is_nothing_nothing_is_registered(client, raw, place, name):
    uri = place("a", b"1")
    with pytest.raises(SourceNotFoundError) as caught:
        client.register_pointer("a", f"{uri}/{name}")
    assert caught.value.source == f"{uri}/{name}"
    assert raw.manifests() == []


def test_a_name_that_is_no_logical_path_is_refused(client, raw, place):
    uri = place("bad\nname", b"1")
    for spelled in (uri, f"{uri}/bad\nname"):
        with pytest.raises(InvalidPathError, match="control character"):
            client.register_pointer("a", spelled)
    assert raw.manifests() == []


def test_a_name_that_is_no_logical_path_is_renamed_in_a_mapping(client, place):
    uri = place("bad\nname", b"1")
    assert read_all(client.register_artifact("a", {"good": Pointer(f"{uri}/bad\nname")})) == {"good": b"1"}


@pytest.mark.parametrize("microsecond", range(0, 1_000_000, 99_991))
def test_a_listing_and_a_look_tell_the_same_time(client, place, microsecond):
    uri = place("a", b"1")
    place.filesystem.store[f"/{place.root}/a"].created = datetime(2026, 1, 31, 12, 0, 0, microsecond, UTC)
    assert client.register_pointer("a", uri).read_bytes("a") == b"1"


def test_what_changed_there_is_found_by_a_refresh(client, place):
    for name in ("kept", "longer", "gone"):
        uri = place(name, name.encode())
    artifact = client.register_pointer("a", uri)
    place("longer", b"longer than it was")
    place("new", b"new")
    place.filesystem.rm(f"/{place.root}/gone")
    done = artifact.refresh()
    assert (done.changes.added, done.changes.removed, done.changes.modified) == (["new"], ["gone"], ["longer"])
    assert read_all(done.artifact) == {"kept": b"kept", "longer": b"longer than it was", "new": b"new"}


def test_options_of_the_file_system_come_from_the_client_and_are_not_stored(store_folder, raw, place):
    uri = place("a", b"1")
    client = MetaMLFlowClient(store_folder, source_options={place.scheme: {"hush": "SECRET"}}, pointer_policy=ANYTHING)
    assert client.register_pointer("a", f"{uri}/a").read_bytes() == b"1"
    assert not any(b"SECRET" in path.read_bytes() for path in raw.root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("zip://x::memory://a/b.zip", InvalidInputError),
        ("simplecache::memory://a/b", InvalidInputError),
        ("nope://a/b", InvalidInputError),
        ("dropbox://a/b", MissingDependencyError),
    ],
)
def test_a_place_that_cannot_be_opened_says_why(client, raw, uri, kind):
    with pytest.raises(kind):
        client.register_pointer("a", uri)
    assert raw.manifests() == []
