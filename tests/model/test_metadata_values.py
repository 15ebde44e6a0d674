"""Metadata: what is given, how it is stored, what comes back, and what is refused at which place."""

import copy
import enum
import json
import math
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metamlflow.errors import InvalidMetadataError
from metamlflow.model.metadata import MAX_ARRAY_ELEMENTS, MAX_DEPTH, MAX_TEXT_BYTES, decode, encode, encode_mapping


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    FUNCTION = enum.member(len)


class Dollar(enum.Enum):
    SIGN = "$a"


class Level(enum.IntEnum):
    HIGH = 3


class Mode(enum.StrEnum):
    FAST = "fast"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


Point = namedtuple("Point", "x y")  # noqa: PYI024 (what users have)
PLUS_2 = timezone(timedelta(hours=2))
UUID_TEXT = "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00"

# given, stored, comes back as
TABLE = [
    ("text", "text", "text"),
    ("", "", ""),
    ("üñí 🎉 \u2028 \x00", "üñí 🎉 \u2028 \x00", "üñí 🎉 \u2028 \x00"),
    (True, True, True),
    (None, None, None),
    (0.1, 0.1, 0.1),
    (-0.0, -0.0, -0.0),
    (5e-324, 5e-324, 5e-324),
    (0, 0, 0),
    (2**53, 2**53, 2**53),
    (-(2**53), -(2**53), -(2**53)),
    (2**53 + 1, {"$int": "9007199254740993"}, 2**53 + 1),
    (-(2**64), {"$int": "-18446744073709551616"}, -(2**64)),
    (2**4095, {"$int": str(2**4095)}, 2**4095),
    (math.inf, {"$float": "Infinity"}, math.inf),
    (-math.inf, {"$float": "-Infinity"}, -math.inf),
    ([], [], []),
    ((1, (2,)), [1, [2]], [1, [2]]),
    (Point(1, 2), {"x": 1, "y": 2}, {"x": 1, "y": 2}),
    ({}, {}, {}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}, {"b": 1, "a": 2}),
    (defaultdict(list, a=[1]), {"a": [1]}, {"a": [1]}),
    (UserDict(a=1), {"a": 1}, {"a": 1}),
    (MappingProxyType({"a": 1}), {"a": 1}, {"a": 1}),
    ({3, 1, 2}, [1, 2, 3], [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"], ["a", "b"]),
    ({"b", 1, None, 2.5}, [None, 2.5, 1, "b"], [None, 2.5, 1, "b"]),
    ({"a": 1}.keys(), ["a"], ["a"]),
    # keys
    ({0: "a", -1: "b"}, {"0": "a", "-1": "b"}, {"0": "a", "-1": "b"}),
    ({True: 1, None: 2, 1.5: 3}, {"true": 1, "null": 2, "1.5": 3}, {"true": 1, "null": 2, "1.5": 3}),
    ({math.inf: 1, -math.inf: 2}, {"Infinity": 1, "-Infinity": 2}, {"Infinity": 1, "-Infinity": 2}),
    ({math.nan: 1}, {"NaN": 1}, {"NaN": 1}),
    ({Mode.FAST: 1, Level.HIGH: 2, Colour.RED: 3}, {"fast": 1, "3": 2, "red": 3}, {"fast": 1, "3": 2, "red": 3}),
    ({np.int64(7): 1, np.float64(0.5): 2, np.bool_(False): 3}, {"7": 1, "0.5": 2, "false": 3}, None),
    ({np.str_("k"): 1}, {"k": 1}, {"k": 1}),
    ({"": 1}, {"": 1}, {"": 1}),
    # texts that look like the stored form
    ({"$float": "NaN"}, {"$$float": "NaN"}, {"$float": "NaN"}),
    ({"$int": "12"}, {"$$int": "12"}, {"$int": "12"}),
    ({"$$float": "NaN"}, {"$$$float": "NaN"}, {"$$float": "NaN"}),
    ({"$a": 1, "$$a": 2, "$": 3}, {"$$a": 1, "$$$a": 2, "$$": 3}, {"$a": 1, "$$a": 2, "$": 3}),
    ({"a$": 1}, {"a$": 1}, {"a$": 1}),
    # times
    (datetime(2026, 1, 31, 12), "2026-01-31T12:00:00", None),  # noqa: DTZ001 (naive on purpose)
    (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z", None),
    (datetime(2026, 1, 31, 1, 0, 0, 5, tzinfo=PLUS_2), "2026-01-30T23:00:00.000005Z", None),
    (datetime.max.replace(tzinfo=timezone(-timedelta(hours=2))), "9999-12-31T23:59:59.999999-02:00", None),
    (date(2026, 1, 31), "2026-01-31", None),
    (time(12, 30), "12:30:00", None),
    (timedelta(days=1, milliseconds=500), 86400.5, None),
    (pd.Timestamp("2026-01-31 12:00", tz="Europe/Berlin"), "2026-01-31T11:00:00Z", None),
    (pd.Timestamp("2026-01-31"), "2026-01-31T00:00:00", None),
    (pd.Timedelta("1h"), 3600.0, None),
    (pd.NaT, None, None),
    (np.datetime64("2026-01-31T12:00:00.123456789"), "2026-01-31T12:00:00.123456789", None),
    (np.datetime64("2026-01-31"), "2026-01-31T00:00:00", None),
    (np.datetime64("NaT"), None, None),
    (np.timedelta64(1500, "ms"), 1.5, None),
    # things with a text of their own
    (Path("a/b"), "a/b", None),
    (PurePosixPath("/x"), "/x", None),
    (PureWindowsPath("C:\\x"), "C:\\x", None),
    (UUID(UUID_TEXT), UUID_TEXT, None),
    (Decimal("1.10"), "1.10", None),
    (Colour.RED, "red", None),
    (Colour.PAIR, [1, 2], None),
    (Level.HIGH, 3, None),
    (Mode.FAST, "fast", None),
    (Access.READ | Access.WRITE, 3, None),
    # numpy and similar
    (np.float64(0.5), 0.5, None),
    (np.float32(0.5), 0.5, None),
    (np.float16("inf"), {"$float": "Infinity"}, math.inf),
    (np.int8(-3), -3, None),
    (np.uint64(2**64 - 1), {"$int": str(2**64 - 1)}, 2**64 - 1),
    (np.bool_(True), True, None),
    (np.str_("x"), "x", None),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]], None),
    (np.array(3), 3, None),
    (np.array([]), [], None),
    (np.array(["a", None], dtype=object), ["a", None], None),
    (np.array(["2026-01-31", "NaT"], dtype="datetime64[ns]"), ["2026-01-31T00:00:00", None], None),
    (pd.Series([1.5, 2.5]), [1.5, 2.5], None),
    (pd.Series(pd.to_datetime(["2026-01-31"]).tz_localize("UTC")), ["2026-01-31T00:00:00Z"], None),
    (pd.Index(["a", "b"]), ["a", "b"], None),
]


