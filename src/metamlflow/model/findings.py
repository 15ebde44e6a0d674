"""What may be wrong with a file of an artifact, and how hard it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["full", "checksum", "stat"]
LEVELS: tuple[Level, ...] = get_args(Level)
Status = Literal["modified", "missing", "unreadable", "unverifiable"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was registered.

    Attributes:
        path: the file's logical path; empty for the manifest or its list of files.
        status: ``modified``, ``missing``, ``unreadable`` (the storage failed) or ``unverifiable`` (not at this level).
        key: the object in the store, or the URI of what is only pointed to.
        expected: what was registered.
        actual: what was found.
    """

    path: str
    status: Status
    key: str
    expected: str
    actual: str

    def to_json(self) -> dict[str, str]:
        """Return the finding as JSON values."""
        return {name: getattr(self, name) for name in ("path", "status", "key", "expected", "actual")}
