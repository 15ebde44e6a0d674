"""The memory of a migration does not grow with the number of files nor with their size."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from metamlflow import MetaMLFlowClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")

MIB = 1 << 20
CHILD = """
import sys
from metamlflow import compare, migrate
assert migrate(*sys.argv[1:])
assert not compare(*sys.argv[1:])
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def peak(folder, source, label) -> int:
    """Peak resident bytes of a fresh process that migrates what is registered."""
    MetaMLFlowClient(folder / f"store {label}").register_artifact("a", source)
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # else the number of arenas that threads happen to take shows
    ends = [str(folder / f"{name} {label}") for name in ("store", "there")]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *ends], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout) * 1024


@pytest.mark.full
def test_it_does_not_grow_with_the_size_of_a_file(quick_folder):
    peaks = []
    for mebibytes in (24, 96):
        source = quick_folder / f"{mebibytes}.bin"
        source.touch()
        os.truncate(source, mebibytes * MIB)
        peaks.append(peak(quick_folder, source, mebibytes))
    assert peaks[1] - peaks[0] < 3 * MIB


@pytest.mark.full
def test_it_hardly_grows_with_the_number_of_files(quick_folder):
    peaks = []
    for count in (1_500, 6_000):
        source = quick_folder / str(count)
        source.mkdir()
        for number in range(count):
            (source / f"{number:07}").write_bytes(b"%d" % number)
        peaks.append(peak(quick_folder, source, count))
    assert peaks[1] - peaks[0] < 6 * MIB  # what is known to lie at the destination is remembered, up to 200,000 keys
