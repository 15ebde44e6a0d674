"""Notes in buckets: the records are read past the code, and each operation costs what a folder's does."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow import MetaMLFlowClient, migrate

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


def records(server, bucket) -> dict[str, dict]:
    """The note records by the rest of their keys, past the code under test."""
    raw, prefix = server.raw(), "store/artifacts/!model/_notes/"
    if server.name == "gcs":
        found = {item["name"]: raw.get(bucket, item["name"]) for item in raw.list(bucket, prefix)}
    else:
        listed = raw.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        found = {item["Key"]: raw.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed}
    return {key.removeprefix(prefix): json.loads(data) for key, data in found.items()}


def test_notes_are_records_in_the_bucket_and_come_back(server, bucket, client):
    artifact = client.register_artifact("Model", b"1")
    client.annotate("Model", title="Größe")
    client.annotate("Model@1", description="a\nb", tags={"ü": "🜚"})
    client.annotate(artifact, tags={"ü": None, "b": ""})
    found = records(server, bucket)
    assert sorted(found) == ["9999999998.json", "v1/9999999997.json", "v1/9999999998.json"]
    assert (found["v1/9999999997.json"]["description"], found["v1/9999999997.json"]["tags"]) == ("a\nb", {"b": ""})
    assert artifact.notes.tags == {"b": ""}
    assert client.notes("Model").title == "Größe"
    assert [notes.tags for notes in client.notes_history(artifact)] == [{"ü": "🜚"}, {"b": ""}]


def test_several_clients_that_annotate_at_once_lose_no_change(server, bucket, client):
    client.register_artifact("Model", b"1")

    def annotate(number: int) -> int:
        other = MetaMLFlowClient(client.storage_uri, storage_options=server.storage_options)
        return other.annotate("Model@1", tags={str(number): ""}).number

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(annotate, range(12)))
    assert sorted(numbers) == list(range(1, 13))
    assert set(client.notes("Model@1").tags) == {str(number) for number in range(12)}
    assert len(records(server, bucket)) == 12


def test_reading_and_changing_notes_costs_a_few_requests(server, client, fault_proxy):
    client.register_artifact("Model", b"1")
    for number in range(30):
        client.annotate("Model@1", title=str(number))
    proxy = fault_proxy(server)
    options = server.through(proxy.url).storage_options
    asking = MetaMLFlowClient(client.storage_uri, storage_options=options)
    artifact = asking.get_artifact("Model")
    for work, most in (
        (lambda: artifact.notes, 2),
        (lambda: asking.notes("Model@1"), 3),
        (lambda: asking.annotate("Model@1", title="probed"), 7),  # a client's first write probes the storage
        (lambda: asking.annotate("Model@1", title="next"), 6),
    ):
        proxy.reset()
        work()
        seen = Counter(request.op for request in proxy.log)
        assert sum(seen.values()) <= most, seen


def test_notes_are_migrated_from_a_bucket_to_a_folder(client, tmp_path):
    client.register_artifact("Model", b"1")
    for target in ("Model", "Model@1"):
        client.annotate(target, title=target)
    assert migrate(client, tmp_path / "there")
    there = MetaMLFlowClient(tmp_path / "there")
    assert [there.notes(target) for target in ("Model", "Model@1")] == [
        client.notes(target) for target in ("Model", "Model@1")
    ]
