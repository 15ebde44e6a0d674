"""One file in a mapping or a list is a one-file artifact; a folder is a folder, even with one file in it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from typer.testing import CliRunner

from metamlflow.artifacts import Pointer
from metamlflow.cli.app import app
from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError

TEXT = b"x,y\n1,a\n2,b\n"


def place(folder):
    (folder / "t.csv").write_bytes(TEXT)
    return folder / "t.csv"


ONE_FILE = {
    "bytes in a mapping": (lambda folder: {"t.csv": TEXT}, "t.csv"),
    "a path in a mapping": (lambda folder: {"t.csv": place(folder)}, "t.csv"),
    "a file object in a mapping": (lambda folder: {"t.csv": io.BytesIO(TEXT)}, "t.csv"),
    "a URL in a mapping": (lambda folder: {"t.csv": f"local://{place(folder)}"}, "t.csv"),
    "a deep path in a mapping": (lambda folder: {"in/deep/t.csv": TEXT}, "in/deep/t.csv"),
    "a mapping in a mapping": (lambda folder: {"in": {"deep/t.csv": TEXT}}, "in/deep/t.csv"),
    "a pointer in a mapping": (lambda folder: {"in/t.csv": Pointer(str(place(folder)))}, "in/t.csv"),
    "a path in a list": (lambda folder: [place(folder)], "t.csv"),
    "a list in a mapping": (lambda folder: {"in": [str(place(folder))]}, "in/t.csv"),
}


@pytest.mark.parametrize(("make", "path"), ONE_FILE.values(), ids=ONE_FILE)
def test_one_file_is_that_file_for_every_reader(client, raw, folder, tmp_path, make, path):
    artifact = client.register_artifact("t", make(folder))
    assert (raw.manifest("t")["kind"], [entry.path for entry in artifact.entries]) == ("file", [path])
    assert artifact.read_bytes() == artifact.read_bytes(path) == artifact.open().read() == TEXT
    assert fsspec.open(artifact.storage_path).open().read() == TEXT
    assert len(pd.read_csv(artifact.storage_path)) == 2
    assert artifact.local_path().read_bytes() == artifact.local_path(path).read_bytes() == TEXT
    assert artifact.local_path().name == "t.csv"
    assert artifact.download(tmp_path / "out") == tmp_path / "out" / path
    assert (tmp_path / "out" / path).read_bytes() == TEXT
    assert ": file, 1 file, " in repr(artifact)
    assert Dataset(artifact).to_pandas().shape == Dataset(artifact).to_pandas(path).shape == (2, 2)
    assert artifact.verify().counts["ok"] == 1


def test_a_frame_in_a_mapping_is_opened_through_its_storage_path(client):
    given = pd.DataFrame({"x": [1, 2]})
    artifact = Dataset.register(client, "t", {"train/a.parquet": given}).artifact
    pd.testing.assert_frame_equal(pd.read_parquet(artifact.storage_path), given)
    pd.testing.assert_frame_equal(pd.read_parquet(artifact.local_path()), given)


FOLDERS = {
    "a folder": lambda folder: folder,
    "a folder in a mapping": lambda folder: {"in": folder},
    "a folder in a list": lambda folder: [folder],
    "a pointer to a prefix": lambda folder: Pointer(f"{folder}/"),
    "a pointer to a prefix in a mapping": lambda folder: {"in": Pointer(f"{folder}/")},
}


@pytest.mark.parametrize("make", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_of_one_file_is_a_folder_for_every_reader(client, raw, folder, tmp_path, make):
    place(folder)
    artifact = client.register_artifact("t", make(folder))
    (path,) = [entry.path for entry in artifact.entries]
    assert raw.manifest("t")["kind"] == "folder"
    for read in (artifact.open, artifact.read_bytes):
        with pytest.raises(InvalidInputError, match=rf"is a folder of 1 file(?s:.)*path=, such as '{path}'"):
            read()
        assert read(path)
    assert artifact.local_path().is_dir()
    assert (artifact.local_path() / path).read_bytes() == TEXT
    assert artifact.download(tmp_path / "out") == tmp_path / "out"
    assert not artifact.storage_path.endswith(".csv")
    assert ": file, folder of 1 file, " in repr(artifact)
    assert Dataset(artifact).to_pandas().shape == (2, 2)


def test_a_file_in_a_mapping_that_older_versions_stored_as_a_folder_is_read_as_that(client, raw, folder):
    """Such manifests have the kind ``folder``: they stay folders, whole and readable by path."""
    place(folder)
    client.register_artifact("t", folder)
    artifact = client.get_artifact("t")
    assert artifact.read_bytes("t.csv") == TEXT
    assert artifact.verify().counts["ok"] == 1
    again = client.register_artifact("t", {"t.csv": TEXT}, if_unchanged="reuse")
    assert (again.version, again.digest) == (2, artifact.digest)  # not reused: its readers get something else
    assert client.register_artifact("t", {"t.csv": TEXT}, if_unchanged="reuse") == again


def test_the_terminal_tells_the_same(client, store_folder, folder):
    place(folder)
    one = client.register_artifact("one", {"t.csv": TEXT})
    client.register_artifact("many", folder)
    shown = {}
    for name in ("one", "many"):
        answer = CliRunner().invoke(app, ["show", name, "--store", str(store_folder), "--json"])
        shown[name] = json.loads(answer.stdout)["storage_path"]
    assert shown["one"] == one.storage_path
    assert Path(shown["one"].removeprefix("file://")).read_bytes() == TEXT
    assert Path(shown["many"].removeprefix("file://")).read_bytes().startswith(b"{")


def test_a_folder_without_files_says_so(client, tmp_path):
    (tmp_path / "empty").mkdir()
    artifact = client.register_artifact("a", {"e": tmp_path / "empty"})
    with pytest.raises(InvalidInputError, match="a folder without files"):
        artifact.open()
