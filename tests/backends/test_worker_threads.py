"""A pool of threads that a Ctrl-C strikes in the moment in which it starts one."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from metamlflow.backend import threads
from metamlflow.backend.threads import ThreadPool

START = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"


def pool_struck_as_it_starts_a_thread(monkeypatch, work, begin):
    """Hand work to a pool; the Ctrl-C comes while the system's thread is there and has not begun. Return the pool."""
    real = getattr(threading, START)

    def struck(function, *arguments, **more):
        def late(*given):
            os.kill(os.getpid(), signal.SIGINT)
            begin.wait(30)
            function(*given)

        monkeypatch.setattr(threading, START, real)
        return real(late, *arguments, **more)

    pool = ThreadPool(1, "struck")
    monkeypatch.setattr(threading, START, struck)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(work)
    return pool


def test_a_thread_that_a_ctrl_c_found_starting_is_waited_for(monkeypatch):
    begin, at_work, over = threading.Event(), threading.Event(), threading.Event()

    def work():
        at_work.set()
        time.sleep(0.3)
        over.set()

    pool = pool_struck_as_it_starts_a_thread(monkeypatch, work, begin)
    threading.Timer(0.2, begin.set).start()
    pool.shutdown()
    assert at_work.is_set()
    assert over.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("struck")]


def test_a_thread_that_never_begins_is_not_waited_for_for_ever(monkeypatch):
    begin = threading.Event()
    pool = pool_struck_as_it_starts_a_thread(monkeypatch, lambda: None, begin)
    monkeypatch.setattr(threads, "_STARTS_WITHIN", 0.2)
    began = time.monotonic()
    pool.shutdown()
    assert time.monotonic() - began < 5
    begin.set()
