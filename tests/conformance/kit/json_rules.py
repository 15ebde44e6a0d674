"""JSON as section 4 takes it, and the limits of section 6."""

from __future__ import annotations

from collections.abc import Iterator

from kit import originals
from kit.cases import Case, as_document

KEY, MARKER = originals.DOCUMENTS["marker"]
GOOD = as_document(MARKER).decode()
_OPEN = GOOD.removesuffix("}\n")


def _with(text: str) -> bytes:
    """The marker with one more field."""
    return f"{_OPEN},{text}}}\n".encode("utf-8", "surrogatepass")


TAKEN = {
    "no newline at the end": GOOD.strip().encode(),
    "escapes": GOOD.replace('"format"', '"\\u0066ormat"').replace("/", "\\/").encode(),
    "a pair of surrogates": _with('"x":"\\ud83d\\ude00"'),
    "all escapes": _with('"x":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000"'),
    "characters above U+FFFF": _with('"x":"\U0001f600\u2028\ufeff"'),
    "numbers": _with('"x":[0,-0,-1,1e5,1E+5,1.5e-3,-0.0,123456789012345678901234567890]'),
    "nearer to zero than a double": _with('"x":[1e-400,-1e-400,0.0000000001e-390]'),
    "the largest double": _with('"x":1.7976931348623157e308'),
    "the same key in two objects": _with('"x":{"a":1},"y":{"a":1}'),
    "an empty key": _with('"":1'),
}
REFUSED: dict[str, tuple[str, bytes]] = {
    "nothing": ("json.syntax", b""),
    "white space": ("json.syntax", b" \n"),
    "cut off": ("json.syntax", GOOD[:-2].encode()),
    "two documents": ("json.syntax", GOOD.encode() * 2),
    "something behind it": ("json.syntax", GOOD.encode() + b"x"),
    "a comma at the end": ("json.syntax", _with('"x":1,')),
    "a comma in an array": ("json.syntax", _with('"x":[1,]')),
    "a comment": ("json.syntax", _with('"x":1/**/')),
    "single quotes": ("json.syntax", _with("'x':1")),
    "a bare key": ("json.syntax", _with("x:1")),
    "True": ("json.syntax", _with('"x":True')),
    "undefined": ("json.syntax", _with('"x":undefined')),
    "a control character in a string": ("json.syntax", _with('"x":"\n"')),
    "a NUL behind it": ("json.syntax", GOOD.encode() + b"\0"),
    "a vertical tab between tokens": ("json.syntax", b"\x0b" + GOOD.encode()),
    "a no-break space between tokens": ("json.syntax", "\u00a0".encode() + GOOD.encode()),
    "an unknown escape": ("json.syntax", _with('"x":"\\x41"')),
    "half an escape": ("json.syntax", _with('"x":"\\u12"')),
    "a zero before a number": ("json.syntax", _with('"x":01')),
    "a plus before a number": ("json.syntax", _with('"x":+1')),
    "a point without digits": ("json.syntax", _with('"x":1.')),
    "a point before all digits": ("json.syntax", _with('"x":.5')),
    "hexadecimal": ("json.syntax", _with('"x":0x1')),
    "an exponent without digits": ("json.syntax", _with('"x":1e')),
    "digits of another script": ("json.syntax", _with('"x":\u0661')),
    "an underscore in a number": ("json.syntax", _with('"x":1_000')),
    "an array": ("json.object", f"[{GOOD.strip()}]\n".encode()),
    "a string": ("json.object", b'"x"\n'),
    "null": ("json.object", b"null\n"),
    "a byte order mark": ("json.bom", b"\xef\xbb\xbf" + GOOD.encode()),
    "UTF-16": ("json.utf8", GOOD.encode("utf-16")),
    "UTF-16 without a mark": ("json.utf8", GOOD.encode("utf-16-le") + b"\xff"),
    "Latin-1": ("json.utf8", _with('"x":"\u00e9"').decode().encode("latin-1")),
    "a byte that never is": ("json.utf8", _with('"x":"?"').replace(b"?", b"\xff")),
    "an overlong form": ("json.utf8", _with('"x":"?"').replace(b"?", b"\xc0\xaf")),
    "a surrogate in UTF-8": ("json.utf8", _with('"x":"\ud800"')),
    "above U+10FFFF": ("json.utf8", _with('"x":"?"').replace(b"?", b"\xf4\x90\x80\x80")),
    "a known key twice": ("json.duplicate", _with('"format":1')),
    "an unknown key twice": ("json.duplicate", _with('"x":1,"x":1')),
    "a key twice, once escaped": ("json.duplicate", _with('"x":1,"\\u0078":1')),
    "a key twice, deep inside": ("json.duplicate", _with('"x":[{"y":{"a":1,"a":2}}]')),
    "NaN": ("json.nan", _with('"x":NaN')),
    "Infinity": ("json.nan", _with('"x":Infinity')),
    "-Infinity": ("json.nan", _with('"x":-Infinity')),
    "an exponent out of range": ("json.double", _with('"x":1e309')),
    "a negative one": ("json.double", _with('"x":-1e309')),
    "a fraction out of range": ("json.double", _with(f'"x":{"9" * 309}.5')),
    "a lone high surrogate": ("json.surrogate", _with('"x":"\\ud800"')),
    "a lone low surrogate": ("json.surrogate", _with('"x":"\\udc00"')),
    "surrogates the wrong way round": ("json.surrogate", _with('"x":"\\ude00\\ud83d"')),
    "a lone surrogate in a key": ("json.surrogate", _with('"\\udfff":1')),
    "a lone surrogate deep inside": ("json.surrogate", _with('"x":[[{"y":["\\ud800"]}]]')),
}


