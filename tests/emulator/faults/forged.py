"""Objects of a store that somebody else wrote: content that was damaged, manifests that state another size."""

from __future__ import annotations

import hashlib
import json

from clouds import PREFIX, Cloud, GCSCloud


def overwrite(cloud: Cloud, key: str, data: bytes) -> None:
    if isinstance(cloud, GCSCloud):
        cloud.server.raw().put(cloud.bucket, f"{PREFIX}/{key}", data)
    else:
        cloud.server.raw().put_object(Bucket=cloud.bucket, Key=f"{PREFIX}/{key}", Body=data)


def remove(cloud: Cloud, key: str) -> None:
    if isinstance(cloud, GCSCloud):
        cloud.server.raw().delete(cloud.bucket, f"{PREFIX}/{key}")
    else:
        cloud.server.raw().delete_object(Bucket=cloud.bucket, Key=f"{PREFIX}/{key}")


def with_size(manifest: bytes, size: int) -> bytes:
    """Return the manifest of a one-file artifact with another size, and all that follows from it."""
    document = json.loads(manifest)
    (entry,) = document["entries"]
    entry["size"] = document["size"] = size
    line = f'["{entry["path"]}",{size},"{entry["sha256"]}"]\n'
    document["digest"] = f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"
    return f"{json.dumps(document, sort_keys=True, separators=(',', ':'))}\n".encode()
