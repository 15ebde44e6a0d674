"""Each cloud's server with a fault proxy before it."""

from __future__ import annotations

import pytest
from clouds import Cloud, GCSCloud, S3Cloud

from metamlflow_s3.engines import ENGINE_VARIABLE

ENGINES = {"s3": "auto", "s3-by-s3fs": "s3fs"}


@pytest.fixture(autouse=True)
def _short_pauses(request, quicken):
    """Backends wait a tenth as long between attempts, except where a test asks how long it all takes."""
    if "real_pauses" not in request.fixturenames:
        quicken("metamlflow_s3.connection", 0.02)
        quicken("metamlflow_gcs.connection", 0.02)
        quicken("metamlflow.backend.streaming", 0.02)


@pytest.fixture
def real_pauses() -> None:
    """Ask for the pauses that users meet."""


@pytest.fixture
def place(fault_proxy):
    """Make a cloud of a server: a fresh bucket, behind a proxy of its own."""

    def make(kind, server) -> Cloud:
        return kind(server, fault_proxy(server), server.new_bucket())

    return make


@pytest.fixture(params=["s3", "s3-by-s3fs", "gcs"])
def cloud(request, place, monkeypatch) -> Cloud:
    """Each cloud on the server that is most faithful to it; S3 with each engine."""
    if request.param == "gcs":
        return place(GCSCloud, request.getfixturevalue("gcs_server"))
    monkeypatch.setenv(ENGINE_VARIABLE, ENGINES[request.param])
    return place(S3Cloud, request.getfixturevalue("localstack_server"))


@pytest.fixture(params=["s3", "s3-by-s3fs", "gcs"])
def plain_cloud(request, place, monkeypatch) -> Cloud:
    """Each cloud on the server that is quickest to start; for what needs no more than answers."""
    if request.param == "gcs":
        return place(GCSCloud, request.getfixturevalue("gcs_server"))
    monkeypatch.setenv(ENGINE_VARIABLE, ENGINES[request.param])
    return place(S3Cloud, request.getfixturevalue("moto_server"))


@pytest.fixture
def s3(place, localstack_server) -> Cloud:
    return place(S3Cloud, localstack_server)


@pytest.fixture
def plain_s3(place, moto_server) -> Cloud:
    return place(S3Cloud, moto_server)


@pytest.fixture
def gcs(place, gcs_server) -> Cloud:
    return place(GCSCloud, gcs_server)
