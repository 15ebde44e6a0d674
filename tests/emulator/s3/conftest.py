"""A store in a bucket of each S3 server, and a plain client that looks past the code under test."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.store.catalog.store import Store
from metamlflow_s3 import S3Backend, open_backend


@dataclass(frozen=True)
class Root:
    """A fresh prefix in a bucket, and how to look at it with boto3."""

    server: Any
    bucket: str
    prefix: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def options(self) -> dict[str, Any]:
        return {**self.server.storage_options, **self.extra}

    def through(self, proxy: Any) -> Root:
        """The same root, reached through a proxy."""
        return Root(self.server.through(proxy.url), self.bucket, self.prefix, self.extra)

    def open(self, **options: Any) -> S3Backend:
        return open_backend(self.url, {**self.options, **options})

    def client(self, **options: Any) -> MetaMLFlowClient:
        return MetaMLFlowClient._on(Store(self.url, {}, backend=self.open(**options)))

    def name(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}"}

    def read(self, key: str) -> bytes:
        return self.server.raw().get_object(**self.name(key))["Body"].read()

    def read_json(self, key: str) -> Any:
        return json.loads(self.read(key))

    def write(self, key: str, data: bytes) -> None:
        """Place an object, over whatever lies there."""
        self.server.raw().put_object(**self.name(key), Body=data)

    def head(self, key: str) -> dict[str, Any]:
        return self.server.raw().head_object(**self.name(key), ChecksumMode="ENABLED")

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.server.raw().get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/{prefix}")
        return [item["Key"].removeprefix(f"{self.prefix}/") for page in found for item in page.get("Contents", ())]

    def unfinished_uploads(self) -> list[str]:
        found = self.server.raw().list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix)
        return [upload["Key"] for upload in found.get("Uploads", ())]


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once():
    """Hundreds of clients are made here, and each would parse the description of S3 anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(botocore.session.create_loader))
        yield


def _fresh(server) -> Root:
    return Root(server, server.new_bucket(), "some/team")


@pytest.fixture
def new_root():
    """Make a root on a server, with further options."""
    return lambda server, **extra: Root(server, server.new_bucket(), "some/team", extra)


@pytest.fixture
def root(s3_server) -> Root:
    """On each of the servers."""
    return _fresh(s3_server)


@pytest.fixture
def moto_root(moto_server) -> Root:
    """For what needs no more than answers: moto is the quicker one to start."""
    return _fresh(moto_server)


@pytest.fixture
def faithful_root(localstack_server) -> Root:
    """For races and checksums: LocalStack claims atomically and compares what is sent with its checksum."""
    return _fresh(localstack_server)


@pytest.fixture
def proxied(moto_root, fault_proxy):
    """A root on moto behind a proxy, and that proxy."""
    proxy = fault_proxy(moto_root.server)
    return moto_root.through(proxy), proxy


@pytest.fixture
def impatient(quicken):
    """Attempts follow one another at once: how long a storm lasts has tests of its own."""
    quicken("metamlflow_s3.connection", 0.001)
    quicken("metamlflow.backend.streaming", 0.001)
