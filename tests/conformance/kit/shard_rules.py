"""The lines of shards, against what a manifest says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from kit import originals
from kit.cases import Case, as_document

ITEMS = [originals.entry("a", b"x"), {"path": "b", "folder": True}, originals.entry("c", b"y")]
GOOD = b"".join(map(as_document, ITEMS))


def _case(what: str, data: bytes | list[Any], rule: str | None = None, *, first: str = "a", count: int = 3) -> Case:
    digest = hashlib.sha256(data if isinstance(data, bytes) else b"").hexdigest()
    key = originals.blob_key(digest, ".jsonl")
    return Case(f"shard/{what}", key, data, rule, {"first": first, "count": count})


def _lines(*items: dict[str, Any]) -> bytes:
    return b"".join(map(as_document, items))


def cases() -> Iterator[Case]:
    """All of them."""
    one, folder, two = ITEMS
    yield _case("good", GOOD)
    yield _case("spelled otherwise", GOOD.replace(b":", b" : ").replace(b"\n", b"\r\n"))
    yield _case("unknown fields", _lines(*(value | {"x-unknown": 1} for value in ITEMS)))
    yield _case("a line too few", _lines(one, folder), "shard.lines")
    yield _case("a line too many", _lines(*ITEMS, originals.entry("d", b"")), "shard.lines")
    yield _case("an empty line at the end", GOOD + b"\n", "shard.lines")
    yield _case("an empty line inside", GOOD.replace(b"\n", b"\n\n", 1), "json.syntax", count=4)
    yield _case("no line", b"", "shard.lines")
    yield _case("no newline at the end", GOOD[:-1], "shard.newline")
    yield _case("no newline at the end, by the count", GOOD[:-1], "shard.newline", count=2)
    yield _case("another first path", GOOD, "shard.first", first="A")
    yield _case("out of order", _lines(one, two, folder), "item.order")
    yield _case("a path twice", _lines(one, folder, folder), "item.order")
    yield _case("inside a file", _lines(one, folder, originals.entry("b/c", b"")), "item.inside")
    yield _case("two items in a line", GOOD.replace(b"}\n{", b"} {", 1), "json.syntax", count=2)
    yield _case("an array", b"[]\n" + GOOD, "json.object", count=4)
    yield _case("a byte order mark", b"\xef\xbb\xbf" + GOOD, "json.bom")
    yield _case("a key twice", GOOD.replace(b'{"', b'{"path":"a","', 1), "json.duplicate")
    yield _case("invalid UTF-8", GOOD.replace(b'"b"', b'"\xff"'), "json.utf8")
    yield _case("an item without a path", GOOD.replace(b'"path":"b"', b'"p":"b"'), "field.missing")
    yield _case("an item of no kind", GOOD.replace(b'"folder":true,', b""), "item.one-kind")
    for name in ("stored", "parts", "offset", "length", "data"):
        yield _case(f"an item with {name}", _lines(one, folder, two | {name: [1]}), f"reserved.{name}")
    yield _case("a bad crc32c", _lines(one | {"crc32c": "0"}, folder, two), "type.crc32c")
    yield _many()


def _many() -> Case:
    """Paths of one length, for these are in order."""
    each = {"each": '{"folder":true,"path":"#"}\n', "to": 10_000, "join": ""}
    return _case("of 10,000 items", [each], first="0000", count=10_000)
