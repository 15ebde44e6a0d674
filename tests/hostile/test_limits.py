"""What a hostile writer can make large costs no more than its limit; a writer refuses what a reader would."""

from __future__ import annotations

import os
import shutil
import time
import tracemalloc
from base64 import b64encode

import pytest
from honest_store import HostileStore, build, write_record

from metamlflow import MetaMLFlowClient
from metamlflow.errors import IntegrityError, InvalidInputError, StoreFormatError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES, MAX_VALUES, Problems, dump, parse_json, shown
from metamlflow.format.layout import alias_key, idempotency_key, manifest_key, relocation_key, state_key
from metamlflow.model.names import MAX_VERSION, ArtifactName
from metamlflow.model.paths import collisions
from metamlflow.model.uris import uri_problem
from metamlflow.store.catalog.relocations import MAX_RELOCATIONS
from metamlflow.store.ingest.schemas import capture_schema
from metamlflow.testing import MemoryBackend, client_on

GIB = 1 << 30
NAME = ArtifactName("a")
SECONDS = 10  # of processor time: hundreds of times what is needed


@pytest.fixture
def in_time():
    started = time.process_time()
    yield
    assert time.process_time() - started < SECONDS


class Asked:
    """A backend that remembers how many bytes it was asked for at most."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.most: dict[str, int | None] = {}

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def read(self, key, start=0, end=None):
        self.most[key] = None if end is None else end - start
        return self.inner.read(key, start, end)


def test_every_record_is_read_with_a_limit():
    backend = Asked()
    client = client_on(backend)
    with client.run("run", capture_user=False) as run:
        first = client.register_artifact("a", b"1", idempotency_key="k")
        client.register_artifact("b", b"2", inputs=[first])
    client.set_alias("a", "best", 1)
    backend.most.clear()
    reader = client_on(backend)
    reader.get_artifact("a", "best")
    reader.get_run(run.id)
    reader.history("a")
    reader.get_artifact("b").verify(lineage=True)
    list(reader.get_artifact("a").downstream())
    reader.register_artifact("a", b"1", idempotency_key="k")
    records = {key: most for key, most in backend.most.items() if not key.startswith("blobs/")}
    assert len(records) >= 7
    assert set(records.values()) == {MAX_DOCUMENT_BYTES + 1}


@pytest.mark.parametrize(
    "key",
    ["metamlflow.json", "artifacts/data/_versions/9999999997_v2.json", "artifacts/data/_aliases/best/9999999997.json"],
)
def test_a_sparse_record_of_3_gb_costs_no_more_than_the_largest_document(key, tmp_path):
    build(tmp_path / "store", tmp_path / "lake")
    HostileStore(tmp_path / "store", tmp_path / "lake").sparse(key, 3 * GIB)
    tracemalloc.start()
    try:
        with pytest.raises(StoreFormatError, match="larger than 67,108,864 bytes"):
            MetaMLFlowClient(tmp_path / "store").get_artifact("data", "best")
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_DOCUMENT_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 5_000_000,
        b"{}," * 5_000_000,
        b'{"a":' * 5_000_000,
        b"[" + b"1," * 5_000_000 + b"1]",
        b'"' + b'\\"' * 5_000_000,
        b'{"a":"' + b'",' * 5_000_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_document_of_too_many_values_is_refused_before_it_is_decoded(text, in_time):
    tracemalloc.start()
    try:
        problems = Problems("key")
        assert parse_json(text, problems) is None
        assert problems.found
        assert tracemalloc.get_traced_memory()[1] < 200 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_commas_in_a_text_are_no_values():
    problems = Problems("key")
    text = ",[{" * 350_000
    assert parse_json(dump({"a": text}), problems) == {"a": text}
    assert not problems.found


def test_a_writer_refuses_a_document_of_more_values_than_a_reader_takes(client, raw):
    with pytest.raises(InvalidInputError, match="more than 1,000,000 values"):
        client.register_artifact("a", b"1", metadata={"numbers": [0] * MAX_VALUES})
    assert not raw.manifests()
    assert client.register_artifact("a", b"1", metadata={"numbers": [0] * 1_000}).metadata["numbers"]


def test_a_message_spells_no_more_of_a_value_than_it_shows(in_time):
    assert len(shown({"a": ["x" * 1_000_000] * 60})) <= 80
    assert shown([1, {"a": None}]) == '[1, {"a": null}]'


def test_paths_of_2000_folders_are_told_apart_in_linear_time_and_memory(in_time):
    paths = [f"{number:04}/" + "/".join("aB" * 2 for _ in range(700)) for number in range(300)]
    tracemalloc.start()
    try:
        assert list(collisions(paths)) == []
        assert tracemalloc.get_traced_memory()[1] < 200 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_paths_of_combining_characters_are_told_apart_in_linear_time(in_time):
    paths = [f"{number:04}" + "\u0301\u0323" * 900 for number in range(8_000)]
    assert list(collisions(paths)) == []


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        (["A/x", "a/y"], [("A", "a")]),
        (["A/x", "a/x"], [("A", "a"), ("A/x", "a/x")]),
        (["r\u00e9", "re\u0301"], [("re\u0301", "r\u00e9")]),
        (["stra\u00dfe", "STRASSE", "strasse"], [("STRASSE", "strasse", "stra\u00dfe")]),
        (["a/b/C", "a/b/c", "a/d"], [("a/b/C", "a/b/c")]),
        (["a/\u0338b", "a/c"], []),
    ],
)
def test_collisions_are_what_a_folding_disk_takes_for_one(paths, groups):
    assert list(collisions(paths)) == groups


def test_a_stray_number_does_not_make_history_look_for_all_before_it(client, store_folder):
    for content in (b"1", b"2"):
        client.register_artifact("a", content)
    folder = store_folder / "artifacts/a/_versions"
    shutil.copy(folder / "9999999997_v2.json", folder / "0000000001_v9999999998.json")
    history = client.history("a")
    assert [entry.version for entry in history.versions] == [1, 2, MAX_VERSION]
    (gap,) = history.problems
    assert "a@3 to a@9,999,999,997 are missing" in gap.message
    with pytest.raises(IntegrityError):
        history.raise_if_failed()


def test_a_few_missing_versions_are_named_one_by_one(client, store_folder):
    for number in range(6):
        client.register_artifact("a", b"%d" % number)
    for number in (2, 3, 5):
        (store_folder / f"artifacts/a/_versions/{9_999_999_999 - number:010d}_v{number}.json").unlink()
    assert [problem.expected for problem in client.history("a").problems] == ["version 2", "version 3", "version 5"]


@pytest.mark.parametrize(
    "key_of",
    [
        lambda number: manifest_key(NAME, number),
        lambda number: state_key(NAME, 1, number),
        lambda number: alias_key(NAME, "best", number),
        lambda number: idempotency_key(NAME, "0" * 64, number),
        relocation_key,
    ],
    ids=["manifest", "state", "alias", "claim", "relocation"],
)
def test_no_key_is_spelled_whose_number_no_reader_takes(key_of):
    assert key_of(MAX_VERSION)
    with pytest.raises(StoreFormatError, match="out of range"):
        key_of(MAX_VERSION + 1)


def test_an_alias_with_a_forged_number_is_not_moved_to_where_nobody_looks(client, store_folder):
    client.register_artifact("a", b"1")
    write_record(store_folder / f"artifacts/a/_aliases/best/{1:010d}.json", {"version": 1})
    before = sorted(path.name for path in (store_folder / "artifacts/a/_aliases/best").iterdir())
    with pytest.raises(StoreFormatError, match="forged"):
        client.set_alias("a", "best", 1)
    assert sorted(path.name for path in (store_folder / "artifacts/a/_aliases/best").iterdir()) == before


def test_a_uri_of_colons_is_judged_in_no_time(in_time):
    for _ in range(2_000):
        assert uri_problem("abc://" + ":" * 4_000 + "/" + "a" * 4_000) is None
    assert "user info" in (uri_problem("abc://key:se/cret@host/x") or "")
    assert uri_problem("abc://host:80/x@y") is not None
    assert uri_problem("abc://host/x:y@z") is None


def test_a_file_of_quotes_does_not_keep_a_registration(tmp_path, in_time):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "' + b'\\"' * 400_000 + b"\n")
    assert capture_schema("a.jsonl", lambda: path.open("rb")) is None


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.csv.bz2"])
def test_a_bomb_is_looked_into_for_one_block(name, tmp_path, in_time):
    import bz2
    import gzip

    pack = bz2.compress if name.endswith("bz2") else gzip.compress
    (tmp_path / name).write_bytes(pack(b"0" * 200_000_000))
    tracemalloc.start()
    try:
        assert capture_schema(name, lambda: (tmp_path / name).open("rb")) is None
        assert tracemalloc.get_traced_memory()[1] < 50 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("footer", [0, 9, 2**31, 2**32 - 1])
def test_a_parquet_footer_that_lies_about_its_length_gives_no_schema(footer, tmp_path, in_time):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + os.urandom(100) + footer.to_bytes(4, "little") + b"PAR1")
    assert capture_schema("a.parquet", lambda: path.open("rb")) is None


def test_more_relocations_than_a_store_may_hold_cost_one_listing(tmp_path, monkeypatch):
    monkeypatch.setattr("metamlflow.store.catalog.relocations.MAX_RELOCATIONS", 20)
    build(tmp_path / "store", tmp_path / "lake")
    for number in range(1, 22):
        write_record(
            tmp_path / f"store/relocations/{9_999_999_999 - number:010d}.json", {"old": "s3://a/", "new": "s3://b/"}
        )
    with pytest.raises(StoreFormatError, match="21 relocations, more than 20"):
        MetaMLFlowClient(tmp_path / "store").get_artifact("pointed").read_bytes()
    assert MAX_RELOCATIONS >= 1_000


def test_a_key_below_versions_that_spells_no_name_is_no_name(client, store_folder):
    client.register_artifact("a", b"1")
    for name in ("-", "!!", "a b"):
        write_record(store_folder / f"artifacts/x/{name}/_versions/9999999998_v1.json", {})
    assert client.verify_all()


def test_a_record_of_another_that_is_too_large_is_not_taken_for_ours():
    backend = MemoryBackend()
    client = client_on(backend)
    client.register_artifact("a", b"1")
    backend.create("artifacts/a/_versions/9999999997_v2.json", b"x" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(StoreFormatError, match="larger than 67,108,864 bytes"):
        client.get_artifact("a", 2)
    with pytest.raises(StoreFormatError):
        client.register_artifact("a", b"2")
    assert backend.stat("artifacts/a/_versions/9999999997_v2.json").size == MAX_DOCUMENT_BYTES + 1


BOTTOMLESS = '{"a":' * 100_000


def nested(depth):
    value = "allow"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("variable", ["METAMLFLOW_SOURCE_OPTIONS", "METAMLFLOW_POINTER_POLICY"])
def test_a_variable_without_end_is_refused_by_its_name(store_folder, monkeypatch, variable):
    monkeypatch.setenv(variable, BOTTOMLESS)
    with pytest.raises(InvalidInputError, match=variable):
        MetaMLFlowClient(store_folder).register_artifact("a", "https://localhost/x")


def test_arguments_without_end_are_refused(client, store_folder, tmp_path):
    client.register_artifact("a", b"1")
    (tmp_path / "journal").write_text(BOTTOMLESS)
    for use in (
        lambda: client.verify_all(resume=tmp_path / "journal"),
        lambda: client.join_run(b64encode(BOTTOMLESS.encode()).decode()),
        lambda: MetaMLFlowClient(store_folder, pointer_policy={"file": nested(10_000)}),
    ):
        with pytest.raises(InvalidInputError):
            use()
