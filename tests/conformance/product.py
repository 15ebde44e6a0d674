"""What the product makes of a document and of a key, in the words of the second reader."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from metamlflow.errors import (
    StoreFormatError,
)
from metamlflow.format import layout
from metamlflow.format.collections import decode_collection
from metamlflow.format.entries import decode_shard
from metamlflow.format.features import decode_features
from metamlflow.format.known_keys import is_known
from metamlflow.format.manifests import decode_manifest
from metamlflow.format.notes import decode_notes
from metamlflow.format.records import (
    decode_alias,
    decode_claim,
    decode_marker,
    decode_relocation,
    decode_state,
)
from metamlflow.format.retention import decode_policies, decode_protection
from metamlflow.format.runs import decode_end, decode_input, decode_start
from metamlflow.format.signatures import decode_signature
from metamlflow.format.tombs import decode_tomb, decode_visibility
from metamlflow.model.manifests import Shard
from metamlflow.model.names import ArtifactName, alias_problem, name_problem


def _protection(data: bytes, key: str, at: dict[str, Any]) -> Any:
    return decode_protection(data, key, ArtifactName(at["name"]), at["version"], at["number"])


DECODERS: dict[str, Callable[[bytes, str, dict[str, Any]], Any]] = {
    "marker": lambda data, key, at: decode_marker(data),
    "manifest": lambda data, key, at: decode_manifest(data, key, ArtifactName(at["name"]), at["version"]),
    "state": lambda data, key, at: decode_state(data, key),
    "alias": lambda data, key, at: decode_alias(data, key),
    "claim": lambda data, key, at: decode_claim(data, key),
    "run start": lambda data, key, at: decode_start(data, key, at["run"]),
    "run input": lambda data, key, at: decode_input(data, key),
    "run end": lambda data, key, at: decode_end(data, key),
    "signature": lambda data, key, at: decode_signature(data, key),
    "relocation": lambda data, key, at: decode_relocation(data, key),
    "tomb": lambda data, key, at: decode_tomb(data, key, ArtifactName(at["name"]), at["version"]),
    "hiding": lambda data, key, at: decode_visibility(data, key, at["number"]),
    "note": lambda data, key, at: decode_notes(data, key, ArtifactName(at["name"]), at["version"], at["number"]),
    "features": lambda data, key, at: decode_features(data, key),
    "policies": lambda data, key, at: decode_policies(data, key, at["number"]),
    "protection": _protection,
    "end of a protection": _protection,
    "collection": lambda data, key, at: decode_collection(data, key),
}


NUMBERED: dict[str, Callable[[str], int | None]] = {
    "relocation": layout.parse_relocation_key,
    "features": layout.parse_features_key,
    "policies": layout.parse_policies_key,
    "collection": layout.parse_collection_key,
}
"""The series of the store."""


def accepts(data: bytes, key: str, at: dict[str, Any]) -> bool:
    """Whether the product reads a document as the record that its key promises."""
    try:
        DECODERS[at["kind"]](data, key, at)
    except StoreFormatError:
        return False
    return True


def accepts_shard(data: bytes, said: dict[str, Any]) -> bool:
    """Whether it reads the lines of a shard of which a manifest says so much."""
    digest = hashlib.sha256(data).hexdigest()
    shard = Shard(said["first"], said["count"], len(data), digest, layout.blob_key(digest, ".jsonl"))
    try:
        decode_shard(data, shard)
    except StoreFormatError:
        return False
    return True


def record_of(key: str) -> dict[str, Any]:  # noqa: PLR0911 (a table of kinds)
    """What the product takes a key for, in the words of the second reader."""
    if key == layout.MARKER:
        return {"kind": "marker"}
    if digest := layout.sha256_of_blob_key(key):
        return {"kind": "blob", "sha256": digest}
    if name := layout.name_of_key(key):
        return {"kind": "name", "name": name}
    if found := layout.parse_hidden_key(key):
        return {"kind": "hiding", "name": found[0], "number": found[1]}
    for kind, parse in NUMBERED.items():
        if (number := parse(key)) is not None:
            return {"kind": kind, "number": number}
    if key.startswith(layout.PROTECTIONS):
        return _protection_record(key)
    if key.startswith(layout.RUNS):
        return _run_record(key)
    if key.startswith(layout.EDGES):
        return _edge(key)
    name = layout.name_of_artifact_key(key) if key.startswith(layout.ARTIFACTS) else None
    return (_artifact_record(ArtifactName(name), key) if name else None) or {"kind": "ignored"}


def _protection_record(key: str) -> dict[str, Any]:
    found = layout.parse_protection_key(key)
    if found is None:
        return {"kind": "ignored"}
    kind = "end of a protection" if found.ends else "protection"
    return {"kind": kind, "name": str(found.name), "version": found.version, "number": found.number}


def _run_record(key: str) -> dict[str, Any]:
    run = layout.run_of_key(key)
    if found := layout.parse_run_input_key(run, key):
        return {"kind": "run input", "run": run, "input": found}
    for part in ("start", "end"):
        if key == layout.run_key(run, part):
            return {"kind": f"run {part}", "run": run}
    return {"kind": "ignored"}


def _edge(key: str) -> dict[str, Any]:
    escaped, _, below = key.removeprefix(layout.EDGES).partition("/_v")
    digits = below.partition("/")[0]
    name = layout.unescape_name(escaped)
    if re.fullmatch("[1-9][0-9]{0,9}", digits) and name_problem(name) is None:
        source = ArtifactName(name), int(digits)
        found = layout.parse_edge_key(source, key) if key.startswith(layout.edges_prefix(*source)) else None
        if found:
            at = {"name": name, "version": source[1], "consumer": str(found[0]), "consumer_version": found[1]}
            return {"kind": "edge"} | at
    return {"kind": "ignored"}


def _artifact_record(name: ArtifactName, key: str) -> dict[str, Any] | None:
    at: dict[str, Any] = {"name": str(name)}
    try:
        found = layout.parse_version_key(name, key)
    except StoreFormatError:
        return {"kind": "refused"} | at
    if found:
        at["version"] = found.version
        if found.is_tomb:
            return at | {"kind": "tomb"}
        return at | ({"kind": "state", "number": found.state} if found.state else {"kind": "manifest"})
    return _in_a_series(name, key)


def _in_a_series(name: ArtifactName, key: str) -> dict[str, Any] | None:
    at: dict[str, Any] = {"name": str(name)}
    if note := layout.note_of_key(name, key):
        return at | {"kind": "note", "version": note.version, "number": note.number}
    alias = layout.alias_of_key(name, key)
    if alias is not None and alias_problem(alias) is None:
        number = layout.parse_alias_key(name, alias, key)
        return at | {"kind": "alias", "alias": alias, "number": number} if number else None
    hashed = key.removeprefix(layout.idempotency_prefix(name, "").removesuffix("/")).partition("/")[0]
    number = layout.parse_idempotency_key(name, hashed, key)
    if number and is_known(key):
        return at | {"kind": "claim", "hash": hashed, "number": number}
    return None


def stops_a_collector(key: str) -> bool:
    return not is_known(key)
