"""One class for each kind of content: how it is opened, read, copied, located and checked.

An entry of a manifest says what there is, and its class here knows how to get at it. Whoever reads, downloads, keeps
local copies or verifies asks :func:`content_of`, and branches on no kind. docs/decisions/0021-kinds-of-content.md tells
what a further kind takes.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.model.findings import Finding, Level
from metamlflow.model.manifests import Entry, FileEntry, Manifest
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.fetching import damaged, fetch_whole, held_checksum
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.pointers.checking import Listed, Listings, check_content, check_look
from metamlflow.store.pointers.reading import PointerReader, copy_pointer, read_pointer
from metamlflow.store.read.verified import copy_blob, missing, verifying_reader
from metamlflow.store.transfer.spooling import SMALL, OnBytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

E = TypeVar("E", bound=FileEntry)


class Content(ABC, Generic[E]):
    """The content of one file of a version. Made by :func:`content_of`; it costs nothing, and may be made anew.

    Args:
        store: that has the version.
        manifest: of the version.
        entry: the file.
    """

    __slots__ = ("entry", "manifest", "store")
    buffer = 1024 * 1024
    """How much is read ahead by :meth:`open`, in bytes."""

    def __init__(self, store: Store, manifest: Manifest, entry: E) -> None:
        self.store = store
        self.manifest = manifest
        self.entry = entry

    # --- where it is --------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it lies, as findings name it: a key of the store, or a URI."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What a finding says was expected where a look at it failed."""

    @abstractmethod
    def url(self) -> str:
        """Return a URL that other tools open. No request."""

    # --- its bytes ----------------------------------------------------------------------------------------------------

    @property
    def bytes_in_memory(self) -> int | None:
        """How many bytes :meth:`copy` has in memory at a time; None: it takes them from the budget itself."""
        return self.entry.size if self.entry.size <= SMALL else None

    def open(self) -> io.BufferedReader:
        """Return a seekable reader that raises IntegrityError instead of giving wrong bytes."""
        return io.BufferedReader(self.raw(), self.buffer)

    @abstractmethod
    def raw(self) -> io.RawIOBase:
        """Return the reader under :meth:`open`, without its buffer."""

    @abstractmethod
    def read(self) -> Buffer:
        """Return all of it, verified.

        Raises:
            IntegrityError: it is missing or not what was registered.
        """

    @abstractmethod
    def copy(self, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
        """Read all of it once, verified, and write it to ``target`` if one is given.

        Args:
            target: a new file without a buffer.
            on_bytes: is told the progress.

        Raises:
            IntegrityError: it is missing or not what was registered; what was written must be thrown away.
        """

    # --- verification -------------------------------------------------------------------------------------------------

    @classmethod
    def overview(cls, survey: Survey) -> Callable[[E], Any]:  # noqa: ARG003 (for kinds of which much is told at once)
        """Return what tells of each entry, asked in their order, what is known of it before it is looked at by itself.

        What it tells is given to :meth:`check`. It serves where one request tells of many entries.
        """
        return lambda _: None

    @abstractmethod
    def check(self, level: Level, shown: Any, on_bytes: OnBytes, before_request: Callable[[], None]) -> Finding | None:
        """Look whether it is there as it was registered; return what is wrong.

        Args:
            level: how hard to look.
            shown: what the overview told of it.
            on_bytes: is told the bytes that are read.
            before_request: is called before an object is looked at or read.

        Raises:
            IntegrityError: it is missing or not what was registered.
            MetaMLFlowError: it cannot be looked at.
        """


class StoredContent(Content[Entry]):
    """A file that has a blob of its own.

    In a local store all of it is verified before the first of it is handed out. From a bucket, read from start to end,
    it is verified as it passes, and the read that would return the last of it raises; at the first jump all of it is
    verified, and then any part can be read.
    """

    __slots__ = ()

    @property
    def place(self) -> str:
        """Its key."""
        return self.entry.key

    @property
    def expected(self) -> str:
        """Its digest."""
        return f"sha256:{self.entry.sha256}"

    def url(self) -> str:
        """Return that of its blob."""
        return self.store.backend.url_of(self.entry.key)

    def raw(self) -> io.RawIOBase:
        """Return a reader that verifies."""
        return verifying_reader(self.store, self.manifest, self.entry)

    def read(self) -> Buffer:
        """Return all of it; one request up to 8 MiB, two above."""
        try:
            return fetch_whole(self.store, self.entry)
        except ObjectNotFoundError:
            raise self._missing() from None

    def copy(self, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
        """Read the blob once."""
        try:
            copy_blob(self.store, self.entry, target, on_bytes)
        except ObjectNotFoundError:
            raise self._missing() from None

    def check(
        self,
        level: Level,
        shown: Any,  # noqa: ARG002 (there is no overview of blobs)
        on_bytes: OnBytes,
        before_request: Callable[[], None],
    ) -> Finding | None:
        """Ask for its size, and the checksum that its storage holds; or read all of it."""
        before_request()
        if level == "full":
            self.copy(None, on_bytes)
            return None
        entry = self.entry
        try:
            info = with_retries(lambda: self.store.backend.stat(entry.key), self.store.clock)
        except ObjectNotFoundError:
            raise self._missing() from None
        if info.size != entry.size:
            raise damaged(entry, f"{info.size} bytes")
        if level == "stat":
            return None
        held = held_checksum(info, entry)
        if held is None:
            actual = "the storage holds no checksum; use level full"
            return Finding(entry.path, "unverifiable", entry.key, self.expected, actual)
        expected, actual = held
        return None if actual == expected else Finding(entry.path, "modified", entry.key, expected, actual)

    def _missing(self) -> IntegrityError:
        return missing(self.store, self.manifest, self.entry)


class PointedContent(Content[PointerEntry]):
    """A file that lies outside of the store, and is read on condition of what was registered."""

    __slots__ = ()
    buffer = 8 * 1024  # the reader below asks for more than this by itself, where it is read in order

    @property
    def place(self) -> str:
        """Its URI."""
        return self.entry.uri

    @property
    def expected(self) -> str:
        """What a pointer promises, whatever its evidence."""
        return "readable data"

    def url(self) -> str:
        """Return its URI, as relocations say."""
        return self.store.relocations.place(self.entry.uri)

    def raw(self) -> io.RawIOBase:
        """Return a reader that asks for little at a jump, and compares what is read from start to end."""
        return PointerReader(self.store, self.entry)

    def read(self) -> Buffer:
        """Return all of it, compared with the digest that its evidence has."""
        return read_pointer(self.store, self.entry)

    def copy(self, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
        """Read the object once."""
        copy_pointer(self.store, self.entry, target, on_bytes)

    @classmethod
    def overview(cls, survey: Survey) -> Callable[[PointerEntry], Listed | None]:
        """Return what tells of each entry what a listing of its place shows."""
        return Listings(survey.store, survey.manifest, survey.level, from_start=survey.from_start).of

    def check(
        self, level: Level, shown: Listed | None, on_bytes: OnBytes, before_request: Callable[[], None]
    ) -> Finding | None:
        """Go by the listing, or one look; or read all of it."""
        if level == "full":
            before_request()
            return check_content(self.store, self.entry, on_bytes)
        return check_look(self.store, self.entry, shown, level, before_request)


KINDS: dict[type[Any], type[Content[Any]]] = {Entry: StoredContent, PointerEntry: PointedContent}
"""The class of content for each class of entries."""


def content_of(store: Store, manifest: Manifest, entry: FileEntry) -> Content[Any]:
    """Return the content of a file, by its kind. No request."""
    return KINDS[type(entry)](store, manifest, entry)


@dataclass
class Survey:
    """One look at many files of a version, in their order.

    Attributes:
        store: that has the version.
        manifest: of the version.
        level: how hard to look.
        from_start: whether the files begin with the version's first.
    """

    store: Store
    manifest: Manifest
    level: Level
    from_start: bool
    _overviews: dict[type[Content[Any]], Callable[[Any], Any]] = field(default_factory=dict)

    def of(self, entry: FileEntry) -> tuple[Content[Any], Any]:
        """Return a file's content, and what the overview of its kind tells of it."""
        kind = KINDS[type(entry)]
        overview = self._overviews.get(kind)
        if overview is None:
            overview = self._overviews[kind] = kind.overview(self)
        return kind(self.store, self.manifest, entry), overview(entry)
