"""On a real object store: conformance, races, lakes with odd names, the printed policies, versioning switched on.

One file, so that one gateway serves all of it (about half a minute to start).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, ArtifactNotFoundError, StoreNotFoundError, UnsupportedStoreError
from metamlflow.testing import BackendSuite
from metamlflow_s3 import open_backend
from metamlflow_s3.uploads import PART_BYTES

MIB = 1024 * 1024
LARGE = bytes(range(256)) * (17 * MIB // 256)


def manifest_key(name: str, version: int) -> str:
    return f"ml/artifacts/{name}/_versions/{9_999_999_999 - version:010d}_v{version}.json"


def read(gateway, bucket, key) -> bytes:
    return gateway.raw().get_object(Bucket=bucket, Key=key)["Body"].read()


def registered(gateway, bucket, name, version) -> tuple[str, bytes]:
    """Artifact id and content of a version of one file, past the code under test."""
    manifest = json.loads(read(gateway, bucket, manifest_key(name, version)))
    return manifest["artifact_id"], read(gateway, bucket, f"ml/{manifest['entries'][0]['key']}")


# --- conformance ------------------------------------------------------------------------------------------------------


class TestBackend(BackendSuite):
    racers = 4
    rounds = 2
    racing_processes = 2
    many = 1_010  # more than a page
    clock_tick_seconds = 1.1
    put_memory_bytes = 96 * MIB
    secrets = ("test-of-a-secret",)

    @pytest.fixture(autouse=True)
    def _place(self, gateway, engine, monkeypatch):
        self.gateway, self.bucket = gateway, gateway.new_bucket()
        monkeypatch.setattr(type(self), "storage_options", MappingProxyType(gateway.storage_options))

    @pytest.fixture
    def backend(self):
        return open_backend(f"s3://{self.bucket}/ml", self.storage_options)

    def raw_read(self, backend, key):
        return read(self.gateway, self.bucket, f"{backend.url}/{key}".removeprefix(f"s3://{self.bucket}/"))

    def raw_write(self, backend, key, data):
        name = f"{backend.url}/{key}".removeprefix(f"s3://{self.bucket}/")
        self.gateway.raw().put_object(Bucket=self.bucket, Key=name, Body=data)


# --- stores -----------------------------------------------------------------------------------------------------------


def _publish(url, options, racer, results):
    client = MetaMLFlowClient(url, storage_options=options)
    for number in range(3):
        content = f"racer {racer}, round {number}".encode()
        artifact = client.register_artifact("prize", content)
        results.put((artifact.version, artifact.artifact_id, content))


def test_processes_that_publish_at_once_get_each_version_once(gateway, engine):
    bucket = gateway.new_bucket()
    url, context = f"s3://{bucket}/ml", multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_publish, args=(url, gateway.storage_options, racer, results)) for racer in range(3)
    ]
    for process in processes:
        process.start()
    told = sorted(results.get(timeout=60) for _ in range(9))
    for process in processes:
        process.join()
    assert [version for version, _, _ in told] == list(range(1, 10))
    assert [registered(gateway, bucket, "prize", version) for version, _, _ in told] == [each[1:] for each in told]


def test_a_missing_bucket_is_one_error_for_every_call(gateway, engine):
    client = MetaMLFlowClient("s3://there-is-none/ml", storage_options=gateway.storage_options)
    for call in (lambda: client.get_artifact("a"), client.list_artifacts, lambda: client.register_artifact("a", b"1")):
        with pytest.raises(StoreNotFoundError) as caught:
            call()
        assert "None" not in str(caught.value)


# --- lakes ------------------------------------------------------------------------------------------------------------

FOLDER = "la+ke %3A/"
NAMES = [f"{FOLDER}{name}{number:03}" for name in ("a%3A", "b+", "c d", "e:", "ü", "%2B+ ") for number in range(220)]


def body(name: str) -> bytes:
    return f"content of {name}".encode()


def fill(gateway, bucket, names) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: gateway.raw().put_object(Bucket=bucket, Key=name, Body=body(name)), names))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "versioned"])
def lake(request, gateway, tmp_path_factory):
    """1,320 objects with names that are encoded in listings, and a pointer from when there were 900."""
    bucket = gateway.new_bucket(versioned=request.param)
    fill(gateway, bucket, NAMES[:900])
    client = MetaMLFlowClient(tmp_path_factory.mktemp("store"), source_options={"s3": gateway.storage_options})
    first = client.register_pointer("grown", f"s3://{bucket}/{FOLDER}")
    fill(gateway, bucket, NAMES[900:])
    return bucket, client, first


def test_a_lake_beyond_a_page_is_registered_and_verified_whole(lake):
    bucket, client, _ = lake
    artifact = client.register_pointer("lake", f"s3://{bucket}/{FOLDER}")
    told = {file.path: file.size for file in artifact.entries}
    assert told == {name.removeprefix(FOLDER): len(body(name)) for name in NAMES}
    assert artifact.verify().ok
    for path in ("a%3A007", "b+219", "c d001", "%2B+ 100", "ü000"):
        assert artifact.read_bytes(path) == body(FOLDER + path)


def test_a_lake_that_grew_past_a_page_is_refreshed_whole(lake):
    _, _, first = lake
    again = first.refresh().artifact
    assert (again.version, {file.path for file in again.entries}) == (2, {n.removeprefix(FOLDER) for n in NAMES})
    assert again.verify("stat").ok


# --- policies ---------------------------------------------------------------------------------------------------------


def policy(url: str, role: str) -> str:
    command = [sys.executable, "-m", "metamlflow", "policy", "--store", url, "--role", role]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def doctor(url: str, options, environment) -> int:
    command = [sys.executable, "-m", "metamlflow", "doctor", "--store", url]
    told = {**environment, "METAMLFLOW_STORAGE_OPTIONS": json.dumps(options)}
    return subprocess.run(command, check=False, capture_output=True, env=told).returncode


@pytest.fixture
def users(gateway):
    """A store that somebody made, and a user for each role with the policy that is printed for it."""
    bucket = gateway.new_bucket()
    url = f"s3://{bucket}/ml"
    MetaMLFlowClient(url, storage_options=gateway.storage_options).register_artifact("a", b"1")
    options = {}
    for role in ("reader", "writer", "collector"):
        name = f"{role}-{bucket}"
        options[role] = gateway.add_user(name)
        gateway.attach(name, policy(url, role))
    return bucket, url, options


def test_each_printed_policy_lets_its_role_do_its_work_and_no_more(gateway, users, engine):
    bucket, url, options = users
    clients = {role: MetaMLFlowClient(url, storage_options=given) for role, given in options.items()}
    for role, client in clients.items():
        assert client.get_artifact("a").read_bytes() == b"1", role
        assert len(client.list_artifacts()) == 1, role
        assert client.get_artifact("a").verify().ok, role
        # Asked for by its number, a missing version is looked at without a listing, and that look is answered with 403.
        with pytest.raises(ArtifactNotFoundError, match="has no version 7"):
            client.get_artifact("a", 7)
    for role in ("reader", "collector"):
        with pytest.raises(AccessDeniedError):
            clients[role].register_artifact("b", b"2")
    assert clients["writer"].register_artifact("b", b"2").version == 1
    large = clients["writer"].register_artifact("b", LARGE)
    assert registered(gateway, bucket, "b", 2) == (large.artifact_id, LARGE)
    assert clients["writer"].register_artifact("c", LARGE).version == 1, "it is there already"
    blob = f"blobs/{next(iter(open_backend(url, options['reader']).list_objects('blobs/'))).key.partition('/')[2]}"
    denied = {role: open_backend(url, given).delete([blob]) for role, given in options.items() if role != "collector"}
    assert {role: type(failed[0].error) for role, failed in denied.items()} == dict.fromkeys(denied, AccessDeniedError)
    assert read(gateway, bucket, f"ml/{blob}")
    record = "names/a.json"
    assert [failure.key for failure in open_backend(url, options["collector"]).delete([record])] == [record]
    assert open_backend(url, options["collector"]).delete([blob]) == []
    if engine == "auto":  # it asks through both engines
        assert {role: doctor(url, given, os.environ) for role, given in options.items()} == dict.fromkeys(options, 0)


def test_a_writer_begins_a_store_with_the_policy_for_it(gateway, engine):
    """The marker is missing, and a look at it is answered with 403: not known is not denied."""
    bucket = gateway.new_bucket()
    url, name = f"s3://{bucket}/ml", f"first-{bucket}"
    options = gateway.add_user(name)
    gateway.attach(name, policy(url, "writer"))
    assert MetaMLFlowClient(url, storage_options=options).register_artifact("a", LARGE[: PART_BYTES + 1]).version == 1
    assert registered(gateway, bucket, "a", 1)[1] == LARGE[: PART_BYTES + 1]


# --- versioning that is switched on -----------------------------------------------------------------------------------


def keep_versions(gateway, bucket) -> None:
    gateway.raw().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def test_versioning_under_live_writers_loses_no_version_that_was_acknowledged(gateway, engine):
    bucket = gateway.new_bucket()
    url = f"s3://{bucket}/ml"
    acknowledged, refused, switched = [], [], threading.Event()

    def write(writer: int) -> None:
        client = MetaMLFlowClient(url, storage_options=gateway.storage_options)
        for number in range(300):
            if number == 4 and writer == 0:
                keep_versions(gateway, bucket)
                switched.set()
            content = f"{writer} {number}".encode()
            try:
                made = client.register_artifact("prize", content)
            except UnsupportedStoreError as error:
                refused.append(error)
                return
            acknowledged.append((made.version, made.artifact_id, content))

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(write, range(5)))
    assert switched.is_set()
    assert len(refused) == 5, "each writer was told"
    assert all("keeps versions" in error.message for error in refused)
    assert len(acknowledged) >= 4
    assert [version for version, _, _ in sorted(acknowledged)] == list(range(1, len(acknowledged) + 1))
    for version, artifact_id, content in acknowledged:
        assert registered(gateway, bucket, "prize", version) == (artifact_id, content)


def test_a_writer_that_would_replace_a_version_unseen_brings_it_back(gateway, engine):
    """Its look at the versions is from before another's registration, and the bucket keeps versions since."""
    bucket = gateway.new_bucket()
    backend = open_backend(f"s3://{bucket}/ml", gateway.storage_options)
    backend.create("artifacts/prize", b"theirs")
    keep_versions(gateway, bucket)
    with pytest.raises(UnsupportedStoreError, match="keeps versions"):
        backend.create("artifacts/prize", b"ours")
    assert read(gateway, bucket, "ml/artifacts/prize") == b"theirs"


def test_a_new_client_of_a_bucket_that_keeps_versions_is_refused(gateway, engine):
    bucket = gateway.new_bucket()
    url = f"s3://{bucket}/ml"
    MetaMLFlowClient(url, storage_options=gateway.storage_options).register_artifact("a", b"1")
    keep_versions(gateway, bucket)
    client = MetaMLFlowClient(url, storage_options=gateway.storage_options)
    with pytest.raises(UnsupportedStoreError):
        client.register_artifact("a", b"2")
    assert client.get_artifact("a").read_bytes() == b"1"
    assert registered(gateway, bucket, "a", 1)[1] == b"1"
    if engine == "auto":  # it asks through both engines
        assert doctor(url, gateway.storage_options, {"PATH": "/usr/bin:/bin"}) == 1
