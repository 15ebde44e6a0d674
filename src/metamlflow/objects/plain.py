"""Python's own values: JSON, text and bytes. What comes back is exactly what was given, or it is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from metamlflow._looks import type_name
from metamlflow.errors import InvalidInputError
from metamlflow.objects.serializer import Serializer, Trusted, refused

_MOST_DEPTH = 100
_MOST_PROBLEMS = 9
_LARGEST = 10**4000  # Python reads whole numbers of up to 4,300 digits from text
_HINT = (
    "Save lists, dicts with text keys, texts, finite numbers, bools and None; or name another format, format='pickle'."
)


class Json(Serializer):
    """A dict or list of JSON values."""

    name = "json"
    extension = ".json"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take dicts and lists."""
        return "" if isinstance(value, dict | list) else None

    def write(self, value: Any, path: Path) -> None:
        """Write the values after each was checked."""
        problems = []
        for problem in _changes(value, "$", 1):
            problems.append(problem)
            if len(problems) == _MOST_PROBLEMS:
                break
        if problems:
            told = "\n  ".join(problems)
            raise InvalidInputError(
                f"some values would come back changed from JSON; nothing was registered:\n  {told}", hint=_HINT
            )
        path.write_bytes(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (values run no code)
        """Return the values."""
        try:
            return json.loads(path.read_bytes().decode(), parse_constant=_not_json, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"the file is not JSON that can be read: {type(error).__name__}") from error


class Text(Serializer):
    """A text, as UTF-8."""

    name = "text"
    extension = ".txt"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take texts, without subclasses."""
        return "" if type(value) is str else None

    def write(self, value: Any, path: Path) -> None:
        """Write it as it is, line ends included."""
        try:
            path.write_bytes(value.encode())
        except UnicodeEncodeError as error:
            raise refused(value, "it holds a lone surrogate", "Save value.encode(errors='surrogateescape').") from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (a text runs no code)
        """Return the text."""
        try:
            return path.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"the file is not text in UTF-8: {error.reason} at byte {error.start}") from error


class Bytes(Serializer):
    """Bytes as they are."""

    name = "bytes"
    extension = ".bin"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take bytes, without subclasses."""
        return "" if type(value) is bytes else None

    def write(self, value: Any, path: Path) -> None:
        """Write them."""
        path.write_bytes(value)

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (bytes run no code)
        """Return them."""
        return path.read_bytes()


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_json(text)


def _not_json(word: str) -> NoReturn:
    raise ValueError(word)


def _changes(value: Any, place: str, depth: int) -> Iterator[str]:
    """Yield the values that would come back changed, each with its place."""
    if depth > _MOST_DEPTH:
        yield f"{place[:60]}…: nested more than {_MOST_DEPTH} deep, or a value that holds itself"
    elif type(value) is dict:
        for key, part in value.items():
            if type(key) is not str or not _is_text(key):
                yield f"{place}: the key {key!r:.60} ({type_name(key)}) is not a text"
            else:
                yield from _changes(part, f"{place}.{key:.30}", depth + 1)
    elif type(value) is list:
        for index, part in enumerate(value):
            yield from _changes(part, f"{place}[{index}]", depth + 1)
    elif not _is_kept(value):
        # Python itself refuses to spell a very long number.
        shown = "a number of more than 4,000 digits" if type(value) is int else f"{value!r:.60} ({type_name(value)})"
        yield f"{place}: {shown}"


def _is_kept(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(-_LARGEST < value < _LARGEST)
    return kind in {bool, type(None)} or (kind is str and _is_text(value))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
