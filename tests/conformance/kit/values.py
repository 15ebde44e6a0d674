"""Good and bad values of every type of section 4. A field of a type is given each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LONG = 2**53


@dataclass(frozen=True)
class Type:
    """Values that a field of this type may have, and values that break the rule."""

    rule: str
    good: tuple[Any, ...]
    bad: tuple[Any, ...]


def _whole(least: int, most: int, rule: str = "type.whole") -> Type:
    bad = (least - 1, most + 1, True, float(least) if least else 1.0, 0.5, str(least), [], {})
    return Type(rule, (least, most), bad)


def _hex(rule: str, length: int) -> Type:
    good = "0123456789abcdef" * 4
    bad = (good[: length - 1], good[:length] + "0", "F" * length, "g" * length, good[: length - 1] + "\n", 7, [])
    return Type(rule, (good[:length], "0" * length), bad)


TYPES: dict[str, Type] = {
    "format": Type("format.number", (1,), (0, 2, 1.0, True, "1", [], -1)),
    "id": _hex("type.id", 32),
    "hex64": _hex("type.hex64", 64),
    "crc32c": _hex("type.crc32c", 8),
    "digest": Type(
        "type.digest",
        (f"sha256:{'0' * 64}",),
        ("0" * 64, f"sha256:{'0' * 63}", f"sha256:{'A' * 64}", f"md5:{'0' * 32}", f"SHA256:{'0' * 64}", "", 7, {}),
    ),
    "uuid": Type(
        "type.uuid",
        ("00000000-0000-0000-0000-000000000000",),
        ("7A0C3F6E-9F4B-4C1D-8E2A-5B6C7D8E9F00", "7a0c3f6e9f4b4c1d8e2a5b6c7d8e9f00", "7a0c3f6e-9f4b-4c1d-8e2a", "", 7),
    ),
    "time": Type(
        "type.time",
        (
            "2026-01-31T12:00:00Z",
            "0001-01-01T00:00:00.0Z",
            "9999-12-31T23:59:59.999999Z",
            "2024-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
        ),
        (
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00+00:00",
            "2026-01-31t12:00:00z",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00.1234567Z",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-12-31T23:59:60Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "\u0662026-01-31T12:00:00Z",
            "2026-01-31T12:00:00Z\n",
            "",
            1769860800,
        ),
    ),
    "version": _whole(1, 9_999_999_998, "type.version"),
    "size": _whole(0, LONG - 1),
    "keep_last": _whole(1, 1_000_000_000),
    "seconds": _whole(1, 10_000_000_000),
    "pattern": Type(
        "type.pattern",
        ("a", "Team/a.json/b", "*", "**", "?", "team/*", "**/x-?", "a**b", "*.*", "**/**", "con/*", "x" * 399 + "?"),
        (
            "",
            "a/",
            "con",
            "a b",
            "*/",
            "/*",
            "a//*",
            "***",
            "a/****",
            "*@1",
            "\u00e9*",
            "a*\n",
            "_*\0",
            "[ab]*",
            "{a,b}*",
            "x" * 400 + "?",
            "x" * 201,
            7,
            True,
            [],
            {},
        ),
    ),
    "text": Type("type.text", ("", "a\nb\u0001", "\U0001f600"), (7, True, [], {})),
    "object": Type("type.object", ({}, {"any": [1, None, {"thing": 0.5}]}), ([], "x", 7, False)),
    "texts": Type("type.array", ([], ["", "x"]), ({}, "x", [7], [None], [["x"]], False)),
    "true": Type("type.true", (True,), (False, 1, "true", [], {})),
    "digits": Type(
        "type.digits",
        ("0", "9223372036854775807", "-9223372036854775808", "7"),
        ("", "-0", "01", "+1", "1.0", "9223372036854775808", "-9223372036854775809", "1e3", " 1", "\u0661", 7, "--1"),
    ),
    "line": Type(
        "type.line",
        ("x", " ", "\u2028", "\U0001f600", "x" * 1_000, "\u00e9" * 500),
        ("", "a\nb", "a\tb", "a\x7f", "\u0085", "\0", 7, True, [], {}),
    ),
    "description": Type("type.description", ("x", "a\nb\0\u0085", "<script>", "\n"), ("", 7, True, [], {})),
    "tags": Type(
        "type.tags",
        (
            {},
            {"label": ""},
            {"a": "b\nc\0", " ": " ", "$": "x", "\u00e9": "\u00e9"},
            {"\u2028": "x", "x" * 250: "y"},
        ),
        (
            {"": "x"},
            {"a\nb": "x"},
            {"\u0085": ""},
            {"a": None},
            {"a": 7},
            {"a": True},
            {"a": ["b"]},
            {"a": {}},
            ["a"],
            "a",
            7,
            False,
        ),
    ),
    "features": Type(
        "type.features",
        ([], ["a"], ["a", "a-", "a-b", "a0", "ab"], ["x" * 64], ["pointers", "z"]),
        (
            [""],
            ["A"],
            ["9a"],
            ["-a"],
            ["a_b"],
            ["a.b"],
            ["a b"],
            ["\u00e9"],
            ["a\n"],
            ["x" * 65],
            ["b", "a"],
            ["a", "a"],
            ["a", "b", "a"],
            ["a", None],
            [7],
            [["a"]],
            {},
            {"a": 1},
            "a",
            7,
            False,
        ),
    ),
    "path": Type(
        "type.path",
        ("x", "a\\b", "...", " ", "\u00e9", "x/y/z", "a:b", "\u2028", "x" * 4096),
        ("", "/x", "x/", "a//b", ".", "..", "a/./b", "a/../b", "a\0b", "a\tb", "a\x7fb", "a\u0085b", "x" * 4097, 7, []),
    ),
    "name": Type(
        "type.name",
        ("a", "9", "A.b_c-d/E", "con-1", "x" * 200, "a.json/b"),
        (
            "",
            "a/",
            "/a",
            "a//b",
            "_a",
            "-a",
            ".a",
            "a b",
            "a@1",
            "é",
            "a.",
            "a./b",
            "con",
            "b/NUL.txt",
            "x" * 201,
            "A" * 121,
            "Com1.a.b",
            7,
            [],
        ),
    ),
    "uri": Type(
        "uri.shape",
        ("s3://b/k", "x+y.z-1:///a", "file:///a b", "s3://b/\u00e9%zz?x#y", "a://" + "b" * 8188),
        (
            "",
            "b/k",
            "S3://b/k",
            "1s://b/k",
            "s3:/b/k",
            "s3://",
            "s3:///",
            "s3_x://b",
            "://b",
            7,
            [],
            "a://" + "b" * 8189,
            "a://" + "é" * 4095,
        ),
    ),
}
