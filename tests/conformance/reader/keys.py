"""Section 3: names, and the record that a key is of."""

from __future__ import annotations

import re
from typing import Any

MOST_NUMBER = 9_999_999_998
HARMLESS = ("blobs", "names", "edges", "runs", "signatures", "relocations", "collections", "cache", ".tmp")

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_DEVICE = re.compile(r"con|prn|aux|nul|com[1-9]|lpt[1-9]", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_HEX32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HEX64 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{2})/([0-9a-f]{64})(-[0-9a-f]{32})?((?:\.[a-z0-9]{1,8}){0,2})", re.ASCII)
_VERSION = re.compile(r"([0-9]{10})_v([1-9][0-9]*)\.(json|tomb\.json|state-([0-9]{10})\.json)", re.ASCII)
_OLD_STATE = re.compile(r"[0-9]{10}_v[1-9][0-9]{0,9}\.state-[1-9][0-9]{0,8}\.json", re.ASCII)
_SERIES = re.compile(r"([0-9]{10})\.json", re.ASCII)


def is_segment(text: str) -> bool:
    return (
        _SEGMENT.fullmatch(text) is not None
        and not text.endswith(".")
        and not _DEVICE.fullmatch(text.split(".", 1)[0])
        and len(spelled(text)) <= 240
    )


def is_name(text: str) -> bool:
    return (
        len(text) <= 200
        and all(is_segment(part) for part in text.split("/"))
        and all(len(part) <= 240 for part in spelled(text).split("/"))
    )


def is_alias(text: str) -> bool:
    return (
        is_segment(text)
        and len(text) <= 100
        and text.lower() != "latest"
        and re.fullmatch(r"v?[0-9]+", text, re.ASCII) is None
    )


def spelled(name: str) -> str:
    """A name or an alias as it stands in keys."""
    return re.sub("[A-Z]", lambda found: "!" + found[0].lower(), name).replace(".json/", "!.json/")


def unspelled(text: str) -> str | None:
    """The name that is spelled so; None if there is none."""
    name = re.sub(r"!([a-z.])", lambda found: found[1].upper(), text)
    return name if is_name(name) and spelled(name) == text else None


def number_of(inverse: str) -> int | None:
    number = 9_999_999_999 - int(inverse)
    return number if 1 <= number <= MOST_NUMBER else None


def inverse(number: int) -> str:
    return f"{9_999_999_999 - number:010d}"


def _plain(digits: str) -> int | None:
    return int(digits) if _NUMBER.fullmatch(digits) and int(digits) <= MOST_NUMBER else None


def blob_digest(key: str) -> str | None:
    """The digest that a blob key promises; None if the key is none."""
    found = _BLOB.fullmatch(key)
    return found[2] if found and found[2].startswith(found[1]) else None


def record_of(key: str) -> dict[str, Any]:
    """What a key is of, by ``kind``: ``ignored`` if the page knows no such key, ``refused`` if it must be refused."""
    ignored = {"kind": "ignored"}
    if len(key.encode("utf-8")) > 900:
        return ignored
    if key == "metamlflow.json":
        return {"kind": "marker"}
    top, _, rest = key.partition("/")
    if top == "blobs":
        digest = blob_digest(key)
        return {"kind": "blob", "sha256": digest} if digest else ignored
    reading = {
        "names": _name_record,
        "artifacts": _artifact_record,
        "edges": _edge,
        "runs": _run_record,
        "signatures": _signature,
        "relocations": _relocation,
        "features": _features,
        "policies": _policies,
        "protections": _protection,
        "collections": _collection,
    }.get(top)
    return (reading(rest) if reading else None) or ignored


def _name_record(rest: str) -> dict[str, Any] | None:
    hidden, found, last = rest.rpartition("!/")
    if found:
        name, number = unspelled(hidden), _in_a_series(last)
        return {"kind": "hiding", "name": name, "number": number} if name and number else None
    name = unspelled(rest.removesuffix(".json")) if rest.endswith(".json") else None
    return {"kind": "name", "name": name} if name else None


def _artifact_record(rest: str) -> dict[str, Any] | None:
    folder, found, below = rest.partition("/_")
    name = unspelled(folder)
    if not found or not name:
        return None
    room, _, last = below.partition("/")
    if room == "versions":
        return _version_record(name, last)
    return _note(name, last) if room == "notes" else _in_two_folders(name, room, last)


def _in_two_folders(name: str, room: str, last: str) -> dict[str, Any] | None:
    parts = last.split("/")
    number = _in_a_series(parts[1]) if len(parts) == 2 else None
    if number is None:
        return None
    if room == "aliases":
        alias = re.sub(r"!([a-z.])", lambda mark: mark[1].upper(), parts[0])
        if is_alias(alias) and spelled(alias) == parts[0]:
            return {"kind": "alias", "name": name, "alias": alias, "number": number}
    if room == "idempotency" and _HEX64.fullmatch(parts[0]):
        return {"kind": "claim", "name": name, "hash": parts[0], "number": number}
    return None


