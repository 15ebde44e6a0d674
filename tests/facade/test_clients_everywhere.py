"""Clients and artifacts work wherever Python runs: other processes, forked children, threads, an event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from metamlflow import Pointer
from metamlflow.errors import (
    ArtifactNotFoundError,
    DestinationExistsError,
    IntegrityError,
    MetaMLFlowError,
    OutcomeUnknownError,
)
from metamlflow.store.catalog.external import ExternalStores
from metamlflow.store.catalog.store import Store


def read_through(client, artifact):
    """Runs in another process."""
    again = client.get_artifact(artifact.name, artifact.version)
    return artifact.read_bytes(), again == artifact, [entry.path for entry in artifact.entries]


def register_one(client, name):
    """Runs in another process."""
    return client.register_artifact(name, b"from a child")


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_client_and_artifact_cross_to_another_process_and_back(client, method):
    artifact = client.register_artifact("a", {"x.txt": b"1"}, metadata={"n": [1]})
    single = client.register_artifact("one", b"content")
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        assert pool.submit(read_through, client, single).result(60) == (b"content", True, ["one"])
        returned = pool.submit(register_one, client, "b").result(60)
    assert returned == client.get_artifact("b")
    assert returned.read_bytes() == b"from a child"
    assert pickle.loads(pickle.dumps(artifact)).metadata == {"n": [1]}


def test_a_pickled_artifact_is_equal_and_hashes_alike(client):
    artifact = client.register_artifact("a", b"1")
    copy = pickle.loads(pickle.dumps(artifact))
    assert copy == artifact == client.get_artifact("a")
    assert len({copy, artifact, client.get_artifact("a")}) == 1
    assert artifact != client.register_artifact("a", b"1")
    assert artifact != "a@1"


def test_an_artifact_that_a_release_without_policies_pickled_is_read(client, tmp_path, monkeypatch):
    """Jobs keep artifacts in queues and checkpoints, and are resumed under another release."""
    (tmp_path / "data.bin").write_bytes(b"pointed to")
    pointed = client.register_artifact("p", Pointer((tmp_path / "data.bin").as_uri()))
    with monkeypatch.context() as older:  # pickling as it did
        older.setattr(ExternalStores, "__getstate__", lambda self: self._by_place)
        state = Store.__getstate__
        older.setattr(Store, "__getstate__", lambda self: {k: v for k, v in state(self).items() if k != "_for_signed"})
        old = pickle.dumps((client, client.register_artifact("a", b"1"), pointed))
    client, artifact, pointed = pickle.loads(old)
    assert artifact == client.get_artifact("a")
    assert artifact.read_bytes() == b"1"
    assert artifact.verify("full").ok
    assert pointed.read_bytes() == b"pointed to"  # a local store's own policy holds
    assert pickle.loads(pickle.dumps(artifact)).read_bytes() == b"1"


def test_errors_cross_processes_with_their_facts_and_hints():
    for error in (
        ArtifactNotFoundError("gone", hint="look", name="a", version=3, suggestions=("1",)),
        IntegrityError("bad", expected="1", actual="2", path="p", key="k"),
        DestinationExistsError("there", paths=("x",)),
        OutcomeUnknownError("who knows", name="a", version=2, record_id="r"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
        assert isinstance(copy, MetaMLFlowError)


def test_it_all_works_inside_a_running_event_loop(client, tmp_path):
    async def cell():
        artifact = client.register_artifact("a", {"x": b"1", "y": b"2"})
        assert artifact.verify()
        return client.get_artifact("a").download(tmp_path / "out")

    assert sorted(path.name for path in asyncio.run(cell()).iterdir()) == ["x", "y"]


def test_threads_share_a_client_from_its_first_moment_on(client):
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda n: client.register_artifact(f"n{n % 4}", b"%d" % n), range(24)))
    assert sorted((a.name, a.version) for a in made) == [(f"n{n}", v) for n in range(4) for v in range(1, 7)]
    assert {artifact.read_bytes() for artifact in made} == {b"%d" % n for n in range(24)}


def test_threads_share_an_artifact(client, tmp_path):
    artifact = client.register_artifact("a", {f"{n:02}": b"%d" % n * 1000 for n in range(20)})
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda n: artifact.read_bytes(f"{n:02}"), range(20)))
        places = set(pool.map(lambda _: artifact.local_path(), range(8)))
    assert contents == [b"%d" % n * 1000 for n in range(20)]
    assert len(places) == 1
