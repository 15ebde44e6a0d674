"""A store with records of every kind, and faults that are planted in it past the library, with plain files."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metamlflow import MetaMLFlowClient
from metamlflow.testing import MemoryBackend
from metamlflow.testing.clients import client_on

DAY = 86_400
SEED = b"k" * 32
OTHER = f"sha256:{'1' * 64}"


def key_of_version(name: str, version: int, rest: str = "json") -> str:
    return f"artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.{rest}"


def numbered(prefix: str, number: int) -> str:
    return f"{prefix}{9_999_999_999 - number:010d}.json"


def record(**fields: object) -> bytes:
    return json.dumps({"format": 1, "record_id": "0" * 32, "created_at": "2024-01-01T00:00:00Z", **fields}).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Planter:
    """Changes a store's files, and makes what it wrote old enough to be nobody's work under way."""

    root: Path

    def path(self, key: str) -> Path:
        return self.root / key

    def read(self, key: str) -> bytes:
        return self.path(key).read_bytes()

    def write(self, key: str, data: bytes, *, age: float = 30 * DAY) -> str:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        then = time.time() - age
        os.utime(path, (then, then))
        return key

    def delete(self, key: str) -> str:
        self.path(key).unlink()
        return key

    def document(self, key: str, **changes: object) -> str:
        return self.write(key, json.dumps(json.loads(self.read(key)) | changes).encode())

    def manifest(self, name: str, version: int) -> dict:
        return json.loads(self.read(key_of_version(name, version)))

    def blob(self, name: str, version: int, place: int = 0) -> str:
        return self.manifest(name, version)["entries"][place]["key"]

    def only(self, pattern: str) -> str:
        (path,) = self.root.glob(pattern)
        return str(path.relative_to(self.root))


def build(root: Path, blobs: int = 60) -> None:
    """Make a store with something of every kind, and at least so many blobs.

    It is registered in memory and written out, since a disk takes a while to make so many objects durable.
    """
    memory = MemoryBackend()
    _register(client_on(memory), blobs)
    planter = Planter(root)
    for key, stored in memory.bucket.objects.items():
        planter.write(key, stored.data, age=0)
    origin = {"collection": "0" * 32, "created_by": "cron"}
    for number, phase in enumerate(("begun", "ended"), 1):
        planter.write(numbered("collections/", number), record(phase=phase, **origin), age=0)
    pruned(planter, "old", 1)
    erased(planter, "old", 2)


def _register(client: MetaMLFlowClient, blobs: int) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    bulk = max(blobs - 40, 4)
    client.register_artifact("bulk", {f"{n // 100}/{n}.bin": b"bulk %d" % n for n in range(bulk)})
    for version in range(1, 6):
        files = {f"{n}.csv": b"%d of %d" % (n, version) for n in range(4)}
        client.register_artifact("data", files, metadata={"version": version}, idempotency_key=f"key {version}")
    for name in ("first", "second", "third", "fourth", "gone", "odd/Name", "claimed", "old", "renamed"):
        for version in range(1, 4):
            client.register_artifact(name, name.encode() + b" %d" % version)
    wide = {f"{n:05d}": b"wide %d" % (n % 7) for n in range(600)}
    client.register_artifact("wide", wide)
    client.register_artifact("wide", wide | {"99999": b"more"})
    with client.run("train", params={"rate": 0.1}):
        data = client.get_artifact("data@2")
        data.read_bytes("1.csv")
        model = client.register_artifact("model", b"model", inputs=[data])
    model.sign(Ed25519PrivateKey.from_private_bytes(SEED))
    client.register_artifact("report", b"report", inputs=["model@1", "first@1"])
    client.set_alias("data", "best", 3)
    for note in ("figure 3", "figure 4", None):
        client.protect("data@3", note)
    client.protect("data@4")
    client.unprotect("data@4", "not any more")
    client.set_policy("data", keep_last=3)
    client.set_policy("first/**", keep_last=2)
    client.annotate("data@2", title="Rides")
    client.annotate("data", tags={"team": "city"})


def pruned(planter: Planter, name: str, version: int) -> str:
    digest = f"sha256:{sha256(planter.read(key_of_version(name, version)))}"
    key = key_of_version(name, version, "state-9999999998.json")
    return planter.write(key, record(state="pruned", manifest_digest=digest))


def erased(planter: Planter, name: str, version: int, *, age: float = 30 * DAY) -> str:
    key = key_of_version(name, version)
    data = planter.read(key)
    said = {"name": name, "version": version, "created_by": "officer", "reason": None}
    digest = {"manifest_digest": f"sha256:{sha256(data)}", "previous": json.loads(data)["previous"]}
    tomb = planter.write(key_of_version(name, version, "tomb.json"), record(**said, **digest), age=age)
    planter.delete(key)
    return tomb


Plant = Callable[[Planter], Iterator[tuple[str, str]]]
PLANTS: dict[str, Plant] = {}
HEALS: set[str] = set()


def _plant(name: str, *, heals: bool = False) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTS[name] = plant
        if heals:
            HEALS.add(name)
        return plant

    return keep


def _one(name: str, kind: str, change: Callable[[Planter], str], *, heals: bool = False) -> None:
    _plant(name, heals=heals)(lambda planter: iter([(kind, change(planter))]))


# --- content ----------------------------------------------------------------------------------------------------------

_one("a missing blob", "blob-missing", lambda p: p.delete(p.blob("data", 1, 0)), heals=True)
_one("another missing blob", "blob-missing", lambda p: p.delete(p.blob("first", 2)), heals=True)
_one("a truncated blob", "blob-size", lambda p: p.write(p.blob("data", 1, 1), b"1"), heals=True)
_one("an empty blob", "blob-size", lambda p: p.write(p.blob("second", 2), b""), heals=True)
_one("a longer blob", "blob-size", lambda p: p.write(p.blob("data", 2, 1), b"1 of 2 and more"), heals=True)
_one("a flipped bit", "blob-altered", lambda p: p.write(p.blob("data", 1, 2), b"2 of 0"), heals=True)
_one("another flipped bit", "blob-altered", lambda p: p.write(p.blob("third", 3), b"third 4"), heals=True)
_one("a blob of zeros", "blob-altered", lambda p: p.write(p.blob("fourth", 1), bytes(8)), heals=True)


def _shard(planter: Planter, version: int) -> str:
    return planter.manifest("wide", version)["shards"][-1]["key"]


def _is_own(planter: Planter, version: int) -> str:
    """Return a list of files that the other version does not have."""
    others = {shard["key"] for shard in planter.manifest("wide", 3 - version)["shards"]}
    return next(s["key"] for s in planter.manifest("wide", version)["shards"] if s["key"] not in others)


_one("a missing list of files", "list-damaged", lambda p: p.delete(_is_own(p, 1)), heals=True)
_one("an altered list of files", "list-damaged", lambda p: p.write(_is_own(p, 2), b"{}\n"), heals=True)

# --- versions ---------------------------------------------------------------------------------------------------------

_one("a lost version", "version-missing", lambda p: p.delete(key_of_version("gone", 1)), heals=True)
_one("a version lost before another", "version-missing", lambda p: p.delete(key_of_version("claimed", 1)), heals=True)
_one("another lost version", "version-missing", lambda p: p.delete(key_of_version("claimed", 2)), heals=True)
_one(
    "a manifest that is no JSON", "manifest-unreadable",
    lambda p: p.write(key_of_version("first", 1), b"{"), heals=True,
)  # fmt: skip
_one("an empty manifest", "manifest-unreadable", lambda p: p.write(key_of_version("second", 1), b""), heals=True)
_one(
    "an altered manifest", "manifest-altered",
    lambda p: p.document(key_of_version("third", 1), created_by="mallory"), heals=True,
)  # fmt: skip


@_plant("a manifest under a tomb")
def _buried(planter: Planter) -> Iterator[tuple[str, str]]:
    data = planter.read(key_of_version("old", 3))
    erased(planter, "old", 3)
    yield "manifest-under-tomb", planter.write(key_of_version("old", 3), data)


_one("a damaged tomb", "tomb-unreadable", lambda p: p.write(key_of_version("old", 2, "tomb.json"), b"[]"))
_one(
    "a damaged state", "state-unreadable",
    lambda p: p.write(key_of_version("renamed", 1, "state-9999999998.json"), record(state="lost")),
)  # fmt: skip
_one(
    "a state without its version", "state-without-version",
    lambda p: p.write(
        key_of_version("fourth", 4, "state-9999999998.json"), record(state="absent", manifest_digest=OTHER)
    ),
)  # fmt: skip
_one(
    "a state of another manifest", "state-of-another",
    lambda p: p.write(
        key_of_version("fourth", 3, "state-9999999998.json"), record(state="pruned", manifest_digest=OTHER)
    ),
)  # fmt: skip

# --- names, aliases, claims, notes ------------------------------------------------------------------------------------

_one("a lost name record", "name-record-missing", lambda p: p.delete("names/second.json"), heals=True)
_one("a record of another name", "name-record-wrong", lambda p: p.document("names/renamed.json", name="x"), heals=True)
_one("a name without a version", "name-without-version", lambda p: p.write("names/empty.json", record(name="empty")))
_one(
    "a damaged hiding record", "hiding-unreadable",
    lambda p: p.write(numbered("names/data!/", 1), record(state="invisible")),
)  # fmt: skip
_one("a damaged alias", "alias-unreadable", lambda p: p.write(p.only("artifacts/data/_aliases/best/*.json"), b"?"))
_one(
    "an alias to a pruned version", "alias-not-live",
    lambda p: p.write(numbered("artifacts/old/_aliases/stale/", 1), record(version=1)),
)  # fmt: skip
_one(
    "an alias to nothing", "alias-to-nothing",
    lambda p: p.write(numbered("artifacts/data/_aliases/lost/", 1), record(version=77)),
)  # fmt: skip
_one(
    "a damaged claim", "claim-unreadable",
    lambda p: p.write(f"artifacts/data/_idempotency/{sha256(b'key 5')}/9999999998.json", b"{}"),
)  # fmt: skip
_one(
    "a claim of a version that was never there", "claim-without-version",
    lambda p: p.write(
        f"artifacts/claimed/_idempotency/{'a' * 64}/9999999998.json",
        record(version=9, artifact_id="7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00"),
    ),
)  # fmt: skip
_one("damaged notes", "note-unreadable", lambda p: p.write(numbered("artifacts/data/_notes/v2/", 1), b"title"))

# --- protections, policies, collections -------------------------------------------------------------------------------

_one("a damaged protection", "protection-unreadable", lambda p: p.write(numbered("protections/data/_v3/", 2), b"?"))
_one(
    "a damaged end of a protection", "protection-unreadable",
    lambda p: p.write("protections/data/_v4/9999999998.end.json", b"{}"),
)  # fmt: skip
_one("a lost protection", "protection-missing", lambda p: p.delete(numbered("protections/data/_v3/", 1)))
_one(
    "a protection of a pruned version", "protection-not-live",
    lambda p: p.write(numbered("protections/old/_v1/", 1), record(created_by="ada")),
)  # fmt: skip
_one(
    "a protection of nothing", "protection-of-nothing",
    lambda p: p.write(numbered("protections/data/_v77/", 1), record(created_by="ada")),
)  # fmt: skip
_one("damaged policies", "policies-unreadable", lambda p: p.document(numbered("policies/", 2), policies=[{}]))
_one("a damaged collection", "collection-unreadable", lambda p: p.document(numbered("collections/", 2), phase="over"))
_one("an unknown key among policies", "unknown-key", lambda p: p.write("policies/later.json", b"{}"))
_one("an unknown key among protections", "unknown-key", lambda p: p.write("protections/data/_v3/1.json", b"{}"))
_one("a foreign file among collections", "foreign-object", lambda p: p.write("collections/Thumbs.db", b"x"))

# --- edges, runs, signatures ------------------------------------------------------------------------------------------

_one("a missing edge", "edge-missing", lambda p: p.delete("edges/model/_v1/report@1"), heals=True)
_one("a damaged edge", "edge-damaged", lambda p: p.write("edges/data/_v2/model@1", b"{}"), heals=True)
_one("an edge to nothing", "edge-to-nothing", lambda p: p.write("edges/data/_v1/nobody@3", b'{"format":1}\n'))
_one("a run without its start", "run-without-start", lambda p: p.delete(p.only("runs/*/start.json")) and _rest(p))
_one("a damaged signature", "signature-unreadable", lambda p: p.write(p.only("signatures/model/_v1/*.json"), b"{}"))


def _rest(planter: Planter) -> str:
    return planter.only("runs/*/end.json")


_one(
    "an altered list of packages", "distributions-altered",
    lambda p: p.write(p.only("runs/distributions/*.txt"), b"pip==1.0\n"), heals=True,
)  # fmt: skip


# --- the store --------------------------------------------------------------------------------------------------------


def _second_relocation(planter: Planter) -> str:
    planter.write(numbered("relocations/", 2), record(old="s3://a/", new="s3://b/"))
    return numbered("relocations/", 1)


_one("a relocation that is missing", "relocation-missing", _second_relocation)
_one("an unknown key", "unknown-key", lambda p: p.write("artifacts/data/_votes/1.json", b"{}"))
_one("a foreign file among blobs", "foreign-object", lambda p: p.write("blobs/sha256/Thumbs.db", b"x"))
_one("a foreign file in the root", "unknown-key", lambda p: p.write("README.txt", b"x"))
_one("something below the cache", "cache-object", lambda p: p.write("cache/index.bin", b"x"))
