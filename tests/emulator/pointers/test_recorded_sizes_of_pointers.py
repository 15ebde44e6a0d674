"""The size that a manifest states of what is only pointed to is compared with the true one, which each answer tells."""

from __future__ import annotations

import hashlib
import json

import pytest
from lakesides import OLD, Place, refused_all_ways

from metamlflow.errors import PointerDriftError

pytestmark = pytest.mark.emulator

DIGESTS = ("sha256", "sha1", "md5", "crc64nvme", "crc32c", "crc32")


def with_size(manifest: bytes, size: int) -> bytes:
    """Return the manifest of one pointer with another size, and all that follows from it."""
    document = json.loads(manifest)
    (entry,) = document["entries"]
    entry["size"] = document["size"] = size
    digests = {**entry.get("held", {}), **entry.get("computed", {})}
    if "sha256" in digests:
        line = [entry["path"], size, digests["sha256"]]
    elif known := [f"{name}:{digests[name]}" for name in DIGESTS if name in digests]:
        line = [entry["path"], size, known[0]]
    else:
        line = [entry["path"], size, None, *(entry.get(name) for name in ("uri", "version", "etag", "modified_ns"))]
    stored = f"{json.dumps(line, separators=(',', ':'))}\n".encode()
    document["digest"] = f"sha256:{hashlib.sha256(stored).hexdigest()}"
    return json.dumps(document).encode()


@pytest.mark.full
@pytest.mark.parametrize("evidence", ["stat", "full"])
@pytest.mark.parametrize("size", [0, len(OLD) - 1, len(OLD) + 1, 2**52])
def test_a_pointer_of_another_size_is_refused_in_every_way(place: Place, fault_proxy, tmp_path, size, evidence):
    place.put("data.bin", OLD)
    proxy = fault_proxy(place.server)
    client = place.client(tmp_path, proxy)
    client.register_pointer("lake", place.uri("data.bin"), evidence=evidence)
    manifest = tmp_path / "store/artifacts/lake/_versions/9999999998_v1.json"
    forged = with_size(manifest.read_bytes(), size)
    manifest.unlink()
    manifest.write_bytes(forged)
    artifact = client.get_artifact("lake", 1)
    proxy.reset()
    with pytest.raises(PointerDriftError):
        artifact.read_bytes()
    assert proxy.counts.total() <= 3, "the object, and what is there now for the message"
    refused_all_ways(artifact, "data.bin", tmp_path / "out")
    assert not artifact.verify()
    assert not artifact.verify("stat")
