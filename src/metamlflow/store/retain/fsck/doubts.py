"""What the storage refuses to say at a second look: the examination goes on, and its report tells what is not known."""

from __future__ import annotations

from types import TracebackType

from metamlflow.errors import AccessDeniedError, StorageUnavailableError
from metamlflow.store.retain.fsck.report import FsckFinding, found

REFUSALS = (AccessDeniedError, StorageUnavailableError)


class Doubts:
    """The objects that could not be looked at again. Nothing is said of what hangs on them but that.

    Attributes:
        findings: one for each refusal.
    """

    def __init__(self) -> None:
        self.findings: list[FsckFinding] = []

    def about(self, key: str, name: str = "", version: int | None = None) -> _Look:
        """Return a context in which a refusal of the storage is noted, and ends nothing but the context.

        Args:
            key: what is looked at.
            name: the artifact that it is about; empty for none.
            version: its version; None for none.
        """
        return _Look(self, key, name, version)


class _Look:
    def __init__(self, doubts: Doubts, key: str, name: str, version: int | None) -> None:
        self._doubts = doubts
        self._at = key, name, version

    def __enter__(self) -> None:
        """Nothing is noted yet."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> bool:
        if not isinstance(error, REFUSALS):
            return False
        key, name, version = self._at
        message = f"{key} could not be looked at again: {error.message}"
        self._doubts.findings.append(found("look-refused", key, message, name=name, version=version))
        return True
