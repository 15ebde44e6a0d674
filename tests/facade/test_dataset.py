from __future__ import annotations

import bz2
import decimal
import gzip
import pickle
import subprocess
import sys
import textwrap
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.data import Dataset
from metamlflow.errors import ArtifactNotFoundError, IntegrityError, InvalidInputError, InvalidNameError
from metamlflow.store.schemas import is_data_file

MIB = 1024 * 1024
TEXT = b"x,y\n1,a\n2,b\n"
LINES = b'{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n'
ROWS = {"x": [1, 2], "y": ["a", "b"]}


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store", cache_dir=tmp_path / "cache")


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """The folder for temporary files, so that a test sees what is left there."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("METAMLFLOW_TMPDIR", str(folder))
    return folder


def frame():
    return pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})


def parquet(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def blob_file(dataset):
    """Where the local store keeps the one file of a dataset."""
    (entry,) = dataset.artifact.entries
    return Path(dataset.artifact._store.url.removeprefix("file://")) / entry.key


def fields(dataset):
    return {field["name"]: field["type"] for field in dataset.schema["fields"]}


def run(code, *arguments):
    """Run code in a fresh interpreter; return what it printed."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout.strip()


# --- frames -----------------------------------------------------------------------------------------------------------

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
    with pytest.raises(InvalidInputError, match="no name of a Parquet file"):
        Dataset.register(client, "t", frame(), file_name=name)


def test_a_file_name_for_what_is_no_table_is_refused(client, tmp_path):
    with pytest.raises(InvalidInputError, match="file_name"):
        Dataset.register(client, "t", tmp_path, file_name="a.parquet")


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


@pytest.mark.filterwarnings("ignore:The DataFrame has column names of mixed type")
def test_two_columns_whose_names_become_one_text_are_refused(client):
    with pytest.raises(InvalidInputError, match="several columns are called '1'"):
        Dataset.register(client, "t", pd.DataFrame([[1, 2]], columns=[1, "1"]))


def test_a_series_is_refused_with_what_to_do(client):
    with pytest.raises(InvalidInputError, match="to_frame"):
        Dataset.register(client, "t", pa.chunked_array([[1]]))


# --- Arrow ------------------------------------------------------------------------------------------------------------


