"""open, read and stat: the written bytes, at once, and nothing else."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import fsspec
import pytest

from metamlflow.backend import Backend
from metamlflow.errors import AlreadyExistsError, MetaMLFlowError, ObjectNotFoundError, redact
from metamlflow.testing.blobs import blob_of
from metamlflow.testing.suite.hooks import SuiteHooks

KEY = "data/numbers.txt"
CONTENT = b"0123456789"

RANGES = {
    "all": (0, None, CONTENT),
    "from-the-middle": (4, None, b"456789"),
    "the-beginning": (0, 3, b"012"),
    "one-byte": (9, 10, b"9"),
    "end-beyond": (8, 100, b"89"),
    "start-at-the-end": (10, None, b""),
    "start-beyond": (11, None, b""),
    "both-beyond": (50, 60, b""),
    "empty": (5, 5, b""),
    "empty-at-the-start": (0, 0, b""),
    "end-before-start": (5, 3, b""),
}

LOOKS: dict[str, Callable[[Backend, str], object]] = {
    "open": lambda backend, key: backend.open(key),
    "read": lambda backend, key: backend.read(key),
    "read-range": lambda backend, key: backend.read(key, 2, 4),
    "read-empty-range": lambda backend, key: backend.read(key, 2, 2),
    "stat": lambda backend, key: backend.stat(key),
}


class Reading(SuiteHooks):
    """Tests of :meth:`Backend.open`, :meth:`Backend.read`, :meth:`Backend.stat` and of the URLs."""

    def test_it_is_a_backend(self, backend: Backend) -> None:
        """It has all members of the protocol, and states the length of the longest key."""
        assert isinstance(backend, Backend)
        assert backend.max_key_bytes > 0

    @pytest.mark.parametrize(("start", "end", "expected"), RANGES.values(), ids=list(RANGES))
    def test_a_range_is_cut_at_the_object_s_end(
        self, backend: Backend, start: int, end: int | None, expected: bytes
    ) -> None:
        """Any range can be requested; bytes beyond the end are missing from the result."""
        backend.create(KEY, CONTENT)
        assert backend.read(KEY, start, end) == expected

    def test_an_empty_object_is_read(self, backend: Backend) -> None:
        """An empty object gives no bytes for any range."""
        backend.put(KEY, blob_of(b""))
        with backend.open(KEY) as reader:
            contents = [reader.read(), backend.read(KEY), backend.read(KEY, 0, 10), backend.read(KEY, 5)]
        assert contents == [b""] * 4

    def test_open_gives_a_seekable_reader(self, backend: Backend) -> None:
        """The reader reads in pieces, from any position, and ends at the end."""
        backend.create(KEY, CONTENT)
        with backend.open(KEY) as reader:
            assert (reader.readable(), reader.seekable()) == (True, True)
            assert (reader.read(3), reader.tell(), reader.read(), reader.read(1)) == (b"012", 3, b"3456789", b"")
            assert reader.seek(-2, io.SEEK_END) == 8  # noqa: PLR2004
            assert reader.read(100) == b"89"
            assert (reader.seek(1), reader.read(2)) == (1, b"12")

    def test_another_instance_reads_at_once_what_was_written(self, backend: Backend) -> None:
        """After a create, a put or a delete has returned, no instance sees the former state."""
        other = self.reopen(backend)
        self._assert_missing(other, KEY)
        backend.create(KEY, CONTENT)
        self._assert_read(other, KEY, CONTENT)
        backend.delete([KEY])
        self._assert_missing(other, KEY)
        backend.put(KEY, blob_of(b"new"))
        self._assert_read(other, KEY, b"new")

    def _assert_missing(self, backend: Backend, key: str) -> None:
        for look in LOOKS.values():
            with pytest.raises(ObjectNotFoundError):
                look(backend, key)
        assert [info.key for info in backend.list_objects(key)] == []

    def _assert_read(self, backend: Backend, key: str, content: bytes) -> None:
        assert (backend.read(key), backend.stat(key).size) == (content, len(content))
        with backend.open(key) as reader:
            assert reader.read() == content
        assert [info.key for info in backend.list_objects(key)] == [key]

    @pytest.mark.parametrize("look", LOOKS.values(), ids=list(LOOKS))
    @pytest.mark.parametrize("key", ["data/missing.txt", "nowhere/at/all", "data", "data/numbers"])
    def test_a_missing_key_is_not_found(
        self, backend: Backend, key: str, look: Callable[[Backend, str], object]
    ) -> None:
        """This includes a key that other keys begin with, as that of a folder."""
        backend.create(KEY, CONTENT)
        with pytest.raises(ObjectNotFoundError):
            look(backend, key)

    def test_stat_tells_size_and_times_in_utc(self, backend: Backend) -> None:
        """The times are of the server's clock: writing is before observation."""
        backend.create(KEY, CONTENT)
        info = backend.stat(KEY)
        assert (info.key, info.size) == (KEY, len(CONTENT))
        assert info.observed is not None
        assert (info.modified.utcoffset(), info.observed.utcoffset()) == (timedelta(0), timedelta(0))
        # Modified times may be rounded to whole seconds, up or down.
        assert timedelta(seconds=-2) < info.observed - info.modified < timedelta(minutes=2)

    def test_a_url_opens_through_fsspec(self, backend: Backend) -> None:
        """Only the user's options are needed, as for pandas and pyarrow."""
        backend.create(KEY, CONTENT)
        with fsspec.open(backend.url_of(KEY), "rb", **self.storage_options) as reader:
            assert reader.read() == CONTENT

    def test_the_file_system_reads_what_the_urls_name(self, backend: Backend) -> None:
        """Other libraries can use the backend's file system."""
        backend.create(KEY, CONTENT)
        assert backend.filesystem.cat_file(backend.url_of(KEY)) == CONTENT

    def test_a_long_key_serves_all_verbs(self, backend: Backend) -> None:
        """900 bytes in nested segments: the longest key of format 1."""
        segment = "!a-long.name_" * 15
        length = min(900, backend.max_key_bytes)
        key = "/".join([segment] * 5)[:length].rstrip("/")
        assert len(key) > length - 2
        backend.create(key, CONTENT)
        with backend.open(key) as reader:
            assert (reader.read(), backend.read(key), backend.stat(key).key) == (CONTENT, CONTENT, key)
        with pytest.raises(AlreadyExistsError):
            backend.create(key, b"again")
        assert [info.key for info in backend.list_objects(key[:-5])] == [key]
        assert backend.delete([key]) == []
        assert backend.put(key, blob_of(CONTENT)) is True

    def test_errors_travel_and_keep_secrets(self, backend: Backend) -> None:
        """Pickled errors keep their facts; neither errors nor URLs show user info or a secret."""
        backend.create(KEY, CONTENT)
        errors = [_error_of(lambda: backend.create(KEY, b"again"))]
        errors += [_error_of(lambda look=look: look(backend, "data/missing")) for look in LOOKS.values()]  # type: ignore[misc]
        for error in errors:
            copy: Any = pickle.loads(pickle.dumps(error))  # noqa: S301 (made right here)
            assert (type(copy), str(copy), copy.key) == (type(error), str(error), error.key)
        shown = [backend.url, backend.url_of(KEY), *(f"{error} {error!r} {error.__cause__!r}" for error in errors)]
        assert [text for text in shown if any(secret in text for secret in self.secrets)] == []
        assert redact(backend.url) == backend.url


def _error_of(call: Callable[[], object]) -> Any:
    with pytest.raises(MetaMLFlowError) as caught:
        call()
    return caught.value
