"""put: streamed, whole or not at all, and never over an existing object."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

import io
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast

import pytest

from metamlflow.backend import Backend, LeavesUploads, UnfinishedUpload
from metamlflow.errors import IntegrityError, ObjectNotFoundError, SourceChangedError
from metamlflow.testing.blobs import MIB, PatternReader, blob_of, pattern, pattern_blob
from metamlflow.testing.suite.hooks import SuiteHooks

KEY = "content/ab/abcdef.csv.gz"


class _Interrupted(io.RawIOBase):
    """A reader of a blob that calls ``happen`` once, when half of the blob was read."""

    def __init__(self, source: PatternReader, half: int, happen: Callable[[], None]) -> None:
        super().__init__()
        self._source, self._half, self._happen = source, half, happen
        self._happened = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._source.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        data = self._source.read(min(size, self._half))
        if self._source.tell() >= self._half and not self._happened:
            self._happened = True
            self._happen()
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _interrupted_blob(size: int, happen: Callable[[], None]) -> Any:
    return pattern_blob(size, lambda reader: cast("BinaryIO", _Interrupted(reader, size // 2, happen)))


class Putting(SuiteHooks):
    """Tests of :meth:`Backend.put`."""

    @pytest.mark.parametrize("size", [0, 1, 100_000, MIB, 9 * MIB + 1])
    def test_a_put_stores_the_content_as_it_is(self, backend: Backend, size: int) -> None:
        """The sizes range from an empty blob to one that is sent in several parts."""
        assert backend.put(KEY, pattern_blob(size)) is True
        assert self.raw_read(self.reopen(backend), KEY) == pattern(0, size)
        assert backend.stat(KEY).size == size

    def test_put_says_whether_it_created_the_object(self, backend: Backend) -> None:
        """A put returns True once, then False from every instance, and True again after the object was deleted."""
        blob = blob_of(b"content")
        answers = [backend.put(KEY, blob), backend.put(KEY, blob), self.reopen(backend).put(KEY, blob)]
        assert answers == [True, False, False]
        backend.delete([KEY])
        assert backend.put(KEY, blob) is True

    def test_a_put_on_an_existing_key_leaves_its_object_as_it_was(self, backend: Backend) -> None:
        """Neither content nor age changes: a garbage collector decides by the age."""
        backend.put(KEY, blob_of(b"content"))
        before = replace(backend.stat(KEY), observed=None)
        time.sleep(self.clock_tick_seconds)
        assert backend.put(KEY, blob_of(b"content")) is False
        assert replace(backend.stat(KEY), observed=None) == before, "the same content was written again"
        assert backend.put(KEY, blob_of(b"other content")) is False
        assert self.raw_read(self.reopen(backend), KEY) == b"content"

    def test_a_put_streams_in_bounded_memory(self, backend: Backend) -> None:
        """64 MiB are put, read in pieces, and never in Python's memory together."""
        size, readers = 64 * MIB, list[PatternReader]()

        def remember(reader: PatternReader) -> BinaryIO:
            readers.append(reader)
            return cast("BinaryIO", reader)

        blob = pattern_blob(size, remember)
        tracemalloc.start()
        try:
            backend.put(KEY, blob)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert max(reader.largest_read for reader in readers) <= self.largest_read_bytes
        assert peak <= self.put_memory_bytes
        assert backend.stat(KEY).size == size
        assert backend.read(KEY, size - 1_000) == pattern(size - 1_000, size)

    def test_a_put_closes_the_readers_that_it_opened(self, backend: Backend) -> None:
        """Thousands of files are put in one process: none stays open."""
        readers = list[PatternReader]()

        def remember(reader: PatternReader) -> BinaryIO:
            readers.append(reader)
            return cast("BinaryIO", reader)

        backend.put(KEY, pattern_blob(10, remember))
        assert readers
        assert all(reader.closed for reader in readers)

    @pytest.mark.parametrize("size", [1_000, 24 * MIB], ids=["small", "in-parts"])
    def test_a_put_whose_source_changed_leaves_nothing(self, backend: Backend, size: int) -> None:
        """The reader's SourceChangedError reaches the caller, and no part of the content stays under the key."""

        def notice() -> None:
            raise SourceChangedError("the file changed while it was read", source="/data/a.csv")

        with pytest.raises(SourceChangedError) as caught:
            backend.put(KEY, _interrupted_blob(size, notice))
        assert caught.value.source == "/data/a.csv"
        self._assert_nothing_there(backend)
        assert backend.put(KEY, pattern_blob(size)) is True
        assert backend.stat(KEY).size == size

    @pytest.mark.parametrize("difference", [-1, 1], ids=["too-short", "too-long"])
    @pytest.mark.parametrize("size", [1_000, 24 * MIB], ids=["small", "in-parts"])
    def test_a_put_whose_source_has_another_size_is_refused(self, backend: Backend, size: int, difference: int) -> None:
        """Content with another length than was hashed raises IntegrityError, and nothing stays."""
        blob = replace(pattern_blob(size), open=pattern_blob(size + difference).open)
        with pytest.raises(IntegrityError):
            backend.put(KEY, blob)
        self._assert_nothing_there(backend)

    def _assert_nothing_there(self, backend: Backend) -> None:
        for instance in (backend, self.reopen(backend)):
            with pytest.raises(ObjectNotFoundError):
                instance.stat(KEY)
            assert list(instance.list_objects()) == []

    def test_nothing_is_under_the_key_while_a_put_streams(self, backend: Backend) -> None:
        """Another client that reads when half of the content was sent finds no object."""
        other, seen = self.reopen(backend), list[object]()

        def look() -> None:
            try:
                seen.append(other.stat(KEY))
            except ObjectNotFoundError:
                seen.append(None)
            seen.extend(other.list_objects())

        assert backend.put(KEY, _interrupted_blob(12 * MIB, look)) is True
        assert seen
        assert set(seen) == {None}

    def test_an_unfinished_upload_tells_the_key_that_it_is_for(self, backend: Backend) -> None:
        """By that a collection knows the store's own ones; a temp file is marked as one that the backend named."""
        other, seen = self.reopen(backend), list[UnfinishedUpload]()

        def look() -> None:
            if isinstance(other, LeavesUploads):
                seen.extend(other.unfinished_uploads(datetime.now(UTC) + timedelta(days=1)))

        assert backend.put(KEY, _interrupted_blob(24 * MIB, look)) is True
        assert {upload.key for upload in seen if not upload.is_temporary} <= {KEY}

    def test_many_puts_of_one_content_leave_it_whole(self, backend: Backend) -> None:
        """At least one put reports the creation; the object is whole when each of them returns."""
        instances = [self.reopen(backend) for _ in range(self.racers)]
        content = pattern(0, 300_000)
        blob = blob_of(content)

        def put(instance: Backend) -> tuple[bool, bool]:
            created = instance.put(KEY, blob)
            return created, instance.read(KEY) == content

        with ThreadPoolExecutor(len(instances)) as pool:
            outcomes = list(pool.map(put, instances))
        assert any(created for created, _ in outcomes)
        assert all(whole for _, whole in outcomes)
