"""Labels, names of fields and fractions of a second are kept in metadata, or the value is refused with its place."""

import dataclasses
import json
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from metamlflow.errors import InvalidMetadataError
from metamlflow.model.metadata import decode, encode, encode_mapping

POINT = np.dtype([("n", "i4"), ("s", "U2")])
NEAR = [("when", "datetime64[ns]"), ("at", "f8", (2,))]

KEPT = {
    "a labelled series": (pd.Series([1, 2], index=["a", "b"]), {"a": 1, "b": 2}),
    "counts of values": (pd.Series(["x", "x", "y"]).value_counts(), {"x": 2, "y": 1}),
    "numbers that are labels": (pd.Series([1.5, 2.5], index=[7, 3]), {"7": 1.5, "3": 2.5}),
    "places with a gap": (pd.Series([1, 2, 3]).drop(1), {"0": 1, "2": 3}),
    "places alone": (pd.Series([1, 2], index=[0, 1]), [1, 2]),
    "an empty series": (pd.Series([], dtype=float, index=pd.Index([], dtype=str)), []),
    "a series in a series": (pd.Series({"a": pd.Series({"b": 1}), "c": None}), {"a": {"b": 1}, "c": None}),
    "an index": (pd.Index([3, 1], name="n"), [3, 1]),
    "levels of an index": (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]), [["a", 1], ["b", 2]]),
    "categories": (pd.Categorical(["a", "b"]), ["a", "b"]),
    "NA": ([pd.NA, pd.NaT, None], [None, None, None]),
    "NA in a series": (pd.Series([1, None], dtype="Int64"), [1, None]),
    "NA in an array": (pd.array([True, None], dtype="boolean"), [True, None]),
    "a structured array": (np.array([(1, "a"), (2, "b")], POINT), [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]),
    "a record": (np.array([(1, "a")], POINT)[0], {"n": 1, "s": "a"}),
    "a record array": (np.rec.array([(1, 2.5)], names="a,b"), [{"a": 1, "b": 2.5}]),
    "records in rows": (np.zeros((1, 2), POINT), [[{"n": 0, "s": ""}] * 2]),
    "records of times": (
        np.array([("2026-01-31T00:00:00.000000001", (1, 2))], NEAR),
        [{"when": "2026-01-31T00:00:00.000000001", "at": [1.0, 2.0]}],
    ),
    "nanoseconds": (np.datetime64("2026-01-31T12:00:00.123456789"), "2026-01-31T12:00:00.123456789"),
    "nanoseconds of pandas": (pd.Timestamp("2026-01-31T12:00:00.000000001"), "2026-01-31T12:00:00.000000001"),
    "nanoseconds in an array": (
        np.array(["2026-01-31T12:00:00.000000001", "NaT"], "datetime64[ns]"),
        ["2026-01-31T12:00:00.000000001", None],
    ),
    "nanoseconds in a series": (
        pd.Series(pd.to_datetime(["2026-01-31T12:00:00.000000001"]), index=["a"]),
        {"a": "2026-01-31T12:00:00.000000001"},
    ),
    "attoseconds": (np.datetime64(1, "as"), "1970-01-01T00:00:00.000000000000000001"),
    "a year": (np.datetime64("2026"), "2026-01-01T00:00:00"),
    "an hour": (np.datetime64("2026-01-31T05"), "2026-01-31T05:00:00"),
    "a year of five digits": (np.datetime64("12026-01-31T05:06:07"), "12026-01-31T05:06:07"),
    "no dimension": (np.array(np.datetime64("2026-01-31", "ns")), "2026-01-31T00:00:00"),
    "a nanosecond": (np.timedelta64(1, "ns"), 1e-9),
    "a nanosecond of pandas": (pd.Timedelta(1, "ns"), 1e-9),
    "hours": (np.array([1, "NaT"], "timedelta64[h]"), [3600.0, None]),
    "steps of units": (np.timedelta64(2, "25s"), 50.0),
    "less than nothing": (timedelta(days=-1, microseconds=1), -86399.999999),
    "masked values": (np.ma.array([1, 2], mask=[False, True]), [1, None]),
    "a masked value": (np.ma.masked, None),
}


@pytest.mark.parametrize(("given", "stored"), KEPT.values(), ids=KEPT)
def test_a_value_keeps_what_it_was_given(given, stored):
    encoded = encode({"v": given})
    assert decode(json.loads(json.dumps(encoded, allow_nan=False))) == {"v": stored}


def test_whole_numbers_beyond_doubles_and_nan_keep_their_labels():
    stored = encode(pd.Series({"big": 2**60 + 1, "other": 3}))
    assert stored == {"big": {"$int": str(2**60 + 1)}, "other": 3}
    assert encode(pd.Series([1.5, float("nan")], index=["$a", "b"])) == {"$$a": 1.5, "b": {"$float": "NaN"}}


@dataclasses.dataclass
class Settings:
    rate: float = 0.1


REFUSED = {
    "labels that repeat": (pd.Series([1, 2], index=["a", "a"]), "labels repeat"),
    "labels that become one text": (pd.Series([1, 2], index=["1", 1]), "two keys become the same text"),
    "labels of several levels": (pd.Series({("a", 1): 2}), "keys are text or numbers"),
    "labels that are times": (pd.Series([1], index=pd.to_datetime(["2026-01-31"])), "keys are text or numbers"),
    "a key of nanoseconds": ({np.datetime64("2026-01-31", "ns"): 1}, "keys are text or numbers"),
    "a key that is missing": ({pd.NA: 1}, "keys are text or numbers"),
    "bytes of a void": (np.void(b"abc"), "type bytes"),
    "months": (np.timedelta64(3, "M"), "months"),
    "a time span without a unit": (np.timedelta64(5), "no unit"),
    "a time span that no float has": (timedelta.max, "too long to be exact"),
    "a time span of nanoseconds that no float has": (np.timedelta64(2**62 + 1, "ns"), "too long to be exact"),
    "the same of pandas": (pd.Timedelta(2**62 + 1, "ns"), "too long to be exact"),
    "more digits than a float has": (np.array([1], np.longdouble), "longdouble"),
    "complex numbers": (np.array([1j]), r"complex(?s:.)*value\.real"),
    "a dataclass": (Settings(), r"Settings(?s:.)*asdict"),
    "a fraction": (Fraction(1, 3), r"Fraction(?s:.)*str\(value\)"),
    "a range": (range(3), r"range(?s:.)*list\(value\)"),
    "a period": (pd.Period("2026"), "Period"),
    "a frame": (pd.DataFrame({"a": [1]}), r"DataFrame(?s:.)*to_dict"),
}


@pytest.mark.parametrize(("given", "told"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_would_lose_something_is_refused_with_its_place(given, told):
    with pytest.raises(InvalidMetadataError, match=told) as caught:
        encode_mapping({"a": [given]})
    assert caught.value.place.startswith("metadata.a[0]")
