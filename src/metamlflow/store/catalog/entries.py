"""The items of an artifact, read lazily: from the manifest itself, or shard by shard."""

from __future__ import annotations

import bisect
import difflib
import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import overload

from metamlflow._looks import one_line
from metamlflow.errors import (
    ArtifactNotFoundError,
    IntegrityError,
    InvalidInputError,
    ObjectNotFoundError,
    PointerPolicyError,
    StoreFormatError,
)
from metamlflow.format.entries import decode_shard
from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import ShardedSums
from metamlflow.model.likeness import alike, told_apart
from metamlflow.model.manifests import EmptyFolder, FileEntry, Item, Manifest, Shard
from metamlflow.model.paths import OrderCheck
from metamlflow.store.catalog.fetching import absent, fetch_whole
from metamlflow.store.catalog.store import Store

_KEPT_SHARDS = 4
_PLACED = 256  # items that relocations are applied to at a time
_SHOWN = 5
_SEARCHED = 10_000
_log = logging.getLogger(__name__)


class Entries(Sequence[FileEntry]):
    """The files of an artifact in path order: sized, iterable, and accessible by position or path.

    Only a few shards of a large artifact are in memory at any time; a look-up of one path reads one shard.

    Args:
        store: the store that has the artifact.
        manifest: the manifest of the version.
        as_registered: return pointers as the manifest has them, without applying relocations.
        located: return each file with its ``storage_path``.
    """

    def __init__(self, store: Store, manifest: Manifest, *, as_registered: bool = False, located: bool = False) -> None:
        self._as_registered = as_registered
        self._located = located
        self._store = store
        self._manifest = manifest
        self._lock = threading.Lock()
        self._shards: OrderedDict[str, tuple[Item, ...]] = OrderedDict()

    def __getstate__(self) -> tuple[Store, Manifest, bool, bool]:
        return self._store, self._manifest, self._as_registered, self._located

    def __setstate__(self, state: tuple[Store, Manifest, bool] | tuple[Store, Manifest, bool, bool]) -> None:
        # An older release did not pickle whether files have their storage path.
        self.__init__(state[0], state[1], as_registered=state[2], located=state[3:] == (True,))  # type: ignore[misc]

    def __len__(self) -> int:
        return self._manifest.files

    def __iter__(self) -> Iterator[FileEntry]:
        return (item for item in self.items() if not isinstance(item, EmptyFolder))

    @overload
    def __getitem__(self, index: int | str) -> FileEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[FileEntry]: ...
    def __getitem__(self, index: int | str | slice) -> FileEntry | list[FileEntry]:
        """Return the entry at a logical path, at a position, or the entries of a slice.

        A path reads at most one shard; a position iterates from the start. Raises KeyError or IndexError as usual.
        """
        if isinstance(index, str):
            if (found_at := self.find(index)) is None:
                raise KeyError(index)
            return found_at
        if isinstance(index, slice):
            wanted = range(len(self))[index]
            read = itertools.islice(self, max(wanted, default=-1) + 1)  # not the shards beyond
            found = {i: entry for i, entry in enumerate(read) if i in wanted}
            return [found[i] for i in wanted]
        position = range(len(self))[index]
        return next(entry for i, entry in enumerate(self) if i == position)

    def __contains__(self, path: object) -> bool:
        """Whether a file has this logical path; given an entry, whether it is one of these."""
        if isinstance(path, str):
            return self.find(path) is not None
        wanted = getattr(path, "path", None)  # the path of an entry
        return isinstance(wanted, str) and self.find(wanted) == path

    def __repr__(self) -> str:
        shown = ", ".join(f"'{one_line(entry.path, 24)}'" for _, entry in zip(range(3), self, strict=False))
        return f"<{len(self):,} entries: {shown}{', …' if len(self) > 3 else ''}>"  # noqa: PLR2004

    def find(self, path: str) -> FileEntry | None:
        """Return the entry at a logical path, or None. Reads at most one shard."""
        items = self._items_around(path)
        place = bisect.bisect_left(items, path, key=lambda item: item.path)
        item = items[place] if place < len(items) else None
        if item is None or item.path != path:
            return None
        (placed,) = self._placed((item,))  # only this item: the list may have thousands
        return None if isinstance(placed, EmptyFolder) else placed

    def has_folder(self, path: str) -> bool:
        """Whether there is a folder at a logical path, be it empty. Reads at most two shards."""
        item = next(self.since(path), None)
        if item is None or item.path != path:
            item = next(self.since(f"{path}/"), None)
            return item is not None and item.path.startswith(f"{path}/")
        return isinstance(item, EmptyFolder)

    def items(self) -> Iterator[Item]:
        """Yield the files and the empty folders, in path order.

        Raises:
            IntegrityError: a shard is missing or damaged.
            StoreFormatError: a shard is malformed; or, after the last item, they are not what the manifest sums up.
        """
        manifest = self._manifest
        if manifest.shards is None:
            yield from self.inline()
            return
        order, sums = OrderCheck(), ShardedSums(manifest)
        for shard in manifest.shards:
            items = decode_shard(read_shard(self._store, shard), shard, order)
            sums.add(items)
            yield from self._placed(items)
        sums.check(manifest_key(manifest.name, manifest.version))

    def since(self, path: str) -> Iterator[Item]:
        """Yield the items whose path is ``path`` or comes after it, in path order; reads no shard before that.

        Raises the errors of :meth:`items`, but for those of the manifest's sums, which only all items tell.
        """
        shards = self._manifest.shards
        first = 0 if shards is None else max(bisect.bisect_right(shards, path, key=lambda shard: shard.first) - 1, 0)
        for run in (self._manifest.items or (),) if shards is None else map(self._cached, shards[first:]):
            for at in range(bisect.bisect_left(run, path, key=lambda item: item.path), len(run), _PLACED):
                yield from self._placed(run[at : at + _PLACED])

    def of_shard(self, number: int) -> tuple[Item, ...]:
        """Return the items of one shard as they were registered; raises the errors of :meth:`items`."""
        assert self._manifest.shards is not None  # noqa: S101 (for the type checker)
        shard = self._manifest.shards[number]
        return decode_shard(read_shard(self._store, shard), shard)

    def inline(self) -> tuple[Item, ...]:
        """Return the items of a manifest without shards, with relocations applied to pointers."""
        return self._placed(self._manifest.items or ())

    def _items_around(self, path: str) -> tuple[Item, ...]:
        shards = self._manifest.shards
        if shards is None:
            return self._manifest.items or ()
        place = bisect.bisect_right(shards, path, key=lambda shard: shard.first) - 1
        return self._cached(shards[place]) if place >= 0 else ()

    def _cached(self, shard: Shard) -> tuple[Item, ...]:
        with self._lock:
            if shard.key in self._shards:
                self._shards.move_to_end(shard.key)
                return self._shards[shard.key]
        items = decode_shard(read_shard(self._store, shard), shard, None)
        with self._lock:
            self._shards[shard.key] = items
            while len(self._shards) > _KEPT_SHARDS:
                self._shards.popitem(last=False)
        return items

    def _placed(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return items with relocations applied to pointers."""
        items = items if self._as_registered else self._store.relocations.applied(items)
        if not self._located:
            return items
        url_of = self._store.backend.url_of
        return tuple(item.located(url_of, self._allows) for item in items)

    def _allows(self, uri: str) -> bool:
        try:
            self._store.external.policy.check(uri)
        except PointerPolicyError:
            return False
        return True


def lone_entry(entries: Entries, manifest: Manifest, content: str) -> FileEntry:
    """Return the file of a one-file artifact.

    Raises:
        InvalidInputError: it is not one; the message tells the content, as ``folder of 3 files``.
    """
    if manifest.kind == "file":
        return next(iter(entries))
    version = f"{manifest.name}@{manifest.version}"
    some = " or ".join(repr(entry.path) for entry in itertools.islice(entries, 3))
    raise InvalidInputError(
        f"{version} is a {content}; which file is meant?" if some else f"{version} is a folder without files",
        hint=f"Give path=, such as {some}." if some else "Bring it with download() or local_path().",
    )


def wanted_entry(entries: Entries, path: str, name: str, version: int) -> FileEntry:
    """Return the entry at a logical path.

    Raises:
        ArtifactNotFoundError: no entry has this path; the error names similar ones.
    """
    if (entry := entries.find(path)) is not None:
        return entry
    paths = [entry.path for entry in itertools.islice(entries, _SEARCHED)]
    near = [known for known in paths if alike(known, path)] or [
        known for known in paths if known.startswith(f"{path}/")
    ]
    near = near[:_SHOWN] or difflib.get_close_matches(path, paths, n=_SHOWN, cutoff=0.5) or paths[:_SHOWN]
    wanted, shown = told_apart(path, near)
    raise ArtifactNotFoundError(
        f"{name}@{version} has no file {wanted:.200}",
        hint=f"It has, among others: {', '.join(shown)}." if near else "It has no files at all.",
        name=name,
        version=version,
        suggestions=tuple(near),
    )


def wanted_path(entries: Entries, path: str, name: str, version: int) -> str:
    """Return the logical path of a file or folder, without slashes at its ends; empty for all files.

    Raises:
        ArtifactNotFoundError: neither a file nor a folder has this path; the error names similar ones.
    """
    path = path.strip("/")
    if path and not entries.has_folder(path):
        wanted_entry(entries, path, name, version)
    return path


def read_shard(store: Store, shard: Shard) -> bytes:
    """Return a shard's bytes, compared with its size and SHA-256.

    Raises:
        IntegrityError: the shard is missing, or differs from the manifest's description.
    """
    try:
        return bytes(fetch_whole(store, shard))
    except ObjectNotFoundError:
        raise absent(shard) from None


class Predecessor:
    """The items of an earlier version, queried by ascending path: a merge of two sorted lists in constant memory."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._next = self._advance()

    def at(self, path: str) -> Item | None:
        """Return the item at ``path``, or None. The path of each call must be greater than that of the call before."""
        while self._next is not None and self._next.path < path:
            self._next = self._advance()
        found = self._next
        return found if found is not None and found.path == path else None

    def _advance(self) -> Item | None:
        try:
            return next(self._items, None)
        except (IntegrityError, StoreFormatError) as error:
            # A damaged list of the previous files must not prevent a new version; the remaining files are stored again.
            _log.warning("the last version's list of files is damaged, so all files are stored again: %s", error)
            return None
