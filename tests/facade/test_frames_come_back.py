"""What pandas and Parquet would change silently is refused, whole and named, before anything is registered."""

from __future__ import annotations

import enum
import time as clock
from collections import namedtuple
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from table_samples import blob_file

from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError

TWO = pd.date_range("2024-01-01", periods=2, freq="D")
DAY = date(2024, 1, 1)
NOON = datetime(2024, 1, 1, 12)  # noqa: DTZ001 (as pandas has most of them)
Pair = namedtuple("Pair", "a b")  # noqa: PYI024 (what users have)


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Word(enum.StrEnum):
    HELLO = "hello"


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def objects(*values):
    return pd.Series(list(values), dtype=object)


def arrow(kind):
    return pd.Series(pd.array(pa.nulls(2, kind), dtype=pd.ArrowDtype(kind)))


LABELS = {
    "texts": ["a", "ü"],
    "numbers": [10, 20],
    "small numbers": pd.Index([1, 2], dtype="int8"),
    "floats": [1.5, 2.5],
    "a float that is NaN": [1.5, np.nan],
    "bytes": [b"a", b"b"],
    "decimals": pd.Index([Decimal("1.5"), Decimal(2)]),
    "timestamps": TWO,
    "timestamps with a zone": TWO.tz_localize("Europe/Berlin"),
    "with a name": pd.Index(["a", "b"], name="n"),
    "with a number for a name": pd.Index(["a", "b"], name=1),
    "a range": pd.RangeIndex(5, 9, 2),
    "several levels": pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None]),
    "levels of timestamps": pd.MultiIndex.from_product([["a"], TWO]),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_column_labels_come_back_as_they_were(client, labels):
    given = pd.DataFrame([[1, 2]], columns=labels)
    found = Dataset.register(client, "t", given).to_pandas()
    pd.testing.assert_frame_equal(found, given, check_freq=False, check_column_type="equiv")


ODD_LABELS = {
    "bools": ([True, False], "False"),
    "dates": ([DAY, DAY + timedelta(1)], "datetime.date"),
    "times": ([time(1), time(2)], "datetime.time"),
    "time spans": (pd.to_timedelta([1, 2], unit="s"), "Timedelta"),
    "periods": (pd.period_range("2024", periods=2), "Period"),
    "intervals": (pd.interval_range(0, 2), "Interval"),
    "categories": (pd.CategoricalIndex(["a", "b"]), "'a', 'b'"),
    "numbers beside texts": ([1, "1x"], r"1 \(int\), '1x' \(str\)"),
    "floats beside texts": (["a", 1.5], r"1.5 \(float\)"),
    "None beside texts": (pd.Index(["a", None], dtype=object), "None"),
    "bytes beside texts": ([b"a", "b"], r"b'a' \(bytes\)"),
    "tuples": (pd.Index([("a", 1), ("b", 2)], tupleize_cols=False), "tuple"),
    "enums": ([Color.RED, Color.BLUE], "Color.RED"),
    "a date for a name": (pd.Index(["a", "b"], name=DAY), r"named \[datetime.date"),
    "a tuple for a name": (pd.Index(["a", "b"], name=("a", 1)), "named"),
    "levels of bools": (pd.MultiIndex.from_product([["a"], [True, False]]), "bool"),
    "levels of dates": (pd.MultiIndex.from_product([["a"], [DAY, DAY + timedelta(1)]]), "datetime.date"),
    "levels of mixed types": (pd.MultiIndex.from_tuples([("a", 1), ("b", "x")]), r"1 \(int\)"),
    "levels with NaN": (pd.MultiIndex.from_tuples([("a", 1.5), ("a", np.nan)]), "nan"),
    "levels of categories": (pd.MultiIndex.from_arrays([pd.Categorical(["a", "b"]), [1, 2]]), "str"),
    "levels with a zone": (pd.MultiIndex.from_product([["a"], TWO.tz_localize("UTC")]), "Timestamp"),
}


@pytest.mark.parametrize(("labels", "told"), ODD_LABELS.values(), ids=ODD_LABELS)
def test_column_labels_that_would_come_back_otherwise_are_refused(client, tmp_path, labels, told):
    given = pd.DataFrame([[1, 2]], columns=labels)
    with pytest.raises(InvalidInputError, match=f"label.*{told}|{told}.*label") as caught:
        Dataset.register(client, "t", given)
    assert "str(label)" in str(caught.value)
    assert not (tmp_path / "store").exists()
    given.columns = [str(label) for label in given.columns]  # as the error says
    pd.testing.assert_frame_equal(Dataset.register(client, "t", given).to_pandas(), given)


