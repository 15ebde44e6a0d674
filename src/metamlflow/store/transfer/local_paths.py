"""Paths of this machine in full, where a home folder or a working folder may be missing."""

from __future__ import annotations

import os

from metamlflow.errors import InvalidInputError


def local_path(place: str) -> str | None:
    """Return the path that a caller named, as it is or as a ``file://`` URL; None if it is another URL.

    ``~`` is the home folder. It stays relative, for a link before a ``..`` is followed only by the system.

    Raises:
        InvalidInputError: it needs a home folder, and there is none.
    """
    if "://" in place and not place.startswith("file://"):
        return None
    return _from_home(place.removeprefix("file://"))


def absolute_path(path: str) -> str:
    """Return a path in full: ``~`` is the home folder, and a relative one lies in the working folder. Keeps links.

    Raises:
        InvalidInputError: it needs a home folder or a working folder, and there is none.
    """
    full = _from_home(path)
    try:
        return os.path.abspath(full)  # noqa: PTH100 (keeps links unresolved)
    except OSError as error:
        raise InvalidInputError(
            f"{path!r:.300} is relative to the working folder, which was deleted or cannot be read",
            hint="Change to a folder that exists, or give the path in full.",
        ) from error


def _from_home(path: str) -> str:
    # Not Path.expanduser: it fails for a file named "~x" where os.path's leaves the name alone.
    full = os.path.expanduser(path)  # noqa: PTH111
    if full == "~" or full.startswith("~/"):
        raise InvalidInputError(
            f"{path!r:.300} lies in the home folder, and this user has none",
            hint="Give the path in full, or set HOME.",
        )
    return full
