from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from extras import imported
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


NO_TABLES = {
    "a pandas series": (lambda: pd.Series([1.0]), "Series", "to_frame()"),
    "a polars series": (lambda: imported("polars").Series([1.0]), "Series", "to_frame()"),
    "an Arrow array": (lambda: pa.chunked_array([[1]]), "ChunkedArray", "names its columns"),
}


@pytest.mark.parametrize(("made", "kind", "remedy"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_not_a_table_is_refused_with_what_to_do(client, made, kind, remedy):
    with pytest.raises(InvalidInputError) as caught:
        Dataset.register(client, "t", made())
    assert caught.value.message == f"a {kind} is not a table"
    assert remedy in caught.value.hint
