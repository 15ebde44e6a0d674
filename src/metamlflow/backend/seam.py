"""The backend protocol: eight verbs and what each promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc.Buffer from Python 3.12 on


@dataclass(frozen=True, slots=True)
class Blob:
    """Content to be put: what is known of it, and how to read it.

    Attributes:
        size: in bytes.
        sha256: 64 hex digits. A server that can check a digest is given it.
        crc32c: 8 hex digits of the big-endian value, for servers that check that one instead.
        open: returns a new reader of the content from its start; may be called again for a retry. The reader raises
            :class:`~metamlflow.errors.SourceChangedError` when it finds that its content is no longer what was hashed:
            a put passes that on and leaves nothing behind.
        data: all of the content, where it is in memory anyway; then it counts in its owner's budget already.
    """

    size: int
    sha256: str
    crc32c: str
    open: Callable[[], BinaryIO] = field(compare=False)
    data: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of one object without reading it.

    Attributes:
        key: relative to the store's root.
        size: in bytes.
        modified: when it was written, by the server's clock, in UTC.
        observed: the server's clock when it answered, in UTC; None in listings that do not tell.
        etag: the server's tag of this content, where there is one. It is no digest.
        version: version id or generation, where the bucket keeps versions.
        checksums: digests that the server holds, by name (``crc32c``, ``sha256``, …), in hex.
    """

    key: str
    size: int
    modified: datetime
    observed: datetime | None = None
    etag: str | None = None
    version: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeleteFailure:
    """A key that could not be deleted, and why."""

    key: str
    error: Exception


@runtime_checkable
class Backend(Protocol):
    """A place that keeps objects by key.

    Keys are relative to the root that the backend was opened with, ``/``-separated, made of the characters that
    SPEC.md allows in keys. Every method may be called from several threads at once. Failures are errors of
    :mod:`metamlflow.errors`, with their cause chained: ``ObjectNotFoundError`` for a missing key,
    ``AlreadyExistsError`` from :meth:`create` alone, ``AccessDeniedError``, ``StorageFullError``, and
    ``StorageUnavailableError`` for what may pass. A key that only other keys lie below is a missing one.

    Opening a backend touches no network and creates nothing.
    """

    @property
    def url(self) -> str:
        """The root, as a URL without secrets."""

    @property
    def filesystem(self) -> Any:
        """The fsspec file system underneath, for handing on to pandas, pyarrow and the like."""

    @property
    def max_key_bytes(self) -> int:
        """How long a key may be, in bytes, below this root."""

    def url_of(self, key: str) -> str:
        """Return a URL of the object that fsspec opens, with the same options."""

    def create(self, key: str, data: bytes) -> None:
        """Create a small record (non-empty, up to 64 MiB) exclusively.

        Of any number of calls for one key, at any time, from any machine, exactly one returns; the others raise
        AlreadyExistsError. The record is there whole and durable when the call returns, and was never there in part.
        Any other error leaves the outcome open: the caller reads the key.
        """

    def put(self, key: str, blob: Blob) -> bool:
        """Store content whose key is derived from it: streamed, in bounded memory, whole or not at all.

        Returns whether this call created it. False means that the key existed: its object was left as it is, its age
        included. Raises IntegrityError if the content did not arrive with the size and, where the server checks them,
        the digests of ``blob``. Every reader that ``blob.open`` returned is closed.
        """

    def open(self, key: str) -> BinaryIO:
        """Return a seekable reader of the object as it is now. Nothing is read from a cache."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from ``start`` to before ``end`` (by default all), cut at the object's end."""

    def stat(self, key: str) -> ObjectInfo:
        """Return what the store knows of the object, with ``observed`` set."""

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with ``prefix``, in the order of the keys' bytes.

        The listing is complete, never from a cache, and lazy: a caller that stops early costs no further request.

        Args:
            prefix: any string, not only a whole folder.
            after: only keys greater than this one.
            limit: at most so many; a hint to ask for no more.
        """

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete objects, batched where the store can. A missing key is no failure; each failure is reported."""


@runtime_checkable
class CheapStat(Protocol):
    """Optional, for a backend where a look at an object costs next to nothing, such as a disk.

    There a publish looks whether the blobs that it relies on are in place, so that registering content again mends what
    was deleted. Elsewhere that would be a request for each file.
    """

    def holds(self, key: str, size: int) -> bool:
        """Whether there is an object of this size, in bytes."""


