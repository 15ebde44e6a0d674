"""What the parts of a manifest have to do with each other: kinds, sums, order, pointers and shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from reader.items import HEX_DIGITS

from kit import originals
from kit.cases import Case, as_document
from kit.uri_rules import REFUSED as REFUSED_URIS
from kit.uri_rules import TAKEN as TAKEN_URIS
from kit.values import TYPES

INLINE_KEY, INLINE = originals.DOCUMENTS["manifest"]
POINTING_KEY, POINTING = originals.DOCUMENTS["pointing"]
SHARDED_KEY, SHARDED = originals.DOCUMENTS["sharded"]
RESERVED = ("stored", "parts", "offset", "length", "data")


def cases() -> Iterator[Case]:
    """All of them."""
    for rules in (_heads, _kinds, _sums, _items, _paths, _pointers, _digests, _uris, _places, _shards):
        yield from rules()


def _inline(what: str, rule: str | None = None, **fields: Any) -> Case:
    return Case(f"manifest/{what}", INLINE_KEY, as_document(INLINE | fields), rule)


def _entries(what: str, entries: list[Any], rule: str | None = None, **fields: Any) -> Case:
    """The inline manifest with other items, and with their sums where these can be told."""
    return Case(f"manifest/{what}", INLINE_KEY, as_document(_sealed(INLINE | {"entries": entries} | fields)), rule)


def _sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    try:
        return originals.sealed(manifest)
    except Exception:  # noqa: BLE001 (items that are none have no sums: the document is refused for them)
        return manifest


def _heads() -> Iterator[Case]:
    yield _inline("name of another", "manifest.key", name="Fraud/other")
    yield _inline("name in lower case", "manifest.key", name="fraud/features")
    yield _inline("version of another", "manifest.key", version=3)
    for number, value in enumerate((2.0, "2", True, [], 0), start=1):
        yield _inline(f"version bad {number}", "manifest.key", version=value)
    for feature in ("later", "Pointers", ""):
        yield _inline(f"requires {feature!r}", "feature.manifest", requires=[feature])
    yield _inline("requires pointers without any", requires=["pointers"])
    for number, value in enumerate(({}, "pointers", [7], [None]), start=1):
        yield _inline(f"requires bad {number}", "type.array", requires=value)
    for number, value in enumerate(({}, "x", [7], [None], [[]], False), start=1):
        yield _inline(f"pointers bad {number}", "type.array", pointers=value)
    for number, value in enumerate(("a", "9", "A.b_c/d-e", "x" * 100), start=1):
        yield _inline(f"type good {number}", type=value)
    for number, value in enumerate(("", ".a", "/a", "a b", "\u00e9", "x" * 101, "a\n", 7, []), start=1):
        yield _inline(f"type bad {number}", "type.type", type=value)
    for value in ("File", "pointer", "", 7):
        yield _inline(f"kind {value!r}", "enum.kind", kind=value)
    first = {"version": 1, "previous": None}
    key = originals.manifest_key("Fraud/features", 1)
    yield Case("manifest/version 1", key, as_document(INLINE | first))
    without = {name: value for name, value in (INLINE | first).items() if name != "previous"}
    yield Case("manifest/version 1, previous missing", key, as_document(without))
    told = as_document(INLINE | first | {"previous": originals.DIGEST})
    yield Case("manifest/version 1 with a previous", key, told, "manifest.previous-first")
    last = originals.manifest_key("Fraud/features", 9_999_999_998)
    yield Case("manifest/the last version", last, as_document(INLINE | {"version": 9_999_999_998}))


def _kinds() -> Iterator[Case]:
    one, folder, two = INLINE["entries"]
    yield _entries("a file", [one], kind="file")
    yield _entries("a folder with one entry", [one])
    yield _entries("nothing", [])
    yield _entries("an empty folder", [folder])
    yield _entries("a file with two entries", [one, two], "manifest.one-entry", kind="file")
    yield _entries("a file with an empty folder", [one, folder], "manifest.one-entry", kind="file")
    yield _entries("a file without entries", [], "manifest.one-entry", kind="file")
    yield _entries("a file that is an empty folder", [folder], "manifest.one-entry", kind="file")
    yield _inline("entries and shards", "manifest.entries-or-shards", shards=originals.SHARDS)
    yield _inline("entries and no shard", "manifest.entries-or-shards", shards=[])
    yield _inline("entries and null", shards=None)
    told = as_document(SHARDED | {"entries": []})
    yield Case("sharded/no entry and shards", SHARDED_KEY, told, "manifest.entries-or-shards")
    yield Case("sharded/null and shards", SHARDED_KEY, as_document(SHARDED | {"entries": None}))
    told = as_document(SHARDED | {"shards": [], "files": 0, "size": 0})
    yield Case("sharded/no shard", SHARDED_KEY, told, "manifest.no-shard")
    yield from _many()


def _many() -> Iterator[Case]:
    """4,096 empty folders, and one more, by a recipe: all paths are of equal length, so they are in order."""
    for count, rule in ((4_096, None), (4_097, "limit.inline")):
        paths = [f"{number:04d}" for number in range(count)]
        digest = hashlib.sha256(b"".join(f'["{path}"]\n'.encode() for path in paths)).hexdigest()
        manifest = INLINE | {"entries": [], "size": 0, "files": 0, "folders": count, "digest": f"sha256:{digest}"}
        begin, _, end = as_document(manifest).decode().partition('"entries":[]')
        each = {"each": '{"folder":true,"path":"#"}', "to": count, "join": ","}
        yield Case(f"manifest/{count} entries", INLINE_KEY, [f'{begin}"entries":[', each, f"]{end}"], rule)


def _sums() -> Iterator[Case]:
    for field in ("size", "files", "folders"):
        good = INLINE[field]
        for value in (good + 1, good - 1):
            yield _inline(f"{field} {value}", "manifest.sums", **{field: value})
        for value in (float(good), str(good), [], -1, 2**53):
            yield _inline(f"{field} {value!r}", "type.whole", **{field: value})
    yield _inline("files and folders exchanged", "manifest.sums", files=1, folders=2)
    yield _inline("another digest", "manifest.digest", digest=originals.DIGEST)
    for number, value in enumerate(TYPES["digest"].bad, start=1):
        yield _inline(f"digest bad {number}", "type.digest", digest=value)


def _items() -> Iterator[Case]:
    one, folder, two = INLINE["entries"]

    def changed(what: str, rule: str | None = None, **fields: Any) -> Case:
        return _entries(f"entry {what}", [one | fields, folder, two], rule)

    yield changed("null fields", folder=None, uri=None, executable=None, stored=None, data=None)
    yield changed("of a fresh key", key=f"{one['key']}-{originals.ID}.csv.gz")
    yield changed("with two endings", key=f"{one['key']}.tar.gz")
    yield changed("of no bytes", size=0)
    yield changed("of the largest size", size=2**53 - 1 - two["size"])
    for what, more in {"a folder too": {"folder": True}, "a URI too": {"uri": "s3://a/b"}}.items():
        yield changed(what, "item.one-kind", **more)
    yield changed("not a folder", "item.one-kind", folder=False)
    yield _entries("a folder with a URI", [one, folder | {"uri": "s3://a/b"}, two], "item.one-kind")
    for name in RESERVED:
        for where, items in {
            "entry": [one | {name: 1}, folder, two],
            "folder": [one, folder | {name: {}}, two],
        }.items():
            yield _entries(f"{where} with {name}", items, f"reserved.{name}")
        yield _entries(f"entry with false {name}", [one | {name: False}, folder, two], f"reserved.{name}")
    for value in (-1, 2**53, 6.0, "6", True):
        yield changed(f"of size {value!r}", "type.whole", size=value)
    for number, value in enumerate(TYPES["hex64"].bad, start=1):
        yield changed(f"sha256 bad {number}", "type.hex64", sha256=value)
    sha256 = one["sha256"]
    keys = (
        originals.blob_key("0" * 64),
        f"blobs/sha256/00/{sha256}",
        f"blobs/sha256/{sha256}",
        f"blobs/md5/{sha256[:2]}/{sha256}",
        f"/{one['key']}",
        f"{one['key']}/",
        f"{one['key']}.CSV",
        f"{one['key']}.a.b.c",
        f"{one['key']}.abcdefghi",
        f"{one['key']}.",
        f"{one['key']}-{originals.ID[1:]}",
        f"{one['key']}-{originals.ID.upper()}",
        f"{one['key']}\n",
        one["key"].upper(),
        "metamlflow.json",
        "",
        7,
        [],
    )
    for number, key in enumerate(keys, start=1):
        yield changed(f"key bad {number}", "item.key-digest", key=key)


def _paths() -> Iterator[Case]:
    def of(*paths: Any) -> list[dict[str, Any]]:
        return [originals.entry(path, b"x") for path in paths]

    for number, path in enumerate(TYPES["path"].good, start=1):
        yield _entries(f"path good {number}", of(path))
    for number, path in enumerate(TYPES["path"].bad, start=1):
        yield _entries(f"path bad {number}", of(path), "type.path")
    yield _entries("case and normal forms", of("A", "a", "e\u0301", "\u00e9"))
    yield _entries("bytes, not UTF-16", of("\uffff", "\U0001f600"))
    yield _entries("siblings between", of("a-b", "a.b", "a/b"))
    yield _entries("folders and files that begin alike", of("a-b/c", "a/b", "ab"))
    for what, paths in {
        "wrong": ("b", "a"),
        "by UTF-16": ("\U0001f600", "\uffff"),
        "by folders": ("a/b", "a-b"),
    }.items():
        yield _entries(f"order {what}", of(*paths), "item.order")
    yield _entries("a path twice", of("a", "a"), "item.order")
    yield _entries("inside a file", of("a", "a/b"), "item.inside")
    yield _entries("inside a file, with others between", of("a", "a-b", "a.b", "a/b/c"), "item.inside")
    folder = {"path": "a", "folder": True}
    yield _entries("inside an empty folder", [folder, *of("a/b")], "item.inside")
    yield _entries("an empty folder inside another", [folder, folder | {"path": "a/b"}], "item.inside")


def _pointing(what: str, pointer: dict[str, Any], rule: str | None = None, **fields: Any) -> Case:
    told = as_document(_sealed(POINTING | {"entries": [pointer, originals.STAT]} | fields))
    return Case(f"pointing/{what}", POINTING_KEY, told, rule)


def _pointers() -> Iterator[Case]:
    one = originals.POINTER
    yield _pointing("not required", one, "feature.pointers", requires=[])
    for what, rule, version in (("null", "pointer.version-null", "null"), ("Null", None, "Null"), ("empty", None, "")):
        yield _pointing(f"version {what}", one | {"version": version}, rule)
    for version in (7, [], True):
        yield _pointing(f"version {version!r}", one | {"version": version}, "type.text")
    bare = {name: value for name, value in one.items() if name not in {"held", "computed"}}
    held = bare | {"held": one["held"]}
    for what, pointer, good in (("nothing", bare, "stat"), ("held", held, "checksum"), ("computed", one, "full")):
        for evidence in ("stat", "checksum", "full"):
            rule = None if evidence == good else "pointer.evidence"
            yield _pointing(f"{what} as {evidence}", pointer | {"evidence": evidence}, rule)
    yield _pointing("no digest in either", bare | {"held": {}, "computed": {}, "evidence": "stat"})
    for evidence in ("Full", "etag", "", 7, True):
        yield _pointing(f"evidence {evidence!r}", one | {"evidence": evidence}, "enum.evidence")
    for name in RESERVED:
        yield _pointing(f"with {name}", one | {name: 0}, f"reserved.{name}")
    yield _pointing("with executable", one | {"executable": "no field of a pointer"})
    for number, value in enumerate((-1, 2**53, 5.0, "5", True), start=1):
        yield _pointing(f"size bad {number}", one | {"size": value}, "type.whole")


def _digests() -> Iterator[Case]:
    for field, evidence in (("held", "checksum"), ("computed", "full")):
        bare = {name: value for name, value in originals.POINTER.items() if name not in {"held", "computed"}}
        good = {name: "a" * count for name, count in HEX_DIGITS.items()}
        good |= {f"{name}-composite": f"{'b' * count}-99999" for name, count in HEX_DIGITS.items()}
        for name, digest in good.items():
            told = bare | {field: {name: digest}, "evidence": evidence}
            yield _pointing(f"{field} {name}", told)
            yield _pointing(f"{field} {name}, one digit short", told | {field: {name: digest[1:]}}, "type.checksum")
            if field == "held":
                yield _pointing(f"held {name}, in capitals", told | {field: {name: digest.upper()}}, "type.checksum")
        yield _pointing(f"{field} all", bare | {field: good, "evidence": evidence})
        wrong: dict[str, Any] = {
            "with parts": {"md5": "0" * 32 + "-1"},
            "composite without parts": {"md5-composite": "0" * 32},
            "of no part": {"md5-composite": "0" * 32 + "-0"},
            "of parts with zeros": {"md5-composite": "0" * 32 + "-01"},
            "of 100,000 parts": {"md5-composite": "0" * 32 + "-100000"},
            "null": {"md5": None},
            "a number": {"crc32": 12345678},
        }
        for what, value in wrong.items():
            yield _pointing(f"{field} {what}", bare | {field: value, "evidence": evidence}, "type.checksum")
        for name in ("sha512", "MD5", "etag", "", "md5-composite-composite"):
            told = bare | {field: {name: "0" * 32}, "evidence": evidence}
            yield _pointing(f"{field} {name!r}", told, "enum.digest")
        for number, value in enumerate(([], "x", 7, False), start=1):
            yield _pointing(f"{field} bad {number}", originals.POINTER | {field: value}, "type.object")


def _uris() -> Iterator[Case]:
    for what, uri in TAKEN_URIS.items():
        yield _pointing(f"uri {what}", originals.POINTER | {"uri": uri})
    for what, (rule, uri) in REFUSED_URIS.items():
        yield _pointing(f"uri {what}", originals.POINTER | {"uri": uri}, rule)
    unproven = originals.STAT | {"path": "a"}
    yield _pointing(
        "uri in the digest", unproven | {"uri": 's3://bucket/\n"\\\u0001\u007f\u00e9\u2028', "version": "\b"}
    )


def _places() -> Iterator[Case]:
    def place(what: str, rule: str | None = None, **fields: Any) -> Case:
        told = as_document(POINTING | {"pointers": [originals.PLACE | fields]})
        return Case(f"pointing/place {what}", POINTING_KEY, told, rule)

    for kind in ("object", "prefix", "glob"):
        yield place(kind, kind=kind)
    for kind in ("folder", "Object", "", 7):
        yield place(f"kind {kind!r}", "enum.place-kind", kind=kind)
    for evidence in ("stat", "checksum", "full", None):
        yield place(f"evidence {evidence}", evidence=evidence)
    for evidence in ("best", "", 7):
        yield place(f"evidence {evidence!r}", "enum.evidence", evidence=evidence)
    yield place("below the root", path="a/b")
    for number, path in enumerate(("/a", "a/", "..", "a\0", 7), start=1):
        yield place(f"path bad {number}", "type.path", path=path)
    for what, (rule, uri) in REFUSED_URIS.items():
        yield place(f"uri {what}", rule, uri=uri)
    yield Case("pointing/no places", POINTING_KEY, as_document(POINTING | {"pointers": []}))
    yield Case("pointing/null for places", POINTING_KEY, as_document(POINTING | {"pointers": None}))


def _shards() -> Iterator[Case]:
    one, two = originals.SHARDS

    def shards(what: str, items: list[Any], rule: str | None = None, **fields: Any) -> Case:
        return Case(f"sharded/{what}", SHARDED_KEY, as_document(SHARDED | {"shards": items} | fields), rule)

    yield shards("in the wrong order", [two, one], "shard.order")
    yield shards("the same twice", [one, one | {"count": 1}], "shard.order")
    yield shards("of 32,768 items", [one | {"count": 32_768}, two], files=32_769)
    for count in (0, -1, 32_769, 2.0, "2", True):
        yield shards(f"of {count!r} items", [one | {"count": count}, two], "shard.count")
    for size in (0, -1, 2**53, 300.0, "300"):
        yield shards(f"of size {size!r}", [one | {"size": size}, two], "type.whole")
    for number, path in enumerate(("", "/a", "a/", "..", "a\0", 7), start=1):
        yield shards(f"first bad {number}", [one | {"first": path}, two], "type.path")
    yield shards("at the key of another", [one | {"key": two["key"]}, two], "item.key-digest")
    yield shards("at no key", [one | {"key": one["key"] + "/"}, two], "item.key-digest")
    for number, value in enumerate(TYPES["hex64"].bad, start=1):
        yield shards(f"sha256 bad {number}", [one | {"sha256": value}, two], "type.hex64")
    for name in RESERVED:
        yield shards(f"with {name}", [one | {name: 0}, two], f"reserved.{name}")
    yield shards("without an ending", [one | {"key": originals.blob_key("a" * 64)}, two])
    yield shards("more items than files", [one, two], "manifest.sums", files=2)
