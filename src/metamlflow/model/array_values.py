"""Values of numpy, pandas and the like as plain Python values that say the same, without importing either.

What has no plain value that says the same is a :class:`ValueError` with the reason: labels, names of fields and
fractions of a second are kept, or nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any

# numpy's units of time spans, in seconds; of months and years nobody knows how long they are.
_SECONDS: Mapping[str, Fraction] = {
    "W": Fraction(604_800),
    "D": Fraction(86_400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "ps": Fraction(1, 10**12),
    "fs": Fraction(1, 10**15),
    "as": Fraction(1, 10**18),
}


def is_missing(value: object) -> bool:
    """Return whether it is ``pandas.NA``."""
    return type(value).__name__ == "NAType" and type(value).__module__.startswith("pandas")


def is_array(value: object) -> bool:
    """Return whether it is an array, a series or a scalar of numpy or of a library that takes after it."""
    return hasattr(value, "tolist") and hasattr(value, "shape")


def plain_array(value: Any) -> Any:
    """Return an array as lists, a series with labels or a record as a dict, a scalar as a Python value.

    Raises:
        ValueError: it has no plain value that says the same.
    """
    if _is_labelled(value):
        if not value.index.is_unique:
            raise ValueError("its labels repeat")
        return dict(value.items())
    if type(value).__module__.partition(".")[0] == "numpy" or hasattr(value, "dtype"):
        kind, fields = getattr(value.dtype, "kind", ""), getattr(value.dtype, "names", None)
        if fields:
            return _records(value, fields)
        if kind in "Mm" and type(value).__module__.partition(".")[0] == "numpy":
            return _each(value, _time_text if kind == "M" else _seconds)
    plain = value.tolist()
    if type(plain) is type(value):  # a scalar that is its own plain form could not get any plainer
        raise ValueError("it has no plain value")
    return plain


def exact_seconds(value: timedelta) -> float:
    """Return a time span in seconds.

    Raises:
        ValueError: no float is that many seconds.
    """
    nanoseconds = getattr(value, "nanoseconds", 0)  # of pandas'; what is below a microsecond
    microseconds = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
    return _as_float(Fraction(microseconds, 10**6) + Fraction(nanoseconds, 10**9), Fraction(1, 10**9))


def _is_labelled(value: Any) -> bool:
    """Return whether it is a pandas series whose labels are more than the places 0, 1, 2 and so on."""
    if (
        type(value).__module__.partition(".")[0] != "pandas"
        or not hasattr(value, "index")
        or not hasattr(value, "items")
    ):
        return False
    index = value.index
    places = index.nlevels == 1 and index.dtype.kind in "iu" and index.tolist() == list(range(len(index)))
    return len(index) > 0 and not places


def _records(value: Any, fields: tuple[str, ...]) -> Any:
    if value.shape:
        return [_records(item, fields) for item in value]
    return {name: value[name] for name in fields}


def _each(value: Any, convert: Any) -> Any:
    return [_each(item, convert) for item in value] if value.shape else convert(value)


def _time_text(value: Any) -> str | None:
    """Return a time as ISO 8601, with as many digits as it has; of a day or a longer unit, its beginning."""
    if value != value:  # noqa: PLR0124 (NaT differs from itself)
        return None
    coarse = value.dtype.str[4:-1].lstrip("0123456789") in {"Y", "M", "W"}
    text = str(value.astype("datetime64[D]") if coarse else value)
    day, _, clock = text.partition("T")
    parts, _, fraction = clock.partition(".")
    fraction = fraction.rstrip("0")
    digits = max(6, -(-len(fraction) // 3) * 3) if fraction else 0
    parts = (
        (parts + ":00:00" if ":" not in parts else parts + ":00" if parts.count(":") == 1 else parts) if parts else ""
    )
    return f"{day}T{parts or '00:00:00'}" + (f".{fraction:0<{digits}}" if fraction else "")


def _seconds(value: Any) -> float | None:
    if value != value:  # noqa: PLR0124 (NaT differs from itself)
        return None
    unit = value.dtype.str[4:-1] if "[" in value.dtype.str else ""
    step, unit = unit[: len(unit) - len(unit.lstrip("0123456789"))], unit.lstrip("0123456789")
    if unit not in _SECONDS:
        raise ValueError("a time span in months, years or no unit has no length in seconds")
    tick = _SECONDS[unit] * int(step or 1)
    return _as_float(int(value.astype("int64")) * tick, tick)


def _as_float(seconds: Fraction, tick: Fraction) -> float:
    """Return seconds as a float from which they can be had again, in steps of ``tick``."""
    found = float(seconds)
    if round(Fraction(found) / tick) * tick != seconds:
        raise ValueError("as seconds it is too long to be exact")
    return found
