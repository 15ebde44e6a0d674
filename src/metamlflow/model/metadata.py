"""User metadata: turning what people keep in dicts into plain JSON values, and back.

:func:`encode` is also the deep copy that makes a registered version independent of the caller's dict. What comes back
from :func:`decode` is fresh each time.

=================================  =================================================  ===================
given                              stored                                             comes back as
=================================  =================================================  ===================
str, bool, None, finite float      itself                                             the same
int up to 2**53                    itself                                             int
a larger int                       ``{"$int": "9007199254740993"}``                   int
NaN, infinities                    ``{"$float": "NaN" | "Infinity" | "-Infinity"}``   float
dict                               object; a key that begins with ``$`` gets another  dict
int, float, bool, None as a key    as JSON spells it: ``{0: "a"}`` → ``{"0": "a"}``   str
list, tuple                        array                                              list
a named tuple                      object of its fields                               dict
set, frozenset                     array, sorted by type and text                     list
datetime, date, time               ISO 8601; an aware datetime in UTC with ``Z``      str
pandas' NaT and NA                 null                                               None
timedelta                          seconds, if a float has them exactly               float
Path, UUID, Decimal                its string                                         str
Enum                               its value                                          as the value
numpy and similar                  ``.tolist()``; up to 10,000 elements               as its elements
a pandas Series with labels        object of label to value                           dict
a structured array                 array of objects of its fields                     list of dict
=================================  =================================================  ===================

Anything else is refused with its place: bytes, functions, models, data frames, references that loop.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from metamlflow._looks import type_name, utc_text
from metamlflow.errors import InvalidMetadataError
from metamlflow.model.array_values import exact_seconds, is_array, is_missing, plain_array

MAX_DEPTH = 64
MAX_TEXT_BYTES = 1_000_000
MAX_ARRAY_ELEMENTS = 10_000
MAX_INTEGER_BITS = 4096
_INTEGER = re.compile(r"-?[0-9]{1,1300}")
_EXACT = 2**53  # above it, JSON readers that use doubles would round
_SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: object, place: str = "metadata") -> Any:
    """Return ``value`` as a fresh tree of dict, list, str, int, float, bool and None that is valid JSON.

    Raises:
        InvalidMetadataError: something in it cannot be stored; the error names its place.
    """
    return _encode(value, place, ())


def encode_mapping(value: object, place: str = "metadata") -> dict[str, Any]:
    """As :func:`encode`, for a value that must be a mapping; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _refusal(place, f"it is a mapping of names to values, not {type_name(value)}")
    return cast("dict[str, Any]", _encode(value, place, ()))


