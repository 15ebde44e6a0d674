"""Versions made from the newest one: with stronger evidence, with the bytes stored, or as the data is now."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Pointer, PointerEntry
from metamlflow.errors import (
    ConflictError,
    EvidenceUnavailableError,
    InvalidInputError,
    InvalidPathError,
    PointerDriftError,
    SourceNotFoundError,
)
from metamlflow.format.manifests import decode_manifest, encode_manifest
from metamlflow.model.manifests import Input
from metamlflow.model.names import ArtifactName

NANOSECONDS = 1_700_000_000_000_000_000
CONTENT = {"a": b"aaa", "b": b"bbb", "deep/c": b"ccc"}


@pytest.fixture
def data(folder):
    (folder / "deep").mkdir()
    for path, content in CONTENT.items():
        write(folder / path, content)
    return folder


def write(path, content, nanoseconds=NANOSECONDS):
    path.write_bytes(content)
    os.utime(path, ns=(nanoseconds, nanoseconds))


def change(path):
    write(path, b"changed", NANOSECONDS + 1)


def read_all(artifact):
    return {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries}


def strengths(artifact):
    return {entry.path: entry.strength for entry in artifact.entries if isinstance(entry, PointerEntry)}


ALL = {
    "strengthen": lambda artifact: artifact.strengthen(),
    "materialize": lambda artifact: artifact.materialize(),
    "refresh": lambda artifact: artifact.refresh().artifact,
}


# --- strengthen -------------------------------------------------------------------------------------------------------


def test_strengthen_reads_everything_once_and_is_a_version_of_its_own(client, raw, data):
    first = client.register_pointer("a", data)
    progress = []
    second = first.strengthen(progress=progress.append)
    assert (first.version, second.version) == (1, 2)
    assert strengths(first) == dict.fromkeys(CONTENT, "stat")
    assert strengths(second) == dict.fromkeys(CONTENT, "full")
    assert (progress[-1].files, progress[-1].bytes) == (3, 9)
    assert second.digest == client.register_artifact("stored", data).digest
    assert [(place.uri, place.evidence) for place in second.pointed] == [(f"file://{data}/", "full")]
    assert raw.manifest("a", 2)["previous"] == first.manifest_digest
    assert client.get_artifact("a") == second


def test_what_is_strong_enough_is_returned_as_it_is(client, raw, data):
    full = client.register_pointer("a", data, evidence="full")
    assert full.strengthen() is full
    assert full.strengthen("checksum") is full
    assert full.strengthen("stat") is full
    stored = client.register_artifact("b", data)
    assert stored.strengthen() is stored
    assert len(raw.manifests()) == 2


def test_only_what_is_weaker_is_read_again(client, data):
    members = {"weak": Pointer(data / "a"), "strong": Pointer(data / "b", "full"), "stored": b"s"}
    artifact = client.register_artifact("a", members)
    write(data / "b", b"BBB")  # told by reading alone
    strong = artifact.strengthen()
    assert strengths(strong) == {"weak": "full", "strong": "full"}
    assert strong.entries["strong"] == artifact.entries["strong"]
    assert strong.entries["stored"] == artifact.entries["stored"]


def test_digests_that_nobody_holds_are_not_to_be_had(client, raw, data):
    artifact = client.register_pointer("a", data)
    with pytest.raises(EvidenceUnavailableError) as caught:
        artifact.strengthen("checksum")
    assert caught.value.choices == ("full", "stat")
    assert len(raw.manifests()) == 1


@pytest.mark.parametrize("evidence", ["", "FULL", None, 3])
def test_an_unknown_evidence_is_told_which_there_are(client, data, evidence):
    with pytest.raises(InvalidInputError, match="stat, checksum, full"):
        client.register_pointer("a", data).strengthen(evidence)


# --- materialize ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", ["stat", "full"])
def test_materialize_stores_the_bytes_and_needs_the_place_no_more(client, raw, data, evidence):
    first = client.register_pointer("a", data, evidence=evidence)
    second = first.materialize()
    stored = raw.manifest("a", 2)
    assert "pointers" not in stored
    assert stored["requires"] == []
    assert [set(entry) for entry in stored["entries"]] == [{"path", "size", "sha256", "crc32c", "key"}] * 3
    assert {raw.root / entry["key"] for entry in stored["entries"]} == {raw.root / key for key in raw.blobs()}
    assert second.pointed == ()
    for path in CONTENT:
        (data / path).unlink()
    assert read_all(client.get_artifact("a", 2)) == CONTENT
    assert second.verify()
    assert not first.verify("stat")
    assert second.materialize() is second


def test_a_mixture_keeps_what_is_stored(client, raw, data):
    artifact = client.register_artifact("a", {"s": b"stored", "p": Pointer(data)})
    key = artifact.entries["s"].key
    whole = artifact.materialize()
    assert whole.entries["s"].key == key
    assert read_all(whole) == {"s": b"stored"} | {f"p/{path}": content for path, content in CONTENT.items()}
    assert whole.pointed == ()


def test_one_file_stays_one_file(client, data):
    for artifact in (client.register_pointer("a", data / "a"), client.register_pointer("b", data / "a").strengthen()):
        whole = artifact.materialize()
        assert whole.read_bytes() == b"aaa"
        assert whole.local_path().is_file()


# --- refresh ----------------------------------------------------------------------------------------------------------


def test_refresh_of_what_did_not_change_publishes_nothing(client, raw, data):
    for artifact in (client.register_pointer("a", data, evidence="full"), client.register_artifact("b", data)):
        done = artifact.refresh()
        assert not done
        assert done.artifact is artifact
        assert (done.changes.added, done.changes.removed, done.changes.modified) == ([], [], [])
        assert done.changes.counts == {"added": 0, "removed": 0, "modified": 0}
    assert len(raw.manifests()) == 2


def test_refresh_tells_what_changed_and_keeps_the_evidence_of_what_did_not(client, data):
    first = client.register_pointer("a", data).strengthen()
    change(data / "a")
    (data / "b").unlink()
    (data / "deep/d").write_bytes(b"new")
    done = first.refresh()
    assert done
    assert (done.changes.added, done.changes.removed, done.changes.modified) == (["deep/d"], ["b"], ["a"])
    assert done.changes.counts == {"added": 1, "removed": 1, "modified": 1}
    assert done.artifact.version == 3
    assert read_all(done.artifact) == {"a": b"changed", "deep/c": b"ccc", "deep/d": b"new"}
    assert done.artifact.entries["deep/c"] == first.entries["deep/c"]
    assert done.artifact.pointed == first.pointed
    assert not done.artifact.refresh()


def test_refresh_keeps_full_evidence_of_the_unchanged_where_less_was_asked_for(client, raw, data):
    client.register_pointer("a", data)
    _replace_evidence_asked_for(raw, client.get_artifact("a").strengthen())
    artifact = MetaMLFlowClient(client.storage_uri).get_artifact("a")
    change(data / "a")
    assert strengths(artifact.refresh().artifact) == {"a": "stat", "b": "full", "deep/c": "full"}


def _replace_evidence_asked_for(raw, artifact):
    """Make it a version whose evidence is stronger than what its place asks for."""
    place = raw.manifest_path(artifact.name, artifact.version)
    manifest = decode_manifest(place.read_bytes(), "key", ArtifactName(artifact.name), artifact.version)
    weaker = tuple(replace(pointed, evidence=None) for pointed in manifest.pointed)
    raw.overwrite(place, encode_manifest(replace(manifest, pointed=weaker)))


def test_refresh_of_a_glob_and_of_members_looks_at_just_these(client, data):
    glob = client.register_pointer("glob", f"{data}/?")
    members = {"x": Pointer(data / "deep"), "y": Pointer(data / "a"), "s": b"stored"}
    mixture = client.register_artifact("mixture", members)
    write(data / "new", b"no match")
    assert not glob.refresh()
    assert not mixture.refresh()
    write(data / "n", b"match")
    write(data / "deep/n", b"inside")
    change(data / "a")
    assert glob.refresh().changes.added == ["n"]
    done = mixture.refresh()
    assert (done.changes.added, done.changes.modified) == (["x/n"], ["y"])
    assert read_all(done.artifact) == {"s": b"stored", "x/c": b"ccc", "x/n": b"inside", "y": b"changed"}


def test_refresh_where_nothing_is_left_is_an_error(client, raw, data):
    one, many = client.register_pointer("one", data / "a"), client.register_pointer("many", data / "deep")
    (data / "a").unlink()
    (data / "deep/c").unlink()
    for artifact in (one, many):
        with pytest.raises(SourceNotFoundError):
            artifact.refresh()
    assert len(raw.manifests()) == 2


def test_refresh_gathers_the_evidence_that_was_asked_for(client, data):
    artifact = client.register_pointer("a", data, evidence="full")
    change(data / "a")
    (data / "n").write_bytes(b"new")
    assert strengths(artifact.refresh().artifact) == dict.fromkeys(("a", "b", "deep/c", "n"), "full")


# --- all of them ------------------------------------------------------------------------------------------------------


def changed_if_needed(use, data):
    if use == "refresh":
        change(data / "a")


@pytest.mark.parametrize("use", ["strengthen", "materialize"])
def test_data_that_changed_since_is_refused(client, raw, data, use):
    artifact = client.register_pointer("a", data)
    change(data / "deep/c")
    with pytest.raises(PointerDriftError) as caught:
        ALL[use](artifact)
    assert caught.value.path == "deep/c"
    assert len(raw.manifests()) == 1


@pytest.mark.parametrize("use", ALL)
def test_type_metadata_schema_and_inputs_are_kept(client, raw, data, use):
    client.register_pointer("a", data, "raw", {"rows": 3, "loss": float("nan")})
    place = raw.manifest_path("a", 1)
    manifest = decode_manifest(place.read_bytes(), "key", ArtifactName("a"), 1)
    inputs = (Input(ArtifactName("b"), 7, f"sha256:{'0' * 64}", "training"),)
    raw.overwrite(place, encode_manifest(replace(manifest, inputs=inputs, schema={"fields": []})))
    changed_if_needed(use, data)
    first = MetaMLFlowClient(client.storage_uri).get_artifact("a")
    found = ALL[use](first)
    derived = Input(ArtifactName("a"), 1, first.manifest_digest, "derived_from")
    assert (found.version, found.artifact_type, found.schema) == (2, "raw", {"fields": []})
    assert found.inputs == (*inputs, derived)
    assert found.upstream(depth=1).artifacts == ("a@1", "a@2")
    assert found.metadata["rows"] == 3
    assert found.metadata["loss"] != found.metadata["loss"]  # NaN
    assert raw.manifest("a", 2)["artifact_id"] != raw.manifest("a", 1)["artifact_id"]


@pytest.mark.parametrize("use", ALL)
def test_only_the_newest_version_is_built_upon(client, raw, data, use):
    first = client.register_pointer("a", data)
    client.register_pointer("a", data / "a")
    changed_if_needed(use, data)
    with pytest.raises(ConflictError, match=r"a@1 is not the newest version any more \(2 is\)"):
        ALL[use](first)
    assert len(raw.manifests()) == 2


@pytest.mark.parametrize("use", ["strengthen", "materialize"])
def test_a_version_published_in_between_by_another_is_not_overwritten(client, raw, data, use):
    artifact = client.register_pointer("a", data)
    other = MetaMLFlowClient(client.storage_uri)

    def publish(progress):
        if progress.files == 1 and len(raw.manifests()) == 1:
            other.register_artifact("a", b"theirs")

    with pytest.raises(ConflictError, match="not the newest version any more"):
        getattr(artifact, use)(progress=publish)
    assert len(raw.manifests()) == 2
    assert client.get_artifact("a").read_bytes() == b"theirs"
    assert client.get_artifact("a").version == 2


def test_a_refresh_loses_to_a_version_published_in_between(client, raw, data):
    artifact = client.register_pointer("a", data)
    other = MetaMLFlowClient(client.storage_uri)
    change(data / "a")

    def publish(progress):
        if progress.files == 1 and len(raw.manifests()) == 1:
            other.register_artifact("a", b"theirs")

    with pytest.raises(ConflictError):
        artifact.refresh(progress=publish)
    assert client.get_artifact("a").read_bytes() == b"theirs"
    assert len(raw.manifests()) == 2


def test_an_object_that_became_a_folder_is_no_object_any_more(client, raw, data):
    one, member = client.register_pointer("one", data / "a"), client.register_artifact("m", {"x": Pointer(data / "a")})
    (data / "a").unlink()
    (data / "a").mkdir()
    (data / "a/1").write_bytes(b"1")
    (data / "a/2").write_bytes(b"2")
    for artifact in (one, member):
        with pytest.raises(SourceNotFoundError):
            artifact.refresh()
    assert len(raw.manifests()) == 2


def test_a_glob_stays_a_glob_if_a_file_has_its_very_name(client, data):
    artifact = client.register_pointer("a", f"{data}/?")
    (data / "?").write_bytes(b"x")
    done = artifact.refresh()
    assert (done.changes.added, done.changes.removed) == (["?"], [])
    assert [entry.path for entry in done.artifact.entries] == ["?", "a", "b"]


def test_a_stored_file_is_not_replaced_by_one_that_appears_in_a_place(client, data):
    artifact = client.register_artifact("a", {"p": Pointer(data), "p/new": b"mine"})
    (data / "new").write_bytes(b"theirs")
    with contextlib.suppress(InvalidPathError):
        artifact.refresh()
    assert client.get_artifact("a").read_bytes("p/new") == b"mine"
