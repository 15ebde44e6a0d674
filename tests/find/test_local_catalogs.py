"""The catalog on this machine: private, shared by processes, and worth nothing where it is damaged."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import threading
import warnings
from pathlib import Path

import pytest
from md5_bucket import Md5Backend, client_of

from metamlflow import MetaMLFlowClient
from metamlflow.errors import (
    DamagedRecordWarning,
    InvalidInputError,
    StorageError,
    StorageFullError,
    StoreNotFoundError,
)

pa = pytest.importorskip("pyarrow")

EVERY = "version > 0"


@pytest.fixture
def filled(client):
    for number in range(6):
        client.register_artifact(f"data{number % 2}", b"%d" % number, "file", {"n": number})
    return client


def another(client, tmp_path) -> MetaMLFlowClient:
    """A client with the same cache folder, as in another process."""
    return MetaMLFlowClient(client.storage_uri, cache_dir=tmp_path / "cache")


def refs(client, text=EVERY) -> list[str]:
    return [f"{artifact.name}@{artifact.version}" for artifact in client.search(text)]


EXPECTED = [f"data{name}@{version}" for name in (0, 1) for version in (1, 2, 3)]


def segments(tmp_path) -> list:
    return sorted((tmp_path / "cache/catalogs").rglob("*.parquet"))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    data = bytearray(path.read_bytes())
    for place in range(50, len(data), 40):
        data[place] ^= 0xFF
    path.write_bytes(data)


def of_strangers(path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"key": ["artifacts/x"], "document": [b"x"]}), path)


def break_a_page(column):
    """Damage a column that is read only when something is asked of it."""

    def damage(path):
        import pyarrow.parquet as pq

        group = pq.read_metadata(path).row_group(0)
        parts = [group.column(index) for index in range(group.num_columns)]
        part = next(part for part in parts if part.path_in_schema.startswith(column))
        data = bytearray(path.read_bytes())
        data[part.data_page_offset + part.total_compressed_size - 2] ^= 0xFF
        path.write_bytes(data)

    return damage


def misprint(path):
    """Records whose compressed bytes are damaged, and not only their checksum."""
    records = path.parent / "records"
    records.write_bytes(records.read_bytes()[:10] + b"\xff" * 40)


def put_a_folder_there(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "cut off": truncate,
    "flipped bits": flip,
    "empty": lambda path: path.write_bytes(b""),
    "of another form": of_strangers,
    "gone": lambda path: path.unlink(),
    "a page of sizes": break_a_page("size"),
    "a page of metadata": break_a_page("leaves"),
    "a page of documents": break_a_page("document"),
    "a folder": put_a_folder_there,
    "records of which bytes are wrong": misprint,
    "records that are none": lambda path: (path.parent / "records").write_bytes(b"\x1f\x8bnothing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_catalog_costs_time_and_changes_no_result(filled, tmp_path, what):
    filled.set_alias("data0", "best", 2)
    assert refs(filled) == EXPECTED
    (segment,) = segments(tmp_path)
    DAMAGE[what](segment)
    fresh = another(filled, tmp_path)
    assert refs(fresh) == EXPECTED
    assert refs(fresh, "alias = 'best' and metadata.n = 2") == ["data0@2"]
    assert [artifact.metadata["n"] for artifact in fresh.search("name = 'data1'")] == [1, 3, 5]


@pytest.mark.parametrize("call", ["search", "catalog", "sql"])
def test_a_full_disk_costs_time_and_changes_no_result(filled, tmp_path, monkeypatch, call):
    if call == "sql":
        pytest.importorskip("duckdb")
    rename, tried = Path.rename, []

    def renamed(path, target):
        if Path(target).is_relative_to(tmp_path / "cache"):
            tried.append(target)
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    calls = {
        "search": refs,
        "catalog": lambda client: [f"{row['name']}@{row['version']}" for row in client.catalog().to_pylist()],
        "sql": lambda client: client.sql("select name || '@' || version as ref from versions order by ref")[
            0
        ].to_pylist(),
    }
    for _ in range(2):
        assert calls[call](filled) == EXPECTED
    assert tried
    assert not [path for path in (tmp_path / "cache/catalogs").rglob("*") if path.is_file()]


def test_what_a_search_returns_is_what_was_registered(filled, tmp_path):
    for client in (filled, another(filled, tmp_path)):
        found = client.search("metadata.n = 5")[0]
        read = client.get_artifact("data1", 3)
        assert found.to_json() == read.to_json()
        assert found.manifest_digest == read.manifest_digest
        assert found.read_bytes() == b"5"
        assert pickle.loads(pickle.dumps(found)).to_json() == read.to_json()
        assert pickle.loads(pickle.dumps(client)).search("metadata.n = 5")[0].version == 3


def test_the_folder_is_private_and_an_unwritable_one_is_done_without(filled, tmp_path):
    refs(filled)
    for folder in (tmp_path / "cache", *(path for path in (tmp_path / "cache/catalogs").rglob("*") if path.is_dir())):
        assert folder.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("no folder")
    client = MetaMLFlowClient(filled.storage_uri, cache_dir=tmp_path / "file")
    assert refs(client) == EXPECTED


def test_a_catalog_that_has_no_place_in_the_cache_goes_to_the_temp_folder_that_is_set(filled, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "roomy").mkdir()
    monkeypatch.setenv("METAMLFLOW_TMPDIR", str(tmp_path / "roomy"))
    client = MetaMLFlowClient(filled.storage_uri, cache_dir=tmp_path / "file")
    assert refs(client) == EXPECTED
    assert list((tmp_path / "roomy").rglob("*.parquet"))


def test_what_others_could_write_is_thrown_away(filled, tmp_path):
    refs(filled)
    (segment,) = segments(tmp_path)
    (tmp_path / "cache").chmod(0o777)
    assert refs(another(filled, tmp_path)) == EXPECTED
    assert segment not in segments(tmp_path)


def test_what_killed_processes_have_left_goes_after_a_day(filled, tmp_path):
    refs(filled)
    folder = segments(tmp_path)[0].parent
    old, new = folder / "1-a.2.temp", folder / "shared.3.temp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (old.stat().st_mtime - 90_000,) * 2)
    assert refs(another(filled, tmp_path)) == EXPECTED
    assert [path.exists() for path in (old, new)] == [False, True]


def test_clearing_the_cache_deletes_the_catalogs(filled, tmp_path):
    refs(filled)
    filled.clear_cache()
    assert segments(tmp_path) == []
    assert refs(another(filled, tmp_path)) == EXPECTED


def test_two_clients_with_one_folder_do_not_disturb_one_another(filled, tmp_path):
    clients = [another(filled, tmp_path) for _ in range(4)]
    failures = []

    def work(number: int) -> None:
        try:
            for count in range(4):
                made = clients[number].register_artifact(f"by{number}", b"%d" % count, "file", {"n": count})
                assert f"{made.name}@{made.version}" in refs(clients[number])
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(refs(another(filled, tmp_path))) == 6 + 16
    assert len(segments(tmp_path)) <= 9


def test_another_store_at_the_same_place_is_another_catalog(client, raw, tmp_path):
    client.register_artifact("data", b"1", "file", {"n": 1})
    assert refs(client, "metadata.n = 1") == ["data@1"]
    shutil.rmtree(raw.root)
    with pytest.raises(StoreNotFoundError):
        another(client, tmp_path).search(EVERY)
    fresh = another(client, tmp_path)
    fresh.register_artifact("data", b"1", "file", {"n": 2})
    assert refs(fresh, "metadata.n = 1") == []


def test_a_manifest_that_was_replaced_is_read_again(tmp_path):
    bucket = Md5Backend()
    client = client_of(bucket, tmp_path / "cache")
    client.register_artifact("data", b"1", "file", {"n": 1})
    assert refs(client, "metadata.n = 1") == ["data@1"]
    key = "artifacts/data/_versions/9999999998_v1.json"
    data = bucket.bucket.get(key).data
    bucket.delete([key])
    bucket.create(key, data.replace(b'"n":1', b'"n":2'))
    assert refs(client, "metadata.n = 1") == []
    assert refs(client, "metadata.n = 2") == ["data@1"]


def test_a_damaged_manifest_hides_no_other_and_is_warned_of(filled, raw):
    refs(filled)
    raw.overwrite(raw.manifest_path("data0", 2), b"no manifest")
    with pytest.warns(DamagedRecordWarning, match="data0/_versions/9999999997_v2"):
        assert refs(filled) == [ref for ref in EXPECTED if ref != "data0@2"]


def test_a_version_whose_state_cannot_be_told_is_not_found(filled, raw):
    raw.prune("data0", 2)
    assert refs(filled) == [ref for ref in EXPECTED if ref != "data0@2"]
    states = {(row["name"], row["version"]): row["state"] for row in filled.catalog().to_pylist()}
    assert states["data0", 2] == "pruned"
    assert states["data0", 1] == "live"
    raw.overwrite(raw.manifest_path("data0", 2).with_name("9999999997_v2.state-9999999998.json"), b"{}")
    with pytest.warns(DamagedRecordWarning):
        assert refs(filled) == [ref for ref in EXPECTED if ref != "data0@2"]


def test_hidden_names_are_searched_only_when_asked_for(filled, raw):
    place = raw.root / "names/data0!/9999999998.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"format":1,"record_id":"%s","created_at":"2026-02-03T04:05:06Z","state":"hidden"}' % ("a" * 32))
    assert refs(filled) == EXPECTED[3:]
    assert [f"{one.name}@{one.version}" for one in filled.search(EVERY, include_hidden=True)] == EXPECTED
    assert set(filled.catalog().filter(pa.compute.field("hidden"))["name"].to_pylist()) == {"data0"}


def test_a_malformed_expression_is_refused_before_any_request(tmp_path):
    with pytest.raises(InvalidInputError, match="unknown field 'accuracy'"):
        MetaMLFlowClient(tmp_path / "no store").search("accuracy > 1")


def test_a_manifest_too_large_for_the_catalog_is_found_all_the_same(client, monkeypatch):
    monkeypatch.setattr("metamlflow.store.find.columns.MOST_DOCUMENT_BYTES", 600)
    for number in range(3):
        client.register_artifact("data", b"%d" % number, "file", {"n": number, "text": "x" * 400 * number})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [artifact.metadata["n"] for artifact in client.search("metadata.n >= 0")] == [0, 1, 2]


def test_without_pyarrow_the_error_names_the_extra_and_listing_goes_on(filled, monkeypatch):
    import sys

    from metamlflow.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: filled.search(EVERY), filled.catalog, lambda: filled.sql("select 1")):
        with pytest.raises(MissingDependencyError) as caught:
            call()
        assert caught.value.extra == "arrow"
    assert len(filled.list_artifacts()) == 2


MOST_VALUES = 1_000
MANY_VALUES = {
    "at the top": lambda count: {f"k{number}": number for number in range(count)},
    "in one mapping": lambda count: {"k0": 0, "more": {f"k{number}": number for number in range(1, count - 1)}},
    "in mappings of mappings": lambda count: {
        "k0": 0,
        "more": {f"m{first}": {"n": {f"k{n}": n for n in range(97)}} for first in range((count - 2) // 99)},
    },
}


@pytest.mark.parametrize("form", MANY_VALUES)
@pytest.mark.parametrize("count", [MOST_VALUES - 1, MOST_VALUES, MOST_VALUES + 1, 3 * MOST_VALUES])
def test_a_version_is_found_by_each_of_its_metadata_values_however_many_it_has(client, tmp_path, form, count):
    client.register_artifact("wide", b"x", "file", MANY_VALUES[form](count))
    client.register_artifact("few", b"x", "file", {"k0": 7})
    nested = {"at the top": "k7", "in one mapping": "more.k7", "in mappings of mappings": "more.m2.n.k7"}[form]
    for one in (client, another(client, tmp_path)):
        assert refs(one, "metadata.k0 = 0") == ["wide@1"]
        assert refs(one, f"metadata.{nested} = 7") == ["wide@1"]
        assert refs(one, "metadata.k0 != 7") == ["wide@1"]
        assert refs(one, "metadata.nothing = 7") == []


def test_rows_that_another_version_of_the_library_wrote_are_read_again(filled, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("metamlflow.store.find.segments._FORMAT", {b"metamlflow.catalog": b"1"})
        patched.setattr("metamlflow.store.find.columns._leaves", lambda _: [])
        assert refs(filled, "metadata.n = 2") == []
    (old,) = segments(tmp_path)
    assert refs(another(filled, tmp_path), "metadata.n = 2") == ["data0@2"]
    assert old not in segments(tmp_path)


# --- lists of many names ----------------------------------------------------------------------------------------------


@pytest.fixture
def _held_early(monkeypatch):
    """As of a store with hundreds of names."""
    monkeypatch.setattr("metamlflow.store.find.catalog._WORTH_KEEPING", 2)


def listed(client) -> list[str]:
    return [f"{artifact.name}@{artifact.version}" for artifact in client.list_artifacts()]


def open_segments() -> list[str]:
    """The files of catalogs that this process has open."""
    files = Path("/proc/self/fd")
    targets = [str(place.readlink()) for place in files.iterdir() if place.is_symlink()]
    return [target for target in targets if ".parquet" in target]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed there")
@pytest.mark.usefixtures("_held_early")
def test_a_client_that_only_lists_keeps_few_files_however_long_it_goes_on(filled, tmp_path):
    before = len(open_segments())
    for number in range(30):
        made = filled.register_artifact("data0", b"new%d" % number, "file", {"n": number})
        assert listed(filled) == [f"data0@{made.version}", "data1@3"]
        assert len(segments(tmp_path)) <= 9
        assert len(open_segments()) - before <= 9
    assert [artifact.metadata["n"] for artifact in filled.list_artifacts()] == [29, 5]
    fresh = another(filled, tmp_path)
    assert listed(fresh) == [f"data0@{made.version}", "data1@3"]
    assert refs(fresh, "metadata.n = 29") == [f"data0@{made.version}"]


@pytest.mark.usefixtures("_held_early")
def test_a_list_throws_away_what_it_held_of_a_manifest_that_was_replaced(tmp_path):
    import pyarrow.parquet as pq

    bucket = Md5Backend()
    client = client_of(bucket, tmp_path / "cache")
    for name in ("data0", "data1"):
        client.register_artifact(name, b"1", "file", {"who": "Alice"})
    client = client_of(bucket, tmp_path / "cache")  # which has committed none itself
    listed(client)
    key = "artifacts/data0/_versions/9999999998_v1.json"
    data = bucket.bucket.get(key).data
    bucket.delete([key])
    bucket.create(key, data.replace(b"Alice", b"Robin"))
    assert [artifact.metadata["who"] for artifact in client.list_artifacts()] == ["Robin", "Alice"]
    held = [document for path in segments(tmp_path) for document in pq.read_table(path)["document"].to_pylist()]
    assert sorted(b"Alice" in document for document in held) == [False, True]


def no_room(*_args, **_more):
    raise OSError(errno.ENOSPC, "No space left on device")


FULL = {
    "no file can be renamed": [("pathlib.Path.rename", no_room)],
    "no file can be written": [("pyarrow.parquet.ParquetWriter.write_batch", no_room)],
    "no file can be opened for writing": [("pyarrow.parquet.ParquetWriter.__init__", no_room)],
    "no temporary folder can be made": [("pathlib.Path.rename", no_room), ("tempfile.mkdtemp", no_room)],
}


@pytest.mark.parametrize("what", FULL)
@pytest.mark.usefixtures("_held_early")
def test_where_nothing_can_be_held_lists_are_whole_and_a_search_is_an_error_of_the_storage(filled, monkeypatch, what):
    for place, instead in FULL[what]:
        monkeypatch.setattr(place, instead)
    for _ in range(2):
        assert listed(filled) == ["data0@3", "data1@3"]
    for call in (refs, lambda client: client.catalog()):
        with pytest.raises(StorageFullError, match="No space left on device") as caught:
            call(filled)
        assert "METAMLFLOW_TMPDIR" in caught.value.hint
    monkeypatch.undo()
    assert refs(filled) == EXPECTED


def test_where_nothing_may_be_written_a_search_is_an_error_of_the_storage(filled, monkeypatch):
    def refused(*_args, **_more):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refused)
    with pytest.raises(StorageError, match="Permission denied") as caught:
        refs(filled)
    assert type(caught.value) is StorageError
