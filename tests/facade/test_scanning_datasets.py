"""Lazy reading: a scan, batches, lazy frames and relations give the rows that were registered."""

from __future__ import annotations

import io
import json
import tracemalloc
import zlib
from contextlib import suppress

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from table_samples import LINES, ROWS, TEXT, parquet

from extras import imported as large
from metamlflow import Dataset, IntegrityError
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError
from metamlflow.store.read import ranged
from metamlflow.tables.json_lines import ShallowLines


def file_of(write, table):
    sink = io.BytesIO()
    write(table, sink)
    return sink.getvalue()


FILES = {
    "a.csv": TEXT,
    "a.tsv": TEXT.replace(b",", b"\t"),
    "a.csv.gz": pa.Codec("gzip").compress(TEXT, asbytes=True),
    "a.jsonl": LINES,
    "a.jsonl.gz": pa.Codec("gzip").compress(LINES, asbytes=True),
    "a.parquet": parquet(pa.table(ROWS)),
    "a.feather": file_of(pyarrow.feather.write_feather, pa.table(ROWS)),
    "a.arrow": file_of(pyarrow.feather.write_feather, pa.table(ROWS)),
    "a.orc": file_of(pyarrow.orc.write_table, pa.table(ROWS)),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_each_format_are_scanned_and_read(client, name):
    dataset = Dataset.register(client, "t", {name: FILES[name]})
    assert dataset.files == (name,)
    assert dataset.scan().to_table().to_pydict() == ROWS
    assert dataset.to_arrow().to_pydict() == ROWS
    assert dataset.to_pandas().to_dict("list") == ROWS
    assert pa.Table.from_batches(dataset.iter_batches()).to_pydict() == ROWS


@pytest.mark.parametrize(("name", "fields"), [("a.feather", ["x", "y"]), ("a.arrow", ["x", "y"]), ("a.orc", None)])
def test_schemas_of_feather_files_are_captured(client, name, fields):
    schema = Dataset.register(client, "t", {name: FILES[name]}).schema
    assert (schema and [field["name"] for field in schema["fields"]]) == fields


@pytest.fixture
def rides(client):
    """Three files of ten rows, with row groups of five."""
    files = {}
    for number in range(3):
        table = pa.table({"n": range(number * 10, number * 10 + 10), "city": ["Bern", "Oslo"] * 5})
        files[f"part-{number}.parquet"] = file_of(
            lambda rows, sink: pq.write_table(rows, sink, row_group_size=5), table
        )
    return Dataset.register(client, "rides", files)


def test_a_scan_takes_a_filter_and_columns(rides):
    found = rides.scan().to_table(columns=["n"], filter=(ds.field("n") > 26) & (ds.field("city") == "Oslo"))
    assert found.to_pydict() == {"n": [27, 29]}
    assert rides.scan().count_rows() == 30


def test_batches_come_in_order_and_hold_no_more_rows_than_asked_for(rides):
    batches = list(rides.iter_batches(["n"], 4, filter=ds.field("n") >= 10))
    assert [row for batch in batches for row in batch.column("n").to_pylist()] == list(range(10, 30))
    assert max(batch.num_rows for batch in batches) == 4
    assert {batch.schema.names[0] for batch in batches} == {"n"}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["n", "ctiy"], "rides@1 has no column 'ctiy'"),
        (["a", "b"], "rides@1 has no columns 'a', 'b'"),
        ("city", "columns: expected a list of names, got 'city'"),
    ],
)
def test_unknown_columns_are_refused_before_anything_is_read(rides, columns, told):
    with pytest.raises(InvalidInputError, match=told) as caught:
        rides.iter_batches(columns)
    assert "'city'" in caught.value.hint


def test_a_lazy_polars_frame_reads_what_its_query_needs(rides):
    polars = large("polars")
    lazy = rides.to_polars(lazy=True)
    assert isinstance(lazy, polars.LazyFrame)
    assert lazy.filter(polars.col("n") > 27).select("n").collect().to_dict(as_series=False) == {"n": [28, 29]}
    assert rides.to_polars().height == 30


