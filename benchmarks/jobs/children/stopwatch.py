"""What the Python children of the benchmark share: the task that they are given, and the timing of one call.

Needs nothing but the standard library, as each tool may live in an environment of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY_BYTES = 100
# Tools that name versions by the second tell two of one second apart, but not which is the later.
A_SECOND = 1.1


@dataclass(frozen=True)
class Task:
    """One job for one tool, as the benchmark passes it on the command line."""

    step: str
    source: Path
    destination: Path
    home: Path
    scratch: Path
    endpoint: str
    bucket: str
    prefix: str
    region: str
    stats_url: str | None
    repeats: int

    @classmethod
    def read(cls) -> Task:
        """Return the task in the first argument, a JSON object."""
        fields = json.loads(sys.argv[1])
        paths = {name: Path(fields[name]) for name in ("source", "destination", "home", "scratch")}
        return cls(**(fields | paths))

    def credentials(self) -> dict[str, str | None]:
        """The key, the secret and the session token of the environment, None where not set."""
        names = {"key": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY", "token": "AWS_SESSION_TOKEN"}
        return {name: os.environ.get(variable) for name, variable in names.items()}

    def s3fs_options(self) -> dict[str, Any]:
        """The storage options of s3fs that lead to the server."""
        given = {name: value for name, value in self.credentials().items() if value}
        return {**given, "endpoint_url": self.endpoint, "client_kwargs": {"region_name": self.region}}


def run_timed(work: Callable[[], object]) -> None:
    """Do the job; report the seconds that it took, imports and the making of the client excluded."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    report({"wall_s": wall, "cpu_s": cpu})


def report(figures: Mapping[str, Any]) -> None:
    """Hand figures to the benchmark: the last line of the output, whatever the tool printed before."""
    print("\n" + json.dumps(figures), flush=True)


def run_tiny(
    task: Task,
    *,
    register: Callable[[Path], object],
    latest: Callable[[], object],
    read: Callable[[], bytes],
    forget: Callable[[], object] = lambda: None,
) -> None:
    """Time many small calls one by one and report them, with the requests that each took on average.

    Args:
        task: its ``repeats`` says how often.
        register: store a small file as the next version.
        latest: find which version is the newest.
        read: find the newest version and return its content.
        forget: leave the tool with a connection and with nothing in its caches; not timed.

    Raises:
        AssertionError: what was read is not what was registered last.
    """
    file = task.scratch / "tiny.bin"

    def renew(number: int) -> None:
        file.write_bytes(_content(number))
        forget()

    renew(0)
    register(file)  # the client's first operation, which looks at the server, is left out
    figures = {"register": _repeated(task, lambda: register(file), before=renew)}
    time.sleep(A_SECOND)
    renew(task.repeats + 1)
    register(file)
    figures["latest"] = _repeated(task, latest, before=lambda _: forget())
    figures["read"] = _repeated(task, read, before=lambda _: forget())
    forget()
    if read() != _content(task.repeats + 1):
        raise AssertionError("what was read is not what was registered last")
    report(figures)


def _repeated(task: Task, work: Callable[[], object], *, before: Callable[[int], object]) -> dict[str, Any]:
    each, cpu, requests = [], 0.0, 0
    for number in range(1, task.repeats + 1):
        before(number)
        seen, used, started = _requests(task), _cpu_seconds(), time.perf_counter()
        work()
        each.append((time.perf_counter() - started) * 1000)
        cpu += _cpu_seconds() - used
        requests += _requests(task) - seen
    mean = requests / task.repeats if task.stats_url else None
    return {"each_ms": each, "cpu_s": cpu / task.repeats, "requests": mean}


def _content(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest().ljust(TINY_BYTES, b".")


def _requests(task: Task) -> int:
    """How many requests the server has seen, 0 if it does not tell."""
    if task.stats_url is None:
        return 0
    with urllib.request.urlopen(task.stats_url, timeout=10) as answer:
        return int(json.load(answer)["total"])


def _cpu_seconds() -> float:
    """User and system seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
