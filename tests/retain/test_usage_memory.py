"""What the examination of a store's space holds in memory for each version."""

from __future__ import annotations

import hashlib
import tracemalloc
import uuid
from datetime import UTC, datetime

import pytest

from metamlflow.format.layout import blob_key, manifest_key
from metamlflow.format.manifests import digest_of, encode_manifest
from metamlflow.model.manifests import Entry, Manifest, content_digest
from metamlflow.model.names import ArtifactName
from metamlflow.store.retain.space.usage import usage_of
from metamlflow.testing import MemoryBackend, MemoryBucket, StoredObject, client_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OF_A_NAME = 100


def manifest_of(name: ArtifactName, version: int, previous: str | None) -> tuple[bytes, Entry]:
    data = f"{name} {version}".encode()
    sha256 = hashlib.sha256(data).hexdigest()
    entry = Entry("data", len(data), sha256, None, blob_key(sha256))
    manifest = Manifest(
        record_id=uuid.uuid4().hex,
        artifact_id=str(uuid.UUID(int=1)),
        name=name,
        version=version,
        artifact_type="file",
        kind="folder",
        created_at=NOW,
        created_by="ada",
        digest=content_digest((entry,)),
        size=len(data),
        files=1,
        folders=0,
        items=(entry,),
        previous=previous,
    )
    return encode_manifest(manifest), entry


def peak(names: int) -> int:
    """The most bytes that are held at a time, of which none is for the index of blobs."""
    bucket = MemoryBucket()
    client = client_on(MemoryBackend(bucket))
    client.register_artifact("first", b"x")
    for number in range(names):
        name, previous = ArtifactName(f"team/model-{number:05d}"), None
        for version in range(1, OF_A_NAME + 1):
            data, entry = manifest_of(name, version, previous)
            previous = digest_of(data)
            bucket.objects[manifest_key(name, version)] = StoredObject(data, NOW)
            bucket.objects[entry.key] = StoredObject(b"x" * entry.size, NOW)
    tracemalloc.start()
    try:
        report = usage_of(client._store, most_bytes=2**19)
        assert len(report.versions) == names * OF_A_NAME + 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.full
def test_a_version_takes_less_than_half_a_kilobyte_of_memory():
    assert (peak(150) - peak(50)) / (100 * OF_A_NAME) < 500
