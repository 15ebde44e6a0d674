"""Section 4: a document of each kind, checked as a reader must check it. What a function returns is checked."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from reader.items import EVIDENCE, blob_of, content_digest, item, refuse_disorder, refuse_reserved
from reader.json_text import Refused, parse, written_object
from reader.metadata import tagged, tagged_object
from reader.types import (
    bytes_in_base64,
    field,
    is_address,
    is_array,
    is_artifact_name,
    is_description,
    is_digest,
    is_features,
    is_format,
    is_hex64,
    is_id,
    is_kind_of_artifact,
    is_note,
    is_object,
    is_path,
    is_pattern,
    is_tags,
    is_text,
    is_texts,
    is_time,
    is_title,
    is_true,
    is_uuid,
    is_version,
    one_of,
    whole,
)

MOST_INLINE = 4_096
FEATURES_OF_MANIFESTS = {"pointers"}


def _begin(data: bytes) -> dict[str, Any]:
    document = parse(data)
    field(document, "format", is_format)
    field(document, "record_id", is_id)
    field(document, "created_at", is_time)
    return document


def _features(document: dict[str, Any], known: set[str]) -> list[str]:
    names = field(document, "requires", is_texts)
    if not set(names) <= known:
        raise Refused("a feature that is not known")
    return names


def marker(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    _features(document, set())
    return {
        "store_id": field(document, "store_id", is_id),
        "grace_seconds": field(document, "grace_seconds", whole(1, 10_000_000_000)),
    }


def name_record(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    return {}  # its key says all


def manifest(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    features = _features(document, FEATURES_OF_MANIFESTS)
    _agrees(document, at)
    found = {
        "name": at["name"],
        "version": at["version"],
        "record_id": document["record_id"],
        "artifact_id": field(document, "artifact_id", is_uuid),
        "type": field(document, "type", is_kind_of_artifact),
        "kind": field(document, "kind", one_of("file", "folder")),
        "created_at": document["created_at"],
        "created_by": field(document, "created_by", is_text),
        "digest": field(document, "digest", is_digest),
        "size": field(document, "size", whole(0)),
        "files": field(document, "files", whole(0)),
        "folders": field(document, "folders", whole(0)),
        "metadata": tagged_object(field(document, "metadata", is_object)),
        "schema": field(document, "schema", is_object, may_miss=True),
        "inputs": [_input(value) for value in field(document, "inputs", is_array)],
        "run": field(document, "run", is_id, may_miss=True),
        "code": field(document, "code", is_object, may_miss=True),
        "writer": field(document, "writer", is_text, may_miss=True),
        "previous": _previous(document),
        "places": [_place(value) for value in field(document, "pointers", is_array, may_miss=True) or []],
        "requires": features,
    }
    if found["kind"] == "file" and (found["files"], found["folders"]) != (1, 0):
        raise Refused("a file is one entry")
    entries = field(document, "entries", is_array, may_miss=True)
    shards = field(document, "shards", is_array, may_miss=True)
    if (entries is None) == (shards is None):
        raise Refused("a manifest has entries or shards")
    if shards is None:
        return found | {"items": _entries(entries, found), "shards": None}
    known = _shards(shards)
    if sum(shard["count"] for shard in known) != found["files"] + found["folders"]:
        raise Refused("the shards have more items than the manifest, or fewer")
    return found | {"items": None, "shards": known}


def _agrees(document: dict[str, Any], at: dict[str, Any]) -> None:
    if field(document, "name", is_artifact_name) != at["name"]:
        raise Refused("the name is not that of the key")
    if field(document, "version", is_version) != at["version"]:
        raise Refused("the version is not that of the key")


def _previous(document: dict[str, Any]) -> str | None:
    if document["version"] > 1:
        return field(document, "previous", is_digest)
    if document.get("previous") is not None:
        raise Refused("there is nothing before version 1")
    return None


def _entries(values: list[Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    if len(values) > MOST_INLINE:
        raise Refused("too many items")
    items = [item(value) for value in values]
    refuse_disorder([value["path"] for value in items])
    agree(items, found)
    return items


def agree(items: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """The items are those that the manifest sums up."""
    folders = sum("folder" in value for value in items)
    sums = (sum(value.get("size", 0) for value in items), len(items) - folders, folders)
    if sums != (found["size"], found["files"], found["folders"]):
        raise Refused("size, files or folders are not those of the items")
    if content_digest(items) != found["digest"]:
        raise Refused("the digest is not that of the items")
    if any("uri" in value for value in items) and "pointers" not in found["requires"]:
        raise Refused("an entry lies elsewhere, and requires does not say so")


def _shards(values: list[Any]) -> list[dict[str, Any]]:
    if not values:
        raise Refused("no shard")
    shards = []
    for value in values:
        if not isinstance(value, dict):
            raise Refused("a shard is an object")
        refuse_reserved(value)
        sha256, key = blob_of(value)
        shards.append(
            {
                "first": field(value, "first", is_path),
                "count": field(value, "count", whole(1, 32_768)),
                "size": field(value, "size", whole(1)),
                "sha256": sha256,
                "key": key,
            }
        )
    firsts = [shard["first"].encode() for shard in shards]
    if any(one >= two for one, two in itertools.pairwise(firsts)):
        raise Refused("the shards are not in order")
    return shards


def shard_items(data: bytes, shard: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of one shard, whose bytes were compared with its digest."""
    if not data.endswith(b"\n"):
        raise Refused("a line ends with a newline")
    lines = data.split(b"\n")[:-1]
    if len(lines) != shard["count"]:
        raise Refused("the shard has another number of lines")
    items = [item(parse(line)) for line in lines]
    if items[0]["path"] != shard["first"]:
        raise Refused("the shard begins with another path")
    return items


