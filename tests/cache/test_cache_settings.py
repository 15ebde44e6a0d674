"""The cache's folder and size: where they come from, and which folders are refused."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cache_processes import NOBODY, become_ordinary, get, in_child, must_not_fetch, sha256, walkable

from metamlflow.errors import (
    AccessDeniedError,
    InvalidInputError,
)
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.cache.leases import default_folder, default_max_bytes, parse_size


def test_the_cache_is_private_and_tells_backups_to_pass_by(cache):
    umask = os.umask(0)
    try:
        get(cache, b"secret")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700
    assert (cache.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_an_empty_folder_is_taken_and_made_private(cache):
    cache.root.mkdir(mode=0o755)
    get(cache, b"x")
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700


def test_a_folder_with_other_things_is_refused_and_left_as_it_is(cache):
    cache.root.mkdir(mode=0o755)
    (cache.root / "thesis.tex").touch()
    with pytest.raises(InvalidInputError, match="METAMLFLOW_CACHE_DIR"):
        get(cache, b"x")
    assert [path.name for path in cache.root.iterdir()] == ["thesis.tex"]
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o755


def test_a_folder_of_another_user_is_refused(cache):
    if os.geteuid() == 0:
        cache.root.mkdir()
        os.chown(cache.root, NOBODY, NOBODY)
    else:
        cache = FileCache(Path("/usr"))
    for use in (lambda: get(cache, b"x"), cache.clear):
        with pytest.raises(AccessDeniedError, match="another user") as raised:
            use()
        assert "METAMLFLOW_CACHE_DIR" in str(raised.value)


@pytest.mark.parametrize("place", ["locked/home/cache", "file/cache", "file"])
def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_variable(tmp_path, place):
    (tmp_path / "locked").mkdir(mode=0o555)
    (tmp_path / "file").touch()

    def work():
        become_ordinary()
        with pytest.raises(AccessDeniedError, match="METAMLFLOW_CACHE_DIR"):
            get(FileCache(tmp_path / place), b"x")

    with walkable(tmp_path):
        in_child(work)


def test_a_system_without_flock_is_refused_clearly(tmp_path):
    code = """
import sys
sys.modules["fcntl"] = None  # as on Windows: the import fails
from pathlib import Path
from metamlflow.errors import UnsupportedStoreError
from metamlflow.store.cache.file_cache import FileCache
cache = FileCache(Path(sys.argv[1]))
try:
    cache.file("a" * 64, "x", print, size=1)
except UnsupportedStoreError as error:
    print(error)
assert not cache.root.exists()
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "cache"], capture_output=True, text=True, check=True, timeout=30
    )
    assert "flock()" in answer.stdout


@pytest.fixture
def environment(monkeypatch):
    for variable in ("METAMLFLOW_CACHE_DIR", "METAMLFLOW_CACHE_SIZE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


def test_the_folder_comes_from_the_first_variable_that_is_set(environment):
    environment.setenv("HOME", "/home/me")
    system = "Library/Caches" if sys.platform == "darwin" else ".cache"
    assert default_folder() == Path("/home/me", system, "metamlflow")
    environment.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == Path("/home/me", system, "metamlflow")
    environment.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_folder() == Path("/xdg/metamlflow")
    environment.setenv("METAMLFLOW_CACHE_DIR", "~/mine")
    assert FileCache().root == Path("/home/me/mine")
    assert FileCache(Path("/given")).root == Path("/given")


def test_a_relative_folder_is_resolved_when_it_is_given(tmp_path, environment):
    environment.chdir(tmp_path)
    cache = FileCache(Path("cache"))
    environment.chdir("/")
    assert cache.root == tmp_path / "cache"


def test_the_size_comes_from_the_variable_and_defaults_to_10_gib(environment):
    assert default_max_bytes() == 10 * 1024**3
    environment.setenv("METAMLFLOW_CACHE_SIZE", "500MiB")
    assert FileCache().max_bytes == 500 * 1024**2
    assert FileCache(max_bytes=7).max_bytes == 7


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("10GB", 10**10),
        ("10 gb", 10**10),
        (" 500MiB ", 500 * 1024**2),
        ("1.5KiB", 1536),
        ("2kB", 2000),
        ("7B", 7),
        ("1TB", 10**12),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "ten", "-1", "10 G", "1e9", "10GBs", "1,5GB", "0x10", "inf", "nan", "\u0661\u0660"]
)
def test_what_is_no_size_is_refused_with_the_forms_that_are(environment, text):
    with pytest.raises(InvalidInputError, match="MiB"):
        parse_size(text)
    environment.setenv("METAMLFLOW_CACHE_SIZE", text or "?")
    with pytest.raises(InvalidInputError, match="METAMLFLOW_CACHE_SIZE"):
        _ = FileCache().max_bytes


def test_a_negative_bound_is_refused():
    with pytest.raises(InvalidInputError):
        FileCache(max_bytes=-1)


def test_a_cache_is_pickled_as_its_settings(cache, environment):
    get(cache, b"x")
    again = pickle.loads(pickle.dumps(cache))
    assert (again.root, again.max_bytes) == (cache.root, 1000)
    assert again.file(sha256(b"x"), "data.csv", must_not_fetch, size=1).read_bytes() == b"x"
    unset = pickle.loads(pickle.dumps(FileCache()))
    environment.setenv("METAMLFLOW_CACHE_DIR", "/elsewhere")
    assert unset.root == Path("/elsewhere")
