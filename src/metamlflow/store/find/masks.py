"""A condition over whole columns: three answers for each row, as for one version, in a few milliseconds for all.

Values that a column cannot hold as they are (lists, large numbers, long texts) are told by the manifest of the row.
So are comparisons of two fields. The result is that of :class:`~metamlflow.model.conditions.Condition`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from metamlflow.model.condition_fields import ALIAS, COLUMN, COLUMNS, INPUT, METADATA, TAG, TAGS
from metamlflow.model.condition_terms import (
    MEMBERSHIP,
    MISSING,
    ORDERED,
    Answer,
    Comparison,
    Field,
    Joined,
    Negated,
    Several,
    Term,
    Value,
)
from metamlflow.store.find.columns import BOOL, NULL, NUMBER, ODD, TEXT, arrow, path_text
from metamlflow.store.find.refresh import Snapshot

_REMEMBERED = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPARABLE: tuple[frozenset[type], ...] = (frozenset({int, float}), frozenset({str}))
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_QUICK: Mapping[str, Callable[[Any, Any], bool]] = {
    **ORDERED,
    "==": operator.eq,
    "!=": operator.ne,
    "in": lambda value, values: value in values,
    "not in": lambda value, values: value not in values,
}
_DECODED: Mapping[int, Callable[[float | None, str | None], Any]] = {
    NULL: lambda _number, _text: None,
    BOOL: lambda number, _text: bool(number),
    NUMBER: lambda number, _text: number,
    TEXT: lambda _number, text: text,
}


class Masks:
    """The rows of a snapshot for which a condition holds, as far as the columns tell."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._rows = len(snapshot.segments)
        self.odd: set[int] = set()
        """Rows that the columns do not decide."""

    def of(self, term: Term) -> list[bool | None]:
        """Return for each row what a term answers; of the rows in ``odd`` nobody knows."""
        match term:
            case Joined():
                return _joined([self.of(one) for one in term.terms], term.any_of)
            case Negated():
                return [None if answer is None else not answer for answer in self.of(term.term)]
            case Field():
                return self._told(term, lambda value: _alone(term, value))
            case Comparison():
                return self._compared(term)
        raise TypeError(f"unknown term {term!r}")

    def _compared(self, term: Comparison) -> list[bool | None]:
        fields = [side for side in (term.left, term.right) if isinstance(side, Field)]
        if len(fields) > 1:
            self.odd.update(range(self._rows))
            return [None] * self._rows
        return self._told(fields[0], _answering(term, fields[0]))

    def _told(self, field: Field, answer: Callable[[Any], bool | None]) -> list[bool | None]:
        """Return the answers for the values of a field."""
        root = field.path[0]
        if root == METADATA:
            return self._of_metadata(field.path[1:], answer)
        if root in {TAGS, TAG, ALIAS, "title", "description"}:
            return self._of_few(field.path, answer)
        if root in {INPUT, COLUMN, COLUMNS}:
            return self._of_lists(field.path, answer)
        column = self._snapshot.segments.column(root)
        if root == "created_at":
            column = column.cast(arrow().int64())
        return list(map(answer, column.to_pylist()))

    def _of_metadata(self, path: tuple[str, ...], answer: Callable[[Any], bool | None]) -> list[bool | None]:
        import pyarrow.compute as pc

        pa, first, found = arrow(), 0, [answer(MISSING)] * self._rows
        wanted = pa.array([path_text(path), ""], pa.string())
        for chunk in self._snapshot.segments.column("leaves").chunks:
            leaves = chunk.flatten()
            picked = pc.indices_nonzero(pc.is_in(leaves.field("path"), value_set=wanted))
            rows = pc.list_parent_indices(chunk).take(picked).to_pylist()
            told = (leaves.field(name).take(picked).to_pylist() for name in ("kind", "number", "text"))
            for row, kind, number, text in zip(rows, *told, strict=True):
                if kind == ODD:
                    self.odd.add(first + row)
                else:
                    found[first + row] = answer(_DECODED[kind](number, text))
            first += len(chunk)
        return found

    def _of_lists(self, path: tuple[str, ...], answer: Callable[[Any], bool | None]) -> list[bool | None]:
        segments, root = self._snapshot.segments, path[0]
        if root == INPUT:
            return [answer(_named(inputs)) for inputs in segments.column("inputs").to_pylist()]
        names = segments.column("column").to_pylist()
        if root == COLUMN:
            return [answer(Several(found)) for found in names]
        if len(path) > 2:  # noqa: PLR2004 (a column's type has no parts)
            return [answer(MISSING)] * self._rows
        types = segments.column("column_type").to_pylist()
        wanted = path[1]
        return [
            answer(kinds[found.index(wanted)] if wanted in found else MISSING)
            for found, kinds in zip(names, types, strict=True)
        ]

    def _of_few(self, path: tuple[str, ...], answer: Callable[[Any], bool | None]) -> list[bool | None]:
        """Return the answers for what only few rows have, asked for once for all others."""
        snapshot = self._snapshot
        found = [answer(_of_notes({}, path, ()))] * self._rows
        for row in snapshot.aliases.keys() | snapshot.notes.keys():
            notes, aliases = snapshot.notes.get(row, {}), snapshot.aliases.get(row, ())
            found[row] = answer(_of_notes(notes, path, aliases))
        return found


