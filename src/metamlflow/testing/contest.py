"""Races of many writers for one key, each in a thread or process of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any, Protocol

from metamlflow.backend import Backend
from metamlflow.errors import AlreadyExistsError, ObjectNotFoundError, StorageUnavailableError

PATIENCE_SECONDS = 60
_ATTEMPTS = 5


class Barrier(Protocol):
    """The common methods of the barriers of threads and of processes."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others."""

    def abort(self) -> None:
        """Release all waiting contenders."""


def contend(backend: Backend, keys: Sequence[str], barrier: Barrier, name: str) -> list[str]:
    """Create each key at the same moment as all other contenders; return the keys that this one won."""
    won = []
    try:
        for key in keys:
            barrier.wait(PATIENCE_SECONDS)
            if _claim(backend, key, name.encode()):
                won.append(key)
    except BaseException:
        barrier.abort()
        raise
    return won


def _claim(backend: Backend, key: str, data: bytes) -> bool:
    for _ in range(_ATTEMPTS):
        try:
            backend.create(key, data)
        except AlreadyExistsError:
            return False
        except StorageUnavailableError:
            # Servers answer "try again" to some of many writers. The answer does not show the outcome; the key does.
            try:
                return backend.read(key) == data
            except ObjectNotFoundError:
                continue
        return True
    return False


def race_threads(backends: Sequence[Backend], keys: Sequence[str]) -> dict[str, list[str]]:
    """Let one thread for each backend contend for each key; return the names of each key's winners."""
    barrier = threading.Barrier(len(backends))
    with ThreadPoolExecutor(len(backends)) as pool:
        runs = {
            f"thread-{number}": pool.submit(contend, backend, keys, barrier, f"thread-{number}")
            for number, backend in enumerate(backends)
        }
    return _winners(keys, {name: run.result() for name, run in runs.items()})


def race_processes(backends: Sequence[Backend], keys: Sequence[str]) -> dict[str, list[str]]:
    """As :func:`race_threads`, with a spawned process for each backend: they share nothing but the storage."""
    context = get_context("spawn")
    barrier, results = context.Barrier(len(backends)), context.SimpleQueue()
    names = [f"process-{number}" for number in range(len(backends))]
    processes = [
        context.Process(target=_run_child, args=(backend, keys, barrier, name, results), daemon=True)
        for backend, name in zip(backends, names, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_SECONDS)
    failed = [name for name, process in zip(names, processes, strict=True) if process.exitcode != 0]
    if failed:
        raise RuntimeError(f"{', '.join(failed)} did not come through; see what they wrote to stderr")
    return _winners(keys, dict(results.get() for _ in processes))


def _run_child(backend: Backend, keys: Sequence[str], barrier: Barrier, name: str, results: Any) -> None:
    results.put((name, contend(backend, keys, barrier, name)))


def _winners(keys: Sequence[str], won: dict[str, list[str]]) -> dict[str, list[str]]:
    return {key: [name for name, own in won.items() if key in own] for key in keys}