def test_a_cross_table_over_bools_is_refused(client, tmp_path):
    table = pd.crosstab(pd.Series(["a", "b"], name="city"), pd.Series([True, False], name="fraud"))
    with pytest.raises(InvalidInputError, match=r"False \(bool\) as True \(bool\)"):
        Dataset.register(client, "t", table)
    assert not (tmp_path / "store").exists()


INDEXES = {
    "bools": [True, False],
    "dates": [DAY, DAY + timedelta(1)],
    "times": [time(1), time(2)],
    "time spans": pd.to_timedelta([1, 2], unit="s"),
    "periods": pd.period_range("2024", periods=2),
    "intervals": pd.interval_range(0, 2),
    "categories": pd.CategoricalIndex(["a", "b"], categories=["c", "b", "a"]),
    "a zone": TWO.tz_localize("Asia/Tokyo"),
    "a range": pd.RangeIndex(5, 9, 2, name="n"),
    "repeated": [0, 0],
    "levels": pd.MultiIndex.from_tuples([(True, DAY), (False, DAY)], names=["a", None]),
    "levels of categories": pd.MultiIndex.from_arrays([pd.Categorical(["a", "b"]), [1, 2]]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_an_index_comes_back_as_it_was(client, index):
    given = pd.DataFrame({"a": [1, 2]}, index=index)
    found = Dataset.register(client, "t", given).to_pandas()
    pd.testing.assert_frame_equal(found, given, check_freq=False)


ODD_INDEXES = {
    "mixed": ([1, "x"], "index"),
    "tuples": (pd.Index([("a", 1), ("b", 2)], tupleize_cols=False), "index"),
    "tuples of one length and type": (pd.Index([(1, 2), (3, 4)], tupleize_cols=False), r"\(1, 2\) \(tuple\)"),
    "levels, and only one": (pd.MultiIndex.from_arrays([["a", "b"]]), "a MultiIndex of one level"),
    "bytes beside texts": ([b"a", "b"], "'b'"),
    "dates beside times": ([DAY, NOON], "datetime.datetime"),
    "nullable": (pd.Index([1, 2], dtype="Int64"), "Int64 would come back as int64"),
    "categories of intervals": (pd.cut(pd.Series([1, 2]), 2).cat.categories.astype("category"), "index"),
    "a number for a name": (pd.Index(["a", "b"], name=1), r"named 1 \(int\)"),
    "a range with a tuple for a name": (pd.RangeIndex(2, name=("a", 1)), "named"),
    "levels with numbers for names": (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=[0, "n"]), "named 0"),
    "a level of whole numbers, and none": (
        pd.MultiIndex.from_arrays([["a", "b"], [1, None]]),
        "int64 would .* float64",
    ),
    "a level of bools, and none": (pd.MultiIndex.from_arrays([[True, None], [1, 2]]), "level 0"),
    "a level of dates and times": (
        pd.MultiIndex.from_arrays([[1, 2], objects(DAY, NOON)]),
        "level 1",
    ),
}


@pytest.mark.parametrize(("index", "told"), ODD_INDEXES.values(), ids=ODD_INDEXES)
def test_an_index_that_would_come_back_otherwise_is_refused(client, tmp_path, index, told):
    with pytest.raises(InvalidInputError, match=told) as caught:
        Dataset.register(client, "t", pd.DataFrame({"a": [1, 2]}, index=index))
    assert "reset_index" in str(caught.value)
    assert not (tmp_path / "store").exists()


COLUMNS = {
    "an array of text": pd.Series(["a", None], dtype="string"),
    "nullable": pd.Series([True, None], dtype="boolean"),
    "Arrow's types": arrow(pa.time32("s")),
    "categories that are not used": pd.Series(pd.Categorical(["b", None], categories=["z", "b", "a"], ordered=True)),
    "no value at all": objects(None, None),
    "bools and None": objects(True, None),
    "lists, as arrays": objects([1, 2], [3]),
    "embeddings": objects(np.array([1.5, np.nan], "float32"), None),
    "texts in lists": objects(["a", None], []),
    "dicts of the same keys": objects({"a": 1, "b": {"c": "x"}}, {"a": 2, "b": {"c": None}}),
    "ids": objects(UUID(int=1), UUID(int=2)),
    "decimals": objects(Decimal("1.1"), Decimal("1.10")),
    "dates": objects(DAY, None),
    "structs in lists, as dicts in arrays": objects([{"a": 1, "b": "x"}], [{"a": 2, "b": None}]),
    "Arrow's time spans": arrow(pa.duration("ms")),
    "Arrow's times with a zone": arrow(pa.timestamp("ns", "Asia/Tokyo")),
    "Arrow's seconds": arrow(pa.timestamp("s", "UTC")),
    "Arrow's bytes": arrow(pa.large_binary()),
    "order of categories": pd.Series(pd.Categorical(["b", "a"], categories=["b", "a"], ordered=False)),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_comes_back_as_it_was(client, column):
    given = pd.DataFrame({"a": column, "n": 1})
    found = Dataset.register(client, "t", given).to_pandas()
    pd.testing.assert_frame_equal(found, given)


ODD_COLUMNS = {
    "categories of numbers": pd.Series(pd.Categorical([1, 2])),
    "categories of times": pd.Series(pd.Categorical(TWO)),
    "categories of bools": pd.Series(pd.Categorical([True, False])),
    "categories of intervals": pd.cut(pd.Series([1, 2]), 2),
    "seconds": pd.Series(np.array([1, 2], "datetime64[s]")),
    "seconds with a zone": pd.Series(np.array([1, 2], "datetime64[s]")).dt.tz_localize("UTC"),
    "Arrow's lists": arrow(pa.list_(pa.int64())),
    "Arrow's decimals": arrow(pa.decimal128(5, 2)),
    "Arrow's structs": arrow(pa.struct([("a", pa.int64())])),
    "Arrow's maps": arrow(pa.map_(pa.string(), pa.int64())),
    "Arrow's categories": arrow(pa.dictionary(pa.int32(), pa.string())),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 1])),
    "complex": pd.Series([1j, 2]),
    "numbers as objects": objects(1, 2),
    "None among numbers": objects(1, None),
    "NaN among bools": objects(True, float("nan")),
    "bools as objects": objects(True, False),
    "numbers of two kinds": objects(1, 2.5),
    "bytes beside texts": objects("a", b"b"),
    "bytearrays": objects(bytearray(b"a"), b"b"),
    "dates beside times": objects(DAY, NOON),
    "times with and without a zone": objects(NOON, NOON.replace(tzinfo=UTC)),
    "a time of day with a zone": objects(time(1, tzinfo=UTC), None),
    "dicts of different keys": objects({"a": 1}, {"b": 2}),
    "sets": objects({1}, {2}),
    "named tuples": objects(Pair(1, 2), Pair(3, 4)),
    "None in lists of numbers": objects([1, None], [2]),
    "periods as objects": objects(pd.Period("2024"), None),
    "texts of a class": objects(Word.HELLO, Word.HELLO),
    "texts of a class in dicts' keys": objects({Word.HELLO: 1}, {Word.HELLO: 2}),
    "pandas' NA among texts": objects("a", pd.NA),
    "a time of day in a fold": objects(time(1, fold=1), None),
    "an order of bytes that is not the machine's": pd.Series(np.array([1, 2], ">i4")),
    "deep lists": objects(deep(60), None),
}


