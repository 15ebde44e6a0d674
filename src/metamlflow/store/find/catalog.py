"""The catalog of a client: brought up to date by each call that looks into it."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from metamlflow.backend import ObjectInfo
from metamlflow.errors import InvalidInputError, MetaMLFlowError, StorageError, StorageFullError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.cache.catalogs import catalog_folder
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.cache.privacy import remove_tree
from metamlflow.store.catalog.records import looked_again
from metamlflow.store.catalog.statuses import VersionStatus, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.find.columns import arrow
from metamlflow.store.find.documents import held_manifests
from metamlflow.store.find.records import HeldRecords
from metamlflow.store.find.refresh import Snapshot, refreshed, take_in
from metamlflow.store.find.segments import Segments, damage
from metamlflow.store.transfer.scheduler import in_parallel
from metamlflow.store.transfer.spooling import TEMP_DIR_VARIABLE, place_of_temps

_log = logging.getLogger(__name__)
Result = TypeVar("Result")
_SECRET = ("key", "secret", "token", "pass", "credential", "user")


class Catalog:
    """What is known of all versions of a store. Thread-safe; pickled as the store and the cache that it belongs to.

    It lies in the private cache folder of the user; if that cannot be written, in a temporary one. Nothing in it is
    believed: a listing shows of each row whether the object that it was made from is still there.
    """

    def __init__(self, store: Store, cache: FileCache) -> None:
        self._store = store
        self._cache = cache
        self._reset()

    def __reduce__(self) -> tuple[type[Catalog], tuple[Store, FileCache]]:
        return type(self), (self._store, self._cache)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._place: Path | None = None
        self._segments: Segments | None = None
        self._records: HeldRecords | None = None

    def look(self, use: Callable[[Snapshot], Result]) -> Result:
        """Return what ``use`` makes of what the catalog says after a look at the store. Other threads wait meanwhile.

        Where the catalog proves to be damaged, it is made anew and ``use`` is called again.

        Raises:
            MissingDependencyError: pyarrow is not installed.
            StoreNotFoundError: the store does not exist.
            StorageError: this machine can hold no catalog, not even in a temporary folder; a StorageFullError if its
                disk is full.
        """
        try:
            return self._undamaged(lambda: use(self._refreshed()))
        except (OSError, arrow().ArrowException) as error:
            if isinstance(error, MetaMLFlowError):
                raise
            raise _unheld(error) from error

    def _undamaged(self, act: Callable[[], Result]) -> Result:
        """Do something with what is held: it may be damaged anywhere, and its disk may be full.

        Raises:
            OSError: or another of :func:`damage`, where a new catalog in a temporary folder does not help either.
        """
        arrow()
        self._store.marker()
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            for again in (self._forget, self._move):
                try:
                    return act()
                except damage() as error:
                    if isinstance(error, MetaMLFlowError):
                        raise
                    _log.debug("the catalog is made anew: %s", error)
                    again()
            return act()

    def _opened(self) -> tuple[Segments, HeldRecords]:
        if self._segments is None or self._records is None:
            folder = self._place = self._place or self._folder()
            self._segments, self._records = Segments.open(folder), HeldRecords(folder / "records")
        return self._segments, self._records

    def _refreshed(self) -> Snapshot:
        segments, records = self._opened()
        snapshot = refreshed(self._store, segments, records)
        if not len(segments):
            self._store.recheck()
        return snapshot

    def _forget(self) -> None:
        """Delete all that is held: it is damaged."""
        with suppress(OSError):
            for path in self._place.iterdir() if self._place is not None else ():
                if path.is_dir() and not path.is_symlink():
                    remove_tree(path)
                else:
                    path.unlink(missing_ok=True)
        self._segments = self._records = None

    def _move(self) -> None:
        """Hold it in a temporary folder from now on: it cannot be written where it belongs."""
        self._forget()
        self._place = self._temporary()

    def _folder(self) -> Path:
        try:
            return catalog_folder(self._cache, _place_of(self._store))
        except (MetaMLFlowError, OSError) as error:
            if isinstance(error, InvalidInputError):
                raise
            _log.debug("the catalog is not kept: %s", error)
        return self._temporary()

    def _temporary(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="metamlflow-catalog-", dir=place_of_temps()))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def of_objects(self, infos: Sequence[ObjectInfo]) -> list[StoredManifest | None]:
        """Return the manifests of listed objects; those that are not held are read, and held from then on.

        None for one that is damaged, too large to be held, or gone.
        """
        return self._undamaged(lambda: self._of_objects(infos))

    def _of_objects(self, infos: Sequence[ObjectInfo]) -> list[StoredManifest | None]:
        segments, _ = self._opened()
        take_in(self._store, segments, infos)
        known = [segments.is_known(info) for info in infos]
        ascending = sorted(row for row in known if row is not None)
        found = dict(zip(ascending, self._held(segments, ascending), strict=True))
        return [None if row is None else found[row] for row in known]

    def manifests(self, snapshot: Snapshot, rows: Sequence[int]) -> list[StoredManifest]:
        """Return the manifests of rows, which ascend: those that are not held are read again."""
        if not rows:
            return []
        held = self._held(snapshot.segments, rows)
        lacking = [row for row, found in zip(rows, held, strict=True) if found is None]
        read = in_parallel(self._read, _versions(snapshot.segments, lacking))
        return [found if found is not None else next(read) for found in held]

    def _held(self, segments: Segments, rows: Sequence[int]) -> list[StoredManifest | None]:
        return list(held_manifests(_versions(segments, rows), segments.documents(rows)))

    def _read(self, version: tuple[str, int]) -> StoredManifest:
        name, number = version
        return looked_again(lambda: load_manifest(self._store, ArtifactName(name), number), self._store.clock)


def _unheld(error: BaseException) -> StorageError:
    """Return the error of a catalog that cannot be held anywhere."""
    is_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return (StorageFullError if is_full else StorageError)(
        f"this machine can hold no catalog of the store, neither in the cache folder nor in a temporary one: {error}",
        hint=f"Make room, or set {TEMP_DIR_VARIABLE} to a folder that has room and can be written to.",
    )


def _versions(segments: Segments, rows: Sequence[int]) -> list[tuple[str, int]]:
    """Return name and number of rows."""
    if not rows:
        return []
    picked = segments.table(["name", "version"]).take(list(rows))
    return list(zip(picked["name"].to_pylist(), picked["version"].to_pylist(), strict=True))


_WORTH_KEEPING = 256  # manifests: to read fewer takes less time than to load what the catalog is made of


def held_versions(
    catalog: Catalog, wanted: Sequence[tuple[ArtifactName, VersionStatus]]
) -> list[StoredManifest | None]:
    """Return manifests of listed versions: those of many are held in the catalog, and what it lacks is read into it.

    None: it is not held, and whoever wants it reads it; so it is with all of them if this machine can hold nothing.
    """
    infos = [status.info for _, status in wanted]
    if len(wanted) < _WORTH_KEEPING or None in infos or importlib.util.find_spec("pyarrow") is None:
        return [None] * len(wanted)
    try:
        return catalog.of_objects([info for info in infos if info is not None])
    except damage() as error:
        if isinstance(error, MetaMLFlowError):
            raise
        _log.debug("nothing is held: %s", error)
        return [None] * len(wanted)


def _place_of(store: Store) -> str:
    """Return a text that stands for one store at one place: another server may show the same id, and other records."""
    options = {name: _public(value) for name, value in store.options.items() if not _is_secret(name)}
    facts = [store.marker().store_id, store.url, options, sorted(_endpoints())]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()[:32]


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _public(inner) for name, inner in value.items() if not _is_secret(str(name))}
    return value if isinstance(value, str | int | float | bool | None) else type(value).__qualname__


def _is_secret(name: str) -> bool:
    return any(part in name.lower() for part in _SECRET)


def _endpoints() -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL"))
