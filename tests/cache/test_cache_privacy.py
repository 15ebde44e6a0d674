"""The cache of somebody else: what others planted is never handed out, and a folder nobody can write serves."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from metamlflow.errors import AccessDeniedError, InvalidInputError
from metamlflow.store.cache.file_cache import FileCache

NOBODY = 65534
TRUE, FALSE = b"true", b"fals"


def get(cache: FileCache, content: bytes = TRUE, name: str = "x") -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return cache.file(digest, name, lambda file: file.write(content), size=len(content)).read_bytes()


def must_not_fetch(_):
    raise AssertionError("the content was fetched although the cache has it")


def hit(cache: FileCache, content: bytes = TRUE, name: str = "x") -> bytes:
    return cache.file(hashlib.sha256(content).hexdigest(), name, must_not_fetch, size=len(content)).read_bytes()


def plant(root: Path, content: bytes = FALSE, *, owner: int | None = None) -> Path:
    """Put a lie into a cache, with a stamp that fits it."""
    entry = root / "entries" / f"f-{hashlib.sha256(TRUE).hexdigest()}"
    (entry / "content").mkdir(parents=True)
    (entry / "content/x").write_bytes(content)
    status = (entry / "content/x").stat()
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "name": "x", "id": "planted"}
    (entry / "stamp").write_text(json.dumps(stamp))
    for path in [entry, *entry.rglob("*")]:
        if owner is not None:
            os.chown(path, owner, owner)
    return entry


def plant_folder(root: Path) -> None:
    cache = FileCache(root)
    path = cache.folder("a" * 64, lambda folder: (folder / "x").write_bytes(TRUE), size=4)
    path.chmod(0o755)
    status = (path / "x").stat()
    (path / "x").unlink()
    (path / "x").write_bytes(FALSE)
    os.utime(path / "x", ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cache"
    get(FileCache(root), b"made")
    shutil.rmtree(root / "entries")
    return root


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o720, 0o702, 0o1777])
def test_a_folder_that_others_could_write_to_is_emptied_before_it_is_used(root, mode):
    plant(root)
    assert hit(FileCache(root)) == FALSE, "the lie fits"
    root.chmod(mode)
    assert get(FileCache(root)) == TRUE
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_whole_artifacts_are_thrown_away_too(root):
    plant_folder(root)
    root.chmod(0o777)
    path = FileCache(root).folder("a" * 64, lambda folder: (folder / "x").write_bytes(TRUE), size=4)
    assert (path / "x").read_bytes() == TRUE


def test_a_process_that_ends_while_it_empties_a_folder_leaves_the_rest_to_the_next(root):
    plant(root)
    root.chmod(0o1700)  # as it is marked meanwhile
    assert get(FileCache(root)) == TRUE
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_folder_that_others_could_only_read_keeps_what_it_has(root):
    get(FileCache(root))
    root.chmod(0o755)
    assert hit(FileCache(root)) == TRUE
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_files_beside_the_cache_are_never_thrown_away(root):
    (root / "thesis.tex").touch()
    root.chmod(0o777)
    get(FileCache(root))
    assert (root / "thesis.tex").exists()
    (root / "CACHEDIR.TAG").unlink()
    root.chmod(0o777)
    with pytest.raises(InvalidInputError):
        get(FileCache(root))


@pytest.mark.parametrize("mode", [0o700, 0o775])
@pytest.mark.parametrize("tag", ["another program", "a pipe"])
def test_the_cache_of_another_program_is_refused_and_keeps_its_files(tmp_path, mode, tag):
    folder = tmp_path / "target"
    (folder / "temp").mkdir(parents=True)
    (folder / "temp/thesis.tex").touch()
    if tag == "a pipe":
        os.mkfifo(folder / "CACHEDIR.TAG")
    else:
        (folder / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# Made by a compiler.\n")
    folder.chmod(mode)
    with pytest.raises(InvalidInputError, match=r"another program(?s:.)*METAMLFLOW_CACHE_DIR"):
        get(FileCache(folder))
    assert (folder / "temp/thesis.tex").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("whose", ["all", "stamp", "content/x"])
def test_what_belongs_to_another_user_is_not_handed_out_though_the_folder_is_private_now(root, whose):
    entry = plant(root, owner=None if whose != "all" else NOBODY)
    if whose != "all":
        os.chown(entry / whose, NOBODY, NOBODY)
    assert get(FileCache(root)) == TRUE
    assert hit(FileCache(root)) == TRUE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_in_a_whole_artifact_is_found(root):
    cache = FileCache(root)
    path = cache.folder("a" * 64, lambda folder: (folder / "x").write_bytes(FALSE), size=4)
    os.chown(path / "x", NOBODY, NOBODY)
    again = cache.folder("a" * 64, lambda folder: (folder / "x").write_bytes(TRUE), size=4)
    assert (again / "x").read_bytes() == TRUE


def test_what_others_left_and_nobody_else_can_remove_is_refused(open_folder, as_nobody):
    root = open_folder / "cache"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    os.chown(root, NOBODY, NOBODY)
    (root / "CACHEDIR.TAG").touch()
    plant(root)  # root's: nobody cannot look into it
    (root / "entries").chmod(0o700)
    with pytest.raises(AccessDeniedError, match=r"cannot be removed(?s:.)*METAMLFLOW_CACHE_DIR"):
        as_nobody(get, FileCache(root))


# --- what nobody can write to -----------------------------------------------------------------------------------------


def test_a_cache_on_a_disk_that_became_read_only_serves_what_it_has(mounted):
    disk = mounted("size=2m")
    cache = FileCache(disk / "cache")

    def fill():
        get(cache)
        cache.folder("a" * 64, lambda folder: (folder / "x").write_bytes(TRUE), size=4)

    child = multiprocessing.get_context("fork").Process(target=fill)  # whose lease would keep the disk in use
    child.start()
    child.join()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert hit(cache) == TRUE
    assert (cache.folder("a" * 64, must_not_fetch, size=4) / "x").read_bytes() == TRUE
    with pytest.raises(AccessDeniedError, match="METAMLFLOW_CACHE_DIR"):
        get(cache, b"other")


def look(root):
    """Runs as nobody, whose cache it is."""
    cache = FileCache(root)
    get(cache)
    subprocess.run(["chmod", "-R", "a-w", root], check=True)
    found = hit(FileCache(root))
    subprocess.run(["chmod", "-R", "u+w", root], check=True)
    return found


def test_a_cache_whose_files_became_read_only_serves_what_it_has(open_folder, as_nobody):
    assert as_nobody(look, open_folder / "cache") == TRUE


def look_at_planted(root):
    get(FileCache(root))
    (entry,) = (root / "entries").iterdir()
    content = entry / "content/x"
    status = content.stat()
    content.chmod(0o644)
    content.write_bytes(FALSE)
    os.utime(content, ns=(status.st_atime_ns, status.st_mtime_ns))
    subprocess.run(["chmod", "-R", "a-w", root], check=True)
    root.chmod(0o577)
    (root / "lock").chmod(0)
    try:
        return hit(FileCache(root))
    finally:
        subprocess.run(["chmod", "-R", "u+w", root], check=True)


def test_a_read_only_cache_that_others_can_write_to_serves_nothing(open_folder, as_nobody):
    with pytest.raises(AssertionError, match="fetched"):
        as_nobody(look_at_planted, open_folder / "cache")


# --- odd things -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["stamp", "content/x"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_is_neither_waited_for_nor_handed_out(root, place, make):
    entry = plant(root, TRUE)
    (entry / place).unlink()
    make(entry / place)
    assert get(FileCache(root)) == TRUE
    assert hit(FileCache(root)) == TRUE


@pytest.mark.parametrize("stamp", [b"[]", b"1", b'{"size": "4"}', b"\xff", b"[" * 100_000])
def test_a_stamp_of_another_shape_is_no_hit(root, stamp):
    (plant(root) / "stamp").write_bytes(stamp)
    assert get(FileCache(root)) == TRUE
    FileCache(root).clear()


def test_a_pipe_as_the_noted_usage_is_not_waited_for(root):
    (root / "usage").unlink(missing_ok=True)
    os.mkfifo(root / "usage")
    assert get(FileCache(root)) == TRUE
