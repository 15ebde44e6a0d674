"""A good document of every kind, from which all others of the kit are made by one change."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from reader.items import content_digest, item
from reader.keys import inverse, spelled

from kit.cases import as_document

ID = "0123456789abcdef0123456789abcdef"
UUID = "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00"
NOON = "2026-01-31T12:00:00.000000Z"
DIGEST = f"sha256:{'5' * 64}"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the key of the kit").digest())
PUBLIC = KEY.public_key().public_bytes_raw()
KEY_ID = hashlib.sha256(PUBLIC).hexdigest()
ORIGIN = {"format": 1, "record_id": ID, "created_at": NOON}


def blob_key(sha256: str, extension: str = "") -> str:
    return f"blobs/sha256/{sha256[:2]}/{sha256}{extension}"


def entry(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    """A stored file."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": path, "size": len(content), "sha256": sha256, "key": blob_key(sha256)} | more


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the sums and the digest of its entries."""
    items = [item(value) for value in manifest["entries"]]
    folders = sum("folder" in value for value in items)
    return manifest | {
        "size": sum(value.get("size", 0) for value in items),
        "files": len(items) - folders,
        "folders": folders,
        "digest": content_digest(items),
    }


def a_manifest(name: str, version: int, entries: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return sealed(
        ORIGIN
        | {
            "artifact_id": UUID,
            "code": None,
            "created_by": "ada",
            "entries": entries,
            "inputs": [],
            "kind": "folder",
            "metadata": {},
            "name": name,
            "previous": None if version == 1 else DIGEST,
            "requires": ["pointers"] if any("uri" in value for value in entries) else [],
            "run": None,
            "schema": None,
            "type": "dataset",
            "version": version,
            "writer": "kit 1",
        }
        | more
    )


def manifest_key(name: str, version: int) -> str:
    return f"artifacts/{spelled(name)}/_versions/{inverse(version)}_v{version}.json"


def tomb_key(name: str, version: int) -> str:
    return manifest_key(name, version).removesuffix("json") + "tomb.json"


INPUT = {"name": "raw", "version": 3, "manifest_digest": DIGEST, "role": "train"}
INLINE = a_manifest(
    "Fraud/features",
    2,
    [
        entry("README", b"hello\n", crc32c="353dd8be"),
        {"path": "empty", "folder": True},
        entry("run.sh", b"#!/bin/sh\n", executable=True, crc32c="00000000"),
    ],
    inputs=[INPUT],
    metadata={"mood": "good"},
    schema={"columns": []},
    code={"commit": "c0ffee"},
    run="f" * 32,
)
POINTER = {
    "path": "a",
    "size": 5,
    "uri": "s3://bucket/a",
    "version": "v1",
    "evidence": "full",
    "etag": '"tag"',
    "modified_ns": "1767225600123456789",
    "held": {"md5": "0" * 32},
    "computed": {"sha256": "1" * 64},
}
STAT = {"path": "b", "size": 7, "uri": "file:///data/b", "evidence": "stat", "etag": "t", "modified_ns": "-5"}
PLACE = {"path": "", "uri": "s3://bucket/", "kind": "prefix", "evidence": "full"}
POINTING = a_manifest("far", 1, [POINTER, STAT], pointers=[PLACE])
SHARDS = [
    {"first": "a", "count": 2, "size": 300, "sha256": "a" * 64, "key": blob_key("a" * 64, ".jsonl")},
    {"first": "c", "count": 1, "size": 150, "sha256": "b" * 64, "key": blob_key("b" * 64, ".jsonl")},
]
SHARDED = {name: value for name, value in a_manifest("big", 1, []).items() if name != "entries"} | {
    "shards": SHARDS,
    "size": 12,
    "files": 3,
    "digest": DIGEST,
}
MARKER = ORIGIN | {"requires": [], "store_id": "f" * 32, "grace_seconds": 604_800}
START = ORIGIN | {
    "run_id": "f" * 32,
    "name": "train",
    "parent": ID,
    "params": {"rate": 0.5},
    "user": "ada",
    "host": "node-1",
    "code": {"commit": "c0ffee"},
    "environment": {"distributions": DIGEST},
}
END = ORIGIN | {
    "outcome": "failed",
    "error_type": "ValueError",
    "metrics": {"loss": 0.25},
    "series": {"loss": {"steps": [0, 7], "values": [0.5, 0.25]}},
    "notes": ["too hot"],
    "outputs": [{"name": "model", "version": 1, "manifest_digest": DIGEST}],
}
USED = ORIGIN | {"input": INPUT}
INPUT_ID = hashlib.sha256(as_document({"name": "raw", "role": "train", "version": 3})).hexdigest()[:32]
MESSAGE = f"metamlflow manifest signature 1\n{DIGEST}\n".encode()
SIGNATURE = ORIGIN | {
    "algorithm": "ed25519",
    "manifest_digest": DIGEST,
    "key_id": KEY_ID,
    "public_key": base64.b64encode(PUBLIC).decode(),
    "signature": base64.b64encode(KEY.sign(MESSAGE)).decode(),
}
TOMB = ORIGIN | {
    "created_by": "ada",
    "manifest_digest": DIGEST,
    "name": "Fraud/features",
    "previous": f"sha256:{'4' * 64}",
    "reason": "asked for by a person",
    "version": 2,
}
NOTE = ORIGIN | {
    "created_by": "ada",
    "description": "Trained on *March*.\n\nNot for scoring.",
    "tags": {"stage": "candidate", "label": ""},
    "title": "Fraud, March",
    "writer": "kit 1",
}
FEATURES = ORIGIN | {"read": ["coded-blobs", "x"], "write": ["a", "coded-blobs", "z-9"]}
POLICY = {
    "created_at": NOON,
    "created_by": "ada",
    "keep_last": 3,
    "note": "the disk is small",
    "older_than_seconds": 7_776_000,
    "pattern": "checkpoints/**",
    "where": "metadata.accuracy < 0.5",
}
POLICIES = ORIGIN | {
    "created_by": "ada",
    "policies": [POLICY, {"created_at": NOON, "created_by": "", "pattern": "Fraud/*-?"}],
}
PROTECTION = ORIGIN | {"created_by": "ada", "note": "figure 3 of the paper"}
COLLECTION = ORIGIN | {"collection": "e" * 32, "created_by": "ada", "phase": "ended", "unclear": True}
ALIAS = ORIGIN | {"created_by": "ada", "note": "better\nthan 6", "version": 7, "writer": "kit 1"}
SAID = ORIGIN | {"created_by": "ada", "manifest_digest": DIGEST, "note": "too old"}
STATE_KEY = "artifacts/a/_versions/9999999998_v1.state-{}.json"

DOCUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "marker": ("metamlflow.json", MARKER),
    "manifest": (manifest_key("Fraud/features", 2), INLINE),
    "pointing": (manifest_key("far", 1), POINTING),
    "sharded": (manifest_key("big", 1), SHARDED),
    "pruned": (STATE_KEY.format(inverse(1)), SAID | {"state": "pruned"}),
    "restored": (STATE_KEY.format(inverse(2)), ORIGIN | {"manifest_digest": DIGEST, "state": "restored"}),
    "absent": (STATE_KEY.format(inverse(3)), ORIGIN | {"manifest_digest": DIGEST, "state": "absent"}),
    "alias": ("artifacts/a/_aliases/best/9999999997.json", ALIAS),
    "claim": (
        f"artifacts/a/_idempotency/{'c' * 64}/9999999998.json",
        ORIGIN | {"version": 7, "artifact_id": UUID},
    ),
    "start": (f"runs/{'f' * 32}/start.json", START),
    "used": (f"runs/{'f' * 32}/inputs/{INPUT_ID}.json", USED),
    "end": (f"runs/{'f' * 32}/end.json", END),
    "signature": (f"signatures/a/_v1/{KEY_ID}.json", SIGNATURE),
    "relocation": (
        "relocations/9999999998.json",
        ORIGIN | {"old": "s3://old/data/", "new": "gs://new/data/"},
    ),
    "tomb": (tomb_key("Fraud/features", 2), TOMB),
    "hidden": ("names/!fraud/features!/9999999998.json", ORIGIN | {"state": "hidden"}),
    "shown": ("names/!fraud/features!/9999999997.json", ORIGIN | {"state": "shown"}),
    "note": ("artifacts/!fraud/features/_notes/9999999998.json", NOTE),
    "noted": ("artifacts/!fraud/features/_notes/v12/9999999997.json", NOTE),
    "features": ("features/9999999998.json", FEATURES),
    "policies": ("policies/9999999998.json", POLICIES),
    "protection": ("protections/!fraud/features/_v12/9999999997.json", PROTECTION),
    "over": ("protections/!fraud/features/_v12/9999999997.end.json", PROTECTION),
    "collection": ("collections/9999999997.json", COLLECTION),
}
"""By a short name: the key, and the document."""
