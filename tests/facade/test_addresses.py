"""Addresses lead to versions and their files as paths lead to files, and nothing can be written by them."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from metamlflow import (
    AddressNotFoundError,
    ArtifactPrunedError,
    FolderAddressError,
    InvalidInputError,
    InvalidPathError,
    MetaMLFlowClient,
    MetaMLFlowError,
    ReadOnlyError,
    StoreNotFoundError,
)
from metamlflow.filesystem import MetaMLFlowFileSystem
from metamlflow.testing import MemoryBackend
from metamlflow.testing.clients import client_on

NOW = "2026-02-03T04:05:06Z"
FILES = {"a@b.txt": b"at", "train/0.csv": b"zero", "train/deep/1.csv": b"one", "z": b"last"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with a file in two versions, a folder, names in folders of names, and a name that others lie below."""
    folder = tmp_path_factory.mktemp("made")
    client = MetaMLFlowClient(folder)
    client.register_artifact("report", b"first")
    client.register_artifact("report", b"second")
    client.register_artifact("fraud/features", FILES, "dataset")
    client.register_artifact("fraud", {"notes.txt": b"of the folder", "other": b""})
    client.register_artifact("Fraud/X", b"upper")
    return folder


@pytest.fixture
def fs(made, store_folder):
    shutil.copytree(made, store_folder)
    return MetaMLFlowFileSystem(store_folder)


@pytest.mark.parametrize(
    ("address", "content"),
    [
        ("report", b"second"),
        ("report@1", b"first"),
        ("report@v1", b"first"),
        ("report@latest", b"second"),
        ("report@best", b"first"),
        ("report@1/report", b"first"),
        ("fraud/features/train/deep/1.csv", b"one"),
        ("fraud/features@1/train/0.csv", b"zero"),
        ("fraud/features/a@b.txt", b"at"),
        ("fraud/features@latest/a@b.txt", b"at"),
        ("fraud/notes.txt", b"of the folder"),
        ("Fraud/X", b"upper"),
    ],
)
def test_an_address_leads_to_a_file(fs, client, address, content):
    client.set_alias("report", "best", 1)
    assert fs.cat(f"metamlflow://{address}") == content
    assert (fs.isfile(address), fs.isdir(address), fs.size(address)) == (True, False, len(content))
    with fs.open(address, "r") as file:
        assert file.read() == content.decode()
    assert fs.info(address)["name"] == address


@pytest.mark.parametrize(
    "address",
    ["nothing", "fraud/nothing", "report@3", "report@worst", "report@1/x", "report@", "@1",
     "fraud/features/train/2.csv", "fraud/features@1/train/0.csv/x", "fraud/features@1/trai", "fraud@x/features",
     "no name/x", "../etc", "a\nb"],
)  # fmt: skip
def test_where_nothing_is_the_error_is_the_librarys_and_that_of_file_systems(fs, address):
    for read in (fs.info, fs.ls, fs.open, fs.cat_file, fs.created):
        with pytest.raises(FileNotFoundError) as caught:
            read(address)
        assert isinstance(caught.value, AddressNotFoundError)
        assert "\n" not in caught.value.message
    assert (fs.exists(address), fs.isfile(address), fs.isdir(address), fs.find(address)) == (False, False, False, [])


def test_the_error_names_the_address_and_what_there_is(fs):
    with pytest.raises(AddressNotFoundError, match=r"no version 3\nIt has the versions 2, 1"):
        fs.info("report@3")
    with pytest.raises(AddressNotFoundError, match=r"fraud/features@1 has nothing at 'train/2\.csv'"):
        fs.info("fraud/features@1/train/2.csv")


def test_a_pruned_version_is_told_as_pruned(fs, raw):
    raw.prune("report", 1)
    with pytest.raises(ArtifactPrunedError):
        fs.open("report@1")
    assert not fs.exists("report@1")


def test_a_folder_is_no_file(fs):
    for address in ("", "Fraud", "fraud/features", "fraud/features@1/train"):
        with pytest.raises(IsADirectoryError) as caught:
            fs.open(address)
        assert isinstance(caught.value, FolderAddressError)


def test_folders_are_listed_level_by_level(fs):
    assert fs.ls("", detail=False) == ["Fraud", "fraud", "report"]
    assert fs.ls("fraud", detail=False) == ["fraud/features", "fraud/notes.txt", "fraud/other"]
    assert fs.ls("fraud@1", detail=False) == ["fraud@1/notes.txt", "fraud@1/other"]
    top = {info["name"].rpartition("/")[2]: (info["type"], info["size"]) for info in fs.ls("fraud/features@1")}
    assert top == {"a@b.txt": ("file", 2), "train": ("directory", 0), "z": ("file", 4)}
    assert fs.ls("fraud/features/train/", detail=False) == ["fraud/features/train/0.csv", "fraud/features/train/deep"]
    assert [info["name"] for info in fs.ls("report@1")] == ["report@1"]


