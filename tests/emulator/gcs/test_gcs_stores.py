"""The façade on a bucket: what is written, with how many requests, and that everybody's tools read it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import pytest
from tutorial_run import run_tutorial

from metamlflow import MetaMLFlowClient
from metamlflow.errors import IntegrityError, StoreNotFoundError

pytestmark = pytest.mark.emulator

CSV = b"x,y\n1,2\n3,4\n"


@pytest.fixture
def client(root) -> MetaMLFlowClient:
    return root.client()


def manifest_key(name, version):
    return f"artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"


def test_what_is_registered_is_in_the_bucket_and_comes_back(client, root, tmp_path):
    source = tmp_path / "train.csv"
    source.write_bytes(CSV)
    registered = client.register_artifact("fraud/train", source, metadata={"rows": 2})

    manifest = root.read_json(manifest_key("fraud/train", 1))
    [entry] = manifest["entries"]
    assert root.read(entry["key"]) == CSV
    assert entry["crc32c"] == f"{google_crc32c.value(CSV):08x}"
    assert manifest["artifact_id"] == registered.artifact_id

    found = root.client().get_artifact("fraud/train")
    assert (found.version, found.metadata, found.read_bytes()) == (1, {"rows": 2}, CSV)
    assert Path(found.download(tmp_path / "out")).read_bytes() == CSV
    assert [artifact.version for artifact in client.list_artifacts("fraud/train")] == [1]


@pytest.mark.full
def test_the_tutorial_runs_with_nothing_changed_but_the_place(root, tmp_path):
    run_tutorial(root.url, root.options, tmp_path)


def test_a_checksum_verification_reads_nothing_and_finds_damage(client, root, sent):
    artifact = client.register_artifact("model", b"weights" * 1000)
    sent.clear()
    report = artifact.verify(level="checksum")
    assert (report.ok, report.bytes) == (True, 0)
    assert [request for request in sent if "/download/" in request and "blobs" in request] == []

    [blob] = root.keys("blobs/")
    root.write(blob, b"WEIGHTS" * 1000)
    [finding] = root.client().get_artifact("model").verify(level="checksum").findings
    assert finding.actual == f"crc32c:{google_crc32c.value(b'WEIGHTS' * 1000):08x}"
    with pytest.raises(IntegrityError):
        root.client().get_artifact("model").read_bytes()


def test_pandas_reads_an_artifact_where_it_lies(client, root, tmp_path):
    pandas = pytest.importorskip("pandas")
    source = tmp_path / "table.csv"
    source.write_bytes(CSV)
    artifact = client.register_artifact("table", source)
    assert artifact.storage_path.startswith(f"gs://{root.bucket}/")
    frame = pandas.read_csv(artifact.storage_path, storage_options=root.options)
    assert frame.to_dict("list") == {"x": [1, 3], "y": [2, 4]}


def test_a_folder_and_a_large_file_come_back_as_they_were(client, root, folder, tmp_path):
    contents = {f"part-{number:02d}.bin": bytes([number]) * 1000 for number in range(30)}
    contents["deep/large.bin"] = bytes(range(256)) * (20 * 4096)  # 20 MiB: in chunks
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    client.register_artifact("many", folder, "dataset")
    out = Path(root.client().get_artifact("many").download(tmp_path / "out"))
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == contents


def test_requests_stay_within_the_budgets(client, root, sent, tmp_path):
    client.register_artifact("warm", b"up")
    counts = {}

    def count(what, call):
        sent.clear()
        result = call()
        counts[what] = len(sent)
        return result

    count("new name", lambda: client.register_artifact("a", b"first"))
    count("next version", lambda: client.register_artifact("a", b"second"))
    count("get by number", lambda: client.get_artifact("a", 1))
    artifact = count("get latest", lambda: client.get_artifact("a"))
    count("download one", lambda: artifact.download(tmp_path / "one"))
    folder = {f"{number}.txt": b"file %d" % number for number in range(20)}
    many = count("folder of 20", lambda: client.register_artifact("b", folder))
    count("download 20", lambda: many.download(tmp_path / "twenty"))
    budgets = {
        "new name": 4,
        "next version": 4,
        "get by number": 2,
        "get latest": 2,
        "download one": 1,
        "folder of 20": 24,
        "download 20": 20,
    }
    assert {what: number for what, number in counts.items() if number > budgets[what]} == {}, counts


def test_a_missing_bucket_is_told_as_one(root):
    client = type(root)(root.server, "no-such-bucket", "store").client()
    with pytest.raises(StoreNotFoundError):
        client.list_artifacts()


def test_a_client_works_in_a_running_event_loop_and_in_threads(client):
    async def use():
        client.register_artifact("async", b"1")
        return client.get_artifact("async").read_bytes()

    assert asyncio.run(use()) == b"1"
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda number: client.register_artifact("t", b"%d" % number).version, range(24)))
    assert sorted(versions) == list(range(1, 25))


def _publish(client, racer, times, results):
    told = []
    for number in range(times):
        content = b"racer %d, round %d" % (racer, number)
        artifact = client.register_artifact("prize", content)
        told.append((artifact.version, artifact.artifact_id, content))
    results.put(told)


def _race(context, client, *, racers, times):
    """Publish from many processes; return what each call was told."""
    results = context.Queue()
    processes = [context.Process(target=_publish, args=(client, racer, times, results)) for racer in range(racers)]
    for process in processes:
        process.start()
    told = [one for _ in processes for one in results.get(timeout=100)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * racers
    return told


@pytest.mark.full
def test_twenty_processes_publishing_ten_times_each_get_versions_1_to_200(client, root):
    """Forked after the client was used: each child opens connections of its own."""
    client.create_store()
    told = _race(multiprocessing.get_context("fork"), client, racers=20, times=10)
    assert sorted(version for version, _, _ in told) == list(range(1, 201))
    for version, artifact_id, content in told:
        manifest = root.read_json(manifest_key("prize", version))
        assert (manifest["artifact_id"], root.read(manifest["entries"][0]["key"])) == (artifact_id, content)
    assert root.client().get_artifact("prize").version == 200


@pytest.mark.full
def test_a_client_is_sent_to_a_spawned_process(client):
    client.create_store()
    [(version, _, content)] = _race(multiprocessing.get_context("spawn"), client, racers=1, times=1)
    assert (version, content) == (1, b"racer 0, round 0")


def test_a_pickled_client_reads_the_same_store(client):
    client.register_artifact("a", json.dumps({"x": 1}).encode())
    assert pickle.loads(pickle.dumps(client)).get_artifact("a").read_bytes() == b'{"x": 1}'
