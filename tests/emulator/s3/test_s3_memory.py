"""With either engine memory does not grow with the number of files nor with their size: N and 4N take the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from metamlflow.backend.budget import MEMORY_VARIABLE
from metamlflow_s3.engines import ENGINE_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")

MIB = 1 << 20
MOST = 250 * MIB
ON_ITS_WAY = 32
"""MiB: the least budget of content in memory, so that a small file reaches it as well."""

CHILD = """
import json, sys
from metamlflow import MetaMLFlowClient
from metamlflow.store.transfer import scheduler as transfer

# A slow server gets more requests at a time, each with its thread: that is bounded, and would hide what grows.
transfer.MOST_WORKERS = transfer.LEAST_WORKERS

def peak():
    # Not getrusage: its peak begins with that of the process that started this one.
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) * 1024

url, options, source, out = sys.argv[1:]
client = MetaMLFlowClient(url, storage_options=json.loads(options))
artifact = client.register_artifact("a", source)
peaks = [peak()]
artifact.download(out)
peaks.append(peak())
assert artifact.verify()
print(*peaks, peak())
"""


def peak_memory(root, engine, source, out) -> list[int]:
    """Peak resident bytes of a fresh process after registering, downloading and verifying."""
    # Else it would show how many arenas the threads happen to take, and what holes large buffers leave in them.
    malloc = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(MIB), "MALLOC_TRIM_THRESHOLD_": str(MIB)}
    environment = os.environ | malloc | {ENGINE_VARIABLE: engine, MEMORY_VARIABLE: str(ON_ITS_WAY)}
    arguments = [sys.executable, "-c", CHILD, root.url, json.dumps(root.options), source, out]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(peak) for peak in done.stdout.split()]


def assert_flat(small, large, *, allowed):
    for step, before, after in zip(("register", "download", "verify"), small, large, strict=True):
        assert after - before < allowed, f"{step}: {before:,} grew to {after:,} bytes"
    assert max(large) < MOST


@pytest.mark.parametrize("engine", ["auto", "s3fs"])
def test_memory_does_not_grow_with_the_size_of_a_file(new_root, localstack_server, tmp_path, engine):
    peaks = []
    for mebibytes in (128, 512):  # both more than is ever in memory
        source = tmp_path / f"{mebibytes}.bin"
        source.touch()
        os.truncate(source, mebibytes * MIB)
        peaks.append(peak_memory(new_root(localstack_server), engine, source, tmp_path / f"out {mebibytes}"))
    assert_flat(*peaks, allowed=8 * MIB)


@pytest.mark.full
@pytest.mark.parametrize("engine", ["auto", "s3fs"])
def test_memory_does_not_grow_with_the_number_of_files(new_root, moto_server, tmp_path, engine):
    peaks = []
    for count in (300, 1200):
        source = tmp_path / str(count)
        source.mkdir()
        for number in range(count):
            (source / f"{number:04}").write_bytes(number.to_bytes(4) * 16_384)
        peaks.append(peak_memory(new_root(moto_server), engine, source, tmp_path / f"out {count}"))
    assert_flat(*peaks, allowed=12 * MIB)  # the further files have 56
