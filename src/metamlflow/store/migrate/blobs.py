"""Moving content from one store to another: hashed as it passes, whole at the other end, and safe to rely on there."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from metamlflow.backend import ObjectInfo, ServerSideCopy
from metamlflow.errors import (
    ConflictError,
    EvidenceUnavailableError,
    IntegrityError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
)
from metamlflow.model.manifests import Entry, Shard
from metamlflow.store.catalog.fetching import check_size, held_checksum
from metamlflow.store.catalog.records import patiently, with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.resending import blob_from, sent_again_if_damaged
from metamlflow.store.read.verified import copy_blob
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.spooling import SMALL

Proof = Literal["sent", "checksum", "full"]
"""How sure to be of content at the destination: its server was sent the digest, holds the checksum, gives the bytes."""
PROOFS: tuple[Proof, ...] = ("sent", "checksum", "full")

LARGE_AT_A_TIME = 2
_LARGE_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)
RELIABLE_AGE = 3 / 4  # of the destination's grace: SPEC.md tells why


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How content is moved.

    Attributes:
        begun: when the migration began, by the destination's clock: what is older was there before.
        proof: what is asked of the destination afterwards.
        on_server: whether large content is copied by the provider, where that can be done.
        look_first: whether to look for the content before it is read: it should be there.
    """

    begun: datetime
    proof: Proof = "sent"
    on_server: bool = False
    look_first: bool = False


@dataclass(frozen=True, slots=True)
class CopiedBlob:
    """Content that is at the destination.

    Attributes:
        key: of the blob.
        size: in bytes.
        is_new: whether it was not there before the migration began.
        trusted: for how many seconds from when the move began a manifest that names it may be created; None: only if a
            living version there names it, for it is old.
        until: the same by the clock of the caller, once it is known.
        note: what a user should know of how it was moved; empty for nothing.
    """

    key: str
    size: int
    is_new: bool
    trusted: float | None
    until: float | None = None
    note: str = ""

    def since(self, began: float) -> CopiedBlob:
        """Return the same, of a move that began at this time of the caller's clock, or later."""
        return replace(self, until=None if self.trusted is None else began + self.trusted)


@dataclass(frozen=True, slots=True)
class StorePair:
    """The two stores of a migration."""

    source: Store
    destination: Store

    def check_carried(self, uri: str) -> None:
        """Refuse a pointer that the destination's client would open and the source's would not.

        Raises:
            PointerPolicyError: so it is.
        """
        self.source.external.policy.check_carried(self.destination.external.policy, uri)


def shard_content(shard: Shard) -> Entry:
    """Return a list of files as content that is moved like any other."""
    return Entry(shard.key, shard.size, shard.sha256, "", shard.key)


def bytes_in_memory(content: Entry) -> int | None:
    """Return how many bytes :meth:`BlobCopier.move` has in memory at a time; None: it takes them from the budget."""
    return content.size if content.size <= SMALL else None


