"""Reading JSON documents that may be damaged or hostile: every problem is noted, each with its place."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from metamlflow.errors import InvalidInputError, StoreFormatError

FORMAT = 1
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_TEXT_BYTES = 1_100_000
MAX_NUMBER_CHARACTERS = 1_000
MAX_DEPTH = 100
MAX_VALUES = 1_000_000
MAX_PROBLEMS = 20

# ASCII digits alone, and no hour 24, which newer Pythons read as the next day.
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_NEWER = "It was written by a newer metamlflow; update yours to read it."
_DAMAGED = "The document is damaged or was altered; nothing of it was used."
BEFORE = "a metamlflow from before format 1 was settled"
"""Stands in a problem that only documents of that time have."""
_BEFORE = "Such stores are not read any more: register the data again."
MAX_WHOLE = 2**53 - 1
"""The largest whole number of a document: up to there every parser of JSON keeps each of them."""

_SHOWN = 80  # characters: a line's worth
_encoder = json.JSONEncoder()

T = TypeVar("T")


dump_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode
"""Returns a JSON value as compact JSON with sorted keys. (json.dumps would make this encoder anew for each value.)"""


def dump(document: Mapping[str, Any]) -> bytes:
    """Return the stored form of a document: compact JSON, UTF-8, sorted keys, a newline at the end.

    Raises:
        InvalidInputError: it would be more than a reader accepts.
    """
    data = dump_text(document).encode() + b"\n"
    if len(data) > MAX_DOCUMENT_BYTES:
        problem = f"{len(data):,} bytes, more than {MAX_DOCUMENT_BYTES:,}"
    elif has_more_values(data):
        problem = f"more than {MAX_VALUES:,} values"
    else:
        return data
    raise InvalidInputError(
        f"a record would take {problem}", hint="Values of this size are data: register them as a file."
    )


def format_instant(value: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC, with microseconds."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Problems:
    """What is wrong with one document, collected while it is read.

    Attributes:
        key: of the document.
        found: the first twenty problems, each with its place.
        count: of all problems. A hostile document can have millions, so the rest are only counted.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.found: list[str] = []
        self.count = 0

    def note(self, place: str, problem: str) -> None:
        """Add one problem. ``place`` is a path such as ``entries[3].size``; empty for the document as a whole."""
        self.count += 1
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(f"{place}: {problem}" if place else problem)

    def raise_if_any(self, what: str) -> None:
        """Raise one StoreFormatError that names them all (of very many, the first twenty)."""
        if not self.found:
            return
        shown = list(self.found)
        if more := self.count - len(shown):
            shown.append(f"and {more:,} more")
        newer = any("unknown feature" in problem or "newer format" in problem for problem in shown)
        before = any(BEFORE in problem for problem in shown)
        raise StoreFormatError(
            f"{self.key} is no {what} of format {FORMAT}:\n  " + "\n  ".join(shown),
            hint=_NEWER if newer else _BEFORE if before else _DAMAGED,
            key=self.key,
            problems=tuple(shown),
        )