@pytest.mark.parametrize(("given_value", "stored", "back"), TABLE, ids=range(len(TABLE)))
def test_a_value_is_stored_and_comes_back_as_the_table_says(given_value, stored, back):
    encoded = encode(given_value)
    assert (encoded, type(encoded)) == (stored, type(stored))
    as_text = json.dumps(encoded, allow_nan=False)
    returned = decode(json.loads(as_text))
    assert returned == (stored if back is None else back)


def test_a_nan_comes_back_as_a_nan():
    assert encode(math.nan) == encode(np.float32("nan")) == {"$float": "NaN"}
    assert math.isnan(decode({"$float": "NaN"}))


def test_plain_types_come_out_whatever_subclass_went_in():
    class Text(str):
        __slots__ = ()

    stored = encode([Text("a"), Level.HIGH, np.float64(1), Mode.FAST, np.str_("b")])
    assert [type(item) for item in stored] == [str, int, float, str, str]


@pytest.mark.parametrize(
    "stored",
    [
        {"$float": "nan"},
        {"$float": 1},
        {"$float": "NaN", "a": 1},
        {"$int": "1.5"},
        {"$int": 5},
        {"$int": "٣"},
        {"$x": 1},
    ],
)
def test_what_only_looks_like_a_special_value_stays_a_dict(stored):
    assert decode(stored) == stored


def loop_of_lists():
    value = []
    value.append({"again": value})
    return value


def loop_of_dicts():
    value = {}
    value["self"] = value
    return value


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def loop_of_arrays():
    value = np.empty(1, dtype=object)
    value[0] = value
    return value