def test_folders_are_listed_whatever_their_names(client):
    paths = ["d/é", "d/🜚/x", "d/a", "d-", "d0", "é/1", "🜚"]
    fs = MetaMLFlowFileSystem.of(client.register_artifact("odd", dict.fromkeys(paths, b"")))
    assert fs.ls("odd@1", detail=False) == [f"odd@1/{name}" for name in ("d", "d-", "d0", "é", "🜚")]
    assert fs.ls("odd@1/d", detail=False) == [f"odd@1/d/{name}" for name in ("a", "é", "🜚")]
    assert fs.find("odd@1") == sorted(f"odd@1/{path}" for path in paths)


def test_all_files_are_found_in_one_pass(fs):
    inside = sorted(f"fraud/features@1/{path}" for path in FILES)
    assert fs.find("fraud/features@1") == inside
    assert fs.find("metamlflow://fraud/features@1/train") == inside[1:3]
    assert fs.find("fraud/features@1", maxdepth=1) == [inside[0], inside[3]]
    assert fs.find("fraud/features@1/train", withdirs=True) == [
        "fraud/features@1/train", *inside[1:2], "fraud/features@1/train/deep", inside[2],
    ]  # fmt: skip
    assert {info["type"] for info in fs.find("", withdirs=True, detail=True).values()} == {"file", "directory"}
    assert len(fs.find("")) == len(FILES) + 4
    assert fs.find("report@2") == ["report@2"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("report@*", ["report@1", "report@2"]),
        ("report@[2-9]", ["report@2"]),
        ("*@1", ["fraud@1", "report@1"]),
        ("*/*@*/**/*.csv", ["fraud/features@1/train/0.csv", "fraud/features@1/train/deep/1.csv"]),
        ("fraud/features@1/*/*.csv", ["fraud/features@1/train/0.csv"]),
        ("fraud/features@*/*/", ["fraud/features@1/train"]),
        ("fraud/*", ["fraud/features", "fraud/notes.txt", "fraud/other"]),
        ("*", ["Fraud", "fraud", "report"]),
        ("nothing@*", []),
        ("report@9*", []),
    ],
)
def test_patterns_find_names_versions_and_files(fs, pattern, expected):
    assert fs.glob(f"metamlflow://{pattern}") == expected
    assert list(fs.glob(pattern, detail=True)) == expected


def test_a_description_tells_of_the_version_and_the_digest(fs, client):
    artifact = client.get_artifact("fraud/features")
    info = fs.info("fraud/features/train/0.csv")
    assert info["digest"] == f"sha256:{artifact.entries['train/0.csv'].sha256}"
    assert (info["artifact"], info["version"], info["created"]) == ("fraud/features", 1, artifact.created_at)
    assert fs.info("fraud/features")["digest"] == artifact.digest
    assert fs.created("fraud/features") == fs.modified("fraud/features/z") == artifact.created_at


def test_what_stands_for_content_is_the_same_while_the_content_is(fs, client):
    client.register_artifact("fraud/features", FILES | {"z": b"changed"}, "dataset")
    for mark in (fs.ukey, fs.checksum):
        assert mark("fraud/features@1/train/0.csv") == mark("fraud/features@2/train/0.csv")
        assert mark("fraud/features@1/z") != mark("fraud/features@2/z")
        assert mark("fraud/features@1") != mark("fraud/features@2")
        assert mark("fraud/features") == mark("fraud/features@2")


def test_an_empty_folder_is_a_folder(client, tmp_path):
    (tmp_path / "made/empty").mkdir(parents=True)
    (tmp_path / "made/x").write_bytes(b"x")
    client.register_artifact("folders", tmp_path / "made")
    fs = MetaMLFlowFileSystem(client.storage_uri)
    assert fs.isdir("folders@1/empty")
    assert fs.ls("folders@1/empty") == []
    assert fs.find("folders@1") == ["folders@1/x"]
    assert fs.find("folders@1", withdirs=True) == ["folders@1", "folders@1/empty", "folders@1/x"]
    assert client.get_artifact("folders").url("empty").startswith("metamlflow://folders@1/empty::")


