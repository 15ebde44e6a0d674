"""Memory does not grow with the number of files nor with their size: N and 4N take the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")

MIB = 1 << 20

CHILD = """
import sys
from metamlflow import MetaMLFlowClient

def peak():
    # Not getrusage: its peak begins with that of the process that started this one.
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM"))

store, source, out = sys.argv[1:]
artifact = MetaMLFlowClient(store).register_artifact("a", source)
steps = [peak()]
artifact = MetaMLFlowClient(store).get_artifact("a")
artifact.download(out)
steps.append(peak())
assert artifact.verify()
print(*steps, peak())
"""


def peak_memory(quick_folder, source, label):
    """Peak resident bytes of a fresh process after registering, downloading and verifying."""
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # else the number of arenas that threads happen to take shows
    done = subprocess.run(
        [sys.executable, "-c", CHILD, quick_folder / f"store {label}", source, quick_folder / f"out {label}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(kilobytes) * 1024 for kilobytes in done.stdout.split()]


def least_memory(quick_folder, source, label):
    """The least of three runs: what threads happen to finish out of order waits in memory, a megabyte or none."""
    runs = [peak_memory(quick_folder, source, f"{label} {number}") for number in range(3)]
    return [min(step) for step in zip(*runs, strict=True)]


def assert_flat(small, large, *, allowed):
    for step, before, after in zip(("register", "download", "verify"), small, large, strict=True):
        assert after - before < allowed, f"{step}: {before:,} grew to {after:,} bytes"


@pytest.mark.full
def test_memory_does_not_grow_with_the_size_of_a_file(quick_folder):
    peaks = []
    for mebibytes in (24, 96):
        source = quick_folder / f"{mebibytes}.bin"
        source.touch()
        os.truncate(source, mebibytes * MIB)
        peaks.append(peak_memory(quick_folder, source, mebibytes))
    assert_flat(*peaks, allowed=3 * MIB)


@pytest.mark.parametrize(
    ("counts", "allowed"),
    [
        # The smallest record of each further file would take more. The items of one shard are held: of fewer files than
        # the longest shard has, less memory is taken, which is no growth.
        pytest.param((3_000, 12_000), 3 * MIB, marks=pytest.mark.full),
        # One shard's worth of items is held, and the longest of 25 is longer than the longest of 6.
        pytest.param((25_000, 100_000), 8 * MIB, marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow_with_the_number_of_files(quick_folder, counts, allowed):
    peaks = []
    for count in counts:
        source = quick_folder / str(count)
        for number in range(count):
            path = source / f"{number // 500:04}" / f"{number:07}"
            if number % 500 == 0:
                path.parent.mkdir(parents=True)
            path.write_bytes(b"%d" % (number % 50))
        peaks.append(least_memory(quick_folder, source, count))
    assert_flat(*peaks, allowed=allowed)


@pytest.mark.full
def test_memory_hardly_grows_with_the_names_in_one_folder(quick_folder):
    peaks = []
    for count in (3_000, 12_000):
        source = quick_folder / f"flat {count}"
        source.mkdir()
        for number in range(count):
            (source / f"{number:07}").touch()
        peaks.append(peak_memory(quick_folder, source, f"flat {count}"))
    assert_flat(*peaks, allowed=3 * MIB)
