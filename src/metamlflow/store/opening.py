"""Opening a store: the marker, its creation, and the probe that the storage still refuses a second creation."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from metamlflow.backend import Backend, FetchesContent, open_backend
from metamlflow.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
    StorageUnavailableError,
    StoreFormatError,
    StoreNotFoundError,
    UnsupportedStoreError,
)
from metamlflow.format.layout import LONGEST_KEY, MARKER
from metamlflow.format.records import DEFAULT_GRACE, Marker, decode_marker, encode_marker
from metamlflow.store.bounded import read_record
from metamlflow.store.claiming import claim_ahead, retried
from metamlflow.store.clock import Clock
from metamlflow.store.held import HeldManifests
from metamlflow.store.lakes import Lakes
from metamlflow.store.relocations import Relocations

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")


class Store:
    """One store and what this process knows of it. Thread-safe; picklable; rebuilt in a forked child.

    Making one touches no network.

    Args:
        url: with a scheme; a local one with an absolute path.
        options: fsspec options of the backend.
        source_options: options of lakes, by scheme or by the beginning of a URI.
        backend: use this one instead of the one installed for the scheme (for tests of backends).
        clock: where time comes from.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any],
        *,
        source_options: Mapping[str, Mapping[str, Any]] | None = None,
        backend: Backend | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self.lakes = Lakes(url, options, source_options or {})
        self.clock = clock or Clock()
        self._options = dict(options)
        self._given = backend
        self._reset()
        self._check_length(self.backend)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("url", "clock", "lakes", "_options", "_given")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._backend: Backend | None = self._given
        self._marker: tuple[Marker, bytes] | None = None
        self._probed = False
        self.manifests = HeldManifests()
        self.relocations = Relocations(self)
        self._fetch: Callable[[str, int, int | None], Buffer] | None = None

    @property
    def backend(self) -> Backend:
        """The backend of this process: connections do not survive a fork, so a child opens its own."""
        if self._pid != os.getpid():
            self._reset()
        if (backend := self._backend) is not None:
            return backend
        with self._lock:
            if self._backend is None:
                self._backend = open_backend(self.url, self._options)
            return self._backend

    def fetch(self, key: str, start: int = 0, end: int | None = None) -> Buffer:
        """Return a range of content, whose digest the caller compares: it may have been damaged on its way."""
        backend, fetch = self.backend, self._fetch
        if fetch is None:  # two threads at once find the same
            self._fetch = fetch = backend.fetch if isinstance(backend, FetchesContent) else backend.read
        return fetch(key, start, end)

    @property
    def is_open(self) -> bool:
        """Whether the marker is known in this process: then a reader does not ask for it again."""
        return self._marker is not None and self._pid == os.getpid()

    @property
    def is_open_for_writing(self) -> bool:
        """Whether the storage was probed besides."""
        return self.is_open and self._probed

    def meanwhile(self, look: Callable[[], T], open_store: Callable[[], object]) -> T:
        """Return what ``look`` finds while ``open_store`` asks for the marker: so a first call is a round trip shorter.

        What ``open_store`` raises goes first: without a store it does not matter what else there is not.
        """
        with ThreadPoolExecutor(1, "metamlflow") as pool:
            looking = pool.submit(look)
            open_store()
        return looking.result()

    def marker(self) -> Marker:
        """Return the store's marker, for a reader. One request, once.

        Raises:
            StoreNotFoundError: there is no store here.
            StoreFormatError: its marker cannot be read by this version of the library.
        """
        backend = self.backend
        with self._lock:
            if self._marker is None:
                self._marker = self._read_marker(backend)
            if self._marker is None:
                raise StoreNotFoundError(
                    f"there is no metamlflow store at {self.url}",
                    hint="Check the URI. Registering something there, or `metamlflow init`, creates a store.",
                    uri=self.url,
                )
            return self._marker[0]

    def writable_marker(self, *, grace: timedelta | None = None) -> Marker:
        """Return the store's marker for a writer: creates the store if there is none, and probes the storage once.

        Args:
            grace: of a store that is created by this call (default 7 days).

        Raises:
            StoreFormatError: something that is no store lies here.
            ConflictError: the store exists with another grace than the one asked for.
            UnsupportedStoreError: the storage does not refuse to create a key that exists.
        """
        backend = self.backend
        with self._lock:
            if self._marker is None:
                self._marker = self._read_marker(backend) or self._create(backend, grace or DEFAULT_GRACE)
            marker, data = self._marker
            if not self._probed:
                self._probe(backend, data)
                self._probed = True
        if grace is not None and marker.grace != grace:
            raise ConflictError(
                f"the store at {self.url} exists with a grace of {marker.grace}, not {grace}",
                hint="The grace is a constant of a store; leave it out to use the store as it is.",
            )
        return marker

    def _read_marker(self, backend: Backend) -> tuple[Marker, bytes] | None:
        try:
            data = retried(lambda: read_record(backend, MARKER), self.clock)
        except ObjectNotFoundError:
            return None
        return decode_marker(data), data

    def check_place(self) -> None:
        """Make sure that there is a store, or a place for one, without making it.

        Raises:
            StoreFormatError: something that is no store lies here.
        """
        with self._lock:
            if self._marker is None:
                self._marker = self._read_marker(self.backend) or self._found_after_all(self.backend)

    def _create(self, backend: Backend, grace: timedelta) -> tuple[Marker, bytes]:
        if found := self._found_after_all(backend):
            return found
        marker = Marker(
            record_id=self.clock.new_id(), store_id=self.clock.new_id(), created_at=self.clock.now(), grace=grace
        )
        data = encode_marker(marker)
        if claim_ahead(backend, MARKER, data, marker.record_id, self.clock):
            return decode_marker(data), data
        found = self._read_marker(backend)
        if found is None:
            raise StorageUnavailableError(f"{self.url}: the marker appeared and vanished", key=MARKER)
        return found

    def _found_after_all(self, backend: Backend) -> tuple[Marker, bytes] | None:
        """Return the marker of a store that was made since the first look for it; refuse what is no store."""
        other = retried(lambda: next(iter(backend.list_objects("", limit=1)), None), self.clock)
        if other is not None:
            # Perhaps another client created the store between our look at the marker and the listing.
            if found := self._read_marker(backend):
                return found
            raise StoreFormatError(
                f"{self.url} holds something that is no metamlflow store: {other.key}",
                hint="Choose an empty or new place for the store; nothing was written here. "
                "If this was a store, restore its metamlflow.json from a copy.",
                key=other.key,
                problems=("no marker metamlflow.json beside other objects",),
            )
        return None

    def _probe(self, backend: Backend, data: bytes) -> None:
        """Create the marker again with its own bytes: refused is right, and accepted has changed nothing.

        A store may stop honouring conditions at any time (copied to another server, versioning switched on), and then a
        version would be lost without an error. So each client asks before its first claim.
        """
        try:
            retried(lambda: backend.create(MARKER, data), self.clock)
        except AlreadyExistsError:
            return
        raise UnsupportedStoreError(
            f"{self.url}: the storage accepted a second creation of one key, so two writers could both get a version",
            hint="Use a storage that honours conditional writes (If-None-Match, ifGenerationMatch, link). "
            "Reading works as before; nothing was registered.",
            key=MARKER,
        )

    def _check_length(self, backend: Backend) -> None:
        if backend.max_key_bytes < LONGEST_KEY:
            raise InvalidInputError(
                f"{self.url}: the place is too deep: keys may take {backend.max_key_bytes} bytes below it, "
                f"and the format needs {LONGEST_KEY}",
                hint="Choose a shorter path or prefix for the store.",
            )


@lru_cache(maxsize=8)
def store_from(state: bytes) -> Store:
    """Return the store that was pickled to ``state``: one for all tasks of a process, with connections of its own."""
    store: Store = pickle.loads(state)  # noqa: S301 (made by this library, for its own tasks)
    return store
