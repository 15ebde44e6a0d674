"""What addresses lead to in one store: names, versions, folders and files, described as fsspec describes them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from metamlflow._session import Session
from metamlflow.errors import (
    AccessDeniedError,
    AddressNotFoundError,
    ArtifactNotFoundError,
    ConflictError,
    FolderAddressError,
    InvalidNameError,
    StorageError,
    StorageUnavailableError,
    StoreNotFoundError,
)
from metamlflow.model.manifests import EmptyFolder, FileEntry, Item, Manifest
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.addresses import Addresses, Located
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.folders import below, children
from metamlflow.store.catalog.store import Store, store_from
from metamlflow.store.lineage.current_run import current_run, note_use
from metamlflow.store.read.content import Content, content_of

_KEPT = 16  # lists of files, a few pages of each

Info = dict[str, Any]


class AddressedStore:
    """The store that a file system reads, and what it has resolved. Thread-safe; a pickle keeps what was resolved.

    Args:
        session: of the store.
        pins: the versions that references stand for.
        is_shared: whether other file systems of this process use the same ``Store``.
    """

    def __init__(self, session: Session, pins: dict[str, int] | None = None, *, is_shared: bool = False) -> None:
        self.session = session
        self._addresses = Addresses(session.store, pins)
        self._entries: dict[str, Entries] = {}
        self._run = current_run(session.store)
        self._is_shared = is_shared

    @classmethod
    def opened(cls, store: Store) -> AddressedStore:
        """Return one over the ``Store`` with these options that this process has open already, if there is one."""
        try:
            shared = store_from(pickle.dumps(store))
        except (pickle.PicklingError, TypeError, AttributeError):  # an option is an object of this process
            return cls(Session(store, FileCache()))
        return cls(Session(shared, FileCache()), is_shared=True)

    def __getstate__(self) -> tuple[Session, dict[str, int]]:
        return self.session, dict(self._addresses.pins)

    def __setstate__(self, state: tuple[Session, dict[str, int]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def forgetting(self) -> AddressedStore:
        """Return the same store with nothing resolved."""
        return AddressedStore(self.session, is_shared=self._is_shared)

    # --- describing ---------------------------------------------------------------------------------------------------

    def info(self, path: str) -> Info:
        """Describe what an address leads to.

        Raises:
            AddressNotFoundError: nothing exists there.
        """
        if (found := self._located(path)) is None:
            return _folder_info(path)
        if (entry := self._entry(found)) is not None:
            return _file_info(path, entry, found)
        if found.path and not self._entries_of(found).has_folder(found.path):
            raise _nothing_at(found.loaded.manifest, found.path)
        return _folder_info(path, found)

    def listed(self, path: str) -> dict[str, Info]:
        """Describe what lies directly in a folder, by address; of a file, the file.

        Raises:
            AddressNotFoundError: nothing exists there.
        """
        infos: dict[str, Info] = {}
        found = self._located(path)
        if found is not None:
            if (entry := self._entry(found)) is not None:
                infos[path] = _file_info(path, entry, found)
            else:
                infos = _infos(path, found, children(self._entries_of(found), found.path))
                if not infos and found.path:
                    self.info(path)  # raises unless it is an empty folder
        if found is None or self._may_hold_names(found):
            start = len(path) + 1 if path else 0
            for name in self._addresses.names(path):
                child = name[:start] + name[start:].partition("/")[0]
                infos.setdefault(child, _folder_info(child))
        return infos

    def listed_below(self, path: str, depth: int | None, *, folders: bool) -> dict[str, Info] | None:
        """Describe all that lies below an address, by address, in one pass; None if there may be names below it."""
        try:
            found = self._located(path)
        except AddressNotFoundError:
            return {}
        if found is None or self._may_hold_names(found):
            return None
        if (entry := self._entry(found)) is not None:
            return {path: _file_info(path, entry, found)}
        entries = self._entries_of(found)
        infos = _infos(path, found, below(entries, found.path, depth, folders=folders))
        if folders and (infos or not found.path or entries.has_folder(found.path)):
            infos[path] = _folder_info(path, found)
        return infos

    def names(self) -> Iterator[str]:
        """Yield all names that are not hidden."""
        return self._addresses.names()

    def versions(self, name: str) -> list[int]:
        """Return the numbers of a name's live versions, ascending; empty if there is no such name."""
        return self._addresses.versions(name)

    def identity(self, path: str) -> str:
        """Return 64 hex digits that stand for the content at an address: of equal files at equal paths the same."""
        found = self._located(path)
        entry = None if found is None else self._entry(found)
        if entry is not None:
            text = entry.digest_line()
        else:
            text = repr(self.info(path)) if found is None else f"{found.loaded.manifest.digest} {found.path}"
        return hashlib.sha256(text.encode()).hexdigest()

    # --- content ------------------------------------------------------------------------------------------------------

    def content(self, path: str) -> Content[Any]:
        """Return the content of a file that is about to be read, and record the use.

        Raises:
            AddressNotFoundError: nothing exists there.
            FolderAddressError: it is a folder.
        """
        found = self._located(path)
        entry = None if found is None else self._entry(found)
        if found is None or entry is None:
            self.info(path)  # raises where there is nothing
            raise FolderAddressError(f"{path or '/'!r} is a folder, and a file is needed", hint="ls() lists its files.")
        note_use(self.session.store, self._run, found.loaded)
        return content_of(self.session.store, found.loaded.manifest, entry)

    # --- what an address leads to -------------------------------------------------------------------------------------

    def _located(self, path: str) -> Located | None:
        try:
            found = self._located_in_place(path) if self._is_shared else self._addresses.locate(path)
        except (ArtifactNotFoundError, InvalidNameError) as error:
            facts = {name: getattr(error, name) for name in ("name", "version", "suggestions") if hasattr(error, name)}
            raise AddressNotFoundError(error.message, hint=error.hint, **facts) from error
        self._is_shared = False  # from now on, all is read from one store
        return found

    def _located_in_place(self, path: str) -> Located | None:
        """Locate the first address: another store may have taken the place of the one that this process knew there."""
        try:
            return self._addresses.locate(path)
        except (ConflictError, StorageError, StoreNotFoundError) as error:
            if isinstance(error, AccessDeniedError | StorageUnavailableError):
                raise
        store_from.cache_clear()
        store: Store = pickle.loads(pickle.dumps(self.session.store))  # noqa: S301 (our own, just made)
        self.session = Session(store, self.session.cache)
        self._addresses, self._run = Addresses(store), current_run(store)
        return self._addresses.locate(path)

    def _may_hold_names(self, found: Located) -> bool:
        return not found.path and self._addresses.may_have_names(found.head)

    def _entries_of(self, found: Located) -> Entries:
        entries = self._entries.get(found.loaded.digest)
        if entries is None:
            entries = Entries(self.session.store, found.loaded.manifest)
            if len(self._entries) >= _KEPT:
                self._entries = {}
            self._entries[found.loaded.digest] = entries
        return entries

    def _entry(self, found: Located) -> FileEntry | None:
        """Return the file that an address leads to, or None if it leads to a folder, or to nothing."""
        entries = self._entries_of(found)
        if found.path:
            return entries.find(found.path)
        return next(iter(entries)) if found.loaded.manifest.kind == "file" else None


