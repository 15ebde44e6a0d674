"""Places that are pointed to, on each server, in buckets that keep versions and in buckets that do not."""

from __future__ import annotations

import functools
import uuid

import botocore.session
import pytest

pytest.register_assert_rewrite("lakesides")

from lakesides import SERVERS, GCSPlace, Place, S3Place  # noqa: E402 (after what shows its assertions)


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once():
    """Hundreds of clients are made here, and each would parse the description of S3 anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture
def new_place(request):
    """Make a place on the server of this name, in a bucket of its own."""

    def make(name: str, *, versioned: bool = False) -> Place:
        server = request.getfixturevalue(f"{name}_server")
        kind = GCSPlace if name == "gcs" else S3Place
        return kind(server, server.new_bucket(versioned=versioned), f"lake/{uuid.uuid4().hex[:8]}/", versioned)

    return make


@pytest.fixture(params=SERVERS)
def plain_place(request, new_place) -> Place:
    """In a bucket that keeps no versions."""
    return new_place(request.param)


@pytest.fixture(params=SERVERS)
def versioned_place(request, new_place) -> Place:
    """In a bucket that keeps versions."""
    return new_place(request.param, versioned=True)


@pytest.fixture(params=["localstack-plain", "localstack-versioned", "moto-plain", "gcs-plain", "gcs-versioned"])
def place(request, new_place) -> Place:
    """In a bucket of either kind."""
    name, _, kind = request.param.partition("-")
    return new_place(name, versioned=kind == "versioned")


@pytest.fixture
def faithful(new_place) -> S3Place:
    """On LocalStack: moto marks no digest over parts, and forgets versions when versioning is suspended."""
    return new_place("localstack")


@pytest.fixture
def quick_pauses(quicken):
    """Attempts follow one another at once."""
    quicken("metamlflow_s3.connection", 0.001)
    quicken("metamlflow_gcs.connection", 0.001)
