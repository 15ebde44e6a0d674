"""``if_unchanged="reuse"``, and what registering again costs when little or nothing changed."""

from __future__ import annotations

import math
import os

import pytest

from metamlflow import MetaMLFlowClient, __version__
from metamlflow.backend import open_backend
from metamlflow.store.catalog.store import Store
from metamlflow.testing import FaultyBackend


@pytest.fixture
def watched(store_folder):
    """A client on the store folder, and the backend that remembers its calls."""
    url = f"file://{store_folder}"
    backend = FaultyBackend(open_backend(url, {}))
    return MetaMLFlowClient._on(Store(url, {}, backend=backend)), backend


def puts(backend):
    return [call.key for call in backend.calls if call.verb == "put"]


def fill(folder, count=3):
    for number in range(count):
        (folder / f"{number}.txt").write_bytes(b"%d" % number)
    return folder


def again(client, source, kind="file", metadata=None):
    return client.register_artifact("a", source, kind, metadata, if_unchanged="reuse")


METADATA = {"n": 1, "nan": math.nan, "list": [1.5, None], "big": 2**70}


def test_the_same_content_type_and_metadata_are_the_same_version(client, raw, folder):
    first = again(client, fill(folder), "dataset", METADATA)
    before = raw.keys()
    assert again(client, folder, "dataset", dict(reversed(METADATA.items()))) == first
    assert raw.keys() == before


def test_without_it_each_registration_is_a_version(client, folder):
    assert [client.register_artifact("a", fill(folder)).version for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("model", METADATA),
        ("dataset", {}),
        ("dataset", METADATA | {"n": 2}),
        ("dataset", METADATA | {"n": 1.0}),
        ("dataset", METADATA | {"n": True}),
        ("dataset", METADATA | {"n": "1"}),
        ("dataset", METADATA | {"more": None}),
    ],
    ids=str,
)
def test_another_type_or_other_metadata_are_a_new_version(client, folder, kind, metadata):
    again(client, fill(folder), "dataset", METADATA)
    made = again(client, folder, kind, metadata)
    assert (made.version, made.artifact_type) == (2, kind)
    assert repr(made.metadata) == repr({key: metadata[key] for key in made.metadata})


CHANGES = {
    "content": lambda folder: (folder / "0.txt").write_bytes(b"other"),
    "a file more": lambda folder: (folder / "new").write_bytes(b""),
    "a file less": lambda folder: (folder / "0.txt").unlink(),
    "a name": lambda folder: (folder / "0.txt").rename(folder / "renamed"),
    "an empty folder": lambda folder: (folder / "empty").mkdir(),
    "an executable bit": lambda folder: (folder / "0.txt").chmod(0o755),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_content_is_a_new_version(client, folder, change):
    again(client, fill(folder))
    change(folder)
    assert again(client, folder).version == 2
    assert again(client, folder).version == 2


def test_a_new_time_or_owner_of_a_file_changes_nothing(client, folder):
    first = again(client, fill(folder))
    os.utime(folder / "0.txt", (1, 1))
    (folder / "1.txt").chmod(0o600)
    (folder / "copy").write_bytes(b"2")
    (folder / "copy").replace(folder / "2.txt")
    assert again(client, folder) == first


def test_content_that_changes_back_is_a_new_version_of_the_old_objects(client, raw, folder):
    again(client, fill(folder))
    blobs = raw.blobs()
    (folder / "0.txt").write_bytes(b"other")
    again(client, folder)
    (folder / "0.txt").write_bytes(b"0")
    third = again(client, folder)
    assert third.version == 3
    assert third.digest == client.get_artifact("a", 1).digest
    assert len(raw.blobs()) == len(blobs) + 1


def test_one_file_and_a_folder_with_that_file_are_not_the_same(client, folder):
    fill(folder, 1)
    again(client, folder / "0.txt")
    assert again(client, folder).version == 2


def test_a_pruned_version_is_not_reused(client, raw, folder):
    again(client, fill(folder))
    raw.prune("a", 1)
    assert again(client, folder).version == 2


def test_streams_and_mappings_are_reused_as_well(client):
    assert again(client, {"x": b"1", "y": {"z": b"2"}}) == again(client, {"y/z": b"2", "x": b"1"})


def test_an_unchanged_folder_sends_no_content(watched, folder):
    client, backend = watched
    client.register_artifact("a", fill(folder, 40))
    backend.calls.clear()
    assert client.register_artifact("a", folder).version == 2
    assert puts(backend) == []
    assert len(backend.calls) <= 4
    backend.calls.clear()
    assert again(client, folder).version == 2
    assert puts(backend) == []
    assert "create" not in {call.verb for call in backend.calls}


def test_one_changed_file_sends_one_object(watched, folder):
    client, backend = watched
    client.register_artifact("a", fill(folder, 40))
    (folder / "7.txt").write_bytes(b"new")
    backend.calls.clear()
    client.register_artifact("a", folder)
    assert len(puts(backend)) == 1


def test_equal_files_are_stored_once(client, raw, folder):
    for number in range(50):
        (folder / f"{number}.txt").write_bytes(b"same")
    artifact = client.register_artifact("a", folder)
    assert len(raw.blobs()) == 1
    assert len({entry.key for entry in artifact.entries}) == 1


def test_a_manifest_says_which_program_wrote_it(client, raw):
    client.register_artifact("a", b"1")
    assert raw.manifest("a")["writer"] == f"metamlflow {__version__}"
