"""Hostile stores: markers and manifests that lie, or are made to do harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from honest_store import LARGE, HostileStore, with_sums

Case = Callable[[HostileStore], None]
CASES: dict[str, Case] = {}
MARKER = "metamlflow.json"
GIB = 1 << 30


def _marker(**fields: Any) -> Case:
    def change(store: HostileStore) -> None:
        document = json.loads((store.root / MARKER).read_bytes())
        store.replace(MARKER, json.dumps(document | fields).encode())

    return change


def _as_bytes(key: str, data: bytes) -> Case:
    return lambda store: store.replace(store.manifest_key() if key == "manifest" else key, data)


def _fields(**fields: Any) -> Case:
    return lambda store: store.change(fields)


def _entry(**fields: Any) -> Case:
    return lambda store: store.change_entry(0, **fields)


def _path(path: str) -> Case:
    """Give the one entry of data@2 that is left another path, in a manifest that is sound but for that."""

    def change(store: HostileStore) -> None:
        document = store.manifest()
        document["entries"] = [document["entries"][0] | {"path": path}]
        store.write_manifest(with_sums(document))

    return change


def _paths(*paths: str) -> Case:
    def change(store: HostileStore) -> None:
        document = store.manifest()
        document["entries"] = [document["entries"][0] | {"path": path} for path in sorted(paths)]
        store.write_manifest(with_sums(document))

    return change


DEEP = b'{"a":' * 300_000
CASES |= {
    "a marker that is not there": lambda store: (store.root / MARKER).unlink(),
    "a marker that is cut off": lambda store: store.replace(MARKER, (store.root / MARKER).read_bytes()[:40]),
    "an empty marker": _as_bytes(MARKER, b""),
    "a marker of 3 GB": lambda store: store.sparse(MARKER, 3 * GIB),
    "a marker that is an array": _as_bytes(MARKER, b"[]"),
    "a marker nested without end": _as_bytes(MARKER, DEEP),
    "a marker with a number of a million digits": _as_bytes(MARKER, b'{"format":' + b"9" * 1_000_000 + b"}"),
    "a marker of a million empty objects": _as_bytes(MARKER, b'{"a":[' + b"{}," * 1_000_000 + b"{}]}"),
    "a marker of a million keys": _as_bytes(
        MARKER, b"{" + b",".join(b'"%d":0' % number for number in range(1_000_001)) + b"}"
    ),
    "a marker of a newer format": _marker(format=2),
    "a marker that requires the unknown": _marker(requires=["teleport"]),
    "a marker with a grace of nothing": _marker(grace_seconds=0),
    "a manifest of 3 GB": lambda store: store.sparse(store.manifest_key(), 3 * GIB),
    "a manifest that is cut off": lambda store: store.replace(
        store.manifest_key(), (store.root / store.manifest_key()).read_bytes()[:-30]
    ),
    "a manifest nested without end": _as_bytes("manifest", DEEP),
    "a manifest of commas in a text without an end": _as_bytes("manifest", b'{"a":"' + b'\\",' * 2_000_000),
    "a manifest with a key twice": lambda store: store.replace(
        store.manifest_key(), b'{"version":2,' + (store.root / store.manifest_key()).read_bytes()[1:]
    ),
    "a manifest of NaN": _as_bytes("manifest", b'{"format":NaN,"size":-Infinity}'),
    "a manifest with half a character": _as_bytes("manifest", b'{"format":1,"name":"\\ud800"}'),
    "a manifest in Latin-1": _as_bytes("manifest", '{"name":"\u00e9"}'.encode("latin-1")),
    "a manifest with a byte order mark": lambda store: store.replace(
        store.manifest_key(), b"\xef\xbb\xbf" + (store.root / store.manifest_key()).read_bytes()
    ),
    "a manifest of another name": _fields(name="model"),
    "a manifest of another version": _fields(version=3),
    "a manifest without its digest": _fields(digest="sha256:" + "0" * 64),
    "a manifest with fewer files than entries": _fields(files=1),
    "a manifest with 2^52 files": _fields(files=2**52),
    "a manifest with a size of 1e308": _fields(size=1e308),
    "a manifest with another history": _fields(previous="sha256:" + "1" * 64),
    "a manifest without entries": _fields(entries=[]),
    "a manifest with entries and shards": _fields(shards=[]),
    "a manifest that requires the unknown": _fields(requires=["teleport"]),
    "a manifest with a run and inputs that are none": _fields(run="../..", inputs=[{"name": "../x", "version": 0}]),
    "a manifest of its own inputs": lambda store: store.change(
        {"inputs": [{"name": "report", "version": 1, "manifest_digest": "sha256:" + "0" * 64}]}, "report", 1
    ),
    "metadata and columns that are markup": _fields(
        metadata={"</script><img src=x onerror=alert(1)>": "\x1b[31m"},
        schema={"fields": [{"name": "<b>", "type": "</td>", "nullable": True}]},
        created_by="\x1b]0;title\x07<script>",
    ),
    "a schema that is none": _fields(schema={"fields": [[[1]]], "path": 7}),
    "a path that climbs": _path("../climbed.txt"),
    "a path that climbs in the middle": _path("a/../../climbed.txt"),
    "an absolute path": _path("/tmp/absolute.txt"),
    "a path with a NUL": _path("a\0b"),
    "a path with a line break": _path("a\nb"),
    "a path of 2,000 folders": _path("/".join("a" * 2_000)),
    "a path too long for a disk": _path("x" * 3_000),
    "a path of combining characters": _path("a" + "\u0301\u0323" * 1_000),
    "two paths of one disk name": _paths("Read", "read", "r\u00e9", "re\u0301", "\uff52ead"),
    "a path inside a file": _paths("a.csv", "a.csv/inside"),
    "an entry with a size one too small": _entry(size=7),
    "an entry with a negative size": _entry(size=-1),
    "an entry of 2^52 bytes": _entry(size=2**52),
    "an entry of 5 GB": _entry(size=5 * GIB),
    "an entry with a short digest": _entry(sha256="ab"),
    "an entry whose key is the marker": _entry(key=MARKER),
    "an entry whose key climbs": _entry(key="blobs/sha256/../../../outside"),
    "an entry whose key is other content": lambda store: store.change_entry(0, key=store.blob(1)),
    "an entry of other content": lambda store: store.change_entry(0, **store.put_content(b"forged", ".csv")),
    "an entry of no content": lambda store: store.change_entry(0, **(store.put_content(b"") | {"size": len(LARGE)})),
}
