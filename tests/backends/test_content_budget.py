"""The one budget of memory: shared by all of a process, settable, and its own in a forked child."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from metamlflow.backend import budget
from metamlflow.backend.budget import MEMORY_VARIABLE, ByteBudget, content_budget
from metamlflow.errors import InvalidInputError

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _not_asked_before():
    kept = budget._budget
    budget._budget = None
    yield
    budget._budget = kept


def test_it_is_one_for_the_process():
    assert content_budget() is content_budget()
    assert content_budget()._free == 96 * MIB


def test_the_environment_says_how_much(monkeypatch):
    monkeypatch.setenv(MEMORY_VARIABLE, "64")
    assert content_budget()._free == 64 * MIB


@pytest.mark.parametrize("value", ["31", "-64", "64MiB", "1e3", "lots"])
def test_a_value_that_is_none_is_refused_by_name(monkeypatch, value):
    monkeypatch.setenv(MEMORY_VARIABLE, value)
    with pytest.raises(InvalidInputError, match=MEMORY_VARIABLE):
        content_budget()


def test_who_asks_for_too_much_at_once_is_told_so_without_waiting():
    shared = ByteBudget(10)
    assert shared.take_at_once(6) == 6
    assert shared.take_at_once(6) is None
    assert shared.take_at_once(4) == 4
    shared.give_back(10)
    assert shared.take_at_once(100) == 10


def test_who_waits_goes_on_when_enough_was_given_back():
    shared = ByteBudget(10)
    shared.take(8)
    got = threading.Event()
    thread = threading.Thread(target=lambda: (shared.take(5), got.set()), daemon=True)
    thread.start()
    assert not got.wait(0.05)
    shared.give_back(8)
    assert got.wait(10)


def test_a_forked_child_has_all_of_it_whatever_its_parent_was_doing():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    with content_budget().hold(96 * MIB), budget._lock:
        process = context.Process(target=lambda: theirs.send(content_budget().take(96 * MIB)))
        process.start()
        assert ours.poll(30), "the child waits for its parent"
    assert ours.recv() == 96 * MIB
    process.join(10)
