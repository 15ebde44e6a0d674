"""A store in a bucket behind a fault proxy, on each cloud's server, and the bucket seen past the code under test."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from proxy import FaultProxy
from proxy_faults import Late, Request
from proxy_site import wait_until

from metamlflow import MetaMLFlowClient
from metamlflow.artifacts import Artifact
from metamlflow.errors import MetaMLFlowError
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.store import Store

PREFIX = "some/team"
MARKER, NAME_RECORDS, BLOBS, MANIFESTS = "*/metamlflow.json", "*/names/*", "*/blobs/*", "*/_versions/*"
WRITES = frozenset({"PUT", "POST", "DELETE", "PATCH"})
_MANIFEST = re.compile(r"artifacts/(?P<name>.+)/_versions/(?P<inverse>\d{10})_v(?P<version>\d+)\.json")


def do_not_wait(seconds: float) -> None:
    """Stand in for sleep."""


IMPATIENT = Clock(sleep=do_not_wait)
"""The store's own pauses are left out; those of the backend and of the proxy stay."""


def writes(request: Request) -> bool:
    return request.method in WRITES


@dataclass(frozen=True)
class Words:
    """What the requests that tests single out are called in the proxy's log; globs."""

    put: str
    get: str
    list: str
    large: tuple[str, ...]


@dataclass(frozen=True)
class Cloud(ABC):
    """One store's place. ``client`` goes through the proxy; ``direct`` and what is raw go past it."""

    server: Any
    proxy: FaultProxy
    bucket: str

    scheme = ""
    words = Words("", "", "", ())

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.bucket}/{PREFIX}"

    @property
    def options(self) -> dict[str, Any]:
        """Storage options whose endpoint is the proxy."""
        return self.server.through(self.proxy.url).storage_options

    def client(self, clock: Clock | None = None, **more: Any) -> MetaMLFlowClient:
        if clock is not None:
            return MetaMLFlowClient._on(Store(self.url, self.options, clock=clock))
        return MetaMLFlowClient(self.url, storage_options=self.options, **more)

    def direct(self) -> MetaMLFlowClient:
        """A client that never meets the proxy."""
        return MetaMLFlowClient(self.url, storage_options=self.server.storage_options)

    def objects(self) -> dict[str, bytes]:
        """All that the bucket holds, by key below the store's root."""
        return {key.removeprefix(f"{PREFIX}/"): self._raw_get(key) for key in self._raw_keys()}

    def versions(self, name: str = "model") -> dict[int, dict[str, bytes]]:
        """The files of each version, read by hand and checked against their manifests: no gap, no publish twice."""
        objects = self.objects()
        found = manifests(objects, name)
        assert list(found) == list(range(1, len(found) + 1)), "a number is missing"
        for identity in ("record_id", "artifact_id"):
            assert len({manifest[identity] for manifest in found.values()}) == len(found), f"one {identity} twice"
        return {version: _content(objects, manifest["entries"]) for version, manifest in found.items()}

    def settle(self) -> None:
        """Return when every late request has been applied."""
        wait_until(lambda: all(r.upstream_status for r in self.proxy.log if any(isinstance(f, Late) for f in r.faults)))

    @abstractmethod
    def unfinished_uploads(self) -> list[str]:
        """Uploads in parts that were begun, and neither completed nor cancelled."""

    @abstractmethod
    def _raw_keys(self) -> Iterable[str]: ...

    @abstractmethod
    def _raw_get(self, key: str) -> bytes: ...


class S3Cloud(Cloud):
    scheme = "s3"
    words = Words(
        "PutObject", "GetObject", "ListObjectsV2", ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
    )

    def unfinished_uploads(self) -> list[str]:
        found = self.server.raw().list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in found.get("Uploads", ())]

    def _raw_keys(self) -> Iterable[str]:
        pages = self.server.raw().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def _raw_get(self, key: str) -> bytes:
        return self.server.raw().get_object(Bucket=self.bucket, Key=key)["Body"].read()


class GCSCloud(Cloud):
    scheme = "gs"
    words = Words("objects.insert", "objects.media", "objects.list", ("resumable.start", "resumable.upload"))

    def unfinished_uploads(self) -> list[str]:
        """The server lists none: as the log tells it, sessions without a last chunk that was taken or a DELETE."""
        log = self.proxy.log
        ended = {
            _session(request)
            for request in log
            if request.op == "resumable.upload"
            and (request.method == "DELETE" or request.upstream_status in {200, 201} or request.status in {404, 410})
        }
        used = {_session(request) for request in log if request.op == "resumable.upload"}
        return sorted(used - ended)

    def _raw_keys(self) -> Iterable[str]:
        return [item["name"] for item in self.server.raw().list(self.bucket)]

    def _raw_get(self, key: str) -> bytes:
        return self.server.raw().get(self.bucket, key)


def _session(request: Request) -> str:
    return re.sub(".*upload_id=([^&]*).*", r"\1", request.target)


def manifests(objects: dict[str, bytes], name: str = "model") -> dict[int, dict[str, Any]]:
    """Every manifest of a name by its version, ascending."""
    matches = [match for key in objects if (match := _MANIFEST.fullmatch(key)) and match["name"] == name]
    assert all(int(match["inverse"]) + int(match["version"]) == 9_999_999_999 for match in matches)
    return {int(match["version"]): json.loads(objects[match[0]]) for match in sorted(matches, key=_version)}


def _version(match: re.Match[str]) -> int:
    return int(match["version"])


def _content(objects: dict[str, bytes], entries: list[dict[str, Any]]) -> dict[str, bytes]:
    found = {}
    for entry in entries:
        data = objects[entry["key"]]
        assert hashlib.sha256(data).hexdigest() == entry["sha256"].removeprefix("sha256:")
        found[entry["path"]] = data
    return found


def register_until_told(cloud: Cloud, client: MetaMLFlowClient, content: Any) -> tuple[Artifact, Exception | None]:
    """Register under an idempotency key; after an error once more, when the fault is over.

    Returns the version and the error of the first call, None if there was none.
    """
    try:
        return client.register_artifact("model", content, idempotency_key="job"), None
    except MetaMLFlowError as error:
        cloud.proxy.clear()
        return cloud.direct().register_artifact("model", content, idempotency_key="job"), error
