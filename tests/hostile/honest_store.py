"""A small real store with something of everything in it, made by the library as users make it."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import warnings
from pathlib import Path

from metamlflow import Dataset, MetaMLFlowClient

LARGE = bytes(range(256)) * 6_000  # more than is read at once
WIDE = 8


def build(root: Path, lake: Path) -> None:
    """Make the store at ``root`` and, beside it, the data at ``lake`` that it points to."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    warnings.simplefilter("ignore")
    client = MetaMLFlowClient(root, cache_dir=root.with_name("building-cache"))
    client.create_store()
    first = {"a.csv": b"x,y\n1,2\n", "sub/b.bin": LARGE}
    client.register_artifact("data", first, "dataset", {"mood": "good", "deep": {"list": [1, 2.5, None]}})
    client.register_artifact("data", first | {"c.txt": b"c"}, "dataset", {"mood": "better"})
    client.register_artifact("data", {"a.csv": b"x,y\n3,4\n"}, "dataset", {"mood": "best"})
    client.set_alias("data", "best", 2)
    for target in ("data", "data@2"):
        client.annotate(target, title=target, tags={"team": "ml"})
        client.annotate(target, description="A description.")
    _register_table(client)
    client.register_artifact("wide", {f"{number:05}": b"same" for number in range(WIDE)})
    _cut_in_two(HostileStore(root, lake))
    lake.mkdir()
    (lake / "part-1.csv").write_bytes(b"p,q\n1,2\n")
    client.register_pointer("pointed", f"file://{lake}/part-1.csv", evidence="full")
    with client.run("train", {"rate": 0.5}, capture_user=False) as run:
        run.use(client.get_artifact("data", 2))
        model = client.register_artifact("model", b"weights", "model")
        run.log_metrics(accuracy=0.75)
    client.register_artifact("report", b"report", inputs=[model])
    model.sign(Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    client.register_artifact("old", b"old")
    write_state(root, "old", 1, "9999999998", "pruned")


def _register_table(client: MetaMLFlowClient) -> None:
    import pandas as pd

    Dataset.register(client, "table", pd.DataFrame({"n": [1, 2, 3], "t": ["a", "b", "c"]}))


def _cut_in_two(store: HostileStore) -> None:
    """Give wide@1 two lists of files, as one of a hundred thousand has; readers take them of any length."""
    document = store.manifest("wide", 1)
    entries = document.pop("entries")
    shards = []
    for part in (entries[: WIDE // 2], entries[WIDE // 2 :]):
        data = b"".join(json.dumps(entry, separators=(",", ":"), sort_keys=True).encode() + b"\n" for entry in part)
        shards.append({"first": part[0]["path"], "count": len(part)} | store.put_content(data, ".jsonl"))
    store.write_manifest(document | {"shards": shards}, "wide", 1)


def write_state(root: Path, name: str, version: int, spelled: str, state: str) -> None:
    """Write a state record of a version, its number spelled as given."""
    manifest = root / f"artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    place = manifest.with_name(f"{manifest.stem}.state-{spelled}.json")
    write_record(place, {"state": state, "manifest_digest": f"sha256:{digest}"})


def write_record(path: Path, fields: dict) -> None:
    """Write a record by hand; ``fields`` go over the usual ones."""
    usual = {"format": 1, "record_id": uuid.uuid4().hex, "created_at": "2026-01-31T12:00:00Z"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(usual | fields, separators=(",", ":"), sort_keys=True) + "\n")


class HostileStore:
    """A copy of the honest store, changed past the library."""

    def __init__(self, root: Path, lake: Path) -> None:
        self.root = root
        self.lake = lake

    def replace(self, key: str, data: bytes) -> None:
        """Put other bytes under a key."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def sparse(self, key: str, size: int) -> None:
        """Put an object under a key that claims much and takes no space."""
        self.replace(key, b"")
        os.truncate(self.root / key, size)

    def manifest_key(self, name: str = "data", version: int = 2) -> str:
        return f"artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"

    def manifest(self, name: str = "data", version: int = 2) -> dict:
        return json.loads((self.root / self.manifest_key(name, version)).read_bytes())

    def write_manifest(self, document: dict, name: str = "data", version: int = 2) -> None:
        self.replace(self.manifest_key(name, version), json.dumps(document, sort_keys=True).encode() + b"\n")

    def change(self, fields: dict, name: str = "data", version: int = 2) -> None:
        """Change fields of a manifest and nothing else."""
        self.write_manifest(self.manifest(name, version) | fields, name, version)

    def change_entry(self, number: int = 0, **fields: object) -> None:
        """Change an entry of data@2, and all sums as somebody does who may write and can hash."""
        document = self.manifest()
        document["entries"][number] |= fields
        self.write_manifest(with_sums(document))

    def blob(self, number: int = 0, name: str = "data", version: int = 2) -> str:
        return self.manifest(name, version)["entries"][number]["key"]

    def shards(self) -> list[dict]:
        return self.manifest("wide", 1)["shards"]

    def put_content(self, data: bytes, extension: str = "") -> dict:
        """Store content under its own digest; return key, sha256 and size."""
        digest = hashlib.sha256(data).hexdigest()
        key = f"blobs/sha256/{digest[:2]}/{digest}{extension}"
        self.replace(key, data)
        return {"key": key, "sha256": digest, "size": len(data)}

    def replace_shard(self, number: int, data: bytes, **fields: object) -> None:
        """Put another list of files into wide@1, with its own digest."""
        shards = self.shards()
        shards[number] |= self.put_content(data, ".jsonl") | fields
        self.change({"shards": shards}, "wide", 1)

    def run_key(self, record: str) -> str:
        (start,) = self.root.glob("runs/*/start.json")
        return f"{start.parent.relative_to(self.root)}/{record}"


def with_sums(document: dict) -> dict:
    """Return a manifest whose sizes, counts and digest are those of its entries, however odd these are."""
    lines = []
    for entry in document["entries"]:
        path = str(entry["path"]).replace("\\", "\\\\").replace('"', '\\"')
        known = entry.get("sha256") or (entry.get("computed") or {}).get("sha256")
        lines.append(f'["{path}",{entry["size"]},"{known}"]\n')
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
    sizes = [entry["size"] for entry in document["entries"]]
    size = sum(sizes) if all(isinstance(size, int) for size in sizes) else 0
    return document | {"digest": f"sha256:{digest}", "size": size, "files": len(sizes)}
