"""Every verb from several threads at once."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow.backend import Backend
from metamlflow.errors import AlreadyExistsError, ObjectNotFoundError
from metamlflow.testing.blobs import blob_of, pattern
from metamlflow.testing.suite.hooks import SuiteHooks


class Sharing(SuiteHooks):
    """Tests of one instance in many threads."""

    def test_threads_share_one_instance(self, backend: Backend) -> None:
        """Each thread works in its own folder and finds there exactly the objects that it wrote."""

        def work(number: int) -> list[str]:
            folder, content = f"threads/{number}", pattern(number, 10_000 + number)
            record, blob = f"{folder}/record.json", f"{folder}/blob.bin"
            for _ in range(5):
                backend.create(record, content)
                with pytest.raises(AlreadyExistsError):
                    backend.create(record, content)
                created = backend.put(blob, blob_of(content)), backend.put(blob, blob_of(content))
                assert created == (True, False)
                with backend.open(blob) as reader:
                    assert (reader.read(), backend.read(record), backend.read(blob, 5, 9)) == (
                        content,
                        content,
                        content[5:9],
                    )
                assert backend.stat(blob).size == len(content)
                assert [info.key for info in backend.list_objects(f"{folder}/")] == [blob, record]
                assert backend.delete([record, blob]) == []
                with pytest.raises(ObjectNotFoundError):
                    backend.stat(record)
            return [info.key for info in backend.list_objects(f"{folder}/")]

        with ThreadPoolExecutor(self.racers) as pool:
            assert list(pool.map(work, range(self.racers))) == [[]] * self.racers

    def test_a_listing_is_sound_while_others_write(self, backend: Backend) -> None:
        """Keys that exist all the time are listed every time, each once, in order."""
        steady = [f"steady/{number:02d}.json" for number in range(20)]
        self.fill(backend, steady)

        def churn(number: int) -> None:
            for turn in range(10):
                key = f"steady/{turn:02d}-{number}.json"
                backend.create(key, b"passing")
                backend.delete([key])

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(churn, number) for number in range(4)]
            listings = [[info.key for info in backend.list_objects("steady/")] for _ in range(10)]
            for writer in writers:
                writer.result()
        assert [listing for listing in listings if listing != sorted(set(listing))] == []
        assert [set(steady) - set(listing) for listing in listings] == [set()] * len(listings)
