"""What the cache hands out: the right bytes under the right name, and nothing that was altered since."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from cache_processes import (
    become_ordinary,
    fill_model,
    get,
    held,
    in_child,
    leave,
    leftovers,
    must_not_fetch,
    sha256,
    walkable,
)

from metamlflow.errors import (
    IntegrityError,
    InvalidInputError,
    InvalidPathError,
)
from metamlflow.store.cache.file_cache import FileCache


def test_a_file_has_the_content_and_the_name_and_is_fetched_once(cache):
    path = get(cache, b"a,b\n1,2\n", "table.csv")
    assert (path.name, path.read_bytes()) == ("table.csv", b"a,b\n1,2\n")
    assert path.is_absolute()
    assert cache.file(sha256(b"a,b\n1,2\n"), "table.csv", must_not_fetch, size=8) == path


def test_a_second_name_of_the_same_content_needs_neither_fetch_nor_room(cache):
    first = get(cache, b"same", "one.csv")
    second = cache.file(sha256(b"same"), "two.csv", must_not_fetch, size=4)
    assert second.name == "two.csv"
    assert first.samefile(second)
    assert cache.size() == 4


@pytest.mark.parametrize(
    "name", ["-rf", ".hidden", "é", "e\u0301", "模型", "a b\\c'\"$*", "n" * 255, "stamp", "content"]
)
def test_odd_names_are_kept_as_they_are(cache, name):
    assert get(cache, b"odd", name).name == name
    assert get(cache, b"odd", "plain").read_bytes() == get(cache, b"odd", name).read_bytes() == b"odd"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../x", "/etc/passwd", "a\0b", "é" * 128])
def test_a_name_that_is_no_file_name_is_refused(cache, name):
    with pytest.raises(InvalidPathError):
        get(cache, b"x", name)


@pytest.mark.parametrize("digest", ["", "../" * 8, "A" * 64, "a" * 63, "a" * 65])
def test_a_digest_that_is_none_is_refused(cache, digest):
    with pytest.raises(InvalidInputError):
        cache.file(digest, "x", must_not_fetch, size=0)
    with pytest.raises(InvalidInputError):
        cache.folder(digest, must_not_fetch, size=0)


def test_files_are_read_only_and_executable_only_where_asked_for(cache):
    umask = os.umask(0o027)
    try:
        plain, script = get(cache, b"#!/bin/sh\n", "run"), get(cache, b"#!/bin/sh\n", "run", executable=True)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o440
    assert stat.S_IMODE(script.stat().st_mode) == 0o550
    subprocess.run([script], check=True)


def test_an_empty_file_is_a_file(cache):
    assert get(cache, b"").read_bytes() == b""
    assert cache.file(sha256(b""), "data.csv", must_not_fetch, size=0).exists()


def test_a_folder_is_filled_once_and_sealed(cache):
    path = cache.folder("a" * 64, fill_model, size=110)
    assert (path / "inner/weights.bin").read_bytes() == b"w" * 100
    assert cache.folder("a" * 64, must_not_fetch, size=110) == path
    assert cache.size() == 110
    modes = [
        stat.S_IMODE((path / name).stat().st_mode) & 0o777 for name in (".", "inner", "inner/weights.bin", "run.sh")
    ]
    assert [mode & 0o222 for mode in modes] == [0, 0, 0, 0]
    assert [mode & 0o100 for mode in modes] == [0o100, 0o100, 0, 0o100]


def test_a_sealed_folder_can_be_evicted_by_an_ordinary_user(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)

    def use():
        become_ordinary()
        path = FileCache(shared / "cache").folder("a" * 64, fill_model, size=110)
        with pytest.raises(PermissionError):
            (path / "new").touch()

    def evict():
        become_ordinary()
        assert FileCache(shared / "cache").clear() == 110

    with walkable(tmp_path):
        in_child(use)
        in_child(evict)
    assert leftovers(shared / "cache") == []


# --- what is not trusted ----------------------------------------------------------------------------------------------


def alter_bytes(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"xxxx")


def alter_size(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"xx")
    os.utime(path, ns=(1, 1))


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("alter", [alter_bytes, alter_size, replace_by_link, Path.unlink])
def test_an_altered_file_is_fetched_again(cache, alter):
    alter(get(cache, b"true"))
    assert get(cache, b"true").read_bytes() == b"true"
    assert cache.file(sha256(b"true"), "data.csv", must_not_fetch, size=4).read_bytes() == b"true"
    assert cache.size() == 4


def test_a_second_name_is_checked_as_the_first_is(cache):
    get(cache, b"true", "one")
    second = get(cache, b"true", "two")
    second.unlink()
    second.write_bytes(b"xxxx")
    assert get(cache, b"true", "two").read_bytes() == b"true"


def add_a_file(path: Path) -> None:
    path.chmod(0o755)
    (path / "new").touch()


def change_a_file(path: Path) -> None:
    (path / "run.sh").chmod(0o755)
    (path / "run.sh").write_text("#!/bin/zh\n")


def delete_a_file(path: Path) -> None:
    (path / "inner").chmod(0o755)
    (path / "inner/weights.bin").unlink()


@pytest.mark.parametrize("alter", [add_a_file, change_a_file, delete_a_file])
def test_an_altered_folder_is_fetched_again(cache, alter):
    alter(cache.folder("a" * 64, fill_model, size=110))
    path = cache.folder("a" * 64, fill_model, size=110)
    assert sorted(p.name for p in path.rglob("*")) == ["inner", "run.sh", "weights.bin"]
    assert (path / "run.sh").read_text() == "#!/bin/sh\n"


def test_compiled_modules_do_not_alter_a_folder(cache):
    path = cache.folder("a" * 64, fill_model, size=110)
    path.chmod(0o755)
    (path / "__pycache__").mkdir()
    (path / "__pycache__/model.pyc").touch()
    assert cache.folder("a" * 64, must_not_fetch, size=110) == path


@pytest.mark.parametrize("damage", [b"", b"\0" * 50, b'{"size": 4'])
def test_an_entry_whose_stamp_was_lost_is_fetched_again_and_can_be_evicted(cache, damage):
    leave(cache, b"lost", b"gone")
    for content in (b"lost", b"gone"):
        (cache.root / "entries" / f"f-{sha256(content)}" / "stamp").write_bytes(damage)
    assert get(cache, b"lost").read_bytes() == b"lost"
    cache.clear()
    assert held(cache, b"lost")
    assert not held(cache, b"gone")


def test_what_is_asked_for_with_another_size_is_no_hit(cache):
    get(cache, b"true")
    with pytest.raises(IntegrityError):
        cache.file(sha256(b"true"), "data.csv", lambda file: file.write(b"true"), size=5)
    assert get(cache, b"true").read_bytes() == b"true"


def test_content_of_another_size_is_an_integrity_error_and_leaves_nothing(cache):
    with pytest.raises(IntegrityError) as raised:
        cache.file(sha256(b"true"), "x", lambda file: file.write(b"tru"), size=4)
    assert (raised.value.expected, raised.value.actual) == ("4", "3")
    assert leftovers(cache.root) == []
