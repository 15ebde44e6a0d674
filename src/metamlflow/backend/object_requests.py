"""What an object store is asked, one request each: all that somebody writes who brings a backend for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from metamlflow.backend.seam import Blob, ObjectInfo
from metamlflow.backend.streaming import Stream


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a listing is asked for.

    Attributes:
        prefix: each name begins with it.
        after: where the listing begins: only names greater than this one.
        last: the last name that was listed so far, or ``after``.
        token: what the page before told to go on from; empty for the first one.
        limit: so many names will do.
    """

    prefix: str
    after: str
    last: str
    token: str
    limit: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        objects: in the order of their names, each with its whole name as its key. ``PageRequest.after`` itself may
            be among them.
        token: what the next page is asked for with, not empty; None at the end of the listing. Where the server goes
            on from a name, that name.
    """

    objects: Sequence[ObjectInfo]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to a request for all of an object from a byte on.

    Attributes:
        stream: of the bytes.
        size: of the whole object, in bytes; None if the answer does not tell.
        pin: what the next request names to be given just this object, such as an ETag or a generation.
    """

    stream: Stream
    size: int | None
    pin: str | None


class ObjectRequests(Protocol):
    """One client of an object store, and what it is asked. Names are whole: the prefix of the store is part of them.

    Every method makes one request, or as few as the client can, and raises what the client raises: the backend above
    tries again, and translates. Methods are called from several threads at once.
    """

    def put(self, name: str, data: bytes, blob: Blob | None, *, over: bool) -> None:
        """Store an object whole, on the condition that there is none of this name.

        Args:
            name: of the object.
            data: its content.
            blob: what is known of content, for servers that check a digest; None for a record. A record must be sent
                just once: the client may not repeat it by itself.
            over: whether there may be one, which is replaced.

        Raises:
            Exception: that is translated to AlreadyExistsError if there is one.
        """

    def get(self, name: str, start: int, end: int | None, pin: str | None) -> bytes:
        """Return the bytes from ``start`` to before ``end`` (None: all that follow), cut at the object's end.

        Nothing if they begin at the end or beyond. ``end`` is greater than ``start``.

        Args:
            name: of the object.
            start: the first byte.
            end: after the last one.
            pin: the version or, where there is none, the ETag that :meth:`head` told: of just this object. None: of
                the object as it is now.
        """

    def head(self, name: str) -> ObjectInfo:
        """Return what the server knows of an object, with its whole name as the key."""

    def page(self, asked: PageRequest) -> Page:
        """Return one page of a listing."""

    def delete(self, names: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        """Delete objects, at most a page of them; return those that failed. A missing name may be among them."""


class StreamsObjects(Protocol):
    """Optional, for a client that hands out an answer while it arrives. Others are asked for ranges."""

    def stream(self, name: str, start: int, pin: str | None) -> Opened:
        """Ask for an object from a byte on; of just one version of it, if that is named.

        Raises:
            Exception: that is translated to AlreadyExistsError or ObjectNotFoundError if the object is another by now.
        """


class Upload(Protocol):
    """Content on its way in parts, of which nobody sees anything before :meth:`finish`."""

    def send(self, data: bytes, start: int) -> None:
        """Send the part that begins at this byte. Parts come in order; after a failure one may come again."""

    def finish(self) -> None:
        """Make the parts the object, on the condition that was given when the upload began."""

    def cancel(self) -> None:
        """Leave nothing behind. Called from another thread while a part is sent, perhaps; errors of it are not told."""


class UploadsInParts(Protocol):
    """Optional, for a storage that takes large content in parts. Elsewhere all of it has to fit into one request."""

    @property
    def one_request_bytes(self) -> int:
        """Up to this size content goes in one request."""

    def part_bytes(self, size: int) -> int:
        """Return how large each part of so much content is, but for the last. Two of them are in memory at a time."""

    def begin_upload(self, name: str, blob: Blob, *, over: bool) -> Upload:
        """Begin an upload; ``over`` as of :meth:`ObjectRequests.put`."""