class BlobCopier:
    """Moves content, each in a worker thread.

    Args:
        ends: from where, and to where.
        how: it is done.
        counter: is told the progress.
        stop: once it is set, what is under way ends at its next bytes.
        large: lets so many large ones go at a time: each is moved in parallel by itself.
    """

    def __init__(
        self, ends: StorePair, how: CopyOptions, counter: Counter, stop: threading.Event, large: threading.Semaphore
    ) -> None:
        self._source, self._destination = ends.source, ends.destination
        self._how = how
        self._counter = counter
        self._stop = stop
        self._large = large
        self._grace = ends.destination.marker().grace.total_seconds()
        self._no_copies = ""  # why the server refused to copy, once it did

    def move(self, content: Entry) -> CopiedBlob:
        """Make sure that the destination has some content, and that it is what the manifest says.

        Raises:
            IntegrityError: it is damaged or missing at the source, or damaged at the destination.
            ConflictError: the destination has something else under its key.
            EvidenceUnavailableError: the destination holds no checksum, which was asked for.
        """
        with self._large if content.size > _LARGE_BYTES else nullcontext():
            self._on_bytes(0)
            began = self._destination.clock.elapsed()
            return replace(self._move(content).since(began), note=self._no_copies)

    def _move(self, content: Entry) -> CopiedBlob:
        backend, clock = self._destination.backend, self._destination.clock
        if self._how.look_first and self._is_in_place(content):
            self._counter.add(files=1, size=content.size)
            return CopiedBlob(content.key, content.size, is_new=False, trusted=self._grace * RELIABLE_AGE)
        on_server = self._how.on_server and content.size > SMALL and not self._no_copies
        copied = self._copy_on_server(content) if on_server else None
        if copied is None:
            blob = blob_from(self._source, content, self._on_bytes)
            created = sent_again_if_damaged(lambda: patiently(lambda: backend.put(content.key, blob), clock))
        else:
            created = copied
        if created and self._how.proof == "sent":
            self._counter.add(files=1)
            return CopiedBlob(content.key, content.size, is_new=True, trusted=self._grace * RELIABLE_AGE)
        info = with_retries(lambda: backend.stat(content.key), clock)
        self._prove(content, info, found=not created)
        self._counter.add(files=1)
        age = ((info.observed or clock.now()) - info.modified).total_seconds()
        trusted = self._grace * RELIABLE_AGE - age
        is_new = created or info.modified >= self._how.begun
        return CopiedBlob(content.key, content.size, is_new, trusted if trusted > 0 else None)

    def _is_in_place(self, content: Entry) -> bool:
        """Whether a living version has its content; what it has otherwise is an error."""
        try:
            info = with_retries(lambda: self._destination.backend.stat(content.key), self._destination.clock)
        except ObjectNotFoundError:
            return False
        self._prove(content, info, found=True)
        return True

    def _on_bytes(self, size: int) -> None:
        if self._stop.is_set():
            raise CancelledError
        self._counter.add(size=size)

    # --- from the source ----------------------------------------------------------------------------------------------

    def _copy_on_server(self, content: Entry) -> bool | None:
        """Let the provider copy it; return whether it was not there, or None if the bytes have to go through here."""
        backend, clock = self._destination.backend, self._destination.clock
        assert isinstance(backend, ServerSideCopy)  # noqa: S101 (looked at when the migration began)
        check_size(self._source, content)  # a copy in parts is planned by it
        try:
            copied = patiently(
                lambda: backend.copy_from(self._source.backend, content.key, content.size, content.crc32c), clock
            )
        except (StorageError, NotFoundError) as error:
            # The credentials may not read the other bucket, or the server knows no copies; whatever it is, what can be
            # read here and written there can be moved.
            self._no_copies = f"the server refused to copy, so content passed through this machine: {error.message}"
            _log.warning("%s", self._no_copies)
            return None
        self._on_bytes(content.size)
        if copied:
            # The server's own checksum of what it has written; where it has none, every byte is read once more.
            info = with_retries(lambda: backend.stat(content.key), clock)
            if held_checksum(info, content) is None:
                copy_blob(self._destination, content, None, lambda _: None)
            else:
                self._prove(content, info, found=False)
        return copied

    # --- at the destination -------------------------------------------------------------------------------------------

    def _prove(self, content: Entry, info: ObjectInfo, *, found: bool) -> None:
        """Look whether the destination has what it should have. ``found``: it was there."""
        where = self._destination.backend.url_of(content.key)
        if info.size != content.size:
            raise ConflictError(f"{where} has {info.size:,} bytes, not {content.size:,}", hint=_FOUND_HINT)
        held = held_checksum(info, content)
        differs = held is not None and held[0] != held[1]
        if differs or self._how.proof == "full":
            # Some servers state a checksum that is not that of the content: what its bytes are decides.
            try:
                copy_blob(self._destination, content, None, lambda _: self._on_bytes(0))
            except IntegrityError as error:
                facts = {"expected": error.expected, "actual": error.actual, "path": error.path, "key": error.key}
                hint = _FOUND_HINT if found else _SENT_HINT
                raise IntegrityError(f"at the destination {error.message}", hint=hint, **facts) from None
            if differs:
                _log.warning("%s is what it should be, and its storage states another checksum: %s", where, held)
        elif self._how.proof == "checksum" and held is None:
            raise EvidenceUnavailableError(
                f"{where}: its storage holds no checksum of it",
                hint="Ask for 'full', which reads every byte back.",
                asked="checksum",
                choices=("full",),
            )


_FOUND_HINT = "It was there already, and nothing was overwritten. Delete this object if no version there needs it."
_SENT_HINT = "Nothing names it yet. Delete this object, and migrate again."
