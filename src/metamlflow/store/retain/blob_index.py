"""The blobs that versions name, sorted by key, beside the blobs that a listing shows. In bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from metamlflow.backend import ObjectInfo
from metamlflow.format.blob_uris import blob_keys_in_uri
from metamlflow.format.layout import BLOBS, sha256_of_blob_key
from metamlflow.model.manifests import EmptyFolder, Entry, Item, Shard
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.sorted_runs import MOST_BYTES, SortedRuns


@dataclass(frozen=True, slots=True)
class Naming:
    """One mention of a blob by a version.

    Attributes:
        key: the key of the blob.
        size: its recorded size, in bytes.
        sha256: its recorded digest, 64 hex digits.
        crc32c: its recorded CRC32C; None if it is not recorded.
        version: which version names it: an index that the caller chose.
        path: the logical path of the file; None for a part of a list of files.
        is_pointer: whether the version only points to it: the blob is kept, and nothing is claimed of its content.
    """

    key: str
    size: int
    sha256: str
    crc32c: str | None
    version: int
    path: str | None
    is_pointer: bool = False

    def entry(self) -> Entry:
        """Return the blob as content to read."""
        return Entry(self.key if self.path is None else self.path, self.size, self.sha256, self.crc32c, self.key)


def naming_line(blob: Entry | Shard) -> bytes:
    """Return what a version says of a blob as a line, without the version. No field of it can hold a tab."""
    crc32c = getattr(blob, "crc32c", None)  # a list of files has none
    path = "-" if blob.path is None else f"={blob.path}"
    return f"{blob.key}\t{blob.size}\t{blob.sha256}\t{crc32c or ''}\t{path}".encode()


def naming_lines(items: Iterable[Item]) -> tuple[list[bytes], int]:
    """Return what a version says of the content of its items, and how many bytes of them lie elsewhere.

    A pointer may lead to a blob of this very store all the same: that has a line too.
    """
    files = [item for item in items if not isinstance(item, EmptyFolder)]
    lines = [naming_line(held) for file in files for held in file.objects()]
    lines += [
        f"{key}\t{file.size}\t{sha256_of_blob_key(key)}\t\t>".encode()
        for file in files
        if file.uri is not None
        for key in sorted(blob_keys_in_uri(file.uri))
    ]
    return lines, sum(file.size for file in files if file.uri is not None)


class BlobIndex:
    """What versions name, sorted by the keys of the blobs. A context manager; not thread-safe.

    Args:
        most_bytes: how many bytes of it are held in memory.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._runs = SortedRuns(most_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._runs.__exit__(*failure)

    def add(self, version: int, line: bytes) -> None:
        """Note that a version names what a :func:`naming_line` describes."""
        self._runs.add(b"%s\t%d" % (line, version))

    def by_key(self) -> Iterator[tuple[str, Iterator[Naming]]]:
        """Yield each named key with who names it, in the order of the keys; like ``itertools.groupby``."""
        return itertools.groupby(map(_parsed, self._runs), key=lambda naming: naming.key)


def _parsed(line: bytes) -> Naming:
    key, size, sha256, crc32c, path, version = line.decode().split("\t")
    named = path[1:] if path[0] == "=" else None
    return Naming(key, int(size), sha256, crc32c or None, int(version), named, is_pointer=path == ">")


Compared = tuple[str, Iterator[Naming], ObjectInfo | None]
"""A key, the versions that name it, and its object as listed. One of the two may be missing."""


def named_and_listed(named: Iterable[tuple[str, Iterator[Naming]]], listed: Iterable[ObjectInfo]) -> Iterator[Compared]:
    """Merge what is named with what is listed, both in the order of the keys; each key comes once."""
    names, infos = iter(named), iter(listed)
    group, info = next(names, None), next(infos, None)
    while group is not None or info is not None:
        if info is None or (group is not None and group[0] < info.key):
            assert group is not None  # noqa: S101 (for the type checker)
            yield group[0], group[1], None
            group = next(names, None)
        elif group is None or info.key < group[0]:
            yield info.key, iter(()), info
            info = next(infos, None)
        else:
            yield group[0], group[1], info
            group, info = next(names, None), next(infos, None)


def listed_blobs(store: Store) -> Iterator[ObjectInfo]:
    """Yield all objects below the folder of blobs, in the order of their keys: one listing."""
    return listed_in_order(store, BLOBS)