def test_every_way_to_write_is_refused_and_changes_nothing(fs, raw, tmp_path):
    before = raw.keys()
    (tmp_path / "file").write_bytes(b"x")
    writes = [
        lambda: fs.open("new", "wb"), lambda: fs.open("report@1", "ab"), lambda: fs.open("report@1", "r+b"),
        lambda: fs.open("new", "x"), lambda: fs.pipe("new", b"x"), lambda: fs.pipe({"new": b"x"}),
        lambda: fs.touch("new"),
        lambda: fs.put(str(tmp_path / "file"), "new"), lambda: fs.rm("report@1"), lambda: fs.rm_file("report@1"),
        lambda: fs.mv("report@1", "new"), lambda: fs.cp("report@1", "new"), lambda: fs.mkdir("new"),
        lambda: fs.makedirs("new", exist_ok=True), lambda: fs.rmdir("fraud"), lambda: fs.write_text("new", "x"),
        lambda: fs.get_mapper("new").__setitem__("x", b"x"),
    ]  # fmt: skip
    for write in writes:
        with pytest.raises(OSError, match="versions never change") as caught:
            write()
        assert isinstance(caught.value, ReadOnlyError)
        assert pickle.loads(pickle.dumps(caught.value)).errno == caught.value.errno == 30
    assert raw.keys() == before


def test_latest_and_aliases_are_resolved_once(fs, client):
    client.set_alias("report", "best", 1)
    assert (fs.cat("report"), fs.cat("report@best")) == (b"second", b"first")
    client.register_artifact("report", b"third")
    client.set_alias("report", "best", 3)
    copy = pickle.loads(pickle.dumps(fs))
    assert copy == fs
    for one in (fs, copy):
        assert (one.cat("report"), one.cat("report@best")) == (b"second", b"first")
        assert one.cat("report@latest") == one.cat("report@2") == b"second"
    fs.invalidate_cache()
    assert (fs.cat("report"), fs.cat("report@best")) == (b"third", b"third")


