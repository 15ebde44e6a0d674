"""Processes and threads that use one cache at once, and are killed in it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cache_processes import FORK, content_of, get, in_child, leave, leftovers, sha256

from metamlflow.store.cache.file_cache import FileCache


def hammer(root: Path, seed: int, rounds: int) -> None:
    """Ask for random contents and folders in one short life after another, as worker processes do."""
    chance = random.Random(seed)

    def life(chance):
        cache = FileCache(root, max_bytes=1000)
        handed = {}
        for _ in range(5):
            number = chance.randrange(40)
            if number % 5:
                handed[get(cache, content_of(number), chance.choice(["a", "b"]))] = number
            else:
                digest = sha256(content_of(number))
                folder = cache.folder(digest, lambda p, n=number: (p / "f").write_bytes(content_of(n)), size=50)
                handed[folder / "f"] = number
            for path, expected in handed.items():
                assert path.read_bytes() == content_of(expected)

    for _ in range(rounds):
        in_child(life, random.Random(chance.random()))


@pytest.mark.full
def test_processes_that_hammer_a_tiny_cache_read_the_right_bytes_and_keep_the_bound(tmp_path):
    root = tmp_path / "cache"
    children = [FORK.Process(target=hammer, args=(root, seed, 25)) for seed in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 8
    cache = FileCache(root, max_bytes=1000)
    leave(cache, b"last")
    assert 0 < cache.size() <= 1000
    assert (
        sum(path.stat().st_size for path in root.glob("entries/*/content/*")) <= 2 * 1000
    )  # two names for each at most
    cache.clear()
    assert leftovers(root) == []
    assert len(list((root / "leases").iterdir())) == 1


@pytest.mark.full
def test_processes_that_are_killed_anywhere_leave_a_cache_that_works(tmp_path):
    root, chance = tmp_path / "cache", random.Random(7)
    for round_ in range(25):
        child = FORK.Process(target=hammer, args=(root, round_, 100))
        child.start()
        time.sleep(0.01 + chance.random() * 0.06)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    hammer(root, 99, 5)
    deadline = time.monotonic() + 20
    while remains := [path for path in leftovers(root) if "/fetching/" not in path]:
        assert time.monotonic() < deadline, remains
        time.sleep(0.05)  # the lives that the killed ones had started end by themselves
        FileCache(root).clear()


def test_two_processes_that_want_the_same_at_once_fetch_it_once(cache, tmp_path):
    log = tmp_path / "fetches"

    def fetch(file):
        with log.open("a") as lines:
            lines.write("fetched\n")
        time.sleep(0.3)
        file.write(b"same")

    def work():
        assert cache.file(sha256(b"same"), "x", fetch, size=4).read_bytes() == b"same"

    children = [FORK.Process(target=work) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert log.read_text() == "fetched\n"


def test_who_waits_for_a_stuck_fetch_fetches_it_in_the_end(cache, monkeypatch):
    monkeypatch.setattr("metamlflow.store.cache.file_cache._PATIENCE_SECONDS", 0.2)
    begun, go_on = threading.Event(), threading.Event()

    def stuck(file):
        begun.set()
        go_on.wait(20)
        file.write(b"same")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.file, sha256(b"same"), "x", stuck, size=4)
        assert begun.wait(20)
        second = get(cache, b"same", "x")
        handed = second.stat().st_ino
        go_on.set()
        assert first.result(20) == second
    assert second.read_bytes() == b"same"
    assert second.stat().st_ino == handed, "what was handed out was replaced"
    assert cache.size() == 4


def test_threads_share_a_cache(cache):
    fetches = []

    def ask(number):
        content = content_of(number % 10)

        def fetch(file):
            fetches.append(number % 10)
            file.write(content)

        assert cache.file(sha256(content), "x", fetch, size=len(content)).read_bytes() == content

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(200)))
    assert sorted(fetches) == list(range(10))