def facts_besides(snapshot: Snapshot, row: int) -> dict[str, Any]:
    """Return what a search knows of a version besides its manifest."""
    notes = snapshot.notes.get(row, {})
    tags = notes.get("tags", {})
    return {
        ALIAS: Several(snapshot.aliases.get(row, ())),
        TAG: Several(tags),
        TAGS: tags,
        "title": notes.get("title"),
        "description": notes.get("description"),
    }


def _of_notes(notes: Mapping[str, Any], path: tuple[str, ...], aliases: Iterable[str]) -> Any:
    root, tags = path[0], notes.get("tags", {})
    if root == ALIAS:
        return Several(aliases)
    if root == TAG:
        return Several(tags)
    if root == TAGS:
        return tags.get(path[1], MISSING) if len(path) == 2 else MISSING  # noqa: PLR2004 (a tag has no parts)
    return notes.get(root)


def _named(inputs: list[str]) -> Several:
    return Several(dict.fromkeys(text for used in inputs for text in (used.partition("@")[0], used)))


def _alone(field: Field, value: Any) -> bool | None:
    """Return what a field that is a condition by itself answers."""
    answer: Answer = Field((field.path[0],), field.token).answer({} if value is MISSING else {field.path[0]: value})
    return answer.holds


def _joined(masks: list[list[bool | None]], any_of: bool) -> list[bool | None]:  # noqa: FBT001 (as of a term)
    """Return ``and`` or ``or`` of answers: one that decides decides, whatever is unknown of the others."""
    joined = masks[0]
    for mask in masks[1:]:
        if any_of:
            joined = [
                True if one or other else None if one is None or other is None else False
                for one, other in zip(joined, mask, strict=True)
            ]
        else:
            joined = [
                False if one is False or other is False else None if one is None or other is None else True
                for one, other in zip(joined, mask, strict=True)
            ]
    return joined


# --- one value after the other ----------------------------------------------------------------------------------------


def _answering(term: Comparison, field: Field) -> Callable[[Any], bool | None]:
    """Return what answers a comparison for a value of its field: as the term does, and quicker where types agree."""
    is_left = field is term.left
    given = term.right if is_left else term.left
    assert isinstance(given, Value)  # noqa: S101 (for the type checker)
    value = _microseconds(given.value) if field.path == ("created_at",) else given.value
    other = Value(value, given.token)

    @lru_cache(_REMEMBERED, typed=True)  # True and 1 are equal, and not the same
    def slowly(found: Any) -> bool | None:
        if found is MISSING:
            return None
        fixed = Value(found, field.token)
        one = Comparison(fixed, term.sign, other) if is_left else Comparison(other, term.sign, fixed)
        return one.answer({}).holds

    sign = term.sign if is_left else _MIRRORED.get(term.sign, term.sign)
    values = value if isinstance(value, list) else [value]
    types = next((types for types in _COMPARABLE if all(type(one) in types for one in values)), frozenset[type]())
    if not types or sign not in _QUICK or (sign in MEMBERSHIP) != isinstance(value, list):
        return slowly
    compare, right = _QUICK[sign], frozenset(values) if isinstance(value, list) else value
    return lambda found: compare(found, right) if type(found) in types else slowly(found)


def _microseconds(value: Any) -> Any:
    """Return times as numbers, as the columns hold them."""
    if isinstance(value, list):
        return [_microseconds(one) for one in value]
    return (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value
