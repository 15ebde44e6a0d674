"""Showing texts that look alike so that a person can tell them apart: of two, where they differ is escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

_LETTERS = frozenset("LN")
_LONGEST = 4096


def told_apart(wanted: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """Return a text and those that it may be taken for, quoted; what looks alike and differs is escaped in both.

    Precomposed and decomposed letters, letters of another script, blanks of another kind and characters without a shape
    are told apart so. A difference that can be seen stays as it is.
    """
    own, others = repr(wanted), []
    for text in known:
        first, second = _pair(wanted, text)
        own = first if own == repr(wanted) else own
        others.append(second)
    return own, others


def quoted(texts: Iterable[str]) -> list[str]:
    """Return texts quoted, each told apart from those before it."""
    found: list[str] = []
    shown: list[str] = []
    for text in texts:
        own, before = told_apart(text, found)
        shown = [new if old == repr(known) else old for old, new, known in zip(shown, before, found, strict=True)]
        found.append(text)
        shown.append(own)
    return shown


def alike(one: str, other: str) -> bool:
    """Whether two texts are one text to a reader: they differ in normal form, in case, or in what has no shape."""
    return _outline(one) == _outline(other)


def _outline(text: str) -> str:
    shaped = (char for char in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(char)[0] != "C")
    return " ".join("".join(shaped).split())


def _pair(one: str, other: str) -> tuple[str, str]:
    if one == other or (one.isascii() and other.isascii()) or max(len(one), len(other)) > _LONGEST:
        return repr(one), repr(other)
    first, second = list(one), list(other)
    for what, start, end, begin, stop in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if what != "equal" and _confusing(one[start:end], other[begin:stop]):
            first[start:end] = map(_escaped, one[start:end])
            second[begin:stop] = map(_escaped, other[begin:stop])
    return _quoted(first), _quoted(second)


def _confusing(one: str, other: str) -> bool:
    """Whether a difference may not be seen."""
    if any(not char.isascii() and unicodedata.category(char)[0] not in _LETTERS for char in one + other):
        return True
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        return True
    return bool(one and other) and _scripts(one) != _scripts(other)


def _scripts(text: str) -> set[str]:
    """Return the scripts of a text's letters and digits, such as LATIN: the first word of a character's name."""
    return {unicodedata.name(char, "?").split()[0] for char in text if char.isalnum()}


def _escaped(char: str) -> str:
    return char if char.isascii() else ascii(char)[1:-1]


def _quoted(parts: Sequence[str]) -> str:
    # What is one character yet is shown as repr() shows it; what is longer is escaped already.
    return "'" + "".join(part if len(part) > 1 else "\\'" if part == "'" else repr(part)[1:-1] for part in parts) + "'"


def foreign_character(text: str, allowed: str) -> str | None:
    """Return the first character of a text that is neither a letter or digit of ASCII nor ``allowed``, told by name."""
    for char in text:
        if not (char.isascii() and char.isalnum()) and char not in allowed:
            name = unicodedata.name(char, "")
            return repr(char) if char.isascii() else f"{char!a} (U+{ord(char):04X}{f' {name}' if name else ''})"
    return None
