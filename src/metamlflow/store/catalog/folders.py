"""The folders of a version: its list of files, read as a tree."""

from __future__ import annotations

from collections.abc import Iterator

from metamlflow.model.manifests import EmptyFolder, Item
from metamlflow.store.catalog.entries import Entries

_AFTER_SLASH = "0"  # the character behind "/": every path in a folder lies before the folder's path with it


def children(entries: Entries, folder: str) -> Iterator[tuple[str, Item | None]]:
    """Yield what lies directly in a folder, in path order: the path, and the item; None for a folder of files.

    What lies deeper is passed over, and pages of a long list that hold nothing else are not read.
    """
    prefix = f"{folder}/" if folder else ""
    start: str | None = prefix
    while start is not None:
        after, start = start, None
        for item in entries.since(after):
            if not item.path.startswith(prefix):
                return
            child, slash, _ = item.path[len(prefix) :].partition("/")
            if slash:
                yield prefix + child, None
                start = f"{prefix}{child}{_AFTER_SLASH}"
                break
            yield item.path, item


def below(entries: Entries, folder: str, depth: int | None, *, folders: bool) -> Iterator[tuple[str, Item | None]]:
    """Yield all that lies in a folder, however deep, in one pass: the path, and the item; None for a folder of files.

    Args:
        entries: the files of the version.
        folder: the folder's path; an empty text for the root.
        depth: how many levels to go down; None for all.
        folders: yield folders too, the empty ones as well.
    """
    prefix = f"{folder}/" if folder else ""
    above: list[str] = []
    for item in entries.since(prefix):
        if not item.path.startswith(prefix):
            return
        parts = item.path[len(prefix) :].split("/")
        if folders:
            for level in range(1, len(parts)):
                if parts[:level] != above[:level] and (depth is None or level <= depth):
                    yield prefix + "/".join(parts[:level]), None
            above = parts[:-1]
        if (depth is None or len(parts) <= depth) and (folders or not isinstance(item, EmptyFolder)):
            yield item.path, item
