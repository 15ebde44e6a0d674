"""The differences between the files of two versions: a merge of two lists in path order, in constant memory.

Lists of files are in the manifests, or in shards. A shard that both versions have is not read: its items are the same.
What is found is sorted on disk once it is more than fits, so that a million files take no more memory than a few.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from metamlflow._looks import one_line
from metamlflow.format.documents import Problems, dump_text
from metamlflow.format.entries import decode_shard, item_from_json, item_to_json
from metamlflow.model.manifests import EmptyFolder, Item, Manifest, Shard
from metamlflow.model.paths import OrderCheck
from metamlflow.store.catalog.entries import read_shard
from metamlflow.store.catalog.store import Store
from metamlflow.store.diff.renames import Renames
from metamlflow.store.retain.sorted_runs import SortedRuns

WHATS = ("added", "removed", "modified", "renamed")
_HELD_BYTES = 16 * 1024 * 1024  # of each kind of difference, before it goes to disk
_END = b"\0"  # of a field in a record; no path holds one, and JSON spells it otherwise

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that differs between two versions, or stands in another place.

    Attributes:
        before: the file in the first version.
        after: the file in the second.
        what: ``content``; ``executable`` if only that bit was changed; ``place`` if the content is the same and stored
            in one version, or pointed to elsewhere; ``path`` if it was renamed.
    """

    before: Item
    after: Item
    what: Literal["content", "executable", "place", "path"]

    @property
    def path(self) -> str:
        """The logical path in the second version."""
        return self.after.path

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return {"what": self.what, "before": file_to_json(self.before), "after": file_to_json(self.after)}


def file_to_json(item: Item) -> dict[str, Any]:
    """Return a file as JSON values; an empty folder has no size."""
    if isinstance(item, EmptyFolder):
        return {"path": item.path, "size": None, "sha256": None, "uri": None}
    return {"path": item.path, "size": item.size, "sha256": item.sha256, "uri": item.uri}


class FileList(Generic[T]):
    """Files in path order: sized, iterable any number of times, and read lazily. A path is ``in`` them, too."""

    def __init__(self, length: int, read: Callable[[], Iterator[T]]) -> None:
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return self._read()

    def __getitem__(self, index: int) -> T:
        """Return the one at a position; iterates from the start."""
        return next(islice(self._read(), range(self._length)[index], None))

    def __contains__(self, path: object) -> bool:
        return any(known == path for known in self.paths)

    @property
    def paths(self) -> Iterator[str]:
        """The logical paths, one after the other; of a renamed file the new one."""
        return (item.path for item in self)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        shown = ", ".join(f"'{one_line(path, 24)}'" for path in islice(self.paths, 3))
        return f"<{len(self):,}{': ' if shown else ''}{shown}{', …' if len(self) > 3 else ''}>"  # noqa: PLR2004


class FilesDiff:
    """The files that differ between two versions, in path order. True in a condition if there are any.

    They are compared at the first use. Empty folders count as files. A file is renamed if one with its content is gone:
    of several, those with the same last segment of the path are paired first, and then in path order. Empty files are
    not paired.

    Raises:
        IntegrityError: at the first use: a list of files is damaged or missing.
        StoreFormatError: likewise: it is malformed.
    """

    def __init__(self, before: tuple[Store, Manifest], after: tuple[Store, Manifest]) -> None:
        self._sides = before, after
        self._lock = threading.Lock()
        self._found: _Found | None = None

    def __getstate__(self) -> Any:
        return self._sides

    def __setstate__(self, state: Any) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @property
    def added(self) -> FileList[Item]:
        """The files that only the second version has."""
        return self._list("added", _item)

    @property
    def removed(self) -> FileList[Item]:
        """The files that only the first version has."""
        return self._list("removed", _item)

    @property
    def modified(self) -> FileList[ChangedFile]:
        """The files that both have at one path, and that differ."""
        return self._list("modified", _changed)

    @property
    def renamed(self) -> FileList[ChangedFile]:
        """The files whose content both have, at another path, in the order of the new paths."""
        return self._list("renamed", _changed)

    @property
    def counts(self) -> dict[str, int]:
        """The number of each of the four."""
        return {what: self._compared().counts[what] for what in WHATS}

    def __bool__(self) -> bool:
        return any(self._compared().counts.values())

    def __repr__(self) -> str:
        return f"<{', '.join(f'{count:,} {what}' for what, count in self.counts.items())}>"

    def to_json(self, most: int | None = 1_000) -> dict[str, Any]:
        """Return the differences as JSON values: the numbers, and the first ``most`` of each kind (None: all)."""
        return {
            "counts": self.counts,
            "added": [file_to_json(item) for item in islice(self.added, most)],
            "removed": [file_to_json(item) for item in islice(self.removed, most)],
            "modified": [change.to_json() for change in islice(self.modified, most)],
            "renamed": [change.to_json() for change in islice(self.renamed, most)],
        }

    def _list(self, what: str, read: Callable[[bytes], T]) -> FileList[T]:
        found = self._compared()

        def each() -> Iterator[T]:
            for record in found.runs[what]:  # as long as this goes on, it holds what was found
                yield read(record)

        return FileList(found.counts[what], each)

    def _compared(self) -> _Found:
        with self._lock:
            if self._found is None:
                found = _Found()
                _compare(*self._sides, found)
                self._found = found
            return self._found


