"""Copy content from one store to another: hashed as it passes, complete, and safe to rely on at the destination."""

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
"""How to prove content at the destination: its server received the digest, holds the checksum, or returns the bytes."""
PROOFS: tuple[Proof, ...] = ("sent", "checksum", "full")

LARGE_AT_A_TIME = 2
_LARGE_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)
RELIABLE_AGE = 3 / 4  # of the destination's grace: SPEC.md explains why


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How content is copied.

    Attributes:
        begun: when the migration began, by the destination's clock: older objects existed before.
        proof: how content at the destination is proven afterwards.
        on_server: whether the provider copies large content, where possible.
        look_first: whether to look for the content before it is read, because it should exist.
    """

    begun: datetime
    proof: Proof = "sent"
    on_server: bool = False
    look_first: bool = False


@dataclass(frozen=True, slots=True)
class CopiedBlob:
    """Content that is at the destination.

    Attributes:
        key: the key of the blob.
        size: in bytes.
        is_new: whether it did not exist before the migration began.
        trusted: for how many seconds after the copy began a manifest that names the blob may be created; None: the blob
            is old, so only if a live version at the destination names it.
        until: the same as a time of the caller's clock, once it is known.
        note: a remark for the user about how it was copied; empty for none.
    """

    key: str
    size: int
    is_new: bool
    trusted: float | None
    until: float | None = None
    note: str = ""

    def since(self, began: float) -> CopiedBlob:
        """Return the same, for a copy that began at this time of the caller's clock, or later."""
        return replace(self, until=None if self.trusted is None else began + self.trusted)


@dataclass(frozen=True, slots=True)
class StorePair:
    """The two stores of a migration."""

    source: Store
    destination: Store

    def check_carried(self, uri: str) -> None:
        """Refuse a pointer that the destination's client would open but the source's client would not.

        Raises:
            PointerPolicyError: only the destination's policy allows the URI.
        """
        self.source.external.policy.check_carried(self.destination.external.policy, uri)


def shard_content(shard: Shard) -> Entry:
    """Return a list of files as content to copy like any other."""
    return Entry(shard.key, shard.size, shard.sha256, None, shard.key)


def bytes_in_memory(content: Entry) -> int | None:
    """Return how many bytes :meth:`BlobCopier.move` holds in memory at a time; None: it takes them from the budget."""
    return content.size if content.size <= SMALL else None


class BlobCopier:
    """Copies content, each blob in a worker thread.

    Args:
        ends: the two stores.
        how: how content is copied.
        counter: counts the progress.
        stop: once it is set, running copies stop at their next bytes.
        large: limits how many large blobs are copied at a time: each of them is copied in parallel.
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
        self._no_copies = ""  # why the server refused to copy, after the first refusal

    def move(self, content: Entry) -> CopiedBlob:
        """Ensure that the destination has some content, and that it matches the manifest.

        Raises:
            IntegrityError: the content is damaged or missing at the source, or damaged at the destination.
            ConflictError: the destination has something else under its key.
            EvidenceUnavailableError: the destination holds no checksum, which was requested.
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
        """Whether the destination has this content; raise an error if it has something else under the key."""
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
        """Let the provider copy it; return whether it is new, or None if the bytes must pass through this machine."""
        backend, clock = self._destination.backend, self._destination.clock
        assert isinstance(backend, ServerSideCopy)  # noqa: S101 (checked when the migration began)
        check_size(self._source, content)  # a copy in parts is planned by the size
        try:
            copied = patiently(
                lambda: backend.copy_from(self._source.backend, content.key, content.size, content.crc32c or ""), clock
            )
        except (StorageError, NotFoundError) as error:
            # The credentials may not read the other bucket, or the server does not support copies. Content that can be
            # read here and written there can be copied in any case.
            self._no_copies = f"the server refused to copy, so content passed through this machine: {error.message}"
            _log.warning("%s", self._no_copies)
            return None
        self._on_bytes(content.size)
        if copied:
            # Use the server's own checksum of the written object; if it has none, read every byte once more.
            info = with_retries(lambda: backend.stat(content.key), clock)
            if held_checksum(info, content) is None:
                copy_blob(self._destination, content, None, lambda _: None)
            else:
                self._prove(content, info, found=False)
        return copied

    # --- at the destination -------------------------------------------------------------------------------------------

    def _prove(self, content: Entry, info: ObjectInfo, *, found: bool) -> None:
        """Verify the destination's object. ``found``: it existed before."""
        where = self._destination.backend.url_of(content.key)
        if info.size != content.size:
            raise ConflictError(f"{where} has {info.size:,} bytes, not {content.size:,}", hint=_FOUND_HINT)
        held = held_checksum(info, content)
        differs = held is not None and held[0] != held[1]
        if differs or self._how.proof == "full":
            # Some servers state a checksum that does not match the content: the bytes decide.
            try:
                copy_blob(self._destination, content, None, lambda _: self._on_bytes(0))
            except IntegrityError as error:
                facts = {"expected": error.expected, "actual": error.actual, "path": error.path, "key": error.key}
                hint = _FOUND_HINT if found else _SENT_HINT
                raise IntegrityError(f"at the destination {error.message}", hint=hint, **facts) from None
            if differs:
                _log.warning("%s has the right content, but its storage states another checksum: %s", where, held)
        elif self._how.proof == "checksum" and held is None:
            raise EvidenceUnavailableError(
                f"{where}: its storage holds no checksum of it",
                hint="Use 'full', which reads every byte back.",
                asked="checksum",
                choices=("full",),
            )


_FOUND_HINT = "It existed already, and nothing was overwritten. Delete this object if no version there needs it."
_SENT_HINT = "Nothing names it yet. Delete this object, and migrate again."