def _input(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused("an input is an object")
    return {
        "name": field(value, "name", is_artifact_name),
        "version": field(value, "version", is_version),
        "manifest_digest": field(value, "manifest_digest", is_digest),
        "role": field(value, "role", is_text, may_miss=True),
    }


def _place(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused("a place is an object")
    return {
        "path": field(value, "path", lambda path: path == "" or is_path(path)),
        "uri": field(value, "uri", is_address),
        "kind": field(value, "kind", one_of("object", "prefix", "glob")),
        "evidence": field(value, "evidence", EVIDENCE, may_miss=True),
    }


def state(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    taken = one_of("pruned", "absent") if at["number"] % 2 else one_of("restored")
    return {
        "state": field(document, "state", taken),
        "manifest_digest": field(document, "manifest_digest", is_digest),
        "created_by": field(document, "created_by", is_text, may_miss=True),
        "note": field(document, "note", is_note, may_miss=True),
    }


def tomb(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    _agrees(document, at)
    return {
        "created_at": document["created_at"],
        "created_by": field(document, "created_by", is_text),
        "manifest_digest": field(document, "manifest_digest", is_digest),
        "previous": _previous(document),
        "reason": field(document, "reason", is_note, may_miss=True),
    }


def hiding(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    return {"state": field(document, "state", one_of("hidden" if at["number"] % 2 else "shown"))}


def note(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    return {
        "created_at": document["created_at"],
        "created_by": field(document, "created_by", is_text),
        "writer": field(document, "writer", is_text, may_miss=True),
        "title": field(document, "title", is_title, may_miss=True),
        "description": field(document, "description", is_description, may_miss=True),
        "tags": field(document, "tags", is_tags, may_miss=True) or {},
    }


def features(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    return {"read": field(document, "read", is_features), "write": field(document, "write", is_features)}


def alias(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    if "version" not in document:
        raise Refused("version is missing")
    return {
        "version": field(document, "version", is_version, may_miss=True),
        "created_by": field(document, "created_by", is_text, may_miss=True),
        "note": field(document, "note", is_note, may_miss=True),
        "writer": field(document, "writer", is_text, may_miss=True),
    }


def protection(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    """It, or the record that ends it."""
    document = _begin(data)
    return {
        "created_at": document["created_at"],
        "created_by": field(document, "created_by", is_text),
        "note": field(document, "note", is_note, may_miss=True),
    }


def policies(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    field(document, "created_by", is_text)
    found = [_policy(value) for value in field(document, "policies", is_array)]
    if len(found) > 1_000:
        raise Refused("too many policies")
    if len({policy["pattern"] for policy in found}) < len(found):
        raise Refused("two policies have one pattern")
    return {"policies": found}


def _policy(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused("a policy is an object")
    return {
        "pattern": field(value, "pattern", is_pattern),
        "keep_last": field(value, "keep_last", whole(1, 1_000_000_000), may_miss=True),
        "older_than_seconds": field(value, "older_than_seconds", whole(1, 10_000_000_000), may_miss=True),
        "where": field(value, "where", is_text, may_miss=True),
        "note": field(value, "note", is_note, may_miss=True),
        "created_at": field(value, "created_at", is_time),
        "created_by": field(value, "created_by", is_text),
    }


def collection(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    return {
        "record_id": document["record_id"],
        "created_by": field(document, "created_by", is_text),
        "collection": field(document, "collection", is_id),
        "phase": field(document, "phase", one_of("begun", "going", "ended")),
        "unclear": field(document, "unclear", is_true, may_miss=True) or False,
    }


def claim(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    return {
        "record_id": document["record_id"],
        "version": field(document, "version", is_version),
        "artifact_id": field(document, "artifact_id", is_uuid),
    }


def run_start(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    if field(document, "run_id", is_id) != at["run"]:
        raise Refused("the run is not that of the key")
    environment = field(document, "environment", is_object, may_miss=True)
    if environment is not None:
        field(environment, "distributions", is_digest, may_miss=True)
    return {
        "created_at": document["created_at"],
        "name": field(document, "name", is_text),
        "parent": field(document, "parent", is_id, may_miss=True),
        "params": tagged_object(field(document, "params", is_object)),
        "user": field(document, "user", is_text, may_miss=True),
        "host": field(document, "host", is_text, may_miss=True),
        "code": field(document, "code", is_object, may_miss=True),
        "environment": environment,
    }


def run_input(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    found = _input(field(document, "input", is_object))
    said = {name: found[name] for name in ("name", "role", "version")}
    if hashlib.sha256(written_object(said)).hexdigest()[:32] != at["input"]:
        raise Refused("the input is not that of the key")
    return {"input": found}


def run_end(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    return {
        "created_at": document["created_at"],
        "outcome": field(document, "outcome", one_of("finished", "failed")),
        "error_type": field(document, "error_type", is_text, may_miss=True),
        "metrics": tagged_object(field(document, "metrics", is_object)),
        "series": _series(field(document, "series", is_object, may_miss=True) or {}),
        "notes": field(document, "notes", is_texts),
        "outputs": [_input(value) for value in field(document, "outputs", is_array)],
    }


def _series(document: dict[str, Any]) -> dict[str, Any]:
    if len(document) > 100:
        raise Refused("more than 100 series")
    return {name: _points(series) for name, series in sorted(document.items())}


def _points(series: Any) -> list[Any]:
    if not isinstance(series, dict):
        raise Refused("a series is no object")
    steps, values = field(series, "steps", is_array), field(series, "values", is_array)
    told = [tagged(value) for value in values]
    if len(steps) != len(values) or len(steps) > 1_000:
        raise Refused("not as many steps as values, or more than 1,000")
    if not all(isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 2**53 for step in steps):
        raise Refused("a step is no whole number")
    if any(step >= after for step, after in itertools.pairwise(steps)):
        raise Refused("the steps do not ascend")
    if not all(isinstance(value, dict) and value.keys() <= {"int", "float"} and value for value in told):
        raise Refused("a value is no number")
    return [[step, value] for step, value in zip(steps, told, strict=True)]


def signature(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    field(document, "algorithm", one_of("ed25519"))
    key_id = field(document, "key_id", is_hex64)
    public = bytes_in_base64(document.get("public_key"), 32)
    if hashlib.sha256(public).hexdigest() != key_id or key_id != at["key_id"]:
        raise Refused("the key is another")
    return {
        "key_id": key_id,
        "manifest_digest": field(document, "manifest_digest", is_digest),
        "public_key": public,
        "signature": bytes_in_base64(document.get("signature"), 64),
    }


def relocation(data: bytes, at: dict[str, Any]) -> dict[str, Any]:
    document = _begin(data)
    old, new = field(document, "old", is_address), field(document, "new", is_address)
    if old == new or old.endswith("/") != new.endswith("/"):
        raise Refused("the two are the same, or one of them speaks of more")
    return {"record_id": document["record_id"], "old": old, "new": new}


READERS = {
    "marker": marker,
    "name": name_record,
    "manifest": manifest,
    "state": state,
    "alias": alias,
    "claim": claim,
    "run start": run_start,
    "run input": run_input,
    "run end": run_end,
    "signature": signature,
    "relocation": relocation,
    "tomb": tomb,
    "hiding": hiding,
    "note": note,
    "features": features,
    "policies": policies,
    "protection": protection,
    "end of a protection": protection,
    "collection": collection,
}
