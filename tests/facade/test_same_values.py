"""When a value that came back is the one that was given."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from metamlflow.tables.values import same_json, same_value

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
LATER = NOON.astimezone(timezone(timedelta(hours=2)))

SAME = {
    "a number of numpy": (1, np.int64(1)),
    "NaN": (float("nan"), np.float32("nan")),
    "a list as an array": ([1, 2], np.array([1, 2], "int8")),
    "a tuple of texts": (("a", None), np.array(["a", None], dtype=object)),
    "NaN in a list": ([1.5, float("nan")], np.array([1.5, np.nan])),
    "arrays with NaN": (np.array([1, np.nan], "f4"), np.array([1, np.nan], "f4")),
    "times": (np.array(["2024", "NaT"], "M8[us]"), np.array(["2024", "NaT"], "M8[us]")),
    "a list of dicts": ([{"a": [1]}], np.array([{"a": np.array([1])}], dtype=object)),
    "keys in another order": ({"a": 1, "b": None}, {"b": None, "a": 1}),
    "a decimal with more zeros": (Decimal("1.1"), Decimal("1.10")),
}
OTHER = {
    "a float": (1, 1.0),
    "a bool": (1, True),
    "a bool of numpy": (1, np.bool_(True)),
    "None for NaN": (float("nan"), None),
    "NA for None": (None, pd.NA),
    "NaT for NaN": (float("nan"), pd.NaT),
    "bytes": ("a", b"a"),
    "a time": (date(2024, 1, 1), NOON),
    "another zone": (NOON, LATER),
    "floats in a list": ([1, 2], np.array([1.0, 2.0])),
    "bools in a list": ([1, 0], np.array([True, False])),
    "NaN for None in a list": (["a", None], np.array(["a", np.nan], dtype=object)),
    "a shorter list": ([1, 2], np.array([1])),
    "floats of another width": (np.array([1.5], "f4"), np.array([1.5], "f8")),
    "a list for a set": ({1}, np.array([1])),
    "a text for a list": (["a"], "a"),
    "one more key": ({"a": 1}, {"a": 1, "b": None}),
    "a float in a dict": ({"a": 1}, {"a": 1.0}),
    "a key that became text": ({1: "a"}, {"1": "a"}),
}


@pytest.mark.parametrize(("given", "found"), SAME.values(), ids=SAME)
def test_a_value_is_the_same_in_the_form_that_readers_have(given, found):
    assert same_value(given, found)


@pytest.mark.parametrize(("given", "found"), OTHER.values(), ids=OTHER)
def test_a_value_of_another_kind_is_another_though_it_is_equal(given, found):
    assert not same_value(given, found)


def test_json_tells_lists_from_tuples_and_numbers_from_each_other():
    assert same_json({"a": [1, None, float("nan")]}, {"a": [1, None, float("nan")]})
    for given, found in (
        ((1,), [1]),
        (1, 1.0),
        (True, 1),
        ({1: 2}, {"1": 2}),
        ([1], [2]),
        ({"a": 1, "b": 2}, {"a": 1}),
    ):
        assert not same_json(given, found)
