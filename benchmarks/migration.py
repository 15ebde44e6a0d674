"""A store brought from one prefix of an S3 server to another, by this library and by ``rclone copy`` of its objects.

    python benchmarks/migration.py --server PROGRAM --rclone PROGRAM [--rounds 3] [--small 10000] [--large 8] …

The server's PROGRAM keeps objects in memory: started as ``PROGRAM --port 0 --bucket data`` it prints ``listening on
HOST:PORT``. Ours is the call, imports excluded, and what it proves; rclone is the whole process with its defaults. It
streams between two remotes, and has the server copy between prefixes of one. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs import machine
from jobs.running import Command, Measurement, run
from jobs.servers import Server, started

CHILDREN = Path(__file__).with_name("jobs") / "children"
TIMEOUT = 1200.0
MIB = 1024 * 1024


def main() -> int:
    """Measure and print; return 1 if ours was slower than rclone or took 300 MiB."""
    arguments = _arguments()
    with (
        tempfile.TemporaryDirectory(prefix="migration-", dir=arguments.workdir) as scratch,
        started(arguments.server.absolute(), 0, f"/_{arguments.server.name}") as server,
    ):
        bench = Bench(server, Path(scratch), arguments)
        bench.child("prepare", "source")
        found: dict[str, list[Measurement]] = {}
        ways = [*bench.ways()]
        for number in range(arguments.rounds):
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                found.setdefault(way, []).append(bench.measure(way, f"{number}-{ways.index(way)}"))
                print(f"{way}: {found[way][-1].wall_s:.2f} s", file=sys.stderr)
    least = {way: min(done, key=lambda one: one.wall_s) for way, done in found.items()}
    print(_page(arguments, least, found))
    pairs = [("metamlflow", "rclone"), ("metamlflow, by the server", "rclone, by the server")]
    slower = any(least[ours].wall_s > least[theirs].wall_s for ours, theirs in pairs if theirs in least)
    return int(slower or max(one.peak_bytes for one in found["metamlflow"]) > 300 * MIB)


class Bench:
    """What all runs share."""

    def __init__(self, server: Server, scratch: Path, arguments: argparse.Namespace) -> None:
        self._server = server
        self._scratch = scratch
        self._arguments = arguments

    def ways(self) -> Mapping[str, str]:
        """Return the ways to be compared, each with its step."""
        ours = {"metamlflow": "migrate", "metamlflow, by the server": "server", "metamlflow, 2 Dask workers": "dask"}
        theirs = {"rclone": "A", "rclone, by the server": "B"} if self._arguments.rclone else {}
        return {**ours, **theirs}

    def measure(self, way: str, prefix: str) -> Measurement:
        """Bring the store to a prefix and remove it again."""
        step = self.ways()[way]
        try:
            return self._rclone(step, prefix) if way.startswith("rclone") else self.child(step, prefix)
        finally:
            self.child("sweep", prefix, script="sweep.py")

    def child(self, step: str, prefix: str, script: str = "migrating.py") -> Measurement:
        """Run a script in a process of its own."""
        given, server = self._arguments, self._server
        place = {"endpoint": server.endpoint, "bucket": server.bucket, "prefix": prefix, "region": server.region}
        task: dict[str, Any] = {"step": step, **place, "scratch": str(self._scratch)}
        if script == "sweep.py":
            folders = dict.fromkeys(("source", "destination", "home"), str(self._scratch))
            task |= {**folders, "stats_url": None, "repeats": 1}
        else:
            task |= {"small": given.small, "large": given.large, "mib": given.mib, "workers": 2}
        command = Command((sys.executable, CHILDREN / script, json.dumps(task)), reports=True)
        return run(command, server.environment, self._scratch, timeout=TIMEOUT)

    def _rclone(self, remote: str, prefix: str) -> Measurement:
        server = self._server
        settings = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true", "REGION": server.region}
        settings["ENDPOINT"] = server.endpoint
        variables = {f"RCLONE_CONFIG_{end}_{name}": value for end in "AB" for name, value in settings.items()}
        ends = (f"B:{server.bucket}/source", f"{remote}:{server.bucket}/{prefix}")
        command = Command((self._arguments.rclone, "--config", "", "copy", *ends), variables)
        return run(command, server.environment, self._scratch, timeout=TIMEOUT)


def _page(
    arguments: argparse.Namespace, least: Mapping[str, Measurement], all_: Mapping[str, list[Measurement]]
) -> str:
    facts = machine.facts(Path(__file__))
    what = f"{arguments.small:,} objects of 10 KB and {arguments.large} of {arguments.mib} MiB"
    where = f"{facts['cores']} cores ({facts['cpu']}), Python {facts['python']}"
    lines = [
        f"{what}, {arguments.rounds} interleaved rounds, {facts['started'][:10]}, commit {facts['commit']}, {where}:",
        "",
        "| | least s | MiB/s | CPU s | peak MiB | again s |",
        "|---|---|---|---|---|---|",
    ]
    total = arguments.small * 10_000 / MIB + arguments.large * arguments.mib
    for way, one in least.items():
        again = min((run.reported.get("again_s", 0.0) for run in all_[way]), default=0.0)
        peak = max(run.peak_bytes for run in all_[way]) / MIB
        cells = (f"{one.wall_s:.2f}", f"{total / one.wall_s:.0f}", f"{one.cpu_s:.2f}", f"{peak:.0f}")
        lines.append(f"| {way} | {' | '.join(cells)} | {f'{again:.3f}' if again else ''} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, required=True, metavar="PROGRAM")
    parser.add_argument("--rclone", type=Path, metavar="PROGRAM")
    memory = Path("/dev/shm")
    parser.add_argument("--workdir", type=Path, default=memory if memory.is_dir() else Path(tempfile.gettempdir()))
    for name, default in (("rounds", 3), ("small", 10_000), ("large", 8), ("mib", 256)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default {default:,}")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
