"""The versions of a name, live or not, and what is said of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from reader import ed25519, records
from reader.items import refuse_disorder, strongest
from reader.json_text import Refused
from reader.uris import is_uri

if TYPE_CHECKING:
    from reader.store import Store

_OF_NOTHING = "sha256:" + hashlib.sha256(b"").hexdigest()


def names_of(store: Store) -> list[str]:
    """The names that have a version, erased or not, or whose versions cannot be listed."""
    return sorted({said["name"] for kind in ("manifest", "tomb", "refused") for _, said in store.of(kind)})


def numbers_of(store: Store, name: str) -> list[int]:
    return sorted({said["version"] for kind in ("manifest", "tomb") for _, said in store.of(kind, name=name)})


def artifact(store: Store, name: str, relocations: Any) -> Any:
    if store.of("refused", name=name):
        return "refused"
    numbers = numbers_of(store, name)
    return {
        "latest": _latest(store, name, numbers),
        "aliases": {
            alias: _alias(store, name, alias)
            for alias in sorted({said["alias"] for _, said in store.of("alias", name=name)})
        },
        "claims": {
            hashed: _claims(store, name, hashed)
            for hashed in sorted({said["hash"] for _, said in store.of("claim", name=name)})
        },
        "notes": _notes(store, name, None),
        "versions": {str(number): _version(store, name, number, relocations) for number in numbers},
    }


def manifest_key(store: Store, name: str, version: int) -> str | None:
    """The manifest of a version that was not erased; None if there is none."""
    found = store.of("manifest", name=name, version=version)
    return found[0][0] if found and not store.of("tomb", name=name, version=version) else None


def manifest_digest(store: Store, key: str) -> str:
    return "sha256:" + hashlib.sha256(store.bytes_of(key)).hexdigest()


def is_live(store: Store, name: str, version: int) -> Any:
    """True or false; ``refused`` if the record that would tell cannot be read."""
    manifest = manifest_key(store, name, version)
    number, key = store.highest("state", name=name, version=version)
    if manifest is None or number % 2 == 0:
        return manifest is not None
    said = store.told(key)
    return "refused" if said == "refused" else said["manifest_digest"] != manifest_digest(store, manifest)


def _latest(store: Store, name: str, numbers: list[int]) -> Any:
    for number in reversed(numbers):
        live = is_live(store, name, number)
        if live:
            return live if live == "refused" else number
    return None


def _alias(store: Store, name: str, alias: str) -> Any:
    said = store.told(store.highest("alias", name=name, alias=alias)[1])
    return said if said == "refused" else said["version"]


def _claims(store: Store, name: str, hashed: str) -> Any:
    number, key = store.highest("claim", name=name, hash=hashed)
    found = store.told(key)
    if found == "refused":
        return "refused"
    manifest = store.of("manifest", name=name, version=found["version"])
    tombs = store.of("tomb", name=name, version=found["version"])
    made = store.told(manifest[0][0]) if manifest else None
    tomb = store.told(tombs[0][0]) if tombs else None
    if "refused" in (made, tomb):
        standing = "refused"
    elif tomb and not (
        made
        and made["record_id"] != found["record_id"]
        and manifest_digest(store, manifest[0][0]) == tomb["manifest_digest"]
    ):
        standing = "spent"
    else:
        standing = "open" if not made else "done" if made["record_id"] == found["record_id"] else "dead"
    return {"number": number, "version": found["version"], "standing": standing}


def _notes(store: Store, name: str, version: int | None) -> dict[str, Any]:
    """The records by their numbers, and the newest, which holds."""
    found = [(said["number"], key) for key, said in store.of("note", name=name) if said["version"] == version]
    history = {str(number): store.told(key) for number, key in sorted(found)}
    return {"newest": history[str(max(found)[0])] if found else None, "history": history}


def _version(store: Store, name: str, version: int, relocations: Any) -> dict[str, Any]:
    consumers = {"consumers": _consumers(store, name, version)}
    tombs = store.of("tomb", name=name, version=version)
    if tombs:
        lies_there = bool(store.of("manifest", name=name, version=version))
        told = _erased(store, tombs[0][0], name, version)
        return consumers | {"live": False, "erased": told, "manifest_lies_there": lies_there}
    key = manifest_key(store, name, version) or ""
    digest = manifest_digest(store, key)
    standing = consumers | {
        "live": is_live(store, name, version),
        "state": _state(store, name, version, digest),
        "manifest_digest": digest,
        "signatures": _signatures(store, name, version, digest),
        "notes": _notes(store, name, version),
    }
    try:
        found = store.read(key)
        items = items_of(store, found)
    except Refused:
        return standing | {"manifest": "refused"}
    del found["shards"], found["requires"]
    return standing | {
        "manifest": found
        | {
            "items": [_item(store, value, relocations) for value in items],
            "previous_agrees": _agrees(store, name, version, found["previous"]),
        }
    }


def _erased(store: Store, key: str, name: str, version: int) -> Any:
    said = store.told(key)
    if said == "refused":
        return said
    tells = said["previous"] != _OF_NOTHING
    return said | {"previous_agrees": _agrees(store, name, version, said["previous"]) if tells else None}


def _state(store: Store, name: str, version: int, digest: str) -> Any:
    number, key = store.highest("state", name=name, version=version)
    said = store.told(key) if number else None
    if said in (None, "refused"):
        return said
    speaks_of_it = said.pop("manifest_digest") == digest
    return said | {"number": number, "speaks_of_it": speaks_of_it}


def _agrees(store: Store, name: str, version: int, previous: str | None) -> Any:
    """Whether a manifest, or the tomb over it, holds the digest of the version before, erased or not."""
    if version == 1:
        return None
    tombs = store.of("tomb", name=name, version=version - 1)
    if tombs:
        said = store.told(tombs[0][0])
        return said if said == "refused" else said["manifest_digest"] == previous
    before = manifest_key(store, name, version - 1)
    return before is not None and manifest_digest(store, before) == previous


def items_of(store: Store, found: dict[str, Any]) -> list[dict[str, Any]]:
    if found["shards"] is None:
        return found["items"]
    items: list[dict[str, Any]] = []
    for shard in found["shards"]:
        data = store.blob(shard["key"], shard["size"], shard["sha256"])
        items += records.shard_items(data, shard)
    refuse_disorder([value["path"] for value in items])
    records.agree(items, found)
    return items


def _item(store: Store, value: dict[str, Any], relocations: Any) -> dict[str, Any]:
    if "key" in value:
        try:
            store.blob(value["key"], value["size"], value["sha256"])
        except Refused as error:
            return value | {"content": str(error).removeprefix("the blob is ")}
        return value | {"content": "verified"}
    if "uri" in value:
        return value | {"leads_to": relocated(value, relocations)}
    return value


def relocated(value: dict[str, Any], relocations: Any) -> Any:
    """Where a pointer leads after the relocations of its store, by section 15."""
    digest = strongest(value)
    plain = [name for name in value["held"] | value["computed"] if not name.endswith("-composite")]
    uri = value["uri"]
    if digest and plain:
        if relocations == "refused":
            return "refused"
        for one in relocations:
            if uri == one["old"]:
                uri = one["new"]
            elif one["old"].endswith("/") and uri.startswith(one["old"]):
                uri = one["new"] + uri.removeprefix(one["old"])
            if not is_uri(uri):
                return "refused"
    return uri


def _signatures(store: Store, name: str, version: int, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, said in store.of("signature", name=name, version=version):
        try:
            record = store.read(key)
        except Refused:
            found[said["key_id"]] = "refused"
            continue
        message = f"metamlflow manifest signature 1\n{record['manifest_digest']}\n".encode()
        valid = ed25519.is_signed(record["public_key"], record["signature"], message)
        found[said["key_id"]] = valid and record["manifest_digest"] == digest
    return found


def _consumers(store: Store, name: str, version: int) -> list[str]:
    found = []
    for _, said in store.of("edge", name=name, version=version):
        manifest = store.of("manifest", name=said["consumer"], version=said["consumer_version"])
        try:
            inputs = store.read(manifest[0][0])["inputs"] if manifest else []  # without a look for a tomb, as it may
        except Refused:
            continue
        if any((one["name"], one["version"]) == (name, version) for one in inputs):
            found.append(f"{said['consumer']}@{said['consumer_version']}")
    return sorted(found)
