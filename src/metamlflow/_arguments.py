"""Reading what callers give, in one way for arguments, options of the command line and environment variables.

Code that reads a value does not know where the value came from: its caller names the place in the error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal

from metamlflow.errors import InvalidInputError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(|[kmgt]?b|[kmgt]ib)")
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def blame(error: InvalidInputError, place: str) -> None:
    """Put the place of the value in front of an error's message, unless the message begins with it."""
    if not error.message.startswith(place):
        error.message = f"{place}: {error.message}"
        error.args = (error.message,)


def blame_by_names(error: InvalidInputError, names: Mapping[str, str]) -> None:
    """Begin an error's message with the name that its reader knows an argument by."""
    for given, known in names.items():
        if error.message.startswith(f"{given}: "):
            error.message = known + error.message.removeprefix(given)
            error.args = (error.message,)
            return


@contextmanager
def blamed_on(place: str) -> Iterator[None]:
    """Name the argument, option or variable in front of whatever InvalidInputError is raised inside."""
    try:
        yield
    except InvalidInputError as error:
        blame(error, place)
        raise


def parse_size(text: str) -> int:
    """Read ``10GB`` (1000s), ``500 MiB`` (1024s) or plain bytes; case does not matter.

    Raises:
        InvalidInputError: it is none of these.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if not match:
        message = f"{text!r:.80} is not a size"
        raise InvalidInputError(message, hint="Give bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB.")
    number, unit = match[1], match[2]
    return int(Decimal(number) * (1024 if "i" in unit else 1000) ** _POWERS[unit[:1]])


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
