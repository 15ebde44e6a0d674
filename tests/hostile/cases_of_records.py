"""Hostile stores: small records, and keys that nobody expects."""

from __future__ import annotations

import json

from cases_of_documents import GIB, Case
from honest_store import HostileStore, write_record, write_state

CASES: dict[str, Case] = {}
NUMBERS = 9_999_999_999
LARGEST = NUMBERS - 1
DIGEST = f"sha256:{'d' * 64}"


def _alias(number: int, **fields: object) -> Case:
    return lambda store: write_record(store.root / f"artifacts/data/_aliases/best/{NUMBERS - number:010d}.json", fields)


def _state(name: str, version: int, number: int | str, state: str) -> Case:
    spelled = number if isinstance(number, str) else f"{NUMBERS - number:010d}"
    return lambda store: write_state(store.root, name, version, spelled, state)


def _tomb(name: str, version: int, /, **fields: object) -> Case:
    """The record that a version was erased, whose manifest still lies there."""

    def change(store: HostileStore) -> None:
        said = {"name": name, "version": version, "created_by": "x", "previous": None if version == 1 else DIGEST}
        key = store.manifest_key(name, version).replace(".json", ".tomb.json")
        write_record(store.root / key, said | {"manifest_digest": DIGEST} | fields)

    return change


def _hidden(number: int, **fields: object) -> Case:
    return lambda store: write_record(store.root / f"names/data!/{NUMBERS - number:010d}.json", fields)


def _note(number: int, **fields: object) -> Case:
    key = f"artifacts/data/_notes/v2/{NUMBERS - number:010d}.json"
    return lambda store: write_record(store.root / key, {"created_by": "eve", "title": "forged"} | fields)


def _relocations(*pairs: tuple[str, str]) -> Case:
    def change(store: HostileStore) -> None:
        for number, (old, new) in enumerate(pairs, start=1):
            places = {"old": old.format(lake=store.lake), "new": new.format(lake=store.lake)}
            write_record(store.root / f"relocations/{NUMBERS - number:010d}.json", places)

    return change


def _stray_version(store: HostileStore) -> None:
    """A sound copy of data@3 that claims the largest number there is."""
    document = store.manifest("data", 3) | {"version": LARGEST, "record_id": "9" * 32}
    store.write_manifest(document, "data", LARGEST)


def _unknown_files(store: HostileStore) -> None:
    """Files of others below every prefix: they are nobody's business."""
    for key in (
        "artifacts/data/_versions/notes.txt", "artifacts/data/_versions/9999999997_v3.json", "names/..json",
        "artifacts/data/_versions/0000000000_v9999999999.json", "artifacts/data/_aliases/best/readme",
        "artifacts/data/_versions/9999999997_v02.json", "artifacts/data/_new/x", "blobs/md5/ab", "blobs/readme.md",
        "edges/data/_v2/..@1", "edges/data/_v2/model@0x1", "edges/data/_v2/model@99999999999999999999", "runs/x",
        "signatures/model/_v1/readme", "relocations/readme", "policies/x", "protections/x", "cache/x", "NAMES/x",
        "names/Upper.json", "names/!1.json", "artifacts/..!/_versions/9999999998_v1.json", ".hidden", "\x1b[31m",
        "features/readme", "features/x/9999999998.json",
    ):  # fmt: skip
        store.replace(key, b"\xff not a record")


def _names(store: HostileStore) -> None:
    for name in ("ghost", "other"):
        write_record(store.root / f"names/{name}.json", {"name": "data"})
    store.replace("names/data.json", b"{")


def _many_edges(store: HostileStore) -> None:
    folder = store.root / "edges/data/_v2"
    for number in range(180):
        (folder / f"model@{number + 2}").write_bytes(b'{"format":1}\n')
    for name in ("nobody@1", "!!@1", "a//b@1"):
        store.replace(f"edges/data/_v2/{name}", b"")


