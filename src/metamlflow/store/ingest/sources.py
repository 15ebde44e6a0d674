"""The values that can be registered: a file, folder, URL, bytes, file object, or a list or mapping of those.

A source yields its items in path order, any number of times, without holding them all: a folder of a million files
takes no more memory than the names in its largest directory.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

from metamlflow import redaction
from metamlflow.backend import Blob, passing_failure
from metamlflow.errors import (
    InvalidPathError,
    MetaMLFlowError,
    SourceNotFoundError,
    UnsupportedSourceError,
    redact,
)
from metamlflow.model.manifests import EmptyFolder, Item, Kind
from metamlflow.model.paths import OrderCheck, path_problem
from metamlflow.model.pointers import Pointed, PointerEntry
from metamlflow.store.transfer.spooling import may_pass

MAX_PROBLEMS = 50
_MOST_SCANNED = 8192  # items that a scan remembers; a larger source is walked again


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to register.

    Attributes:
        path: its logical path.
        size: in bytes, or None if it is unknown before the file is read; only for planning.
        open: returns a reader of its content from the start.
        local: its path on this machine, if it has one: content that can be read twice needs no spooling.
        executable: whether its owner may execute it.
        compare: raises if the content that was read differs from the known facts about the original.
    """

    path: str
    size: int | None
    open: Callable[[], BinaryIO]
    local: str | None = None
    executable: bool = False
    compare: Callable[[Blob], None] | None = None


@dataclass(frozen=True, slots=True)
class SourcePointer:
    """Data to register as a pointer.

    Attributes:
        entry: the observed state of the data.
        gather: returns the entry with more evidence, if more was requested; takes a callback for the number of bytes
            read.
        reads: whether ``gather`` reads the data.
        opened: opens the data, to look at its columns; None: its columns are not wanted.
    """

    entry: PointerEntry
    gather: Callable[[PointerEntry, Callable[[int], None]], PointerEntry] | None = None
    reads: bool = False
    opened: Callable[[PointerEntry], BinaryIO] | None = None

    @property
    def path(self) -> str:
        """Its logical path."""
        return self.entry.path

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.entry.size


SourceItem = SourceFile | SourcePointer | Item
"""The items of a source; an entry is taken unchanged from an earlier version."""


class SourceProblems:
    """Items that cannot be registered, each with its reason; collected so that one error names them all."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.kinds: list[str] = []

    def note_path(self, path: str, problem: str) -> None:
        """Note a name that cannot be a logical path."""
        self.paths.append(f"{_as_text(path)!r}: {problem}")

    def note_kind(self, path: str, problem: str) -> None:
        """Note an item that cannot be read as data."""
        self.kinds.append(printable(f"{path}: {problem}"))

    def raise_if_any(self) -> None:
        """Raise one error for all noted problems."""
        if not self.paths and not self.kinds:
            return
        problems = [*self.paths, *self.kinds]
        shown = "\n  ".join(problems[:MAX_PROBLEMS])
        more = f"\n  and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        kind = UnsupportedSourceError if self.kinds else InvalidPathError
        raise kind(
            f"{len(problems)} of the files cannot be registered; nothing was:\n  {shown}{more}",
            hint="Rename, remove or replace them, or register a mapping of new names to files.",
            problems=tuple(problems),
        )


class Source(ABC):
    """A value that can be registered."""

    kind: Kind = "folder"
    pointed: tuple[Pointed, ...] = ()
    """The places that the source points to."""
    _scanned: list[SourceItem] | None = None

    @abstractmethod
    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:
        """Yield the items in path order; note those that cannot be registered."""

    def items(self, problems: SourceProblems) -> Iterator[SourceItem]:
        """Yield the items with a valid path, in path order; note the others. After a scan, yield its result."""
        if self._scanned is not None:
            yield from self._scanned
            return
        order = OrderCheck()
        for item in self.walk(problems):
            if problem := path_problem(item.path) or order.problem(item.path):
                problems.note_path(item.path, problem)
            else:
                yield item

    def scan(self) -> tuple[int, int | None]:
        """Examine everything without reading content; return the number of files and bytes (None: unknown).

        Raises:
            InvalidPathError: some names cannot be logical paths, or occur twice.
            UnsupportedSourceError: some items are not data.
        """
        problems = SourceProblems()
        files = 0
        size: int | None = 0
        found: list[SourceItem] | None = []
        for item in self.items(problems):
            if not isinstance(item, EmptyFolder):
                files += 1
                size = None if size is None or item.size is None else size + item.size
            if found is not None:
                found.append(item)
                if len(found) > _MOST_SCANNED:
                    found = None
        problems.raise_if_any()
        self._scanned = found
        return files, size


class SingleFile(Source):
    """One file, wherever it is."""

    kind: Kind = "file"

    def __init__(self, file: SourceFile | SourcePointer) -> None:
        self.file = file

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:  # noqa: ARG002 (nothing to note)
        """Yield the file."""
        yield self.file


class Collection(Source):
    """Several sources, each at a logical path."""

    def __init__(self, members: Mapping[str, Source]) -> None:
        self.one_file = len(members) == 1 and all(is_one_file(member) for member in members.values())
        """Whether it has only one file, whatever its path: such a collection is registered as that file."""
        self._files = sorted((path, cast("SingleFile", m)) for path, m in members.items() if m.kind == "file")
        self._folders = {path: member for path, member in members.items() if member.kind == "folder"}
        self.pointed = tuple(
            replace(pointed, path=f"{path}/{pointed.path}".rstrip("/"))
            for path, member in sorted(members.items())
            for pointed in member.pointed
        )

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:
        """Yield the members' items, merged into path order."""
        files = (_moved(member.file, path) for path, member in self._files)
        folders = (self._inside(path, member, problems) for path, member in self._folders.items())
        yield from heapq.merge(files, *folders, key=lambda item: item.path)

    @staticmethod
    def _inside(path: str, member: Source, problems: SourceProblems) -> Iterator[SourceItem]:
        empty = True
        for item in member.walk(problems):
            empty = False
            yield _moved(item, f"{path}/{item.path}")
        if empty:
            yield EmptyFolder(path)


def is_one_file(source: Source) -> bool:
    """Return whether a source was given as one file; a folder with one file remains a folder."""
    return source.kind == "file" or (isinstance(source, Collection) and source.one_file)


def _moved(item: SourceItem, path: str) -> SourceItem:
    if isinstance(item, SourcePointer):
        return replace(item, entry=replace(item.entry, path=path))
    return replace(item, path=path)


OptionsOf = Callable[[str], Mapping[str, Any]]
"""Returns the fsspec options for a URL."""


def no_options(_: str) -> Mapping[str, Any]:
    """Return no options, for any URL."""
    return {}


def printable(path: str) -> str:
    """Return a path for display on one line: a file name may hold bytes that are not text."""
    return redaction.printable(_as_text(path))


def _as_text(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()


def source_error(source: str, error: Exception) -> MetaMLFlowError:
    """Return our error for a source that could not be read."""
    where = printable(redact(source)[:500])  # shortened: a caller may have given content as a path
    if isinstance(error, FileNotFoundError):
        return SourceNotFoundError(
            f"there is nothing at {where}", hint="Check the path; nothing was registered.", source=where
        )
    if isinstance(error, OSError) and may_pass(error):
        return passing_failure(error, where)
    return UnsupportedSourceError(
        # The messages of HTTP clients quote the URL as given, including its signature.
        f"{where} cannot be read: {printable(redact(redaction.scrubbed(str(error), redaction.secrets_in(source))))}",
        hint="Check its address and permissions; nothing was registered.",
        problems=(where,),
    )
