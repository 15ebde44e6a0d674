"""Saying which argument, option or variable was wrong: what reads a value does not know where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from metamlflow.errors import InvalidInputError


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