@runtime_checkable
class ListsAcrossPrefixes(Protocol):
    """Optional, for a store with one flat row of keys, where a listing that begins anywhere is one request.

    There a publish sees in one listing both the versions of a name and that the store itself is still there.
    """

    def list_after(self, after: str, limit: int) -> list[ObjectInfo]:
        """Return the first ``limit`` objects whose keys are greater than ``after``, whatever they begin with."""


@runtime_checkable
class GathersListings(Protocol):
    """Optional, for a backend that gathers a listing in some order and sorts it then, as one over folders does.

    Such a listing may show an object that was created while it was gathered and miss an earlier one. A writer looks
    again at what it is going to rely on. A disk (:class:`CheapStat`) is taken for such a place in any case.
    """

    gathers_listings: bool


@runtime_checkable
class ConfirmsCreation(Protocol):
    """Optional, for a backend whose storage may stop honouring conditions while a client runs, and shows it."""

    def confirm(self, key: str, data: bytes) -> None:
        """Make sure that a record that was found in place, its creation unanswered, cannot have replaced another.

        Costs nothing where nothing has changed. Raises UnsupportedStoreError if the storage accepts a second creation.
        """


@runtime_checkable
class UncheckedRead(Protocol):
    """Optional, for a backend that reads content at less cost where its caller compares the content's digest."""

    def fetch(self, key: str, start: int = 0, end: int | None = None) -> Buffer:
        """As :meth:`Backend.read`, but the bytes may have been damaged on their way."""


@runtime_checkable
class ReplacesContent(Protocol):
    """Optional, for a backend that puts an object in the place of another in one step.

    A repair alone does so, where an object's bytes do not have the digest in its name. Elsewhere the object is deleted
    before the content is put, and whoever reads in between finds nothing.
    """

    def replace(self, key: str, blob: Blob) -> None:
        """Store content under a key, whatever lies there: streamed, in bounded memory, whole or not at all.

        Whoever reads meanwhile is given the old object or the new one, and a call that fails or is cut off leaves the
        old one. Errors, and what becomes of the readers, are those of :meth:`Backend.put`.
        """


@runtime_checkable
class DeletesSeen(Protocol):
    """Optional, for a backend that deletes just the object that its caller has seen, and not another under its key.

    A collection alone does so. Elsewhere the objects are looked at once more, and then deleted by their keys:
    :func:`~metamlflow.backend.deleting.delete_seen`.
    """

    def delete_seen(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Delete objects, each only if it is the one of ``infos`` still, with one attempt each.

        By its version or its generation where the storage takes that; else its size and its time of writing are looked
        at immediately before. Each object that was not deleted is reported, with a ConflictError if another one is in
        its place, an ObjectNotFoundError if it was gone already, and an OutcomeUnknownError if nobody knows whether the
        request was or will be applied: such a request is not made again.
        """


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """Content that somebody began to send and has not finished, so that no key shows it.

    Attributes:
        key: what it was to become; of a temp file, its name.
        id: the storage's word for it.
        began: when, by the server's clock, in UTC.
        is_temporary: whether it is a temp file under a name that only this backend gives, and no upload to a key.
    """

    key: str
    id: str
    began: datetime
    is_temporary: bool = False


@runtime_checkable
class LeavesUploads(Protocol):
    """Optional, for a backend whose storage keeps what was sent of unfinished uploads, and charges for it."""

    def unfinished_uploads(self, before: datetime) -> Iterator[UnfinishedUpload]:
        """Yield the uploads below this root that were begun before a time and that nobody is known to go on with.

        Others may use the bucket too, so their uploads are among them: the store abandons those to its own blob keys
        alone. Of temp files, a backend yields only those that it named itself.
        """

    def abandon(self, upload: UnfinishedUpload) -> None:
        """Free what was sent of an upload. One that is gone already is no failure."""


@runtime_checkable
class ServerSideCopy(Protocol):
    """Optional, for a backend whose provider copies objects from one place to another by itself."""

    def obstacle_to(self, source: Backend) -> str | None:
        """Return why the provider cannot copy from another backend, or None if it can. No network."""

    def copy_from(self, source: Backend, key: str, size: int, crc32c: str) -> bool:
        """Copy the content under ``key`` of another backend to the same key here, without its bytes passing through.

        Returns whether this call created it; an object that exists is left as it is. The copy is whole or absent. The
        caller compares its checksum.

        Args:
            source: where :meth:`obstacle_to` found nothing in the way.
            key: of the object, at both ends.
            size: in bytes.
            crc32c: of the content, 8 hex digits, for servers that check it; empty if it is not known.
        """
