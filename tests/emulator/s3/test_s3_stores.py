"""The façade on a bucket: what is written, with how many requests, and that everybody's tools read it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import pytest
from tutorial_run import run_tutorial

from metamlflow.errors import IntegrityError, StoreNotFoundError
from metamlflow.testing.blobs import MIB, PatternReader, pattern
from metamlflow_s3.uploads import PART_BYTES


def manifest_key(name: str, version: int) -> str:
    return f"artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"


CSV = b"x,y\n1,2\n3,4\n"


def test_what_is_registered_is_in_the_bucket_and_comes_back(root, tmp_path):
    source = tmp_path / "train.csv"
    source.write_bytes(CSV)
    client = root.client()
    registered = client.register_artifact("fraud/train", source, metadata={"rows": 2})

    manifest = root.read_json(manifest_key("fraud/train", 1))
    [entry] = manifest["entries"]
    digest = hashlib.sha256(CSV).hexdigest()
    assert entry["key"] == f"blobs/sha256/{digest[:2]}/{digest}.csv"
    assert root.read(entry["key"]) == CSV
    assert (entry["sha256"], entry["crc32c"]) == (digest, f"{google_crc32c.value(CSV):08x}")
    assert manifest["artifact_id"] == registered.artifact_id
    stored = root.keys()
    etag = root.head(entry["key"])["ETag"].strip('"')
    assert etag not in str([root.read(key) for key in stored]), "an ETag is no digest, and nothing relies on it"

    found = root.client().get_artifact("fraud/train")
    assert (found.version, found.metadata, found.read_bytes()) == (1, {"rows": 2}, CSV)
    assert Path(found.download(tmp_path / "out")).read_bytes() == CSV
    assert [artifact.version for artifact in client.list_artifacts("fraud/train")] == [1]


def test_a_read_creates_nothing(moto_root):
    with pytest.raises(StoreNotFoundError):
        moto_root.client().list_artifacts()
    assert moto_root.keys() == []


def test_the_tutorial_runs_with_nothing_changed_but_the_place(root, tmp_path):
    run_tutorial(root.url, root.options, tmp_path)


def test_a_checksum_verification_reads_nothing_and_finds_damage(faithful_root, fault_proxy, tmp_path):
    proxy = fault_proxy(faithful_root.server)
    root = faithful_root.through(proxy)
    large = tmp_path / "large.bin"
    large.write_bytes(pattern(0, 9 * MIB))
    artifact = root.client().register_artifact("model", {"weights": b"weights" * 1000, "large": large})
    proxy.reset()
    report = artifact.verify(level="checksum")
    assert (report.ok, report.bytes, report.findings) == (True, 0, ())
    assert [request.key for request in proxy.log if request.op == "GetObject" and "blobs/" in request.key] == []

    [key] = [
        entry["key"] for entry in faithful_root.read_json(manifest_key("model", 1))["entries"] if entry["size"] < MIB
    ]
    spoiled = b"WEIGHTS" * 1000
    faithful_root.server.raw().put_object(**faithful_root.name(key), Body=spoiled, ChecksumAlgorithm="SHA256")
    [finding] = root.client().get_artifact("model").verify(level="checksum").findings
    assert (finding.path, finding.actual) == ("weights", f"sha256:{hashlib.sha256(spoiled).hexdigest()}")
    with pytest.raises(IntegrityError):
        root.client().get_artifact("model").read_bytes("weights")


class _Local:
    """A file that is 40 MiB long and takes no memory, but for its path."""

    SIZE = 128 * MIB + 1

    def __init__(self, path: Path) -> None:
        reader, digest = PatternReader(self.SIZE), hashlib.sha256()
        with path.open("wb") as file:
            while chunk := reader.read(MIB):
                digest.update(chunk)
                file.write(chunk)
        self.path, self.sha256 = path, digest.hexdigest()


def test_a_large_file_goes_up_in_parts_and_comes_back_in_bounded_memory(faithful_root, tmp_path):
    large = _Local(tmp_path / "large.bin")
    client = faithful_root.client()
    artifact = client.register_artifact("large", large.path)
    [key] = faithful_root.keys("blobs/")
    assert faithful_root.head(key)["ETag"].strip('"').endswith(f"-{-(-large.SIZE // PART_BYTES)}"), "in parts"
    assert artifact.verify().ok
    grown = subprocess.run(
        [sys.executable, "-c", DOWNLOADED, tmp_path / "warm", tmp_path / "out"],
        input=pickle.dumps((client.register_artifact("small", b"1"), artifact)),
        stdout=subprocess.PIPE,
        env={**os.environ, "METAMLFLOW_TRANSFER_MEMORY": "32"},
        check=True,
    ).stdout
    with (tmp_path / "out" / "large.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == large.sha256
    # All memory of the process counts, that of the client outside of Python too: as many ranges of 8 MiB are under way
    # as the budget has room for.
    assert int(grown) < 80 * MIB


DOWNLOADED = """
import pickle, sys
from pathlib import Path

