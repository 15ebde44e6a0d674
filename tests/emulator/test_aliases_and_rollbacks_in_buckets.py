"""Aliases and rollbacks in buckets: what they cost at the server, and that no byte of content moves."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow import AliasMovedError, MetaMLFlowClient, migrate

pytestmark = pytest.mark.emulator


@pytest.fixture(params=["moto", "gcs"])
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def bucket(server) -> str:
    return server.new_bucket()


@pytest.fixture
def client(server, bucket) -> MetaMLFlowClient:
    scheme = "gs" if server.name == "gcs" else "s3"
    return MetaMLFlowClient(f"{scheme}://{bucket}/store", storage_options=server.storage_options)


@pytest.fixture
def counted(server, client, fault_proxy):
    """A client whose requests a proxy counts, after its first operation; and the proxy."""
    proxy = fault_proxy(server)
    options = server.through(proxy.url).storage_options
    asking = MetaMLFlowClient(client.storage_uri, storage_options=options)

    def warmed() -> tuple[MetaMLFlowClient, object]:
        asking.create_store()
        proxy.reset()
        return asking, proxy

    return warmed


def objects(server, bucket, prefix: str) -> dict[str, bytes]:
    """What lies below a prefix of the store, past the code under test."""
    raw, prefix = server.raw(), f"store/{prefix}"
    if server.name == "gcs":
        found = {item["name"]: raw.get(bucket, item["name"]) for item in raw.list(bucket, prefix)}
    else:
        listed = raw.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        found = {item["Key"]: raw.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed}
    return {key.removeprefix(prefix): data for key, data in found.items()}


def test_the_history_of_an_alias_is_records_in_the_bucket_and_survives_a_migration(server, bucket, client, tmp_path):
    for number in range(3):
        client.register_artifact("Model", b"%d" % number)
    client.set_alias("Model", "Best", 1, note="first")
    client.set_alias("Model", "Best", 3, expected=1)
    client.remove_alias("Model", "Best", note="gone")
    found = objects(server, bucket, "artifacts/!model/_aliases/!best/")
    assert sorted(found) == ["9999999996.json", "9999999997.json", "9999999998.json"]
    assert [json.loads(found[key])["version"] for key in sorted(found, reverse=True)] == [1, 3, None]
    assert migrate(client, tmp_path / "there")
    there = MetaMLFlowClient(tmp_path / "there")
    assert there.alias_history("Model", "Best") == client.alias_history("Model", "Best")
    assert there.set_alias("Model", "Best", 2, expected=0).number == 4


def test_of_several_clients_that_compare_and_set_exactly_one_wins_each_number(server, bucket, client):
    for number in range(3):
        client.register_artifact("Model", b"%d" % number)

    def move(_: int) -> tuple[int, int] | None:
        other = MetaMLFlowClient(client.storage_uri, storage_options=server.storage_options)
        current = other.aliases("Model").get("Best", 0)
        try:
            return other.set_alias("Model", "Best", current % 3 + 1, expected=current).number, current
        except AliasMovedError:
            return None

    with ThreadPoolExecutor(6) as pool:
        won = sorted(pair for pair in pool.map(move, range(18)) if pair)
    found = objects(server, bucket, "artifacts/!model/_aliases/!best/")
    versions = [json.loads(found[key])["version"] for key in sorted(found, reverse=True)]
    assert [number for number, _ in won] == list(range(1, len(found) + 1))
    assert [before for _, before in won] == [0, *versions[:-1]]


@pytest.mark.parametrize("inline", [1, 1000])
def test_a_rollback_costs_eight_requests_for_any_size_and_sends_no_content(
    server, bucket, client, counted, inline, monkeypatch
):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    files = {f"{number:03}.csv": b"x\n%d\n" % number for number in range(60)}
    client.register_artifact("Model", dict(files), "dataset", {"good": True})
    client.register_artifact("Model", b"bad")
    before = objects(server, bucket, "blobs/")
    asking, proxy = counted()
    artifact = asking.rollback("Model", 1, note="2 is bad")
    seen = Counter(request.op for request in proxy.log)
    assert sum(seen.values()) <= 8, seen
    assert objects(server, bucket, "blobs/") == before
    assert (artifact.version, artifact.metadata, artifact.notes.description) == (3, {"good": True}, "2 is bad")
    assert artifact.digest == client.get_artifact("Model", 1).digest
    assert artifact.verify("full")
    assert {entry.path: artifact.read_bytes(entry.path) for entry in list(artifact.entries)[:3]} == dict(
        list(files.items())[:3]
    )
    assert asking.rollback("Model", 1, note="2 is bad").version == 3


@pytest.mark.parametrize("inline", [1, 1000])
def test_corrected_metadata_and_a_copy_cost_eight_requests_for_any_size_and_send_no_content(
    server, bucket, client, counted, inline, monkeypatch
):
    monkeypatch.setattr("metamlflow.store.publish.content.INLINE_ITEMS", inline)
    client.register_artifact("raw", b"raw")
    files = {f"{number:03}.csv": b"x\n%d\n" % number for number in range(60)}
    client.register_artifact("Model", files, "dataset", {"good": True, "yaer": 1}, inputs=["raw@1"])
    before = objects(server, bucket, "blobs/")
    asking, proxy = counted()
    corrected = asking.update_metadata("Model@1", {"year": 1}, remove=["yaer"])
    assert len(proxy.log) <= 7, Counter(request.op for request in proxy.log)
    proxy.reset()
    copied = asking.copy("Model@2", "Registry/Model", note="approved")
    assert len(proxy.log) <= 8, Counter(request.op for request in proxy.log)
    assert objects(server, bucket, "blobs/") == before
    assert corrected.metadata == copied.metadata == {"good": True, "year": 1}
    assert (corrected.digest, corrected.inputs) == (copied.digest, client.get_artifact("Model", 1).inputs)
    assert copied.verify("full")
    diff = client.diff("Model@1", "Registry/Model@1")
    assert (diff.metadata.added.names, diff.metadata.removed.names) == (("year",), ("yaer",))
    assert not diff.files


def test_a_dry_run_sends_nothing_that_writes(server, client, counted):
    for number in range(2):
        client.register_artifact("Model", b"%d" % number)
    client.set_alias("Model", "best", 1)
    asking, proxy = counted()
    assert asking.rollback("Model", 1, dry_run=True).version == 3
    assert asking.set_alias("Model", "best", 2, expected=1, dry_run=True).number == 2
    assert not [request.op for request in proxy.log if request.is_write]


def test_aliases_in_a_list_cost_one_listing_more_and_a_read_of_each(server, client, counted):
    for name in ("a", "b", "c"):
        for number in range(3):
            client.register_artifact(name, b"%d" % number)
    for number in range(10):
        client.set_alias("a", "best", number % 3 + 1)
    client.set_alias("b", "best", 3)
    asking, proxy = counted()
    for name, reads in ((None, 2), ("a", 1)):
        asking.list_artifacts(name)
        proxy.reset()
        asking.list_artifacts(name)
        plain = len(proxy.log)
        proxy.reset()
        found = asking.list_artifacts(name, include_aliases=True)
        assert len(proxy.log) <= plain + 1 + reads
        assert any(artifact.aliases == ("best",) for artifact in found)
