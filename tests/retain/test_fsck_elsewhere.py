"""An examination whose reading an executor does: the same findings, also if workers are lost."""

from __future__ import annotations

import logging
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from executors import EXECUTORS
from metamlflow.store.retain.fsck import blobs


@pytest.fixture
def damaged(client, planter, monkeypatch):
    """A store with a blob that is lost and one that is altered, examined in many parts."""
    monkeypatch.setattr(blobs, "_TOGETHER", 5)
    planter.delete(planter.blob("data", 3))
    planter.write(planter.blob("data", 1), b"0 of 9")
    return client


@pytest.mark.full
@pytest.mark.parametrize("make", [*EXECUTORS])
def test_an_executor_finds_what_a_single_process_finds(damaged, make):
    with make() as (executor, _):
        report = damaged.fsck(executor=executor)
    assert report.to_json() == damaged.fsck().to_json()
    assert report.counts == {"blob-missing": 1, "blob-altered": 1}


class Worse(Executor):
    """Loses some of its work, in one way of several."""

    def __init__(self, way, lost):
        self._way = way
        self._lost = lost
        self.submitted = 0

    def submit(self, work, /, *arguments):
        self.submitted += 1
        future = Future()
        if self.submitted not in self._lost:
            future.set_result(work(*arguments))
        elif self._way == "refuses":
            raise RuntimeError("shut down")
        elif self._way == "dies":
            future.set_exception(RuntimeError("the worker was killed"))
        elif self._way == "is cancelled":
            future.cancel()
        elif self._way == "is half":
            future.set_result(work(*arguments)[:-1])
        else:
            future.set_result([None] * 5)
        return future


@pytest.mark.full
@pytest.mark.parametrize("way", ["refuses", "dies", "is cancelled", "is half", "is another's"])
@pytest.mark.parametrize("lost", [{1}, {3, 4}, range(1000)], ids=["once", "two", "always"])
def test_what_a_worker_loses_is_looked_at_again_and_at_last_here(damaged, caplog, way, lost):
    executor = Worse(way, lost)
    with caplog.at_level(logging.WARNING):
        report = damaged.fsck(executor=executor)
    assert report.to_json() == damaged.fsck().to_json()
    assert caplog.records
    assert executor.submitted > 5


def test_a_task_shows_no_option_of_the_store(damaged):
    shown = []

    class Showing(ThreadPoolExecutor):
        def submit(self, work, /, *arguments):
            shown.append(repr(arguments))
            return super().submit(work, *arguments)

    with Showing(2) as executor:
        damaged.fsck(executor=executor)
    assert shown
    assert not any("store" in text for text in shown)


def test_a_call_that_is_stopped_cancels_what_an_executor_has_not_begun(damaged):
    class Waiting(Executor):
        def __init__(self):
            self.futures = []

        def submit(self, work, /, *arguments):
            self.futures.append(Future())
            if len(self.futures) == 1:
                self.futures[0].set_result(work(*arguments))
            return self.futures[-1]

    def stop(progress):
        if progress.files == 3:
            raise KeyboardInterrupt

    executor = Waiting()
    with pytest.raises(KeyboardInterrupt):
        damaged.fsck(executor=executor, progress=stop)
    assert len(executor.futures) > 5
    assert all(future.cancelled() for future in executor.futures[1:])
