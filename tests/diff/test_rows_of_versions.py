"""How many rows differ between two versions: counted by duckdb, compared with a count by hand."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extras import imported
from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.errors import IntegrityError, InvalidInputError, MissingDependencyError
from metamlflow.testing import MemoryBackend, MemoryBucket, client_on

pa = pytest.importorskip("pyarrow")
imported("duckdb")


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store")


def rows_of(client, before, after, **options):
    """The difference of two versions, each of a table or of files."""
    for data in (before, after):
        Dataset.register(client, "t", data)
    number = client.get_artifact("t").version
    return client.diff(f"t@{number - 1}", f"t@{number}", rows=True, **options).rows


def numbers(rows) -> tuple[int, int, int, int]:
    return rows.added, rows.removed, rows.changed, rows.unchanged


def test_rows_are_added_removed_and_changed_by_their_keys(client):
    before = pa.table({"id": [1, 2, 3, 4], "x": [1.0, 2.0, None, 4.0]})
    after = pa.table({"id": [5, 4, 3, 1], "x": [5.0, 4.5, None, 1.0], "new": [1, 1, 1, 1]})
    rows = rows_of(client, before, after, keys=["id"])
    assert numbers(rows) == (1, 1, 1, 2)
    assert (rows.before, rows.after, rows.keys, rows.columns) == (4, 4, ("id",), ("id", "x"))
    assert rows
    assert not client.diff("t@1", "t@1", keys="id").rows
    whole = client.diff("t@1", "t@2", rows=True).rows
    assert numbers(whole) == (2, 2, 0, 2)
    assert client.diff("t@1", "t@2").rows is None


def test_nulls_and_nan_are_equal_to_themselves_and_told_of_in_keys(client):
    before = pa.table({"id": [1, None, None], "x": [math.nan, 1.0, 2.0]})
    after = pa.table({"id": [1, None], "x": [math.nan, 1.0]})
    rows = rows_of(client, before, after, keys=["id"])
    assert numbers(rows) == (0, 1, 0, 2)
    assert rows.null_keys == (2, 1)
    assert rows.duplicates == (1, 0)
    assert rows.notes == [
        "rows that repeat the key of another: 1 before, 0 after",
        "rows with a null key: 2 before, 1 after",
    ]


def test_types_that_differ_are_told_and_values_that_agree_are_unchanged(client):
    before = pa.table({"id": [1, 2], "n": pa.array([1, 2]), "s": ["1", "x"], "l": [[1], [2]]})
    after = pa.table({"id": [1, 2], "n": [1.0, 2.5], "s": [1, 2], "l": ["a", "b"]})
    rows = rows_of(client, before, after, keys=["id"])
    assert numbers(rows) == (0, 0, 1, 1)
    assert [(one.name, one.before.type, one.after.type) for one in rows.retyped] == [
        ("n", "int64", "double"),
        ("s", "string", "int64"),
    ]
    assert set(rows.left_out) == {"l"}
    assert json.dumps(rows.to_json())


ODD_TYPES = {
    "half": (pa.array([1.5], pa.float16()), True),
    "categories": (pa.array(["a"]).dictionary_encode(), True),
    "list": (pa.array([[1, None]]), True),
    "struct": (pa.array([{"a": 1}]), True),
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), True),
    "moment": (pa.array([0], pa.timestamp("ns", "UTC")), True),
    "wide": (pa.array([1], pa.decimal256(50, 2)), False),
    "bytes": (pa.array([b"\0"]), True),
    "nothing": (pa.nulls(1), True),
}


@pytest.mark.parametrize("name", ODD_TYPES)
def test_columns_of_any_type_are_compared_or_told_as_left_out(client, name):
    column, is_compared = ODD_TYPES[name]
    table = pa.table({"id": [1], "odd": column})
    rows = rows_of(client, table, table)
    assert numbers(rows) == (0, 0, 0, 1)
    assert ("odd" in rows.columns, "odd" in rows.left_out) == (is_compared, not is_compared)


@pytest.mark.parametrize("name", ["SELECT", 'x"; DROP TABLE rows; --', "a b", "c0", "é\u202e", "ID", ""])
def test_columns_may_have_any_name_and_differ_in_case_alone(client, name):
    before = pa.table({"id": [1, 2], name: ["a", "b"]})
    after = pa.table({"id": [1, 2], name: ["a", "c"]})
    assert numbers(rows_of(client, before, after, keys=["id"])) == (0, 0, 1, 1)
    assert numbers(client.diff("t@1", "t@2", keys=[name]).rows) == (1, 1, 0, 1)


FORMATS = {
    "csv": lambda rows: "id,x\n" + "".join(f"{a},{b}\n" for a, b in rows),
    "tsv": lambda rows: "id\tx\n" + "".join(f"{a}\t{b}\n" for a, b in rows),
    "jsonl": lambda rows: "".join(json.dumps({"id": a, "x": b}) + "\n" for a, b in rows),
    "csv.gz": lambda rows: gzip.compress(FORMATS["csv"](rows).encode()),
}


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_text_of_each_format_is_compared_with_each_other(client, extension, other):
    def files(kind, *parts):
        made = [FORMATS[kind](rows) for rows in parts]
        return {f"{n}.{kind}": text if isinstance(text, bytes) else text.encode() for n, text in enumerate(made)}

    before = files(extension, [(1, "a"), (2, "b")], [(3, "c")])
    after = files(other, [(3, "c"), (2, "B")], [(4, "d")])
    assert numbers(rows_of(client, before, after, keys=["id"])) == (1, 1, 1, 1)


def test_a_csv_whose_later_values_fit_no_type_is_compared_as_text(client, monkeypatch):
    monkeypatch.setattr("metamlflow.store.diff.tables._BLOCK_BYTES", 1_000)
    head = "".join(f"{n},{n}\n" for n in range(2_000))
    rows = rows_of(client, {"a.csv": f"id,x\n{head}".encode()}, {"a.csv": f"id,x\n{head}9999,nine\n".encode()})
    assert numbers(rows) == (1, 0, 0, 2_000)
    assert rows.as_text


def test_columns_in_the_names_of_folders_are_columns(client):
    data = b"id\n1\n"
    before = {"year=2025/a.csv": data, "year=2026/a.csv": data}
    after = {"year=2025/b.csv": data, "year=__HIVE_DEFAULT_PARTITION__/a.csv": data}
    rows = rows_of(client, before, after)
    assert numbers(rows) == (1, 1, 0, 1)
    assert rows.columns == ("id", "year")


def test_what_cannot_be_compared_is_an_error_that_says_why(client, monkeypatch):
    table = pa.table({"id": [1], "x": [1]})
    Dataset.register(client, "t", table)
    client.register_artifact("model", b"no table")
    Dataset.register(client, "split", {"a.csv": b"id\n1\n", "b.csv": b"other\n1\n"})
    Dataset.register(client, "twice", {"a.csv": b"id,id\n1,2\n"})
    Dataset.register(client, "apart", pa.table({"y": [1]}))
    Dataset.register(client, "empty", {"a.csv": b""})
    refused = [
        ("model@1", {}, "model@1 has no file with the extension of a table"),
        ("t@1", {"keys": ["no"]}, "t@1 has no column 'no'"),
        ("t@1", {"keys": [3]}, "keys: expected names"),
        ("split@1", {}, "only one of 'a.csv' and 'b.csv' has"),
        ("twice@1", {"keys": "id"}, "twice@1 has several columns 'id'"),
        ("apart@1", {}, "no column in common"),
        ("empty@1", {}, "its columns cannot be told"),
    ]
    for other, options, said in refused:
        with pytest.raises(InvalidInputError, match=said):
            client.diff("t@1", other, rows=True, **options)
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(MissingDependencyError, match="duckdb cannot be imported") as caught:
        client.diff("t@1", "t@1", rows=True)
    assert "metamlflow[duckdb]" in caught.value.hint


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_damaged_content_is_an_error_and_no_difference(tmp_path, client, extension):
    big = {"a.csv": b"id\n" + b"12345678\n" * 400_000} if extension == "csv" else pa.table({"id": list(range(50_000))})
    Dataset.register(client, "t", big)
    blob = next((tmp_path / "store" / "blobs").rglob(f"*.{extension}"))
    blob.chmod(0o644)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError):
        client.diff("t@1", "t@1", rows=True)


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path, client, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    table = pa.table({"id": [1]})
    assert numbers(rows_of(client, table, table)) == (0, 0, 0, 1)
    assert not list(Path(tmp_path / "temporary").iterdir())


VALUES = st.one_of(st.none(), st.sampled_from([0.0, 1.0, math.nan]))
TABLES = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), VALUES), max_size=8)


def by_hand(before, after, *, keyed: bool) -> tuple[int, int, int, int]:
    """The numbers as the documentation defines them: of each key, equal rows, then changed ones, then the rest."""
    groups: dict = defaultdict(lambda: (Counter(), Counter()))
    for side, rows in enumerate((before, after)):
        for key, value in rows:
            row = (key, "NaN" if value is not None and math.isnan(value) else value)
            groups[key if keyed else row][side][row] += 1
    added = removed = changed = same = 0
    for old, new in groups.values():
        equal = (old & new).total()
        both = min(old.total(), new.total()) - equal if keyed else 0
        same, changed = same + equal, changed + both
        added, removed = added + new.total() - equal - both, removed + old.total() - equal - both
    return added, removed, changed, same


@pytest.mark.full
@settings(deadline=None, max_examples=25)
@given(TABLES, TABLES, st.booleans())
def test_the_numbers_are_those_of_a_count_by_hand(before, after, keyed):
    client = client_on(MemoryBackend(MemoryBucket()))
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64())])
    tables = [
        pa.table([list(column) for column in zip(*rows, strict=True)] or [[], []], schema=schema)
        for rows in (before, after)
    ]
    rows = rows_of(client, *tables, **({"keys": ["id"]} if keyed else {}))
    assert numbers(rows) == by_hand(before, after, keyed=keyed)
    assert rows.unchanged + rows.changed + rows.added == rows.after == len(after)
