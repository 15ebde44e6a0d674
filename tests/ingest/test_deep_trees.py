"""Trees deeper than Python's stack, and folders of links: registered, pointed to and fetched whole, or refused."""

from __future__ import annotations

import os
import subprocess

import pytest

from metamlflow.errors import MetaMLFlowError, UnsupportedSourceError

DEEP = 1400


@pytest.fixture
def deep(folder):
    """A folder with a file 1,400 folders down, and an empty folder beside it."""
    subprocess.run(["mkdir", "-p", folder / "/".join("d" * DEEP)], check=True)
    (folder / "/".join("d" * DEEP) / "x.txt").write_bytes(b"deep")
    (folder / "/".join("d" * 700) / "empty").mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.full
def test_a_deep_folder_is_registered_and_comes_back(client, deep, tmp_path):
    artifact = client.register_artifact("a", deep)
    path = "/".join("d" * DEEP) + "/x.txt"
    assert [entry.path for entry in artifact.entries] == [path]
    out = artifact.download(tmp_path / "out")
    cached = artifact.local_path()
    try:
        for copy in (out, cached):
            assert (copy / path).read_bytes() == b"deep"
            assert (copy / "/".join("d" * 700) / "empty").is_dir()
        assert artifact.local_path() == cached
    finally:
        subprocess.run(["chmod", "-R", "u+w", tmp_path], check=True)
        subprocess.run(["rm", "-rf", tmp_path / "out", tmp_path / "cache"], check=True)


@pytest.mark.full
def test_a_deep_folder_can_be_pointed_to(client, deep):
    artifact = client.register_pointer("a", deep)
    assert [entry.path for entry in artifact.entries] == ["/".join("d" * DEEP) + "/x.txt"]


def test_a_folder_deeper_than_a_path_can_name_is_refused_by_name(client, folder):
    try:
        handle = os.open(folder, os.O_RDONLY)
        for _ in range(30):
            os.mkdir("d" * 200, dir_fd=handle)
            inner = os.open("d" * 200, os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = inner
        os.close(handle)
        for register in (client.register_artifact, client.register_pointer):
            with pytest.raises(UnsupportedSourceError, match="too long"):
                register("a", folder)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.timeout(60)
def test_folders_of_links_that_hold_endless_paths_are_refused(client, folder):
    for number in range(40):
        (folder / f"{number}").mkdir()
        for name in ("a", "b"):
            (folder / f"{number}/{name}").symlink_to(f"../{number + 1}")
    (folder / "40").mkdir()
    (folder / "40/x").touch()
    for register in (client.register_artifact, client.register_pointer):
        with pytest.raises(UnsupportedSourceError, match=r"more than 100 ways|[Tt]oo many levels"):
            register("a", folder)


def test_several_links_to_one_folder_are_followed(client, folder):
    (folder / "real").mkdir()
    (folder / "real/x").write_bytes(b"1")
    for number in range(50):
        (folder / f"link{number:02}").symlink_to("real")
    assert len(client.register_artifact("a", folder).entries) == 51
    assert len(client.register_pointer("b", folder).entries) == 51


@pytest.mark.parametrize("swap", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.timeout(60)
def test_a_source_that_becomes_a_pipe_or_a_device_while_it_is_registered_is_refused(client, folder, swap, raw):
    big, small = folder / "a.bin", folder / "z.bin"
    big.write_bytes(bytes(3 << 20))
    small.write_bytes(b"1")

    def intrude(progress):
        for path in (big, small):
            path.unlink(missing_ok=True)
            swap(path)

    with pytest.raises(MetaMLFlowError):
        client.register_artifact("a", folder, progress=intrude)
    assert raw.manifests() == []
