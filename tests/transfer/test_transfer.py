"""The scheduler: in order, bounded, as parallel as the storage is slow, and failing as a whole."""

from __future__ import annotations

import threading
import time

import pytest

from metamlflow.backend.budget import ByteBudget, content_budget
from metamlflow.store.transfer import scheduler as transfer
from metamlflow.store.transfer.scheduler import (
    AHEAD,
    BATCH_BYTES,
    LEAST_WORKERS,
    MOST_WORKERS,
    QUICK_BYTES,
    Ready,
    in_parallel,
)


def no_thread_is_left():
    return not [thread for thread in threading.enumerate() if thread.name.startswith("metamlflow_")]


def test_results_come_in_the_order_of_the_items_however_long_each_takes():
    slow_first = threading.Event()

    def work(number):
        if number == 0:
            slow_first.wait(30)
        elif number == 10:
            slow_first.set()
        return number

    assert list(in_parallel(work, range(50))) == list(range(50))


def test_what_is_ready_keeps_its_place_among_what_takes_a_thread():
    def first(number):
        return Ready(number) if number % 3 else number

    def work(number):
        assert number % 3 == 0
        time.sleep(0.001)
        return number

    assert list(in_parallel(work, range(300), first=first)) == list(range(300))


def test_what_is_ready_at_once_takes_no_thread():
    threads = set()

    def first(number):
        threads.add(threading.current_thread())
        return Ready(number)

    assert list(in_parallel(pytest.fail, range(1000), first=first)) == list(range(1000))
    assert threads == {threading.current_thread()}


def test_an_endless_source_is_read_only_a_little_ahead():
    read = []

    def endless():
        number = 0
        while True:
            read.append(number)
            yield number
            number += 1

    stuck = threading.Event()
    results = in_parallel(lambda number: number or stuck.wait(0.3), endless())
    next(results)
    results.close()
    assert len(read) <= (AHEAD + LEAST_WORKERS) * LEAST_WORKERS
    assert no_thread_is_left()


def test_a_failure_ends_everything_while_an_earlier_item_is_still_at_work():
    cancelled = threading.Event()
    begun = []

    def work(number):
        begun.append(number)
        if number == 0:
            assert cancelled.wait(30), "the failure behind was not seen"
        if number == 1:
            raise ValueError("the second item")
        return number

    def items():
        yield from range(2)
        time.sleep(0.1)
        yield from range(2, 1000)

    with pytest.raises(ValueError, match="the second item") as caught:
        list(in_parallel(work, items(), cancel=cancelled.set))
    assert len(begun) < 100
    assert not getattr(caught.value, "__notes__", [])
    assert no_thread_is_left()


def test_a_ctrl_c_while_a_thread_starts_leaves_no_thread_behind(monkeypatch):
    """It strikes between the start of the thread and the note that the pool makes of it."""
    start = threading.Thread.start
    struck = []
    at_work = threading.Event()

    def interrupted(thread):
        start(thread)
        if thread.name.startswith("metamlflow_") and thread.name.endswith("_3"):
            struck.append(thread)
            assert at_work.wait(30)
            raise KeyboardInterrupt

    def work(_):
        if not threading.current_thread().name.endswith("_3"):
            time.sleep(0.05)  # as long as all are at work, the pool starts another
            return
        at_work.set()
        time.sleep(1)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(in_parallel(work, range(100)))
    assert struck
    assert no_thread_is_left()


def test_all_that_failed_is_named():
    both = threading.Barrier(2)

    def work(number):
        both.wait(30)
        raise ValueError(f"item {number}")

    with pytest.raises(ValueError, match="item") as caught:
        list(in_parallel(work, range(2), size_of=lambda _: None))
    named = {str(caught.value), *(note.removeprefix("also failed: ") for note in caught.value.__notes__)}
    assert named == {"item 0", "item 1"}


@pytest.mark.parametrize(("seconds", "least", "most"), [(0, 1, LEAST_WORKERS), (0.03, LEAST_WORKERS + 1, MOST_WORKERS)])
def test_the_longer_the_storage_takes_the_more_is_under_way(seconds, least, most):
    lock, under_way, peak = threading.Lock(), 0, 0

    def work(_):
        nonlocal under_way, peak
        with lock:
            under_way += 1
            peak = max(peak, under_way)
        time.sleep(seconds)
        with lock:
            under_way -= 1

    for _ in in_parallel(work, range(1000)):
        pass
    assert least <= peak <= most


@pytest.fixture
def small_budget(monkeypatch):
    """A budget of 1,000 bytes, and what is left of it."""
    budget = ByteBudget(1000)
    monkeypatch.setattr(transfer, "content_budget", lambda: budget)
    return lambda: budget._free


def test_no_more_bytes_are_in_memory_than_the_budget_has(small_budget):
    lock, held, peak = threading.Lock(), 0, 0

    def first(size):
        nonlocal held, peak
        with lock:
            held += size
            peak = max(peak, held)
        return size

    def work(size):
        nonlocal held
        time.sleep(0.001)
        with lock:
            held -= size
        return size

    sizes = [1, 999, 400, 300, 300, 1000, 5] * 20
    assert list(in_parallel(work, sizes, first=first, size_of=lambda size: size)) == sizes
    assert peak <= 1000
    assert small_budget() == 1000


def test_many_operations_at_once_share_a_budget_without_waiting_for_one_another_for_ever(small_budget):
    def operation(_):
        return sum(in_parallel(lambda size: size, [300] * 20, size_of=lambda size: size))

    threads = [threading.Thread(target=operation, args=(n,), daemon=True) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert small_budget() == 1000


@pytest.mark.parametrize("where", ["items", "first", "work", "consumer"])
def test_whatever_fails_all_of_the_budget_is_given_back(small_budget, where):
    def failing(name, number):
        if name == where and number == 30:
            raise ValueError(name)
        return number

    def items():
        for number in range(100):
            failing("items", number)
            yield number

    results = in_parallel(
        lambda number: failing("work", number),
        items(),
        first=lambda number: failing("first", number),
        size_of=lambda _: 7,
    )

    def consume():
        for number in results:
            failing("consumer", number)

    with pytest.raises(ValueError, match=where):
        consume()
    results.close()
    assert small_budget() == 1000


def test_large_items_are_handed_over_one_by_one_and_small_ones_together():
    together = []

    def work(size):
        together.append((threading.get_ident(), size))
        time.sleep(0.002)
        return size

    sizes = [QUICK_BYTES] * 3 + [BATCH_BYTES] * 5
    assert list(in_parallel(work, sizes, size_of=lambda size: size)) == sizes
    assert len({thread for thread, size in together if size == BATCH_BYTES}) > 1


def test_an_item_that_takes_memory_by_itself_never_waits_with_what_holds_some(monkeypatch):
    """Or all of the budget may be held by those that wait for it."""
    budget = content_budget()
    gauge = transfer._Gauge
    monkeypatch.setattr(transfer, "_Gauge", lambda: _with_batches_of(gauge(), 16))

    def work(item):
        if item is None:
            with budget.hold(budget._total):
                return item
        return item

    items = ([QUICK_BYTES] * 5 + [None]) * 20
    assert list(in_parallel(work, items, size_of=lambda item: item)) == items


def _with_batches_of(gauge, size):
    gauge.batch, gauge.observe = size, lambda _: None
    return gauge
