"""A collection whose reading and listing an executor does: the same report and deletions, also if a worker dies."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import signal
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest
from aging_store import LAST, blob_of, version_key

from executors import EXECUTORS
from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, IntegrityError, StoreFormatError
from metamlflow.store.retain.collecting import spreading

MONTH = 31 * 24 * 3600
OF_A_RUN = {"now", "seconds", "plan_id", "store", "kept_versions"}


@pytest.fixture
def small_tasks(monkeypatch):
    """Several tasks of each kind for a small store."""
    monkeypatch.setattr(spreading, "TASK_VERSIONS", 2)
    monkeypatch.setattr(spreading, "TASK_BYTES", 10_000)
    monkeypatch.setattr(spreading, "PAGE", 10)
    monkeypatch.setattr(spreading, "_TASK_OBJECTS", 20)


def prune_by_hand(root, name, version):
    manifest = root / version_key(name, version)
    said = {"format": 1, "record_id": "5" * 32, "created_at": "2026-03-01T00:00:00Z", "state": "pruned"}
    digest = f"sha256:{hashlib.sha256(manifest.read_bytes()).hexdigest()}"
    state = root / version_key(name, version, f".state-{LAST - 1:010d}")
    state.write_text(json.dumps(said | {"manifest_digest": digest}))


@pytest.fixture
def folder(tmp_path, small_tasks):
    """A folder with versions that are live, pruned, held and in their grace, in shards too, and with garbage."""
    root = tmp_path / "store"
    client = MetaMLFlowClient(root)
    for name in ("a", "b/c", "d"):
        for content in (b"one", b"two", b"three"):
            client.register_artifact(name, content + name.encode())
    files = {f"f{number}": b"%d" % number for number in range(560)}
    client.register_artifact("big", files)
    client.register_artifact("big", files | {"f0": b"changed"})
    for name in ("a", "big"):
        assert client.prune(name, versions=[1])
    client.protect("d@1")
    client.set_alias("d", "best", 2)
    for version in (1, 2):  # by somebody who did not look
        prune_by_hand(root, "d", version)
    for number in range(120):
        path = root / blob_of(b"left %d" % number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left %d" % number)
    for path in root.rglob("*"):
        os.utime(path, times=(time.time() - MONTH, time.time() - MONTH))
    assert client.prune("b/c", versions=[1])
    return root


def told(report):
    document = report.to_json()
    return {name: value for name, value in document.items() if name not in OF_A_RUN} | {
        "kept": [(it.reference, it.reason) for it in report.kept_versions]
    }


def blobs(root):
    return {path.name for path in (root / "blobs").rglob("*") if path.is_file()}


@pytest.mark.full
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_plan_and_the_report_are_those_of_one_process(folder, executor):
    client = MetaMLFlowClient(folder)
    alone = client.collect_garbage(dry_run=True)
    assert alone.blobs > 120
    assert alone.versions == {"dead": 2, "held": 2, "live": 6, "waiting": 1}
    with executor() as (pool, _):
        plan = client.collect_garbage(dry_run=True, executor=pool)
        assert told(plan) == told(alone)
        assert [(it.key, it.reason) for it in plan.objects()] == [(it.key, it.reason) for it in alone.objects()]
        before = blobs(folder)
        report = client.collect_garbage(executor=pool)
    assert (report.deleted, report.freed, report.ok) == (alone.blobs, alone.bytes, True)
    assert before - blobs(folder) == {it.key.rpartition("/")[2] for it in alone.objects()}


def alone_then_spread(client, pool, path):
    client.collect_garbage(dry_run=True).save(path)
    return client.collect_garbage(plan=path, executor=pool)


def spread_then_alone(client, pool, path):
    client.collect_garbage(dry_run=True, executor=pool).save(path)
    return client.collect_garbage(plan=path)


def spread_by_call(client, pool, path):
    return client.collect_garbage(dry_run=True, executor=pool).apply()


def alone_by_call(client, pool, path):
    return client.collect_garbage(dry_run=True).apply(executor=pool)


@pytest.mark.full
@pytest.mark.parametrize("way", [alone_then_spread, spread_then_alone, spread_by_call, alone_by_call])
def test_a_plan_is_carried_out_with_an_executor_or_without_whichever_way_it_was_made(folder, tmp_path, way):
    client = MetaMLFlowClient(folder)
    expected = client.collect_garbage(dry_run=True)
    with ThreadPoolExecutor(2) as pool:
        report = way(client, pool, tmp_path / "plan")
    assert (report.deleted, report.ok) == (expected.blobs, True)
    assert client.collect_garbage(dry_run=True).blobs == 0


@pytest.mark.full
@pytest.mark.parametrize("executor", EXECUTORS[1:])
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(folder, executor):
    client = MetaMLFlowClient(folder)
    alone = client.collect_garbage(dry_run=True)
    killed = []
    with executor() as (pool, kill):

        def progress(state) -> None:
            if state.files > 2 and not killed:
                killed.append(state.files)
                kill()

        report = client.collect_garbage(executor=pool, progress=progress)
    assert killed
    assert (report.deleted, report.freed, report.ok) == (alone.blobs, alone.bytes, True)
    assert client.verify_all()


class Losing(ThreadPoolExecutor):
    """Loses each task so many times, in one way or another."""

    def __init__(self, times: int, answer: object = None) -> None:
        super().__init__(2)
        self.times = times
        self.answer = answer
        self.seen: dict[object, int] = {}
        self.works: set[str] = set()

    def submit(self, work, task) -> Future:
        self.works.add(work.__name__)
        seen = self.seen[work, repr(task.items)] = self.seen.get((work, repr(task.items)), 0) + 1
        if seen > self.times:
            return super().submit(work, task)
        lost: Future = Future()
        if self.answer is None:
            lost.set_exception(OSError("the worker is gone"))
        else:
            lost.set_result(self.answer)
        return lost


@pytest.mark.full
@pytest.mark.parametrize(("times", "answer"), [(1, None), (2, None), (99, None), (99, "done"), (99, [1]), (1, ())])
def test_a_lost_task_is_done_again_and_in_the_end_here_and_none_of_them_deletes(folder, times, answer, caplog):
    client = MetaMLFlowClient(folder)
    alone = client.collect_garbage(dry_run=True)
    with Losing(times, answer) as pool, caplog.at_level(logging.WARNING, "metamlflow"):
        report = client.collect_garbage(executor=pool)
    assert (report.deleted, report.freed, report.ok) == (alone.blobs, alone.bytes, True)
    assert set(pool.seen.values()) == {min(times + 1, 3)}
    assert pool.works == {"judge_versions", "read_shards", "list_objects"}
    assert "was lost" in caplog.text
    assert client.verify_all()


class WithoutAWorker(Executor):
    """Lists nothing, ever; something happens when two listings wait."""

    def __init__(self, happens) -> None:
        self.happens = happens
        self.waiting: list[Future] = []
        self.closed = False

    def submit(self, work, task) -> Future:
        if self.closed:
            raise RuntimeError("closed")
        future: Future = Future()
        if work is spreading.list_objects:
            self.waiting.append(future)
            if len(self.waiting) == 2:
                self.happens(future)
        else:
            future.set_result(work(task))
        return future

    def give_up(self) -> None:
        self.closed = True
        for future in self.waiting:
            future.cancel()


@pytest.mark.full
@pytest.mark.parametrize(
    ("happens", "error"),
    [
        (lambda _: os.kill(os.getpid(), signal.SIGINT), KeyboardInterrupt),
        (lambda future: future.set_result(AccessDeniedError("no", key="blobs/")), AccessDeniedError),
    ],
    ids=["ctrl-c", "a part fails"],
)
def test_a_collection_ends_at_once_although_no_worker_is_free_for_its_other_parts(folder, happens, error):
    executor = WithoutAWorker(happens)
    patience = threading.Timer(3, executor.give_up)
    patience.start()
    with pytest.raises(error):
        MetaMLFlowClient(folder).collect_garbage(executor=executor)
    assert patience.is_alive(), "it waited for a worker"
    patience.cancel()
    assert all(future.done() for future in executor.waiting), "what is no longer needed is cancelled"


def test_an_executor_that_was_shut_down_costs_a_warning_and_not_the_collection(folder, caplog):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    assert MetaMLFlowClient(folder).collect_garbage(executor=pool).deleted > 120
    assert "goes on in this process" in caplog.text


@pytest.mark.full
@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("manifest", StoreFormatError),
        *((damage, IntegrityError) for damage in ("shard", "gone", "cut", "vanished", "alias")),
    ],
)
def test_what_stops_a_collection_stops_it_there_too(folder, damage, error):
    client = MetaMLFlowClient(folder)
    places = {"manifest": next(folder.glob("artifacts/d/_versions/*_v3.json"))}
    big = json.loads(next(folder.glob("artifacts/big/_versions/*_v2.json")).read_bytes())
    places["shard"] = folder / big["shards"][0]["key"]
    places["gone"] = places["cut"] = folder / blob_of(b"threea")
    places["vanished"] = next(folder.glob("artifacts/d/_versions/*_v2.json"))
    places["alias"] = next(folder.glob("artifacts/d/_aliases/best/*.json"))
    before = blobs(folder)
    place = places[damage]
    place.chmod(0o600)
    if damage in {"gone", "vanished"}:
        place.unlink()
        before.discard(place.name)
    elif damage == "alias":
        place.write_text(json.dumps(json.loads(place.read_bytes()) | {"version": 4}))
    else:
        place.write_bytes(b"{}")
    with ThreadPoolExecutor(2) as pool, pytest.raises(error) as told_by_workers:
        client.collect_garbage(executor=pool)
    with pytest.raises(error) as told_here:
        client.collect_garbage()
    assert str(told_by_workers.value) == str(told_here.value)
    assert "othing was deleted" in str(told_here.value)
    assert blobs(folder) == before


def test_a_task_shows_no_option_of_a_store():
    options = {"key": "AKIAOPEN", "secret": "TOPSECRET"}
    store = MetaMLFlowClient("s3://bucket/a", storage_options=options)._store
    task = spreading.Task(pickle.dumps(store), None, (spreading.Range("blobs/", ""),))
    assert b"TOPSECRET" in task.store  # it travels, with the task alone
    assert "TOPSECRET" not in f"{task!r} {task} {(spreading.list_objects, task)}"
