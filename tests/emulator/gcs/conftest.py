"""A store in a bucket of the server, and a plain client that looks past the code under test."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.store.catalog.store import Store
from metamlflow_gcs import GCSBackend, open_backend
from metamlflow_gcs.connection import GCSConnection


@dataclass(frozen=True)
class Root:
    """A fresh prefix in a bucket, and how to look at it with nothing but ``urllib``."""

    server: Any
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}"

    @property
    def options(self) -> dict[str, Any]:
        return self.server.storage_options

    def open(self, server: Any = None) -> GCSBackend:
        """A new backend; through another address of the server if one is given."""
        return open_backend(self.url, (server or self.server).storage_options)

    def client(self, server: Any = None) -> MetaMLFlowClient:
        return MetaMLFlowClient._on(Store(self.url, {}, backend=self.open(server)))

    def read(self, key: str) -> bytes:
        return self.server.raw().get(self.bucket, f"{self.prefix}/{key}")

    def read_json(self, key: str) -> Any:
        return json.loads(self.read(key))

    def stat(self, key: str) -> dict[str, Any]:
        return self.server.raw().stat(self.bucket, f"{self.prefix}/{key}")

    def write(self, key: str, data: bytes) -> None:
        """Place an object, over whatever lies there."""
        self.server.raw().put(self.bucket, f"{self.prefix}/{key}", data)

    def keys(self, prefix: str = "") -> list[str]:
        found = self.server.raw().list(self.bucket, f"{self.prefix}/{prefix}")
        return [item["name"].removeprefix(f"{self.prefix}/") for item in found]


@pytest.fixture(scope="session")
def bucket(gcs_server) -> str:
    return gcs_server.new_bucket()


@pytest.fixture
def root(gcs_server, bucket) -> Root:
    return Root(gcs_server, bucket, f"tests/{uuid.uuid4().hex}")


@pytest.fixture
def sent(monkeypatch) -> list[str]:
    """Every request that a backend of this process sends from now on, as ``METHOD path``."""
    requests: list[str] = []
    send = GCSConnection._send

    async def remember(self, request):
        requests.append(f"{request.method} {request.path}")
        return await send(self, request)

    monkeypatch.setattr(GCSConnection, "_send", remember)
    return requests
