"""A result that an executor has is taken, whenever it comes; what failed is told from what is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future

import pytest

from metamlflow.store.transfer.remote_tasks import RemoteTask, shares


class Ending(Future):
    """A task that ends at the very end of the first wait for it."""

    def __init__(self, end: Callable[[Future], object]) -> None:
        super().__init__()
        self.end = end

    def result(self, timeout=None):
        if not self.done():
            self.end(self)
            raise TimeoutError
        return super().result(timeout)


class Submitting(Executor):
    def __init__(self, *ends) -> None:
        self.ends = list(ends)

    def submit(self, work, task) -> Future:
        return Ending(self.ends.pop(0))


def result_of(*ends):
    executor = Submitting(*ends)
    task = RemoteTask(executor, sum, (1, 2), lambda _, result: result == 3, "a task")
    return task.result(lambda: None), len(executor.ends)


def whole(future):
    future.set_result(3)


@pytest.mark.parametrize(
    "lost",
    [
        lambda future: future.set_exception(TimeoutError()),
        lambda future: future.set_exception(OSError()),
        lambda future: future.set_result(4),
        Future.cancel,
    ],
    ids=["its own time-out", "a failure", "another result", "cancelled"],
)
def test_a_result_that_comes_as_the_wait_ends_is_taken_and_a_loss_then_is_one(lost):
    assert result_of(whole, whole) == (3, 1)
    assert result_of(lost, whole, whole) == (3, 1)
    assert result_of(lost, lost, lost, whole) == (None, 1)


def test_a_wait_ends_as_soon_as_its_check_raises():
    def check() -> None:
        raise CancelledError

    task = RemoteTask(Submitting(lambda _: None), sum, (1, 2), lambda *_: True, "a task")
    with pytest.raises(CancelledError):
        task.result(check)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1], [(1, 1, 1), (1,)]),
        ([6, 4, 1], [(6, 4), (1,)]),
        ([1, 50, 1], [(1,), (50,), (1,)]),
        ([0, 0, 0], [(0, 0, 0)]),
    ],
    ids=["nothing", "many", "just as large as one may be", "larger than one may be", "empty"],
)
def test_shares_keep_the_order_and_only_one_item_by_itself_is_larger_than_they_may_be(sizes, expected):
    assert list(shares(sizes, int, most_items=3, most_bytes=10)) == expected
