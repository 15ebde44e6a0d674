"""Decide whether a local file is inside a folder by their identities, because a path has many spellings.

A path may lead elsewhere through a link, through other letters on a case-insensitive disk, through a folder that is
mounted twice, or below ``/proc``, where the path of a link does not show its target.
"""

from __future__ import annotations

import os
from functools import cached_property

_LOOKS = 3  # attempts; a file may be replaced between two of them


class LocalPath:
    """A local path and its target. It caches what it finds, so use an instance for one decision only."""

    def __init__(self, path: str) -> None:
        self._path = path

    @cached_property
    def _real(self) -> str | None:
        """The path without links; None if no path reaches the target, as in another process's root."""
        for _ in range(_LOOKS):
            real = os.path.realpath(self._path)
            if _identity(self._path) == _identity(real):
                return real
        return None

    @cached_property
    def _folders(self) -> set[tuple[int, int]]:
        """The identities of the file and of all folders that contain it."""
        found, path, above = set[tuple[int, int]](), "", self._real or ""
        while path != above:
            if identity := _identity(above):
                found.add(identity)
            path, above = above, os.path.dirname(above)  # noqa: PTH120 (for each file of a version)
        return found

    @property
    def is_known(self) -> bool:
        """Whether the target of the path can be determined."""
        return self._real is not None

    def lies_below(self, place: str) -> bool:
        """Whether the path leads to a place or to something inside it."""
        real = os.path.realpath(place)
        if f"{self._real}/".startswith(f"{real.rstrip('/')}/"):
            return True
        return _identity(real) in self._folders


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (as above)
    except OSError:
        return None
    return status.st_dev, status.st_ino
