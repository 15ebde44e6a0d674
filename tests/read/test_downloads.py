"""Downloads: where files land, what is never overwritten, and that a failure leaves the destination as it was."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import DestinationExistsError, IntegrityError, InvalidPathError
from metamlflow.store.read import download as downloading

CONTENT = {"a.txt": b"1", "dir/b.txt": b"2", "dir/deep/c.txt": b"3"}


def tree(root: Path) -> dict[str, object]:
    """What lies below a folder, hidden files and links included."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        found[name] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


FULL = {"a.txt": b"1", "dir": None, "dir/b.txt": b"2", "dir/deep": None, "dir/deep/c.txt": b"3"}


@pytest.fixture
def artifact(client):
    return client.register_artifact("a", CONTENT)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def umask():
    """Set the umask for one test: ``umask(0o077)``."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


# --- what lands where -------------------------------------------------------------------------------------------------


def test_a_folder_lands_below_the_destination_and_that_is_returned(artifact, out):
    assert artifact.download(out) == out
    assert tree(out) == FULL


def test_a_single_file_lands_in_the_destination_and_its_path_is_returned(client, out):
    assert client.register_artifact("a", b"1").download(out) == out / "a"
    assert tree(out) == {"a": b"1"}


def test_one_file_of_many_keeps_its_logical_path(artifact, out):
    assert artifact.download(out, path="dir/b.txt") == out / "dir/b.txt"
    assert tree(out) == {"dir": None, "dir/b.txt": b"2"}


@pytest.mark.parametrize("spell", [str, os.fspath, Path, "{}/".format])
def test_the_destination_is_made_with_its_parents(artifact, out, spell):
    assert artifact.download(spell(out / "x/y")) == out / "x/y"
    assert tree(out / "x/y") == FULL


@pytest.mark.parametrize("name", ["~not a user", "-rf", "a b"])
def test_a_relative_destination_is_taken_as_it_is(artifact, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert artifact.download(name) == Path(name)
    assert tree(tmp_path / name) == FULL


def test_the_destination_may_be_a_link_to_a_folder(artifact, out, tmp_path):
    (tmp_path / "real").mkdir()
    out.symlink_to("real")
    artifact.download(out)
    assert tree(tmp_path / "real") == FULL


def test_other_files_of_the_destination_are_left_alone(artifact, out):
    (out / "dir").mkdir(parents=True)
    (out / "dir" / "mine").write_bytes(b"mine")
    artifact.download(out)
    assert tree(out) == FULL | {"dir/mine": b"mine"}


@pytest.mark.parametrize(
    ("mask", "plain", "executable"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0, 0o666, 0o777)]
)
def test_files_honour_the_umask(client, folder, out, umask, mask, plain, executable):
    (folder / "plain").write_bytes(b"1")
    (folder / "run").write_bytes(b"2")
    (folder / "run").chmod(0o755)
    artifact = client.register_artifact("a", folder)
    umask(mask)
    artifact.download(out / "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (out / "x").iterdir()}
    assert modes == {"plain": plain, "run": executable}
    assert stat.S_IMODE((out / "x").stat().st_mode) == 0o777 & ~mask


def test_downloaded_files_are_the_users_own(artifact, out, raw):
    artifact.download(out)
    (out / "a.txt").write_bytes(b"changed")
    assert raw.blob_path(b"1", ".txt").read_bytes() == b"1"
    assert artifact.verify()


# --- what is in the way -----------------------------------------------------------------------------------------------


def test_all_files_in_the_way_are_named_and_nothing_changes(artifact, out):
    (out / "dir").mkdir(parents=True)
    (out / "a.txt").write_bytes(b"mine")
    (out / "dir" / "b.txt").write_bytes(b"mine")
    before = tree(out)
    with pytest.raises(DestinationExistsError, match=r"a\.txt(?s:.)*overwrite=True") as caught:
        artifact.download(out)
    assert caught.value.paths == (str(out / "a.txt"), str(out / "dir/b.txt"))
    assert isinstance(caught.value, FileExistsError)
    assert tree(out) == before


def test_a_second_download_to_one_place_needs_overwrite(artifact, out):
    artifact.download(out)
    (out / "a.txt").write_bytes(b"old")
    with pytest.raises(DestinationExistsError):
        artifact.download(out)
    assert (out / "a.txt").read_bytes() == b"old"
    artifact.download(out, overwrite=True)
    assert tree(out) == FULL


def test_very_many_files_in_the_way_are_counted(client, out):
    artifact = client.register_artifact("a", {f"{n:03}": b"" for n in range(100)})
    artifact.download(out)
    with pytest.raises(DestinationExistsError, match="and 80 more") as caught:
        artifact.download(out)
    assert len(caught.value.paths) == 100


@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_are_never_replaced_by_files_nor_files_by_folders(artifact, out, overwrite):
    (out / "a.txt").mkdir(parents=True)
    (out / "dir").write_bytes(b"mine")
    before = tree(out)
    with pytest.raises(DestinationExistsError) as caught:
        artifact.download(out, overwrite=overwrite)
    assert len(caught.value.paths) == 3
    assert tree(out) == before


LINKS = {
    "a file": ("a.txt", "../outside/file"),
    "a file that does not exist": ("a.txt", "../outside/new"),
    "a folder": ("dir", "../outside"),
    "a folder inside": ("dir/deep", "../../outside"),
    "an empty folder": ("empty", "../outside"),
    "an empty folder that does not exist": ("empty", "../outside/new"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("place", "target"), LINKS.values(), ids=LINKS)
def test_links_in_the_destination_are_not_followed_and_not_replaced(
    client, folder, tmp_path, out, place, target, overwrite
):
    for path, data in CONTENT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "empty").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"mine")
    (out / place).parent.mkdir(parents=True)
    (out / place).symlink_to(target)
    artifact = client.register_artifact("a", folder)
    before = tree(out), tree(tmp_path / "outside")
    with pytest.raises(DestinationExistsError, match="link" if place.startswith("dir") else place):
        artifact.download(out, overwrite=overwrite)
    assert (tree(out), tree(tmp_path / "outside")) == before


@pytest.mark.parametrize("below", ["", "x/y"])
def test_a_file_where_the_destination_should_be_is_left_alone(artifact, out, below):
    out.write_bytes(b"mine")
    with pytest.raises(DestinationExistsError, match="out is not a folder") as caught:
        artifact.download(out / below)
    assert caught.value.paths == (str(out),)
    assert out.read_bytes() == b"mine"


def test_a_destination_that_is_a_dangling_link_is_refused(artifact, out):
    out.symlink_to("nowhere")
    with pytest.raises(DestinationExistsError, match="out is not a folder"):
        artifact.download(out)
    assert out.readlink() == Path("nowhere")


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
def test_damaged_content_leaves_the_destination_as_it_was(artifact, out, raw, overwrite):
    raw.overwrite(raw.blob_path(b"3", ".txt"), b"X")
    with pytest.raises(IntegrityError):
        artifact.download(out / "x/y", overwrite=overwrite)
    assert not out.exists()
    (out / "dir").mkdir(parents=True)
    (out / "a.txt").write_bytes(b"mine")
    before = tree(out)
    with pytest.raises(IntegrityError):
        artifact.download(out, path="dir/deep/c.txt", overwrite=overwrite)
    with pytest.raises((IntegrityError, DestinationExistsError)):
        artifact.download(out, overwrite=overwrite)
    assert tree(out) == before


def test_a_file_that_appears_while_the_download_runs_is_left_and_the_rest_taken_back(artifact, out):
    (out / "dir").mkdir(parents=True)

    def intrude(progress):
        if progress.files == 3:
            (out / "dir" / "deep").mkdir()
            (out / "dir" / "deep" / "c.txt").write_bytes(b"theirs")

    with pytest.raises(DestinationExistsError, match=r"c\.txt appeared while"):
        artifact.download(out, progress=intrude)
    assert tree(out) == {"dir": None, "dir/deep": None, "dir/deep/c.txt": b"theirs"}


def test_a_file_that_appears_where_a_folder_should_be_takes_all_back(artifact, out):
    def intrude(progress):
        if progress.files == 3:
            (out / "dir").write_bytes(b"theirs")

    with pytest.raises(DestinationExistsError):
        artifact.download(out, progress=intrude)
    assert tree(out) == {"dir": b"theirs"}


INTERRUPTED = """
import sys, time
from metamlflow import MetaMLFlowClient
artifact = MetaMLFlowClient(sys.argv[1]).get_artifact("a")
def slow(progress):
    if progress.bytes:
        print("under way", flush=True)
        time.sleep(0.02)
