"""A store in a folder, and all that can be asked of it, as one JSON value."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from reader import ed25519, records
from reader.items import refuse_disorder, strongest
from reader.json_text import Refused
from reader.keys import record_of, stops_a_collector
from reader.uris import is_uri


class Store:
    """The records of one folder by their kinds. Nothing is cached but the listing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        self._records = [(key, record_of(key)) for key in self.keys if not key.startswith(".tmp/")]

    def of(self, kind: str, **at: Any) -> list[tuple[str, dict[str, Any]]]:
        """The keys of a kind, with what they say."""
        return [
            (key, said)
            for key, said in self._records
            if said["kind"] == kind and all(said.get(name) == value for name, value in at.items())
        ]

    def bytes_of(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def read(self, key: str) -> dict[str, Any]:
        said = record_of(key)
        return records.READERS[said["kind"]](self.bytes_of(key), said)

    def blob(self, key: str, size: int, sha256: str) -> bytes:
        """The bytes of a blob, compared."""
        if key not in self.keys:
            raise Refused("the blob is missing")
        data = self.bytes_of(key)
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise Refused("the blob is not what it was")
        return data


def answers(root: Path) -> dict[str, Any]:
    """All answers of a store."""
    store = Store(root)
    if "metamlflow.json" not in store.keys:
        return {"marker": "missing"}
    try:
        marker = store.read("metamlflow.json")
    except Refused:
        return {"marker": "refused", "collector": _collector(store)}
    relocations = _relocations(store)
    listable = {said["name"] for _, said in store.of("name")}
    known = {said["name"] for _, said in store.of("manifest")}
    names = sorted(known | {said["name"] for _, said in store.of("refused")})
    return {
        "marker": marker,
        "names": sorted(listable & set(names)),
        "relocations": relocations,
        "artifacts": {name: _artifact(store, name, relocations) for name in names},
        "runs": {said["run"]: _run(store, said["run"]) for _, said in store.of("run start")},
        "distributions": _distributions(store),
        "collector": _collector(store),
    }


def _relocations(store: Store) -> Any:
    found = sorted(store.of("relocation"), key=lambda pair: pair[1]["number"])
    try:
        return [store.read(key) for key, _ in found]
    except Refused:
        return "refused"


def _distributions(store: Store) -> dict[str, Any]:
    return {
        said["sha256"]: (
            store.bytes_of(key).decode().splitlines()
            if hashlib.sha256(store.bytes_of(key)).hexdigest() == said["sha256"]
            else "refused"
        )
        for key, said in store.of("distributions")
    }


def _collector(store: Store) -> dict[str, Any]:
    unknown = [key for key in store.keys if stops_a_collector(key)]
    unread = [key for key, _ in store.of("manifest") if not _is_read(store, key)]
    if "metamlflow.json" in store.keys and not _is_read(store, "metamlflow.json"):
        unread.insert(0, "metamlflow.json")
    return {"deletes_nothing": bool(unknown or unread), "unknown": unknown, "unread": unread}


def _is_read(store: Store, key: str) -> bool:
    try:
        found = store.read(key)
        if record_of(key)["kind"] == "manifest":
            _items(store, found)
    except Refused:
        return False
    return True


def _artifact(store: Store, name: str, relocations: Any) -> Any:
    if store.of("refused", name=name):
        return "refused"
    numbers = sorted(said["version"] for _, said in store.of("manifest", name=name))
    live = [number for number in numbers if _states(store, name, number)[0] % 2 == 0]
    return {
        "latest": live[-1] if live else None,
        "aliases": {
            alias: _alias(store, name, alias)
            for alias in sorted({said["alias"] for _, said in store.of("alias", name=name)})
        },
        "claims": {
            hashed: _claims(store, name, hashed)
            for hashed in sorted({said["hash"] for _, said in store.of("claim", name=name)})
        },
        "versions": {str(number): _version(store, name, number, relocations) for number in numbers},
    }


def _states(store: Store, name: str, version: int) -> tuple[int, str | None]:
    found = store.of("state", name=name, version=version)
    key, said = max(found, key=lambda pair: pair[1]["number"], default=(None, {"number": 0}))
    return said["number"], key


def _alias(store: Store, name: str, alias: str) -> Any:
    key, _ = max(store.of("alias", name=name, alias=alias), key=lambda pair: pair[1]["number"])
    try:
        return store.read(key)["version"]
    except Refused:
        return "refused"


def _claims(store: Store, name: str, hashed: str) -> Any:
    key, said = max(store.of("claim", name=name, hash=hashed), key=lambda pair: pair[1]["number"])
    try:
        found = store.read(key)
    except Refused:
        return "refused"
    manifest = store.of("manifest", name=name, version=found["version"])
    standing = "open"
    if manifest:
        standing = "dead" if store.read(manifest[0][0])["record_id"] != found["record_id"] else "done"
    return {"number": said["number"], "version": found["version"], "standing": standing}


def _version(store: Store, name: str, version: int, relocations: Any) -> dict[str, Any]:
    number, key = _states(store, name, version)
    state: Any = None
    if key:
        try:
            state = store.read(key)["state"]
        except Refused:
            state = "refused"
    manifest = store.of("manifest", name=name, version=version)[0][0]
    data = store.bytes_of(manifest)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    standing = {"live": number % 2 == 0, "state": state, "manifest_digest": digest}
    standing |= {
        "signatures": _signatures(store, name, version, digest),
        "consumers": _consumers(store, name, version),
    }
    try:
        found = store.read(manifest)
        items = _items(store, found)
    except Refused:
        return standing | {"manifest": "refused"}
    del found["shards"], found["requires"]
    return standing | {
        "manifest": found
        | {
            "items": [_item(store, value, relocations) for value in items],
            "previous_agrees": _previous_agrees(store, found),
        }
    }


def _items(store: Store, found: dict[str, Any]) -> list[dict[str, Any]]:
    if found["shards"] is None:
        return found["items"]
    items: list[dict[str, Any]] = []
    for shard in found["shards"]:
        data = store.blob(shard["key"], shard["size"], shard["sha256"])
        items += records.shard_items(data, shard)
    refuse_disorder([value["path"] for value in items])
    records.agree(items, found)
    return items


def _previous_agrees(store: Store, found: dict[str, Any]) -> bool | None:
    if found["version"] == 1:
        return None
    before = store.of("manifest", name=found["name"], version=found["version"] - 1)
    if not before:
        return False
    return "sha256:" + hashlib.sha256(store.bytes_of(before[0][0])).hexdigest() == found["previous"]


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
    if relocations == "refused":
        return "refused"
    uri = value["uri"]
    if digest and plain:
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
            inputs = store.read(manifest[0][0])["inputs"] if manifest else []
        except Refused:
            continue
        if any((one["name"], one["version"]) == (name, version) for one in inputs):
            found.append(f"{said['consumer']}@{said['consumer_version']}")
    return sorted(found)


def _run(store: Store, run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, kind in (("start", "run start"), ("end", "run end")):
        keys = store.of(kind, run=run)
        try:
            found[part] = store.read(keys[0][0]) if keys else None
        except Refused:
            found[part] = "refused"
    inputs = []
    for key, _ in store.of("run input", run=run):
        try:
            inputs.append(store.read(key)["input"])
        except Refused:
            inputs.append("refused")
    return found | {"inputs": inputs}
