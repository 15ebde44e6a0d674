"""The terms of a condition: each answers True, False or "cannot be told" for the facts of one version or run."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from metamlflow.model.condition_words import Token
from metamlflow.model.patterns import NamePattern

ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MEMBERSHIP = frozenset({"in", "not in"})
MATCHING = frozenset({"matches", "not matches"})
MOST_MATCHED = 1_000
"""Characters of a text that a pattern is compared with: longer ones would take long, and match nothing."""
MISSING: Any = object()
"""What a field stands for that a version does not have."""


class Several(tuple[str, ...]):
    """The values of a field that has any number of them, such as ``input``: a comparison holds if it does for one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a condition holds for a version.

    Attributes:
        holds: True or False; None if it cannot be told.
        reason: why it cannot be told; otherwise empty.
    """

    holds: bool | None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.holds is True


class Term(Protocol):
    """What a condition is made of."""

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether it holds for these facts."""


@dataclass(frozen=True, slots=True)
class Joined:
    """``and``, or with ``any_of`` ``or``: certain as soon as one term decides, whatever is unknown of the others."""

    terms: tuple[Term, ...]
    any_of: bool

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether all terms hold, or with ``any_of`` one of them."""
        unknown: Answer | None = None
        for term in self.terms:
            found = term.answer(facts)
            if found.holds is self.any_of:
                return found
            if found.holds is None and unknown is None:
                unknown = found
        return Answer(not self.any_of) if unknown is None else unknown


@dataclass(frozen=True, slots=True)
class Negated:
    """``not``: what cannot be told stays so."""

    term: Term

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether the term does not hold."""
        found = self.term.answer(facts)
        return found if found.holds is None else Answer(not found.holds)


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is written in the condition."""

    value: Any
    token: Token

    def of(self, facts: Mapping[str, Any]) -> Any:  # noqa: ARG002 (as a field's)
        """Return it, whatever the facts."""
        return self.value


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a version or run, by the names that lead to it."""

    path: tuple[str, ...]
    token: Token

    def of(self, facts: Mapping[str, Any]) -> Any:
        """Return its value, or ``MISSING``."""
        found: Any = facts
        for name in self.path:
            if not isinstance(found, Mapping) or name not in found:
                return MISSING
            found = found[name]
        return found

    def __str__(self) -> str:
        return ".".join(self.path)

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether the field is true: a condition may be a field alone."""
        value = self.of(facts)
        if value is MISSING:
            return Answer(None, f"it has no {self}")
        return (
            Answer(value) if isinstance(value, bool) else Answer(None, f"{self} is {_kind(value)}, not true or false")
        )


Operand = Value | Field


_POSITIVE = {"!=": "==", "not in": "in", "not matches": "matches"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field and a value, or two fields, and the sign between them."""

    left: Operand
    sign: str
    right: Operand

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether it holds; not to be told where a field is missing or has another type."""
        left, right = self.left.of(facts), self.right.of(facts)
        for side, value in ((self.left, left), (self.right, right)):
            if value is MISSING:
                return Answer(None, f"it has no {side}")
        if isinstance(left, Several) or isinstance(right, Several):
            return self._of_several(left, right)
        return self._of_one(left, self.sign, right)

    def _of_one(self, left: Any, sign: str, right: Any) -> Answer:
        if sign in MEMBERSHIP:
            return self._member(left, sign, right)
        if sign in MATCHING:
            return _matched(left, sign, right, self._named())
        return compared(left, sign, right, self._named())

    def _of_several(self, left: Any, right: Any) -> Answer:
        """Compare each of several values; a negative sign is the negation of its positive one."""
        sign = _POSITIVE.get(self.sign, self.sign)
        if not isinstance(left, Several):
            sign = "==" if sign == "in" else sign
            left, right = right, left
        if sign in ORDERED:
            return Answer(None, f"{self._named()} may have several values, which have no order")
        if right is None:
            found = Answer(not left)
        else:
            others = right if isinstance(right, Several) and sign == "==" else (right,)
            found = any_of(self._of_one(value, sign, other) for value in left for other in others)
        return found if sign == self.sign or found.holds is None or self.sign == "in" else Answer(not found.holds)

    def _named(self) -> str:
        return str(self.left if isinstance(self.left, Field) else self.right)

    def _member(self, left: Any, sign: str, right: Any) -> Answer:
        if not isinstance(right, list | tuple):
            return Answer(None, f"{self.right} is {_kind(right)}, not a list")
        found = any_of(compared(left, "==", item, self._named()) for item in right)
        return found if sign == "in" or found.holds is None else Answer(not found.holds)


def any_of(answers: Iterable[Answer]) -> Answer:
    """Return whether one of them holds; if none does, the first that cannot be told, else False."""
    unknown: Answer | None = None
    for found in answers:
        if found:
            return found
        if found.holds is None and unknown is None:
            unknown = found
    return unknown if unknown is not None else Answer(holds=False)


def _matched(value: Any, sign: str, pattern: str, named: str) -> Answer:
    if not isinstance(value, str):
        return Answer(None, f"{named}: {_kind(value)} is compared with a pattern")
    if len(value) > MOST_MATCHED:
        return Answer(None, f"{named} has more than {MOST_MATCHED:,} characters")
    return Answer(NamePattern(pattern).matches(value) is (sign == "matches"))


def compared(left: Any, sign: str, right: Any, named: str) -> Answer:
    """Compare two values; not to be told if their types differ, or have no order."""
    problem = _incomparable(left, sign, right)
    if problem is not None:
        return Answer(None, f"{named}{problem}")
    if sign in {"==", "!="}:
        return Answer((left == right) is (sign == "=="))
    return Answer(bool(ORDERED[sign](left, right)))


def _incomparable(left: Any, sign: str, right: Any) -> str | None:
    """Return why two values cannot be compared, for after the name of the field; or None."""
    kinds = _kind(left), _kind(right)
    if "null" in kinds:
        return None if sign in {"==", "!="} else " is null"
    if kinds[0] != kinds[1]:
        return f": {kinds[0]} is compared with {kinds[1]}"
    if any(isinstance(value, float) and math.isnan(value) for value in (left, right)):
        return " is not a number (NaN)"
    has_order = sign in {"==", "!="} or kinds[0] in {"a number", "a text", "a time"}
    return None if has_order else f" is {kinds[0]}, which has no order"


_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "true or false"),  # before int, which it is in Python
    ((int, float), "a number"),
    ((str,), "a text"),
    ((datetime,), "a time"),
    ((list, tuple), "a list"),
    ((type(None),), "null"),
)


def _kind(value: Any) -> str:
    return next((name for kinds, name in _KINDS if isinstance(value, kinds)), "an object")
