"""The stores of the kit: made by the product where it can make them, else record by record."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from reader.items import content_digest, item
from reader.keys import inverse

from kit import erasing_stores, feature_stores, originals, retention_stores
from kit.cases import as_document
from kit.writing import Records, digest_of, uuid_of
from metamlflow import MetaMLFlowClient
from metamlflow.store.catalog.clock import Clock


def empty(records: Records) -> None:
    """A marker and nothing else; the smallest grace."""
    records.marker(grace_seconds=1)


def published(records: Records) -> None:
    """Made by the product's own calls: versions, odd names, metadata, aliases, inputs, a claim, a signature."""
    moments = (datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(seconds=count) for count in itertools.count())
    client = MetaMLFlowClient(records.root.as_uri())
    client._store.clock = Clock(now=lambda: next(moments), new_id=records.new_id)
    with (
        mock.patch("metamlflow.store.publish.publish.writer", return_value="metamlflow 1.0.0"),
        mock.patch.dict(os.environ, METAMLFLOW_USER="ada"),
        tempfile.TemporaryDirectory() as folder,
    ):
        _publish(client, Path(folder))
    for path in records.root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (records.root / ".tmp").rmdir()


METADATA = {
    "none": None,
    "truths": [True, False],
    "whole": [0, -1, 2**53, -(2**53), 2**53 + 1, -(2**64), 10**100],
    "floats": [0.5, -0.0, 1e300, 5e-324, math.nan, math.inf, -math.inf, 1.0],
    "texts": ["", '\u0000\n"\\\u2028\u00e9\U0001f600'],
    "$key": {"$int": "5", "$float": "NaN", "$$": 1, "$": 2},
    "only": [{"$int": "5"}, {"$float": "NaN"}, {"$int": 5}],
    "nested": {"a": {"b": [[], {}, [{"c": None}]]}},
    "Case": 1,
    "case": 2,
}


