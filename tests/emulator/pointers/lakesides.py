"""Buckets that are pointed to, written and inspected past the code under test, and all ways to read what is there."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Artifact
from metamlflow.errors import PointerDriftError

SERVERS = ("localstack", "moto", "gcs")
STRENGTHS = ("stat", "checksum", "full")
OLD, NEW, SAME_SIZE = (
    b"the bytes that were registered",
    b"what was written over them later",
    b"THE BYTES THAT ARE THERE TODAY",
)
LARGE = 18 * 1024 * 1024  # some windows of a reader, and two ranges of a download


@dataclass(frozen=True)
class Place(ABC):
    """A fresh prefix, ending in a slash, in a bucket."""

    server: Any
    bucket: str
    prefix: str
    versioned: bool

    scheme = ""
    words = ("", "", "")
    """What a look, a read and a listing are called in a proxy's log."""

    def uri(self, key: str = "") -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}{key}"

    def source_options(self, proxy: Any = None) -> dict[str, Any]:
        server = self.server.through(proxy.url) if proxy else self.server
        return {self.scheme: server.storage_options}

    def client(self, folder: Path, proxy: Any = None) -> MetaMLFlowClient:
        """A client of a local store, so that all that a proxy counts is about what is pointed to."""
        options = self.source_options(proxy)
        return MetaMLFlowClient(folder / "store", source_options=options, cache_dir=folder / "cache")

    @abstractmethod
    def put(self, key: str, data: bytes) -> Any: ...

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def get(self, key: str) -> bytes: ...

    def put_many(self, keys: Iterable[str], data: bytes) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self.put(key, data), keys))


class S3Place(Place):
    scheme = "s3"
    words = ("HeadObject", "GetObject", "ListObjectVersions")

    @property
    def raw(self) -> Any:
        return self.server.raw()

    def named(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": f"{self.prefix}{key}"}

    def put(self, key: str, data: bytes, **more: Any) -> Any:
        return self.raw.put_object(**self.named(key), Body=data, **more)

    def delete(self, key: str) -> None:
        self.raw.delete_object(**self.named(key))

    def get(self, key: str) -> bytes:
        return self.raw.get_object(**self.named(key))["Body"].read()

    def put_in_parts(self, key: str, parts: list[bytes], algorithm: str, kind: str) -> None:
        """Upload in parts with a checksum over the whole object, or over the parts' checksums."""
        named = self.named(key)
        begun = self.raw.create_multipart_upload(**named, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        done = []
        for number, data in enumerate(parts, 1):
            about = {**named, "UploadId": begun["UploadId"], "PartNumber": number}
            answer = self.raw.upload_part(**about, Body=data, ChecksumAlgorithm=algorithm)
            digest = f"Checksum{algorithm}"
            done.append({"PartNumber": number, "ETag": answer["ETag"], digest: answer[digest]})
        more = {"ChecksumType": kind} if kind == "FULL_OBJECT" else {}
        self.raw.complete_multipart_upload(**named, UploadId=begun["UploadId"], MultipartUpload={"Parts": done}, **more)


class GCSPlace(Place):
    scheme = "gs"
    words = ("objects.get", "objects.media", "objects.list")

    @property
    def raw(self) -> Any:
        return self.server.raw()

    def put(self, key: str, data: bytes) -> Any:
        return self.raw.put(self.bucket, f"{self.prefix}{key}", data)

    def delete(self, key: str) -> None:
        self.raw.delete(self.bucket, f"{self.prefix}{key}")

    def get(self, key: str) -> bytes:
        return self.raw.get(self.bucket, f"{self.prefix}{key}")


# --- reading ----------------------------------------------------------------------------------------------------------


def _opened(artifact: Artifact, path: str, folder: Path) -> bytes:
    with artifact.open(path) as reader:
        return reader.read()


def _ranged(artifact: Artifact, path: str, folder: Path) -> bytes:
    """The content, its middle read first."""
    with artifact.open(path) as reader:
        reader.seek(9)
        middle = reader.read(8)
        reader.seek(0)
        whole = reader.read()
    assert whole[9:17] == middle
    return whole


def _downloaded_with_all(artifact: Artifact, path: str, folder: Path) -> bytes:
    artifact.download(folder / "all")
    return (folder / "all" / path).read_bytes()


READERS: dict[str, Callable[[Artifact, str, Path], bytes]] = {
    "read_bytes": lambda artifact, path, folder: artifact.read_bytes(path),
    "open": _opened,
    "ranged": _ranged,
    "download": lambda artifact, path, folder: artifact.download(folder / "out", path=path).read_bytes(),
    "download-all": _downloaded_with_all,
    "local_path": lambda artifact, path, folder: artifact.local_path(path).read_bytes(),
}


def read_all_ways(artifact: Artifact, path: str, folder: Path) -> dict[str, bytes]:
    """What each way of reading gives."""
    return {name: read(artifact, path, folder) for name, read in READERS.items()}


def refused_all_ways(
    artifact: Artifact, path: str, folder: Path, cache: Path | None = None
) -> dict[str, PointerDriftError]:
    """What each way of reading raises, having left nothing behind."""
    told = {}
    for name, read in READERS.items():
        with pytest.raises(PointerDriftError) as caught:
            read(artifact, path, folder)
        told[name] = caught.value
    cached = {file.name for file in (cache or folder / "cache").rglob("*") if file.is_file() and file.stat().st_size}
    assert cached <= {"CACHEDIR.TAG", "usage"}  # the cache's own
    assert not (folder / "out").exists()
    assert not (folder / "all").exists()
    return told


def documents(folder: Path) -> dict[str, Any]:
    """Every manifest of the store in this folder, as JSON, by its place."""
    store = folder / "store"
    found = sorted(store.rglob("_versions/*.json"))
    return {str(path.relative_to(store)): json.loads(path.read_bytes()) for path in found}


def held_in(folder: Path) -> list[str]:
    """All files of the store in this folder."""
    store = folder / "store"
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
