"""Executors that work is spread over, each with a way to lose one of its workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from extras import imported

DASK_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
Spread = Iterator[tuple[Executor, Callable[[], None]]]


@contextmanager
def threads() -> Spread:
    with ThreadPoolExecutor(2) as executor:
        yield executor, lambda: None


@contextmanager
def processes() -> Spread:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor, lambda: os.kill(next(iter(executor._processes)), signal.SIGKILL)


@contextmanager
def dask() -> Spread:
    from metamlflow.migration import dask_executor

    distributed = imported("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    )
    with cluster, dask_executor(cluster.scheduler_address) as executor:
        yield executor, lambda: os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)


EXECUTORS = [threads, processes, pytest.param(dask, marks=[DASK_WARNS, pytest.mark.full])]
