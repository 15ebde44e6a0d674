"""Full and read-only disks, real ones: a clear error, nothing lost, nothing left, and a retry finishes the work."""

from __future__ import annotations

import io
import os
import stat
import subprocess

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, StorageFullError, StoreNotFoundError

MIB = 1 << 20


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture
def small_disk(mounted):
    return mounted("size=2m")


@pytest.fixture
def clients(tmp_path):
    return lambda place: MetaMLFlowClient(place, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("parts", [1, 24])
def test_a_full_disk_under_the_store_is_named_and_loses_nothing(clients, small_disk, parts):
    client = clients(small_disk / "store")
    client.register_artifact("a", b"before")
    (small_disk / "ballast").write_bytes(bytes(MIB))
    content = {f"{n:02}": os.urandom(3 * MIB // 2 // parts) for n in range(parts)}
    with pytest.raises(StorageFullError, match="no space is left"):
        client.register_artifact("a", content)
    assert client.get_artifact("a").read_bytes() == b"before"
    assert not [path for path in files_in(small_disk) if ".tmp/" in path]
    (small_disk / "ballast").unlink()
    assert client.register_artifact("a", content).version == 2
    assert client.get_artifact("a").verify()


def test_a_disk_too_full_for_the_manifest_commits_nothing(clients, small_disk):
    client = clients(small_disk / "store")
    client.register_artifact("a", b"before")
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(bytes(free - 8192))
    with pytest.raises(StorageFullError):
        client.register_artifact("a", b"new", metadata={"long": "x" * 20_000})
    assert [artifact.version for artifact in client.list_artifacts("a")] == [1]
    (small_disk / "ballast").unlink()
    assert client.register_artifact("a", b"new").version == 2


def test_a_full_disk_under_the_temp_folder_is_named(clients, tmp_path, small_disk, monkeypatch, raw):
    monkeypatch.setenv("METAMLFLOW_TMPDIR", str(small_disk))
    client = clients(tmp_path / "store")
    with pytest.raises(StorageFullError, match=r"temp folder .*bytes free(?s:.)*METAMLFLOW_TMPDIR") as caught:
        client.register_artifact("a", io.BytesIO(bytes(5 * MIB)))
    assert caught.value.key == str(small_disk)
    assert (raw.manifests(), files_in(small_disk)) == ([], [])
    monkeypatch.delenv("METAMLFLOW_TMPDIR")
    assert client.register_artifact("a", io.BytesIO(bytes(5 * MIB))).size == 5 * MIB


@pytest.mark.parametrize("excess", [1, 100, 4096, 300_000])
def test_a_temp_folder_that_is_full_at_the_very_last_bytes_is_named_too(
    clients, tmp_path, small_disk, monkeypatch, excess
):
    monkeypatch.setenv("METAMLFLOW_TMPDIR", str(small_disk))
    with pytest.raises(StorageFullError, match="temp folder"):
        clients(tmp_path / "store").register_artifact("a", io.BytesIO(bytes(2 * MIB + excess)))


@pytest.mark.parametrize("parts", [1, 24])
def test_a_full_disk_under_a_download_leaves_the_destination_as_it_was(clients, tmp_path, small_disk, parts):
    artifact = clients(tmp_path / "store").register_artifact(
        "a", {f"d/{n:02}": os.urandom(3 * MIB // parts) for n in range(parts)}
    )
    (small_disk / "mine").write_bytes(b"1")
    with pytest.raises(StorageFullError, match="no space is left"):
        artifact.download(small_disk)
    with pytest.raises(StorageFullError):
        artifact.download(small_disk / "new/deep")
    assert [path.name for path in small_disk.rglob("*")] == ["mine"]
    assert artifact.verify()


def test_a_full_disk_under_the_cache_leaves_nothing_there(tmp_path, small_disk):
    client = MetaMLFlowClient(tmp_path / "store", cache_dir=small_disk / "cache")
    artifact = client.register_artifact("a", os.urandom(3 * MIB))
    with pytest.raises(StorageFullError):
        artifact.local_path()
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size > 10_000]
    small = client.register_artifact("b", b"small")
    assert small.local_path().read_bytes() == b"small"


def test_a_read_only_disk_can_be_read_and_refuses_writes(clients, mounted, tmp_path):
    disk = mounted("size=2m")
    client = clients(disk / "store")
    written = client.register_artifact("a", {"x": b"1", "y": b"2"})
    before = files_in(disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for reader in (client, clients(disk / "store")):
        with pytest.raises(AccessDeniedError, match="read-only"):
            reader.register_artifact("a", b"3")
        artifact = reader.get_artifact("a")
        assert artifact == written
        assert artifact.verify()
        assert artifact.read_bytes("x") == b"1"
        assert (artifact.local_path() / "y").read_bytes() == b"2"
    with pytest.raises(AccessDeniedError):
        written.download(disk / "out")
    assert files_in(artifact.download(tmp_path / "out")) == ["x", "y"]
    assert files_in(disk) == before


def look_at(place):
    """Runs as nobody: everything that only reads."""
    client = MetaMLFlowClient(place)
    artifact = client.get_artifact("a")
    listed = [(a.name, a.version) for a in client.list_artifacts()]
    return listed, artifact.read_bytes(), bool(artifact.verify("stat")), artifact.open().read()


def test_a_store_of_another_user_can_be_read_and_refuses_writes(open_folder, as_nobody):
    place = open_folder / "store"
    client = MetaMLFlowClient(place)
    client.register_artifact("a", b"1")
    before = files_in(place)
    assert as_nobody(look_at, place) == ([("a", 1)], b"1", True, b"1")
    with pytest.raises(AccessDeniedError, match="access is denied"):
        as_nobody(client.register_artifact, "a", b"2")
    with pytest.raises(AccessDeniedError):
        as_nobody(MetaMLFlowClient(place).register_artifact, "new", b"2")
    assert files_in(place) == before


def test_a_place_where_nothing_may_be_created_says_so(open_folder, as_nobody):
    open_folder.chmod(0o755)
    with pytest.raises(AccessDeniedError):
        as_nobody(MetaMLFlowClient(open_folder / "store").register_artifact, "a", b"1")
    assert list(open_folder.iterdir()) == []


def test_a_store_that_may_not_be_looked_into_is_not_called_missing(open_folder, as_nobody):
    client = MetaMLFlowClient(open_folder / "store")
    client.register_artifact("a", b"1")
    (open_folder / "store").chmod(0o700)
    with pytest.raises(AccessDeniedError):
        as_nobody(MetaMLFlowClient(open_folder / "store").get_artifact, "a")
    with pytest.raises(StoreNotFoundError):
        as_nobody(MetaMLFlowClient(open_folder / "none").get_artifact, "a")


def test_a_destination_of_another_user_is_refused_and_left_alone(open_folder, as_nobody):
    artifact = MetaMLFlowClient(open_folder / "store").register_artifact("a", b"1")
    (open_folder / "out").mkdir(mode=0o755)
    with pytest.raises(AccessDeniedError):
        as_nobody(artifact.download, open_folder / "out")
    assert list((open_folder / "out").iterdir()) == []


def test_a_folder_may_be_immutable_to_root_too(tmp_path, clients):
    place = tmp_path / "store"
    client = clients(place)
    client.register_artifact("a", b"1")
    if subprocess.run(["chattr", "-R", "+i", place], capture_output=True, check=False).returncode:
        pytest.skip("this disk has no immutable files")
    try:
        with pytest.raises(AccessDeniedError, match="not permitted"):
            client.register_artifact("a", b"2")
        assert client.get_artifact("a").read_bytes() == b"1"
    finally:
        subprocess.run(["chattr", "-R", "-i", place], check=True)


def test_stored_content_is_read_only(client, raw):
    client.register_artifact("a", b"1")
    (blob,) = raw.blobs()
    assert not stat.S_IMODE((raw.root / blob).stat().st_mode) & 0o222
