"""Conditions on a version, such as ``metadata.accuracy < 0.5 and artifact_type == "model"``: parsed, never executed.

The grammar is small: comparisons of fields and values, ``in``, ``and``, ``or``, ``not`` and parentheses. Types are
strict, and what cannot be told is neither true nor false: a missing field, or a text where a number is compared. Such a
condition does not hold, and its negation does not hold either, so that nothing is found, or deleted, by a mistake in
it. The reason is returned with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from metamlflow.model.condition_fields import OF_VERSIONS
from metamlflow.model.condition_terms import (
    MATCHING,
    MEMBERSHIP,
    Answer,
    Comparison,
    Field,
    Joined,
    Negated,
    Operand,
    Term,
    Value,
)
from metamlflow.model.condition_words import ConditionReader, Vocabulary, date_of
from metamlflow.model.patterns import MAX_PATTERN_CHARACTERS


@dataclass(frozen=True)
class Condition:
    """A condition on a version.

    Attributes:
        text: the condition as it was given.
        root: what it says.
    """

    text: str
    root: Term

    @classmethod
    def parse(cls, text: str, what: str = "condition", words: Vocabulary = OF_VERSIONS) -> Self:
        """Read a condition.

        Args:
            text: such as ``metadata.accuracy < 0.5``.
            what: the name of the caller's argument, for messages.
            words: the fields that it may name.

        Raises:
            InvalidInputError: it is malformed, or names an unknown field; the message shows the place.
        """
        reader = ConditionReader(text, what, words)
        root = _either(reader)
        reader.expect_end()
        return cls(text, root)

    def __repr__(self) -> str:
        return f"<Condition {self.text!r:.200}>"

    def answer(self, facts: Mapping[str, Any]) -> Answer:
        """Return whether it holds for these facts: the values of the fields, by name."""
        return self.root.answer(facts)


# --- reading ----------------------------------------------------------------------------------------------------------


def _either(reader: ConditionReader) -> Term:
    return _joined(reader, "or", _both)


def _both(reader: ConditionReader) -> Term:
    return _joined(reader, "and", _negated)


def _joined(reader: ConditionReader, word: str, part: Callable[[ConditionReader], Term]) -> Term:
    terms = [part(reader)]
    while reader.take(word):
        terms.append(part(reader))
    return terms[0] if len(terms) == 1 else Joined(tuple(terms), any_of=word == "or")


def _negated(reader: ConditionReader) -> Term:
    with reader.deeper():
        if reader.take("not"):
            return Negated(_negated(reader))
        if reader.take("("):
            inner = _either(reader)
            reader.expect(")")
            return inner
        return _comparison(reader)


def _comparison(reader: ConditionReader) -> Term:
    left = _operand(reader)
    sign = reader.take_sign()
    if sign is None:
        if isinstance(left, Field):
            return left
        raise reader.wrong("expected a comparison, such as metadata.accuracy < 0.5")
    right = _operand(reader, may_be_list=sign.text in MEMBERSHIP)
    if sign.text in MEMBERSHIP and isinstance(right, Value) and not isinstance(right.value, list):
        raise reader.wrong("expected a list, such as [1, 2], or a field", right.token)
    if isinstance(left, Value) and isinstance(right, Value):
        raise reader.wrong("expected a field on one side, such as metadata.accuracy", left.token)
    if sign.text in MATCHING:
        _check_pattern(reader, left, right)
    if (further := reader.take_sign()) is not None:
        raise reader.wrong("expected 'and': write a < b and b < c", further)
    return Comparison(_as_time(reader, left, right), sign.text, _as_time(reader, right, left))


def _check_pattern(reader: ConditionReader, left: Operand, right: Operand) -> None:
    if not isinstance(left, Field):
        raise reader.wrong("expected a field before 'matches'", left.token)
    if not isinstance(right, Value) or not isinstance(right.value, str):
        raise reader.wrong("expected a pattern in quotes, such as 'team/*'", right.token)
    if not 0 < len(right.value) <= MAX_PATTERN_CHARACTERS:
        raise reader.wrong(f"expected a pattern of 1 to {MAX_PATTERN_CHARACTERS} characters", right.token)


def _operand(reader: ConditionReader, *, may_be_list: bool = False) -> Operand:
    if may_be_list and (start := reader.take("[") or reader.take("(")):
        closing = "]" if start.text == "[" else ")"
        values = []
        while not reader.take(closing):
            values.append(reader.value().value)
            if not reader.take(","):
                reader.expect(closing)
                break
        return Value(values, start)
    token = reader.operand()
    if token.path is None:
        return Value(token.value, token)
    path = reader.words.path(token.path)
    if path is None:
        raise reader.unknown_field(token)
    return Field(path, token)


def _as_time(reader: ConditionReader, operand: Operand, other: Operand) -> Operand:
    """Return a text that is compared with a time as a time, or the operand as it is."""
    if not isinstance(operand, Value) or not isinstance(other, Field) or other.path[0] not in reader.words.times:
        return operand
    values = operand.value if isinstance(operand.value, list) else [operand.value]
    times = [None if value is None else date_of(value) or _no_time(reader, operand) for value in values]
    return Value(times if isinstance(operand.value, list) else times[0], operand.token)


def _no_time(reader: ConditionReader, operand: Operand) -> NoReturn:
    raise reader.wrong("expected a date or time in UTC, such as '2026-01-31'", operand.token)
