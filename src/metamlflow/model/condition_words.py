"""The words of a condition: its text cut into tokens, each with its place, and errors that show the place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from metamlflow.errors import InvalidInputError

MAX_CHARACTERS = 10_000
_MAX_DEPTH = 50
_MAX_DIGITS = 400
_SUCH_AS = 'Such as: metadata.accuracy < 0.5 and artifact_type in ["model"]'
_AROUND = 60  # characters before and after the place that a message shows
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<path>[A-Za-z_]\w*(?:\.[A-Za-z_][\w-]*|\[\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\])*)
    | (?P<sign><=|>=|==|!=|<|>|=|\(|\)|\[|\]|,)
    )""",
    re.VERBOSE | re.ASCII,
)
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*\]", re.ASCII)
_STEPS = (".", "[")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_WORDS = {"and", "or", "not", "in", "matches"}
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_COMPARING = {"<", "<=", ">", ">=", "==", "!=", "in", "matches"}
_NEGATED = {"in", "matches"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a condition.

    Attributes:
        text: as it stands there.
        place: where it begins, in characters from 0.
        value: what it stands for, if it is a value.
        path: the names of a field; None for everything else.
        is_word: whether it is a sign or a word of the grammar.
    """

    text: str
    place: int
    value: Any = None
    path: tuple[str, ...] | None = None
    is_word: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that conditions on one kind of thing may use.

    Attributes:
        plain: fields.
        nested: fields that names follow, as in ``metadata.<name>``.
        times: those of the fields that are times.
        synonyms: other words for fields.
    """

    plain: tuple[str, ...]
    nested: tuple[str, ...]
    times: frozenset[str] = frozenset({"created_at"})
    synonyms: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def path(self, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the path of the field that a path in a condition means, or None if there is none."""
        if len(path) == 1:
            meant = self.synonyms.get(path[0], path[0])
            return (meant,) if meant in self.plain else None
        return path if path[0] in self.nested else None

    def words(self) -> tuple[str, ...]:
        """Return all fields, for messages."""
        return (*self.plain, *(f"{name}.<name>" for name in self.nested))


class ConditionReader:
    """Reads the tokens of a condition one after the other."""

    def __init__(self, text: str, what: str, words: Vocabulary) -> None:
        self._text = text
        self.words = words
        self._what = what
        if not isinstance(text, str):
            raise InvalidInputError(f"{what}: expected a text, got {type(text).__name__}", hint=_SUCH_AS)
        if len(text) > MAX_CHARACTERS:
            raise InvalidInputError(f"{what}: it has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidInputError(f"{what}: it is no valid Unicode (a lone surrogate)")
        self._tokens = list(self._cut())
        self._next = 0
        self._depth = 0

    def take(self, *words: str) -> Token | None:
        """Return the next token if it is one of these words, and go on; otherwise None."""
        token = self._peek()
        if token is None or not token.is_word or token.text not in words:
            return None
        self._next += 1
        return token

    def take_sign(self) -> Token | None:
        """Return the next token if it compares, and go on; ``not in`` is one."""
        if found := self.take(*_COMPARING):
            return found
        following = next(iter(self._tokens[self._next + 1 : self._next + 2]), None)
        token = self._peek()
        if token is None or token.text != "not" or not token.is_word:
            return None
        if following is None or not following.is_word or following.text not in _NEGATED:
            return None
        self._next += 2
        return Token(f"not {following.text}", token.place, is_word=True)

    def expect(self, word: str) -> None:
        """Go on after a word that must come now."""
        if not self.take(word):
            raise self.wrong(f"expected '{word}'")

    def expect_end(self) -> None:
        """Refuse whatever follows."""
        if self._peek() is not None:
            raise self.wrong("expected 'and', 'or' or the end")

    def operand(self) -> Token:
        """Return the next token, which is a field or a value."""
        token = self._peek()
        if token is None or token.is_word:
            raise self.wrong("expected a field or a value")
        self._next += 1
        return token

    def value(self) -> Token:
        """Return the next token, which is a value."""
        token = self._peek()
        if token is None or token.is_word or token.path is not None:
            raise self.wrong("expected a value: a number, a text in quotes, true, false or null")
        self._next += 1
        return token

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Limit how deeply a condition is nested."""
        if self._depth == _MAX_DEPTH:
            raise self.wrong(f"it is nested deeper than {_MAX_DEPTH}")
        self._depth += 1
        yield
        self._depth -= 1

    def wrong(self, problem: str, token: Token | None = None) -> InvalidInputError:
        """Return the error for what stands at a token, by default the next one."""
        found = token or self._peek()
        return self._error(problem, len(self._text) if found is None else found.place)

    def unknown_field(self, token: Token) -> InvalidInputError:
        """Return the error for a field that a version does not have."""
        known = self.words.words()
        error = self._error(f"unknown field {token.text[:80]!r}", token.place)
        first, *others = token.path or ("",)
        fields = self.words.nested if others else known
        near = difflib.get_close_matches(first, fields, n=1, cutoff=0.6)
        meant = f"Did you mean {near[0] + token.text[len(first) :]!r:.80}? " if near else ""
        return error.with_hint(f"{meant}Texts stand in quotes. Fields are {', '.join(known)}.")

    def _error(self, problem: str, place: int) -> InvalidInputError:
        first = max(0, place - _AROUND)
        shown = "".join(c if c.isprintable() else " " for c in self._text[first : place + _AROUND])
        found = f", got {self._text[place : place + 20].split()[0]!r}" if self._text[place:].strip() else ""
        marker = " " * (place - first) + "^"
        if self._text[place : place + 1] in _STEPS and self._text[:place].rstrip()[-1:].isidentifier():
            hint = 'A name that is not made of a-z, 0-9, "_" and "-" stands in brackets and quotes: metadata["my key"].'
        else:
            hint = _SUCH_AS
        return InvalidInputError(
            f"{self._what}: {problem}{found} at character {place + 1}:\n  {shown}\n  {marker}", hint=hint
        )

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _cut(self) -> Iterator[Token]:
        place, end = 0, len(self._text.rstrip())
        while place < end:
            match = _TOKEN.match(self._text, place)
            if match is None:
                raise self._unreadable(place)
            kind = str(match.lastgroup)
            yield self._token(kind, match[kind], match.start(kind))
            place = match.end()

    def _unreadable(self, place: int) -> InvalidInputError:
        place += len(self._text[place:]) - len(self._text[place:].lstrip())
        if self._text[place] in "\"'":
            return self._error("a text without its end", place)
        return self._error("expected a field, a value or a comparison", place)

    def _token(self, kind: str, text: str, place: int) -> Token:
        if kind == "number":
            return Token(text, place, self._number(text, place))
        if kind == "text":
            return Token(text, place, self._unquoted(text, place))
        if text == "=":
            return Token("==", place, is_word=True)
        if kind == "sign" or text in _WORDS:
            return Token(text, place, is_word=True)
        if text in _CONSTANTS:
            return Token(text, place, _CONSTANTS[text])
        first = re.match(r"\w+", text, re.ASCII)
        names = [first[0] if first else text]
        names += [step[1] or self._unquoted(step[2], place) for step in _STEP.finditer(text, len(names[0]))]
        return Token(text, place, path=tuple(names))

    def _number(self, text: str, place: int) -> int | float:
        if len(text) > _MAX_DIGITS:
            raise self._error("a number that is too long", place)
        try:
            return int(text)
        except ValueError:
            value = float(text)
        if value in {float("inf"), float("-inf")}:
            raise self._error("a number that is too large", place)
        return value

    def _unquoted(self, text: str, place: int) -> str:
        def character(match: re.Match[str]) -> str:
            if match[1] not in _ESCAPED:
                raise self._error(f"unknown escape {match[0]!r} in a text", place)
            return _ESCAPED[match[1]]

        return _ESCAPE.sub(character, text[1:-1])


def date_of(value: object) -> datetime | None:
    """Return a text such as ``2026-01-31`` or ``2026-01-31T12:00:00Z`` as a time; UTC if it names no zone."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
