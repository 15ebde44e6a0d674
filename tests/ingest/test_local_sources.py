"""Registering files and folders of this machine: what is kept, what is followed, what is refused."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from metamlflow.errors import (
    InvalidInputError,
    InvalidPathError,
    MetaMLFlowError,
    SourceNotFoundError,
    UnsupportedSourceError,
)

ODD_NAMES = [
    "-rf",
    " leading and trailing ",
    'it\'s "quoted"',
    "back\\slash",
    "$HOME *?[x]{y}~",
    "~tilde",
    ".hidden",
    "...",
    "CON",
    "é",
    "e\u0301",
    "模型",
    "\u202egnp.exe",
    "a%20b#c;d&e=f",
    "n" * 255,
    "é" * 127,
]


def paths(artifact):
    return [entry.path for entry in artifact.entries]


def tree(root: Path) -> dict[str, bytes | None]:
    """Files with their content, and empty folders as None."""
    found: dict[str, bytes | None] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(root))] = path.read_bytes()
        elif not any(path.iterdir()):
            found[str(path.relative_to(root))] = None
    return found


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_a_file_is_stored_under_its_name(client, folder, raw):
    (folder / "t.csv").write_bytes(b"a\n1\n")
    artifact = client.register_artifact("a", folder / "t.csv")
    assert paths(artifact) == ["t.csv"]
    assert raw.blob_path(b"a\n1\n", ".csv").read_bytes() == b"a\n1\n"


@pytest.mark.parametrize("spell", [str, os.fspath, Path, os.fsencode, "file://{}".format, "{}/".format])
def test_a_folder_may_be_spelled_in_any_way(client, folder, spell):
    (folder / "x").write_bytes(b"1")
    source = spell(folder)
    assert paths(client.register_artifact("a", Spelled(source) if isinstance(source, bytes) else source)) == ["x"]


class Spelled:
    """Any object with ``__fspath__``, which may give bytes."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return self._path


def test_a_folder_comes_back_as_it_was(client, folder, tmp_path):
    for path in ("a/b/c.txt", "a.txt", "a-b/x", "a/empty.txt", "z"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"" if "empty" in path else path.encode())
    (folder / "nothing/in/here").mkdir(parents=True)
    client.register_artifact("a", folder)
    artifact = client.get_artifact("a")
    assert paths(artifact) == sorted(["a/b/c.txt", "a.txt", "a-b/x", "a/empty.txt", "z"])
    assert tree(artifact.download(tmp_path / "out")) == tree(folder)
    assert tree(folder)["nothing/in/here"] is None


def test_an_empty_folder_is_an_artifact_too(client, folder, tmp_path):
    artifact = client.register_artifact("a", folder)
    assert (len(artifact.entries), artifact.size, bool(artifact.verify())) == (0, 0, True)
    assert tree(artifact.download(tmp_path / "out")) == {}


def test_an_empty_folder_counts_in_the_digest(client, folder):
    (folder / "x").write_bytes(b"")
    without = client.register_artifact("a", folder)
    (folder / "empty").mkdir()
    assert client.register_artifact("a", folder).digest != without.digest


def test_executable_files_stay_executable_and_others_do_not_become_so(client, folder, tmp_path):
    for name, mode in (("run", 0o755), ("data", 0o644), ("mine", 0o700), ("group", 0o654)):
        (folder / name).write_bytes(b"same")
        (folder / name).chmod(mode)
    client.register_artifact("a", folder)
    out = client.get_artifact("a").download(tmp_path / "out")
    executable = {path.name for path in out.iterdir() if path.stat().st_mode & stat.S_IXUSR}
    assert executable == {"run", "mine"}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_come_back_exactly(client, folder, tmp_path, name):
    inner = folder / name
    inner.mkdir()
    (inner / name).write_bytes(name.encode())
    artifact = client.register_artifact("a", folder)
    assert paths(artifact) == [f"{name}/{name}"]
    assert tree(artifact.download(tmp_path / "out")) == {f"{name}/{name}": name.encode()}
    single = client.register_artifact("b", inner / name)
    assert single.download(tmp_path / "single").name == name
    assert single.local_path().name == name


@pytest.mark.parametrize("name", ["~tilde", "~nobody.csv", "~$report.docx"])
def test_a_relative_name_that_begins_with_a_tilde_is_a_name(client, folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    Path(name).write_bytes(b"1")
    assert paths(client.register_artifact("a", name)) == [name]


@pytest.mark.usefixtures("deep_tree")
def test_a_deep_folder_is_no_problem(client, folder):
    deep = folder.joinpath(*["d"] * 500)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"1")
    assert paths(client.register_artifact("a", folder)) == ["d/" * 500 + "f"]


# --- links ------------------------------------------------------------------------------------------------------------


def test_links_to_files_and_folders_are_followed(client, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "data").write_bytes(b"1")
    (folder / "file").symlink_to(tmp_path / "outside" / "data")
    (folder / "dir").symlink_to("../outside")
    (tmp_path / "whole").symlink_to(folder)
    artifact = client.register_artifact("a", tmp_path / "whole")
    assert paths(artifact) == ["dir/data", "file"]
    assert paths(client.register_artifact("b", folder / "file")) == ["file"]


def test_two_links_to_one_folder_are_no_loop(client, folder, tmp_path):
    (folder / "real").mkdir()
    (folder / "real" / "x").write_bytes(b"1")
    (folder / "one").symlink_to("real")
    (folder / "two").symlink_to("real")
    assert paths(client.register_artifact("a", folder)) == ["one/x", "real/x", "two/x"]


