"""Copies that the provider makes by itself, and what is proven of content at the destination."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from servers import GCSServer

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import InvalidInputError
from metamlflow.store.ingest.hashing import stage_bytes
from metamlflow_s3 import server_copy

MIB = 1024 * 1024


@pytest.fixture(params=["moto", "localstack", "gcs"])
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


def store_at(server, bucket) -> MetaMLFlowClient:
    scheme = "gs" if isinstance(server, GCSServer) else "s3"
    return MetaMLFlowClient(f"{scheme}://{bucket}/p", storage_options=server.storage_options)


def fill(client) -> None:
    large = os.urandom(3 * MIB)
    client.register_artifact("data", {"small": b"1", "empty": b"", "large.bin": large, "ü.bin": large[::-1]})
    client.register_artifact("data", {"small": b"2", "large.bin": large})


def place(client, key, data) -> None:
    """Put something else under the key of a blob."""
    client._store.backend.delete([key])
    assert client._store.backend.put(key, stage_bytes(data))


def bytes_through(proxy, method) -> int:
    return sum(int(request.headers.get("content-length", 0)) for request in proxy.log if request.method == method)


def test_large_content_is_copied_by_the_server_and_is_the_same(server, fault_proxy):
    here, there = server.new_bucket(), server.new_bucket()
    fill(store_at(server, here))
    proxy = fault_proxy(server)
    ends = [store_at(server.through(proxy.url), bucket) for bucket in (here, there)]
    report = migrate(*ends, server_side=True)
    assert report, report.to_json()
    assert (report.totals["objects"], report.counts) == (5, {"migrated": 2})
    assert bytes_through(proxy, "PUT") + bytes_through(proxy, "POST") < MIB
    assert compare(*ends, full=True) == []
    assert ends[1].verify_all(level="full")
    if server.name != "moto":  # it computes no checksum of a copy: then every byte is read once more
        assert ends[1].verify_all(level="checksum")
    assert migrate(*ends, server_side=True).counts == {"present": 2}


def test_very_large_content_is_copied_in_parts(s3_server, monkeypatch):
    monkeypatch.setattr(server_copy, "WHOLE_BYTES", 8 * MIB)
    monkeypatch.setattr(server_copy, "COPY_PART_BYTES", 5 * MIB)
    ends = [store_at(s3_server, s3_server.new_bucket()) for _ in range(2)]
    content = os.urandom(23 * MIB)
    ends[0].register_artifact("data", {"large.bin": content})
    assert migrate(*ends, server_side=True)
    assert ends[1].get_artifact("data").read_bytes() == content
    assert compare(*ends, full=True) == []


def test_what_is_damaged_at_the_source_does_not_arrive_by_a_copy(server):
    buckets = [server.new_bucket() for _ in range(2)]
    ends = [store_at(server, bucket) for bucket in buckets]
    ends[0].register_artifact("data", {"large.bin": b"a" * 2 * MIB})
    (entry,) = ends[0].get_artifact("data").entries
    place(ends[0], entry.key, b"a" * (2 * MIB - 1) + b"b")
    report = migrate(*ends, server_side=True)
    assert report.counts == {"failed": 1}, report.to_json()
    assert "damaged" in report.versions[0].reason
    assert ends[1].list_artifacts() == []


def test_no_server_copies_between_providers(moto_server, gcs_server, tmp_path):
    s3, gcs = store_at(moto_server, moto_server.new_bucket()), store_at(gcs_server, gcs_server.new_bucket())
    s3.register_artifact("data", b"1")
    with pytest.raises(InvalidInputError, match="no GCS bucket"):
        migrate(s3, gcs, server_side=True)
    with pytest.raises(InvalidInputError, match="offers no such copies"):
        migrate(s3, tmp_path / "there", server_side=True)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("proof", ["sent", "checksum", "full"])
def test_what_is_proven_costs_what_it_says(localstack_server, fault_proxy, proof):
    here, there = localstack_server.new_bucket(), localstack_server.new_bucket()
    source = store_at(localstack_server, here)
    source.register_artifact("data", {str(number): b"%d" % number for number in range(30)})
    proxy = fault_proxy(localstack_server)
    destination = store_at(localstack_server.through(proxy.url), there)
    assert migrate(source, destination, verify=proof)
    asked = Counter(request.method for request in proxy.log if request.target.startswith(f"/{there}/p/blobs/"))
    more = {"sent": {}, "checksum": {"HEAD": 30}, "full": {"HEAD": 30, "GET": 30}}[proof]
    assert asked == {"PUT": 30, **more}


@pytest.mark.parametrize("proof", ["checksum", "full"])
def test_a_wrong_object_at_the_destination_is_found_and_not_relied_on(server, proof):
    if server.name == "moto" and proof == "checksum":
        pytest.skip("moto keeps no checksum of what is put in one request")
    ends = [store_at(server, server.new_bucket()) for _ in range(2)]
    ends[0].register_artifact("data", {"large.bin": b"a" * 2 * MIB, "small": b"1"})
    ends[0].register_artifact("other", b"2")
    ends[1].register_artifact("first", b"3")
    key = ends[0].get_artifact("data").entries["large.bin"].key
    place(ends[1], key, b"a" * (2 * MIB - 1) + b"b")
    report = migrate(*ends, verify=proof)
    assert report.counts == {"failed": 1, "migrated": 1}, report.to_json()
    assert key in report.versions[0].reason
    assert [artifact.name for artifact in ends[1].list_artifacts()] == ["first", "other"]
