"""GCS lets one write a second of one object name through; who has to wait waits, and nobody fails for it."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from proxy_faults import LimitWrites, Refuse, Rule, StripConditions

from metamlflow import MetaMLFlowClient
from metamlflow.errors import StorageUnavailableError, UnsupportedStoreError
from metamlflow.store.catalog import records as claiming

pytestmark = pytest.mark.emulator

JOBS = 20
_JOB = """
import sys
from metamlflow import MetaMLFlowClient
url, endpoint, name, content = sys.argv[1:]
client = MetaMLFlowClient(url, storage_options={"endpoint_url": endpoint, "token": "anon"})
print(client.register_artifact(name, content.encode()).version)
"""


@pytest.fixture
def limited(root, fault_proxy):
    """The server behind a proxy with the limit of GCS."""
    proxy = fault_proxy(root.server)
    proxy.add(Rule(LimitWrites(), times=None))
    return root.server.through(proxy.url), proxy


def refusals(proxy, key: str) -> int:
    return len([request for request in proxy.log if request.status == 429 and request.key.endswith(key)])


@pytest.mark.full
@pytest.mark.parametrize("exists", [False, True], ids=["new-store", "store"])
def test_twenty_jobs_that_start_at_once_all_register(root, limited, exists, monkeypatch, tmp_path):
    server, proxy = limited
    if exists:
        root.client().create_store()

    def job(number: int) -> int:
        # Each as on a machine of its own: a client of its own, which has seen nothing yet.
        return root.client(server).register_artifact(f"job-{number}", b"%d" % number).version

    monkeypatch.setattr("metamlflow.store.catalog.probe._Answer.is_recent", lambda _: False)
    with ThreadPoolExecutor(JOBS) as pool:
        assert list(pool.map(job, range(JOBS))) == [1] * JOBS
    assert refusals(proxy, "metamlflow.json") >= JOBS / 2, "the limit was met"
    assert len(root.keys("artifacts/")) == JOBS


def test_twenty_jobs_that_register_the_same_content_under_one_name_all_get_a_version(root, limited):
    server, _ = limited
    root.client().create_store()

    def job(_: int) -> int:
        return root.client(server).register_artifact("shared", {"weights": b"the same"}).version

    with ThreadPoolExecutor(JOBS) as pool:
        versions = list(pool.map(job, range(JOBS)))
    assert sorted(versions) == list(range(1, JOBS + 1))
    assert len(root.keys("blobs/")) == 1


@pytest.mark.full
def test_one_command_after_the_other_waits_once_at_most(root, limited, monkeypatch, tmp_path):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    server, proxy = limited
    root.client().create_store()
    endpoint = server.storage_options["endpoint_url"]
    for number in range(4):
        command = [sys.executable, "-c", _JOB, root.url, endpoint, f"name-{number}", "content"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert refusals(proxy, "metamlflow.json") <= 4


def test_an_answer_of_today_will_do_where_the_limit_is_met(root, limited, monkeypatch, tmp_path):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    server, _proxy = limited
    root.client().create_store()
    options = {"storage_options": server.storage_options}
    for number in range(2):  # the second meets the limit, waits, and keeps its answer
        MetaMLFlowClient(root.url, **options).register_artifact("a", b"%d" % number)
    assert len(list((tmp_path / "cache" / "probes").iterdir())) == 1
    begun = time.monotonic()
    for number in range(5):
        MetaMLFlowClient(root.url, **options).register_artifact(f"b{number}", b"%d" % number)
    assert time.monotonic() - begun < 5


def test_no_answer_of_today_hides_that_the_conditions_are_not_honoured_any_more(root, limited, monkeypatch, tmp_path):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    server, proxy = limited
    root.client().create_store()
    options = {"storage_options": server.storage_options}
    for number in range(2):
        MetaMLFlowClient(root.url, **options).register_artifact("a", b"%d" % number)
    proxy.clear()
    proxy.add(Rule(StripConditions(), times=None))
    with pytest.raises(UnsupportedStoreError):
        MetaMLFlowClient(root.url, **options).register_artifact("a", b"3")
    assert list((tmp_path / "cache" / "probes").iterdir()) == []


@pytest.mark.full
def test_a_limit_without_end_is_told_after_the_stated_time(root, fault_proxy, monkeypatch):
    monkeypatch.setattr(claiming, "RATE_LIMIT_SECONDS", 4.0)
    root.client().create_store()
    proxy = fault_proxy(root.server)
    client = root.client(root.server.through(proxy.url))
    client._store.marker()
    proxy.add(Rule(Refuse(429, "rateLimitExceeded", "Too many."), op="objects.insert", times=None))
    begun = time.monotonic()
    with pytest.raises(StorageUnavailableError, match="throttles") as caught:
        client.register_artifact("a", b"1")
    assert caught.value.throttled
    assert 3 < time.monotonic() - begun < 20