def _run(record: str, **fields: object) -> Case:
    def change(store: HostileStore) -> None:
        key = store.run_key(record)
        store.replace(key, json.dumps(json.loads((store.root / key).read_bytes()) | fields).encode())

    return change


def _signature(**fields: object) -> Case:
    def change(store: HostileStore) -> None:
        (path,) = (store.root / "signatures/model/_v1").iterdir()
        document = json.loads(path.read_bytes()) | fields
        store.replace(str(path.relative_to(store.root)), json.dumps(document).encode())

    return change


def _features(number: int, **fields: object) -> Case:
    return lambda store: write_record(store.root / f"features/{NUMBERS - number:010d}.json", {"write": []} | fields)


def _strays(store: HostileStore) -> None:
    for number in range(1_000):
        store.replace(f"features/{number:04}", b"?")


def _resigned(store: HostileStore) -> None:
    """The signed manifest is replaced by another one; its signature stays."""
    store.change({"metadata": {"forged": True}}, "model", 1)


A = "file:///" + "a" * 4_000


def _retention(data: bytes | None) -> Case:
    """Of each record of retention a few, with these bytes or 3 GB."""

    def change(store: HostileStore) -> None:
        for number in (1, 2, LARGEST):
            file = f"{NUMBERS - number:010d}"
            keys = [f"{folder}/{file}.json" for folder in ("policies", "collections", "protections/data/_v2")]
            for key in [*keys, f"protections/data/_v1/{file}.end.json", f"protections/nobody/_v{LARGEST}/{file}.json"]:
                if data is None:
                    store.sparse(key, 3 * GIB)
                else:
                    store.replace(key, data)

    return change


def _policies(**fields: object) -> Case:
    policy = {"pattern": "*?" * 200, "created_at": "2026-01-31T12:00:00Z", "created_by": "x", "keep_last": 1}
    told = {"created_by": "x", "policies": [policy | fields]}
    return lambda store: write_record(store.root / f"policies/{NUMBERS - 1:010d}.json", told)


