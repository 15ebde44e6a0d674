from __future__ import annotations

import decimal
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_samples import ROWS, blob_file, fields, frame

from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError

FRAMES = {
    "integers": pd.DataFrame({"a": [1, -2], "b": np.array([0, 255], "uint8"), "c": np.array([2**63, 1], "uint64")}),
    "floats, NaN and zeros": pd.DataFrame({"a": [1.5, np.nan, -0.0, np.inf], "b": np.array([1, 2, 3, 4], "float32")}),
    "strings and missing ones": pd.DataFrame({"a": ["", "ü", None], "b": [None, "x" * 10_000, "\n"]}),
    "nullable types": pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "categories": pd.DataFrame({"a": pd.Categorical(["b", None, "a"], categories=["z", "b", "a"], ordered=True)}),
    "times with a zone": pd.DataFrame({"a": pd.date_range("2024-03-30", periods=3, freq="D", tz="Europe/Berlin")}),
    "times in nanoseconds": pd.DataFrame({"a": np.array([1, 2**62], "datetime64[ns]")}),
    "time spans": pd.DataFrame({"a": [timedelta(seconds=1), timedelta(days=-1)]}),
    "objects": pd.DataFrame({"a": [decimal.Decimal("1.10"), None], "b": [date(2024, 1, 1), None], "c": [b"\0", b""]}),
    "lists": pd.DataFrame({"a": [np.array([1, 2]), np.array([], dtype="int64")]}),
    "periods and intervals": pd.DataFrame({"a": pd.period_range("2024", periods=2), "b": pd.interval_range(0, 2)}),
    "an index with a name": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["p", "q"], name="key")),
    "an index without one": pd.DataFrame({"a": [1, 2]}, index=[7, 3]),
    "an index called as a column": pd.DataFrame({"a": [1, 2]}, index=pd.Index([3, 4], name="a")),
    "a range that does not begin at 0": pd.DataFrame({"a": [1, 2]}, index=range(10, 14, 2)),
    "several levels of rows": frame().assign(z=[3, 4]).set_index(["y", "x"]),
    "several levels of columns": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    "columns with numbers for names": pd.DataFrame([[1, 2]], columns=[10, 20]),
    "no rows": pd.DataFrame({"a": pd.array([], "int32"), "b": pd.array([], "str")}),
    "no columns": pd.DataFrame(index=[1, 2]),
    "nothing": pd.DataFrame(),
}


@pytest.mark.parametrize("given", FRAMES.values(), ids=FRAMES)
def test_a_frame_comes_back_as_it_was_given(client, given):
    before = given.copy()
    found = Dataset.register(client, "t/Frame", given).to_pandas()
    pd.testing.assert_frame_equal(found, given, check_freq=False)
    pd.testing.assert_frame_equal(given, before)


def test_a_frame_is_one_parquet_file_of_a_dataset(client):
    dataset = Dataset.register(client, "fraud/Features.v1", frame(), {"rows": 2})
    artifact = client.get_artifact("fraud/Features.v1")
    assert dataset.artifact == artifact
    assert (artifact.artifact_type, artifact.metadata) == ("dataset", {"rows": 2})
    assert (dataset.name, dataset.version, dataset.metadata) == ("fraud/Features.v1", 1, {"rows": 2})
    assert dataset.files == ("Features.v1.parquet",)
    pd.testing.assert_frame_equal(pd.read_parquet(artifact.storage_path), frame())
    assert pq.read_table(blob_file(dataset)).to_pydict() == ROWS


def test_the_schema_of_a_frame_is_captured(client):
    dataset = Dataset.register(client, "t", FRAMES["an index with a name"])
    assert dataset.schema["format"] == "parquet"
    assert fields(dataset) == {"a": "int64", "key": fields(dataset)["key"]}
    assert "string" in fields(dataset)["key"]


def test_an_equal_frame_is_no_new_version_where_reuse_is_asked_for(client):
    first = Dataset.register(client, "t", FRAMES["strings and missing ones"], if_unchanged="reuse")
    # Put together from two parts, it is laid out in memory otherwise.
    again = pd.concat([FRAMES["strings and missing ones"].iloc[:1], FRAMES["strings and missing ones"].iloc[1:]])
    assert Dataset.register(client, "t", again, if_unchanged="reuse") == first
    assert Dataset.register(client, "t", again).version == 2
    assert Dataset.register(client, "t", again.iloc[:2], if_unchanged="reuse").version == 3


def test_a_large_table_has_the_same_bytes_however_it_is_chunked(client):
    whole = pa.table({"n": range(300_000), "s": pa.array([str(i % 7) for i in range(300_000)]).dictionary_encode()})
    chunked = pa.concat_tables([whole.slice(0, 131_000), whole.slice(131_000, 200), whole.slice(131_200)])
    first = Dataset.register(client, "t", whole)
    assert Dataset.register(client, "t", chunked).artifact.digest == first.artifact.digest
    assert first.to_arrow().equals(whole)


def test_a_file_may_be_given_a_name(client):
    dataset = Dataset.register(client, "t", frame(), file_name="Mine.pq")
    assert dataset.files == ("Mine.pq",)
    pd.testing.assert_frame_equal(dataset.to_pandas("Mine.pq"), frame())


@pytest.mark.parametrize("name", ["a.csv", "a", "", "in/a.parquet", "../a.parquet", "a\0.parquet", 7])
def test_a_name_that_is_none_of_a_parquet_file_is_refused(client, name):
    with pytest.raises(InvalidInputError, match="not a name for a Parquet file"):
        Dataset.register(client, "t", frame(), file_name=name)


def test_a_file_name_for_what_is_no_table_is_refused(client, tmp_path):
    with pytest.raises(InvalidInputError, match="file_name"):
        Dataset.register(client, "t", tmp_path, file_name="a.parquet")