class Pausing(MemoryBackend):
    """Holds the answer to the last listing of versions that a thread called ``slow`` asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.listed, self.go_on = threading.Event(), threading.Event()

    def list_objects(self, prefix="", *, after="", limit=None):
        found = list(super().list_objects(prefix, after=after, limit=limit))
        if threading.current_thread().name.startswith("slow") and prefix.endswith("_versions/") and limit != 1:
            self.listed.set()
            assert self.go_on.wait(30)
        return iter(found)


def test_threads_that_resolve_at_once_read_one_version():
    backend = Pausing()
    client = client_on(backend)
    fs = MetaMLFlowFileSystem.of(client.register_artifact("busy", b"old"))
    with ThreadPoolExecutor(1, "slow") as pool:
        slow = pool.submit(fs.cat, "busy")
        assert backend.listed.wait(30)
        client.register_artifact("busy", b"new")
        assert fs.cat("busy") == b"new"
        backend.go_on.set()
        assert slow.result() == b"new"


def test_each_call_with_a_url_sees_the_latest_version(fs, client, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", client.storage_uri)
    for content in (b"third", b"fourth"):
        client.register_artifact("report", content)
        with fsspec.open("metamlflow://report") as file:
            assert file.read() == content


def test_a_name_that_is_registered_later_is_found(fs, client):
    assert not fs.exists("later")
    client.register_artifact("later", b"now")
    assert fs.cat("later") == b"now"


def test_a_store_in_the_place_of_another_is_read_by_urls(client, store_folder):
    client.register_artifact("report", b"old")
    store = {"store": str(store_folder)}
    assert fsspec.open("metamlflow://report", **store).open().read() == b"old"
    store_folder.rename(store_folder.with_name("away"))
    MetaMLFlowClient(store_folder).register_artifact("other", b"new")
    assert fsspec.open("metamlflow://other", **store).open().read() == b"new"
    assert not fsspec.filesystem("metamlflow", **store).exists("report")


def test_the_store_comes_from_an_option_the_chain_or_the_environment(client, store_folder, monkeypatch):
    artifact = client.register_artifact("report", b"text")
    assert artifact.url() == f"metamlflow://report@1::{client.storage_uri}"
    for url, options in [
        ("metamlflow://report", {"store": store_folder}),
        ("metamlflow://report", {"store": client.storage_uri}),
        (f"metamlflow://report::{client.storage_uri}", {}),
        (artifact.url(), {}),
        (f"simplecache::{artifact.url()}", {}),
    ]:
        with fsspec.open(url, **options) as file:
            assert file.read() == b"text"
    with pytest.raises(InvalidInputError, match="no store was named"):
        fsspec.open("metamlflow://report").open()
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", str(store_folder))
    assert artifact.url() == "metamlflow://report@1"
    assert fsspec.open(artifact.url()).open().read() == b"text"


def test_the_url_of_a_path_is_checked(fs, client):
    features = client.get_artifact("fraud/features")
    assert features.url("train/0.csv").startswith("metamlflow://fraud/features@1/train/0.csv::")
    assert features.url("train/").startswith("metamlflow://fraud/features@1/train::")
    with pytest.raises(MetaMLFlowError, match="has no file"):
        features.url("train/2.csv")
    odd = client.register_artifact("odd", {"a::b": b"odd", "x": b""})
    with pytest.raises(InvalidPathError, match="::"):
        odd.url("a::b")
    assert MetaMLFlowFileSystem.of(odd).cat("odd@1/a::b") == b"odd"


def test_wrong_options_are_named(store_folder):
    with pytest.raises(InvalidInputError, match="'key'"):
        fsspec.filesystem("metamlflow", store=str(store_folder), key="x")
    with pytest.raises(InvalidInputError, match="verify"):
        fsspec.filesystem("metamlflow", store=str(store_folder), verify="never")
    with pytest.raises(InvalidInputError, match="last part of a chain"):
        fsspec.open("metamlflow://report::simplecache::s3://bucket/ml").open()
    with pytest.raises(StoreNotFoundError):
        fsspec.filesystem("metamlflow", store=str(store_folder)).ls("")


def test_a_version_is_registered_by_its_address_and_not_pointed_to(fs, client):
    copy = client.register_artifact("copy", client.get_artifact("fraud/features").url())
    assert copy.digest == client.get_artifact("fraud/features").digest
    for address in ("metamlflow://report@1", "metamlflow://report"):
        with pytest.raises(InvalidInputError, match="cannot lead to another version"):
            client.register_pointer("pointer", address)


def test_hidden_names_are_left_out_of_listings_and_found_by_name(fs, raw):
    place = raw.root / "names/report!/9999999998.json"
    place.parent.mkdir()
    place.write_text(json.dumps({"format": 1, "record_id": "a" * 32, "created_at": NOW, "state": "hidden"}))
    assert fs.ls("", detail=False) == ["Fraud", "fraud"]
    assert fs.glob("*@1") == ["fraud@1"]
    assert fs.cat("report") == b"second"


def test_the_use_of_a_file_is_recorded_in_the_run(fs, client):
    with client.run("train"):
        fsspec.open(client.get_artifact("fraud/features").url("z")).open().close()
        fs.cat("report@1")
        fs.ls("fraud")  # only a look
        model = client.register_artifact("model", b"m")
    assert {f"{used.name}@{used.version}" for used in model.inputs} == {"fraud/features@1", "report@1"}


def test_a_use_in_another_thread_is_of_the_run_that_the_file_system_was_made_in(fs, client):
    with client.run("train"):
        made = MetaMLFlowFileSystem(client.storage_uri)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(made.cat, "report@1").result()
        model = client.register_artifact("model", b"m")
    assert [used.version for used in model.inputs] == [1]


def _read(fs, queue):
    queue.put((os.getpid(), fs.cat("report"), fs.find("fraud/features")))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_file_system_and_an_open_file_cross_to_other_processes(fs, client, method):
    fs.cat("report")  # resolved here
    client.register_artifact("report", b"third")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_read, args=(fs, queue))
    child.start()
    pid, content, found = queue.get(timeout=60)
    child.join()
    assert (pid != os.getpid(), content, len(found)) == (True, b"second", len(FILES))
    with fs.open("report@1") as file:
        file.seek(2)
        assert pickle.loads(pickle.dumps(file)).read() == b"rst"


def test_several_files_are_read_at_once_in_the_order_asked_for(fs):
    paths = [f"fraud/features@1/{path}" for path in sorted(FILES, reverse=True)]
    assert fs.cat(paths) == {path: FILES[path.removeprefix("fraud/features@1/")] for path in paths}
    assert fs.cat("fraud/features@1/train", recursive=True) == {path: fs.cat(path) for path in sorted(paths[1:3])}
    wrong = fs.cat_ranges([*paths, "nothing"], 1, -1)
    assert wrong[:-1] == [fs.cat(path)[1:-1] for path in paths]
    assert isinstance(wrong[-1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat([*paths, "nothing"])
    assert list(fs.cat([*paths, "nothing"], on_error="omit")) == sorted(paths)
