"""Verification whose work is given to an executor: threads, processes, Dask; the report is that of one process."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from extras import imported
from metamlflow.artifacts import Pointer

DASK_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@contextmanager
def threads():
    with ThreadPoolExecutor(4) as executor:
        yield executor


@contextmanager
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@contextmanager
def dask():
    distributed = imported("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    )
    with cluster, distributed.Client(cluster) as client, client.get_executor() as executor:
        yield executor


@pytest.fixture
def damaged(client, raw, quick_folder):
    """A client on a store of pointers and stored files, in several parts, with findings of every kind."""
    for number in range(1_100):
        (quick_folder / f"{number:04}").write_bytes(b"same")
    client.register_artifact("mixed", {"here": b"stored", "there": Pointer(str(quick_folder))})
    client.register_artifact("small", {"a": b"aaa", "b": b"bbb"})
    client.register_artifact("small", {"a": b"other"})
    (quick_folder / "0007").unlink()
    (quick_folder / "1050").write_bytes(b"longer")
    raw.blob_path(b"bbb").unlink()
    raw.overwrite(raw.blob_path(b"other"), b"OTHER")
    return client


@pytest.mark.full
@pytest.mark.parametrize("executor", [threads, processes, pytest.param(dask, marks=[DASK_WARNS, pytest.mark.full])])
def test_the_report_is_the_same_wherever_the_work_is_done(damaged, executor):
    expected = damaged.verify_all(level="full").to_json()
    assert expected["counts"] == {"ok": 1_100, "modified": 2, "missing": 2, "unreadable": 0, "unverifiable": 0}
    progress = []
    with executor() as pool:
        assert damaged.verify_all(level="full", executor=pool, progress=progress.append).to_json() == expected
        stat = damaged.get_artifact("mixed").verify("stat", executor=pool)
    assert [(f.path, f.status) for f in stat.findings] == [("there/0007", "missing"), ("there/1050", "modified")]
    assert max(state.bytes for state in progress) >= 1_098 * 4


class Counting(Executor):
    """Carries out what it is given at once, and counts it; stops with an error after so many."""

    def __init__(self, most=1_000):
        self.submitted = 0
        self._most = most

    def submit(self, work, /, *arguments):
        self.submitted += 1
        future = Future()
        if self.submitted > self._most:
            future.set_exception(OSError("the cluster is gone"))
        else:
            future.set_result(work(*arguments))
        return future


def test_parts_of_a_version_are_given_out_one_by_one(damaged):
    executor = Counting()
    damaged.get_artifact("mixed").verify("stat", executor=executor)
    assert executor.submitted == 2  # 1,101 files, 1,024 at a time
    damaged.verify_all(level="stat", executor=executor)
    assert executor.submitted == 2 + 4


def test_what_was_done_before_an_executor_failed_is_not_done_again(damaged, tmp_path):
    journal = tmp_path / "journal"
    with pytest.raises(OSError, match="the cluster is gone"):
        damaged.verify_all(executor=Counting(most=2), resume=journal)
    assert len(journal.read_text().splitlines()) == 1 + 2
    rest = Counting()
    report = damaged.verify_all(executor=rest, resume=journal)
    assert rest.submitted == 2
    assert report.to_json() == damaged.verify_all().to_json()
    assert not journal.exists()


def test_no_task_outlives_an_interrupted_verification(damaged):
    class Interrupted(KeyboardInterrupt):
        pass

    def interrupt(progress):
        if progress.bytes:
            raise Interrupted

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(Interrupted):
            damaged.verify_all(executor=pool, progress=interrupt)
        assert pool.submit(lambda: "free").result(timeout=20) == "free"


def test_a_manifest_that_another_machine_sees_otherwise_is_a_finding(damaged, raw):
    artifact = damaged.get_artifact("small", 1)
    place = raw.manifest_path("small", 1)
    raw.overwrite(place, place.read_bytes().replace(b'"type":"file"', b'"type":"fake"'))
    with ThreadPoolExecutor(1) as pool:
        report = artifact.verify("stat", executor=pool)
    assert ("", "modified", artifact.manifest_digest) in [(f.path, f.status, f.expected) for f in report.findings]


def test_a_part_may_begin_in_one_list_of_files_and_end_in_the_next(client, raw):
    client.register_artifact("many", {f"part-{number:06}": b"same" for number in range(3_000)})
    shards = raw.manifest("many")["shards"]
    assert [shard["count"] for shard in shards] == [1_409, 1_591]
    artifact, pool = client.get_artifact("many"), Counting()
    assert artifact.verify("stat", executor=pool)
    assert pool.submitted == 3
    for shard in reversed(shards):
        (raw.root / shard["key"]).unlink()
        report = artifact.verify("stat", executor=Counting())
        assert report.to_json() == artifact.verify("stat").to_json()
        assert [found.status for found in report.findings].count("missing") == len(report.findings)
    assert [found.key for found in report.findings] == [shard["key"] for shard in shards]
