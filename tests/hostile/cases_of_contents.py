"""Hostile stores: content, lists of files and pointers that are not what manifests say."""

from __future__ import annotations

import json
import os
import shutil

from cases_of_documents import GIB, Case
from honest_store import HostileStore, with_sums

CASES: dict[str, Case] = {}


def _flip(store: HostileStore) -> None:
    data = bytearray((store.root / store.blob(2)).read_bytes())
    data[len(data) // 2] ^= 1
    store.replace(store.blob(2), bytes(data))


def _cut(store: HostileStore) -> None:
    store.replace(store.blob(2), (store.root / store.blob(2)).read_bytes()[:-1])


def _lengthen(store: HostileStore) -> None:
    store.replace(store.blob(2), (store.root / store.blob(2)).read_bytes() + b"x")


def _swell(store: HostileStore) -> None:
    """Content goes on for 3 GB after its last byte."""
    path = store.root / store.blob(0)
    data = path.read_bytes()
    store.replace(store.blob(0), data)
    os.truncate(path, 3 * GIB)


def _folder_for_blob(store: HostileStore) -> None:
    path = store.root / store.blob(0)
    path.unlink()
    path.mkdir()


def _link_for_blob(store: HostileStore) -> None:
    path = store.root / store.blob(0)
    path.unlink()
    path.symlink_to(store.lake / "part-1.csv")


def _shards_turned(store: HostileStore) -> None:
    store.change({"shards": store.shards()[::-1]}, "wide", 1)


def _shard_lies(**fields: object) -> Case:
    def change(store: HostileStore) -> None:
        shards = store.shards()
        shards[0] |= fields
        store.change({"shards": shards}, "wide", 1)

    return change


def _shards_overlap(store: HostileStore) -> None:
    """The first list goes on into the second."""
    first, second = ((store.root / shard["key"]).read_bytes() for shard in store.shards()[:2])
    line = second.split(b"\n")[0] + b"\n"
    store.replace_shard(0, first + line, count=store.shards()[0]["count"] + 1)


def _shard_of_other_files(store: HostileStore) -> None:
    data = (store.root / store.shards()[0]["key"]).read_bytes()
    forged = store.put_content(b"forged")
    lines = [json.loads(line) for line in data.splitlines()]
    lines[2] |= forged
    store.replace_shard(0, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def _shard_of_bombs(store: HostileStore) -> None:
    count = store.shards()[0]["count"]
    store.replace_shard(0, (b"[" * 10_000 + b"\n") * count)


def _many_shards(store: HostileStore) -> None:
    """Many lists of 32,768 files each, none of which is there."""
    digest = "0" * 64
    shards = [
        {"first": f"{number:09}", "count": 32_768, "size": 10, "sha256": digest, "key": f"blobs/sha256/00/{digest}"}
        for number in range(180)
    ]
    store.change({"shards": shards, "files": 180 * 32_768}, "wide", 1)


def _pointer(uri: str, **fields: object) -> Case:
    def change(store: HostileStore) -> None:
        document = store.manifest("pointed", 1)
        document["entries"][0] |= {"uri": uri} | fields
        store.write_manifest(with_sums(document), "pointed", 1)

    return change


CASES |= {
    "content with a flipped bit": _flip,
    "content that is cut off": _cut,
    "content with a byte more": _lengthen,
    "content that goes on for 3 GB": _swell,
    "content that is missing": lambda store: (store.root / store.blob(0)).unlink(),
    "a folder in place of content": _folder_for_blob,
    "a link in place of content": _link_for_blob,
    "no content at all": lambda store: shutil.rmtree(store.root / "blobs"),
    "a list of files that is missing": lambda store: (store.root / store.shards()[0]["key"]).unlink(),
    "a list of files that is cut off": lambda store: store.replace(
        store.shards()[0]["key"], (store.root / store.shards()[0]["key"]).read_bytes()[:100]
    ),
    "a list of files of 3 GB": lambda store: store.sparse(store.shards()[0]["key"], 3 * GIB),
    "a list of files of 2^52 bytes": _shard_lies(size=2**52),
    "a list of 2^52 files": _shard_lies(count=2**52),
    "a list that begins elsewhere": _shard_lies(first="00000x"),
    "lists of files in another order": _shards_turned,
    "lists of files that overlap": _shards_overlap,
    "a list that names forged content": _shard_of_other_files,
    "a list of nested lines": _shard_of_bombs,
    "lists of files that are not there": _many_shards,
    "a pointer to the users of this machine": _pointer("file:///etc/passwd"),
    "a pointer to a secret beside the store": lambda store: _pointer(f"file://{store.root.parent}/outside")(store),
    "a pointer with a password": _pointer("https://user:secret@127.0.0.1/x"),
    "a signed pointer": _pointer("https://127.0.0.1/x?X-Amz-Signature=ab"),
    "a pointer with a line break": _pointer("file:///a\nerror: all is well"),
    "a pointer of 2^52 bytes": lambda store: _pointer(f"file://{store.lake}/part-1.csv", size=2**52)(store),
    "a pointer without evidence": lambda store: _pointer(
        f"file://{store.root.parent}/outside", evidence="stat", computed={}, held={}
    )(store),
    "a pointer through a chain of file systems": _pointer("zip://x::file:///etc/passwd"),
}