def test_duckdb_queries_a_data_set(rides):
    duckdb = large("duckdb")
    asked = "city, sum(n)"
    assert sorted(rides.to_duckdb().aggregate(asked).fetchall()) == [("Bern", 210), ("Oslo", 225)]
    with duckdb.connect() as connection:
        assert rides.to_duckdb(connection).filter("n > 20").aggregate("count(*)").fetchall() == [(9,)]


def test_splits_are_folders_or_names_of_files(client):
    files = ["train/a.csv", "train/deep/b.csv", "test.csv", "valid-00000-of-00002.csv", "valid-00001-of-00002.csv"]
    files += ["part-00000.csv", "data.csv", ".hidden.csv", "notes.md"]
    dataset = Dataset.register(client, "t", dict.fromkeys(files, TEXT))
    assert dataset.splits == {
        "test": ("test.csv",),
        "train": ("train/a.csv", "train/deep/b.csv"),
        "valid": ("valid-00000-of-00002.csv", "valid-00001-of-00002.csv"),
    }
    rows = len(ROWS["x"])
    assert len(dataset.to_pandas("valid")) == 2 * rows
    assert dataset.scan("train").count_rows() == 2 * rows
    assert dataset.to_arrow("test").num_rows == rows
    with pytest.raises(ArtifactNotFoundError):
        dataset.scan("production")


def test_damage_in_a_local_store_is_found_by_a_scan(client, raw):
    dataset = Dataset.register(client, "t", pd.DataFrame({"a": range(1000)}))
    (blob,) = (raw.root / key for key in raw.blobs())
    content = bytearray(blob.read_bytes())
    content[100] ^= 1
    raw.overwrite(blob, bytes(content))
    for read in (dataset.scan, dataset.to_arrow, dataset.to_pandas, lambda: list(dataset.iter_batches())):
        with pytest.raises(IntegrityError):
            read()


def test_a_local_file_is_verified_once_until_it_changes(client, raw, monkeypatch):
    dataset = Dataset.register(client, "t", pd.DataFrame({"a": range(1000)}))
    (blob,) = (raw.root / key for key in raw.blobs())
    content, digested = blob.read_bytes(), []
    verify = ranged._verify
    monkeypatch.setattr(ranged, "_verify", lambda *given: digested.append(1) or verify(*given))
    for _ in range(3):
        assert dataset.scan().to_table().num_rows == 1000
    assert len(digested) == 1
    raw.overwrite(blob, content)
    assert (dataset.scan().count_rows(), len(digested)) == (1000, 2), "it is another file, of the same content"
    raw.overwrite(blob, content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(IntegrityError):
        dataset.scan()
    blob.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        dataset.scan()


def test_a_scan_counts_as_a_use_in_a_run(client):
    Dataset.register(client, "t", pd.DataFrame({"a": [1]}))
    with client.run("fit"):
        Dataset.open(client, "t").scan().to_table()
        made = client.register_artifact("model", b"m")
    assert [str(used.name) for used in made.inputs] == ["t"]


def test_pointed_files_are_scanned_where_they_are(client, tmp_path):
    (tmp_path / "lake").mkdir()
    pq.write_table(pa.table(ROWS), tmp_path / "lake" / "a.parquet")
    client.register_pointer("lake", tmp_path / "lake")
    assert Dataset.open(client, "lake").scan().to_table().to_pydict() == ROWS


@pytest.mark.parametrize(("name", "fields"), [("a.parquet", ["x", "y"]), ("a.feather", ["x", "y"]), ("a.csv", None)])
def test_the_columns_of_pointed_files_with_a_footer_are_captured(client, tmp_path, name, fields):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "0.csv").write_bytes(TEXT)
    (tmp_path / "lake" / name).write_bytes(FILES[name])
    for evidence in ("stat", "full"):
        schema = client.register_pointer("lake", tmp_path / "lake", evidence=evidence).schema
        assert (schema and schema["path"]) == (fields and name)
        assert (schema and [field["name"] for field in schema["fields"]]) == fields


