"""What keeps an object although it was deleted, or from being deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol, runtime_checkable

from metamlflow.backend.diagnosis import Diagnosable
from metamlflow.backend.seam import Backend
from metamlflow.errors import MetaMLFlowError

_TOLD = {"versioning", "object-lock", "retention", "soft-delete"}
_NOTHING = ("off", "none")


@runtime_checkable
class LocksObjects(Protocol):
    """Optional, for a backend whose storage can refuse to delete an object for a time after it was written."""

    def locked_for(self) -> timedelta | None:
        """Return for how long it does so with each new object; None if it does not. A request or two.

        Raises:
            AccessDeniedError: these credentials may not ask.
        """


def lock_of(backend: Backend) -> tuple[timedelta, list[str]]:
    """Return for how long the storage locks each object, zero if it does not, and why that is not known if so."""
    if not isinstance(backend, LocksObjects):
        return timedelta(), []
    try:
        return backend.locked_for() or timedelta(), []
    except MetaMLFlowError as error:
        return timedelta(), [f"whether the storage locks objects is not known: {error.message}"]


def retention_notes(backend: Backend, marker: str) -> list[str]:
    """Return what a storage keeps of what is deleted, as far as it tells: older versions, locks, soft deletion.

    Args:
        backend: the storage.
        marker: the key of the record that every store has.
    """
    return list(_notes(backend, marker)) if isinstance(backend, Diagnosable) else []


def _notes(backend: Diagnosable, marker: str) -> Iterator[str]:
    for examination in backend.examinations(marker):
        if examination.name not in _TOLD:
            continue
        try:
            found = examination.look().found
        except MetaMLFlowError as error:
            found = f"not known: {error.message}"
        if not found.startswith(_NOTHING):
            yield f"{examination.name}: {found}"
