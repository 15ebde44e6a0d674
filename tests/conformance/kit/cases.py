"""One document of the kit: its bytes, or a recipe for them, where they lie, and what a reader decides."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reader.json_text import written

Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Case:
    """A document and the decision on it.

    Attributes:
        id: unique in the kit.
        key: where the document lies; it says the kind of record, the name and the numbers. Of a shard, its blob.
        data: the bytes; or for what would be megabytes, steps that ``built`` follows.
        rule: the id of the rule that it breaks; None if a reader accepts it.
        shard: what the manifest says of a shard.
    """

    id: str
    key: str
    data: bytes | list[Any]
    rule: str | None = None
    shard: dict[str, Any] | None = None

    def line(self) -> dict[str, Any]:
        """The case as a line of JSON."""
        said: dict[str, Any] = {"id": self.id, "key": self.key, "accept": self.rule is None}
        if self.rule is not None:
            said["rule"] = self.rule
        if self.shard is not None:
            said["shard"] = self.shard
        if isinstance(self.data, list):
            return said | {"recipe": self.data}
        try:
            return said | {"text": self.data.decode("utf-8")}
        except UnicodeDecodeError:
            return said | {"base64": base64.b64encode(self.data).decode()}


def bytes_of(line: dict[str, Any]) -> bytes:
    """The bytes of a line of the kit."""
    if "text" in line:
        return str(line["text"]).encode("utf-8")
    return base64.b64decode(line["base64"]) if "base64" in line else built(line["recipe"])


def built(recipe: list[Any]) -> bytes:
    """The bytes of a recipe, step by step.

    A text stands for itself in UTF-8; ``[text, count]`` is a text so many times; an object is the text ``each`` for
    every number below ``to``, joined by ``join``, in which ``#`` is the number in four digits or more.
    """
    return "".join(map(_step, recipe)).encode()


def _step(step: Any) -> str:
    if isinstance(step, str):
        return step
    if isinstance(step, list):
        text, count = step
        return str(text) * count
    return str(step["join"]).join(step["each"].replace("#", f"{number:04d}") for number in range(step["to"]))


def as_document(value: dict[str, Any]) -> bytes:
    """A document as a writer stores it."""
    return written(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str.encode)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def loosely(value: Any) -> bytes:
    """JSON as Python writes it: also what no document may hold, such as NaN and lone surrogates."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def changed(document: dict[str, Any], change: Change) -> dict[str, Any]:
    """A copy of a document with something changed."""
    copied = copy.deepcopy(document)
    change(copied)
    return copied


def at(document: Any, trail: tuple[str | int, ...]) -> Any:
    """What stands at a place of a document."""
    for step in trail:
        document = document[step]
    return document