class _Found:
    """The differences, each kind sorted by path, in memory or in files that go with this object."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        files = ExitStack()
        self.runs = {what: files.enter_context(SortedRuns(_HELD_BYTES)) for what in WHATS}
        weakref.finalize(self, files.close)

    def add(self, what: str, path: str, *rest: str) -> None:
        self.counts[what] += 1
        self.runs[what].add(_END.join(part.encode() for part in (path, *rest)))


def _compare(before: tuple[Store, Manifest], after: tuple[Store, Manifest], found: _Found) -> None:
    old, new = before[1], after[1]
    if old.items is not None and old.items == new.items:
        return
    shared = set(map(_identity, old.shards or ())) & set(map(_identity, new.shards or ()))
    with Renames(_HELD_BYTES) as renames:
        for left, right in _merged(_items(*before, shared), _items(*after, shared)):
            if left is None or right is None:
                item = left or right
                assert item is not None  # noqa: S101 (for the type checker)
                what = "added" if left is None else "removed"
                if content := _content(item):
                    renames.add(what, content, item.path, _text(item))
                else:
                    found.add(what, item.path, _text(item))
            elif kind := _difference(left, right):
                found.add("modified", right.path, kind, _text(left), _text(right))
        for what, path, *rest in renames.found():
            found.add(what, path, *rest)


def _identity(shard: Shard) -> tuple[str, int, int, str]:
    return shard.sha256, shard.size, shard.count, shard.first


def _items(store: Store, manifest: Manifest, without: set[tuple[str, int, int, str]]) -> Iterator[Item]:
    """Yield the items of a version as registered, but for those of some shards."""
    if manifest.shards is None:
        yield from manifest.items or ()
        return
    order = OrderCheck()
    for shard in manifest.shards:
        if _identity(shard) not in without:
            yield from decode_shard(read_shard(store, shard), shard, order)


def _merged(before: Iterator[Item], after: Iterator[Item]) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield the items of two lists in path order, those of one path together."""
    left, right = next(before, None), next(after, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.path < right.path):
            yield left, None
            left = next(before, None)
        elif left is None or right.path < left.path:
            yield None, right
            right = next(after, None)
        else:
            yield left, right
            left, right = next(before, None), next(after, None)


def _difference(before: Item, after: Item) -> str | None:
    if before == after:
        return None
    if before.digest_line() != after.digest_line():
        return "content"
    if isinstance(before, EmptyFolder) or isinstance(after, EmptyFolder):
        return None  # what differs is unknown to this version of the library
    if before.executable != after.executable and before.uri is None and after.uri is None:
        return "executable"
    places = [(item.uri, item.version if item.uri is not None else None) for item in (before, after)]
    return "place" if places[0] != places[1] else None  # else other evidence, or another key, of the same content


def _content(item: Item) -> str | None:
    """Return what is equal for equal content, or None for what is never renamed: empty files and folders."""
    if isinstance(item, EmptyFolder) or not item.size:
        return None
    identity = [item.size, item.sha256] if item.uri is None else item.identity()[1:]
    return dump_text({"": identity})


def _text(item: Item) -> str:
    return dump_text(item_to_json(item))


def _item(record: bytes) -> Item:
    return _parsed(record.partition(_END)[2])


def _changed(record: bytes) -> ChangedFile:
    _, what, before, after = record.split(_END)
    return ChangedFile(_parsed(before), _parsed(after), what.decode())  # type: ignore[arg-type]


def _parsed(text: bytes) -> Item:
    problems = Problems("")
    return item_from_json(json.loads(text), "item", OrderCheck(), problems)


def first_of(items: Iterable[T], most: int | None) -> list[T]:
    """Return the first items of a list."""
    return list(islice(items, most))