@pytest.mark.parametrize("column", ODD_COLUMNS.values(), ids=ODD_COLUMNS)
def test_a_column_that_would_come_back_otherwise_is_refused(client, tmp_path, column):
    with pytest.raises(InvalidInputError, match="column 'odd'") as caught:
        Dataset.register(client, "t", pd.DataFrame({"fine": [1, 2], "odd": column}))
    assert "astype" in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 keeps both")
def test_nan_beside_na_is_not_lost_silently(client, tmp_path):
    given = pd.Series(pd.arrays.FloatingArray(np.array([1.0, 2.0, np.nan]), np.array([True, False, False])))
    with pytest.raises(InvalidInputError, match="column 'odd': NaN would come back as NA"):
        Dataset.register(client, "t", pd.DataFrame({"odd": given}))
    assert not (tmp_path / "store").exists()
    kept = pd.DataFrame({"fine": pd.array([1.5, None], "Float64")})
    pd.testing.assert_frame_equal(Dataset.register(client, "t", kept).to_pandas(), kept)


@pytest.mark.skipif(pd.__version__ >= "3", reason="of pandas 2 and pytz")
def test_zones_that_print_alike_are_told_apart(client):
    given = pd.DataFrame({"x": pd.date_range("2024", periods=2, tz=ZoneInfo("Europe/Berlin"))})
    with pytest.raises(InvalidInputError, match=r"zoneinfo\.ZoneInfo.* would come back as .*pytz"):
        Dataset.register(client, "t", given)


