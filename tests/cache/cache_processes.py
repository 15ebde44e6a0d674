"""A cache under test, and processes that use it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path

from metamlflow.store.cache.file_cache import FileCache

FORK = multiprocessing.get_context("fork")
NOBODY = 65534


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def get(cache: FileCache, content: bytes, name: str = "data.csv", **options) -> Path:
    return cache.file(sha256(content), name, lambda file: file.write(content), size=len(content), **options)


def must_not_fetch(_):
    raise AssertionError("the content was fetched although the cache has it")


def held(cache: FileCache, content: bytes, name: str = "data.csv") -> bool:
    """Tell whether the cache has the content, without asking the cache."""
    return (cache.root / "entries" / f"f-{sha256(content)}" / "content" / name).exists()


def in_child(work, *args) -> None:
    """Run ``work`` in a forked process and wait for it to end well."""
    child = FORK.Process(target=work, args=args)
    child.start()
    child.join(30)
    assert child.exitcode == 0


@contextmanager
def living(cache: FileCache, *contents: bytes):
    """A process that was handed the contents, and lives until the block ends, by SIGKILL."""
    ready = FORK.Event()

    def work():
        for content in contents:
            get(cache, content)
        ready.set()
        time.sleep(60)

    child = FORK.Process(target=work)
    child.start()
    try:
        assert ready.wait(20)
        yield child
    finally:
        child.kill()
        child.join()


def leave(cache: FileCache, *contents: bytes) -> None:
    """Bring contents into the cache by a process that then ends, so that they are in nobody's use."""
    for content in contents:
        in_child(get, cache, content)


def fill_model(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner/weights.bin").write_bytes(b"w" * 100)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)


def become_ordinary() -> None:
    import ctypes  # noqa: F401 (Python's own library may lie where an ordinary user cannot read)
    import fcntl  # noqa: F401 (as above)

    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


@contextmanager
def walkable(folder: Path):
    """Let other users pass through pytest's private folders above ``folder``."""
    changed = []
    for parent in (folder, *folder.parents):
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & 0o001 and parent.stat().st_uid == os.geteuid():
            parent.chmod(mode | 0o011)
            changed.append((parent, mode))
    yield
    for parent, mode in changed:
        parent.chmod(mode)


def leftovers(root: Path) -> list[str]:
    return [str(p) for folder in ("entries", "temp", "fetching", "evicted") for p in (root / folder).rglob("*")]


def content_of(number: int) -> bytes:
    return bytes([number]) * (50 + number)
