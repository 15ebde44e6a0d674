"""The local cache, with real processes: what is in use stays, the bound holds, only the right bytes are read."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import pickle
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from metamlflow.errors import (
    AccessDeniedError,
    IntegrityError,
    InvalidInputError,
    InvalidPathError,
    StorageFullError,
)
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.cache.leases import default_folder, default_max_bytes, locked, parse_size

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


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", max_bytes=1000)


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


# --- what is handed out -----------------------------------------------------------------------------------------------


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


def fill_model(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner/weights.bin").write_bytes(b"w" * 100)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)


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


# --- failures ---------------------------------------------------------------------------------------------------------


def leftovers(root: Path) -> list[str]:
    return [str(p) for folder in ("entries", "temp", "fetching", "evicted") for p in (root / folder).rglob("*")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, IntegrityError("wrong"), ConnectionError("gone")])
def test_a_failed_fetch_passes_its_error_on_and_leaves_nothing(cache, error):
    def fetch(file):
        file.write(b"half")
        file.flush()
        raise error

    def fill(folder):
        fill_model(folder)
        raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        cache.file("a" * 64, "x", fetch, size=8)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        cache.folder("a" * 64, fill, size=8)
    assert leftovers(cache.root) == []
    assert get(cache, b"next").read_bytes() == b"next"


def write_to_full_device(_):
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 (a device)
        full.write(b"x")


def run_out_of_quota(_):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def write_more_than_a_file_may_hold(_):
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def run_out_of_space_translated(_):
    raise StorageFullError("s3://bucket: no space is left on the disk")


HAS_FULL_DEVICE = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.mark.parametrize(
    "fetch",
    [
        pytest.param(write_to_full_device, marks=HAS_FULL_DEVICE),
        run_out_of_quota,
        write_more_than_a_file_may_hold,
        run_out_of_space_translated,
    ],
)
def test_a_full_disk_is_an_error_that_names_the_cache_and_what_to_set(cache, fetch):
    for ask in (
        lambda: cache.file("a" * 64, "x", fetch, size=1),
        lambda: cache.folder("a" * 64, fetch, size=1),
    ):
        with pytest.raises(StorageFullError) as raised:
            ask()
        assert str(cache.root) in str(raised.value)
        assert "METAMLFLOW_CACHE_DIR" in str(raised.value)
        assert "METAMLFLOW_CACHE_SIZE" in str(raised.value)
    assert leftovers(cache.root) == []


def test_a_cache_that_cannot_write_a_byte_can_still_be_cleared(cache):
    leave(cache, b"a" * 300)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        assert cache.clear() == 300

    in_child(work)
    assert not held(cache, b"a" * 300)


def test_a_cache_that_was_deleted_by_hand_is_made_again(cache):
    get(cache, b"before")
    subprocess.run(["rm", "-rf", cache.root], check=True)
    assert get(cache, b"before").read_bytes() == b"before"
    in_child(cache.clear)
    assert held(cache, b"before")


def test_what_a_killed_fetch_left_is_removed_by_the_next_process(cache):
    begun = FORK.Event()

    def fetch(file):
        file.write(b"x" * 500)
        file.flush()
        begun.set()
        time.sleep(60)

    child = FORK.Process(target=lambda: cache.file("b" * 64, "x", fetch, size=1000))
    child.start()
    assert begun.wait(20)
    assert [path for path in leftovers(cache.root) if path.endswith("/x")]
    in_child(FileCache(cache.root).clear)
    assert [path for path in leftovers(cache.root) if path.endswith("/x")], "a fetch under way was swept"
    child.kill()
    child.join()
    get(cache, b"next")
    assert not [path for path in leftovers(cache.root) if path.endswith("/x")]


# --- in use -----------------------------------------------------------------------------------------------------------


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


# --- the bound --------------------------------------------------------------------------------------------------------


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


# --- many at once -----------------------------------------------------------------------------------------------------


def content_of(number: int) -> bytes:
    return bytes([number]) * (50 + number)


def hammer(root: Path, seed: int, rounds: int, seconds: float) -> None:
    """Ask for random contents and folders in one short life after another, as worker processes do."""
    chance = random.Random(seed)
    deadline = time.monotonic() + seconds

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
        if time.monotonic() > deadline:
            break
        in_child(life, random.Random(chance.random()))


def test_processes_that_hammer_a_tiny_cache_read_the_right_bytes_and_keep_the_bound(tmp_path):
    root = tmp_path / "cache"
    children = [FORK.Process(target=hammer, args=(root, seed, 100, 2.0)) for seed in range(8)]
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


def test_processes_that_are_killed_anywhere_leave_a_cache_that_works(tmp_path):
    root, chance = tmp_path / "cache", random.Random(7)
    for round_ in range(25):
        child = FORK.Process(target=hammer, args=(root, round_, 100, 5.0))
        child.start()
        time.sleep(0.01 + chance.random() * 0.06)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    hammer(root, 99, 5, 5.0)
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


# --- the folder and the settings --------------------------------------------------------------------------------------


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
