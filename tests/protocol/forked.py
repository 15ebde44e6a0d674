"""Real processes, made by fork: ready in a millisecond, and killed or raced as one likes."""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class _Child:
    pid: int
    start: int  # closed by us: the child begins
    results: int  # what it returned, pickled


def fate_of(work: Callable[[], Any]) -> int:
    """Run ``work`` in a child; return its exit code, or the negated number of the signal that killed it."""
    child = _spawn(work)
    os.close(child.start)
    with os.fdopen(child.results, "rb"):
        return _wait(child.pid)


def race(*works: Callable[[], Any]) -> list[Any]:
    """Run every work in a process of its own, all starting at one moment; return what they returned."""
    children: list[_Child] = []
    for work in works:
        children.append(_spawn(work, inherited=children))
    for child in children:
        os.close(child.start)
    returned = []
    for child in children:
        with os.fdopen(child.results, "rb") as pipe:
            data = _read_all(pipe.fileno())
        assert _wait(child.pid) == 0, "a racer failed; see its traceback"
        returned.append(pickle.loads(data))
    return returned


def killed_at(nth: int, *, after: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a wrapper for functions: this process dies before, or after, the ``nth`` call of any of the wrapped."""
    count = 0

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count != nth:
                return function(*args, **options)
            try:
                if after:
                    function(*args, **options)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)

        return call

    return wrapped


def _spawn(work: Callable[[], Any], inherited: Sequence[_Child] = ()) -> _Child:
    started, start = os.pipe()
    results, result = os.pipe()
    pid = os.fork()
    if pid:
        os.close(started)
        os.close(result)
        return _Child(pid, start, results)
    code = 1
    try:
        # Another child's start is signalled by the closing of its last copy: none may live on in here.
        for descriptor in (start, results, *(child.start for child in inherited)):
            os.close(descriptor)
        os.read(started, 1)
        with os.fdopen(result, "wb") as pipe:
            pickle.dump(work(), pipe)
        code = 0
    except BaseException:  # noqa: BLE001 (a child that goes on would run the rest of the tests)
        traceback.print_exc()
    os._exit(code)


def _read_all(descriptor: int) -> bytes:
    data = b""
    while True:
        assert select.select([descriptor], [], [], PATIENCE_SECONDS)[0], "a child hangs"
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return data
        data += chunk


def _wait(pid: int) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("a child hangs")
