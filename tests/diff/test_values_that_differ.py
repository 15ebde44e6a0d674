"""Rows that differ are never counted as unchanged, whatever their types: others are left out by name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from extras import imported
from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.errors import InvalidInputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
imported("duckdb")


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store")


@pytest.fixture
def rows_of(client, tmp_path):
    """The difference of two versions, each of files: text, or columns called ``x`` as Parquet files."""

    def rows(*versions, **options):
        for number, files in enumerate(versions):
            folder = tmp_path / f"files{number}"
            folder.mkdir()
            for name, content in files.items():
                if isinstance(content, str):
                    (folder / name).write_text(content)
                else:
                    pq.write_table(pa.table({"id": pa.array(range(len(content))), "x": content}), folder / name)
            Dataset.register(client, "t", folder)
        return client.diff("t@1", "t@2", rows=True, **options).rows

    return rows


def numbers(rows):
    return rows.added, rows.removed, rows.changed, rows.unchanged


NS = pa.timestamp("ns")
TOKYO = pa.timestamp("ns", "Asia/Tokyo")
APART = {
    "durations of nanoseconds": (pa.array([1500], pa.duration("ns")), pa.array([1000], pa.duration("ns"))),
    "durations of two units": (pa.array([1500], pa.duration("ns")), pa.array([1], pa.duration("us"))),
    "durations of a month": (pa.array([30 * 86_400_000], pa.duration("ms")), pa.array([2**62], pa.duration("ms"))),
    "categories of durations": (
        pa.array([1500], pa.duration("ns")).dictionary_encode(),
        pa.array([1000], pa.duration("ns")).dictionary_encode(),
    ),
    "moments": (pa.array([1500], NS), pa.array([1000], NS)),
    "moments of two units": (pa.array([1500], NS), pa.array([1], pa.timestamp("us"))),
    "instants": (pa.array([1500], TOKYO), pa.array([1000], TOKYO)),
    "instants of two units": (pa.array([1500], TOKYO), pa.array([1], pa.timestamp("us", "UTC"))),
    "times": (pa.array([1500], pa.time64("ns")), pa.array([1], pa.time64("us"))),
    "dates and moments": (pa.array([0], pa.date32()), pa.array([1], NS)),
    "int64 and double": (pa.array([2**53 + 1]), pa.array([2.0**53])),
    "uint64 and double": (pa.array([2**64 - 1], pa.uint64()), pa.array([2.0**64])),
    "int32 and float": (pa.array([2**24 + 1], pa.int32()), pa.array([2.0**24], pa.float32())),
    "int16 and half": (pa.array([2049], pa.int16()), pa.array([2048], pa.float16())),
    "uint64 and int64": (pa.array([2**64 - 1], pa.uint64()), pa.array([-1])),
    "float and double": (pa.array([0.1], pa.float32()), pa.array([0.1])),
    "decimals of two scales": (pa.array([Decimal("1.5")]), pa.array([Decimal("1.4999999999999999")])),
    "int64 and decimal": (pa.array([2**53 + 1]), pa.array([Decimal(2**53)])),
    "double and text": (pa.array([0.1 + 0.2]), pa.array(["0.3"])),
    "bool and int": (pa.array([True]), pa.array([2])),
    "moments and text": (pa.array([1500], NS), pa.array(["1970-01-01 00:00:00.000001"])),
    "text with NUL": (pa.array(["a\0"]), pa.array(["a"])),
    "lists of moments": (pa.array([[1500]], pa.list_(NS)), pa.array([[1000]], pa.list_(NS))),
}


@pytest.mark.parametrize("name", APART)
def test_rows_that_differ_are_not_unchanged(rows_of, name):
    before, after = APART[name]
    rows = rows_of({"a.parquet": before}, {"a.parquet": after}, keys=["id"])
    assert (numbers(rows), rows.columns) == ((0, 0, 1, 0), ("id", "x"))


EQUAL = {
    "durations of two units": (pa.array([1000], pa.duration("ns")), pa.array([1], pa.duration("us"))),
    "int64 and double": (pa.array([2**53, -1, 0, None]), pa.array([2.0**53, -1.0, -0.0, None])),
    "uint64 and float": (pa.array([2**63], pa.uint64()), pa.array([2.0**63], pa.float32())),
    "doubles of which one is whole": (pa.array([0.0, float("nan")]), pa.array([-0.0, -float("nan")])),
    "moments of two units": (pa.array([1000], NS), pa.array([1], pa.timestamp("us"))),
    "decimals of two scales": (pa.array([Decimal("1.50")]), pa.array([Decimal("1.5")])),
    "int32 and decimal": (pa.array([7], pa.int32()), pa.array([Decimal("7.00")])),
    "halves and doubles": (pa.array([1.5], pa.float16()), pa.array([1.5])),
    "int64 and text": (pa.array([12]), pa.array(["12"])),
    "nothing and durations": (pa.nulls(1), pa.array([None], pa.duration("ns"))),
}


@pytest.mark.parametrize("name", EQUAL)
def test_values_that_are_equal_in_two_types_are_unchanged(rows_of, name):
    before, after = EQUAL[name]
    rows = rows_of({"a.parquet": before}, {"a.parquet": after}, keys=["id"])
    assert (numbers(rows), rows.columns) == ((0, 0, 0, len(before)), ("id", "x"))


SECONDS = pa.duration("s")
LEFT_OUT = {
    "decimal and double": (pa.array([Decimal("0.1")]), pa.array([0.1])),
    "decimals that no decimal holds": (
        pa.array([Decimal("1.49")], pa.decimal128(38, 2)),
        pa.array([Decimal("1.4900001")], pa.decimal128(38, 20)),
    ),
    "moments and instants": (pa.array([0], NS), pa.array([0], TOKYO)),
    "dates and instants": (pa.array([0], pa.date32()), pa.array([0], TOKYO)),
    "instants and text": (pa.array([0], TOKYO), pa.array(["1970-01-01 00:00:00+00"])),
    "durations and integers": (pa.array([0], SECONDS), pa.array([0])),
    "lists of durations": (pa.array([[1]], pa.list_(SECONDS)),) * 2,
    "maps of durations": (pa.array([[("a", 1)]], pa.map_(pa.string(), SECONDS)),) * 2,
    "durations in a list in a struct": (pa.array([{"a": [1]}], pa.struct([("a", pa.list_(SECONDS))])),) * 2,
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_columns_that_cannot_be_compared_without_rounding_are_left_out_by_name(rows_of, client, name):
    before, after = LEFT_OUT[name]
    rows = rows_of({"a.parquet": before}, {"a.parquet": after})
    assert (numbers(rows), rows.columns, set(rows.left_out)) == ((0, 0, 0, 1), ("id",), {"x"})
    with pytest.raises(InvalidInputError, match="'x' cannot be a key: "):
        client.diff("t@1", "t@2", keys=["x"])


def test_an_error_for_versions_without_a_comparable_column_says_why(client):
    for column in (pa.array([Decimal("0.1")]), pa.array([0.1])):
        Dataset.register(client, "only", pa.table({"x": column}))
    with pytest.raises(InvalidInputError, match=r"no column .* compared: 'x', since its types are decimal128"):
        client.diff("only@1", "only@2", rows=True)


MIXED_TEXT = {
    "csv": ("x\n1\n", "x\nabc\n", "x\nabd\n"),
    "csv of fractions": ("x\n1\n", "x\n1.5\n", "x\n1.25\n"),
    "csv of large numbers": ("x\n0.5\n", f"x\n{2**53 + 1}\n", f"x\n{2**53}\n"),
    "csv of an empty column": ("x\n\n", "x\nabc\n", "x\nabd\n"),
}


@pytest.mark.parametrize("name", MIXED_TEXT)
def test_csv_files_whose_types_differ_are_compared_as_text(rows_of, name):
    first, second, other = MIXED_TEXT[name]
    rows = rows_of({"a.csv": first, "b.csv": second}, {"a.csv": first, "b.csv": other})
    assert (rows.added, rows.removed, rows.unchanged, rows.as_text) == (1, 1, rows.before - 1, True)


DATE = dt.date(2026, 1, 1)
MIXED = {
    "numbers and text": (pa.array([1]), pa.array(["abc"])),
    "numbers and text of numbers": (pa.array([1]), pa.array(["01"])),
    "float and double": (pa.array([0.5], pa.float32()), pa.array([0.1])),
    "double and int64": (pa.array([0.5]), pa.array([2**53 + 1])),
    "double and decimal": (pa.array([0.5]), pa.array([Decimal("0.10000000000000000001")])),
    "durations": (pa.array([1], pa.duration("us")), pa.array([1500], pa.duration("ns"))),
    "moments": (pa.array([1], pa.timestamp("us")), pa.array([1500], NS)),
    "dates": (pa.array([DATE]), pa.array([1], NS)),
    "lists and numbers": (pa.array([[1]]), pa.array([1])),
    "nothing and numbers": (pa.nulls(1), pa.array([1])),
}


@pytest.mark.parametrize("name", MIXED)
def test_files_of_one_version_whose_values_do_not_fit_one_type_are_an_error_that_names_them(rows_of, name):
    first, second = MIXED[name]
    with pytest.raises(InvalidInputError, match=r"the column 'x' has the type .* in 'a.parquet', which .*'b.parquet'"):
        rows_of({"a.parquet": first, "b.parquet": second}, {"a.parquet": first})


def test_json_files_whose_types_differ_are_an_error_that_names_them(rows_of):
    with pytest.raises(InvalidInputError, match=r"t@1: the column 'x' has the type int64 in 'a.jsonl'"):
        rows_of({"a.jsonl": '{"x":1}\n', "b.jsonl": '{"x":"abc"}\n'}, {"a.jsonl": '{"x":1}\n'})


FITTING = {
    "wider numbers": (pa.array([0.5]), pa.array([0.25], pa.float32())),
    "not a number": (pa.array([0.5], pa.float32()), pa.array([float("nan"), 0.5])),
    "nothing": (pa.array([1], pa.duration("ns")), pa.nulls(1)),
    "durations": (pa.array([1], pa.duration("ns")), pa.array([1], pa.duration("us"))),
    "categories": (pa.array(["a"]), pa.array(["b"]).dictionary_encode()),
    "lists": (pa.array([[1, None]]), pa.array([[2]], pa.list_(pa.int8()))),
}


@pytest.mark.parametrize("name", FITTING)
def test_files_of_one_version_may_have_types_that_fit_the_first(rows_of, name):
    first, second = FITTING[name]
    files = {"a.parquet": first, "b.parquet": second}
    rows = rows_of(files, files)
    assert numbers(rows) == (0, 0, 0, len(first) + len(second))
