"""Lists of features as another program writes them: by hand, into a folder or a dict."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from metamlflow.testing import MemoryBucket, StoredObject


def key_of(number: int) -> str:
    return f"features/{9_999_999_999 - number:010d}.json"


def list_of(read: tuple[str, ...] = (), write: tuple[str, ...] = (), **more: object) -> bytes:
    usual = {"format": 1, "record_id": uuid.uuid4().hex, "created_at": "2026-01-31T12:00:00Z"}
    return json.dumps(usual | {"read": read, "write": write} | more).encode()


def put(place: Path | MemoryBucket, key: str, data: bytes) -> None:
    if isinstance(place, MemoryBucket):
        place.objects[key] = StoredObject(data, place.clock())
        return
    path = place / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def everything_in(place: Path | MemoryBucket) -> dict[str, bytes]:
    if isinstance(place, MemoryBucket):
        return {key: stored.data for key, stored in place.objects.items()}
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}
