"""A store with a feature that this library does not know, met by every call: what goes on, what is refused, and how."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feature_lists import everything_in, key_of, list_of, put
from metamlflow import Dataset, MetaMLFlowClient, compare, migrate
from metamlflow.artifacts import Pointer
from metamlflow.errors import LineageWarning, StoreFormatError
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import refuse_unknown

Call = Callable[[MetaMLFlowClient], Any]
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@pytest.fixture
def store(client, store_folder, tmp_path):
    """A store with something of everything; the folder."""
    (tmp_path / "lake.csv").write_bytes(b"x\n1\n")
    with client.run("train") as run:
        client.register_artifact("data", {"a.csv": b"x,y\n1,2\n", "b": b"b"}, "dataset")
        run.use(client.get_artifact("data"))
        client.register_artifact("model", b"weights", inputs=["data@1"])
    client.register_artifact("data", {"a.csv": b"x,y\n3,4\n"}, "dataset")
    client.set_alias("data", "best", 1)
    client.register_pointer("pointed", f"file://{tmp_path}/lake.csv", evidence="full")
    client.register_pointer("loose", f"file://{tmp_path}/lake.csv", evidence="stat")
    client.get_artifact("model").sign(KEY)
    return store_folder


def run_id(client: MetaMLFlowClient) -> str:
    (found,) = [path.name for path in _folder(client).glob("runs/*") if len(path.name) == 32]
    return found


def _folder(client: MetaMLFlowClient) -> Path:
    return Path(client.storage_uri.removeprefix("file://"))


READS: dict[str, Call] = {
    "get": lambda c: c.get_artifact("data").read_bytes("a.csv"),
    "get by number": lambda c: c.get_artifact("data", 1).verify(),
    "get by alias": lambda c: c.get_artifact("data@best").version,
    "get signed": lambda c: c.get_artifact("model", require_signature=KEY.public_key()).read_bytes(),
    "get a pointer": lambda c: c.get_artifact("pointed").read_bytes(),
    "dataset": lambda c: Dataset.open(c, "data", 1).files,
    "list": lambda c: [a.version for a in c.list_artifacts()],
    "list a name": lambda c: [a.version for a in c.list_artifacts("data")],
    "names": lambda c: c.list_names(),
    "versions": lambda c: c.list_versions("data"),
    "aliases": lambda c: c.aliases("data"),
    "run": lambda c: c.get_run(run_id(c)).end.outcome,
    "lineage": lambda c: c.lineage("model@1").to_json(),
    "history": lambda c: [entry.version for entry in c.history("data").versions],
    "verify all": lambda c: len(list(c.verify_each())),
    "compare": lambda c: compare(c, c),
}
WRITES: dict[str, Call] = {
    "create": lambda c: c.create_store(),
    "register": lambda c: c.register_artifact("data", b"3"),
    "register a name": lambda c: c.register_artifact("new", {"x": b"1", "y": b"2"}),
    "register under a key": lambda c: c.register_artifact("new", b"1", idempotency_key="job"),
    "reuse": lambda c: c.register_artifact("model", b"weights", if_unchanged="reuse"),
    "register a mapping with a pointer": lambda c: c.register_artifact(
        "new", {"p": Pointer(f"{c.storage_uri}/../lake.csv")}
    ),
    "register a pointer": lambda c: c.register_pointer("new", f"{c.storage_uri}/../lake.csv"),
    "a table": lambda c: Dataset.register(c, "table", __import__("pandas").DataFrame({"n": [1]})),
    "alias": lambda c: c.set_alias("data", "best", 2),
    "remove an alias": lambda c: c.set_alias("data", "best", None),
    "relocate": lambda c: c.relocate(f"{c.storage_uri}/../lake.csv", f"{c.storage_uri}/../lake2.csv"),
    "repair": lambda c: c.repair("data@1", c.storage_uri + "/../donor"),
    "migrate from it": lambda c: migrate(c, c.storage_uri + "-copy"),
    "migrate from it, dry": lambda c: migrate(c, c.storage_uri + "-copy", dry_run=True),
    "migrate to it": lambda c: migrate(_other(c), c),
    "migrate to it, dry": lambda c: migrate(_other(c), c, dry_run=True),
    "collect": lambda c: refuse_unknown(Store(c.storage_uri, {})),
}
OF_AN_ARTIFACT: dict[str, Callable[[Any], Any]] = {
    "sign": lambda a: a["model"].sign(KEY),
    "strengthen": lambda a: a["loose"].strengthen(),
    "materialize": lambda a: a["pointed"].materialize(),
    "repair": lambda a: MetaMLFlowClient(a["uri"]).repair(a["data"], a["uri"] + "/../donor"),
}


def _other(client: MetaMLFlowClient) -> MetaMLFlowClient:
    other = MetaMLFlowClient(client.storage_uri + "-other")
    other.register_artifact("elsewhere", b"1")
    return other


def _damage(store) -> None:
    """Let one blob be missing, and a donor have it."""
    shutil.copytree(store, store.parent / "donor")
    (path,) = [path for path in store.rglob("blobs/**/*.csv") if path.read_bytes() == b"x,y\n1,2\n"]
    path.unlink()


def _same(store, before: dict[str, bytes]) -> None:
    assert {key: data for key, data in everything_in(store).items() if not key.startswith(".tmp/")} == before
    assert not (store.parent / "store-copy").exists()


@pytest.mark.parametrize("call", READS)
def test_a_feature_that_readers_must_know_stops_every_read(store, call):
    put(store, key_of(1), list_of(read=("time-travel",)))
    with pytest.raises(
        StoreFormatError, match=r'read\[0\]: unknown feature "time-travel"(?s:.)*update yours'
    ) as caught:
        READS[call](MetaMLFlowClient(store))
    assert caught.value.key == key_of(1)


@pytest.mark.full
@pytest.mark.parametrize("call", READS)
def test_a_feature_that_writers_must_know_stops_no_read(store, call):
    expected = READS[call](MetaMLFlowClient(store))
    put(store, key_of(1), list_of(write=("protections",)))
    assert READS[call](MetaMLFlowClient(store)) == expected


@pytest.mark.full
@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("need", ["read", "write"])
def test_an_unknown_feature_stops_every_write_before_anything_is_written(store, call, need):
    _damage(store)
    put(store, key_of(1), list_of(**{need: ("protections",)}))
    before = everything_in(store)
    with pytest.raises(StoreFormatError, match=r'unknown feature "protections"(?s:.)*update yours') as caught:
        WRITES[call](MetaMLFlowClient(store))
    assert caught.value.key == key_of(1)
    _same(store, before)


@pytest.mark.parametrize("call", OF_AN_ARTIFACT)
def test_an_artifact_from_a_pickle_writes_nothing_either(store, client, call):
    kept = pickle.dumps({name: client.get_artifact(name, 1) for name in ("data", "model", "pointed", "loose")})
    _damage(store)
    put(store, key_of(1), list_of(write=("protections",)))
    before = everything_in(store)
    with pytest.raises(StoreFormatError, match="protections"):
        OF_AN_ARTIFACT[call](pickle.loads(kept) | {"uri": client.storage_uri})
    _same(store, before)


def test_a_run_is_not_recorded_and_its_job_goes_on(store):
    put(store, key_of(1), list_of(write=("protections",)))
    before = everything_in(store)
    with (
        pytest.warns(LineageWarning, match=r"could not be recorded(?s:.)*protections"),
        MetaMLFlowClient(store).run("later") as run,
    ):
        assert run.use(MetaMLFlowClient(store).get_artifact("data", 1)).read_bytes("b") == b"b"
    _same(store, before)


def test_a_process_that_joins_a_run_records_nothing_where_it_must_not_write(store, client):
    """It has an artifact from a pickle, so it opens the store for nothing but that record."""
    kept = pickle.dumps(client.get_artifact("data", 2))
    with client.run("outer") as run:
        token = run.token
    put(store, key_of(1), list_of(write=("protections",)))
    before = everything_in(store)
    with (
        pytest.warns(LineageWarning, match="protections"),
        MetaMLFlowClient(store).join_run(token),
    ):
        assert pickle.loads(kept).read_bytes() == b"x,y\n3,4\n"
    _same(store, before)


def test_repair_reads_from_a_donor_that_it_could_not_write_to(store, client):
    _damage(store)
    put(store.parent / "donor", key_of(1), list_of(write=("protections",)))
    assert client.repair("data@1", store.parent / "donor")
    assert client.get_artifact("data", 1).verify()


@pytest.mark.full
@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_a_list_that_is_damaged_stops_everything_and_the_one_before_does_not_count(store, call):
    _damage(store)
    put(store, key_of(1), list_of())
    put(store, key_of(2), b'{"format":1')
    before = everything_in(store)
    with pytest.raises(StoreFormatError, match=key_of(2)):
        (READS | WRITES)[call](MetaMLFlowClient(store))
    _same(store, before)


def test_the_highest_number_holds_for_clients_and_every_list_for_who_deletes(store):
    put(store, key_of(9), list_of(write=("protections",)))
    put(store, key_of(10), list_of())  # by a program that is wrong
    client = MetaMLFlowClient(store)
    assert client.register_artifact("data", b"3").version == 3
    with pytest.raises(StoreFormatError, match="protections"):
        refuse_unknown(Store(client.storage_uri, {}))
    put(store, key_of(11), list_of(read=("packs",)))
    with pytest.raises(StoreFormatError, match="packs"):
        MetaMLFlowClient(store).list_names()


def test_what_else_lies_among_the_lists_is_ignored_but_by_who_deletes(store):
    for key in ("features/readme", "features/!", "features/0/9999999998.json", "features/9999999999.json"):
        put(store, key, b"?")
    client = MetaMLFlowClient(store)
    assert client.register_artifact("data", b"3").version == 3
    with pytest.raises(StoreFormatError, match="features/readme"):
        refuse_unknown(Store(client.storage_uri, {}))
    put(store, key_of(1), list_of(read=("packs",)))
    with pytest.raises(StoreFormatError, match="packs"):
        MetaMLFlowClient(store).list_names()


def test_an_empty_list_is_no_obstacle(store):
    put(store, key_of(1), list_of(note="turned nothing on"))
    client = MetaMLFlowClient(store)
    assert client.register_artifact("data", b"3").version == 3
    refuse_unknown(Store(client.storage_uri, {}))
