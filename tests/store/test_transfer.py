"""The scheduler: in order, bounded, and failing as a whole."""

from __future__ import annotations

import threading

import pytest

from metamlflow.store.transfer import BATCH_BYTES, BATCH_FILES, batches, in_parallel


def test_results_come_in_the_order_of_the_items_however_long_each_takes():
    slow_first = threading.Event()

    def work(number):
        if number == 0:
            slow_first.wait(30)
        elif number == 10:
            slow_first.set()
        return number

    assert list(in_parallel(work, range(50))) == list(range(50))


def test_an_endless_source_is_read_only_a_little_ahead():
    read = []

    def endless():
        number = 0
        while True:
            read.append(number)
            yield number
            number += 1

    results = in_parallel(lambda number: number, endless())
    assert [next(results) for _ in range(5)] == list(range(5))
    results.close()
    assert len(read) < 60


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

    with pytest.raises(ValueError, match="the second item") as caught:
        list(in_parallel(work, range(1000), cancel=cancelled.set))
    assert len(begun) < 100
    assert not getattr(caught.value, "__notes__", [])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("metamlflow")]


def test_all_that_failed_is_named():
    both = threading.Barrier(2)

    def work(number):
        both.wait(30)
        raise ValueError(f"item {number}")

    with pytest.raises(ValueError, match="item") as caught:
        list(in_parallel(work, range(2)))
    named = {str(caught.value), *(note.removeprefix("also failed: ") for note in caught.value.__notes__)}
    assert named == {"item 0", "item 1"}


def test_batches_are_bounded_by_count_and_bytes_and_keep_the_order():
    sizes = [1] * (BATCH_FILES + 1) + [BATCH_BYTES * 2] + [1] * 3 + [BATCH_BYTES // 2] * 3
    made = list(batches(sizes, lambda size: size))
    assert [size for batch in made for size in batch] == sizes
    assert all(len(batch) <= BATCH_FILES for batch in made)
    assert all(len(batch) == 1 or sum(batch) <= BATCH_BYTES for batch in made)
