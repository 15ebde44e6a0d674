"""What is looked at before a client relies on a place: that it refuses a second creation, and takes every key."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from metamlflow.backend import Backend
from metamlflow.errors import (
    AlreadyExistsError,
    InvalidInputError,
    MetaMLFlowError,
    StorageUnavailableError,
    UnsupportedStoreError,
)
from metamlflow.format.layout import LONGEST_KEY, MARKER
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.records import patiently

HOLDS_SECONDS = 24 * 3600.0
"""How long an answer to the probe is valid for other clients of this user, where the storage limits writes."""


def probe(backend: Backend, marker: bytes, store: str, clock: Clock) -> None:
    """Try to create the marker again with its own bytes: the storage must refuse; acceptance changes nothing.

    A store may stop honouring conditions at any time (copied to another server, versioning switched on), and then a
    version would be lost without an error. So each client probes before its first claim.

    Some storages allow one write per second to a key. Where such a limit is met, an answer that a client of this user
    got within the last day is used; otherwise the probe waits until it is allowed to write.

    Args:
        backend: the storage, through the engine that will write.
        marker: the bytes of the store's marker.
        store: identifies the store and the way to reach it.
        clock: for waiting.

    Raises:
        UnsupportedStoreError: the storage accepted the second creation.
    """
    answer = _Answer(f"{type(backend).__module__} {store}")
    met_limit = False

    def create() -> None:
        """Create the marker once more; note whether the storage limited the rate."""
        nonlocal met_limit
        try:
            backend.create(MARKER, marker)
        except StorageUnavailableError as error:
            if not error.throttled:
                raise
            met_limit = True
            if not answer.is_recent():
                raise
        else:
            raise UnsupportedStoreError(
                f"{backend.url}: the storage accepted a second creation of one key, so two writers could both get a "
                "version",
                hint="Use a storage that honours conditional writes (If-None-Match, ifGenerationMatch, link). "
                "Reading works as before; nothing was registered.",
                key=MARKER,
            )

    try:
        patiently(create, clock)
    except AlreadyExistsError:
        if met_limit:
            answer.keep()
    except UnsupportedStoreError:
        answer.forget()
        raise


class _Answer:
    """The last answer to a client of this user: an empty file in the user's cache folder, whose time counts."""

    def __init__(self, of: str) -> None:
        self._name = hashlib.sha256(of.encode()).hexdigest()

    def is_recent(self) -> bool:
        """Whether the storage refused a second creation within the last day."""
        return self._attempt(lambda path: 0 <= time.time() - path.stat().st_mtime < HOLDS_SECONDS) or False

    def keep(self) -> None:
        """Record that the storage refused just now."""

        def touch(path: Path) -> None:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch()
            os.utime(path)

        self._attempt(touch)

    def forget(self) -> None:
        """Discard all earlier answers."""
        self._attempt(lambda path: path.unlink(missing_ok=True))

    def _attempt(self, work: Callable[[Path], bool | None]) -> bool | None:
        """Call ``work`` with the file. Without a cache folder that belongs only to this user, remember nothing."""
        from metamlflow.store.cache.leases import default_folder
        from metamlflow.store.cache.privacy import make_private

        with suppress(OSError, MetaMLFlowError):
            folder = default_folder().expanduser().absolute()
            make_private(folder)
            return work(folder / "probes" / self._name)
        return None


def check_length(url: str, backend: Backend) -> None:
    """Refuse a place below which the longest key of the format does not fit.

    Raises:
        InvalidInputError: it is too deep.
    """
    if backend.max_key_bytes < LONGEST_KEY:
        raise InvalidInputError(
            f"{url}: the place is too deep: keys may take {backend.max_key_bytes} bytes below it, "
            f"and the format needs {LONGEST_KEY}",
            hint="Choose a shorter path or prefix for the store.",
        )
