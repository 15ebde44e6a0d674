"""replace: for repairs alone: content in the place of a damaged object."""
# ruff: noqa: S101 (a suite consists of asserts)

from __future__ import annotations

import threading
from dataclasses import replace as changed

import pytest

from metamlflow.backend import Backend, ReplacesContent, replace_content
from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.testing.blobs import MIB, blob_of, pattern, pattern_blob
from metamlflow.testing.suite.hooks import SuiteHooks

KEY = "content/ab/abcdef.csv.gz"


class Replacing(SuiteHooks):
    """Tests of :class:`ReplacesContent`, and of delete and put in a backend without it."""

    @pytest.mark.parametrize("size", [0, 1, 100_000, 24 * MIB + 1])
    def test_a_replacement_takes_the_place_of_what_was_there(self, backend: Backend, size: int) -> None:
        """It replaces shorter and longer objects; every instance sees it with its size, and no other object appears."""
        for before in (b"damaged", pattern(0, 200_000)):
            backend.delete([KEY])
            backend.put(KEY, blob_of(before))
            replace_content(backend, KEY, pattern_blob(size))
            other = self.reopen(backend)
            assert self.raw_read(other, KEY) == pattern(0, size)
            assert [(info.key, info.size) for info in other.list_objects()] == [(KEY, size)]

    def test_a_replacement_of_nothing_is_a_put(self, backend: Backend) -> None:
        """A repair need not know whether the object was deleted meanwhile."""
        replace_content(backend, KEY, blob_of(b"content"))
        assert self.raw_read(self.reopen(backend), KEY) == b"content"
        assert backend.put(KEY, blob_of(b"content")) is False

    @pytest.mark.parametrize("difference", [-1, 1], ids=["too-short", "too-long"])
    @pytest.mark.parametrize("size", [1_000, 24 * MIB], ids=["small", "in-parts"])
    def test_a_replacement_that_fails_leaves_the_old_object(self, backend: Backend, size: int, difference: int) -> None:
        """Content with another length than announced never shows; without the verb nothing may be left."""
        backend.put(KEY, blob_of(b"damaged"))
        blob = changed(pattern_blob(size), open=pattern_blob(size + difference).open)
        with pytest.raises(IntegrityError):
            replace_content(backend, KEY, blob)
        other = self.reopen(backend)
        if isinstance(backend, ReplacesContent):
            assert self.raw_read(other, KEY) == b"damaged"
        else:
            with pytest.raises(ObjectNotFoundError):
                other.stat(KEY)

    def test_whoever_reads_meanwhile_finds_the_old_or_the_new(self, backend: Backend) -> None:
        """They never find a part of either, and find nothing only with a backend that deletes first."""
        contents = [pattern(number, 100_000) for number in range(4)]
        backend.put(KEY, blob_of(contents[0]))
        other, found, ended = self.reopen(backend), set[bytes | None](), threading.Event()

        def look() -> None:
            while not ended.is_set():
                try:
                    found.add(other.read(KEY))
                except ObjectNotFoundError:
                    found.add(None)

        reader = threading.Thread(target=look)
        reader.start()
        try:
            for content in contents * 5:
                replace_content(backend, KEY, blob_of(content))
        finally:
            ended.set()
            reader.join()
        if not isinstance(backend, ReplacesContent):
            found.discard(None)
        assert found <= set(contents)
        assert self.raw_read(other, KEY) == contents[-1]
