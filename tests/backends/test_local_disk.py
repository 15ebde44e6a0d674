"""A local store on disks that are full, read-only or not ours: real ones, each made for a child process of the test."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import os, resource, sys
from pathlib import Path
from metamlflow.errors import MetaMLFlowError
from metamlflow.testing import blob_of
from metamlflow_local import LocalBackend

root = Path(sys.argv[1])
backend = LocalBackend(root)

def attempt(call):
    try:
        print(call())
    except MetaMLFlowError as error:
        print(type(error).__name__)

def keys():
    return [info.key for info in backend.list_objects()]

def become_nobody():
    if os.getuid() == 0:  # root may do anything, whatever the permissions say
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
"""


def run_child(script, root, *wrapper):
    child = subprocess.run(
        [*wrapper, sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.splitlines()


def on_a_mount(script, folder, options):
    """Run a child with a tmpfs on ``folder`` that nobody else sees and that is gone with it."""
    if not shutil.which("unshare"):
        pytest.skip("mount namespaces are a thing of Linux")
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = subprocess.run([*mounted, f'mount -t tmpfs tmpfs "{folder}"'], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no user may mount here: {probe.stderr.strip()}")
    return run_child(script, folder, *mounted, f'mount -t tmpfs -o {options} tmpfs "$4" && exec "$@"', "sh")


@pytest.fixture
def shared_folder():
    """A folder that other users can reach, as those below pytest's own cannot."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path):
    said = on_a_mount(
        """
        attempt(lambda: backend.put("blobs/fits", blob_of(b"x" * 300_000)))
        attempt(lambda: backend.put("blobs/does-not", blob_of(b"x" * 2_000_000)))
        attempt(lambda: backend.create("record", b"x" * 2_000_000))
        print(keys(), os.listdir(root / ".tmp"), backend.read("blobs/fits") == b"x" * 300_000)
        attempt(lambda: backend.put("blobs/also-fits", blob_of(b"x" * 300_000)))
        """,
        tmp_path,
        "size=1m",
    )
    assert said == ["True", "StorageFullError", "StorageFullError", "['blobs/fits'] [] True", "True"]


def test_a_disk_without_room_for_another_file_is_full_too(tmp_path):
    said = on_a_mount(
        """
        for number in range(10):
            attempt(lambda: backend.create(f"{number}/record", b"x"))
        """,
        tmp_path,
        "nr_inodes=8",
    )
    assert (said[0], said[-1]) == ("None", "StorageFullError")


def test_a_read_only_disk_is_read_and_refuses_writes(tmp_path):
    said = on_a_mount(
        """
        backend.create("a", b"1")
        if os.system(f'mount -o remount,ro "{root}"'):
            raise SystemExit("cannot make it read-only")
        attempt(lambda: backend.read("a"))
        attempt(lambda: backend.create("b", b"2"))
        attempt(lambda: backend.put("c", blob_of(b"3")))
        print([(failure.key, type(failure.error).__name__) for failure in backend.delete(["a"])], keys())
        """,
        tmp_path,
        "size=1m",
    )
    assert said == ["b'1'", "AccessDeniedError", "AccessDeniedError", "[('a', 'AccessDeniedError')] ['a']"]


def test_a_folder_of_somebody_else_is_read_and_refuses_writes(shared_folder):
    said = run_child(
        """
        backend.create("a", b"1")
        os.chmod(root, 0o555)
        os.chmod(root / ".tmp", 0o555)
        become_nobody()
        attempt(lambda: backend.read("a"))
        attempt(lambda: backend.create("b", b"2"))
        attempt(lambda: backend.put("c", blob_of(b"3")))
        print([(failure.key, type(failure.error).__name__) for failure in backend.delete(["a", "missing"])], keys())
        os.getuid() == 65534 or os.chmod(root, 0o755)
        """,
        shared_folder,
    )
    assert said == ["b'1'", "AccessDeniedError", "AccessDeniedError", "[('a', 'AccessDeniedError')] ['a']"]


def test_what_may_not_be_read_is_denied_and_never_left_out_of_a_listing(shared_folder):
    said = run_child(
        """
        backend.create("a/b/c", b"1")
        backend.create("d", b"1")
        os.chmod(root / "a/b", 0)
        os.chmod(root / "d", 0)
        become_nobody()
        for call in (backend.read, backend.open, backend.stat):
            attempt(lambda: call("a/b/c"))
        attempt(lambda: backend.read("d"))
        attempt(keys)
        os.getuid() == 65534 or os.chmod(root / "a/b", 0o755)
        """,
        shared_folder,
    )
    assert said == ["AccessDeniedError"] * 5


def test_a_folder_that_may_be_written_but_not_read_takes_writes(shared_folder):
    (shared_folder / ".tmp").mkdir()
    if os.getuid() == 0:
        os.chown(shared_folder, 65534, 65534)
        os.chown(shared_folder / ".tmp", 65534, 65534)
    for folder in (shared_folder / ".tmp", shared_folder):
        folder.chmod(0o300)
    said = run_child(
        """
        become_nobody()
        attempt(lambda: backend.create("a", b"1"))
        attempt(lambda: backend.put("b", blob_of(b"2")))
        attempt(lambda: backend.read("a"))
        attempt(keys)
        """,
        shared_folder,
    )
    for folder in (shared_folder, shared_folder / ".tmp"):
        folder.chmod(0o700)
    assert said == ["None", "True", "b'1'", "AccessDeniedError"]
    assert list((shared_folder / ".tmp").iterdir()) == []


def test_a_limit_on_the_size_of_files_reads_as_full(tmp_path):
    said = run_child(
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        attempt(lambda: backend.put("a", blob_of(b"x" * 200_000)))
        print(keys(), os.listdir(root / ".tmp"))
        """,
        tmp_path,
    )
    assert said == ["StorageFullError", "[] []"]


def test_too_many_open_files_may_pass(tmp_path):
    said = run_child(
        """
        backend.create("a", b"1")
        unlimited = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, unlimited[1]))
        for call in (lambda: backend.read("a"), lambda: backend.create("b", b"2"), keys):
            attempt(call)
        resource.setrlimit(resource.RLIMIT_NOFILE, unlimited)
        attempt(lambda: backend.create("b", b"2"))
        """,
        tmp_path,
    )
    assert said == ["StorageUnavailableError"] * 3 + ["None"]