def _nothing_at(manifest: Manifest, path: str) -> AddressNotFoundError:
    return AddressNotFoundError(
        f"{manifest.name}@{manifest.version} has nothing at {path!r:.200}",
        hint="ls() and find() list what it has. Paths are case-sensitive.",
        name=manifest.name,
        version=manifest.version,
    )


def _infos(path: str, found: Located, items: Iterable[tuple[str, Item | None]]) -> dict[str, Info]:
    """Describe files and folders of a version by address; a folder of files has no item."""
    head = path[: len(path) - len(found.path)].rstrip("/")
    infos = {}
    for inner, item in items:
        name = f"{head}/{inner}"
        if item is None or isinstance(item, EmptyFolder):
            infos[name] = _folder_info(name, found)
        else:
            infos[name] = _file_info(name, item, found)
    return infos


def _version_info(found: Located) -> Mapping[str, Any]:
    manifest = found.loaded.manifest
    times = {"created": manifest.created_at, "mtime": manifest.created_at.timestamp()}
    return {"artifact": str(manifest.name), "version": manifest.version, **times}


def _file_info(name: str, entry: FileEntry, found: Located) -> Info:
    digest = entry.sha256 and f"sha256:{entry.sha256}"
    return {"name": name, "size": entry.size, "type": "file", "digest": digest, **_version_info(found)}


def _folder_info(name: str, found: Located | None = None) -> Info:
    info: Info = {"name": name, "size": 0, "type": "directory"}
    if found is None:
        return info
    digest = {"digest": found.loaded.manifest.digest} if name == found.head else {}
    return {**info, **digest, **_version_info(found)}
