"""Registers a large file, against hashing and copying it with the system's own tools.

    python benchmarks/large_file.py FOLDER [--size-mib 1024] [--rounds 7]

The other side is ``openssl dgst -sha256 F && cp F COPY && sync COPY``: what somebody who wants a durable, checksummed
copy would type. Rounds are interleaved; the minima are compared, medians are shown. Exits with 1 above a ratio of 1.3.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from metamlflow import MetaMLFlowClient

BOUND = 1.3
MIB = 1024 * 1024


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source = Path(folder) / "large.bin"
        with source.open("wb") as file:
            for _ in range(arguments.size_mib):
                file.write(os.urandom(MIB))
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            theirs.append(timed(lambda: copy_by_hand(source)))
            ours.append(timed(lambda: register(source)))
    ratio = min(ours) / min(theirs)
    print("| | minimum s | median s |\n|---|---|---|")
    print(f"| openssl + cp + sync | {min(theirs):.2f} | {statistics.median(theirs):.2f} |")
    print(f"| register_artifact | {min(ours):.2f} | {statistics.median(ours):.2f} |")
    print(f"\nratio of the minima {ratio:.2f} (bound {BOUND}), {arguments.size_mib} MiB, {arguments.rounds} rounds")
    return int(ratio > BOUND)


def timed(work: Callable[[], Path]) -> float:
    """Return the seconds that ``work`` takes, from a disk with nothing left to write; remove what it made."""
    os.sync()
    started = time.perf_counter()
    made = work()
    seconds = time.perf_counter() - started
    if made.is_dir():
        shutil.rmtree(made)
    else:
        made.unlink()
    return seconds


def copy_by_hand(source: Path) -> Path:
    """Hash, copy and flush with the system's tools."""
    copy = source.with_suffix(".copy")
    subprocess.run(["openssl", "dgst", "-sha256", source], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cp", source, copy], check=True)
    subprocess.run(["sync", copy], check=True)
    return copy


def register(source: Path) -> Path:
    """Register the file in a new store."""
    store = source.with_name("store")
    MetaMLFlowClient(store).register_artifact("large", source)
    return store


if __name__ == "__main__":
    sys.exit(main())
