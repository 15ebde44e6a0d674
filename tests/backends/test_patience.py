"""How often a request is made again, and what is made anew in a forked process."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow.backend.patience import Patience
from metamlflow.backend.per_process import PerProcess


class Failing:
    """A request that fails so many times."""

    def __init__(self, failures):
        self.failures, self.calls = failures, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(self.calls)
        return "answer"


@pytest.fixture
def slept(monkeypatch):
    pauses = []
    monkeypatch.setattr("metamlflow.backend.patience.time.sleep", pauses.append)
    return pauses


def test_a_failure_that_passes_is_tried_again_after_pauses_that_grow(slept):
    request = Failing(3)
    assert Patience(4, first_pause=1, least=1).call(request, lambda _: True) == "answer"
    assert (request.calls, slept) == (4, [1, 2, 4])


def test_the_last_failure_is_raised_as_it_is(slept):
    request = Failing(9)
    with pytest.raises(OSError, match=r"^3$"):
        Patience(3).call(request, lambda _: True)
    assert (request.calls, len(slept)) == (3, 2)


def test_what_does_not_pass_is_raised_at_once(slept):
    request = Failing(1)
    with pytest.raises(OSError, match=r"^1$"):
        Patience(3).call(request, lambda _: False)
    assert (request.calls, slept) == (1, [])


def test_no_attempt_begins_after_the_stated_time(slept, monkeypatch):
    now = iter([0.0, 0.5, 1.6])  # when it begins, and after each failure
    monkeypatch.setattr("metamlflow.backend.patience.time.monotonic", lambda: next(now))
    request = Failing(9)
    with pytest.raises(OSError, match=r"^2$"):
        Patience(9, seconds=3.5, first_pause=1, least=1).call(request, lambda _: True)
    assert (request.calls, slept) == (2, [1])


def test_pauses_are_random_within_their_bounds():
    pauses = [Patience(2, first_pause=2, least=0.5).begin().pause() for _ in range(200)]
    assert all(1 <= pause <= 2 for pause in pauses)
    assert max(pauses) - min(pauses) > 0.5


def test_a_value_is_made_once_for_all_threads():
    made = []
    value = PerProcess(lambda: made.append(1) or object())
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: value.get(), range(64)))) == 1
    assert len(made) == 1


def test_what_could_not_be_made_is_made_the_next_time():
    value = PerProcess(Failing(1))
    with pytest.raises(OSError, match="1"):
        value.get()
    assert (value.made, value.get(), value.made) == (None, "answer", "answer")


def test_a_forked_child_makes_its_own_though_another_thread_was_making_one():
    began, go_on = threading.Event(), threading.Event()

    def make():
        if threading.current_thread() is not threading.main_thread():
            began.set()
            go_on.wait(60)
        return os.getpid()

    value = PerProcess(make)
    thread = threading.Thread(target=value.get)
    thread.start()
    began.wait(60)
    if (child := os.fork()) == 0:
        os._exit(0 if value.get() == os.getpid() else 1)
    go_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert value.get() == os.getpid()
