"""Section 4: entries, empty folders and pointers, and section 5: the content digest over them."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable
from typing import Any

from reader.json_text import Refused, written
from reader.keys import blob_digest
from reader.types import (
    field,
    is_address,
    is_crc32c,
    is_digits,
    is_hex64,
    is_object,
    is_path,
    is_text,
    is_true,
    one_of,
    whole,
)

RESERVED = ("stored", "parts", "offset", "length", "data")
HEX_DIGITS = {"sha256": 64, "sha1": 40, "md5": 32, "crc64nvme": 16, "crc32c": 8, "crc32": 8}
ORDER = (*HEX_DIGITS, *(f"{name}-composite" for name in HEX_DIGITS))
EVIDENCE = one_of("stat", "checksum", "full")


def item(value: Any) -> dict[str, Any]:
    """One item, checked, with the fields of its kind alone."""
    if not isinstance(value, dict):
        raise Refused("an item is an object")
    refuse_reserved(value)
    kinds = [name for name in ("key", "folder", "uri") if value.get(name) is not None]
    if len(kinds) != 1:
        raise Refused("an item has one of key, folder and uri")
    path = field(value, "path", is_path)
    if kinds == ["folder"]:
        field(value, "folder", is_true)
        return {"path": path, "folder": True}
    size = field(value, "size", whole(0))
    if kinds == ["uri"]:
        return {"path": path, "size": size} | _pointer(value)
    return {"path": path, "size": size} | _stored(value)


def refuse_reserved(value: dict[str, Any]) -> None:
    for name in RESERVED:
        if value.get(name) is not None:
            raise Refused(f"{name} is reserved")


def blob_of(value: dict[str, Any]) -> tuple[str, str]:
    """The digest and the key of an entry or a shard."""
    sha256 = field(value, "sha256", is_hex64)
    return sha256, field(value, "key", lambda key: isinstance(key, str) and blob_digest(key) == sha256)


def _stored(value: dict[str, Any]) -> dict[str, Any]:
    sha256, key = blob_of(value)
    crc32c = field(value, "crc32c", is_crc32c, may_miss=True)
    executable = field(value, "executable", is_true, may_miss=True)
    return {"sha256": sha256, "key": key, "crc32c": crc32c, "executable": bool(executable)}


def _pointer(value: dict[str, Any]) -> dict[str, Any]:
    held, computed = _digests(value, "held"), _digests(value, "computed")
    evidence = field(value, "evidence", EVIDENCE)
    if evidence != ("full" if computed else "checksum" if held else "stat"):
        raise Refused("the evidence is not that of the digests")
    return {
        "uri": field(value, "uri", is_address),
        "version": field(value, "version", lambda text: is_text(text) and text != "null", may_miss=True),
        "evidence": evidence,
        "etag": field(value, "etag", is_text, may_miss=True),
        "modified_ns": field(value, "modified_ns", is_digits, may_miss=True),
        "held": held,
        "computed": computed,
    }


def _digests(value: dict[str, Any], name: str) -> dict[str, str]:
    found = field(value, name, is_object, may_miss=True) or {}
    for algorithm, digest in found.items():
        plain = algorithm.removesuffix("-composite")
        if plain not in HEX_DIGITS or algorithm not in ORDER:
            raise Refused(f"{name} has an unknown digest")
        parts = "" if plain == algorithm else "-[1-9][0-9]{0,4}"
        if not isinstance(digest, str) or not re.fullmatch(f"[0-9a-f]{{{HEX_DIGITS[plain]}}}{parts}", digest, re.ASCII):
            raise Refused(f"{name} has a digest that is none")
    return {algorithm: found[algorithm] for algorithm in ORDER if algorithm in found}


def strongest(found: dict[str, Any]) -> tuple[str, str] | None:
    """The first of a pointer's digests in the order of section 4."""
    digests = found["held"] | found["computed"]
    return next(((name, digests[name]) for name in ORDER if name in digests), None)


def line(found: dict[str, Any]) -> bytes:
    """The line of an item in the content digest."""
    if "folder" in found:
        return written([found["path"]])
    if "key" in found:
        return written([found["path"], found["size"], found["sha256"]])
    digest = strongest(found)
    if digest and digest[0] == "sha256":
        return written([found["path"], found["size"], digest[1]])
    if digest:
        return written([found["path"], found["size"], ":".join(digest)])
    rest = [found[name] for name in ("uri", "version", "etag", "modified_ns")]
    return written([found["path"], found["size"], None, *rest])


def content_digest(items: Iterable[dict[str, Any]]) -> str:
    return "sha256:" + hashlib.sha256(b"".join(map(line, items))).hexdigest()


def refuse_disorder(paths: list[str]) -> None:
    """Paths ascend by their bytes, each once, and none lies inside another."""
    if any(one.encode() >= two.encode() for one, two in itertools.pairwise(paths)):
        raise Refused("the paths are not in order")
    known = set(paths)
    for path in paths:
        parts = path.split("/")
        if any("/".join(parts[:count]) in known for count in range(1, len(parts))):
            raise Refused(f"{path} lies inside another item")
