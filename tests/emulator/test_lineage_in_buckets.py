"""Runs, edges and signatures in buckets: the same records as in a folder, found by a listing, read past the code."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metamlflow import MetaMLFlowClient

CONSUMERS = 40


@pytest.fixture(params=["localstack", "gcs"])
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def bucket(server) -> str:
    return server.new_bucket()


def url_of(server, bucket) -> str:
    return f"{'gs' if server.name == 'gcs' else 's3'}://{bucket}/store"


def objects(server, bucket, prefix) -> dict[str, bytes]:
    """Everything below a prefix of the store, by key."""
    raw, prefix = server.raw(), f"store/{prefix}"
    if server.name == "gcs":
        return {item["name"]: raw.get(bucket, item["name"]) for item in raw.list(bucket, prefix)}
    found = raw.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {item["Key"]: raw.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}


def test_a_run_in_a_bucket_leaves_its_records_and_edges(server, bucket):
    client = MetaMLFlowClient(url_of(server, bucket), storage_options=server.storage_options)
    client.register_artifact("Raw", b"1")
    with client.run("train", params={"rate": 0.1}) as run:
        client.get_artifact("Raw").read_bytes()
        model = client.register_artifact("model", b"2")
        run.log_metrics(accuracy=0.9)
    assert list(objects(server, bucket, "edges/")) == ["store/edges/!raw/_v1/model@1"]
    end = json.loads(objects(server, bucket, f"runs/{run.id}/end.json").popitem()[1])
    assert (end["outcome"], end["metrics"]) == ("finished", {"accuracy": 0.9})
    assert [(used.name, used.version) for used in model.inputs] == [("Raw", 1)]
    assert client.lineage("Raw", "downstream").artifacts == ("Raw@1", "model@1")
    assert model.verify(lineage=True)


def test_who_consumed_it_costs_a_listing_and_a_read_each(server, bucket, fault_proxy):
    options = server.storage_options
    client = MetaMLFlowClient(url_of(server, bucket), storage_options=options)
    source = client.register_artifact("source", b"1")
    for number in range(CONSUMERS):
        client.register_artifact(f"consumer/{number}", b"1", inputs=[source])
    proxy = fault_proxy(server)
    asking = MetaMLFlowClient(url_of(server, bucket), storage_options=server.through(proxy.url).storage_options)
    held = asking.get_artifact("source")
    proxy.reset()
    assert len(held.downstream(depth=1).artifacts) == CONSUMERS + 1
    seen = Counter(request.op for request in proxy.log)
    assert sum(seen.values()) <= CONSUMERS + 2, seen


def test_a_signature_in_a_bucket_is_required_and_found(server, bucket):
    key = Ed25519PrivateKey.generate()
    client = MetaMLFlowClient(url_of(server, bucket), storage_options=server.storage_options)
    client.register_artifact("model", b"1").sign(key)
    assert len(objects(server, bucket, "signatures/model/_v1/")) == 1
    assert client.get_artifact("model", require_signature=key.public_key()).version == 1
