"""The hooks that a subclass of the suite must or may override."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import pytest

from metamlflow.backend import Backend

MIB = 1024 * 1024


class SuiteHooks:
    """The one fixture that must be given, and the hooks that have defaults."""

    racers: ClassVar[int] = 8
    """The number of threads that race for one key."""

    rounds: ClassVar[int] = 25
    """The number of keys that they race for."""

    racing_processes: ClassVar[int] = 3
    """The number of processes that race; each takes a moment to start."""

    many: ClassVar[int] = 1_100
    """The length of the long listing: more than the 1,000 keys that most servers list or delete at a time."""

    clock_tick_seconds: ClassVar[float] = 0.02
    """A little more than the resolution of the server's modified times."""

    put_memory_bytes: ClassVar[int] = 40 * MIB
    """The most Python memory, in bytes, that a put of 64 MiB may take."""

    largest_read_bytes: ClassVar[int] = 32 * MIB
    """The most bytes of a blob that a put may request in one call."""

    storage_options: ClassVar[Mapping[str, Any]] = {}
    """The options that fsspec needs to open what ``url_of`` returns."""

    secrets: ClassVar[tuple[str, ...]] = ()
    """Strings that no URL and no error may show, such as the secret key in use."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend to test, on a root of its own that holds nothing. Must be overridden."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `backend`")

    def reopen(self, backend: Backend) -> Backend:
        """Return a second, independent instance on the same root. By default a pickled copy."""
        return cast("Backend", pickle.loads(pickle.dumps(backend)))  # noqa: S301 (made right here)

    def raw_read(self, backend: Backend, key: str) -> bytes:
        """Return the bytes under a key; better without the code under test, as with a plain client of the server."""
        return backend.read(key)

    def raw_write(self, backend: Backend, key: str, data: bytes) -> None:
        """Place an object; better without the code under test."""
        backend.create(key, data)

    def fill(self, backend: Backend, keys: Iterable[str]) -> None:
        """Place a small object, its key, under each key, through a second instance."""
        other = self.reopen(backend)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self.raw_write(other, key, key.encode()), keys))