def parse_json(data: bytes, problems: Problems, place: str = "") -> Any:
    """Return the JSON value of ``data``, or None with problems noted.

    Stricter than RFC 8259 asks for: UTF-8 without a byte order mark, no duplicate keys, no NaN or infinities, no lone
    surrogates, a bound on size, depth and the length of strings and numbers.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        problems.note(place, f"it takes {len(data):,} bytes, more than {MAX_DOCUMENT_BYTES:,}")
        return None

    if has_more_values(data):
        problems.note(place, f"it has more than {MAX_VALUES:,} values")
        return None

    hooks = _Hooks(problems, place)
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=hooks.pairs,
            parse_constant=hooks.constant,
            parse_float=hooks.real,
            parse_int=hooks.whole,
        )
        _check_tree(value, [place] if place else [], problems)
    except UnicodeDecodeError as error:
        problems.note(place, f"not valid UTF-8 at byte {error.start}")
    except RecursionError:
        problems.note(place, f"nested deeper than {MAX_DEPTH}")
    except ValueError as error:
        problems.note(place, f"not valid JSON: {error!s:.120}")
    else:
        return value
    return None


_VALUE_OR_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?|([,\[{])(?![ \t\r\n]*+[\]}])', re.DOTALL)


def has_more_values(data: bytes, most: int = MAX_VALUES) -> bool:
    """Whether JSON text has more values than a reader takes, told before it is parsed: each takes 20 times its bytes.

    Before each value but the first stands a comma or an opening bracket; behind a bracket that is closed at once stands
    none. Those in strings are told apart only where all
    of them together are too many, and the look ends at the first value that is one too many. (A string without an end
    goes to the end of the text: else each quote in it would be looked at again, in quadratic time.)
    """
    if sum(map(data.count, (b",", b"[", b"{"))) < most:
        return False
    count = 0
    for found in _VALUE_OR_TEXT.finditer(data):
        count += found[1] is not None
        if count >= most:
            return True
    return False


class _Hooks:
    """What the JSON parser asks while it parses. It does not tell where, so the problems stand at ``place``."""

    def __init__(self, problems: Problems, place: str) -> None:
        self._problems = problems
        self._place = place

    def pairs(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            ((name, _),) = Counter(name for name, _ in items).most_common(1)
            self._problems.note(self._place, f"duplicate key {name!r:.80}")
        return result

    def constant(self, text: str) -> float:
        self._problems.note(self._place, f"{text:.40} is no JSON number")
        return 0.0

    def real(self, text: str) -> float:
        value = float(text) if self._is_short(text) else 0.0
        return value if math.isfinite(value) else self.constant(f"{text:.20}, out of range,")

    def whole(self, text: str) -> int:
        return int(text) if self._is_short(text) else 0

    def _is_short(self, text: str) -> bool:
        # A thousand digits are converted at once; the time for more grows with the square of their number.
        if len(text) <= MAX_NUMBER_CHARACTERS:
            return True
        self._problems.note(self._place, f"a number of {len(text):,} characters, more than {MAX_NUMBER_CHARACTERS:,}")
        return False


def parse_object(data: bytes, problems: Problems, place: str = "") -> dict[str, Any] | None:
    """As :func:`parse_json`, for a document that must be an object; None with problems noted if it is none."""
    before = problems.count
    value = parse_json(data, problems, place)
    if isinstance(value, dict):
        return value
    if problems.count == before:
        problems.note(place, f"expected an object, got {shown(value)}")
    return None


def _check_tree(value: Any, trail: list[str | int], problems: Problems, depth: int = 0) -> None:
    """Check texts and depth. A place is spelled only for a problem: for each value, long keys would cost gigabytes."""
    if isinstance(value, str) and (problem := _text_problem(value)):
        problems.note(_spelled(trail), problem)
    if not isinstance(value, dict | list):
        return
    if depth >= MAX_DEPTH:
        # As the parser does for far deeper ones, so that nothing after it need fear for its stack.
        raise RecursionError
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(name, str) and not _is_plain(name) and (problem := _text_problem(name)):
            problems.note(_spelled(trail), f"a key: {problem}")
        elif isinstance(item, dict | list) or (isinstance(item, str) and not _is_plain(item)):
            trail.append(name)
            _check_tree(item, trail, problems, depth + 1)
            trail.pop()


def _is_plain(value: str) -> bool:
    """Whether a text needs no closer look; nearly all of them, and there may be a hundred thousand."""
    return value.isascii() and len(value) <= MAX_TEXT_BYTES


def _spelled(trail: list[str | int]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step:.80}" for step in trail)
    return "".join(steps).removeprefix(".")


def _text_problem(value: str) -> str | None:
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return "a string with a lone surrogate"
    return f"a string of {size:,} bytes, more than {MAX_TEXT_BYTES:,}" if size > MAX_TEXT_BYTES else None


class Fields:
    """One JSON object being read: hands out its fields by type, and notes what is missing or of another type.

    A getter returns a harmless value of the right type after noting a problem, so that one pass finds all problems; the
    caller checks :class:`Problems` before it uses anything.
    """

    def __init__(self, value: Any, place: str, problems: Problems) -> None:
        self._place = place
        self._problems = problems
        self._seen: set[str] = set()
        self._values: Mapping[str, Any] = {}
        self._is_object = isinstance(value, dict)
        if self._is_object:
            self._values = value
        else:
            problems.note(place, f"expected an object, got {shown(value)}")

    def note(self, name: str, problem: str) -> None:
        """Note a problem with the field ``name``."""
        self._problems.note(f"{self._place}.{name}" if self._place else name, problem)

    def unknown(self) -> dict[str, Any]:
        """Return the fields that nobody asked for: they survive a round trip."""
        return {name: value for name, value in self._values.items() if name not in self._seen}

    def value(self, name: str) -> Any:
        """Return the field as it is, or None if it is missing."""
        self._seen.add(name)
        return self._values.get(name)

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null. One that is null is as good as missing, so it is none."""
        return not self.is_null(name) and name in self._values

    def is_null(self, name: str) -> bool:
        """Return whether the field is there and null."""
        return name in self._values and self.value(name) is None

    def text(self, name: str, problem: Callable[[str], str | None] | None = None) -> str:
        """Return a string for which ``problem`` has no complaint."""
        value = self._typed(name, str, "a string")
        if value is None:
            return ""
        if problem and (complaint := problem(value)):
            self.note(name, f"{complaint}, got {shown(value)}")
        return value

    def optional_text(self, name: str, problem: Callable[[str], str | None] | None = None) -> str | None:
        """As :meth:`text`, but null and a missing field are None."""
        return None if self.value(name) is None else self.text(name, problem)

    def integer(self, name: str, least: int, most: int = MAX_WHOLE) -> int:
        """Return a whole number within bounds."""
        value = self._typed(name, int, "a whole number")
        if value is None:
            return least
        if not least <= value <= most:
            self.note(name, f"expected a whole number from {least} to {most}, got {shown(value)}")
            return least
        return value

    def mark(self, name: str) -> bool:
        """Return whether the field is true. It is that or missing: false would be a second way to say so."""
        value = self.value(name)
        if value is not None and value is not True:
            self.note(name, f"expected true, got {shown(value)}")
        return value is True

    def instant(self, name: str) -> datetime:
        """Return an RFC 3339 time in UTC."""
        text = self._typed(name, str, "a time in UTC such as 2026-01-31T12:00:00Z")
        if text is not None:
            try:
                if _INSTANT.fullmatch(text):
                    return datetime.fromisoformat(text)
            except ValueError:
                pass
            self.note(name, f"expected a time in UTC such as 2026-01-31T12:00:00Z, got {shown(text)}")
        return datetime.fromtimestamp(0, UTC)

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object as it is."""
        return self._typed(name, dict, "an object") or {}

    def optional_mapping(self, name: str) -> dict[str, Any] | None:
        """As :meth:`mapping`, but null and a missing field are None."""
        return None if self.value(name) is None else self.mapping(name)

    def items(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the items of an array, each with its place."""
        place = f"{self._place}.{name}" if self._place else name
        for i, item in enumerate(self._typed(name, list, "an array") or ()):
            yield f"{place}[{i}]", item

    def requires(self, known: frozenset[str]) -> tuple[str, ...]:
        """Return ``requires``, the features a reader must know; each that is not in ``known`` is a problem."""
        features = []
        for place, item in self.items("requires"):
            if not isinstance(item, str):
                self._problems.note(place, f"expected a string, got {shown(item)}")
            elif item not in known:
                self._problems.note(place, f"unknown feature {shown(item)}")
            else:
                features.append(item)
        return tuple(features)

    def format(self) -> None:
        """Check the field ``format``."""
        value = self._typed("format", int, "a whole number")
        if value is not None and value > FORMAT:
            self.note("format", f"newer format {shown(value)}, this library reads {FORMAT}")
        elif value is not None and value != FORMAT:
            self.note("format", f"expected {FORMAT}, got {shown(value)}")

    def _typed(self, name: str, kind: type[T], expected: str) -> T | None:
        self._seen.add(name)
        if name not in self._values:
            if self._is_object:
                self.note(name, "missing")
            return None
        value = self._values[name]
        # bool is an int in Python, and is none in JSON.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.note(name, f"expected {expected}, got {shown(value)}")
            return None
        return value


def shown(value: Any) -> str:
    """Return a short form of any JSON value for a message; of a large one no more than that is spelled."""
    if isinstance(value, str):
        value = value[:_SHOWN]
    text = ""
    for part in _encoder.iterencode(value):
        text += part[: _SHOWN + 1]
        if len(text) > _SHOWN:
            return f"{text[: _SHOWN - 3]}…"
    return text


def pattern(regex: str, expected: str) -> Callable[[str], str | None]:
    """Return a check for :meth:`Fields.text`: the whole string matches ``regex``."""
    compiled = re.compile(regex)
    return lambda value: None if compiled.fullmatch(value) else f"expected {expected}"
