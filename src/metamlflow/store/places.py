"""Sources that lie somewhere: local files and folders, and whatever fsspec opens."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from metamlflow.errors import (
    InvalidInputError,
    InvalidPathError,
    MissingDependencyError,
    UnsupportedSourceError,
    redact,
)
from metamlflow.model.manifests import EmptyFolder
from metamlflow.model.paths import path_problem
from metamlflow.store.sources import Problems, SingleFile, Source, SourceFile, SourceItem, source_error

_SPECIAL = (
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def place_source(place: str | bytes, store_url: str) -> Source:
    """Return the file or folder at a path or fsspec URL."""
    if isinstance(place, bytes):
        place = os.fsdecode(place)
    if "\0" in place:
        raise InvalidInputError(f"{place!r:.200} is no path: it holds a NUL character")
    if "://" in place and not place.startswith("file://"):
        return _remote_source(place)
    path = Path(place.removeprefix("file://")).expanduser()
    try:
        status = path.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise source_error(str(path), cast("Exception", error)) from error
    if stat.S_ISDIR(status.st_mode):
        _refuse_own_store(path, store_url)
        return LocalFolder(path)
    if special := _special(status.st_mode):
        raise UnsupportedSourceError(
            f"{path} is {special}, not a file", hint="Open it and register the file object.", problems=(str(path),)
        )
    name = path.name or path.resolve().name
    if problem := path_problem(name):
        shown = f"{name.encode(errors='backslashreplace').decode()!r}: {problem}"
        raise InvalidPathError(
            f"the file's name cannot be a logical path: {shown}",
            hint="Rename it, or register it as {'new name': path}.",
            problems=(shown,),
        )
    return SingleFile(_local_file(name, path, status))


def _refuse_own_store(folder: Path, store_url: str) -> None:
    if not store_url.startswith("file://"):
        return
    store = os.path.realpath(store_url.removeprefix("file://"))
    own = os.path.realpath(folder)
    if os.path.commonpath([store, own]) == own:
        raise UnsupportedSourceError(
            f"{folder} contains the store itself ({store})",
            hint="Keep the store outside of the folders that you register.",
            problems=(store,),
        )


def _special(mode: int) -> str | None:
    return next((name for test, name in _SPECIAL if test(mode)), None)


def _local_file(logical: str, path: Path | str, status: os.stat_result) -> SourceFile:
    return SourceFile(
        logical,
        status.st_size,
        partial(_open_local, os.fspath(path)),
        local=os.fspath(path),
        executable=bool(status.st_mode & stat.S_IXUSR),
    )


def _open_local(path: str) -> BinaryIO:
    return Path(path).open("rb", buffering=0)


class LocalFolder(Source):
    """A folder on this machine. Links are followed; empty folders and executable bits are kept."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def walk(self, problems: Problems) -> Iterator[SourceItem]:
        """Yield the folder's files, in path order."""
        yield from self._walk(os.fspath(self._root), "", (_identity(os.stat(self._root)),), problems)  # noqa: PTH116

    def _walk(
        self, folder: str, prefix: str, parents: tuple[tuple[int, int], ...], problems: Problems
    ) -> Iterator[SourceItem]:
        children = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = self._status(entry, problems)
                    if status is not None:
                        # A folder sorts as its name and a slash: so paths come in their order.
                        children.append((f"{entry.name}/" if stat.S_ISDIR(status.st_mode) else entry.name, status))
        except OSError as error:
            problems.note_kind(folder, f"the folder cannot be read ({error.strerror})")
            return
        for name, status in sorted(children, key=lambda child: child[0]):
            if not name.endswith("/"):
                yield _local_file(prefix + name, f"{folder}/{name}", status)
                continue
            inner = f"{folder}/{name[:-1]}"
            if _identity(status) in parents:
                problems.note_kind(inner, "a link to a folder that contains it")
                continue
            empty = True
            for item in self._walk(inner, prefix + name, (*parents, _identity(status)), problems):
                empty = False
                yield item
            if empty and not problems.kinds:
                yield EmptyFolder(prefix + name[:-1])

    @staticmethod
    def _status(entry: os.DirEntry[str], problems: Problems) -> os.stat_result | None:
        try:
            status = entry.stat()
        except OSError as error:
            what = f"a dangling link to {Path(entry.path).readlink()}" if entry.is_symlink() else str(error.strerror)
            problems.note_kind(entry.path, what)
            return None
        if special := _special(status.st_mode):
            problems.note_kind(entry.path, f"{special}, not a file")
            return None
        return status


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class RemoteFolder(Source):
    """A folder that fsspec reads. Its listing is taken once and held; empty folders are not seen."""

    def __init__(self, filesystem: Any, root: str, url: str) -> None:
        self._filesystem = filesystem
        try:
            found = filesystem.find(root, detail=True)
        except (OSError, ValueError) as error:
            raise source_error(url, error) from error
        start = len(root.rstrip("/")) + 1
        self._files = sorted((path[start:], path, int(info.get("size") or 0)) for path, info in found.items())

    def walk(self, problems: Problems) -> Iterator[SourceItem]:  # noqa: ARG002 (scan() checks the paths)
        """Yield the folder's files, in path order."""
        for logical, path, size in self._files:
            yield SourceFile(logical, size, _opener(self._filesystem, path))


def _remote_source(url: str) -> Source:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        info = filesystem.info(path)
    except ImportError as error:
        raise MissingDependencyError(
            f"{redact(url)} needs a package that is not installed: {error}", hint="Install what the message names."
        ) from error
    except (OSError, ValueError) as error:
        raise source_error(url, error) from error
    if info["type"] == "directory":
        return RemoteFolder(filesystem, path, url)
    name = path.rstrip("/").rpartition("/")[2].partition("?")[0] or "data"
    return SingleFile(SourceFile(name, int(info.get("size") or 0), _opener(filesystem, path)))


def _opener(filesystem: Any, path: str) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", filesystem.open(path, "rb"))
