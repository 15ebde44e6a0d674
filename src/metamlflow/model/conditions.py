"""Conditions on a version, such as ``metadata.accuracy < 0.5 and artifact_type == "model"``: parsed, never executed.

The grammar is small: comparisons of fields and values, ``in``, ``and``, ``or``, ``not`` and parentheses. Types are
strict, and what cannot be told is neither true nor false: a missing field, or a text where a number is compared. Such a
condition does not hold, and its negation does not hold either, so that nothing is found, or deleted, by a mistake in
it. The reason is returned with the answer.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from metamlflow.model.condition_words import ConditionReader, Token, date_of
from metamlflow.model.manifests import Manifest
from metamlflow.model.metadata import decode

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FIELDS = (
    "name",
    "version",
    "artifact_type",
    "kind",
    "created_at",
    "created_by",
    "size",
    "files",
    "folders",
    "digest",
    "artifact_id",
    "run",
    "writer",
)
"""The fields of a version that a condition may name, beside ``metadata.<name>``. Sizes are in bytes."""
METADATA = "metadata"
_MISSING = object()


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


@dataclass(frozen=True)
class Condition:
    """A condition on a version.

    Attributes:
        text: the condition as it was given.
    """

    text: str
    _root: _Term

    @classmethod
    def parse(cls, text: str, what: str = "condition") -> Self:
        """Read a condition.

        Args:
            text: such as ``metadata.accuracy < 0.5``.
            what: the name of the caller's argument, for messages.

        Raises:
            InvalidInputError: it is malformed, or names an unknown field; the message shows the place.
        """
        reader = ConditionReader(text, what)
        root = _either(reader)
        reader.expect_end()
        return cls(text, root)

    def __repr__(self) -> str:
        return f"<Condition {self.text!r:.200}>"

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether it holds for these facts: the values of :data:`FIELDS`, and an object ``metadata``."""
        return self._root.answer(facts)


def facts_of(manifest: Manifest) -> dict[str, Any]:
    """Return what a condition may ask of a version."""
    facts = {name: getattr(manifest, name) for name in FIELDS}
    return {**facts, METADATA: decode(manifest.metadata)}


# --- the terms of a condition -----------------------------------------------------------------------------------------


class _Term(Protocol):
    def answer(self, facts: Mapping[str, Any]) -> Answer: ...


@dataclass(frozen=True, slots=True)
class _All:
    """``and``, or with ``any_of`` ``or``: certain as soon as one term decides, whatever is unknown of the others."""

    terms: tuple[_Term, ...]
    any_of: bool

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        unknown: Answer | None = None
        for term in self.terms:
            found = term.answer(facts)
            if found.holds is self.any_of:
                return found
            if found.holds is None and unknown is None:
                unknown = found
        return Answer(not self.any_of) if unknown is None else unknown


@dataclass(frozen=True, slots=True)
class _Not:
    term: _Term

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        found = self.term.answer(facts)
        return found if found.holds is None else Answer(not found.holds)


@dataclass(frozen=True, slots=True)
class _Value:
    """A value that is written in the condition."""

    value: Any
    token: Token

    def of(self, facts: Mapping[str, Any]) -> Any:  # noqa: ARG002 (as a field's)
        return self.value


