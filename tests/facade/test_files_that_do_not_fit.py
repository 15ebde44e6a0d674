"""A scan leaves out no column of a later file and changes no value of it: where it would, it is an error."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from table_samples import parquet

from extras import imported as large
from metamlflow import Dataset
from metamlflow.errors import InvalidInputError

FIRST = pa.table({"x": [1]})


def column(values, kind=None):
    return pa.table({"x": pa.array(values, kind)})


MISFITS = {
    "a column more": (FIRST, pa.table({"x": [2], "y": [3]})),
    "a column in another case": (FIRST, pa.table({"X": [2]})),
    "a number for a bool": (column([True]), column([7])),
    "a number for a text": (column(["a"]), column([7])),
    "a wider float": (column([1.5], pa.float32()), column([0.1])),
    "a time for a date": (column([dt.date(2026, 1, 31)]), column([dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)])),
    "a time without a zone": (column([1], pa.timestamp("us", "UTC")), column([1], pa.timestamp("us"))),
    "a member more": (column([{"a": 1}]), column([{"a": 1, "b": 2}])),
    "a member more in a list": (column([[{"a": 1}]]), column([[{"a": 1, "b": 2}]])),
    "a map of others": (
        column([[("k", True)]], pa.map_("string", "bool")),
        column([[("k", 7)]], pa.map_("string", "int64")),
    ),
}
FITTING = {
    "a column less": (pa.table({"x": [1], "y": [2]}), column([3]), [(1, 2), (3, None)]),
    "another order": (pa.table({"x": [1], "y": [2]}), pa.table({"y": [4], "x": [3]}), [(1, 2), (3, 4)]),
    "a narrower number": (column([1]), column([2], pa.int8()), [(1,), (2,)]),
    "nothing but nulls": (column(["a"]), column([None], pa.null()), [("a",), (None,)]),
    "codes of texts": (column(["a"]), pa.table({"x": pa.array(["b"]).dictionary_encode()}), [("a",), ("b",)]),
    "large texts": (column(["a"]), column(["b"], pa.large_string()), [("a",), ("b",)]),
    "a member less": (column([{"a": 1, "b": 2}]), column([{"a": 3}]), [({"a": 1, "b": 2},), ({"a": 3, "b": None},)]),
}
READERS = {
    "scan": lambda data: data.scan().to_table(),
    "batches": lambda data: pa.Table.from_batches(list(data.iter_batches())),
}


@pytest.fixture
def registered(client):
    def register(first, second, name="part-{}.parquet"):
        files = {name.format(number): content for number, content in enumerate((first, second))}
        return Dataset(client.register_artifact("data", files, "dataset"))

    return register


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_file_that_does_not_fit_is_an_error(registered, misfit, reader):
    data = registered(*map(parquet, MISFITS[misfit]))
    with pytest.raises(InvalidInputError, match=r"'part-1\.parquet'") as refusal:
        READERS[reader](data)
    assert "Give path=" in refusal.value.hint
    assert data.scan("part-0.parquet").to_table().num_rows == 1


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pair", FITTING)
def test_a_file_that_fits_is_read(registered, pair, reader):
    first, second, rows = FITTING[pair]
    found = READERS[reader](registered(parquet(first), parquet(second)))
    assert [tuple(row.values()) for row in found.to_pylist()] == rows


def test_lazy_frames_and_relations_leave_nothing_out_either(registered):
    data = registered(*map(parquet, MISFITS["a column more"]))
    polars, duckdb = large("polars"), large("duckdb")
    with pytest.raises(Exception, match="columns are not the same"):  # polars has errors of its own
        data.to_polars(lazy=True).collect()
    with duckdb.connect() as connection, pytest.raises(duckdb.Error, match="columns are not the same"):
        data.to_duckdb(connection).fetchall()
    assert polars is not None


@pytest.mark.full
def test_a_file_that_fails_ends_each_query_of_duckdb_and_none_waits_for_ever(client):
    duckdb = large("duckdb")
    fits, more = parquet(pa.table({"x": [1]})), parquet(pa.table({"x": [1], "y": [2]}))
    files = {f"part-{number}.parquet": more if number % 3 == 1 else fits for number in range(8)}
    data = Dataset(client.register_artifact("data", files, "dataset"))
    for _ in range(100):
        with duckdb.connect() as connection, pytest.raises(duckdb.Error, match="columns are not the same"):
            data.to_duckdb(connection).fetchall()


TEXTS = {
    "a column more.csv": (b"x\n1\n", b"x,y\n2,3\n"),
    "a number for a bool.csv": (b"x\ntrue\n", b"x\n7\n"),
    "a field more.jsonl": (b'{"x":1}\n', b'{"x":2,"y":3}\n'),
    "a member more.jsonl": (b'{"x":{"a":1}}\n', b'{"x":{"a":1,"b":2}}\n'),
    "a field in a late row.jsonl": (b'{"x":1}\n' * 2_200_000 + b'{"x":2,"y":3}\n', b'{"x":1}\n'),
}


LARGE = b"9007199254740993"
ROUNDED = {
    "column.csv": (b"x\n1.5\n", b"x\n" + LARGE + b"\n"),
    "column.tsv.gz": [pa.Codec("gzip").compress(text, asbytes=True) for text in (b"x\n1.5\n", b"x\n-" + LARGE + b"\n")],
    "a late row.csv": (b"x\n1.5\n", b"x\n" + b"1\n" * 9_000_000 + LARGE + b"\n"),
    "field.jsonl": (b'{"x":1.5}\n', b'{"x":' + LARGE + b"}\n"),
    "member.jsonl": (b'{"x":{"a":[1.5]}}\n', b'{"x":{"a":[1,' + LARGE + b"]}}\n"),
}


@pytest.mark.full
@pytest.mark.parametrize("name", ROUNDED)
def test_a_whole_number_that_would_be_rounded_is_an_error(registered, name):
    data = registered(*ROUNDED[name], name="part-{}." + name.partition(".")[2])
    with pytest.raises(InvalidInputError, match="not in range"):
        data.scan().to_table()


@pytest.mark.full
@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_do_not_fit_are_an_error(registered, name):
    data = registered(*TEXTS[name], name="part-{}." + name.rpartition(".")[2])
    with pytest.raises(InvalidInputError, match=r"fit|not the same"):
        data.scan().to_table()


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        (b"x\n1.5\n", b"x\n2\n", [1.5, 2.0]),
        (b"x\na\n", b"x\n01\n", ["a", "01"]),
        (b"x,y\n1,2\n", b"x,y\n,3\n", [1, None]),
    ],
)
def test_texts_that_fit_are_read(registered, first, second, rows):
    assert registered(first, second, "part-{}.csv").scan().to_table()["x"].to_pylist() == rows


def test_a_packed_file_of_lines_is_checked_and_read(registered):
    lines = [pa.Codec("gzip").compress(text, asbytes=True) for text in (b'{"x":1}\n', b'{"x":2}\n', b'{"y":2}\n')]
    assert registered(*lines[:2], "part-{}.jsonl.gz").scan().to_table()["x"].to_pylist() == [1, 2]
    with pytest.raises(InvalidInputError, match="unexpected field"):
        registered(*lines[1:], "part-{}.jsonl.gz").scan().to_table()