artifact.download(sys.argv[2], progress=slow)
"""


@pytest.mark.parametrize(
    "content", [{f"{n:03}": b"%d" % n for n in range(400)}, {"big": bytes(64 << 20)}], ids=["many", "big"]
)
def test_ctrl_c_leaves_nothing_behind(client, store_folder, out, content):
    client.register_artifact("a", content)
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, store_folder, out / "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout.readline() == b"under way\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in errors
    assert not out.exists()


# --- disks that cannot tell names apart -------------------------------------------------------------------------------

CLASHING = {"A.txt": b"1", "a.txt": b"2", "dir/x": b"3", "DIR/y": b"4", "e\u0301": b"5", "\u00e9": b"6", "fine": b"7"}


def test_names_that_a_disk_cannot_tell_apart_are_all_named_before_anything_is_written(client, out, monkeypatch):
    artifact = client.register_artifact("a", CLASHING)
    monkeypatch.setattr(downloading, "_folds", lambda folder: True)
    with pytest.raises(InvalidPathError, match="cannot tell these paths apart") as caught:
        artifact.download(out)
    assert len(caught.value.problems) == 3
    named = " ".join(caught.value.problems)
    assert all(path in named for path in ("'A.txt'", "'a.txt'", "'dir'", "'DIR'"))
    assert "fine" not in named
    assert not out.exists()
    with pytest.raises(InvalidPathError):
        artifact.local_path()
    assert artifact.download(out, path="a.txt").read_bytes() == b"2"


def test_a_real_disk_that_folds_case_is_recognised(client, mounted):
    disk = mounted("size=2m,casefold")
    if subprocess.run(["chattr", "+F", disk], capture_output=True, check=False).returncode:
        pytest.skip("this kernel's tmpfs folds no case")
    with pytest.raises(InvalidPathError):
        client.register_artifact("a", CLASHING).download(disk / "out")


def test_a_disk_that_tells_names_apart_takes_them_all(client, out):
    client.register_artifact("a", CLASHING).download(out)
    assert {path: data for path, data in tree(out).items() if data is not None} == CLASHING


def test_a_store_elsewhere_needs_no_client_that_registered(artifact, store_folder, out, tmp_path):
    reader = MetaMLFlowClient(store_folder, cache_dir=tmp_path / "other cache")
    reader.get_artifact("a").download(out)
    assert tree(out) == FULL
