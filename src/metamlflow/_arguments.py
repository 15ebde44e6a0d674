"""Parsing of values from arguments, options of the command line and environment variables, in one way for all three.

Code that parses a value does not know where the value came from: its caller names the place in the error.
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
    """Prefix an error's message with the place of the invalid value, unless the message begins with it."""
    if not error.message.startswith(place):
        error.message = f"{place}: {error.message}"
        error.args = (error.message,)


def blame_by_names(error: InvalidInputError, names: Mapping[str, str]) -> None:
    """Replace the argument's name at the beginning of an error's message by the name that the reader knows."""
    for given, known in names.items():
        if error.message.startswith(f"{given}: "):
            error.message = known + error.message.removeprefix(given)
            error.args = (error.message,)
            return


@contextmanager
def blamed_on(place: str) -> Iterator[None]:
    """Prefix every InvalidInputError that is raised inside with the argument, option or variable."""
    try:
        yield
    except InvalidInputError as error:
        blame(error, place)
        raise


def parse_size(text: str) -> int:
    """Return the bytes of a size such as ``10GB`` (1000s), ``500 MiB`` (1024s) or plain bytes; case is ignored.

    Raises:
        InvalidInputError: it is not a size.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if not match:
        message = f"{text!r:.80} is not a size"
        raise InvalidInputError(message, hint="Give bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB.")
    number, unit = match[1], match[2]
    return int(Decimal(number) * (1024 if "i" in unit else 1000) ** _POWERS[unit[:1]])


def local_path(place: str) -> str | None:
    """Return a local path from a path or a ``file://`` URL; None for any other URL.

    ``~`` is the home folder. A relative path stays relative: only the system can follow a link before a ``..``.

    Raises:
        InvalidInputError: it needs a home folder, and this user has none.
    """
    if "://" in place and not place.startswith("file://"):
        return None
    return _from_home(place.removeprefix("file://"))


def absolute_path(path: str) -> str:
    """Return the absolute path: ``~`` is the home folder, a relative path starts at the working folder. Keeps links.

    Raises:
        InvalidInputError: it needs a home folder or a working folder that does not exist, or no file can have it.
    """
    if "\0" in path:
        raise InvalidInputError(f"{path!r:.300} is no path: it holds a NUL character", hint="Give the path of a file.")
    full = _from_home(path)
    try:
        return os.path.abspath(full)  # noqa: PTH100 (keeps links unresolved)
    except OSError as error:
        raise InvalidInputError(
            f"{path!r:.300} is relative to the working folder, which was deleted or cannot be read",
            hint="Change to a folder that exists, or give the path in full.",
        ) from error


def _from_home(path: str) -> str:
    # Path.expanduser fails for a file named "~x"; os.path's leaves the name unchanged.
    full = os.path.expanduser(path)  # noqa: PTH111
    if full == "~" or full.startswith("~/"):
        raise InvalidInputError(
            f"{path!r:.300} is in the home folder, and this user has none",
            hint="Give the path in full, or set HOME.",
        )
    return full
