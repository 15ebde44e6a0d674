"""Saying which argument, option or variable was wrong: what reads a value does not know where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from metamlflow.errors import InvalidInputError


def blame(error: InvalidInputError, place: str) -> None:
    """Put the place of the value in front of an error's message, unless the message begins with it."""
    if not error.message.startswith(place):
        error.message = f"{place}: {error.message}"
        error.args = (error.message,)


@contextmanager
def blamed_on(place: str) -> Iterator[None]:
    """Name the argument, option or variable in front of whatever InvalidInputError is raised inside."""
    try:
        yield
    except InvalidInputError as error:
        blame(error, place)
        raise
