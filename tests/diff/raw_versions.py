"""Versions with long lists of files, written by hand: documents and shards as docs/SPEC.md has them, and no content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def item(path: str, content: str, size: int = 3) -> dict[str, Any]:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return {"key": f"blobs/sha256/{sha256[:2]}/{sha256}", "path": path, "sha256": sha256, "size": size}


def line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() + b"\n"


def shards(root: Path, items: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Write the shards of items in path order; yield each with the sizes of its items added up."""
    run: list[bytes] = []
    first, size = "", 0
    for one in items:
        first = first or one["path"]
        run.append(line(one))
        size += one["size"]
        if hashlib.sha256(one["path"].encode()).hexdigest().startswith("000"):
            yield _written(root, first, run), size
            run, first, size = [], "", 0
    if run:
        yield _written(root, first, run), size


def _written(root: Path, first: str, run: list[bytes]) -> dict[str, Any]:
    data = b"".join(run)
    sha256 = hashlib.sha256(data).hexdigest()
    key = f"blobs/sha256/{sha256[:2]}/{sha256}.jsonl"
    (root / key).parent.mkdir(parents=True, exist_ok=True)
    (root / key).write_bytes(data)
    return {"count": len(run), "first": first, "key": key, "sha256": sha256, "size": len(data)}


def write_version(root: Path, name: str, number: int, items: Iterable[dict[str, Any]], **fields: Any) -> None:
    """Write the manifest of a version of a store that exists; the content digest is only well-formed."""
    listed = list(shards(root, items))
    document = {
        "artifact_id": f"00000000-0000-0000-0000-{number:012}",
        "created_at": "2026-01-31T12:00:00Z",
        "created_by": "ada",
        "digest": f"sha256:{number:064}",
        "files": sum(shard["count"] for shard, _ in listed),
        "folders": 0,
        "format": 1,
        "inputs": [],
        "kind": "folder",
        "metadata": {},
        "name": name,
        "previous": None if number == 1 else f"sha256:{number - 1:064}",
        "record_id": f"{number:032}",
        "requires": [],
        "schema": None,
        "shards": [shard for shard, _ in listed],
        "size": sum(size for _, size in listed),
        "type": "dataset",
        "version": number,
        **fields,
    }
    key = root / f"artifacts/{name}/_versions/{9_999_999_999 - number:010}_v{number}.json"
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_bytes(line(document))
