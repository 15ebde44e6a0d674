"""JSON as section 4 takes it, within the limits of section 6."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST_BYTES = 64 * 1024 * 1024
MOST_VALUES = 1_000_000
MOST_LEVELS = 100
MOST_TEXT = 1_100_000
MOST_DIGITS = 1_000

_BRACKET_OR_TEXT = re.compile(r'[\[{\]}]|"(?:[^"\\]|\\.)*+"?', re.DOTALL)


class Refused(Exception):  # noqa: N818 (it is a decision, not an accident)
    """A document, or a record, that the page forbids to use."""


def parse(data: bytes) -> dict[str, Any]:
    """The one object that a document is."""
    if len(data) > MOST_BYTES:
        raise Refused("longer than 64 MiB")
    if data.startswith(b"\xef\xbb\xbf"):
        raise Refused("a byte order mark")
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    _refuse_depth(text)
    try:
        document = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_whole, parse_float=_broken
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused("not an object")
    _refuse_values(document)
    return document


def _refuse_depth(text: str) -> None:
    """Before the parser sees it: a parser may fall over what is too deep."""
    if text.count("[") + text.count("{") <= MOST_LEVELS:
        return
    depth = 0
    for found in _BRACKET_OR_TEXT.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > MOST_LEVELS:
                raise Refused("nested too deeply")
        elif found[0] in "]}":
            depth -= 1


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a key twice in an object")
    return found


def _constant(text: str) -> Any:
    raise Refused(f"{text} is not JSON")


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise Refused("a number that is too long")
    return int(text)


def _broken(text: str) -> float:
    if len(text) > MOST_DIGITS:
        raise Refused("a number that is too long")
    value = float(text)
    if math.isinf(value):
        raise Refused("a number out of a double's range")
    return value


def _refuse_values(document: Any) -> None:
    count, waiting = 0, [document]
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise Refused("too many values")
        if isinstance(value, dict):
            for key in value:
                _refuse_text(key)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            _refuse_text(value)


def _refuse_text(text: str) -> None:
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise Refused("a lone surrogate") from error
    if length > MOST_TEXT:
        raise Refused("a string that is too long")


def written(value: Any) -> bytes:
    """A value as section 4 has it written, with its newline."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


def written_object(value: dict[str, Any]) -> bytes:
    """The same for an object whose keys are put into the order of their bytes."""
    return written(dict(sorted(value.items(), key=lambda pair: pair[0].encode("utf-8"))))
