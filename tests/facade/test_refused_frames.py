from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError

UNSTORABLE = {
    "mixed": pd.Series([1, "a"], dtype=object),
    "huge": pd.Series([2**70, 1], dtype=object),
    "complex": pd.Series([1j, 2]),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 1])),
    "empty struct": pd.Series([{}, {}]),
    "offset": pd.Series([pd.DateOffset(months=1)] * 2),
    "lone surrogate": pd.Series(["\ud800", "a"], dtype=object),
    "model": pd.Series([object(), None]),
}


@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_column_that_parquet_cannot_hold_is_named(client, temp, name):
    given = pd.DataFrame({"fine": ["a", "b"], name: UNSTORABLE[name], "after": [1, 2]})
    with pytest.raises(InvalidInputError, match=f"column '{name}'") as caught:
        Dataset.register(client, "t", given)
    assert isinstance(caught.value.__cause__, Exception)
    assert not list(temp.iterdir())


def test_an_index_that_parquet_cannot_hold_is_named(client):
    with pytest.raises(InvalidInputError, match="index"):
        Dataset.register(client, "t", pd.DataFrame({"a": [1]}, index=pd.Index([1j])))


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
        pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]),
        pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]).to_reader(),
    ],
    ids=["frame", "table", "reader"],
)
def test_two_columns_of_one_name_are_refused(client, given):
    with pytest.raises(InvalidInputError, match="several columns are called 'a'"):
        Dataset.register(client, "t", given)


def test_two_columns_whose_names_become_one_text_are_refused(client):
    with pytest.raises(InvalidInputError, match=r"1 \(int\), '1' \(str\)"):
        Dataset.register(client, "t", pd.DataFrame([[1, 2]], columns=[1, "1"]))


def test_a_series_is_refused_with_what_to_do(client):
    with pytest.raises(InvalidInputError, match="to_frame"):
        Dataset.register(client, "t", pa.chunked_array([[1]]))
