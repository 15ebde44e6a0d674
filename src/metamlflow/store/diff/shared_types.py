"""The types in which duckdb compares the values of two columns, so that no two different values become equal.

A type that would round values is never chosen: rows that differ would be counted as unchanged. duckdb has intervals of
microseconds where Arrow has durations of nanoseconds, and takes a double for the common type of int64 and double.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MOST_DIGITS = 38  # of a decimal of duckdb
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}  # of an integer, by its bits
_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}  # in nanoseconds
# As text, since no type holds all integers and all fractions. -0.0 is written as 0.
_WHOLE = "CASE WHEN isfinite({0}) AND {0} = trunc({0}) AND abs({0}) < 1e38 THEN {0}::HUGEINT::VARCHAR "
_EXACT = {"int": "{0}::VARCHAR", "float": _WHOLE + "WHEN isnan({0}) THEN 'nan' ELSE {0}::VARCHAR END"}
_TEXT = frozenset({"bool", "int", "float", "decimal", "date", "moment", "time"})  # an instant's depends on the machine
_BY_DUCKDB = (
    *(frozenset({"bool", other}) for other in ("int", "float")),
    *(frozenset({"date", "moment"}), frozenset({"int"}), frozenset({"float"}), frozenset({"moment"})),
    *(frozenset({"instant"}), frozenset({"time"}), frozenset({"text"})),
)
"""The families whose different types duckdb compares in one that holds all values of both."""


@dataclass(frozen=True, slots=True)
class SharedType:
    """How the values of two columns are compared.

    Attributes:
        kinds: the Arrow types that duckdb is given the columns of the two sides in.
        expressions: what it compares of the two sides, as SQL with ``{0}`` in the place of the column.
    """

    kinds: tuple[Any, Any]
    expressions: tuple[str, str] = ("{0}", "{0}")


def shared_type(pa: Any, before: Any, after: Any) -> SharedType | str:
    """Return how columns of two Arrow types are compared, or why they cannot be."""
    before, after = stored_type(pa, before), stored_type(pa, after)
    kinds = _given(pa, before), _given(pa, after)
    for kind in (before, after):
        if _is_rounded_within(pa, kind):
            return f"duckdb rounds values of the type {kind}"
    if before == after:
        return SharedType(kinds)
    families = _family(pa, before), _family(pa, after)
    expressions = _expressions((before, after), families)
    return f"its types are {before} and {after}" if expressions is None else SharedType(kinds, expressions)


def stored_type(pa: Any, kind: Any) -> Any:
    """Return the type of the values behind extensions and dictionaries."""
    if isinstance(kind, pa.BaseExtensionType):
        return stored_type(pa, kind.storage_type)
    return stored_type(pa, kind.value_type) if pa.types.is_dictionary(kind) else kind


def _given(pa: Any, kind: Any) -> Any:
    """Return the type that duckdb is given values in, where it does not know theirs, or rounds it."""
    types = pa.types
    if types.is_duration(kind):
        return pa.int64()
    if types.is_date64(kind):
        return pa.timestamp("ms")
    if types.is_float16(kind):
        return pa.float32()
    return pa.string() if types.is_string_view(kind) else kind


def _is_rounded_within(pa: Any, kind: Any) -> bool:
    """Return whether duckdb rounds values of a type which cannot be given to it in another."""
    types = pa.types
    if types.is_nested(kind):
        inner = [kind.field(number).type for number in range(kind.num_fields)]
        return any(types.is_duration(one) or types.is_date64(one) or _is_rounded_within(pa, one) for one in inner)
    if isinstance(kind, pa.BaseExtensionType) or types.is_dictionary(kind):  # within a nested type
        return _is_rounded_within(pa, pa.struct([("", stored_type(pa, kind))]))
    return bool(types.is_interval(kind))


def _family(pa: Any, kind: Any) -> str:
    types = pa.types
    if types.is_timestamp(kind):
        return "moment" if kind.tz is None else "instant"
    families = {
        "nothing": types.is_null,
        "bool": types.is_boolean,
        "int": types.is_integer,
        "float": types.is_floating,
        "decimal": types.is_decimal,
        "date": types.is_date,
        "time": types.is_time,
        "duration": types.is_duration,
    }
    for family, holds in families.items():
        if holds(kind):
            return family
    return "text" if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) else "other"


def _expressions(kinds: tuple[Any, Any], families: tuple[str, str]) -> tuple[str, str] | None:
    """Return what is compared of columns of two types; None: no type holds the values of both."""
    both = frozenset(families)
    if both in _BY_DUCKDB or ("nothing" in both and "other" not in both):
        return "{0}", "{0}"
    if "text" in both and both - {"text"} <= _TEXT:
        return "{0}::VARCHAR", "{0}::VARCHAR"
    if both == {"int", "float"}:
        return _EXACT[families[0]], _EXACT[families[1]]
    if both == {"duration"}:
        before, after = (f"{{0}}::HUGEINT * {_UNITS[kind.unit]}" for kind in kinds)
        return before, after
    if both in ({"decimal"}, {"int", "decimal"}):
        sizes = [
            (_DIGITS[kind.bit_width], 0) if family == "int" else (kind.precision - kind.scale, kind.scale)
            for kind, family in zip(kinds, families, strict=True)
        ]
        whole, scale = (max(size) for size in zip(*sizes, strict=True))
        if scale >= 0 and whole + scale <= _MOST_DIGITS:
            cast = f"{{0}}::DECIMAL({whole + scale}, {scale})"
            return cast, cast
    return None