class Stream:
    """A table of a library that is neither pandas nor pyarrow."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


ARROW = {
    "a table": lambda table: table,
    "a batch": lambda table: table.combine_chunks().to_batches()[0],
    "a reader": lambda table: table.to_reader(max_chunksize=2),
    "a stream of another library": Stream,
}


@pytest.mark.parametrize("make", ARROW.values(), ids=ARROW)
def test_arrow_data_comes_back_as_it_was_given(client, make):
    # Parquet has its own name for what Arrow calls "item".
    lists = pa.array([[1], [], None], pa.list_(pa.field("element", pa.int64())))
    table = pa.table({"n": [1, None, 3], "s": ["a", "b", None], "l": lists}).replace_schema_metadata({"k": "v"})
    dataset = Dataset.register(client, "t", make(table))
    assert dataset.to_arrow().equals(table, check_metadata=True)
    assert fields(dataset) == {"n": "int64", "s": "string", "l": "list<element: int64>"}


def test_a_reader_without_rows_keeps_its_columns(client):
    schema = pa.schema([("n", pa.int64())])
    dataset = Dataset.register(client, "t", pa.RecordBatchReader.from_batches(schema, []))
    assert dataset.to_arrow().equals(schema.empty_table())


def test_small_batches_of_a_reader_become_few_row_groups(client):
    table = pa.table({"n": range(300_000)})
    dataset = Dataset.register(client, "t", table.to_reader(max_chunksize=1000))
    groups = pq.read_metadata(blob_file(dataset))
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [132_000, 132_000, 36_000]
    assert dataset.to_arrow().equals(table)


def peak_of_a_stream(client, batches):
    """The most memory that Arrow holds while so many batches of 8 MiB are registered."""
    schema = pa.schema([("embedding", pa.list_(pa.float64(), 1024))])
    most = 0

    def stream():
        nonlocal most
        for _ in range(batches):
            values = pa.concat_arrays([pa.nulls(MIB - 1, pa.float64()), pa.array([1.5])])
            yield pa.record_batch([pa.FixedSizeListArray.from_arrays(values, type=schema[0].type)], schema=schema)
            most = max(most, pa.total_allocated_bytes())

    Dataset.register(client, "t", pa.RecordBatchReader.from_batches(schema, stream()))
    return most


def test_a_stream_takes_no_more_memory_if_it_is_longer(client):
    short, long = peak_of_a_stream(client, 32), peak_of_a_stream(client, 96)
    assert 32 * MIB < short < 256 * MIB
    assert long - short < 16 * MIB


@pytest.mark.parametrize("mine", [ValueError("mine"), KeyError("mine"), OSError("mine")], ids=repr)
def test_what_a_reader_raises_is_passed_on_and_nothing_is_registered(client, temp, mine):
    def batches():
        yield pa.record_batch({"n": [1]})
        raise mine

    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches())
    with pytest.raises(type(mine), match="mine"):
        Dataset.register(client, "t", reader)
    assert not list(temp.iterdir())
    assert not (temp.parent / "store").exists()


# --- files and folders ------------------------------------------------------------------------------------------------

FILES = {
    "a.csv": TEXT,
    "A.CSV": TEXT,
    "a.tsv": TEXT.replace(b",", b"\t"),
    "a.csv.gz": gzip.compress(TEXT),
    "a.csv.bz2": bz2.compress(TEXT),
    "a.csv.zst": pa.Codec("zstd").compress(TEXT, asbytes=True),
    "a.tsv.gz": gzip.compress(TEXT.replace(b",", b"\t")),
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "a.jsonl.gz": gzip.compress(LINES),
    "a.ndjson.zst": pa.Codec("zstd").compress(LINES, asbytes=True),
    "a.parquet": parquet(pa.table(ROWS)),
    "a.pq": parquet(pa.table(ROWS)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_its_extension_says(client, tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    dataset = Dataset.register(client, "t", tmp_path / name)
    assert dataset.files == (name,)
    assert dataset.to_pandas().to_dict("list") == ROWS
    assert dataset.to_arrow().to_pydict() == ROWS
    assert fields(dataset) == {"x": "int64", "y": "string"}


@pytest.mark.parametrize("name", ["a.xlsx", "a.json", "a.parquet.gz", "csv", "a.gz", ".csv", "a.txt"])
def test_what_has_no_schema_is_not_read_as_a_table_either(client, name):
    assert not is_data_file(name) or name == ".csv"
    dataset = Dataset.register(client, "t", {name: TEXT})
    for read in (dataset.to_pandas, dataset.to_arrow):
        with pytest.raises(InvalidInputError, match="no file that is named as a table"):
            read()


def test_pandas_opens_the_storage_path_of_a_csv_file(client, tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    dataset = Dataset.register(client, "t", tmp_path / "a.csv")
    pd.testing.assert_frame_equal(pd.read_csv(dataset.artifact.storage_path), dataset.to_pandas())


def test_options_go_to_the_reader_of_pandas(client):
    dataset = Dataset.register(client, "t", {"a.csv": TEXT, "b.tsv": b"x;y\n1;a\n", "c.jsonl": LINES, "d.pq": frame()})
    assert list(dataset.to_pandas("a.csv", usecols=["y"], nrows=1).y) == ["a"]
    assert dataset.to_pandas("b.tsv", sep=";").shape == (1, 2)
    assert dataset.to_pandas("b.tsv", delimiter=";").shape == (1, 2)
    assert dataset.to_pandas("c.jsonl", nrows=1).shape == (1, 2)
    assert dataset.to_pandas("c.jsonl", dtype={"x": "float32"}).x.dtype == "float32"
    assert dataset.to_pandas("c.jsonl", engine="pyarrow").to_dict("list") == ROWS
    assert list(dataset.to_pandas("d.pq", columns=["y"]).columns) == ["y"]
    for option in ({"chunksize": 1}, {"iterator": True}):
        with pytest.raises(InvalidInputError, match="as a whole"):
            dataset.to_pandas("a.csv", **option)


def test_json_lines_keep_the_values_that_are_written(client):
    line = (
        b'{"zip": "007", "date": 1609459200, "seen_at": "2024-01-01", "f": 0.12345678901234568, "i": 9007199254740993}'
    )
    dataset = Dataset.register(client, "t", {"a.jsonl": line + b"\n"})
    assert dataset.to_pandas().to_dict("records") == [
        {"zip": "007", "date": 1609459200, "seen_at": "2024-01-01", "f": 0.12345678901234568, "i": 9007199254740993}
    ]
    converted = dataset.to_pandas(dtype=True)
    assert list(converted.zip) == [7]
    assert converted.date[0] == pd.Timestamp("2021-01-01")


def test_a_parser_that_fails_says_at_which_file(client):
    dataset = Dataset.register(client, "t", {"a.csv": TEXT, "b.csv": b'x,y\n1,2,3\n"'})
    with pytest.raises(pd.errors.ParserError) as caught:
        dataset.to_pandas()
    assert any("'b.csv' of t@1" in note for note in caught.value.__notes__)


def test_a_folder_is_one_table_in_path_order(client, tmp_path):
    for number in range(12):
        (tmp_path / "in" / "deep").mkdir(parents=True, exist_ok=True)
        part = frame().assign(x=[number, number + 0.5])[["x", "y"] if number % 2 else ["y", "x"]]
        part.to_parquet(tmp_path / "in" / ("deep" if number < 6 else "") / f"part-{number:02}.parquet")
    (tmp_path / "in" / "README.md").write_text("not data")
    (tmp_path / "in" / "_SUCCESS").write_text("")
    (tmp_path / "in" / "._part-00.parquet").write_bytes(b"what a Mac leaves beside a file")
    dataset = Dataset.register(client, "t", tmp_path / "in")
    assert len(dataset.files) == 12
    expected = [number + half for number in range(12) for half in (0, 0.5)]
    assert list(dataset.to_pandas().x) == expected
    assert dataset.to_arrow().column("x").to_pylist() == expected
    pd.testing.assert_index_equal(dataset.to_pandas().index, pd.RangeIndex(24))
    assert list(dataset.to_pandas("deep").x) == list(dataset.to_pandas("deep/").x) == expected[:12]
    assert list(dataset.to_pandas("part-07.parquet").x) == [7, 7.5]


def test_an_index_with_a_meaning_is_kept_when_files_are_put_together(client):
    part = pd.DataFrame({"x": [1, 2]}, index=pd.Index([0, 1], name="key"))
    dataset = Dataset.register(client, "t", {"a.parquet": part, "b.parquet": part})
    pd.testing.assert_frame_equal(dataset.to_pandas(), pd.concat([part, part]))


def test_tables_and_files_may_stand_in_a_mapping(client, tmp_path):
    (tmp_path / "notes.md").write_text("notes")
    dataset = Dataset.register(
        client, "t", {"train/a.parquet": frame(), "test/a.parquet": pa.table(ROWS), "notes.md": tmp_path / "notes.md"}
    )
    assert dataset.files == ("test/a.parquet", "train/a.parquet")
    assert dataset.artifact.read_bytes("notes.md") == b"notes"
    pd.testing.assert_frame_equal(dataset.to_pandas("train"), frame())
    with pytest.raises(InvalidInputError, match=r"b\.csv"):
        Dataset.register(client, "t", {"b.csv": frame()})


def test_files_of_several_formats_are_no_one_table(client):
    dataset = Dataset.register(
        client, "t", {"a/1.csv": TEXT, "a/2.csv": TEXT, "b.parquet": frame(), "c.tsv": b"x\ty\n"}
    )
    for read in (dataset.to_pandas, dataset.to_arrow):
        with pytest.raises(InvalidInputError, match=r"csv \('a/1.csv'\), parquet \('b.parquet'\), tsv \('c.tsv'\)"):
            read()
        assert len(read("a")) == 4


def test_files_with_different_columns_are_no_one_table(client):
    dataset = Dataset.register(client, "t", {"a.csv": TEXT, "b.csv": b"x,z\n3,4\n"})
    for read in (dataset.to_pandas, dataset.to_arrow):
        with pytest.raises(InvalidInputError, match=r"only one of 'a.csv' and 'b.csv' has 'y', 'z'"):
            read()


def test_types_of_files_are_widened_where_nothing_is_lost(client):
    dataset = Dataset.register(client, "t", {"a.csv": b"x,y\n1,\n", "b.csv": b"x,y\n2.5,b\n", "c.csv": b"x,y\n,c\n"})
    assert dataset.to_arrow().to_pydict()["x"] == [1, 2.5, None]
    assert dataset.to_pandas().x.tolist()[:2] == [1, 2.5]
    odd = Dataset.register(client, "t", {"a.csv": TEXT, "b.csv": b"x,y\nfoo,b\n"})
    with pytest.raises(InvalidInputError, match="do not fit together"):
        odd.to_arrow()


def test_columns_in_the_names_of_folders_are_not_silently_lost(client):
    dataset = Dataset.register(client, "t", {"year=2023/a.parquet": frame(), "year=2024/a.parquet": frame()})
    for read in (dataset.to_pandas, dataset.to_arrow):
        with pytest.raises(InvalidInputError, match="in the names of folders"):
            read()
    pd.testing.assert_frame_equal(dataset.to_pandas("year=2024"), frame())
    assert list(pd.read_parquet(dataset.artifact.local_path()).year) == [2023, 2023, 2024, 2024]


def test_a_path_that_is_not_there_is_answered_with_those_that_are(client):
    dataset = Dataset.register(client, "t", {"train/a.csv": TEXT, "notes/n.md": b""})
    with pytest.raises(ArtifactNotFoundError, match=r"train/a\.csv"):
        dataset.to_pandas("train/b.csv")
    with pytest.raises(ArtifactNotFoundError, match=r"notes/n\.md"):
        dataset.to_pandas("notes")


def test_a_long_row_of_text_is_read(client):
    text = "x" * (3 * 1024 * 1024)
    files = {"a.csv": f'x,y\n1,"a\n{text}"\n'.encode(), "b.jsonl": f'{{"y": "{text}"}}\n'.encode()}
    dataset = Dataset.register(client, "t", files)
    assert len(dataset.to_arrow("a.csv")["y"][0].as_py()) == len(text) + 2
    assert len(dataset.to_arrow("b.jsonl")["y"][0].as_py()) == len(text)


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("place", [0, -1], ids=["at the start", "at the end"])
def test_damaged_content_is_never_read_as_data(client, tmp_path, name, place):
    (tmp_path / name).write_bytes(FILES[name])
    dataset = Dataset.register(client, "t", tmp_path / name)
    damaged = bytearray(FILES[name])
    damaged[place] ^= 1
    blob_file(dataset).write_bytes(damaged)
    for read in (dataset.to_pandas, dataset.to_arrow):
        with pytest.raises(IntegrityError):
            read()
    if name.endswith("csv"):
        with pytest.raises(IntegrityError):
            dataset.to_pandas(nrows=1)


# --- the wrapper ------------------------------------------------------------------------------------------------------


def test_a_version_is_opened_by_number_or_reference(client):
    Dataset.register(client, "t", frame(), {"v": 1})
    Dataset.register(client, "t", frame(), {"v": 2})
    assert Dataset.open(client, "t").metadata == {"v": 2}
    assert Dataset.open(client, "t", 1) == Dataset.open(client, "t@1")
    with pytest.raises(ArtifactNotFoundError):
        Dataset.open(client, "t", 3)


def test_any_artifact_can_be_looked_at_as_a_dataset(client, tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    artifact = client.register_artifact("t", tmp_path / "a.csv", "model")
    assert Dataset(artifact).to_pandas().to_dict("list") == ROWS
    assert repr(Dataset(artifact)).startswith("<Dataset t@1: model, 1 file")


def test_a_dataset_is_a_value(client):
    dataset = Dataset.register(client, "t", frame())
    again = pickle.loads(pickle.dumps(dataset))
    assert again == dataset
    assert hash(again) == hash(dataset)
    pd.testing.assert_frame_equal(again.to_pandas(), frame())
    with pytest.raises(AttributeError):
        dataset.artifact = None


def test_a_retry_under_a_key_makes_no_second_version(client):
    seen = []
    first = Dataset.register(client, "t", frame(), idempotency_key="job-1", progress=seen.append)
    assert Dataset.register(client, "t", frame().iloc[:1], idempotency_key="job-1") == first
    assert seen


def test_a_wrong_name_is_refused_before_anything_is_converted(client):
    class NeverRead:
        __arrow_c_stream__ = None  # calling it would raise a TypeError

    with pytest.raises(InvalidNameError):
        Dataset.register(client, "not a name", NeverRead())


# --- packages and disks -----------------------------------------------------------------------------------------------

WITHOUT = """
    import sys
    from importlib.abc import MetaPathFinder

    class Blocked(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {blocked!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Blocked())
    from metamlflow import MetaMLFlowClient
    from metamlflow.data import Dataset
    from metamlflow.errors import MissingDependencyError

    client = MetaMLFlowClient(sys.argv[1])
    def fails(call):
        try:
            call()
        except MissingDependencyError as error:
            print(error.extra, "pip install 'metamlflow[" + error.extra + "]'" in str(error))
"""


def without(*blocked, code, store):
    return run(textwrap.dedent(WITHOUT).format(blocked=blocked) + textwrap.dedent(code), store).splitlines()


def test_importing_the_module_loads_neither_pandas_nor_pyarrow():
    assert run("import sys, metamlflow.data; print({'pandas', 'pyarrow', 'numpy'} & set(sys.modules))") == "set()"


def test_without_either_package_files_are_registered_and_reading_names_the_extra(tmp_path):
    code = """
        dataset = Dataset.register(client, "t", {"a.csv": b"x\\n1\\n", "b.parquet": b"not looked at"})
        print(dataset.schema, dataset.files)
        fails(lambda: dataset.to_pandas("a.csv"))
        fails(lambda: dataset.to_arrow("a.csv"))
        class Table:
            def __arrow_c_stream__(self): ...
        fails(lambda: Dataset.register(client, "t", Table()))
    """
    assert without("pandas", "pyarrow", code=code, store=tmp_path / "s") == [
        "None ('a.csv', 'b.parquet')",
        "pandas True",
        "arrow True",
        "arrow True",
    ]


def test_without_pyarrow_pandas_reads_text(tmp_path):
    code = """
        import pandas as pd, gzip
        text = b"x,y\\n1,2\\n"
        dataset = Dataset.register(client, "t", {"a.csv": text, "b.csv.gz": gzip.compress(text), "c.parquet": b"",
            "d.jsonl": b'{"x": 1, "y": 2}\\n', "e.csv.zst": b""})
        for path in ("a.csv", "b.csv.gz", "d.jsonl"):
            print(dataset.to_pandas(path).to_dict("list"))
        fails(lambda: dataset.to_pandas("c.parquet"))
        fails(lambda: dataset.to_pandas("e.csv.zst"))
        fails(lambda: Dataset.register(client, "t", pd.DataFrame({"x": [1]})))
    """
    answer = without("pyarrow", code=code, store=tmp_path / "s")
    assert answer == ["{'x': [1], 'y': [2]}"] * 3 + ["pandas True"] * 3


def test_without_pandas_arrow_works(tmp_path):
    code = """
        import pyarrow as pa
        dataset = Dataset.register(client, "t", pa.table({"x": [1]}))
        print(dataset.to_arrow().to_pydict())
        fails(dataset.to_pandas)
    """
    assert without("pandas", code=code, store=tmp_path / "s") == ["{'x': [1]}", "pandas True"]


def test_a_full_temp_folder_is_a_clear_error_and_is_left_clean(tmp_path, temp):
    code = """
        import resource, sys
        import numpy as np, pyarrow as pa
        from metamlflow import MetaMLFlowClient
        from metamlflow.data import Dataset
        from metamlflow.errors import StorageFullError

        table = pa.table({"x": np.random.default_rng(1).random(100_000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try:
            Dataset.register(MetaMLFlowClient(sys.argv[1]), "t", table)
        except StorageFullError as error:
            print(error.key, "METAMLFLOW_TMPDIR" in str(error), type(error.__cause__).__name__)
    """
    whole = len(parquet(pa.table({"x": np.random.default_rng(1).random(100_000)})))
    # In the midst of the data, and in the footer.
    for limit in (100_000, whole - 10):
        assert run(code, tmp_path / "store", limit) == f"{temp} True OSError"
        assert not list(temp.iterdir())
    assert not (tmp_path / "store").exists()
