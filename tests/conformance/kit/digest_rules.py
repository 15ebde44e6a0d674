"""Content digests line by line, the cuts of shards, ids of inputs, and documents as a writer spells them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from reader.items import HEX_DIGITS, ORDER, content_digest, item, line
from reader.json_text import written

from kit import originals
from kit.cases import as_document

ODD = 'a"b\\c\u0001\b\t\n\f\r\u001f\u007f\u0080\u2028\u00e9\U0001f600/'


def _pointer(path: str, **fields: Any) -> dict[str, Any]:
    said = {"path": path, "size": 1, "uri": "s3://bucket/key"} | fields
    return said | {"evidence": "full" if said.get("computed") else "checksum" if said.get("held") else "stat"}


def _contents() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    digests = {name: "a" * count for name, count in HEX_DIGITS.items()}
    digests |= {f"{name}-composite": "b" * count + "-12" for name, count in HEX_DIGITS.items()}
    yield "nothing", []
    yield (
        "the example of section 5",
        [
            originals.entry("README", b"hello\n"),
            {"path": "data/empty", "folder": True},
            originals.entry("data/x.csv", b"a,b\n1,2\n"),
        ],
    )
    yield "an odd path", [originals.entry('a"b\\\u2028\u00e9\U0001f600', b"")]
    yield "executable or not", [originals.entry("x", b"", executable=True)]
    for start, name in enumerate(ORDER):
        told = {other: digests[other] for other in reversed(ORDER[start:])}
        yield f"a pointer with {name} and all weaker ones held", [_pointer("x", held=told)]
    yield (
        "a pointer with one digest computed and a stronger one held",
        [_pointer("x", computed={"md5": digests["md5"]}, held={"sha1": digests["sha1"]})],
    )
    yield (
        "a pointer with one digest held and computed",
        [_pointer("x", computed={"md5": "c" * 32}, held={"md5": "d" * 32})],
    )
    yield "a pointer that nothing is known of", [_pointer("x")]
    yield (
        "a pointer with odd evidence",
        [
            _pointer(
                "x", uri=f"s3://b/{ODD.replace(chr(0), '')}", version=ODD, etag=ODD, modified_ns="-9223372036854775808"
            )
        ],
    )
    yield "a pointer with a time alone", [_pointer("x", modified_ns="9007199254740993")]


def contents() -> list[dict[str, Any]]:
    """Items with their lines and their digest."""
    found = []
    for what, values in _contents():
        items = [item(value) for value in values]
        lines = [line(value).decode() for value in items]
        found.append({"id": what, "items": values, "lines": lines, "digest": content_digest(items)})
    return found


def cuts() -> list[dict[str, Any]]:
    """Where runs of items end: after which of the paths a shard is full, but for the last."""
    paths = sorted((f"data/{number:05d}" for number in range(20_000)), key=str.encode)
    ends = [path for path in paths if hashlib.sha256(path.encode()).hexdigest().startswith("000")]
    return [{"paths": {"each": "data/#", "digits": 5, "to": 20_000}, "a_run_ends_after": ends}]


def spellings() -> list[dict[str, Any]]:
    """Values, and the text that a writer stores."""
    values = [
        {"b": 1, "a": [1, -2, 0.5, True, False, None, "", {}, []]},
        {"\uffff": 1, "\U0001f600": 2, "\u00e9": 3, "Z": 4, "a": 5, "": 6},
        {"text": ODD},
        {"name": "raw", "role": None, "version": 3},
    ]
    return [{"value": value, "text": as_document(value).decode()} for value in values]


def inputs() -> list[dict[str, Any]]:
    """Ids of inputs, by which the records of a run are called."""
    given = [("raw", 3, None), ("Fraud/features", 9_999_999_998, "train"), ("a", 1, ""), ("a", 1, ODD)]
    return [
        {
            "input": {"name": name, "role": role, "version": version},
            "id": hashlib.sha256(written({"name": name, "role": role, "version": version})).hexdigest()[:32],
        }
        for name, version, role in given
    ]
