"""Stores with policies, protections and what ends them, notes on states and aliases, and records of collections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reader.keys import inverse, spelled

from kit import originals
from kit.writing import Records


def _versions(records: Records, name: str, count: int) -> None:
    before = None
    for version in range(1, count + 1):
        entries = [records.blob("data", f"{name} {version}\n".encode())]
        before = records.manifest(name, version, entries, kind="file", previous=before)


def _protection(records: Records, name: str, version: int, number: int, *, ends: bool = False, **fields: Any) -> None:
    key = f"protections/{spelled(name)}/_v{version}/{inverse(number)}{'.end' if ends else ''}.json"
    records.record(key, **{"created_by": "ada", "note": None} | fields)


def _collection(records: Records, number: int, phase: str, **fields: Any) -> None:
    key = f"collections/{inverse(number)}.json"
    records.record(key, **{"collection": "c" * 32, "created_by": "cron", "phase": phase} | fields)


def retained(records: Records) -> None:
    """Protections that hold pruned versions, damaged and ended ones; policies; a collection that has ended."""
    records.marker()
    _versions(records, "Held/x", 7)
    for version in (1, 2, 3, 4, 5, 6):
        records.state("Held/x", version, 1, "pruned", created_by="eve", note="older than \u00e9\u2028 90 days")
    _protection(records, "Held/x", 1, 1, note="figure 3", **{"x-unknown": 1})
    _protection(records, "Held/x", 2, 1)
    _protection(records, "Held/x", 2, 1, ends=True)
    _protection(records, "Held/x", 3, 1)
    _protection(records, "Held/x", 3, 1, ends=True, note="done")
    _protection(records, "Held/x", 3, 2, note="another one")
    _protection(records, "Held/x", 4, 1, note="")
    _protection(records, "Held/x", 5, 1)
    records.put(f"protections/!held/x/_v5/{inverse(1)}.end.json", b"no record, and ends it all the same\n")
    _protection(records, "Held/x", 6, 1, ends=True)
    records.record(
        f"artifacts/!held/x/_aliases/best/{inverse(1)}.json", version=7, created_by="ada", note="a\nb", writer="kit 1"
    )
    records.record(f"artifacts/!held/x/_aliases/bad/{inverse(1)}.json", version=7, note="first")
    records.record(f"artifacts/!held/x/_aliases/bad/{inverse(2)}.json", version=6, created_by=None)
    _versions(records, "erased", 2)
    records.state("erased", 1, 1, "pruned")
    records.tomb("erased", 1)
    _protection(records, "erased", 1, 1)
    policies = [originals.POLICY, originals.POLICY | {"pattern": "Held/*", "where": "phase of moon", "keep_last": None}]
    records.record(f"policies/{inverse(1)}.json", created_by="ada", policies=[originals.POLICY])
    records.record(f"policies/{inverse(2)}.json", created_by="ada", policies=policies)
    _collection(records, 1, "begun")
    _collection(records, 2, "going", unclear=None)
    _collection(records, 3, "ended", unclear=True)


def retained_badly(records: Records) -> None:
    """The newest policies and the newest record of a collection are damaged; none before them holds instead."""
    records.marker()
    _versions(records, "a", 2)
    records.state("a", 1, 1, "pruned", note=7)
    records.record(f"policies/{inverse(1)}.json", created_by="ada", policies=[])
    records.record(f"policies/{inverse(2)}.json", created_by="ada", policies=[originals.POLICY] * 2)
    _collection(records, 1, "ended")
    _collection(records, 2, "over")


def content_missing(records: Records) -> None:
    """Content of a live version is not there, so a collector stops; that of a pruned one may be missing."""
    records.marker()
    _versions(records, "live", 1)
    _versions(records, "pruned", 2)
    records.state("pruned", 1, 1, "pruned")
    records.blob("nothing names this", b"garbage\n")
    for name in ("live", "pruned"):
        told = originals.entry("data", f"{name} 1\n".encode())
        (records.root / told["key"]).unlink()


def content_not_whole(records: Records) -> None:
    """Content of a live version has another size, so a collector stops; that of a pruned one may have any."""
    records.marker()
    _versions(records, "live", 2)
    _versions(records, "pruned", 2)
    records.state("pruned", 1, 1, "pruned")
    records.blob("nothing names this", b"garbage\n")
    for name, content in (("live", b"live"), ("pruned", b"")):
        told = originals.entry("data", f"{name} 1\n".encode())
        (records.root / told["key"]).write_bytes(content)


def vanished(records: Records) -> None:
    """Manifests were deleted by something else: below others, and of versions that are protected or have an alias."""
    records.marker()
    for name in ("gaps", "aliased", "sound"):
        _versions(records, name, 6)
    records.state("aliased", 1, 1, "pruned")
    records.state("gaps", 2, 1, "absent")
    for name, version in (("gaps", 2), ("gaps", 4), ("gaps", 5), ("aliased", 6)):
        (records.root / f"artifacts/{name}/_versions/{inverse(version)}_v{version}.json").unlink()
    _protection(records, "gaps", 7, 1, note="of no version")
    _protection(records, "gaps", 2, 1)
    _protection(records, "gaps", 8, 1)
    _protection(records, "gaps", 8, 1, ends=True)
    _protection(records, "nobody", 1, 1)
    records.record(f"artifacts/aliased/_aliases/best/{inverse(1)}.json", version=6)
    records.record(f"artifacts/sound/_aliases/best/{inverse(1)}.json", version=7)
    records.blob("nothing names this", b"garbage\n")


STORES: dict[str, Callable[[Records], None]] = {
    "content-missing": content_missing,
    "content-not-whole": content_not_whole,
    "retained": retained,
    "retained-badly": retained_badly,
    "vanished": vanished,
}
