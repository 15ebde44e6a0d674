"""A store in a folder, and all that can be asked of it, as one JSON value."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from reader import collector, records, versions
from reader.json_text import Refused
from reader.keys import record_of


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

    def size_of(self, key: str) -> int:
        return (self._root / key).stat().st_size

    def read(self, key: str) -> dict[str, Any]:
        said = record_of(key)
        return records.READERS[said["kind"]](self.bytes_of(key), said)

    def told(self, key: str) -> Any:
        """What a record says, or that it is refused."""
        try:
            return self.read(key)
        except Refused:
            return "refused"

    def highest(self, kind: str, **at: Any) -> tuple[int, str]:
        """The highest number of a series, and the key of that record; 0 if there is none."""
        key, said = max(self.of(kind, **at), key=lambda pair: pair[1]["number"], default=("", {"number": 0}))
        return said["number"], key

    def in_force(self) -> list[tuple[str, dict[str, Any]]]:
        """The protections without a record that ends them; whether either can be read does not matter."""
        ended = [said | {"kind": "protection"} for _, said in self.of("end of a protection")]
        return [(key, said) for key, said in self.of("protection") if said not in ended]

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
        return {"marker": "refused", "collector": collector.told(store)}
    features = _features(store)
    opens_for = _opens_for(features)
    opened = {"marker": marker, "features": features, "opens_for": opens_for, "collector": collector.told(store)}
    if opens_for == "nothing":
        return opened
    relocations = _relocations(store)
    names = versions.names_of(store)
    listable = {said["name"] for _, said in store.of("name")} & set(names)
    hidden = {name for name in listable if store.highest("hiding", name=name)[0] % 2}
    return opened | {
        "names": sorted(listable - hidden),
        "hidden": sorted(hidden),
        "relocations": relocations,
        "policies": _newest(store, "policies"),
        "collection": _newest(store, "collection"),
        "protections": _protections(store),
        "artifacts": {name: versions.artifact(store, name, relocations) for name in names},
        "runs": {said["run"]: _run(store, said["run"]) for _, said in store.of("run start")},
        "distributions": _distributions(store),
    }


def _features(store: Store) -> Any:
    _, key = store.highest("features")
    return store.told(key) if key else None


def _newest(store: Store, kind: str) -> Any:
    """The record of a series of the store that holds, with its number; null without one."""
    number, key = store.highest(kind)
    said = store.told(key) if key else None
    return said | {"number": number} if isinstance(said, dict) else said


def _protections(store: Store) -> list[dict[str, Any]]:
    found = [
        {name: said[name] for name in ("name", "version", "number")} | {"record": store.told(key)}
        for key, said in store.in_force()
    ]
    return sorted(found, key=lambda one: (one["name"], one["version"], one["number"]))


def _opens_for(features: Any) -> str:
    """What a client of format 1 may do, which knows no feature that a list can name."""
    if features is None:
        return "writing"
    if features == "refused" or features["read"]:
        return "nothing"
    return "reading" if features["write"] else "writing"


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
