"""What is broken beside an artifact, or was left lying about, does not spoil what can still be done."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import DamagedRecordWarning, IntegrityError, StorageError, StoreNotFoundError


def manifest_of(store_folder, name, version):
    (path,) = (store_folder / f"artifacts/{name}/_versions").glob(f"*_v{version}.json")
    path.chmod(0o644)
    return path


def test_a_damaged_record_is_left_out_of_a_list_with_a_warning(client, store_folder):
    for name in ("a", "b", "b"):
        client.register_artifact(name, b"1")
    manifest_of(store_folder, "b", 2).write_text("{")
    with pytest.warns(DamagedRecordWarning, match="_v2.json"):
        assert [artifact.name for artifact in client.list_artifacts()] == ["a"]
    with pytest.warns(DamagedRecordWarning, match="_v2.json"):
        assert [artifact.version for artifact in client.list_artifacts("b")] == [1]


@pytest.fixture
def undecided(client, store_folder):
    """A store in which the state of b@2 cannot be read, and all else can."""
    for name in ("a", "b", "b", "b", "c"):
        client.register_artifact(name, b"1")
    manifest_of(store_folder, "b", 2).with_suffix(".state-9999999998.json").write_text("{")
    return client


def test_a_damaged_state_is_left_out_of_a_list_with_a_warning(undecided):
    with pytest.warns(DamagedRecordWarning, match="state-9999999998"):
        assert [artifact.version for artifact in undecided.list_artifacts("b")] == [1, 3]


def test_a_damaged_state_ends_no_verification_of_all(undecided):
    found = undecided.verify_all()
    assert [f"{report.name}@{report.version}" for report in found.reports] == ["a@1", "b@1", "b@3", "c@1"]
    assert [error.reference for error in found.errors] == ["b@2"]
    assert "state-9999999998" in found.errors[0].error.message
    assert found.exit_code == 1


def test_a_damaged_state_is_told_by_the_history_and_hides_no_other_version(undecided):
    history = undecided.history("b")
    assert [(entry.version, entry.available) for entry in history.versions] == [(1, True), (2, False), (3, True)]
    (problem,) = history.problems
    assert problem.key.endswith("_v2.state-9999999998.json")


def test_registering_content_again_mends_what_was_deleted(client, store_folder):
    first = client.register_artifact("a", b"good")
    (store_folder / next(iter(first.entries)).key).unlink()
    with pytest.raises(IntegrityError):
        first.read_bytes()
    assert client.register_artifact("a", b"good").read_bytes() == b"good"
    assert first.read_bytes() == b"good"


def test_content_that_was_cut_is_stored_anew_beside_it(client, store_folder):
    first = client.register_artifact("a", b"good")
    blob = store_folder / next(iter(first.entries)).key
    blob.chmod(0o644)
    blob.write_bytes(b"goo")
    assert client.register_artifact("a", b"good").read_bytes() == b"good"


@pytest.mark.full
def test_a_damaged_list_of_files_does_not_keep_the_next_version_away(client, store_folder, folder):
    for number in range(4_200):
        (folder / f"{number:05}").write_bytes(b"x")
    first = client.register_artifact("many", folder)
    shard = next((store_folder / "blobs").rglob("*.jsonl"))
    shard.unlink()
    second = client.register_artifact("many", folder)
    assert second.digest == first.digest
    assert second.verify()


def test_a_store_that_was_moved_away_is_not_begun_anew(client, store_folder):
    client.register_artifact("a", b"1")
    store_folder.rename(store_folder.with_name("moved"))
    with pytest.raises(StorageError, match="folder is gone"):
        client.register_artifact("a", b"2")
    with pytest.raises(StorageError, match="folder is gone"):
        client.list_artifacts()
    assert not store_folder.exists()
    store_folder.with_name("moved").rename(store_folder)
    assert client.register_artifact("a", b"2").version == 2


def test_another_folder_in_the_store_s_place_is_left_alone(client, store_folder):
    client.register_artifact("a", b"1")
    store_folder.rename(store_folder.with_name("moved"))
    store_folder.mkdir()
    (store_folder / "somebody's").write_text("1")
    with pytest.raises(StorageError, match="another one lies in its place"):
        client.register_artifact("a", b"2")
    assert [path.name for path in store_folder.iterdir()] == ["somebody's"]


def test_a_reader_that_came_before_the_store_may_write_it_later(store_folder):
    client = MetaMLFlowClient(store_folder)
    with pytest.raises(StoreNotFoundError):
        client.get_artifact("a")
    assert client.register_artifact("a", b"1").version == 1


CHILD = """
import os, signal, sys
from metamlflow import MetaMLFlowClient
def die(progress):
    if progress.bytes:
        os.kill(os.getpid(), signal.SIGKILL)
MetaMLFlowClient(sys.argv[1]).get_artifact("a").download(sys.argv[2], progress=die)
"""


def test_what_a_killed_download_left_is_no_data_and_is_removed_by_the_next(client, store_folder, tmp_path):
    client.register_artifact("a", {"x": b"1", "y": os.urandom(3_000_000)})
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", CHILD, store_folder, out], check=False)
    assert killed.returncode == -9
    (remains,) = out.iterdir()
    assert remains.name.startswith(".metamlflow-download-")
    (out / "mine").write_text("1")
    assert [entry.path for entry in client.register_artifact("out", out).entries] == ["mine"]
    client.get_artifact("a").download(out)
    assert sorted(path.name for path in out.iterdir()) == ["mine", "x", "y"]


def test_a_download_under_way_is_not_swept_by_another(client, tmp_path):
    artifact = client.register_artifact("a", {"x": b"1"})
    other = client.register_artifact("b", {"y": b"2"})
    seen = []

    def meanwhile(progress):
        if progress.files == 1 and not seen:
            seen.append(other.download(tmp_path / "out"))

    artifact.download(tmp_path / "out", progress=meanwhile)
    time.sleep(0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x", "y"]