REFUSED = [
    ({"model": {"layers": [1, 2, b"weights"]}}, "metadata.model.layers[2]", "type bytes"),
    ({"a": bytearray(b"x")}, "metadata.a", "type bytearray"),
    ({"a": len}, "metadata.a", "type builtin_function_or_method"),
    ({"a": object()}, "metadata.a", "type object"),
    ({"a": 1j}, "metadata.a", "type complex"),
    ({"a": np.complex64(1)}, "metadata.a", "type complex"),
    ({"a": np.longdouble(1)}, "metadata.a", "numpy.longdouble"),
    ({"a": np.bytes_(b"x")}, "metadata.a", "type bytes"),
    ({"a": pd.DataFrame({"x": [1]})}, "metadata.a", "DataFrame"),
    ({"a": (x for x in ())}, "metadata.a", "type generator"),
    ({"a": np.zeros(MAX_ARRAY_ELEMENTS + 1)}, "metadata.a", "an array of 10,001 elements is data"),
    ({"a": np.array([1, b"x"], dtype=object)}, "metadata.a[1]", "type bytes"),
    ({"a": Colour.FUNCTION}, "metadata.a", "type builtin_function_or_method"),
    ({"a": {1: "x", "1": "y"}}, "metadata.a.1", "two keys become the same text"),
    ({"a": {True: "x", "true": "y"}}, "metadata.a.true", "two keys become the same text"),
    ({"a": {Colour.RED: 1, "red": 2}}, "metadata.a.red", "two keys become the same text"),
    ({"a": {Dollar.SIGN: 1, "$a": 2}}, "metadata.a.$a", "two keys become the same text"),
    ({(1, 2): 3}, "metadata", "its key (1, 2) is of type tuple"),
    ({b"k": 3}, "metadata", "is of type bytes"),
    ({"a": {10**5000: 1}}, "metadata.a", "its key, an integer of"),
    ({"a": 2**4096}, "metadata.a", "an integer of 4,097 bits is too long"),
    ({"a": "\ud800"}, "metadata.a", "lone surrogate"),
    ({"a": Path("bad\udcff")}, "metadata.a", "lone surrogate"),
    ({"\udfff": 1}, "metadata (a key)", "lone surrogate"),
    ({"a": "x" * (MAX_TEXT_BYTES + 1)}, "metadata.a", "its text takes 1,000,001 bytes"),
    ({"a": "ö" * (MAX_TEXT_BYTES // 2 + 1)}, "metadata.a", "its text takes 1,000,002 bytes"),
    ({"a": loop_of_lists()}, "metadata.a[0].again", "refers back"),
    (loop_of_dicts(), "metadata.self", "refers back"),
    ({"a": nested(MAX_DEPTH)}, None, "nested more than 64 deep"),
    ({"a": loop_of_arrays()}, None, "nested more than 64 deep"),
]


@pytest.mark.parametrize(("value", "place", "problem"), REFUSED, ids=[f"{row[1]} {row[2]}" for row in REFUSED])
def test_what_cannot_be_stored_is_refused_with_its_place(value, place, problem):
    with pytest.raises(InvalidMetadataError) as caught:
        encode_mapping(value)
    assert problem in caught.value.message
    if place is not None:
        assert caught.value.place == place
        assert caught.value.message.startswith(f"{place}: ")


@pytest.mark.parametrize("value", ["text", 7, [("a", 1)], pd.DataFrame(), b""])
def test_metadata_itself_is_a_mapping(value):
    with pytest.raises(InvalidMetadataError, match="it is a mapping of names to values, not"):
        encode_mapping(value)


def test_no_metadata_is_an_empty_mapping():
    assert encode_mapping(None) == {}


def test_the_deepest_value_that_is_taken_is_one_level_above_the_first_refused():
    assert encode(nested(MAX_DEPTH)) == nested(MAX_DEPTH)


def test_one_value_in_two_places_is_no_loop():
    shared = [1]
    assert encode({"a": shared, "b": [shared, shared]}) == {"a": [1], "b": [[1], [1]]}


def test_what_is_stored_does_not_change_with_what_was_given():
    given_value = {"a": [1, {"b": {2}}], "c": np.array([1.0])}
    stored = encode(given_value)
    expected = copy.deepcopy(stored)
    given_value["a"][1]["b"].add(3)
    given_value["a"].append(9)
    given_value["c"][0] = 7
    assert stored == expected


def test_what_comes_back_is_fresh_each_time():
    stored = {"a": [1, {"b": [2]}]}
    first = decode(stored)
    first["a"][1]["b"].append(3)
    first["a"].clear()
    assert decode(stored) == {"a": [1, {"b": [2]}]} == stored


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
KEYS = TEXT | st.sampled_from(["$float", "$int", "$$int", "$", "$$", "NaN"])
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**4000), 2**4000) | st.floats(allow_nan=False) | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON_LIKE)
def test_json_like_values_come_back_as_they_were(value):
    stored = json.loads(json.dumps(encode(value), allow_nan=False))
    assert decode(stored) == value
    assert repr(decode(stored)) == repr(value)  # 1, 1.0 and True are equal and not the same


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers() | TEXT | st.booleans() | st.none() | st.floats(allow_nan=False), max_size=8))
def test_equal_sets_are_stored_alike(value):
    items = list(value)
    assert encode(set(items)) == encode({*reversed(items)}) == encode(frozenset(value))
