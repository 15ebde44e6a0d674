"""Opening a store: the marker, its creation, and the probe that the storage still refuses a second creation."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from metamlflow.backend import Backend, CheapStat, ObjectInfo, UncheckedRead, open_backend
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    StoreFormatError,
    StoreNotFoundError,
)
from metamlflow.format.layout import LONGEST_KEY, MARKER
from metamlflow.format.records import DEFAULT_GRACE, Marker, decode_marker, encode_marker
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.external import ExternalStores
from metamlflow.store.catalog.manifest_cache import ManifestCache
from metamlflow.store.catalog.probe import probe
from metamlflow.store.catalog.records import create_before_commit, with_retries
from metamlflow.store.catalog.relocations import Relocations

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LOOK_AGAIN_SECONDS = 60.0
"""A writer reads the marker again when it has not for so long: one request a minute at most."""

_MD5_CHARACTERS = 32

T = TypeVar("T")


class Store:
    """One store and what this process knows of it. Thread-safe; picklable; rebuilt in a forked child.

    Making one touches no network.

    Args:
        url: with a scheme; a local one with an absolute path.
        options: fsspec options of the backend.
        source_options: options of external stores, by scheme or by the beginning of a URI.
        pointer_policy: which external stores are opened, by the same.
        backend: use this one instead of the one installed for the scheme (for tests of backends).
        clock: where time comes from.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any],
        *,
        source_options: Mapping[str, Mapping[str, Any]] | None = None,
        pointer_policy: Mapping[str, str] | None = None,
        backend: Backend | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self.external = ExternalStores(url, options, source_options or {}, pointer_policy)
        self.clock = clock or Clock()
        self._options = dict(options)
        self._given = backend
        self._for_signed = False
        self._reset()
        self._check_length(self.backend)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("url", "clock", "external", "_options", "_given", "_for_signed")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Older releases did not pickle the one, and pickled the other under another name.
        self.__dict__.update({"_for_signed": False, "external": state.get("lakes"), **state})
        self.external.guarded_for(self.url)
        self._reset()

    def for_signed(self) -> Store:
        """Return the same store for a version that had to be signed: fewer relocations hold there."""
        view = Store.__new__(Store)
        view.__dict__.update(self.__dict__)
        view.__dict__["_for_signed"] = True
        view.relocations = Relocations(lambda: view.backend, view.clock, for_signed=True)
        return view

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._backend: Backend | None = self._given
        self._marker: tuple[Marker, bytes] | None = None
        self._marker_info: ObjectInfo | None = None
        self._marker_seen = 0.0
        self._probed = False
        self.manifests = ManifestCache()
        self.named: set[str] = set()  # names whose record this client has made sure of
        self.relocations = Relocations(lambda: self.backend, self.clock, for_signed=self._for_signed)
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
            self._fetch = fetch = backend.fetch if isinstance(backend, UncheckedRead) else backend.read
        return fetch(key, start, end)

    @property
    def is_open(self) -> bool:
        """Whether the marker is known in this process: then a reader does not ask for it again."""
        return self._marker is not None and self._pid == os.getpid()

    @property
    def is_open_for_writing(self) -> bool:
        """Whether the storage was probed besides, and the marker was looked at lately."""
        return self.is_open and self._probed and not self._is_overdue()

    def has_way_of(self, other: Store) -> bool:
        """Whether the other is reached in the same way, so that it is this store without anybody being asked."""
        return (self.url, self._options) == (other.url, other._options)

    def is_same_as(self, other: Store, *, asking: bool = True) -> bool:
        """Whether both are ways to one store: its id tells, and not its URL, which two servers may have in common.

        Ids that are not known yet are asked for where the ways differ; without ``asking`` the URLs decide there.
        """
        if not (self.is_open and other.is_open):
            if self.has_way_of(other):
                return True
            if not asking:
                return self.url == other.url
        try:
            return self.marker().store_id == other.marker().store_id
        except StoreNotFoundError:
            return False

    def meanwhile(self, look: Callable[[], T], open_store: Callable[[], object]) -> T:
        """Return what ``look`` finds while ``open_store`` asks for the marker: so a first call is a round trip shorter.

        What ``open_store`` raises goes first: without a store it does not matter what else there is not.
        """
        with ThreadPool(1, "metamlflow") as pool:
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
                self._hold(self._read_marker(backend))
            if self._marker is None:
                raise self._no_store(backend)
            return self._marker[0]

    def writable_marker(self, *, grace: timedelta | None = None) -> Marker:
        """Return the store's marker for a writer: creates the store if there is none, and probes the storage once.

        Args:
            grace: of a store that is created by this call (default 7 days).

        Raises:
            StoreFormatError: something that is no store lies here.
            ConflictError: the store exists with another grace than the one asked for.
            UnsupportedStoreError: the storage does not refuse to create a key that exists.
            StoreNotFoundError: this client has used a store that is gone since.
        """
        backend = self.backend
        with self._lock:
            if self._marker is None:
                self._hold(self._read_marker(backend) or self._create(backend, grace or DEFAULT_GRACE))
            assert self._marker is not None  # noqa: S101 (for the type checker)
            marker, _ = self._marker
            if not self._probed:
                self._probe(backend, self._marker)
                self._probed = True
        self.recheck_if_due()
        if grace is not None and marker.grace != grace:
            raise ConflictError(
                f"the store at {self.url} exists with a grace of {marker.grace}, not {grace}",
                hint="The grace is a constant of a store; leave it out to use the store as it is.",
            )
        return marker

    # --- is it still there? -------------------------------------------------------------------------------------------

    def recheck_if_due(self) -> None:
        """Look at the marker again where that costs next to nothing (a disk), or if a minute has passed since.

        Raises:
            StoreNotFoundError: the store is gone.
            ConflictError: another store lies in its place.
        """
        if self.is_open and (isinstance(self.backend, CheapStat) or self._is_overdue()):
            self.recheck()

    def recheck(self) -> None:
        """Read the marker again: is the store that this client opened still there? One request.

        Raises:
            StoreNotFoundError: it is gone.
            ConflictError: another store lies in its place.
        """
        if not self.is_open:
            return
        found = self._read_marker(self.backend)
        with self._lock:
            known = self._marker
            if known is None:
                return
            if found is None:
                raise StoreNotFoundError(
                    f"the store that this client opened is gone: {self.url} was emptied or deleted",
                    hint="Restore it from a copy. To begin a new store there, make a new client.",
                    uri=self.url,
                )
            if found[0].store_id != known[0].store_id:
                raise ConflictError(
                    f"{self.url} is not the store any more that this client opened: its id is {found[0].store_id}, "
                    f"and was {known[0].store_id}",
                    hint="Somebody removed that store and made another one. To use the new one, make a new client.",
                )
            self._marker_seen = self.clock.elapsed()

    def note_listing(self, found: Sequence[ObjectInfo]) -> None:
        """Take in a listing from some key in ``artifacts/`` on, which shows of itself that the store is still there.

        The marker's key comes after all of those, so an empty listing means that the store is gone. Where the listing
        reaches as far as the marker, it tells whether that is the one that was there before.

        Raises:
            StoreNotFoundError: the store is gone.
            ConflictError: another store lies in its place.
        """
        marker = next((info for info in found if info.key == MARKER), None)
        if marker is not None:
            if not self._is_same_marker(marker):
                self.recheck()
            self._marker_info = marker  # not before: the next write must be refused as well
        elif not found:
            self.recheck()

    def _is_same_marker(self, seen: ObjectInfo) -> bool:
        before, known = self._marker_info, self._marker
        if known is None or (before is not None and _identity(before) == _identity(seen)):
            return True
        tag = seen.checksums.get("md5") or (seen.etag or "").strip('"')
        if len(tag) == _MD5_CHARACTERS:
            return hashlib.md5(known[1], usedforsecurity=False).hexdigest() == tag
        return False  # nothing tells; once it was looked into, this one is to be compared with

    def _hold(self, marker: tuple[Marker, bytes] | None) -> None:
        self._marker, self._marker_seen = marker, self.clock.elapsed()

    def _is_overdue(self) -> bool:
        return self.clock.elapsed() - self._marker_seen > _LOOK_AGAIN_SECONDS

    # --- opening ------------------------------------------------------------------------------------------------------

    def _read_marker(self, backend: Backend) -> tuple[Marker, bytes] | None:
        try:
            data = with_retries(lambda: read_record(backend, MARKER), self.clock)
        except ObjectNotFoundError:
            return None
        except AccessDeniedError:
            # Some servers answer so for what is not there, to who may list some prefixes alone.
            if self._lists_marker(backend) is False:
                return None
            raise
        return decode_marker(data), data

    def _lists_marker(self, backend: Backend) -> bool | None:
        try:
            return with_retries(lambda: lists_marker(backend), self.clock)
        except AccessDeniedError:
            return None

    def _no_store(self, backend: Backend) -> StoreNotFoundError:
        """Return the error for a place without a store; a bucket that is not there is told by the listing's own."""
        try:
            self._lists_marker(backend)
        except StoreNotFoundError as error:
            return error
        except StorageError:
            pass  # what it says is of the look; that there is no store is known
        return StoreNotFoundError(
            f"there is no metamlflow store at {self.url}",
            hint="Check the URI. Registering something there, or `metamlflow init`, creates a store.",
            uri=self.url,
        )

    def check_place(self) -> None:
        """Make sure that there is a store, or a place for one, without making it.

        Raises:
            StoreFormatError: something that is no store lies here.
        """
        with self._lock:
            if self._marker is None:
                self._hold(self._read_marker(self.backend) or self._found_after_all(self.backend))

    def _create(self, backend: Backend, grace: timedelta) -> tuple[Marker, bytes]:
        if found := self._found_after_all(backend):
            return found
        marker = Marker(
            record_id=self.clock.new_id(), store_id=self.clock.new_id(), created_at=self.clock.now(), grace=grace
        )
        data = encode_marker(marker)
        if create_before_commit(backend, MARKER, data, marker.record_id, self.clock):
            return decode_marker(data), data
        found = self._read_marker(backend)
        if found is None:
            raise StorageUnavailableError(f"{self.url}: the marker appeared and vanished", key=MARKER)
        return found

    def _found_after_all(self, backend: Backend) -> tuple[Marker, bytes] | None:
        """Return the marker of a store that was made since the first look for it; refuse what is no store."""
        other = with_retries(lambda: next(iter(backend.list_objects("", limit=1)), None), self.clock)
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

    def _probe(self, backend: Backend, marker: tuple[Marker, bytes]) -> None:
        endpoint = self._options.get("endpoint_url", "")
        probe(backend, marker[1], f"{self.url} {marker[0].store_id} {endpoint}", self.clock)

    def _check_length(self, backend: Backend) -> None:
        if backend.max_key_bytes < LONGEST_KEY:
            raise InvalidInputError(
                f"{self.url}: the place is too deep: keys may take {backend.max_key_bytes} bytes below it, "
                f"and the format needs {LONGEST_KEY}",
                hint="Choose a shorter path or prefix for the store.",
            )


def lists_marker(backend: Backend) -> bool:
    """Whether a listing shows the store's marker itself, and not only keys that begin with its name. One request."""
    return [info.key for info in backend.list_objects(MARKER, limit=1)] == [MARKER]


def _identity(info: ObjectInfo) -> tuple[object, ...]:
    return info.size, info.modified, info.etag, info.version


@lru_cache(maxsize=8)
def store_from(state: bytes) -> Store:
    """Return the store that was pickled to ``state``: one for all tasks of a process, with connections of its own."""
    store: Store = pickle.loads(state)  # noqa: S301 (made by this library, for its own tasks)
    return store
