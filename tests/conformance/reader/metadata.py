"""Section 4: metadata, as tagged values in which no type is lost."""

from __future__ import annotations

import re
from typing import Any

_DIGITS = re.compile("-?[0-9]{1,1300}", re.ASCII)


def tagged(value: Any) -> Any:  # noqa: PLR0911 (a table of types)
    """One stored value: null, booleans and texts as they are; all else is an object whose one key says the type."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, list):
        return {"list": [tagged(item) for item in value]}
    if list(value) == ["$int"] and isinstance(value["$int"], str) and _DIGITS.fullmatch(value["$int"]):
        return {"int": str(int(value["$int"]))}
    if list(value) == ["$float"] and value["$float"] in ("NaN", "Infinity", "-Infinity"):
        return {"float": {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[value["$float"]]}
    return tagged_object(value)


def tagged_object(value: dict[str, Any]) -> dict[str, Any]:
    """An object that is one, such as all of the metadata."""
    named = {(key[1:] if key.startswith("$$") else key): tagged(item) for key, item in value.items()}
    return {"object": dict(sorted(named.items()))}
