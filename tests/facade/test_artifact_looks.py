"""How artifacts show themselves: facts, text, HTML in a notebook, URLs for other tools."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import fsspec
import pytest

from metamlflow.errors import ArtifactNotFoundError, InvalidInputError


def test_the_facts_are_those_of_the_manifest(client, raw):
    artifact = client.register_artifact("team/a", {"x/y.csv": b"1\n", "z": b""}, "dataset", {"k": 1})
    stored = raw.manifest("team/a")
    assert (artifact.name, artifact.version, artifact.artifact_type, artifact.size) == ("team/a", 1, "dataset", 2)
    assert artifact.artifact_id == stored["artifact_id"] == str(UUID(artifact.artifact_id))
    assert artifact.digest == stored["digest"]
    content = raw.manifest_path("team/a", 1).read_bytes()
    assert artifact.manifest_digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert artifact.created_at.tzinfo is UTC
    assert timedelta() <= datetime.now(UTC) - artifact.created_at < timedelta(minutes=1)
    assert artifact.inputs == ()
    assert [(e.path, e.size, e.sha256) for e in artifact.entries] == [
        ("x/y.csv", 2, hashlib.sha256(b"1\n").hexdigest()),
        ("z", 0, hashlib.sha256(b"").hexdigest()),
    ]


def test_equal_content_has_equal_digests_across_names_and_versions(client):
    first = client.register_artifact("a", {"x": b"1", "y": b"2"})
    second = client.register_artifact("b", {"y": b"2", "x": b"1"}, "model", {"other": True})
    assert first.digest == second.digest
    assert first.manifest_digest != second.manifest_digest
    assert first.digest != client.register_artifact("a", {"x": b"2", "y": b"1"}).digest


def test_the_storage_path_of_one_file_opens_its_content_and_of_a_folder_its_manifest(client, raw):
    one = client.register_artifact("file", b"a,b\n")
    assert fsspec.open(one.storage_path).open().read() == b"a,b\n"
    folder = client.register_artifact("two", {"a": b"1", "b": b"2"})
    content = fsspec.open(folder.storage_path).open().read()
    assert content == raw.manifest_path("two", 1).read_bytes()


def test_the_storage_path_keeps_the_extensions_that_readers_look_for(client, folder):
    (folder / "Table.CSV.gz").write_bytes(b"1")
    assert client.register_artifact("a", folder / "Table.CSV.gz").storage_path.endswith(".csv.gz")


def test_the_text_form_says_what_it_is(client, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    artifact = client.register_artifact("a", b"x" * 1500, "model")
    assert re.fullmatch(r"<Artifact a@1: model, 1 file, 1\.5 kB, [0-9-]+ [0-9:]+ UTC by ada>", repr(artifact))
    assert "folder of 2 files" in repr(client.register_artifact("a", {"x": b"", "y": b""}))


def test_the_html_form_cannot_be_made_to_run_anything(client, monkeypatch):
    attack = "<script>alert('x')</script>\"&"
    monkeypatch.setenv("METAMLFLOW_USER", attack)
    artifact = client.register_artifact("a", b"1", metadata={attack: [attack, {"n": attack}]})
    page = artifact._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 4
    assert "<b>a@1</b>" in page


def test_the_html_form_cuts_long_metadata(client):
    assert len(client.register_artifact("a", b"1", metadata={"long": "x" * 100_000})._repr_html_()) < 5000


def test_a_folder_is_asked_which_of_its_files_is_meant(client):
    artifact = client.register_artifact("a", {"x.csv": b"1", "y.csv": b"2"})
    for call in (artifact.open, artifact.read_bytes):
        with pytest.raises(InvalidInputError, match=r"folder of 2 files(?s:.)*'x\.csv' or 'y\.csv'"):
            call()


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("train/part-1.csv", ("train/part-0.csv", "train/part-2.csv")),
        ("train", ("train/part-0.csv", "train/part-2.csv")),
        ("readme.md", ("README.md",)),
        ("/README.md", ("README.md",)),
    ],
)
def test_an_unknown_path_is_told_the_near_ones(client, tmp_path, path, near):
    artifact = client.register_artifact("a", {"README.md": b"", "train/part-0.csv": b"", "train/part-2.csv": b""})
    for call in (
        artifact.open,
        artifact.read_bytes,
        artifact.local_path,
        lambda p: artifact.download(tmp_path, path=p),
    ):
        with pytest.raises(ArtifactNotFoundError, match="has no file") as caught:
            call(path)
        assert set(caught.value.suggestions) >= set(near)


def test_an_unknown_path_of_an_empty_folder_is_told_so(client, folder):
    with pytest.raises(ArtifactNotFoundError, match="no files at all"):
        client.register_artifact("a", folder).read_bytes("x")
