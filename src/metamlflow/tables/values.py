"""Comparison of a Python value that was read back with the given value: of the same kind, and equal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_TEXTS = frozenset({str, bytes, type(None)})  # nothing of another type is equal to one of them
_PLAIN = {int: "iu", float: "f", bool: "b"}  # Python's types, by the kinds of numpy's


def same_value(given: Any, found: Any) -> bool:
    """Return whether ``found`` is the same value as the given one.

    A number of numpy equals Python's number of its kind, and a list or tuple equals an array of the same values. 1, 1.0
    and True are three different values; so are a date and a time, and None, NaN, ``pandas.NA`` and NaT.
    """
    if isinstance(given, Mapping):
        return isinstance(found, Mapping) and _same_mapping(given, found)
    if _is_sequence(given):
        return _is_sequence(found) and _same_sequence(given, found)
    given, found = _plain(given), _plain(found)
    if type(given) is not type(found):
        return False
    if is_missing(given):
        return is_missing(found)
    return bool(given == found) and _same_place_in_time(given, found)


def same_json(given: Any, found: Any) -> bool:
    """Return whether ``found`` is the given value; a tuple is not a list, and a missing value only equals itself."""
    if type(given) is not type(found):
        return False
    if isinstance(given, dict):
        return _keys(given) == _keys(found) and all(same_json(given[key], found[key]) for key in given)
    if isinstance(given, list):
        return len(given) == len(found) and all(map(same_json, given, found))
    return bool(given == found) or (isinstance(given, float) and math.isnan(given) and math.isnan(found))


def is_missing(value: Any) -> bool:
    """Return whether a scalar is one of the missing values of Python or pandas."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in {"NAType", "NaTType"}


def _is_sequence(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return not hasattr(value, "_fields")  # a namedtuple also has names
    return type(value).__module__ == "numpy" and type(value).__name__ == "ndarray" and value.ndim == 1


def _plain(value: Any) -> Any:
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 else value


def _same_place_in_time(given: Any, found: Any) -> bool:
    """Return whether two times have the same zone and fold: equal aware times may differ in both."""
    return bool(
        getattr(given, "tzinfo", None) == getattr(found, "tzinfo", None)
        and getattr(given, "fold", 0) == getattr(found, "fold", 0)
    )


def _keys(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    return [(type(key).__name__, key) for key in value]


def _same_mapping(given: Mapping[Any, Any], found: Mapping[Any, Any]) -> bool:
    if len(given) != len(found) or not all(type(_plain(key)) is str and key in found for key in given):
        return False
    kinds = [type(value) for value in given.values()]
    if _SCALARS.issuperset(kinds) and [type(found[key]) for key in given] == kinds and dict(given) == dict(found):
        return True
    return all(same_value(value, found[key]) for key, value in given.items())


def _same_sequence(given: Sequence[Any], found: Any) -> bool:
    if len(given) != len(found):
        return False
    if hasattr(given, "dtype") and given.dtype.kind != "O":  # compares an embedding of a thousand numbers at once
        equal = found.dtype == given.dtype and (given == found) | ((given != given) & (found != found))  # noqa: PLR0124 (NaN)
        return bool(equal if isinstance(equal, bool) else equal.all())
    kinds = set(map(type, given))
    if kinds <= _TEXTS and hasattr(found, "tolist") and found.tolist() == list(given):
        return True
    if len(kinds) == 1 and (kind := kinds.pop()) in _PLAIN and hasattr(found, "dtype"):
        if found.dtype.kind not in _PLAIN[kind]:
            return False
        if found.tolist() == list(given):
            return True
    return all(map(same_value, given, found))