def decode(value: Any) -> Any:
    """Return the value that :func:`encode` stored as ``value``, as a fresh copy."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        if isinstance(text := value.get("$float"), str) and text in _SPECIAL_FLOATS:
            return _SPECIAL_FLOATS[text]
        if isinstance(text := value.get("$int"), str) and _INTEGER.fullmatch(text):
            return int(text)
    return {key[1:] if key.startswith("$$") else key: decode(item) for key, item in value.items()}


def _encode(value: object, place: str, parents: tuple[int, ...]) -> Any:  # noqa: PLR0911 (a table of types)
    match value:
        case enum.Enum():
            return _encode(value.value, place, parents)
        case None | bool():
            return value
        case str():
            return _text(str(value), place)
        case int():
            return _integer(int(value), place)
        case float():
            return _float(float(value))
        case Mapping() | list() | tuple() | AbstractSet():
            return _container(value, place, parents)
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return _encode(_converted(value, convert, place), place, parents)
    if is_array(value) or is_missing(value):
        return _array(value, place, parents)
    raise _refusal(place, f"a value of type {type_name(value)} cannot be stored as JSON", _REMEDIES.get(_family(value)))


def _converted(value: Any, convert: Callable[[Any], Any], place: str) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        raise _refusal(place, f"a value of type {type_name(value)} cannot be stored as JSON: {error}") from error


def _container(value: Any, place: str, parents: tuple[int, ...]) -> Any:
    if id(value) in parents:
        raise _refusal(place, "it refers back to something that contains it")
    if len(parents) >= MAX_DEPTH:
        raise _refusal(place, f"it is nested more than {MAX_DEPTH} deep")
    parents = (*parents, id(value))
    if isinstance(value, Mapping):
        return _object(value, place, parents)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):  # a named tuple
        return _object(value._asdict(), place, parents)
    items = [_encode(item, f"{place}[{i}]", parents) for i, item in enumerate(value)]
    # A set has no order of its own; a fixed one keeps manifests of equal sets equal.
    return sorted(items, key=lambda item: (type(item).__name__, str(item))) if isinstance(value, AbstractSet) else items


def _object(value: Mapping[Any, Any], place: str, parents: tuple[int, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for given, item in value.items():
        key = _key(given, place)
        stored = f"${key}" if key.startswith("$") else key
        if stored in result:
            raise _refusal(f"{place}.{key}", "two keys become the same text")
        result[stored] = _encode(item, f"{place}.{key}", parents)
    return result


def _key(key: object, place: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    dtype = getattr(key, "dtype", None)
    if dtype is not None and not isinstance(key, str) and dtype.kind not in "Mm":  # of nanoseconds, a bare number
        key = key.tolist()  # type: ignore[attr-defined]
    match key:
        case str():
            return _text(str(key), f"{place} (a key)")
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[key]
        case int() if key.bit_length() <= MAX_INTEGER_BITS:
            return str(int(key))
        case int():
            raise _refusal(place, f"its key, an integer of {key.bit_length():,} bits, is too long")
        case float():
            return json.dumps(float(key))
    raise _refusal(place, f"its key {key!r:.80} is of type {type_name(key)}; keys are text or numbers")


def _text(value: str, place: str) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise _refusal(place, "its text is no valid Unicode (a lone surrogate)") from None
    if size > MAX_TEXT_BYTES:
        raise _refusal(place, f"its text takes {size:,} bytes, more than {MAX_TEXT_BYTES:,}")
    return value


def _float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return {"$float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _array(value: Any, place: str, parents: tuple[int, ...]) -> Any:
    if is_missing(value):
        return None
    size = math.prod(value.shape)
    if size > MAX_ARRAY_ELEMENTS:
        raise _refusal(place, f"an array of {size:,} elements is data, not metadata (limit {MAX_ARRAY_ELEMENTS:,})")
    try:
        plain = plain_array(value)
    except ValueError as error:
        raise _refusal(place, f"a value of type {type_name(value)} cannot be stored as JSON: {error}") from error
    return _encode(plain, place, parents)


def _datetime(value: datetime) -> str | None:
    if value != value:  # noqa: PLR0124 (pandas' NaT is a datetime that differs from itself)
        return None
    if value.tzinfo is None:
        return value.isoformat()
    try:
        return utc_text(value)
    except OverflowError:  # a "for ever" at the edge of the calendar keeps its own offset
        return value.isoformat()


# In this order: a datetime is a date.
_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (datetime, _datetime),
    ((date, time), lambda value: value.isoformat()),
    (timedelta, lambda value: None if value != value else exact_seconds(value)),  # noqa: PLR0124 (NaT)
    ((PurePath, UUID, Decimal), str),
)


def _integer(value: int, place: str) -> Any:
    if abs(value) <= _EXACT:
        return value
    if value.bit_length() > MAX_INTEGER_BITS:
        raise _refusal(place, f"an integer of {value.bit_length():,} bits is too long")
    return {"$int": str(value)}


def _refusal(place: str, problem: str, hint: str | None = None) -> InvalidMetadataError:
    return InvalidMetadataError(
        f"{place}: {problem}",
        hint=hint or "Metadata holds JSON-like values; register data and models as files of an artifact.",
        place=place,
    )


def _family(value: object) -> str:
    return "dataclass" if hasattr(value, "__dataclass_fields__") else type(value).__name__


_REMEDIES = {
    "bytes": "Give text, such as value.hex(), or register the bytes as a file of an artifact.",
    "complex": "Give the list [value.real, value.imag].",
    "dataclass": "Give dataclasses.asdict(value).",
    "DataFrame": "Give frame.to_dict('list') if it is small, or register it as a file of an artifact.",
    "Fraction": "Give str(value), or the list of its two numbers.",
    "range": "Give list(value).",
    "Period": "Give str(value).",
    "Interval": "Give str(value).",
}