CASES |= {
    "policies, protections and collections that are damaged": _retention(b"{"),
    "policies, protections and collections of 3 GB": _retention(None),
    "a policy with a condition of 100,000 parentheses": _policies(where="(" * 100_000),
    "an alias of a version that is not there": _alias(9, version=77),
    "an alias with the largest number": _alias(LARGEST, version=1, record_id="f" * 32),
    "an alias with texts that are none": _alias(9, version=2, note=["x"], created_by=7),
    "an alias with a note that is too long": _alias(9, version=2, note="x" * 5_001),
    "an alias with texts that are markup": _alias(
        9, version=2, note="<script>alert(1)</script>\x1b[2J\n", created_by="\x1b[31m"
    ),
    "an alias that is a name": _alias(9, version="latest"),
    "an alias of 3 GB": lambda store: store.sparse(f"artifacts/data/_aliases/best/{NUMBERS - 9:010d}.json", 3 * GIB),
    "a state with an enormous number": _state("data", 2, "9" * 200, "pruned"),
    "a state that contradicts its number": _state("data", 2, 1, "restored"),
    "a state that comes without the ones before": _state("data", 2, 7, "pruned"),
    "a state that brings back what was pruned": _state("old", 1, 2, "restored"),
    "a state as it was spelled before format 1 was settled": _state("data", 2, "1", "pruned"),
    "a state of 3 GB": lambda store: store.sparse(
        "artifacts/old/_versions/9999999998_v1.state-9999999998.json", 3 * GIB
    ),
    "notes with the largest number": _note(LARGEST),
    "notes that are markup": _note(
        3, title="<script>alert(1)</script>\u202e", description="\x1b[2J\r\n# <b>", tags={"<i>\u202e": "\x1b]0;x\x07"}
    ),
    "notes with more tags than there may be": _note(3, tags={str(number): "x" for number in range(100_000)}),
    "notes with tags that are none": _note(3, tags={"a": {"b": []}, "": "x", "\x1b": "y", "n": None}),
    "notes of another version of the format": _note(3, format=2),
    "notes of 3 GB": lambda store: store.sparse(f"artifacts/data/_notes/v2/{NUMBERS - 3:010d}.json", 3 * GIB),
    "notes on a version that is not there": lambda store: write_record(
        store.root / "artifacts/data/_notes/v77/9999999998.json", {"created_by": "eve", "title": "forged"}
    ),
    "thousands of files beside notes": lambda store: [
        store.replace(f"artifacts/data/_notes/.{number}", b"") for number in range(3_000)
    ],
    "a state that speaks of no manifest": lambda store: write_record(
        store.root / "artifacts/data/_versions/9999999997_v2.state-9999999998.json", {"state": "pruned"}
    ),
    "a version that was erased": _tomb("data", 2),
    "the newest version erased": _tomb("data", 3, reason="</script><script>alert(1)</script>\x1b[2J"),
    "a record of another erased version": _tomb("data", 3, version=1),
    "a record of an erased version of another name": _tomb("data", 3, name="other"),
    "a record of an erased version without a digest": _tomb("data", 3, manifest_digest=None),
    "a record of an erased version of 3 GB": lambda store: store.sparse(
        "artifacts/data/_versions/9999999996_v3.tomb.json", 3 * GIB
    ),
    "an erased version with the largest number": _tomb("data", LARGEST),
    "a hidden name": _hidden(1, state="hidden"),
    "a hidden name with the largest number": _hidden(LARGEST, state="gone"),
    "a version with the largest number": _stray_version,
    "a version that is missing": lambda store: (store.root / store.manifest_key("data", 2)).unlink(),
    "names of nothing": _names,
    "files of others everywhere": _unknown_files,
    "edges of versions that are not there": _many_edges,
    "a run with texts that are markup": _run(
        "start.json", name="</script><script>alert(1)</script>", host="\x1b[2J", params={"<": ["&", {"$": 1}]}
    ),
    "a run of another id": _run("start.json", run_id="0" * 32),
    "a run inside itself": lambda store: _run("start.json", parent=store.run_key("x").split("/")[1])(store),
    "a run that ended in nonsense": _run("end.json", metrics=[1], outputs=[{"name": "../x"}], outcome="won"),
    "a run of 3 GB": lambda store: store.sparse(store.run_key("end.json"), 3 * GIB),
    "relocations in a circle": _relocations(
        ("file://{lake}/", "file:///b/"), ("file:///b/", "file:///c/"), ("file:///c/", "file://{lake}/")
    ),
    "relocations that lengthen": _relocations(("file://{lake}/", f"{A}/"), *(((f"{A}/", f"{A}/{'b' * 3_000}/"),) * 40)),
    "a relocation to the users of this machine": _relocations(("file://{lake}/part-1.csv", "file:///etc/passwd")),
    "a relocation whose halves are a chain": _relocations(
        ("file://{lake}/", "zip:///x::file:/"), ("zip:///x::file:/", "zip:///x::file://")
    ),
    "a relocation of 3 GB": lambda store: store.sparse("relocations/9999999998.json", 3 * GIB),
    "features that nobody knows": _features(LARGEST, read=["\u202e", "packs"]),
    "a feature for writers": _features(1, read=[], write=["packs"]),
    "features without end": _features(1, read=[f"f{number}" for number in range(200_000)], write=[]),
    "features of 3 GB": lambda store: store.sparse("features/9999999998.json", 3 * GIB),
    "features that are a file": lambda store: store.replace("features", b"?"),
    "a thousand things among the features": _strays,
    "a signature of nothing": _signature(signature="AA=="),
    "a signature with another key": _signature(key_id="0" * 64),
    "a signature of 3 GB": lambda store: store.sparse(f"signatures/model/_v1/{'0' * 64}.json", 3 * GIB),
    "a signed manifest that was replaced": _resigned,
}