def test_a_pointed_file_that_is_damaged_is_registered_without_columns(client, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no PAR1")
    artifact = client.register_pointer("lake", tmp_path / "a.parquet")
    assert (artifact.schema, artifact.read_bytes()) == (None, b"PAR1 no PAR1")


def test_the_columns_are_kept_by_versions_that_are_derived(client, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.parquet").write_bytes(FILES["a.parquet"])
    lake = client.register_pointer("lake", tmp_path / "lake", evidence="stat")
    stronger = lake.strengthen("full")
    assert (stronger.version, stronger.schema) == (2, lake.schema)
    (tmp_path / "lake" / "b.parquet").write_bytes(parquet(pa.table({"other": [1]})))
    assert stronger.refresh().artifact.schema == lake.schema
    (tmp_path / "lake" / "a.parquet").write_bytes(parquet(pa.table({"new": [1]})))
    renewed = client.get_artifact("lake").refresh().artifact
    assert [field["name"] for field in renewed.schema["fields"]] == ["new"]
    assert renewed.materialize().schema == renewed.schema


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.orc", "a.csv", "a.csv.gz"])
def test_hostile_files_end_in_an_error_or_in_rows(client, name):
    whole = FILES[name]
    cases = [whole[:-3], whole[:20], b"\0" * 64, whole[: len(whole) // 2] + b"\xff" * 9 + whole[len(whole) // 2 + 9 :]]
    for content in [*cases, b"PAR1" + b"\xff" * 8 + b"PAR1", b"x" * 5000]:
        dataset = Dataset.register(client, "hostile", {name: content})
        for read in (Dataset.scan, Dataset.to_arrow, Dataset.to_pandas):
            with suppress(OSError, ValueError, EOFError, pa.ArrowException, zlib.error):
                found = read(dataset)
                assert found.to_table() if read is Dataset.scan else found is not None


DEEP = 100_000
OPENED = b"[" * DEEP + b"]" * DEEP


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson.zst"])
@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + OPENED + b"}",
        b'{"a":1}\n{"a":' + b"[\n" * DEEP,
        b'{"a":"\\\\"}\n{"b":"]]\\"]]","a":' + OPENED + b"}",
        b'{"a":"' + b"]" * 300 + b"\n" + b'{"a":' + OPENED + b"}",
        b'{"a":' * DEEP,
    ],
    ids=["one line", "many lines", "behind strings", "behind an open string", "objects"],
)
def test_json_lines_that_would_end_the_process_are_refused(client, name, text):
    codec = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2])
    content = pa.Codec(codec).compress(text, asbytes=True) if codec else text
    dataset = Dataset.register(client, "t", {name: content})
    for read in (Dataset.to_arrow, Dataset.scan):
        with pytest.raises(InvalidInputError, match="nested more than 200 deep"):
            read(dataset)


def depth_in_parts(text, size):
    lines = ShallowLines(io.BytesIO(text))
    while lines.read(size):
        pass
    return lines._depth


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("string", [b'"]\\\\"', b'"]\\"]"', b'"]\\\\\\"]"', b'"', b'"\\', b'"\\\\', b"\0", b'\0"]'])
def test_strings_that_are_cut_anywhere_hide_no_depth(size, string):
    """Each string takes nothing of the next line with it, and no bracket in it counts."""
    row = b'{"a":[' + string
    assert depth_in_parts(row + b"\n" + b"]}" * 9 + b"[" * 200, size) == 200
    with pytest.raises(InvalidInputError, match="deep"):
        depth_in_parts(row + b"\n" + b"]}" * 9 + b"[" * 201, size)


@pytest.mark.full
def test_the_memory_for_a_line_without_end_is_that_of_one_read():
    """So its time does not grow with the square of its size either: no byte is looked at twice."""

    lines = ShallowLines(io.BytesIO(b'{"a":"' + b"x" * (30 << 20)))
    tracemalloc.start()
    try:
        while lines.read(1 << 20):
            pass
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_json_lines_with_brackets_in_texts_are_read(client):
    rows = [{"a": "[" * 999 + '\\"', "b": {"c": [[1]]}}, {"a": "}" * 9, "b": {"c": []}}]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    dataset = Dataset.register(client, "t", {"a.jsonl": text.encode() * 300})
    assert dataset.to_arrow().to_pylist() == rows * 300
    assert dataset.scan().to_table().to_pylist() == rows * 300


def test_names_of_columns_are_escaped_in_notebooks(client):
    attack = "<script>alert(1)</script>"
    dataset = Dataset.register(client, "t", pa.table({attack: [1], "b": ["x"]}))
    shown = dataset._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "int64" in shown
