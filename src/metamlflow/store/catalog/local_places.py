"""Whether a file of this machine lies below a place, by which folders these are: one may be spelled in many ways.

A path leads elsewhere by links, in other letters where the disk does not tell them apart, through a folder that is
mounted twice, and below ``/proc``, where the path of a link does not tell where it leads.
"""

from __future__ import annotations

import os
from functools import cached_property

_LOOKS = 3  # a file may be replaced between two of them


class LocalPath:
    """A path of this machine, and where it leads. What was seen of it once is held, so it is for one decision."""

    def __init__(self, path: str) -> None:
        self._path = path

    @cached_property
    def _real(self) -> str | None:
        """The path without links; None if no path tells where it leads, as into another process's root."""
        for _ in range(_LOOKS):
            real = os.path.realpath(self._path)
            if _identity(self._path) == _identity(real):
                return real
        return None

    @cached_property
    def _folders(self) -> set[tuple[int, int]]:
        """Which folders it lies in, and which file it is."""
        found, path, above = set[tuple[int, int]](), "", self._real or ""
        while path != above:
            if identity := _identity(above):
                found.add(identity)
            path, above = above, os.path.dirname(above)  # noqa: PTH120 (for each file of a version)
        return found

    @property
    def is_known(self) -> bool:
        """Whether it can be told where it leads."""
        return self._real is not None

    def lies_below(self, place: str) -> bool:
        """Whether it leads to a place or below it."""
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