def test_everything_that_is_no_data_is_named_in_one_error(client, folder, store_folder, tmp_path, monkeypatch):
    (folder / "good").write_bytes(b"1")
    (folder / "sub").mkdir()
    (folder / "sub" / "loop").symlink_to("..")
    (folder / "self").symlink_to("self")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sub/socket")
        with pytest.raises(UnsupportedSourceError, match=r"^5 of the files") as caught:
            client.register_artifact("a", folder)
    named = "\n".join(caught.value.problems)
    assert all(path in named for path in ("sub/loop", "self", "dangling", "fifo", "sub/socket"))
    assert "a dangling link to nowhere" in named
    assert "a pipe, not a file" in named
    assert not store_folder.exists()


@pytest.mark.parametrize("special", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(client, special):
    with pytest.raises(UnsupportedSourceError, match="is a device"):
        client.register_artifact("a", special)


def test_a_pipe_is_refused_without_waiting_for_a_writer(client, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedSourceError, match="is a pipe"):
        client.register_artifact("a", tmp_path / "pipe")


@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_a_link_to_nothing_is_refused(client, tmp_path, target):
    (tmp_path / "loop").symlink_to(target)
    with pytest.raises((SourceNotFoundError, UnsupportedSourceError), match="loop"):
        client.register_artifact("a", tmp_path / "loop")


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_that_are_no_utf8_or_hold_control_characters_are_all_named(client, folder, store_folder):
    for name in (b"bad\xff", b"new\nline", b"bell\x07", b"del\x7f", "c1\x85".encode(), b"good"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"1")
    with pytest.raises(InvalidPathError, match=r"^5 of the files") as caught:
        client.register_artifact("a", folder)
    message = str(caught.value)
    assert all(shown in message for shown in ("bad\\\\udcff", "new\\nline", "bell\\x07", "no valid UTF-8", "control"))
    message.encode()  # an error message can always be printed
    assert not store_folder.exists()


def test_a_single_file_with_a_bad_name_can_be_registered_under_another(client, folder):
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff"))
    bad.write_bytes(b"1")
    with pytest.raises(InvalidPathError, match=r"no valid UTF-8(?s:.)*a mapping of new names"):
        client.register_artifact("a", bad)
    assert client.register_artifact("a", {"good": bad}).read_bytes("good") == b"1"


def test_an_error_about_a_name_that_is_no_text_can_be_printed(client, folder):
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff"))
    for make in (os.mkfifo, lambda path: path.symlink_to("nowhere")):
        make(bad)
        for source in (folder, bad):
            with pytest.raises(MetaMLFlowError, match=r"bad\\udcff") as caught:
                client.register_artifact("a", source)
            str(caught.value).encode()
        bad.unlink()


# --- what is not there or not ours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["nowhere", "nowhere/x", "file:///nowhere"])
def test_a_path_with_nothing_at_it_is_an_error_that_names_it(client, folder, monkeypatch, source):
    monkeypatch.chdir(folder)
    with pytest.raises(SourceNotFoundError, match="nowhere") as caught:
        client.register_artifact("a", source)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.source


@pytest.mark.parametrize("source", ["", "a\0b", "x" * 5000])
def test_what_can_be_no_path_is_refused(client, source):
    with pytest.raises(MetaMLFlowError):
        client.register_artifact("a", source)


def test_unreadable_files_and_folders_are_named(client, open_folder, as_nobody):
    source = open_folder / "source"
    source.mkdir(mode=0o755)
    source.chmod(0o755)
    (source / "secret").write_bytes(b"1")
    (source / "secret").chmod(0)
    client = type(client)(open_folder / "store")
    with pytest.raises(UnsupportedSourceError, match=r"secret cannot be read"):
        as_nobody(client.register_artifact, "a", source)
    (source / "secret").unlink()
    (source / "closed").mkdir(mode=0)
    with pytest.raises(UnsupportedSourceError, match=r"closed: the folder cannot be read"):
        as_nobody(client.register_artifact, "a", source)
    assert not list(open_folder.rglob("*_v1.json"))


def test_a_folder_that_contains_the_store_is_refused(client, tmp_path, store_folder):
    client.register_artifact("a", b"1")
    before = sorted(store_folder.rglob("*"))
    for source in (tmp_path, store_folder, [store_folder], {"x": tmp_path}):
        with pytest.raises(UnsupportedSourceError, match="contains the store itself"):
            client.register_artifact("b", source)
    assert sorted(store_folder.rglob("*")) == before


def test_a_link_that_leads_into_the_store_is_refused(client, folder, store_folder):
    client.register_artifact("a", b"1")
    (folder / "link").symlink_to(store_folder)
    with pytest.raises(UnsupportedSourceError, match="link: the store itself"):
        client.register_artifact("b", folder)


def test_a_folder_beside_the_store_with_a_longer_name_is_no_part_of_it(client, tmp_path):
    client.register_artifact("a", b"1")
    shutil.copytree(tmp_path / "store", tmp_path / "store-copy")
    assert "metamlflow.json" in paths(client.register_artifact("b", tmp_path / "store-copy"))


def test_a_list_or_mapping_of_a_single_folder_keeps_its_name(client, folder):
    (folder / "x").write_bytes(b"1")
    (folder / "e").mkdir()
    assert paths(client.register_artifact("a", [folder])) == ["folder/x"]
    with pytest.raises(InvalidInputError):
        client.register_artifact("a", [])
