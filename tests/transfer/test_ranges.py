"""Content that is read in ranges fetched ahead: in order, whole, within the budget, and never more than asked for."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import suppress

import pytest

from metamlflow.backend.budget import content_budget
from metamlflow.store.transfer import ranges
from metamlflow.store.transfer.ranges import RangeReader, in_order

CONTENT = bytes(range(251)) * 40


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr(ranges, "RANGE_BYTES", 1000)
    monkeypatch.setattr(ranges, "_MODEST_RANGE_BYTES", 700)


class Fetching:
    """Gives ranges of some content, later ones sooner; notes what was asked for."""

    def __init__(self, content=CONTENT) -> None:
        self.content = content
        self.asked = []
        self.at_work = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, start, end):
        with self._lock:
            self.asked.append((start, end))
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        time.sleep(0.002 * (4 - len(self.asked) % 4))
        with self._lock:
            self.at_work -= 1
        return self.content[start:end]


@pytest.mark.parametrize("modest", [False, True])
@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 2800, len(CONTENT)])
def test_ranges_come_in_order_and_all_of_them(size, modest):
    fetch = Fetching(CONTENT[:size])
    assert b"".join(in_order(fetch, size, modest=modest)) == CONTENT[:size]
    assert fetch.most <= 4
    assert max(fetch.asked)[1] == size + 1  # a byte more, which only a wrong object has
    assert len({end for _, end in fetch.asked}) == len(fetch.asked)


def test_one_byte_too_many_is_seen():
    assert sum(map(len, in_order(Fetching(), len(CONTENT) - 1))) == len(CONTENT)
    assert sum(map(len, in_order(Fetching(CONTENT[:2001]), 2000))) == 2001


def test_the_budget_is_given_back_also_when_a_range_fails_or_the_reader_stops():
    budget = content_budget()
    total = budget._free

    def failing(start, end):
        if start >= 3000:
            raise OSError("gone")
        return CONTENT[start:end]

    with pytest.raises(OSError, match="gone"):
        list(in_order(failing, len(CONTENT)))
    assert budget._free == total
    reading = in_order(Fetching(), len(CONTENT))
    next(reading)
    assert budget._free < total
    reading.close()
    assert budget._free == total
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("metamlflow-range")]


def test_where_no_memory_is_free_a_modest_reader_goes_on_one_range_at_a_time():
    budget = content_budget()
    with budget.hold(budget._total):
        fetch = Fetching()
        assert b"".join(in_order(fetch, len(CONTENT), modest=True)) == CONTENT
        assert fetch.most == 1


def reader_of(content, size, ended):
    digest = hashlib.sha256()
    return RangeReader(Fetching(content), size, digest, lambda count: ended(count, digest.hexdigest()), lambda _: None)


def test_the_last_bytes_are_given_only_after_the_end_was_judged():
    ends = []

    def refuse(count, digest) -> None:
        ends.append((count, digest))
        raise ValueError("not what it should be")

    with reader_of(CONTENT, len(CONTENT), refuse) as reader:
        got = b""
        with suppress(ValueError):
            while chunk := reader.read(100):
                got += chunk
    assert CONTENT.startswith(got)
    assert len(got) < len(CONTENT)
    assert ends == [(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())]


@pytest.mark.parametrize("read", [-1, 1, 333, 700, 100_000])
def test_reads_of_any_size_give_all_of_it(read):
    ends = []
    with reader_of(CONTENT, len(CONTENT), lambda *end: ends.append(end)) as reader:
        assert reader.readable()
        got = reader.read(read) if read < 0 else b"".join(iter(lambda: reader.read(read), b""))
        assert reader.read(5) == b""
    assert got == CONTENT
    assert len(ends) == 1
