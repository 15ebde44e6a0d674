"""What keeps an object although it was deleted, or from being deleted: optional, found by type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from metamlflow.backend.seam import Backend
from metamlflow.errors import MetaMLFlowError


@runtime_checkable
class TellsRetention(Protocol):
    """A backend that knows what its storage keeps after a deletion."""

    def retention(self) -> Sequence[str]:
        """Return what is kept, a sentence each: older versions, soft deletion, locks. A request or two."""


def retention_notes(backend: Backend) -> list[str]:
    """Return what a storage keeps after a deletion, as far as it tells; a failure is told as well."""
    if not isinstance(backend, TellsRetention):
        return []
    try:
        return list(backend.retention())
    except MetaMLFlowError as error:
        return [f"whether the storage keeps what is deleted is not known: {error.message}"]