def memory(name):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

small, large = pickle.load(sys.stdin.buffer)
small.download(sys.argv[1])  # what is loaded and connected when it is first used does not count
large.verify("checksum")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = memory("VmRSS:")
large.download(sys.argv[2])
print(memory("VmHWM:") - before)
"""


def test_a_folder_of_many_small_files_goes_up_and_comes_back(root, folder, tmp_path):
    contents = {f"{number % 7}/part-{number:03d}.bin": b"file %d\n" % number * 50 for number in range(300)}
    for name, data in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    root.client().register_artifact("many", folder, "dataset")
    out = Path(root.client().get_artifact("many").download(tmp_path / "out"))
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == contents


# --- budgets ----------------------------------------------------------------------------------------------------------

FILES = 20
BUDGETS = {
    "first write, which creates the store": 4 + 2 + 8,
    "register a new name": 4,
    "register the next version": 4,
    "register N new small files": FILES + 4,
    "register the same folder again": 4,
    "get by number": 2,
    "get the latest": 2,
    "download one file": 1,
    "download N small files": FILES,
    "first operation, a read": 2 + 2,
    "first operation, a write": 4 + 3,
}


def test_requests_stay_within_the_budgets(proxied, tmp_path):
    root, proxy = proxied
    counts: dict[str, int] = {}

    def count(what, call):
        proxy.reset()
        result = call()
        counts[what] = proxy.counts.total()
        return result

    client = root.client()
    folder = {f"{number}.txt": b"file %d" % number for number in range(FILES)}
    count("first write, which creates the store", lambda: client.register_artifact("warm", b"up"))
    count("register a new name", lambda: client.register_artifact("a", b"first"))
    count("register the next version", lambda: client.register_artifact("a", b"second"))
    many = count("register N new small files", lambda: client.register_artifact("b", folder))
    count("register the same folder again", lambda: client.register_artifact("b", folder))
    count("get by number", lambda: client.get_artifact("a", 1))
    one = count("get the latest", lambda: client.get_artifact("a"))
    count("download one file", lambda: one.download(tmp_path / "one"))
    count("download N small files", lambda: many.download(tmp_path / "many"))
    count("first operation, a read", lambda: root.client().get_artifact("a"))
    count("first operation, a write", lambda: root.client().register_artifact("a", b"third"))
    assert set(counts) == set(BUDGETS)
    assert {what: number for what, number in counts.items() if number > BUDGETS[what]} == {}, counts
    print(json.dumps(counts))


# --- many at once -----------------------------------------------------------------------------------------------------


def test_a_client_works_in_a_running_event_loop_and_in_threads(root):
    client = root.client()

    async def use():
        client.register_artifact("async", b"1")
        return client.get_artifact("async").read_bytes()

    assert asyncio.run(use()) == b"1"
    names = [f"t{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: client.register_artifact(name, name.encode()).version, names)) == [1] * 8


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


def test_twenty_processes_publishing_ten_times_each_get_versions_1_to_200(faithful_root):
    """Forked after the client was used: each child opens connections of its own."""
    client = faithful_root.client()
    client.create_store()
    told = _race(multiprocessing.get_context("fork"), client, racers=20, times=10)
    assert sorted(version for version, _, _ in told) == list(range(1, 201))
    previous = None
    for version, artifact_id, content in sorted(told):
        data = faithful_root.read(manifest_key("prize", version))
        manifest = json.loads(data)
        assert (manifest["artifact_id"], faithful_root.read(manifest["entries"][0]["key"])) == (artifact_id, content)
        assert manifest["previous"] == previous, f"the chain is broken at version {version}"
        previous = f"sha256:{hashlib.sha256(data).hexdigest()}"
    last = faithful_root.client().get_artifact("prize")
    assert (last.version, last.verify().ok) == (200, True)


def test_a_client_is_sent_to_a_spawned_process(moto_root):
    client = moto_root.client()
    client.create_store()
    [(version, _, content)] = _race(multiprocessing.get_context("spawn"), client, racers=1, times=1)
    assert (version, content) == (1, b"racer 0, round 0")


def test_a_pickled_client_reads_the_same_store(moto_root):
    client = moto_root.client()
    client.register_artifact("a", b"1")
    assert pickle.loads(pickle.dumps(client)).get_artifact("a").read_bytes() == b"1"


def test_a_forked_child_uses_an_artifact_and_its_backend(moto_root):
    artifact = moto_root.client().register_artifact("a", b"1")
    child = os.fork()
    if child == 0:
        os._exit(0 if artifact.read_bytes() == b"1" and artifact.verify(level="stat").ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert artifact.read_bytes() == b"1"
