"""Runs reading calls in children of its own: each with little memory, watched for what it opens and asks for.

A process of its own imports all that the calls need, once, and forks a child for each order that it reads from its
standard input; the child's answer is a line of JSON. :class:`ReadingProcess` is what tests talk to.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

CALL_SECONDS = 20
CHILD_SECONDS = 150
MEMORY_BYTES = 1 << 30
"""What a child may take beyond what it begins with, addresses that it never touches included."""


@dataclass
class Order:
    """What a child is to do.

    Attributes:
        url: of the store.
        honest: a store to compare it with, a folder.
        scratch: a folder for what is read.
        calls: names in ``reading_calls.CALLS``; none: all of them.
        canaries: files that nothing may open.
        options: storage options.
        variables: of the environment.
        remote: whether connections to 127.0.0.1 are what the store is made of.
    """

    url: str
    honest: str
    scratch: str
    calls: list[str] = field(default_factory=list)
    canaries: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    remote: bool = False


class ReadingProcess:
    """The process that forks the children; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=os.environ | {"MALLOC_ARENA_MAX": "2"},  # each would reserve addresses that count and are not used
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def run(self, order: Order) -> dict[str, Any]:
        """Return each call's outcome by its name, and under ``""`` what is told of the child as a whole."""
        return self.run_all([order])[0]

    def run_all(self, orders: list[Order], at_once: int | None = None) -> list[dict[str, Any]]:
        """As :meth:`run`, for several orders, each in a child of its own: all at once, or so many at a time."""
        most = at_once or len(orders)
        return [outcome for first in range(0, len(orders), most) for outcome in self._run(orders[first : first + most])]

    def _run(self, orders: list[Order]) -> list[dict[str, Any]]:
        self._process.stdin.write(json.dumps([asdict(order) for order in orders]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# --- in that process --------------------------------------------------------------------------------------------------


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing that a call prints is an answer

    # Not obstore: where it was loaded before a fork, it does not run.
    for module in ("metamlflow.migration", "pandas", "pyarrow.parquet", "s3fs", "reading_calls"):
        importlib.import_module(module)
    for line in sys.stdin:
        children = [_fork(Order(**order)) for order in json.loads(line)]
        deadline = time.monotonic() + CHILD_SECONDS
        answers.write(json.dumps([_outcome(*child, deadline) for child in children]) + "\n")


def _fork(order: Order) -> tuple[int, int, IO[bytes]]:
    reader, writer = os.pipe()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the outcome is known)
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(errors.fileno(), 2)
        _answer(writer, order)
    os.close(writer)
    return child, reader, errors


def _outcome(child: int, reader: int, errors: IO[bytes], deadline: float) -> dict[str, Any]:
    data, has_closed = b"", False
    while not has_closed and select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        data, has_closed = data + part, not part
    os.close(reader)
    with errors:
        ended = _reap(child, 2 if has_closed else 0)
        if not ended:
            os.kill(child, 9)
            os.waitpid(child, 0)
            ended = "did not end" if has_closed else f"took more than {CHILD_SECONDS} s"
        try:
            return json.loads(data)  # a child that has answered all is done, however long its threads take to end
        except ValueError:
            errors.seek(0)
            said = errors.read()[-2000:].decode(errors="replace")
            return {"": {"died": f"it {ended}, after {len(data)} bytes of its answer, and wrote {said!r}"}}


def _reap(child: int, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return f"ended with {status}"
        if time.monotonic() > deadline:
            return ""
        time.sleep(0.01)


def _answer(writer: int, order: Order) -> None:
    try:
        outcomes = _run(order)
    except BaseException:  # noqa: BLE001 (it is told)
        outcomes = {"": {"died": traceback.format_exc()}}
    with os.fdopen(writer, "w") as out:
        out.write(json.dumps(outcomes))
    os._exit(0)


MAX_PATH = 1024


class Watch:
    """What a child does that nothing but the call makes it do."""

    def __init__(self, canaries: list[str], *, remote: bool) -> None:
        self._canaries = {os.path.realpath(path) for path in canaries}
        self._remote = remote
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str) and self._canaries:
            # A path of thousands of folders is none of a canary, and realpath is recursive.
            if len(args[0]) < MAX_PATH and os.path.realpath(args[0]) in self._canaries:
                self.seen.append(f"open {args[0]}")
        elif event in {"socket.connect", "socket.sendto"} and not self._is_own(args[1]):
            self.seen.append(f"{event} {args[1]!r}")
        elif event in {"subprocess.Popen", "os.system", "os.exec", "socket.getaddrinfo"} and not self._is_own(args):
            self.seen.append(f"{event} {args[0]!r}")

    def _is_own(self, address: Any) -> bool:
        return self._remote and isinstance(address, tuple) and address[0] in {"127.0.0.1", "localhost"}


def _run(order: Order) -> dict[str, Any]:
    from reading_calls import CALLS, Reading

    from metamlflow import MetaMLFlowClient, MetaMLFlowError

    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    addresses = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    resource.setrlimit(resource.RLIMIT_AS, (addresses + MEMORY_BYTES, resource.RLIM_INFINITY))
    os.environ |= {"METAMLFLOW_STORAGE_URI": order.url, "METAMLFLOW_CACHE_DIR": f"{order.scratch}/cache"}
    # As docs/pointers.md advises for a local store that strangers write to: its own lake and nothing else.
    lake = f"file://{Path(order.honest).with_name('lake')}/"
    os.environ["METAMLFLOW_POINTER_POLICY"] = json.dumps({"file": "refuse", lake: "allow"})
    if order.options:
        os.environ["METAMLFLOW_STORAGE_OPTIONS"] = json.dumps(order.options)
    threading.stack_size(1 << 20)  # the addresses of 256 stacks would count, and are never touched
    os.environ |= order.variables
    watch = Watch(order.canaries, remote=order.remote)
    requests = _count_requests()
    outcomes: dict[str, Any] = {}
    limit = sys.getrecursionlimit()
    for name in order.calls or list(CALLS):
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=order.scratch))
        requests.clear()
        started = time.monotonic()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                client = MetaMLFlowClient(order.url, storage_options=order.options or None)
                outcome = {"value": CALLS[name](Reading(client, Path(order.honest), scratch))}
            except MetaMLFlowError as error:
                outcome = {"error": type(error).__name__, "message": str(error)[:2000]}
            except BaseException:  # noqa: BLE001 (that it was raised is the outcome)
                outcome = {"raw": traceback.format_exc()[-3000:]}
        outcome["seconds"] = round(time.monotonic() - started, 2)
        outcome["requests"] = dict(requests)
        outcome["warned"] = [warning.category.__name__ for warning in told]
        shown = json.dumps(outcome, default=repr)
        places = {str(scratch): "<scratch>", order.url: "<store>", order.url.removeprefix("file://"): "<store>"}
        for place, name_of_it in places.items():
            shown = shown.replace(place, name_of_it)
        outcomes[name] = json.loads(shown)
        sys.setrecursionlimit(50_000)  # rmtree calls itself for each folder of a path of thousands
        shutil.rmtree(scratch, ignore_errors=True)
        sys.setrecursionlimit(limit)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun
    outcomes[""] = {
        "grown": grown * 1024,
        "seen": watch.seen,
        "left": sorted(path.name for path in Path(order.scratch).iterdir()),
    }
    return outcomes


def _count_requests() -> Counter[str]:
    """Count what local stores are asked for. (Servers count by themselves.)"""
    from metamlflow_local import LocalBackend

    counts: Counter[str] = Counter()

    def counted(name: str, method: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            counts[name] += 1
            return method(*args, **more)

        return call

    for name in ("read", "open", "stat", "list_objects", "create", "put", "delete"):
        setattr(LocalBackend, name, counted(name, getattr(LocalBackend, name)))
    return counts


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    _serve()
