from __future__ import annotations

import bz2
import gzip

import pandas as pd
import pyarrow as pa
import pytest
from table_samples import LINES, ROWS, TEXT, blob_file, fields, frame, parquet

from metamlflow.data import Dataset
from metamlflow.errors import ArtifactNotFoundError, IntegrityError, InvalidInputError
from metamlflow.store.ingest.schemas import is_data_file

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
        with pytest.raises(InvalidInputError, match="no file with the extension of a table"):
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
    assert dataset.to_pandas().year.tolist() == [2023, 2023, 2024, 2024]
    assert dataset.to_arrow().column("year").to_pylist() == [2023, 2023, 2024, 2024]
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