def _note(name: str, last: str) -> dict[str, Any] | None:
    folder, below, file = last.rpartition("/")
    number, version = _in_a_series(file), _plain(folder[1:]) if folder.startswith("v") else None
    if number is None or (below and version is None):
        return None
    return {"kind": "note", "name": name, "version": version, "number": number}


def _in_a_series(file: str) -> int | None:
    found = _SERIES.fullmatch(file)
    return number_of(found[1]) if found else None


def _version_record(name: str, last: str) -> dict[str, Any] | None:
    if _OLD_STATE.fullmatch(last):
        return {"kind": "refused", "name": name}
    found = _VERSION.fullmatch(last)
    version = number_of(found[1]) if found else None
    if version is None or version != _plain(found[2]):
        return None
    if found[3] == "tomb.json":
        return {"kind": "tomb", "name": name, "version": version}
    if found[3] == "json":
        return {"kind": "manifest", "name": name, "version": version}
    number = number_of(found[4])
    return {"kind": "state", "name": name, "version": version, "number": number} if number else None


def _edge(rest: str) -> dict[str, Any] | None:
    folder, found, below = rest.partition("/_v")
    digits, slash, consumer = below.partition("/")
    other, at, number = consumer.rpartition("@")
    name, version, by, its = unspelled(folder), _plain(digits), unspelled(other), _plain(number)
    if found and slash and at and name and version and by and its:
        return {"kind": "edge", "name": name, "version": version, "consumer": by, "consumer_version": its}
    return None


def _run_record(rest: str) -> dict[str, Any] | None:
    parts = rest.split("/")
    if len(parts) == 2 and parts[0] == "distributions" and parts[1].endswith(".txt"):
        digest = parts[1].removesuffix(".txt")
        return {"kind": "distributions", "sha256": digest} if _HEX64.fullmatch(digest) else None
    if not _HEX32.fullmatch(parts[0]):
        return None
    if len(parts) == 2 and parts[1] in {"start.json", "end.json"}:
        return {"kind": f"run {parts[1].removesuffix('.json')}", "run": parts[0]}
    if len(parts) == 3 and parts[1] == "inputs" and parts[2].endswith(".json"):
        found = parts[2].removesuffix(".json")
        return {"kind": "run input", "run": parts[0], "input": found} if _HEX32.fullmatch(found) else None
    return None


def _signature(rest: str) -> dict[str, Any] | None:
    folder, found, below = rest.partition("/_v")
    digits, _, last = below.partition("/")
    name, version, key_id = unspelled(folder), _plain(digits), last.removesuffix(".json")
    if found and name and version and last.endswith(".json") and _HEX64.fullmatch(key_id):
        return {"kind": "signature", "name": name, "version": version, "key_id": key_id}
    return None


def _relocation(rest: str) -> dict[str, Any] | None:
    number = _in_a_series(rest)
    return {"kind": "relocation", "number": number} if number else None


def _features(rest: str) -> dict[str, Any] | None:
    number = _in_a_series(rest)
    return {"kind": "features", "number": number} if number else None


def _policies(rest: str) -> dict[str, Any] | None:
    number = _in_a_series(rest)
    return {"kind": "policies", "number": number} if number else None


def _protection(rest: str) -> dict[str, Any] | None:
    folder, found, below = rest.partition("/_v")
    digits, _, file = below.partition("/")
    name, version, ends = unspelled(folder), _plain(digits), file.endswith(".end.json")
    number = _in_a_series(file.removesuffix(".end.json") + ".json" if ends else file)
    if not (found and name and version and number):
        return None
    return {"kind": "end of a protection" if ends else "protection", "name": name, "version": version, "number": number}


def _collection(rest: str) -> dict[str, Any] | None:
    number = _in_a_series(rest)
    return {"kind": "collection", "number": number} if number else None


def stops_a_collector(key: str) -> bool:
    """Whether a collector that meets this key deletes nothing, by section 13."""
    if key.endswith("/"):
        return False
    top, slash, _ = key.partition("/")
    if top in {"artifacts", "features", "policies", "protections"} and slash:
        return record_of(key)["kind"] in {"ignored", "refused"}
    return not (key == "metamlflow.json" or (slash and top in HARMLESS))


def extension_of(path: str) -> str:
    """The ending that a writer gives to the key of a file's blob."""
    name = path.rsplit("/", 1)[-1].lower().lstrip(".")
    parts = name.split(".")[1:]
    fits = re.compile(r"[a-z0-9]{1,8}", re.ASCII).fullmatch
    if not parts or not fits(parts[-1]):
        return ""
    if len(parts) > 1 and fits(parts[-2]):
        return f".{parts[-2]}.{parts[-1]}"
    return f".{parts[-1]}"
