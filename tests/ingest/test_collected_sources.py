"""Registering lists and mappings: logical paths, merged order, collisions."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

import pytest

from metamlflow.errors import InvalidInputError, InvalidPathError


def paths(artifact):
    return [entry.path for entry in artifact.entries]


def test_a_list_stores_files_under_their_names(client, folder):
    for name in ("b.csv", "a.csv"):
        (folder / name).write_bytes(name.encode())
    artifact = client.register_artifact("a", [folder / "b.csv", str(folder / "a.csv")])
    assert paths(artifact) == ["a.csv", "b.csv"]
    assert artifact.read_bytes("b.csv") == b"b.csv"


def test_a_list_with_a_name_twice_is_refused(client, folder):
    for place in ("x", "y"):
        (folder / place).mkdir()
        (folder / place / "same").write_bytes(b"1")
    with pytest.raises(InvalidPathError, match=r"'same'(?s:.)*mapping"):
        client.register_artifact("a", [folder / "x/same", folder / "y/same"])


@pytest.mark.parametrize("item", [b"bytes", 3, None, ["nested"]])
def test_a_list_holds_paths_alone(client, item):
    with pytest.raises(InvalidInputError, match="a list holds paths"):
        client.register_artifact("a", [item])


def test_a_mapping_takes_every_kind_of_content_at_once(client, folder):
    (folder / "in").mkdir()
    (folder / "in/b").write_bytes(b"file")
    (folder / "empty").mkdir()
    with (folder / "in/b").open("rb") as stream:
        artifact = client.register_artifact(
            "a",
            {
                "z": b"bytes",
                "sub/file.bin": folder / "in/b",
                "sub/folder": folder,
                "stream": stream,
                "nested": {"deep/er": {"x": bytearray(b"array")}, "list": [folder / "in/b"]},
                PurePosixPath("pure/path"): memoryview(b"view"),
            },
        )
    assert paths(artifact) == [
        "nested/deep/er/x",
        "nested/list/b",
        "pure/path",
        "stream",
        "sub/file.bin",
        "sub/folder/in/b",
        "z",
    ]
    assert artifact.read_bytes("pure/path") == b"view"
    assert artifact.read_bytes("stream") == artifact.read_bytes("sub/folder/in/b") == b"file"


def test_files_and_folders_are_merged_into_the_order_of_the_paths(client, folder, raw):
    for name in ("b", "c", "-"):
        (folder / name).write_bytes(name.encode())
    mapping = {"a": folder, "a/bb": b"", "a-x": b"", "a.x": b"", "a0": b"", "a/a": folder, "A": b"", "é": b""}
    client.register_artifact("a", mapping)
    stored = [entry["path"] for entry in raw.manifest("a")["entries"]]
    assert stored == sorted(stored, key=str.encode)
    expected = {"a/b", "a/c", "a/-", "a/a/b", "a/a/c", "a/a/-", *mapping} - {"a", "a/a"}
    assert set(stored) == expected


def test_an_empty_folder_in_a_mapping_is_kept(client, folder, tmp_path):
    out = client.register_artifact("a", {"e": folder, "x": b""}).download(tmp_path / "out")
    assert (out / "e").is_dir()


@pytest.mark.parametrize(
    "mapping",
    [
        {"a": b"1", "a/b": b"2"},
        {"a/b/c": b"1", "a": b"2"},
        {"a": {"b": b"1"}, "a/b": b"2"},
        {"a": {"b": b"1"}, "a/b/c": b"2"},
        {"a": b"1", "a-b": b"2", "a/b": b"3"},
        {"a": b"1", Path("a"): b"2"},
    ],
    ids=str,
)
def test_two_things_at_one_place_are_refused(client, store_folder, mapping):
    with pytest.raises(InvalidPathError):
        client.register_artifact("a", mapping)
    assert not store_folder.exists()


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\nb", "\0", "\ud800", "x" * 4097, b"a", 3, None]
)
def test_what_can_be_no_logical_path_is_refused(client, store_folder, path):
    for mapping in ({path: b"1"}, {"outer": {path: b"1"}}):
        with pytest.raises(InvalidPathError, match="invalid logical path") as caught:
            client.register_artifact("a", mapping)
        assert caught.value.problems
        str(caught.value).encode()
    assert not store_folder.exists()


def test_an_empty_mapping_is_refused(client):
    with pytest.raises(InvalidInputError, match="registers nothing"):
        client.register_artifact("a", {})
    with pytest.raises(InvalidInputError, match="registers nothing"):
        client.register_artifact("a", {"x": {}})


def test_a_value_of_a_mapping_that_cannot_be_registered_is_named_by_its_path(client, store_folder):
    with pytest.raises(InvalidInputError, match=r"the value of 'b/c': .*int cannot be registered"):
        client.register_artifact("a", {"a": b"1", "b/c": 5})
    assert not store_folder.exists()


def itself():
    mapping = {"x": b"1"}
    mapping["again"] = mapping
    return mapping


def deeper(levels):
    mapping = {"x": b"1"}
    for _ in range(levels):
        mapping = {"d": mapping}
    return mapping


@pytest.mark.parametrize("mapping", [itself(), deeper(5000)], ids=["of itself", "of 5,000 levels"])
def test_a_mapping_without_end_is_refused(client, tmp_path, mapping):
    with pytest.raises(InvalidInputError, match="holds itself, or is nested too deeply"):
        client.register_artifact("a", mapping)
    assert not (tmp_path / "store").exists()


def test_what_cannot_be_registered_is_named_with_its_package(client, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m", b"1")
        with pytest.raises(InvalidInputError, match=r"type zipfile\.Path cannot be registered"):
            client.register_artifact("a", zipfile.Path(archive, "m"))