def test_a_value_far_down_a_column_is_seen(client):
    values = [{"a": 1}] * 200_000
    values[-1] = {"a": 1, "b": 2}
    with pytest.raises(InvalidInputError, match="'b': None"):
        Dataset.register(client, "t", pd.DataFrame({"x": objects(*values)}))


def test_categories_of_a_frame_without_rows_are_not_lost_silently(client):
    with pytest.raises(InvalidInputError, match="'a' would come back as none"):
        Dataset.register(client, "t", pd.DataFrame({"x": pd.Categorical([], categories=["a"])}))


def test_rows_without_columns_are_not_lost_silently(client):
    with pytest.raises(InvalidInputError, match="3 rows without columns"):
        Dataset.register(client, "t", pd.DataFrame(index=range(3)))


def with_attrs(**attrs):
    given = pd.DataFrame({"a": [1]})
    given.attrs.update(attrs)
    return given


def test_attrs_come_back(client):
    given = with_attrs(unit="kg", scores=[1, 2.5, None, {"deep": True}])
    assert Dataset.register(client, "t", given).to_pandas().attrs == given.attrs


@pytest.mark.parametrize("levels", [300, 900, 3000])
def test_attrs_that_pandas_itself_cannot_copy_are_refused(client, tmp_path, levels):
    given = with_attrs(odd=deep(levels))
    try:
        given.iloc[:1]
    except RecursionError:
        with pytest.raises(InvalidInputError, match="nested too deeply"):
            Dataset.register(client, "t", given)
        assert not (tmp_path / "store").exists()
    else:
        assert Dataset.register(client, "t", given).to_pandas().attrs == given.attrs


def test_a_name_of_attrs_that_is_a_class_of_text_is_refused(client):
    with pytest.raises(InvalidInputError, match="attrs"):
        Dataset.register(client, "t", with_attrs(**{"fine": 1, Word.HELLO: 2}))


@pytest.mark.parametrize("odd", [(1, 2), Color.RED, np.float64(1), {1: "a"}, {1, 2}, DAY, {"a": (1,)}], ids=repr)
def test_one_odd_value_in_attrs_is_named_and_does_not_drop_all(client, tmp_path, odd):
    with pytest.raises(InvalidInputError, match=r"attrs\['odd'\]") as caught:
        Dataset.register(client, "t", with_attrs(fine=1, odd=odd))
    assert "'fine'" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_one_error_names_all_that_would_be_lost(client):
    given = pd.DataFrame({True: pd.Categorical([1]), "x": objects({1}), "fine": [1]})
    given.index = pd.Index([1], name=7)
    given.attrs["odd"] = (1,)
    with pytest.raises(InvalidInputError) as caught:
        Dataset.register(client, "t", given)
    for told in ("attrs['odd']", "True (bool)", "column True: type category", "column 'x': {1} (set)", "named 7 (int)"):
        assert told in str(caught.value)
    assert "'fine': " not in str(caught.value)


def test_an_error_names_the_file_of_a_mapping(client, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'b\.parquet': column 'x'"):
        Dataset.register(client, "t", {"a.parquet": pd.DataFrame({"x": [1]}), "b.parquet": pd.DataFrame({"x": [{1}]})})
    with pytest.raises(InvalidInputError, match="'d' is a mapping that holds a table") as caught:
        Dataset.register(client, "t", {"d": {"b.parquet": pd.DataFrame({"x": [1]})}})
    assert "'d/b.parquet'" in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_frames_in_a_mapping_are_held_to_the_same(client, tmp_path):
    with pytest.raises(InvalidInputError, match="False"):
        Dataset.register(client, "t", {"a.parquet": pd.DataFrame([[1, 2]], columns=[True, False]), "b.txt": b""})
    assert not (tmp_path / "store").exists()


def test_what_is_checked_does_not_grow_with_the_rows(client):
    """No second copy of the rows is made: the file is as long in the temp folder as in the store."""
    rows = 400_000
    given = pd.DataFrame({f"f{i}": np.arange(rows, dtype="float64") for i in range(5)})
    begun = clock.process_time()
    dataset = Dataset.register(client, "t", given)
    whole = clock.process_time() - begun
    from metamlflow.tables import frames

    table = pa.Table.from_pandas(given)
    begun = clock.process_time()
    assert frames._changes(pd, pa, given, given, table) == ([], None)
    assert clock.process_time() - begun < max(whole / 4, 0.2)
    assert blob_file(dataset).stat().st_size > rows * 8
