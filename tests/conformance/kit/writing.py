"""Writing the records of a store one by one, as they are."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

from reader.keys import inverse, spelled

from kit import originals
from kit.cases import as_document


class Records:
    """A folder that records are written to as they are, each with an id and a time of its own."""

    def __init__(self, root: Path, seed: str) -> None:
        self.root = root
        self._seed = seed
        self._count = itertools.count(1)

    def new_id(self) -> str:
        return hashlib.md5(f"{self._seed} {next(self._count)}".encode(), usedforsecurity=False).hexdigest()

    def put(self, key: str, data: bytes) -> bytes:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def record(self, key: str, **fields: Any) -> bytes:
        return self.put(
            key, as_document({"format": 1, "record_id": self.new_id(), "created_at": originals.NOON} | fields)
        )

    def marker(self, **fields: Any) -> None:
        said = {"requires": [], "store_id": self.new_id(), "grace_seconds": 604_800} | fields
        self.record("metamlflow.json", **said)

    def blob(self, path: str, content: bytes, **more: Any) -> dict[str, Any]:
        """Store content; return its item."""
        told = originals.entry(path, content) | more
        self.put(told["key"], content)
        return told

    def manifest(self, name: str, version: int, entries: list[dict[str, Any]], **fields: Any) -> str:
        """Write a manifest and, before the first version, the name; return its digest."""
        if version == 1:
            self.record(f"names/{spelled(name)}.json", name=name)
        record_id = self.new_id()
        told = originals.a_manifest(
            name, version, entries, record_id=record_id, artifact_id=uuid_of(self.new_id()), **fields
        )
        return digest_of(self.put(originals.manifest_key(name, version), as_document(told)))

    def state(
        self, name: str, version: int, number: int, state: str, digest: str | None = None, /, **fields: Any
    ) -> None:
        """Write a state that speaks of the manifest which lies there, or of one with another digest."""
        manifest = originals.manifest_key(name, version)
        digest = digest or digest_of((self.root / manifest).read_bytes())
        key = manifest.removesuffix("json") + f"state-{inverse(number)}.json"
        self.record(key, **{"state": state, "manifest_digest": digest} | fields)

    def tomb(self, name: str, version: int, /, *, leave: bool = False, **fields: Any) -> None:
        """Erase a version, which has a manifest; or leave that where it is."""
        path = self.root / originals.manifest_key(name, version)
        data = path.read_bytes()
        said = {"created_by": "eve", "manifest_digest": digest_of(data), "name": name, "reason": None}
        said |= {"previous": json.loads(data)["previous"], "version": version}
        self.record(originals.tomb_key(name, version), **said | fields)
        if not leave:
            path.unlink()

    def note(self, name: str, version: int | None, number: int, **fields: Any) -> None:
        folder = f"artifacts/{spelled(name)}/_notes/" + ("" if version is None else f"v{version}/")
        said = {"created_by": "ada", "title": None, "description": None, "tags": {}, "writer": "kit 1"}
        self.record(f"{folder}{inverse(number)}.json", **said | fields)

    def hiding(self, name: str, number: int, **fields: Any) -> None:
        said = {"state": "hidden" if number % 2 else "shown"} | fields
        self.record(f"names/{spelled(name)}!/{inverse(number)}.json", **said)

    def features(self, number: int, read: list[str], write: list[str], **fields: Any) -> None:
        self.record(f"features/{inverse(number)}.json", read=read, write=write, **fields)

    def claim(self, name: str, key: str, version: int, /, **fields: Any) -> None:
        hashed = hashlib.sha256(key.encode()).hexdigest()
        said = {"version": version, "artifact_id": uuid_of(self.new_id())} | fields
        self.record(f"artifacts/{spelled(name)}/_idempotency/{hashed}/{inverse(1)}.json", **said)

    def alias(self, name: str, alias: str, number: int, version: int | None) -> None:
        self.record(f"artifacts/{spelled(name)}/_aliases/{spelled(alias)}/{inverse(number)}.json", version=version)

    def signature(self, name: str, version: int, digest: str, signed: str | None = None) -> None:
        """Sign a manifest digest; or say of it what is signed of another."""
        signature = originals.KEY.sign(f"metamlflow manifest signature 1\n{signed or digest}\n".encode())
        self.record(
            f"signatures/{spelled(name)}/_v{version}/{originals.KEY_ID}.json",
            algorithm="ed25519",
            key_id=originals.KEY_ID,
            manifest_digest=digest,
            public_key=base64.b64encode(originals.PUBLIC).decode(),
            signature=base64.b64encode(signature).decode(),
        )


def uuid_of(text: str) -> str:
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
