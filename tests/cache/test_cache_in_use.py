"""What a living process was handed stays, and its leases and locks end with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cache_processes import FORK, get, held, in_child, leave, living, must_not_fetch, sha256

from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.cache.leases import locked


def test_what_a_living_process_was_handed_is_not_evicted_and_is_once_it_was_killed(cache):
    with living(cache, b"a" * 400, b"b" * 400):
        assert cache.clear() == 0
        get(cache, b"c" * 400)
        assert held(cache, b"a" * 400)
        assert held(cache, b"b" * 400)
        assert cache.size() == 1200
    get(cache, b"d" * 400)
    assert not held(cache, b"a" * 400)
    assert cache.size() <= 1000


def test_what_this_process_was_handed_stays_also_through_another_cache_object(cache):
    get(cache, b"mine")
    assert FileCache(cache.root).clear() == 0
    in_child(FileCache(cache.root).clear)
    assert held(cache, b"mine")


def test_a_hit_puts_an_entry_into_use_as_a_fetch_does(cache):
    leave(cache, b"old")
    cache.file(sha256(b"old"), "data.csv", must_not_fetch, size=3)
    in_child(cache.clear)
    assert held(cache, b"old")


def test_a_forked_child_has_a_lease_of_its_own(cache):
    get(cache, b"parent")
    with living(cache, b"child"):
        assert len(list((cache.root / "leases").iterdir())) == 2
        assert cache.clear() == 0
    assert cache.clear() == len(b"child")
    assert held(cache, b"parent")


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_one_process_keeps_one_file_open_for_all_that_it_was_handed(cache):
    get(cache, b"first")
    before = open_files()
    for number in range(30):
        get(cache, b"%d" % number)
    assert open_files() == before


def sleeping_child() -> int:
    """Fork a process that sleeps until it is killed, with all that a fork inherits."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child


def end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_lock_ends_with_its_block_although_a_child_was_forked_inside(tmp_path):
    with locked(tmp_path / "lock"):
        child = sleeping_child()
    try:
        with locked(tmp_path / "lock", patience=0) as alone:
            assert alone
    finally:
        end(child)


def test_who_waits_for_a_lock_file_that_is_deleted_gets_the_one_that_others_see(tmp_path):
    waiting, inside, done = threading.Event(), threading.Event(), threading.Event()

    def wait():
        waiting.set()
        with locked(tmp_path / "lock"):
            inside.set()
            done.wait(20)

    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path / "lock"):
            pool.submit(wait)
            assert waiting.wait(20)
            time.sleep(0.1)  # let it come to wait for this very file
            (tmp_path / "lock").unlink()
        assert inside.wait(20)
        with locked(tmp_path / "lock", patience=0) as alone:
            assert not alone
        done.set()


def test_a_lock_ends_with_the_process_that_took_it_although_its_child_lives_on(tmp_path):
    children = FORK.SimpleQueue()

    def work():
        with locked(tmp_path / "lock"):
            children.put(sleeping_child())
            time.sleep(60)

    holder = FORK.Process(target=work)
    holder.start()
    child = children.get()
    try:
        with locked(tmp_path / "lock", patience=0) as alone:
            assert not alone
        holder.kill()
        holder.join()
        with locked(tmp_path / "lock", patience=5) as alone:
            assert alone
    finally:
        os.kill(child, signal.SIGKILL)
