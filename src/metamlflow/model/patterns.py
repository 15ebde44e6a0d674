"""Patterns over artifact names, such as ``team/*``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from metamlflow.errors import InvalidNameError
from metamlflow.model.names import name_problem
from metamlflow.redaction import without_secrets

MAX_PATTERN_CHARACTERS = 400
_PARTS = re.compile(r"\*\*|\*|\?|[^*?]+")
_ALLOWED = re.compile(r"[A-Za-z0-9._/*?-]+")
_RULE = (
    "In a pattern `*` stands for any characters of one segment, `**` for any characters, slashes included, and `?` for "
    "one character: `team/*`, `team/**`. A pattern without them is a name."
)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern over artifact names; ``parse(str(x)) == x``.

    Attributes:
        text: the pattern as it was given.
    """

    text: str

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return ``value`` as a pattern.

        Raises:
            InvalidNameError: it is not a text of the form above, or matches no name at all.
        """
        if not isinstance(value, str):
            raise InvalidNameError(f"a pattern of names is a text, not {type(value).__name__}", hint=_RULE, value=value)
        if problem := pattern_problem(value):
            shown = repr(without_secrets(value)[:80])
            raise InvalidNameError(f"{shown} is not a pattern of names: {problem}", hint=_RULE, value=value)
        return cls(value)

    def __str__(self) -> str:
        return self.text

    @property
    def is_name(self) -> bool:
        """Whether it is the name of one artifact."""
        return not any(sign in self.text for sign in "*?")

    @property
    def literal_characters(self) -> int:
        """The number of characters that stand for themselves: of two patterns, the one with more is closer."""
        return sum(character not in "*?" for character in self.text)

    def matches(self, name: str) -> bool:
        """Whether the whole name fits. Upper and lower case are different."""
        # Not by a regular expression: one with many stars takes for ever on a name that almost fits.
        ends = {0}
        for part in _PARTS.findall(self.text):
            ends = _ends_after(part, name, ends)
            if not ends:
                return False
        return len(name) in ends


def _ends_after(part: str, name: str, starts: set[int]) -> set[int]:
    """Return where in a name a part of a pattern may end that may start at these places."""
    if part == "**":
        return set(range(min(starts), len(name) + 1))
    if part == "*":
        return {end for start in starts for end in range(start, _end_of_segment(name, start) + 1)}
    if part == "?":
        return {start + 1 for start in starts if start < _end_of_segment(name, start)}
    return {start + len(part) for start in starts if name.startswith(part, start)}


def _end_of_segment(name: str, start: int) -> int:
    slash = name.find("/", start)
    return len(name) if slash < 0 else slash


def name_patterns(value: object) -> tuple[NamePattern, ...]:
    """Return a pattern or several, as a caller gives them.

    Raises:
        InvalidNameError: there is none, or one is malformed.
    """
    given = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if not given:
        raise InvalidNameError("no name was given", hint=_RULE, value=())
    return tuple(map(NamePattern.parse, given))


def pattern_problem(value: str) -> str | None:
    """Return what is wrong with ``value`` as a pattern, or None."""
    if not value or len(value) > MAX_PATTERN_CHARACTERS:
        return "it is empty" if not value else f"it has {len(value):,} characters"
    if not any(sign in value for sign in "*?"):
        return name_problem(value)
    if not _ALLOWED.fullmatch(value):
        return "it holds a character that no name has"
    if value.startswith("/") or value.endswith("/") or "//" in value:
        return "it has an empty segment"
    return "it has more than two stars in a row" if "***" in value else None
