"""Content that an executor moves elsewhere: the same store, the same report, also when a worker is lost."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from full_stores import assert_same

from executors import DASK_WARNS, EXECUTORS
from extras import imported
from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import InvalidInputError, MissingDependencyError, StorageUnavailableError
from metamlflow.migration import dask_executor
from metamlflow.model.manifests import Entry
from metamlflow.store.migrate import workers as spreading
from metamlflow.store.transfer.progress import Counter


@pytest.fixture(scope="module")
def spread(filled_lightly, tmp_path_factory):
    """Enough content for several shares."""
    folder = tmp_path_factory.mktemp("spread")
    source = shutil.copytree(filled_lightly, folder / "source")
    (folder / "more").mkdir()
    for number in range(1_500):
        (folder / f"more/{number:04}").write_bytes(b"%d" % number)
    MetaMLFlowClient(source).register_artifact("more", folder / "more")
    return source


@pytest.fixture
def source(spread, tmp_path):
    return shutil.copytree(spread, tmp_path / "source")


def told(report) -> dict:
    document = report.to_json()
    return {name: value for name, value in document.items() if name not in {"destination", "seconds"}}


@pytest.mark.full
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_store_and_the_report_are_those_of_one_process(source, tmp_path, executor):
    expected = migrate(source, tmp_path / "by one")
    progress = []
    with executor() as (pool, _):
        report = migrate(source, tmp_path / "by many", executor=pool, progress=progress.append)
        assert told(report) == told(expected)
        assert migrate(source, tmp_path / "by many", executor=pool).totals["bytes"] == 0
    assert_same(source, tmp_path / "by many")
    assert (progress[-1].files, progress[-1].bytes) == (progress[-1].total_files, progress[-1].total_bytes)


@pytest.mark.full
@pytest.mark.parametrize("executor", EXECUTORS[1:])
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(source, tmp_path, executor, monkeypatch):
    monkeypatch.setattr(spreading, "SHARE_OBJECTS", 50)
    expected = told(migrate(source, tmp_path / "by one"))
    killed = []
    with executor() as (pool, kill):

        def progress(state) -> None:
            if state.files > 300 and not killed:
                killed.append(state.files)
                kill()

        report = migrate(source, tmp_path / "by many", executor=pool, progress=progress)
    assert killed
    assert told(report) == expected
    assert_same(source, tmp_path / "by many")
    assert MetaMLFlowClient(tmp_path / "by many").verify_all()


class Losing(ThreadPoolExecutor):
    """Loses every share ``times`` times, in ways of its own."""

    def __init__(self, times: int) -> None:
        super().__init__(2)
        self.times = times
        self.submitted = 0
        self.seen: dict[object, int] = {}

    def submit(self, work, share) -> Future:
        self.submitted += 1
        self.seen[share.contents] = self.seen.get(share.contents, 0) + 1
        if self.seen[share.contents] <= self.times:
            lost: Future = Future()
            lost.set_exception(OSError("the worker is gone"))
            return lost
        return super().submit(work, share)


@pytest.mark.parametrize("times", [1, 2, 99])
def test_a_lost_share_is_done_again_and_in_the_end_here(light_source, tmp_path, times, caplog):
    with Losing(times) as pool, caplog.at_level(logging.WARNING, "metamlflow"):
        assert migrate(light_source, tmp_path / "destination", executor=pool)
    assert_same(light_source, tmp_path / "destination")
    assert all(count == min(times + 1, 3) for count in pool.seen.values())
    assert "the worker is gone" in caplog.text


class Answering(ThreadPoolExecutor):
    """Answers something else than what was to be done."""

    answer: object = None

    def submit(self, work, share) -> Future:
        done: Future = Future()
        if self.answer is None:
            done.cancel()
        else:
            done.set_result(self.answer)
        return done


@pytest.mark.parametrize("answer", [None, [], "done", [1]])
def test_a_result_that_is_none_is_not_believed(light_source, tmp_path, answer):
    with Answering(1) as pool:
        pool.answer = answer
        assert migrate(light_source, tmp_path / "destination", executor=pool)
    assert_same(light_source, tmp_path / "destination")


def test_an_executor_that_was_shut_down_costs_a_warning_and_not_the_migration(light_source, tmp_path, caplog):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    progress = []
    assert migrate(light_source, tmp_path / "destination", executor=pool, progress=progress.append)
    assert_same(light_source, tmp_path / "destination")
    assert "goes on in this process" in caplog.text
    assert (progress[-1].files, progress[-1].bytes) == (progress[-1].total_files, progress[-1].total_bytes)


@pytest.mark.full
def test_damaged_content_fails_its_version_alone(source, tmp_path):
    (blob,) = [p for p in source.glob("blobs/**/*") if p.is_file() and p.read_bytes() == b"1007"]
    blob.chmod(0o600)
    blob.write_bytes(b"1o07")
    with ThreadPoolExecutor(2) as pool:
        report = migrate(source, tmp_path / "destination", executor=pool)
    assert report.counts == {"migrated": 6, "failed": 1}
    assert "damaged" in next(v.reason for v in report.versions if v.status == "failed")


def test_a_share_shows_no_option_of_a_store():
    options = {"key": "AKIAOPEN", "secret": "TOPSECRET"}
    stores = [MetaMLFlowClient(f"s3://bucket/{n}", storage_options=options)._store for n in "ab"]
    spreader = spreading.CopyPool(
        spreading.StorePair(*stores), spreading.CopyOptions(datetime.now(UTC)), Counter("migrate", None)
    )
    (share,) = spreader._shares([Entry("a", 1, "0" * 64, "0" * 8, "blobs/a")])
    assert b"TOPSECRET" in share.source  # it travels, with the task alone
    assert "TOPSECRET" not in f"{share!r} {share} {(spreading.move_share, share)}"


def test_a_scheduler_that_is_not_there_and_one_without_workers_are_told(monkeypatch):
    distributed = imported("distributed")
    monkeypatch.setattr("metamlflow.migration._DASK_SECONDS", 1)
    with pytest.raises(StorageUnavailableError, match="no Dask scheduler"), dask_executor("tcp://127.0.0.1:1"):
        pass
    for address in ("foo", "tcp://host", "http://host:1", ""):
        with pytest.raises(InvalidInputError, match="not the address"), dask_executor(address):
            pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match="metamlflow\\[dask\\]"), dask_executor("tcp://127.0.0.1:1"):
        pass
    assert distributed


@pytest.mark.full
@DASK_WARNS
def test_the_command_line_spreads_over_a_cluster(light_source, tmp_path):
    distributed = imported("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    )
    with cluster:
        command = ["migrate", str(light_source), str(tmp_path / "there"), "--dask", cluster.scheduler_address, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "metamlflow", *command], capture_output=True, text=True, check=False, timeout=100
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"migrated": 6}
    assert_same(light_source, tmp_path / "there")
