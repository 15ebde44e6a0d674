"""create: exactly one winner, whole or not at all."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

import pickle
import threading

import pytest

from metamlflow.backend import Backend
from metamlflow.errors import AlreadyExistsError, ObjectNotFoundError
from metamlflow.testing.blobs import MIB, blob_of, pattern
from metamlflow.testing.contest import race_processes, race_threads
from metamlflow.testing.suite.hooks import SuiteHooks

KEY = "records/one.json"


class Creating(SuiteHooks):
    """Tests of :meth:`Backend.create`."""

    @pytest.mark.parametrize("size", [1, 1_000, 3 * MIB + 1])
    def test_a_created_record_is_there_whole(self, backend: Backend, size: int) -> None:
        """A record of any size is stored under its key unchanged."""
        backend.create(KEY, pattern(0, size))
        assert self.raw_read(self.reopen(backend), KEY) == pattern(0, size)

    @pytest.mark.parametrize("again", [b"first", b"second"], ids=["same-bytes", "other-bytes"])
    def test_a_second_create_is_refused_and_leaves_the_first_record(self, backend: Backend, again: bytes) -> None:
        """A conflict is reported, never swallowed: also from another instance, also for the same bytes."""
        backend.create(KEY, b"first")
        written = backend.stat(KEY).modified
        for instance in (backend, self.reopen(backend)):
            with pytest.raises(AlreadyExistsError) as caught:
                instance.create(KEY, again)
            assert caught.value.key.endswith(KEY)
        assert self.raw_read(self.reopen(backend), KEY) == b"first"
        assert backend.stat(KEY).modified == written

    def test_create_is_refused_where_a_blob_lies(self, backend: Backend) -> None:
        """Exclusive creation is refused however the key was made."""
        backend.put(KEY, blob_of(b"a blob"))
        with pytest.raises(AlreadyExistsError):
            backend.create(KEY, b"a record")
        assert self.raw_read(self.reopen(backend), KEY) == b"a blob"

    def test_a_deleted_key_can_be_created_again(self, backend: Backend) -> None:
        """A refusal means that the key exists now, not that it existed once."""
        backend.create(KEY, b"first")
        assert backend.delete([KEY]) == []
        backend.create(KEY, b"second")
        assert self.raw_read(self.reopen(backend), KEY) == b"second"

    def test_exactly_one_of_many_threads_creates_a_key(self, backend: Backend) -> None:
        """Threads with their own instances start together, repeatedly: one wins, and its record stays."""
        contenders = [self.reopen(backend) if number % 2 else backend for number in range(self.racers)]
        self._assert_one_winner_each(backend, race_threads(contenders, self._race_keys("threads")))

    def test_exactly_one_of_many_processes_creates_a_key(self, backend: Backend) -> None:
        """Processes that share nothing but the storage start together."""
        try:
            pickle.dumps(backend)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            pytest.skip(f"this backend cannot be sent to another process: {error}")
        contenders = [backend] * self.racing_processes
        self._assert_one_winner_each(backend, race_processes(contenders, self._race_keys("processes")))

    def _race_keys(self, kind: str) -> list[str]:
        return [f"races/{kind}/{number}/prize.json" for number in range(self.rounds)]

    def _assert_one_winner_each(self, backend: Backend, winners: dict[str, list[str]]) -> None:
        assert {key: names for key, names in winners.items() if len(names) != 1} == {}, "keys without one winner"
        other = self.reopen(backend)
        assert {key: self.raw_read(other, key).decode() for key in winners} == {
            key: name for key, [name] in winners.items()
        }, "the record that stays is the winner's"

    def test_a_reader_never_sees_a_record_in_part(self, backend: Backend) -> None:
        """While records are created, readers find no record or a whole one."""
        record, done = pattern(0, 2 * MIB), threading.Event()
        keys = [f"records/{number}.json" for number in range(4)]
        partial: list[tuple[str, int]] = []

        def watch(reader: Backend) -> None:
            while not done.is_set():
                for key in keys:
                    try:
                        size, data = reader.stat(key).size, reader.read(key)
                    except ObjectNotFoundError:
                        continue
                    if size != len(record) or data != record:
                        partial.append((key, len(data)))

        watchers = [threading.Thread(target=watch, args=(self.reopen(backend),)) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        try:
            for key in keys:
                backend.create(key, record)
        finally:
            done.set()
            for watcher in watchers:
                watcher.join()
        assert partial == []
