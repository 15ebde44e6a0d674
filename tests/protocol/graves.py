"""Records of erased versions and of states, written by hand as SPEC.md spells them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from worlds import RAW_NAME, World, manifest_key

LAST = 9_999_999_999
ORIGIN = {"format": 1, "created_at": "2026-02-03T04:05:06Z"}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tomb_key(version: int, raw_name: str = RAW_NAME) -> str:
    return manifest_key(version, raw_name).replace(".json", ".tomb.json")


def state_key(version: int, number: int, raw_name: str = RAW_NAME) -> str:
    return manifest_key(version, raw_name).replace(".json", f".state-{LAST - number:010d}.json")


def tomb_of(manifest: bytes, **changes: Any) -> bytes:
    """The record that the version with this manifest was erased."""
    document = json.loads(manifest)
    fields = ORIGIN | {
        "record_id": "e" * 32,
        "created_by": "officer",
        "name": document["name"],
        "version": document["version"],
        "manifest_digest": digest_of(manifest),
        "previous": document["previous"],
        "reason": "asked for by the person",
    }
    return json.dumps({key: value for key, value in (fields | changes).items() if value is not ...}).encode()


def state_of(manifest: bytes, state: str, number: int = 1) -> bytes:
    """A state record that speaks of this manifest."""
    fields = {"record_id": f"{number:032x}", "state": state, "manifest_digest": digest_of(manifest)}
    return json.dumps(ORIGIN | fields).encode()


def erase(world: World, version: int, *, leaves_manifest: bool = False, **changes: Any) -> bytes:
    """Erase a version as an erasure does: the record first, then the manifest goes. Return what the manifest was."""
    manifest = world.objects()[manifest_key(version)]
    world.write(state_key(version, 1), state_of(manifest, "pruned"))
    world.write(tomb_key(version), tomb_of(manifest, **changes))
    if not leaves_manifest:
        world.remove(manifest_key(version))
    return manifest


def set_state(world: World, version: int, number: int, state: str, *, manifest: bytes | None = None) -> None:
    """Write a state record; by default it speaks of the manifest that is there."""
    data = world.objects()[manifest_key(version)] if manifest is None else manifest
    world.write(state_key(version, number), state_of(data, state, number))