@dataclass(frozen=True, slots=True)
class _Field:
    path: tuple[str, ...]
    token: Token

    def of(self, facts: Mapping[str, Any]) -> Any:
        found: Any = facts
        for name in self.path:
            if not isinstance(found, Mapping) or name not in found:
                return _MISSING
            found = found[name]
        return found

    def __str__(self) -> str:
        return ".".join(self.path)

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether the field is true: a condition may be a field alone."""
        value = self.of(facts)
        if value is _MISSING:
            return Answer(None, f"it has no {self}")
        return (
            Answer(value) if isinstance(value, bool) else Answer(None, f"{self} is {_kind(value)}, not true or false")
        )


_Operand = _Value | _Field


@dataclass(frozen=True, slots=True)
class _Comparison:
    left: _Operand
    sign: str
    right: _Operand

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        left, right = self.left.of(facts), self.right.of(facts)
        for side, value in ((self.left, left), (self.right, right)):
            if value is _MISSING:
                return Answer(None, f"it has no {side}")
        if self.sign in {"in", "not in"}:
            return self._member(left, right)
        return _compared(left, self.sign, right, self._named())

    def _named(self) -> str:
        return str(self.left if isinstance(self.left, _Field) else self.right)

    def _member(self, left: Any, right: Any) -> Answer:
        if not isinstance(right, list | tuple):
            return Answer(None, f"{self.right} is {_kind(right)}, not a list")
        terms = [_compared(left, "==", item, self._named()) for item in right]
        if any(terms):
            return Answer(self.sign == "in")
        unknown = next((term for term in terms if term.holds is None), None)
        return Answer(self.sign == "not in") if unknown is None else unknown


def _compared(left: Any, sign: str, right: Any, named: str) -> Answer:
    problem = _incomparable(left, sign, right)
    if problem is not None:
        return Answer(None, f"{named}{problem}")
    if sign in {"==", "!="}:
        return Answer((left == right) is (sign == "=="))
    return Answer(bool(_ORDERED[sign](left, right)))


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


# --- reading ----------------------------------------------------------------------------------------------------------


def _either(reader: ConditionReader) -> _Term:
    return _joined(reader, "or", _both)


def _both(reader: ConditionReader) -> _Term:
    return _joined(reader, "and", _negated)


def _joined(reader: ConditionReader, word: str, part: Callable[[ConditionReader], _Term]) -> _Term:
    terms = [part(reader)]
    while reader.take(word):
        terms.append(part(reader))
    return terms[0] if len(terms) == 1 else _All(tuple(terms), any_of=word == "or")


def _negated(reader: ConditionReader) -> _Term:
    with reader.deeper():
        if reader.take("not"):
            return _Not(_negated(reader))
        if reader.take("("):
            inner = _either(reader)
            reader.expect(")")
            return inner
        return _comparison(reader)


def _comparison(reader: ConditionReader) -> _Term:
    left = _operand(reader)
    sign = reader.take_sign()
    if sign is None:
        if isinstance(left, _Field):
            return left
        raise reader.wrong("expected a comparison, such as metadata.accuracy < 0.5")
    right = _operand(reader, may_be_list=sign.text in {"in", "not in"})
    if sign.text in {"in", "not in"} and isinstance(right, _Value) and not isinstance(right.value, list):
        raise reader.wrong("expected a list, such as [1, 2], or a field", right.token)
    if isinstance(left, _Value) and isinstance(right, _Value):
        raise reader.wrong("expected a field on one side, such as metadata.accuracy", left.token)
    if (further := reader.take_sign()) is not None:
        raise reader.wrong("expected 'and': write a < b and b < c", further)
    return _Comparison(_as_time(reader, left, right), sign.text, _as_time(reader, right, left))


def _operand(reader: ConditionReader, *, may_be_list: bool = False) -> _Operand:
    if may_be_list and (start := reader.take("[") or reader.take("(")):
        closing = "]" if start.text == "[" else ")"
        values = []
        while not reader.take(closing):
            values.append(reader.value().value)
            if not reader.take(","):
                reader.expect(closing)
                break
        return _Value(values, start)
    token = reader.operand()
    if token.path is None:
        return _Value(token.value, token)
    if token.path[0] == METADATA and len(token.path) > 1:
        return _Field(token.path, token)
    if token.path[0] in FIELDS and len(token.path) == 1:
        return _Field(token.path, token)
    raise reader.unknown_field(token, (*FIELDS, "metadata.<name>"))


def _as_time(reader: ConditionReader, operand: _Operand, other: _Operand) -> _Operand:
    """Return a text that is compared with a time as a time, or the operand as it is."""
    if not isinstance(operand, _Value) or not isinstance(other, _Field) or other.path != ("created_at",):
        return operand
    values = operand.value if isinstance(operand.value, list) else [operand.value]
    times = [date_of(value) for value in values]
    if None in times:
        raise reader.wrong("expected a date or time in UTC, such as '2026-01-31'", operand.token)
    return _Value(times if isinstance(operand.value, list) else times[0], operand.token)