def _publish(client: MetaMLFlowClient, folder: Path) -> None:
    client.create_store()
    source = folder / "features"
    (source / "data" / "empty").mkdir(parents=True)
    (source / "README").write_bytes(b"hello\n")
    (source / "data" / "x.csv").write_bytes(b"a,b\n1,2\n")
    (source / "data" / "A.TAR.GZ").write_bytes(b"not really\n")
    (source / "run.sh").write_bytes(b"#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    name = "Fraud/features"
    client.register_artifact(name, source, "dataset", METADATA)
    (source / "data" / "y.txt").write_bytes(b"more\n")
    second = client.register_artifact(name, source, "dataset", idempotency_key="job-2")
    client.register_artifact(name, b"just bytes\n", if_unchanged="reuse")
    model = client.register_artifact("a.json/Model", {"w": b"", "v/\u00e9 !~": b"\x00"}, inputs={"train": second})
    client.register_artifact("a.json", b"x", inputs=[f"{name}@1", model])
    client.register_artifact("a", b"x")
    for version in (1, 2):
        client.set_alias(name, "Best", version)
    client.set_alias(name, "old.json", 1)
    client.set_alias(name, "old.json", None)
    second.sign(originals.KEY)


def lifecycle(records: Records) -> None:
    """Pruned, restored and absent versions, aliases of them, and claims that are open, dead and done."""
    records.marker()
    previous = None
    for version in range(1, 6):
        entries = [records.blob("data", f"content {version}\n".encode())]
        previous = records.manifest("a", version, entries, kind="file", previous=previous)
    records.state("a", 1, 1, "pruned")
    records.state("a", 2, 1, "pruned")
    records.state("a", 2, 2, "restored")
    records.state("a", 3, 1, "absent")
    records.state("a", 4, 1, "pruned")
    records.state("a", 4, 2, "restored")
    records.state("a", 4, 3, "pruned")
    records.state("a", 5, 1, "absent", **{"x-unknown": 1})
    records.state("a", 6, 1, "absent", originals.DIGEST)  # whose manifest is to come
    records.alias("a", "live", 1, 2)
    records.alias("a", "pruned", 1, 1)
    records.alias("a", "moved", 1, 5)
    records.alias("a", "moved", 2, 1)
    records.alias("a", "moved", 3, 2)
    records.alias("a", "gone", 1, 2)
    records.alias("a", "gone", 2, None)
    records.claim("a", "open", 7)
    records.claim("a", "dead", 2)
    records.manifest("never-live", 1, [records.blob("data", b"gone\n")], kind="file")
    records.state("never-live", 1, 1, "pruned")
    records.record("names/no-version.json", name="no-version")


def pointing(records: Records) -> None:
    """Pointers of every evidence, what they lead to after relocations, and places."""
    records.marker()
    md5, sha256 = "0123456789abcdef" * 2, "fedcba9876543210" * 4
    uri = "s3://old/data/"
    entries: list[dict[str, Any]] = [
        {"path": "a", "evidence": "full", "held": {"md5": md5}, "computed": {"sha256": sha256}, "version": "v1"},
        {"path": "b", "evidence": "checksum", "held": {"md5-composite": f"{md5}-12"}, "etag": f'"{md5}-12"'},
        {"path": "c", "evidence": "checksum", "held": {"crc32c": "01234567"}, "modified_ns": "1767225600123456789"},
        {"path": "d", "evidence": "stat", "etag": '"\u00e9\\"', "modified_ns": "-1"},
        {"path": "e/moved-and-back", "evidence": "full", "computed": {"sha1": "0123456789" * 4}},
        {"path": "e/one", "evidence": "full", "computed": {"crc64nvme": "0123456789abcdef"}},
    ]
    entries = [{"size": 7, "uri": uri + value["path"]} | value for value in entries]
    proven = {"size": 7, "evidence": "full", "computed": {"sha256": sha256}}
    entries += [
        {"path": path, "uri": uri} | proven
        for path, uri in (
            ("f/grows", "s3://grow/a"),
            ("f/grows-in-bytes", "s3://grow/two/a"),
            ("f/joins", "s3://half/a@b"),
            ("f/joins-on-its-way", "s3://half/way/a@b"),
        )
    ]
    stored = records.blob("g", b"stored here\n")
    place = {"path": "", "uri": uri, "kind": "prefix", "evidence": "checksum"}
    glob = {"path": "e", "uri": uri + "e/*", "kind": "glob", "evidence": None}
    records.manifest("far", 1, [*entries, stored], pointers=[place, glob])
    moves = [
        (uri, "gs://new/"),
        ("gs://new/e/one", "file:///one"),
        ("gs://new/e/", "s3://back/e/"),
        ("s3://back/e/", "gs://new/e/"),
        ("gs://new/a", "https://host/a?key=part-1"),
        ("s3://nobody/x", "s3://nobody/y"),
        ("s3://grow/two/", "s3://grown/" + "\u00e9" * 2_000 + "/"),
        ("s3://grow/", f"s3://grow/{'x' * 4_000}/"),
        ("s3://grow/", f"s3://grow/{'x' * 4_500}/"),
        ("s3://grown/", "s3://grown/" + "\u00e9" * 3_000 + "/"),
        ("s3://half/", "s3://key:part/"),
        ("s3://key:part/way/", "s3://whole/"),
    ]
    for number, (old, new) in enumerate(moves, start=1):
        records.record(f"relocations/{inverse(number)}.json", old=old, new=new)


def sharded(records: Records) -> None:
    """Two versions whose items stand in shards, one of which they share."""
    records.marker()
    ends = [path for path in (f"d/{number:05d}" for number in range(9_999)) if _ends_a_run(path)][:2]
    inside = [f"{end}-{letter}" for end in ends for letter in "ab"]
    paths = sorted((*ends, *inside, "e"), key=str.encode)
    first = [records.blob(path, f"{path}\n".encode()) for path in paths]
    empty_folder = {"path": "z", "folder": True}
    previous = _sharded(records, 1, [*first, empty_folder], None)
    _sharded(records, 2, [*first, records.blob("e.txt", b"one more\n", executable=True), empty_folder], previous)


def _ends_a_run(path: str) -> bool:
    return hashlib.sha256(path.encode()).hexdigest().startswith("000")


def _sharded(records: Records, version: int, items: list[dict[str, Any]], previous: str | None) -> str:
    runs: list[list[dict[str, Any]]] = [[]]
    for value in items:
        runs[-1].append(value)
        if _ends_a_run(value["path"]) and value is not items[-1]:
            runs.append([])
    shards = []
    for run in runs:
        data = b"".join(map(as_document, run))
        sha256 = hashlib.sha256(data).hexdigest()
        key = originals.blob_key(sha256, ".jsonl")
        records.put(key, data)
        told = {"first": run[0]["path"], "count": len(run), "size": len(data), "sha256": sha256, "key": key}
        shards.append(told)
    sealed = originals.sealed({"entries": items})
    more = {name: sealed[name] for name in ("size", "files", "folders", "digest")}
    told = originals.a_manifest("big", version, [], record_id=records.new_id(), artifact_id=uuid_of(records.new_id()))
    told |= more | {"shards": shards, "entries": None, "previous": previous}
    if version == 1:
        records.record("names/big.json", name="big")
    assert more["digest"] == content_digest(map(item, items))
    return digest_of(records.put(originals.manifest_key("big", version), as_document(told)))


def lineage(records: Records) -> None:
    """Runs with and without an end, edges that are true, false and of nobody, and an input that is missing."""
    records.marker()
    raw = records.manifest("raw", 1, [records.blob("x", b"raw\n")], kind="file", schema={"columns": [{"name": "a"}]})
    used = {"name": "raw", "version": 1, "manifest_digest": raw, "role": None}
    absent = {"name": "elsewhere", "version": 9, "manifest_digest": originals.DIGEST, "role": "copied"}
    run, other = records.new_id(), records.new_id()
    code = {"commit": "c0ffee", "dirty": False}
    inputs = [used, used | {"role": "test"}, absent]
    model = records.manifest(
        "Model", 1, [records.blob("w", b"weights\n")], kind="file", inputs=inputs, run=run, code=code, type="model"
    )
    for consumer in ("!model@1", "!model@2", "raw@1", "no/name@1"):
        records.put(f"edges/raw/_v1/{consumer}", b'{"format":1}\n')
    records.put("edges/elsewhere/_v9/!model@1", b'{"format":1}\n')
    listed = b"metamlflow==1.0.0\nnumpy==2.3.1\n"
    digest = hashlib.sha256(listed).hexdigest()
    records.put(f"runs/distributions/{digest}.txt", listed)
    start = {
        "name": "train \u00e9",
        "parent": None,
        "params": {"$$rate": 0.5, "big": {"$int": str(2**60)}},
        "code": code,
    }
    start |= {"user": "ada", "host": None, "environment": {"distributions": f"sha256:{digest}", "python": "3.13"}}
    records.record(f"runs/{run}/start.json", run_id=run, **start)
    for said in inputs:
        told = {name: said[name] for name in ("name", "role", "version")}
        input_id = hashlib.sha256(as_document(told)).hexdigest()[:32]
        records.record(f"runs/{run}/inputs/{input_id}.json", input=said)
    made = {"name": "Model", "version": 1, "manifest_digest": model}
    records.record(
        f"runs/{run}/end.json",
        outcome="finished",
        error_type=None,
        metrics={"loss": {"$float": "NaN"}},
        notes=["first", ""],
        outputs=[made],
    )
    more = {"parent": run, "params": {}, "name": "", "user": None, "host": None, "code": None, "environment": None}
    records.record(f"runs/{other}/start.json", run_id=other, **more)


def unknown(records: Records) -> None:
    """Keys and fields of a later version: readers go on, and a collector deletes nothing."""
    records.marker(**{"x-unknown": {"deep": []}})
    entry = records.blob("x", b"known\n", **{"x-unknown": 1})
    records.manifest("a", 1, [entry, {"path": "y", "folder": True, "x-unknown": []}], **{"x-unknown": "y"})
    records.alias("a", "best", 1, 1)
    for key in (
        "artifacts/a/_later/9999999998.json",
        "artifacts/a/_versions/9999999998_v1.later.json",
        "artifacts/a/_versions/9999999997_v1.json",
        "artifacts/a/_aliases/latest/9999999998.json",
        "artifacts/a/_notes/x.json",
        "artifacts/a/_notes/v1/later/9999999998.json",
        "artifacts/a/_versions/9999999997_v1.tomb.json",
        "features/later",
        "artifacts/a/_hidden/9999999998.json",
        "packs/sha256/x",
        "later/x",
        "names/a.bak",
        "runs/x/y",
        "edges/a/x",
        "blobs/sha256/00/x",
        "cache/anything",
        "relocations/readme.txt",
    ):
        records.put(key, b"of a later version\n")


def collectable(records: Records) -> None:
    """Strange keys where they do no harm: a collector goes on."""
    records.marker()
    records.manifest("a", 1, [records.blob("x", b"known\n")])
    records.blob("nothing names this", b"garbage\n")
    for key in ("names/x", "runs/x", "edges/x", "signatures/x/y", "relocations/x", "cache/x", "blobs/x"):
        records.put(key, b"nobody's\n")


def damaged(records: Records) -> None:
    """Blobs that are missing or changed, manifests and records that are refused, a chain that is broken."""
    records.marker()
    entries = [records.blob(path, f"{path}\n".encode()) for path in ("changed", "good", "missing", "short")]
    first = records.manifest("a", 1, entries)
    records.put(entries[0]["key"], b"Changed\n")
    records.put(entries[3]["key"], b"sh")
    (records.root / entries[2]["key"]).unlink()
    records.manifest("a", 2, [entries[1]], previous=originals.DIGEST)
    records.alias("a", "good", 1, 1)
    records.record("artifacts/a/_aliases/bad/9999999998.json", version=0)
    records.alias("a", "lost", 1, 3)
    records.record(f"artifacts/a/_idempotency/{'0' * 64}/9999999998.json", version=1, artifact_id="not one")
    records.state("a", 1, 1, "pruned")
    records.state("a", 1, 2, "pruned")
    records.signature("a", 1, first)
    records.signature("a", 2, first)
    records.manifest("forged", 1, [entries[1]])
    records.signature("forged", 1, first, signed=originals.DIGEST)
    records.manifest("refused", 1, [entries[1]], size=1)
    records.manifest("refused", 2, [entries[1]], previous=originals.DIGEST, format=2)
    records.manifest("newer", 1, [entries[1]], requires=["later"])
    _shard_that_lies(records, entries[1])
    run = records.new_id()
    records.record(f"runs/{run}/start.json", run_id=records.new_id(), name="", params={})
    records.record(f"runs/{run}/end.json", outcome="killed", metrics={}, notes=[], outputs=[])
    records.record("relocations/9999999998.json", old="s3://a/", new="s3://b")
    records.manifest("far", 1, [originals.POINTER, originals.STAT])


def _shard_that_lies(records: Records, entry: dict[str, Any]) -> None:
    """Manifests whose sums are not those of their shard, one that does not tell of a pointer in it, one without it."""
    for name, more in {
        "lies": {"size": entry["size"] + 1},
        "folds": {"files": 0, "folders": 1},
        "forges": {"digest": originals.DIGEST},
        "lost": {},
    }.items():
        manifest = _of_one_shard(records, name, entry) | more
        if name == "lost":
            (shard,) = manifest["shards"]
            manifest["shards"] = [shard | {"sha256": "0" * 64, "key": originals.blob_key("0" * 64, ".jsonl")}]
        records.put(originals.manifest_key(name, 1), as_document(manifest))
    records.put(originals.manifest_key("hides", 1), as_document(_of_one_shard(records, "hides", originals.POINTER)))


def _of_one_shard(records: Records, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A manifest whose one item stands in a shard, and which requires nothing."""
    data = as_document(entry)
    sha256 = hashlib.sha256(data).hexdigest()
    key = originals.blob_key(sha256, ".jsonl")
    records.put(key, data)
    shard = {"first": entry["path"], "count": 1, "size": len(data), "sha256": sha256, "key": key}
    sealed = originals.sealed({"entries": [entry]})
    sums = {field: sealed[field] for field in ("size", "files", "folders", "digest")}
    return originals.a_manifest(name, 1, []) | sums | {"shards": [shard], "entries": None}


def before(records: Records) -> None:
    """A record of before format 1, at which whoever lists the versions must stop."""
    records.marker()
    for name in ("good", "old"):
        records.manifest(name, 1, [records.blob("x", b"x\n")])
    records.put("artifacts/old/_versions/9999999998_v1.state-1.json", b"{}\n")


def newer(records: Records) -> None:
    """A marker that requires a feature which nobody knows."""
    records.marker(requires=["later"])
    records.manifest("a", 1, [records.blob("x", b"x\n")])


def no_store(records: Records) -> None:
    """Records without a marker: no store."""
    records.manifest("a", 1, [records.blob("x", b"x\n")])


STORES: dict[str, Callable[[Records], None]] = {
    "before": before,
    "collectable": collectable,
    "damaged": damaged,
    "empty": empty,
    "lifecycle": lifecycle,
    "lineage": lineage,
    "newer": newer,
    "no-store": no_store,
    "pointing": pointing,
    "published": published,
    "sharded": sharded,
    "unknown": unknown,
    **erasing_stores.STORES,
    **feature_stores.STORES,
    **retention_stores.STORES,
}


def make(name: str, root: Path) -> Path:
    """Make one store below a folder; return where."""
    folder = root / name
    folder.mkdir(parents=True)
    STORES[name](Records(folder, name))
    return folder
