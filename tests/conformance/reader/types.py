"""Section 4: the types of fields."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import itertools
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from reader.json_text import Refused
from reader.keys import MOST_NUMBER, is_name
from reader.uris import is_uri

MOST_WHOLE = 2**53 - 1
Check = Callable[[Any], bool]

_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,6})?Z", re.ASCII)


def field(document: dict[str, Any], name: str, check: Check, *, may_miss: bool = False) -> Any:
    """The value of a field; null and missing are the same."""
    value = document.get(name)
    if value is None:
        if not may_miss:
            raise Refused(f"{name} is missing")
        return None
    if not check(value):
        raise Refused(f"{name} is not of its type")
    return value


def pattern(text: str) -> Check:
    compiled = re.compile(text, re.ASCII)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def whole(least: int, most: int = MOST_WHOLE) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def is_format(value: Any) -> bool:
    return type(value) is int and value == 1


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def is_array(value: Any) -> bool:
    return isinstance(value, list)


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_true(value: Any) -> bool:
    return value is True


def _fits(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value.encode("utf-8")) <= most


def _is_line(value: Any, most: int) -> bool:
    return _fits(value, most) and value != "" and all(unicodedata.category(one) != "Cc" for one in value)


def is_title(value: Any) -> bool:
    return _is_line(value, 1_000)


def is_description(value: Any) -> bool:
    return _fits(value, 100_000) and value != ""


def is_note(value: Any) -> bool:
    """What people give to a change of an alias, a state, a protection or a policy, and to an erasure."""
    return _fits(value, 5_000) and value != ""


def is_pattern(value: Any) -> bool:
    if not isinstance(value, str) or not set(value) & set("*?"):
        return is_artifact_name(value)
    fits = re.fullmatch("[A-Za-z0-9._/*?-]{1,400}", value, re.ASCII) is not None
    return fits and "" not in value.split("/") and "***" not in value


def is_tags(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= 100
        and all(_is_line(tag, 250) and _fits(said, 5_000) for tag, said in value.items())
    )


def is_features(value: Any) -> bool:
    """Names of features, in the order of their bytes, each once."""
    fits = isinstance(value, list) and len(value) <= 1_000 and all(map(_is_feature, value))
    return fits and all(one < two for one, two in itertools.pairwise(value))


def is_digits(value: Any) -> bool:
    fits = isinstance(value, str) and re.fullmatch("0|-?[1-9][0-9]{0,18}", value, re.ASCII) is not None
    return fits and -(2**63) <= int(value) <= 2**63 - 1


def is_time(value: Any) -> bool:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return False
    try:
        dt.datetime(*map(int, found.groups()[:6]), tzinfo=dt.UTC)
    except ValueError:
        return False
    return True


def is_path(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value.encode("utf-8")) <= 4_096
        and not {"", ".", ".."} & set(value.split("/"))
        and all(unicodedata.category(character) != "Cc" for character in value)
    )


def is_artifact_name(value: Any) -> bool:
    return isinstance(value, str) and is_name(value)


def is_address(value: Any) -> bool:
    return isinstance(value, str) and is_uri(value)


def bytes_in_base64(value: Any, length: int) -> bytes:
    """The bytes, if the text is the one spelling of just so many."""
    try:
        decoded = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError) as error:
        raise Refused("not base64") from error
    if len(decoded) != length or base64.b64encode(decoded).decode() != value:
        raise Refused("not base64 of so many bytes")
    return decoded


is_id = pattern("[0-9a-f]{32}")
is_hex64 = pattern("[0-9a-f]{64}")
is_crc32c = pattern("[0-9a-f]{8}")
is_digest = pattern("sha256:[0-9a-f]{64}")
is_uuid = pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
is_kind_of_artifact = pattern("[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_is_feature = pattern("[a-z][a-z0-9-]{0,63}")
is_version = whole(1, MOST_NUMBER)
