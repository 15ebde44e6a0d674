"""One class for each kind of content: how to open, read, copy, locate and check it.

A manifest entry describes a file; the class for its kind knows how to reach the bytes. The code that reads, downloads,
caches or verifies calls :func:`content_of` and never branches on the kind. docs/decisions/0021-kinds-of-content.md
describes how to add a kind.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from metamlflow.backend import CheapStat, ObjectInfo
from metamlflow.errors import IntegrityError, ObjectNotFoundError
from metamlflow.model.findings import Finding, Level
from metamlflow.model.manifests import Entry, FileEntry, Manifest
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.fetching import damaged, fetch_whole, held_checksum
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.pointers.checking import Listed, Listings, check_content, check_look
from metamlflow.store.pointers.reading import PointerReader, copy_pointer, read_pointer
from metamlflow.store.read.ranged import BlobReader, LockedRanges, OnceVerifiedRanges, Ranges, Verify
from metamlflow.store.read.verified import copy_blob, missing, verifying_reader
from metamlflow.store.transfer.spooling import SMALL, OnBytes
from metamlflow.store.transfer.windows import BUFFER

if TYPE_CHECKING:
    from typing_extensions import Buffer

E = TypeVar("E", bound=FileEntry)


class Content(ABC, Generic[E]):
    """The content of one file of a version, made by :func:`content_of`. Cheap to create, so it need not be kept.

    Args:
        store: the store that has the version.
        manifest: the manifest of the version.
        entry: the file.
    """

    __slots__ = ("entry", "manifest", "store")
    buffer = 1024 * 1024
    """Size of the read-ahead buffer of :meth:`open`, in bytes."""

    def __init__(self, store: Store, manifest: Manifest, entry: E) -> None:
        self.store = store
        self.manifest = manifest
        self.entry = entry

    # --- where it is --------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """The location of the content as findings name it: a key of the store, or a URI."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """The expected value that a finding states when a check failed with an error."""

    @abstractmethod
    def url(self) -> str:
        """Return a URL that other tools can open. No request."""

    # --- its bytes ----------------------------------------------------------------------------------------------------

    @property
    def bytes_in_memory(self) -> int | None:
        """How many bytes :meth:`copy` holds in memory at a time; None: it takes them from the budget itself."""
        return self.entry.size if self.entry.size <= SMALL else None

    def open(self) -> io.BufferedReader:
        """Return a seekable reader that raises IntegrityError instead of returning wrong bytes."""
        return io.BufferedReader(self.raw(), self.buffer)

    @abstractmethod
    def raw(self) -> io.RawIOBase:
        """Return the reader under :meth:`open`, without its buffer."""

    def ranged(self, verify: Verify = "auto") -> Ranges:  # noqa: ARG002 (for overriding methods)
        """Return its parts, for those who jump: they cost little more than was asked for, and are verified if possible.

        Override this where a part can be read without the whole; until then they are those of :meth:`raw`.

        Args:
            verify: what is verified of a file that is not read from start to end.
        """
        return LockedRanges(self.raw())

    @abstractmethod
    def read(self) -> Buffer:
        """Return the whole content, verified.

        Raises:
            IntegrityError: the content is missing, or differs from the registered content.
        """

    @abstractmethod
    def copy(self, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
        """Read the whole content once, verify it, and write it to ``target`` if one is given.

        Args:
            target: a new, unbuffered file.
            on_bytes: called with the number of bytes of each part read.

        Raises:
            IntegrityError: the content is missing, or differs from the registered content; discard the bytes written.
        """

    # --- verification -------------------------------------------------------------------------------------------------

    @classmethod
    def overview(cls, survey: Survey) -> Callable[[E], Any]:  # noqa: ARG003 (for overriding methods)
        """Return a function that gives the known facts about an entry before it is checked by itself.

        The function is called with entries in their order, and its result is passed to :meth:`check`. Override this
        where one request covers many entries.
        """
        return lambda _: None

    @abstractmethod
    def check(self, level: Level, shown: Any, on_bytes: OnBytes, before_request: Callable[[], None]) -> Finding | None:
        """Check that the content is there as it was registered; return a finding, or None if nothing is wrong.

        Args:
            level: the verification level.
            shown: the overview's result for this entry.
            on_bytes: called with the number of bytes of each part read.
            before_request: called before an object is examined or read.

        Raises:
            IntegrityError: the content is missing, or differs from the registered content.
            MetaMLFlowError: the content could not be examined.
        """


class StoredContent(Content[Entry]):
    """A file with its own blob.

    In a local store the whole blob is verified before the first byte is returned. A blob in a bucket is verified as it
    is read from start to end, and the read that would return its last bytes raises; the first seek verifies the whole
    blob, after which any part can be read.
    """

    __slots__ = ()

    @property
    def place(self) -> str:
        """The key of the blob."""
        return self.entry.key

    @property
    def expected(self) -> str:
        """The digest of the blob."""
        return f"sha256:{self.entry.sha256}"

    def url(self) -> str:
        """Return the URL of the blob."""
        return self.store.backend.url_of(self.entry.key)

    def raw(self) -> io.RawIOBase:
        """Return a verifying reader."""
        return verifying_reader(self.store, self.manifest, self.entry)

    def ranged(self, verify: Verify = "auto") -> Ranges:
        """Return its parts: what is read whole is verified; on a disk, the blob is verified once in a process."""
        if verify != "ranges" and isinstance(self.store.backend, CheapStat):
            return OnceVerifiedRanges(self.store, self.manifest, self.entry)
        return super().ranged() if verify == "whole" else BlobReader(self.store, self.manifest, self.entry)

    def read(self) -> Buffer:
        """Return the whole content; one request up to 8 MiB, two above."""
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
        shown: Any,  # noqa: ARG002 (blobs have no overview)
        on_bytes: OnBytes,
        before_request: Callable[[], None],
    ) -> Finding | None:
        """Compare the size, and the checksum that the storage holds; or read the whole blob."""
        try:
            return check_stored(self.store, self.entry, level, on_bytes, before_request)
        except ObjectNotFoundError:
            raise self._missing() from None

    def _missing(self) -> IntegrityError:
        return missing(self.store, self.manifest, self.entry)


def check_stored(
    store: Store,
    entry: Entry,
    level: Level,
    on_bytes: OnBytes,
    before_request: Callable[[], None],
    listed: ObjectInfo | None = None,
) -> Finding | None:
    """Check one blob at a level; return a finding, or None if nothing is wrong.

    Args:
        store: the store.
        entry: what the blob should be.
        level: the verification level.
        on_bytes: called with the number of bytes of each part read.
        before_request: called before the object is examined or read.
        listed: the object as a listing shows it, which spares the request if it tells all that the level asks for.

    Raises:
        ObjectNotFoundError: it does not exist.
        IntegrityError: it differs from the registered content.
        MetaMLFlowError: it could not be examined.
    """
    if level == "full":
        before_request()
        copy_blob(store, entry, None, on_bytes)
        return None
    info, held = listed, None
    if info is not None and level == "checksum":
        held = held_checksum(info, entry)
    if info is None or info.size != entry.size or (level == "checksum" and held is None):
        before_request()
        info = with_retries(lambda: store.backend.stat(entry.key), store.clock)
        held = held_checksum(info, entry)
    if info.size != entry.size:
        raise damaged(entry, f"{info.size} bytes")
    if level == "stat":
        return None
    if held is None:
        expected = f"sha256:{entry.sha256}"
        actual = "the storage holds no checksum; use level full"
        return Finding(entry.path, "unverifiable", entry.key, expected, actual)
    expected, actual = held
    return None if actual == expected else Finding(entry.path, "modified", entry.key, expected, actual)


class PointedContent(Content[PointerEntry]):
    """A file outside of the store, read on condition of its registered state."""

    __slots__ = ()
    buffer = BUFFER  # the reader below requests more by itself when it is read sequentially

    @property
    def place(self) -> str:
        """The URI of the object."""
        return self.entry.uri

    @property
    def expected(self) -> str:
        """Readable data, whatever the evidence of the pointer."""
        return "readable data"

    def url(self) -> str:
        """Return the URI, with relocations applied."""
        return self.store.relocations.place(self.entry.uri)

    def raw(self) -> io.RawIOBase:
        """Return a reader that requests little after a seek and verifies content that is read from start to end."""
        return PointerReader(self.store, self.entry)

    def ranged(self, verify: Verify = "auto") -> Ranges:  # noqa: ARG002 (each range is conditional)
        """Return its parts, each read on condition of the registered state."""
        return PointerReader(self.store, self.entry)

    def read(self) -> Buffer:
        """Return the whole content, compared with the digest in its evidence."""
        return read_pointer(self.store, self.entry)

    def copy(self, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
        """Read the object once."""
        copy_pointer(self.store, self.entry, target, on_bytes)

    @classmethod
    def overview(cls, survey: Survey) -> Callable[[PointerEntry], Listed | None]:
        """Return a function that gives, for each entry, the result of listing its place."""
        return Listings(survey.store, survey.manifest, survey.level, from_start=survey.from_start).of

    def check(
        self, level: Level, shown: Listed | None, on_bytes: OnBytes, before_request: Callable[[], None]
    ) -> Finding | None:
        """Use the result of the listing or send one request; or read the whole object."""
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
    """One check of many files of a version, in their order.

    Attributes:
        store: the store that has the version.
        manifest: the manifest of the version.
        level: the verification level.
        from_start: whether the files begin with the version's first file.
    """

    store: Store
    manifest: Manifest
    level: Level
    from_start: bool
    _overviews: dict[type[Content[Any]], Callable[[Any], Any]] = field(default_factory=dict)

    def of(self, entry: FileEntry) -> tuple[Content[Any], Any]:
        """Return a file's content, and the overview's result for it."""
        kind = KINDS[type(entry)]
        overview = self._overviews.get(kind)
        if overview is None:
            overview = self._overviews[kind] = kind.overview(self)
        return kind(self.store, self.manifest, entry), overview(entry)
