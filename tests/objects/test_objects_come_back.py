"""What client.save takes comes back from artifact.load with its type and value, or is refused before it is stored."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from extras import imported as large
from metamlflow import MetaMLFlowClient, Pointer
from metamlflow.errors import InvalidInputError, MissingDependencyError

JSON = {
    "text": "ü\u2028\x00 </script>",
    "numbers": [0, -1, 2**70, 10**3999, 1.5, -0.0, 5e-324, 1e308, 0.1],
    "flags": [True, False, None],
    "nested": {"": {}, "a.b": [[[]]]},
}


def same_as(given, found):
    assert type(found) is type(given)
    assert found == given
    return True


@pytest.mark.parametrize(
    ("value", "saved_as", "file"),
    [
        (JSON, "json", "thing.json"),
        ([JSON, {}], "json", "thing.json"),
        ({}, "json", "thing.json"),
        ("line\r\nend\n\x00ü", "text", "thing.txt"),
        ("", "text", "thing.txt"),
        (b"\x80\x00pickle?", "bytes", "thing.bin"),
        (b"", "bytes", "thing.bin"),
    ],
)
def test_python_values_come_back_as_they_were(client, raw, value, saved_as, file):
    saved = client.save("a/thing", value, metadata={"k": 1})
    assert (saved.saved_as, saved.artifact_type, saved.metadata) == (saved_as, "file", {"k": 1})
    assert [entry.path for entry in saved.entries] == [file]
    assert raw.manifest("a/thing")["saved_as"] == saved_as
    assert same_as(value, client.get_artifact("a/thing").load())


def test_numbers_keep_their_sign_and_type(client):
    found = client.save("n", [-0.0, 1, 1.0, True]).load()
    assert [repr(value) for value in found] == ["-0.0", "1", "1.0", "True"]


ITSELF: list = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, (2, 3)]}, r"\$\.a\[1\]: \(2, 3\) \(tuple\)"),
        ({1: 2}, r"\$: the key 1 \(int\) is not a text"),
        ({"a": float("nan")}, r"\$\.a: nan \(float\)"),
        ([float("-inf")], r"\$\[0\]: -inf"),
        ([np.float64(1)], r"\$\[0\]: np\.float64\(1\.0\) \(numpy\.float64\)"),
        ([dt.date(2026, 1, 1)], r"datetime\.date"),
        (["\ud800"], r"\$\[0\]"),
        ({"\udfff": 1}, "is not a text"),
        ([10**5000], "more than 4,000 digits"),
        (ITSELF, "holds itself"),
        ([{"x": {1, 2}}], r"\$\[0\]\.x: \{1, 2\} \(set\)"),
        ([b"bytes"], "bytes"),
        ([type("Text", (str,), {})("a")], "Text"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_values_that_would_come_back_changed_are_refused_with_their_place(client, raw, value, place):
    with pytest.raises(InvalidInputError, match=place) as refusal:
        client.save("thing", value)
    assert "nothing was registered" in str(refusal.value)
    assert raw.keys() == set()


def test_one_error_names_all_values_that_would_change(client):
    with pytest.raises(InvalidInputError) as refusal:
        client.save("thing", {"a": (1,), "b": {2}, "c": [object()]})
    assert [place in str(refusal.value) for place in ("$.a", "$.b", "$.c[0]")] == [True] * 3


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(1.5),
        np.zeros((0, 3), "u1"),
        np.array(["a", "ü€"]),
        np.array([b"a", b"bc"]),
        np.array(["2026-01-01", "NaT"], "M8[ms]"),
        np.array([1, 2], ">i8"),
        np.array([float("nan"), float("inf"), -0.0]),
        np.array([1 + 2j]),
        np.array([(1, 2.5, "x")], [("a", "i4"), ("b", "f8", (1,)), ("c", "U3")]),
        np.array([True, False]),
        np.arange(10)[::3],
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_arrays_come_back_with_type_shape_and_order(client, array):
    saved = client.save("thing", array)
    found = saved.load()
    assert (saved.saved_as, type(found)) == ("npy", np.ndarray)
    assert (found.dtype, found.shape, found.dtype.byteorder) == (array.dtype, array.shape, array.dtype.byteorder)
    assert found.tobytes() == array.tobytes()
    assert found.flags.f_contiguous == np.load(saved.local_path(), allow_pickle=False).flags.f_contiguous


def nested(depth):
    kind = np.dtype("f8")
    for _ in range(depth):
        kind = np.dtype([("inner", kind)])
    return kind


def fields(number):
    return np.dtype([(f"field_number_{n}", "f8") for n in range(number)])


@pytest.mark.parametrize("kind", [fields(600), fields(2_000), np.dtype([("x" * 9_990, "f8")]), nested(60)])
def test_an_array_of_many_long_or_nested_fields_that_is_saved_is_loaded(client, kind):
    array = np.ones(3, kind)
    found = client.save("thing", array).load()
    assert (found.dtype, found.tobytes()) == (array.dtype, array.tobytes())


@pytest.mark.parametrize("kind", [fields(2_500), nested(150)])
def test_an_array_that_could_not_be_loaded_is_not_saved(client, raw, kind):
    with pytest.raises(InvalidInputError, match="too many, or nested too deeply") as refusal:
        client.save("thing", np.ones(3, kind))
    assert "Save a data frame" in refusal.value.hint
    assert raw.keys() == set()


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array([(1, None)], [("a", "i4"), ("b", "O")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.array(["a"], np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else np.array([None]),
        np.array([1], np.dtype("i4", metadata={"unit": "m"})),
        np.zeros(1, [("длина", "f8")]),
    ],
    ids=["objects", "objects in fields", "masked", "texts of any length", "metadata", "names of fields"],
)
@pytest.mark.filterwarnings("ignore:Custom dtypes:UserWarning")
def test_arrays_that_would_need_a_pickle_or_lose_something_are_refused(client, raw, array):
    with pytest.raises(InvalidInputError, match="nothing was registered") as refusal:
        client.save("thing", array)
    assert refusal.value.hint
    assert raw.keys() == set()


def test_pandas_frames_come_back_as_pandas_frames(client):
    frame = pd.DataFrame({"a": [1, None], "c": pd.Categorical(["x", "y"])}, index=["i", "j"])
    saved = client.save("fraud/features", frame)
    assert (saved.saved_as, saved.artifact_type) == ("parquet/pandas", "dataset")
    pd.testing.assert_frame_equal(saved.load(), frame)
    assert [field["name"] for field in saved.schema["fields"]][:2] == ["a", "c"]


def test_arrow_tables_come_back_as_tables(client):
    table = pa.table({"a": pa.array([1, None], pa.int8()), "b": [["x"], []]})
    saved = client.save("t", table)
    assert saved.saved_as == "parquet/arrow"
    assert saved.load().equals(table.cast(saved.load().schema))
    assert client.save("t", table.to_reader()).load().to_pydict() == table.to_pydict()


def test_polars_frames_come_back_as_polars_frames(client):
    polars = large("polars")
    frame = polars.DataFrame({"a": [1, None], "e": polars.Series(["x", "y"], dtype=polars.Enum(["x", "y"]))})
    saved = client.save("t", frame)
    found = saved.load()
    assert saved.saved_as == "parquet/polars"
    assert (found.schema, found.equals(frame)) == (frame.schema, True)


@pytest.mark.parametrize(
    "value",
    [
        pd.Series([1]),
        pd.DataFrame({"a": [{1, 2}]}),
        pa.table({"a": pa.array([1], pa.time32("s"))}),
        1,
        1.5,
        None,
        {1},
        int,
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_without_a_format_that_keeps_them_are_refused(client, raw, value):
    with pytest.raises(InvalidInputError) as refusal:
        client.save("thing", value)
    assert refusal.value.hint
    assert raw.keys() == set()


def test_a_format_by_name_takes_only_its_own_objects(client):
    with pytest.raises(InvalidInputError, match="'npy' does not take a dict") as refusal:
        client.save("thing", {"a": 1}, format="npy")
    assert "'json'" in str(refusal.value)
    with pytest.raises(InvalidInputError, match="the format 'json' does not take an int") as refusal:
        client.save("thing", 5, format="json")
    assert '{"value": 5}' in refusal.value.hint
    with pytest.raises(InvalidInputError, match="no serializer is installed for the format 'yaml'"):
        client.save("thing", {"a": 1}, format="yaml")


def test_a_version_without_a_recorded_format_says_what_to_do(client):
    plain = client.register_artifact("plain", {"a.json": json.dumps(JSON).encode()})
    assert plain.saved_as is None
    with pytest.raises(InvalidInputError, match=r"plain@1 was not saved by client\.save") as refusal:
        plain.load()
    assert "format='json'" in str(refusal.value)
    assert same_as(JSON, plain.load(format="json"))


def test_a_format_that_the_content_does_not_have_is_named_in_the_error(client):
    plain = client.register_artifact("plain", b"not json")
    with pytest.raises(InvalidInputError, match="not JSON") as refusal:
        plain.load(format="json")
    assert refusal.value.__notes__ == ["while loading plain@1 as 'json'"]


def test_a_folder_has_no_object(client):
    folder = client.register_artifact("folder", {"a.json": b"1", "b.json": b"2"})
    with pytest.raises(InvalidInputError, match="which file is meant"):
        folder.load(format="json")


def test_reuse_compares_the_format_too(client):
    by_hand = client.register_artifact("thing", {"thing.json": b'{"a":1}'}, "file")
    saved = client.save("thing", {"a": 1}, if_unchanged="reuse")
    assert (by_hand.version, saved.version) == (1, 2), "the first has the same bytes, and cannot be loaded"
    assert client.save("thing", {"a": 1}, if_unchanged="reuse").version == 2
    assert client.register_artifact("thing", {"thing.json": b'{"a":1}'}, "file", if_unchanged="reuse").version == 2
    assert client.save("thing", {"a": 2}, if_unchanged="reuse").version == 3


def test_the_format_survives_a_rollback_and_a_migration(client, tmp_path):
    from metamlflow import migrate

    client.save("thing", {"a": 1})
    client.save("thing", {"a": 2})
    again = client.rollback("thing", 1)
    assert (again.version, again.load()) == (3, {"a": 1})
    migrate(client.storage_uri, f"file://{tmp_path}/other")
    assert MetaMLFlowClient(tmp_path / "other").get_artifact("thing", 2).load() == {"a": 2}


def test_the_format_survives_corrections_and_copies(client, raw):
    client.save("thing", {"a": 1})
    corrected = client.update_metadata("thing@1", {"owner": "ada"})
    copied = client.copy(corrected, "registry/thing")
    for found in (corrected, copied):
        assert (found.saved_as, found.load(), found.metadata) == ("json", {"a": 1}, {"owner": "ada"})
        assert raw.manifest(found.name, found.version)["saved_as"] == "json"
    assert [found.name for found in client.search("saved_as = 'json'")] == ["registry/thing", "thing", "thing"]


def test_a_version_that_cannot_be_loaded_is_not_taken_for_the_corrected_one(client):
    client.save("thing", {"a": 1}, metadata={"owner": "bob"})
    by_hand = client.register_artifact("thing", {"thing.json": b'{"a":1}'}, "file", {"owner": "ada"})
    assert by_hand.digest == client.get_artifact("thing", 1).digest
    corrected = client.update_metadata("thing@1", {"owner": "ada"}, expected=2)
    assert (corrected.version, corrected.load()) == (3, {"a": 1})


def test_the_format_survives_a_copy_of_pointed_content(client, tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a":1}')
    options = {"inputs": (), "if_unchanged": "new_version", "idempotency_key": None, "progress": None}
    pointed = {"a.json": Pointer(str(tmp_path / "a.json"))}
    lake = client._registered("lake", pointed, "file", None, **options, extra={"saved_as": "json"})
    assert lake.load() == {"a": 1}
    copied = lake.materialize()
    assert (copied.version, copied.load()) == (2, {"a": 1})


def test_a_save_in_a_run_is_an_output_and_an_idempotency_key_makes_one_version(client):
    with client.run("fit") as run:
        saved = client.save("thing", [1], idempotency_key="k")
        assert client.save("thing", [1], idempotency_key="k") == saved
    assert [str(made.name) for made in client.get_run(run.id).end.outputs] == ["thing"]


def test_a_missing_library_is_named_with_how_to_install_it(client, monkeypatch):
    import sys

    saved = client.save("t", pa.table({"a": [1]}))
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingDependencyError, match="pip install polars"):
        client._registered(
            "u",
            saved.local_path(),
            "dataset",
            None,
            inputs=(),
            if_unchanged="new_version",
            idempotency_key=None,
            progress=None,
            extra={"saved_as": "parquet/polars"},
        ).load()
