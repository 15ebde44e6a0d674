"""The bound of the cache: what goes first, and when room is made."""

from __future__ import annotations

import pytest
from cache_processes import get, held, leave, sha256

from metamlflow.errors import (
    IntegrityError,
)
from metamlflow.store.cache.file_cache import FileCache


def test_the_least_recently_used_goes_first(cache):
    leave(cache, b"a" * 300, b"b" * 300, b"c" * 300)
    leave(cache, b"a" * 300)
    leave(cache, b"d" * 300)
    assert [held(cache, letter * 300) for letter in (b"a", b"b", b"c", b"d")] == [True, False, True, True]


def test_a_file_that_is_larger_than_the_bound_is_handed_out_all_the_same(cache):
    leave(cache, b"small")
    assert get(cache, b"x" * 5000).read_bytes() == b"x" * 5000
    assert not held(cache, b"small")


@pytest.mark.parametrize("size", [900, 2**62])
def test_nothing_is_evicted_for_bytes_that_do_not_come(cache, size):
    leave(cache, b"a" * 900)

    def fetch(file):
        raise IntegrityError("it has another size")

    with pytest.raises(IntegrityError):
        cache.file(sha256(b"b" * 900), "x", fetch, size=size)
    assert held(cache, b"a" * 900)


def test_room_is_made_once_the_bytes_are_there(cache):
    leave(cache, b"a" * 900)
    leave(cache, b"b" * 900)
    assert (held(cache, b"a" * 900), held(cache, b"b" * 900)) == (False, True)


def test_the_bound_holds_for_what_a_folder_takes_in_fact(cache):
    leave(cache, b"a" * 900)
    cache.folder("a" * 64, lambda folder: (folder / "f").write_bytes(b"b" * 900), size=1)
    assert cache.size() == 900


def test_a_bound_of_nothing_keeps_only_what_is_in_use(tmp_path):
    cache = FileCache(tmp_path / "cache", max_bytes=0)
    leave(cache, b"one")
    get(cache, b"two")
    assert (held(cache, b"one"), held(cache, b"two")) == (False, True)


@pytest.mark.parametrize("note", [b"", b"rubbish", None])
def test_a_usage_that_was_lost_is_counted_again(cache, note):
    leave(cache, b"a" * 600)
    if note is None:
        (cache.root / "usage").unlink()
    else:
        (cache.root / "usage").write_bytes(note)
    leave(cache, b"b" * 600)
    assert cache.size() == 600


def test_clear_and_size_of_a_cache_that_was_never_used_create_nothing(cache):
    assert (cache.size(), cache.clear()) == (0, 0)
    assert not cache.root.exists()
