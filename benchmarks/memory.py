"""Peak memory of a register, a verify and a download: one large sparse file, and many small ones.

    python benchmarks/memory.py FOLDER [--size-gib 10] [--files 100000]

Each call runs in a process of its own, whose peak resident size (libraries included) is reported. Exits with 1 above
300 MiB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BOUND_MIB = 300
FOLDERS = 100
CALLS = ("register", "register again", "verify", "download")


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size-gib", type=int, default=10)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--child", nargs=3, metavar=("CALL", "SOURCE", "WORK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        call(*arguments.child)
        return 0
    print("| | seconds | peak MiB |\n|---|---|---|")
    highest = 0.0
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        large = Path(folder) / "large.bin"
        with large.open("wb") as file:
            file.truncate(arguments.size_gib * 2**30)
        highest = max(highest, measure(f"one file of {arguments.size_gib} GiB", large, Path(folder) / "one"))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        many = Path(folder) / "many"
        for number in range(arguments.files):
            target = many / f"{number % FOLDERS:02d}"
            if number < FOLDERS:
                target.mkdir(parents=True)
            (target / f"{number}.txt").write_text(f"{number}\n")
        highest = max(highest, measure(f"{arguments.files:,} small files", many, Path(folder) / "work"))
    print(f"\nhighest {highest:.0f} MiB (bound {BOUND_MIB})")
    return int(highest > BOUND_MIB)


def measure(title: str, source: Path, work: Path) -> float:
    """Run each call in a child of its own; return the highest peak in MiB."""
    highest = 0.0
    for name in CALLS:
        command = [sys.executable, __file__, ".", "--child", name, str(source), str(work)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        seconds, peak = float(answer[0]), float(answer[1])
        print(f"| {title}: {name} | {seconds:.1f} | {peak:.0f} |", flush=True)
        highest = max(highest, peak)
    return highest


def call(name: str, source: str, work: str) -> None:
    """Do one call and print its seconds and this process's peak in MiB."""
    from metamlflow import MetaMLFlowClient

    client = MetaMLFlowClient(Path(work) / "store", cache_dir=Path(work) / "cache")
    started = time.perf_counter()
    if name.startswith("register"):
        client.register_artifact("data", source)
    elif name == "verify":
        client.get_artifact("data").verify().raise_if_failed()
    else:
        client.get_artifact("data").download(Path(work) / "out")
    seconds = time.perf_counter() - started
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, kilobytes / 1024)


if __name__ == "__main__":
    sys.exit(main())
