"""Frames of polars, and Arrow tables whose types Parquet would change."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from extras import imported
from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError

pl = imported("polars")

SPECIES = pl.Enum(["setosa", "versicolor", "never seen"])

COLUMNS = {
    "texts": pl.Series(["a", None]),
    "categories": pl.Series(["a", None], dtype=pl.Categorical),
    "an enum": pl.Series(["versicolor", None], dtype=SPECIES),
    "lists": pl.Series([[1], None]),
    "arrays": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
    "structs": pl.Series([{"a": 1, "b": "x"}, None]),
    "categories in lists": pl.Series([["a"], ["b", None]], dtype=pl.List(pl.Categorical)),
    "an enum in structs": pl.Series([{"a": "setosa"}, None], dtype=pl.Struct({"a": SPECIES})),
    "decimals": pl.Series([Decimal("1.10"), None]),
    "times of day": pl.Series([dt.time(1, 2, 3, 4), None]),
    "time spans": pl.Series([dt.timedelta(days=1), None]),
    "times with a zone": pl.Series([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None]).cast(
        pl.Datetime("ns", "Europe/Berlin")
    ),
    "bytes": pl.Series([b"a", None]),
    "nothing": pl.Series([None, None]),
    "lists of nothing": pl.Series([[None], None], dtype=pl.List(pl.Null)),
    "arrays of nothing": pl.Series([[None, None], None], dtype=pl.Array(pl.Null, 2)),
    "structs of nothing": pl.Series([{"a": None}, None], dtype=pl.Struct({"a": pl.Null})),
    "arrays of structs": pl.Series([[{"a": 1}, {"a": None}], None], dtype=pl.Array(pl.Struct({"a": pl.Int8}), 2)),
    "decimals in arrays": pl.Series([[Decimal("1.10"), None], None], dtype=pl.Array(pl.Decimal(38, 2), 2)),
    "time spans in lists": pl.Series([[dt.timedelta(days=1)], []], dtype=pl.List(pl.Duration("ms"))),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_polars_frame_comes_back_as_it_was(client, column):
    given = pl.DataFrame({"x": column, "n": [1, 2]})
    artifact = Dataset.register(client, "t", given).artifact
    for found in (pl.from_arrow(Dataset(artifact).to_arrow()), pl.read_parquet(artifact.local_path())):
        assert found.schema == given.schema
        assert found.equals(given)


@pytest.mark.full
@pytest.mark.parametrize("kind", [pl.List(SPECIES), pl.List(pl.Categorical), pl.Struct({"e": SPECIES})], ids=str)
def test_categories_within_lists_and_structs_are_read_from_many_row_groups(client, kind):
    first, last = ({"e": name} if kind == pl.Struct else [name] for name in ("setosa", "versicolor"))
    given = pl.DataFrame({"x": pl.Series([first] * 140_000 + [last] * 140_000, dtype=kind)})
    found = pl.from_arrow(Dataset.register(client, "t", given).to_arrow())
    assert found.schema == given.schema
    assert found.equals(given)


NAMES = {
    "an empty name": (pl.DataFrame({"": [1]}), "column ''"),
    "a NUL": (pl.DataFrame({"a\0b": [1]}), "column 'a"),
    "a NUL in a struct": (pl.DataFrame({"x": [{"a\0b": 1}]}), "field 'a"),
    "a NUL in a list of structs": (pl.DataFrame({"x": [[{"a\0b": 1}]]}), "field 'a"),
}


@pytest.mark.parametrize(("given", "told"), NAMES.values(), ids=NAMES)
def test_a_name_that_polars_does_not_take_back_is_refused(client, tmp_path, given, told):
    with pytest.raises(InvalidInputError, match=told):
        Dataset.register(client, "t", given)
    assert not (tmp_path / "store").exists()


def test_an_enum_without_rows_keeps_its_categories(client):
    given = pl.DataFrame({"x": pl.Series([], dtype=SPECIES)})
    assert pl.from_arrow(Dataset.register(client, "t", given).to_arrow()).schema == given.schema


def test_categories_that_grow_from_part_to_part_are_kept(client):
    parts = [pl.DataFrame({"x": pl.Series([f"{part}-{i % 9}" for i in range(90_000)])}) for part in range(3)]
    given = pl.concat(parts, rechunk=False).cast(pl.Categorical)
    first = Dataset.register(client, "t", given)
    assert pl.from_arrow(first.to_arrow()).equals(given)
    assert Dataset.register(client, "t", given.rechunk()).artifact.digest == first.artifact.digest


@pytest.mark.parametrize("kind", [pl.Object, pl.Int128], ids=["Python objects", "integers of 128 bits"])
def test_a_polars_column_that_would_be_lost_is_named(client, tmp_path, kind):
    given = pl.DataFrame({"fine": [1], "odd": pl.Series([1], dtype=kind), "odder": pl.Series([2], dtype=kind)})
    with pytest.raises(InvalidInputError, match="column 'odd'") as caught:
        Dataset.register(client, "t", given)
    assert "column 'odder'" in str(caught.value)
    assert "column 'fine'" not in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("wrap", [lambda plan: plan, lambda plan: {"a.parquet": plan}], ids=["alone", "in a mapping"])
def test_a_lazy_frame_is_refused_with_what_to_do(client, tmp_path, wrap):
    with pytest.raises(InvalidInputError, match=r"collect\(\)"):
        Dataset.register(client, "t", wrap(pl.LazyFrame({"a": [1]})))
    assert not (tmp_path / "store").exists()


KEPT = {
    "categories": pa.array(["a", None]).dictionary_encode(),
    "long texts in categories": pa.array(["a", None], pa.large_string()).dictionary_encode(),
    "ordered categories": pa.DictionaryArray.from_arrays([1, None], ["z", "a"], ordered=True),
    "ids": pa.array([b"\0" * 16, None], pa.uuid()),
    "ids in structs": pa.StructArray.from_arrays([pa.array([b"\0" * 16, None], pa.uuid())], ["id"]),
    "ids in lists": pa.ListArray.from_arrays([0, 1, 2], pa.array([b"\0" * 16, None], pa.uuid())),
    "half floats": pa.nulls(2, pa.float16()),
    "views": pa.array(["a", None], pa.string_view()),
    "lists": pa.array([[1], None]),
}


@pytest.mark.parametrize("column", KEPT.values(), ids=KEPT)
def test_an_arrow_column_comes_back_as_it_was(client, column):
    schema = pa.schema([pa.field("x", column.type, metadata={"unit": "kg"})], metadata={"source": "ledger"})
    found = Dataset.register(client, "t", pa.table([column], schema=schema)).to_arrow()
    assert found["x"].to_pylist() == column.to_pylist()
    assert found.schema.metadata == {b"source": b"ledger"}
    assert found.schema.field("x").metadata == {b"unit": b"kg"}


CHANGED = {
    "categories of numbers": pa.dictionary(pa.int32(), pa.int64()),
    "seconds": pa.timestamp("s"),
    "seconds of a day": pa.time32("s"),
    "dates in milliseconds": pa.date64(),
    "calendar spans": pa.month_day_nano_interval(),
    "runs": pa.run_end_encoded(pa.int32(), pa.int64()),
    "empty structs": pa.struct([]),
    "unions": pa.dense_union([pa.field("a", pa.int8())]),
    "bytes of no length": pa.binary(0),
    "decimals of whole hundreds": pa.decimal128(5, -2),
}


@pytest.mark.parametrize("as_reader", [False, True], ids=["a table", "a reader"])
@pytest.mark.parametrize("kind", CHANGED.values(), ids=CHANGED)
def test_an_arrow_type_that_would_come_back_otherwise_is_refused(client, tmp_path, kind, as_reader):
    given = pa.table({"fine": [1, 2], "odd": pa.nulls(2, kind)})
    with pytest.raises(InvalidInputError, match="column 'odd'"):
        Dataset.register(client, "t", given.to_reader() if as_reader else given)
    assert not (tmp_path / "store").exists()


WHOLE = {
    "a schema of its own for Arrow": (pa.table({"a": [1]}).replace_schema_metadata({"ARROW:schema": "x"}), "metadata"),
    "rows without columns": (pa.table({"a": [1, 2]}).select([]), "2 rows without columns"),
}


@pytest.mark.parametrize(("given", "told"), WHOLE.values(), ids=WHOLE)
def test_a_table_that_could_not_be_read_back_is_refused(client, tmp_path, given, told):
    with pytest.raises(InvalidInputError, match=told):
        Dataset.register(client, "t", given)
    assert not (tmp_path / "store").exists()
