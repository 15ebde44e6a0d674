"""Open a store: read or create the marker, and probe that the storage still refuses a second creation."""

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
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    StoreFormatError,
    StoreNotFoundError,
)
from metamlflow.format.features import StoreFeatures
from metamlflow.format.layout import MARKER
from metamlflow.format.records import DEFAULT_GRACE, Marker, decode_marker, encode_marker
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.external import ExternalStores
from metamlflow.store.catalog.features import HeldFeatures, check_readable, check_writable
from metamlflow.store.catalog.manifest_cache import ManifestCache
from metamlflow.store.catalog.probe import check_length, probe
from metamlflow.store.catalog.records import create_before_commit, with_retries
from metamlflow.store.catalog.relocations import Relocations

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LOOK_AGAIN_SECONDS = 60.0
"""A writer reads the marker and lists the features again after this many seconds: at most once a minute."""
LOOK_AGAIN_SHARE = 1 / 16
"""Of the grace: after this everybody lists the features again. SPEC.md explains why."""

_MD5_CHARACTERS = 32

T = TypeVar("T")


class Store:
    """One store and the state that this process has of it. Thread-safe; picklable; rebuilt in a forked child.

    The constructor makes no request.

    Args:
        url: the URL with its scheme; a local path must be absolute.
        options: fsspec options of the backend.
        source_options: options of external stores, by scheme or by the beginning of a URI.
        pointer_policy: which external stores may be opened, by the same keys.
        backend: use this one instead of the one installed for the scheme (for tests of backends).
        clock: the source of time.
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
        check_length(self.url, self.backend)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("url", "clock", "external", "_options", "_given", "_for_signed")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Older releases did not pickle `_for_signed`, and pickled `external` as `lakes`.
        self.__dict__.update({"_for_signed": False, "external": state.get("lakes"), **state})
        self.external.guarded_for(self.url)
        self._reset()

    def for_signed(self) -> Store:
        """Return the same store for a version that must be signed: fewer relocations apply there."""
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
        self._features = HeldFeatures(self.clock)
        self._probed = False
        self.manifests = ManifestCache()
        self.named: set[str] = set()  # names whose record is known to exist
        self.relocations = Relocations(lambda: self.backend, self.clock, for_signed=self._for_signed)
        self._fetch: Callable[[str, int, int | None], Buffer] | None = None

    @property
    def backend(self) -> Backend:
        """The backend of this process: connections do not survive a fork, so a child process opens its own."""
        if self._pid != os.getpid():
            self._reset()
        if (backend := self._backend) is not None:
            return backend
        with self._lock:
            if self._backend is None:
                self._backend = open_backend(self.url, self._options)
            return self._backend

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the backend, which may hold credentials."""
        return self._options

    def fetch(self, key: str, start: int = 0, end: int | None = None) -> Buffer:
        """Return a range of content. The caller compares the digest, because the range may be damaged in transit."""
        backend, fetch = self.backend, self._fetch
        if fetch is None:  # two threads that race create the same function
            self._fetch = fetch = backend.fetch if isinstance(backend, UncheckedRead) else backend.read
        return fetch(key, start, end)

    @property
    def is_open(self) -> bool:
        """Whether this process knows the marker; if so, a reader does not request it again."""
        return self._marker is not None and self._pid == os.getpid()

    @property
    def is_open_for_reading(self) -> bool:
        """Whether the store's features were also listed recently, and a reader may go on without a request."""
        return self.is_open and self._features.let_read(self._features_hold())

    @property
    def is_open_for_writing(self) -> bool:
        """Whether the storage was also probed, and the marker was read recently."""
        return self.is_open and self._probed and not self._is_overdue()

    def has_way_of(self, other: Store) -> bool:
        """Whether the other store has the same URL and options, so that it is the same store without any request."""
        return (self.url, self._options) == (other.url, other._options)

    def is_same_as(self, other: Store, *, asking: bool = True) -> bool:
        """Whether both are the same store. The id decides, not the URL, because two servers may share a URL.

        Unknown ids are requested if the URLs or options differ; without ``asking``, the URLs decide instead.
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
        """Return the result of ``look``, which runs while ``open_store`` requests the marker: this saves a round trip.

        An error of ``open_store`` takes precedence: without a store, the result of ``look`` does not matter.
        """
        with ThreadPool(1, "metamlflow") as pool:
            looking = pool.submit(look)
            open_store()
        return looking.result()

    def marker(self) -> Marker:
        """Return the store's marker, for a reader. Two requests at the same time, once; later one, but rarely.

        Raises:
            StoreNotFoundError: no store exists here.
            StoreFormatError: this version of the library cannot read the marker, or does not know all features that a
                reader must know.
        """
        backend = self.backend
        with self._lock:
            if self._marker is None:
                self._hold(self._look(backend))
            elif self._features.are_old(self._features_hold()):
                self._features.look(backend)
            if self._marker is None:
                raise self._no_store(backend)
            check_readable(self._features.found)
            return self._marker[0]

    def check_features(self) -> None:
        """Refuse to read on where a feature was turned on that is not known; list them if the last look is old.

        In a client's first call, whoever opens the store does that.

        Raises:
            StoreFormatError: this version of the library does not know all features that a reader must know.
        """
        if self.is_open:
            self.marker()

    def marker_looked_at_again(self) -> Marker:
        """Return the store's marker, for whoever replaces or deletes objects of the store or migrates it.

        What this client knows from earlier calls does not count: marker and features are requested again.

        Raises:
            StoreNotFoundError: no store exists here.
            StoreFormatError: this version of the library does not know all features of the store.
        """
        was_open = self.is_open
        marker = self.marker()
        if was_open:
            self.recheck()
        check_writable(self._features.found)
        return marker

    @property
    def features(self) -> StoreFeatures:
        """The features that are turned on, as far as this client knows. No request."""
        return self._features.found

    def writable_marker(self, *, grace: timedelta | None = None) -> Marker:
        """Return the store's marker for a writer: create the store if it does not exist, and probe the storage once.

        Args:
            grace: the grace of a store that this call creates (default 7 days).

        Raises:
            StoreFormatError: the location holds something other than a store, or a store with a feature that this
                version of the library does not know.
            ConflictError: the store exists with a grace other than the requested one.
            UnsupportedStoreError: the storage does not refuse to create a key that exists.
            StoreNotFoundError: the store that this client used before is gone.
        """
        backend = self.backend
        with self._lock:
            if self._marker is None:
                self._hold(self._look(backend) or self._create(backend, grace or DEFAULT_GRACE))
            assert self._marker is not None  # noqa: S101 (for the type checker)
            marker, _ = self._marker
            check_writable(self._features.found)  # before the probe, which is a write too
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

    def open_for_change(self, *, writing: bool = True) -> None:
        """Open an existing store for writing; if it was open before, make sure that it is still the same one.

        Another store in its place may have the same names. Without ``writing`` only look: for a dry run.

        Raises:
            StoreNotFoundError, ConflictError: there is no store, or it was replaced since this client opened it.
        """
        was_open = self.is_open
        self.marker()  # a reader's: this creates no store
        if writing:
            self.writable_marker()
        if was_open:
            self.recheck(writing=writing)

    # --- whether it still exists --------------------------------------------------------------------------------------

    def recheck_if_due(self) -> None:
        """Look at marker and features again, for a writer, if that is cheap (a disk) or a minute has passed.

        Raises:
            StoreNotFoundError: the store is gone.
            ConflictError: the store was replaced by another one.
            StoreFormatError: this version of the library does not know all features of the store.
        """
        if not self.is_open:
            self.marker()  # an artifact from a pickle may write before it has read anything
        elif isinstance(self.backend, CheapStat) or self._is_overdue():
            self.recheck()
        check_writable(self._features.found)

    def recheck(self, *, writing: bool = False) -> None:
        """Read the marker again to confirm that the store that this client opened still exists; list its features.

        Two requests at the same time.

        Args:
            writing: whether the caller is about to write.

        Raises:
            StoreNotFoundError: the store is gone.
            ConflictError: the store was replaced by another one.
            StoreFormatError: this version of the library does not know all features of the store.
        """
        if not self.is_open:
            return
        found = self._look(self.backend)
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
                    f"{self.url} is no longer the store that this client opened: its id is {found[0].store_id}, "
                    f"but was {known[0].store_id}",
                    hint="Somebody replaced the store by another one. To use the new one, make a new client.",
                )
            self._marker_seen = self.clock.elapsed()
        (check_writable if writing else check_readable)(self._features.found)

    def note_listing(self, found: Sequence[ObjectInfo]) -> None:
        """Use a writer's listing from some key in ``artifacts/`` on to detect whether the store still exists.

        The marker's key comes after all of those keys, so an empty listing means that the store is gone. A listing that
        reaches the marker also shows whether it is the same marker as before.

        Raises:
            StoreNotFoundError: the store is gone.
            ConflictError: the store was replaced by another one.
        """
        marker = next((info for info in found if info.key == MARKER), None)
        if marker is not None:
            if not self._is_same_marker(marker):
                self.recheck(writing=True)
            self._marker_info = marker  # only now: if recheck raises, the next write must be refused as well
        elif not found:
            self.recheck(writing=True)

    def _is_same_marker(self, seen: ObjectInfo) -> bool:
        before, known = self._marker_info, self._marker
        if known is None or (before is not None and _identity(before) == _identity(seen)):
            return True
        tag = seen.checksums.get("md5") or (seen.etag or "").strip('"')
        if len(tag) == _MD5_CHARACTERS:
            return hashlib.md5(known[1], usedforsecurity=False).hexdigest() == tag
        return False  # unknown; after the recheck, later listings are compared with this one

    def _hold(self, marker: tuple[Marker, bytes] | None) -> None:
        self._marker, self._marker_seen = marker, self.clock.elapsed()

    def _is_overdue(self) -> bool:
        return self.clock.elapsed() - self._marker_seen > min(_LOOK_AGAIN_SECONDS, self._features_hold())

    def _features_hold(self) -> float:
        known = self._marker
        return (known[0].grace if known else DEFAULT_GRACE).total_seconds() * LOOK_AGAIN_SHARE

    # --- opening ------------------------------------------------------------------------------------------------------

    def _look(self, backend: Backend) -> tuple[Marker, bytes] | None:
        return self._features.look_beside(backend, lambda: self._read_marker(backend))

    def _read_marker(self, backend: Backend) -> tuple[Marker, bytes] | None:
        try:
            data = with_retries(lambda: read_record(backend, MARKER), self.clock)
        except ObjectNotFoundError:
            return None
        except AccessDeniedError:
            # Some servers answer 403 for a missing key if the credentials may list only some prefixes.
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
        """Return the error for a location without a store; if the bucket is missing, return the listing's own error."""
        try:
            self._lists_marker(backend)
        except StoreNotFoundError as error:
            return error
        except StorageError:
            pass  # this error concerns only the listing; it is already known that no store exists
        return StoreNotFoundError(
            f"there is no metamlflow store at {self.url}",
            hint="Check the URI. Registering something there, or `metamlflow init`, creates a store.",
            uri=self.url,
        )

    def check_place(self) -> None:
        """Verify that the location has a store or could hold one, without creating it.

        Raises:
            StoreFormatError: the location holds something other than a store.
        """
        with self._lock:
            if self._marker is None:
                self._hold(self._look(self.backend) or self._found_after_all(self.backend))

    def _create(self, backend: Backend, grace: timedelta) -> tuple[Marker, bytes]:
        if found := self._found_after_all(backend):
            return found
        marker = Marker(
            record_id=self.clock.new_id(), store_id=self.clock.new_id(), created_at=self.clock.now(), grace=grace
        )
        data = encode_marker(marker)
        if create_before_commit(backend, MARKER, data, marker.record_id, self.clock):
            self._features.hold(StoreFeatures(), self.clock.elapsed())  # nothing was in the root
            return decode_marker(data), data
        found = self._look(backend)
        if found is None:
            raise StorageUnavailableError(f"{self.url}: the marker appeared and vanished", key=MARKER)
        return found

    def _found_after_all(self, backend: Backend) -> tuple[Marker, bytes] | None:
        """Return the marker of a store created since the first look; raise an error if other objects are there."""
        other = with_retries(lambda: next(iter(backend.list_objects("", limit=1)), None), self.clock)
        if other is not None:
            # Another client may have created the store between our look at the marker and the listing.
            if found := self._look(backend):
                return found
            raise StoreFormatError(
                f"{self.url} holds something that is not a metamlflow store: {other.key}",
                hint="Choose an empty or new place for the store; nothing was written here. "
                "If this was a store, restore its metamlflow.json from a copy.",
                key=other.key,
                problems=("no marker metamlflow.json beside other objects",),
            )
        return None

    def _probe(self, backend: Backend, marker: tuple[Marker, bytes]) -> None:
        endpoint = self._options.get("endpoint_url", "")
        probe(backend, marker[1], f"{self.url} {marker[0].store_id} {endpoint}", self.clock)


def lists_marker(backend: Backend) -> bool:
    """Whether a listing shows the store's marker itself, and not only keys that begin with its name. One request."""
    return [info.key for info in backend.list_objects(MARKER, limit=1)] == [MARKER]


def _identity(info: ObjectInfo) -> tuple[object, ...]:
    return info.size, info.modified, info.etag, info.version


@lru_cache(maxsize=8)
def store_from(state: bytes) -> Store:
    """Return the store pickled in ``state``: one for all tasks of a process, with its own connections."""
    store: Store = pickle.loads(state)  # noqa: S301 (made by this library, for its own tasks)
    return store