def cases() -> Iterator[Case]:
    """All of them, each a marker."""
    for what, data in TAKEN.items():
        yield Case(f"json/{what}", KEY, data)
    for what, (rule, data) in REFUSED.items():
        yield Case(f"json/{what}", KEY, data, rule)
    yield from _limits()


def _limits() -> Iterator[Case]:
    """Each bound, and one past it, by recipes: a text, and how often."""
    begin, end = f'{_OPEN},"x":', "}\n"
    before = len(begin.encode()) + len(end)
    most = 64 * 1024 * 1024
    yield Case("limits/64 MiB", KEY, [begin, "1", [" ", most - before - 1], end])
    yield Case("limits/64 MiB and one byte", KEY, [begin, "1", [" ", most - before], end], "limit.bytes")
    # The document has 7 values besides: itself, its six fields, and x.
    yield Case("limits/1,000,000 values", KEY, [begin, "[0", [",0", 999_991], "]", end])
    yield Case("limits/1,000,001 values", KEY, [begin, "[0", [",0", 999_992], "]", end], "limit.values")
    yield Case("limits/commas in a string", KEY, [begin, '"', [",[", 500_000], '"', end])
    yield Case("limits/100 levels", KEY, [begin, ["[", 99], ["]", 99], end])
    yield Case("limits/101 levels", KEY, [begin, ["[", 100], ["]", 100], end], "limit.nesting")
    yield Case("limits/101 levels of objects", KEY, [begin, ['{"x":', 100], "1", ["}", 100], end], "limit.nesting")
    yield Case("limits/a million levels", KEY, [begin, ["[", 1_000_000], end], "limit.nesting")
    yield Case("limits/a string of 1,100,000 bytes", KEY, [begin, '"', ["\u00e9", 550_000], '"', end])
    told = [begin, '"', ["\u00e9", 550_000], 'x"', end]
    yield Case("limits/a string of 1,100,001 bytes", KEY, told, "limit.text")
    yield Case("limits/a key of 1,100,000 bytes", KEY, [begin, '{"', ["x", 1_100_000], '":1}', end])
    yield Case("limits/a key of 1,100,001 bytes", KEY, [begin, '{"', ["x", 1_100_001], '":1}', end], "limit.text")
    yield Case("limits/a number of 1,000 digits", KEY, [begin, ["9", 1000], end])
    yield Case("limits/a number of 1,001 digits", KEY, [begin, ["9", 1001], end], "limit.number")
    yield Case("limits/a number of 1,001 characters", KEY, [begin, "-", ["9", 1000], end], "limit.number")
    yield Case("limits/a fraction of 1,000 characters", KEY, [begin, "0.", ["1", 998], end])
    yield Case("limits/a fraction of 1,001 characters", KEY, [begin, "0.", ["1", 999], end], "limit.number")
