"""Tables as many files: folders named after values, and parts of an iterator; both come back as one table."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from table_samples import parquet, run

from extras import imported as large
from metamlflow import Dataset
from metamlflow.errors import InvalidInputError
from metamlflow.tables.partitions import PARTITIONS

FRAME = pd.DataFrame(
    {
        "city": ["Bern", "Oslo", "a/b=c 100%", None, "Zürich"],
        "year": [2023, 2024, 2024, 2023, 2024],
        "ok": [True, False, True, True, False],
        "day": [dt.date(2024, 1, 1), dt.date(2024, 1, 2)] * 2 + [dt.date(1969, 12, 31)],
        "km": [1.5, 2.0, 3.0, 4.0, 5.0],
        "kind": pd.Categorical(["a", "b", "a", "b", "a"]),
    }
)


def by_km(frame):
    return frame.sort_values("km").reset_index(drop=True)


@pytest.mark.parametrize("keys", ["year", "city", "ok", "day", ["year", "city"], ["ok", "day", "city", "year"]])
def test_a_partitioned_frame_comes_back_with_its_columns_types_and_values(client, keys):
    dataset = Dataset.register(client, "rides", FRAME, partition_by=keys)
    assert all(file.count("/") == (1 if isinstance(keys, str) else len(keys)) for file in dataset.files)
    pd.testing.assert_frame_equal(by_km(dataset.to_pandas()), FRAME)
    assert dataset.scan().schema.names == list(FRAME.columns)
    assert dataset.to_pandas(columns=["km", "year"]).columns.tolist() == ["km", "year"]


def test_odd_values_come_back_from_the_names_of_folders(client):
    frame = pd.DataFrame({"a": ["..", ".", "%2F", "a\\b", "\u202e", " ", "=", "nul", "None", "1"], "v": range(10)})
    found = Dataset.register(client, "t", frame, partition_by="a").to_pandas()
    pd.testing.assert_frame_equal(found.sort_values("v").reset_index(drop=True), frame)


def test_the_files_do_not_have_the_columns_and_other_readers_find_them(client):
    dataset = Dataset.register(client, "rides", FRAME, partition_by="year")
    assert dataset.files == ("year=2023/part-00000-0.parquet", "year=2024/part-00000-0.parquet")
    assert pq.read_schema(dataset.artifact.local_path(dataset.files[0])).names == ["city", "ok", "day", "km", "kind"]
    found = ds.dataset(dataset.artifact.local_path(), format="parquet", partitioning="hive").to_table()
    assert sorted(found["year"].to_pylist()) == sorted(FRAME.year)


def test_a_filter_on_a_partition_opens_only_its_files(client, monkeypatch):
    dataset = Dataset.register(client, "rides", FRAME, partition_by="year")
    scanned = dataset.scan()
    wanted = list(scanned.get_fragments(ds.field("year") == 2023))
    assert [fragment.path for fragment in wanted] == ["year=2023/part-00000-0.parquet"]
    assert sorted(scanned.to_table(filter=ds.field("year") == 2023)["km"].to_pylist()) == [1.5, 4.0]


def test_arrow_and_polars_tables_are_partitioned_too(client):
    table = pa.table({"g": pa.array([1, None, 2], pa.int8()), "v": ["x", "y", "z"]})
    found = Dataset.register(client, "t", table, partition_by="g").to_arrow()
    assert found.schema.field("g").type == pa.int8()
    assert found.sort_by("v").to_pydict() == table.to_pydict()
    polars = large("polars")
    frame = polars.from_arrow(table)
    again = Dataset.register(client, "t", frame, partition_by=["g"]).to_polars()
    assert (again.schema, again.sort("v").equals(frame)) == (frame.schema, True)


def test_equal_tables_become_equal_files_so_reuse_works(client):
    for _ in range(2):
        dataset = Dataset.register(client, "rides", FRAME.copy(), partition_by="year", if_unchanged="reuse")
        assert dataset.version == 1


@pytest.mark.parametrize(
    ("frame", "keys", "error"),
    [
        (FRAME, "km", "has the type double"),
        (FRAME, "kind", "has the type dictionary"),
        (FRAME, ["nope", "km"], "'nope' is not a column; column 'km' has the type double"),
        (FRAME, ["year", "year"], "may be given once"),
        (FRAME[["year"]], "year", "at least one must be left"),
        (FRAME.set_index("km"), "year", "keeps no index"),
        (pd.DataFrame({"a": ["", "b"], "v": [1, 2]}), "a", "holds '', which cannot be the name of a folder"),
        (pd.DataFrame({"a": ["x" * 99], "v": [1]}), "a", "cannot be the name of a folder"),
        (pd.DataFrame({"a": ["__HIVE_DEFAULT_PARTITION__"], "v": [1]}), "a", "cannot be the name of a folder"),
        (pd.DataFrame({"a=b": ["x"], "v": [1]}), "a=b", "cannot be part of a folder's name"),
        ({"a.parquet": FRAME}, "year", "partition_by is for a table"),
    ],
)
def test_what_would_come_back_changed_is_refused(client, raw, frame, keys, error):
    with pytest.raises(InvalidInputError, match=error):
        Dataset.register(client, "rides", frame, partition_by=keys)
    assert raw.keys() == set()


@pytest.mark.parametrize("parts", [1, 2])
def test_partitions_without_a_row_are_refused_and_nothing_is_left(client, raw, temp, parts):
    empty = FRAME[["city", "km"]].head(0)
    with pytest.raises(InvalidInputError, match="no rows"):
        Dataset.register(client, "t", iter([empty] * parts), partition_by="city")
    with pytest.raises(InvalidInputError, match="no rows"):
        Dataset.register(client, "t", empty, partition_by="city")
    assert raw.keys() == set()
    assert list(temp.iterdir()) == []
    assert len(Dataset.register(client, "t", iter([empty, FRAME[["city", "km"]]]), partition_by="city").files) == 5


def test_folders_of_other_writers_give_their_columns_too(client):
    files = {f"year={year}/a.csv": b"x,y\n1,a\n" for year in (2023, 2024)}
    dataset = Dataset.register(client, "t", files)
    assert dataset.to_pandas().to_dict("list") == {"x": [1, 1], "y": ["a", "a"], "year": [2023, 2024]}
    assert dataset.scan().to_table(filter=ds.field("year") == 2024).num_rows == 1
    with pytest.raises(InvalidInputError, match="takes no nrows"):
        dataset.to_pandas(nrows=1)


@pytest.mark.parametrize(
    "said",
    [
        b"not json",
        b"[]",
        b'{"by":["year"],"schema":"AAAA"}',
        json.dumps(
            {"by": ["nope"], "schema": base64.b64encode(pa.schema({"x": pa.int8()}).serialize()).decode()}
        ).encode(),
        json.dumps(
            {"by": ["x"], "schema": base64.b64encode(pa.schema({"x": pa.null()}).serialize()).decode()}
        ).encode(),
        b"[" * 100_000,
    ],
)
def test_hostile_facts_about_partitions_are_ignored(client, tmp_path, said):
    pq.write_table(pa.table({"v": [1]}).replace_schema_metadata({PARTITIONS: said}), tmp_path / "a.parquet")
    dataset = Dataset.register(client, "t", {"year=2024/a.parquet": tmp_path / "a.parquet"})
    assert dataset.to_arrow().to_pydict() == {"v": [1], "year": [2024]}


def recorded(table):
    said = {"by": ["year"], "schema": base64.b64encode(table.schema.serialize()).decode()}
    return parquet(table.replace_schema_metadata({PARTITIONS: json.dumps(said)}))


BOTH = pa.table({"v": [1], "year": pa.array([1999], pa.int32())})
DOUBLED = {
    "the first file": {"year=2024/a.parquet": parquet(BOTH)},
    "a later file": {"year=2024/a.parquet": parquet(BOTH.select(["v"])), "year=2025/a.parquet": parquet(BOTH)},
    "another type": {"year=2024/a.parquet": parquet(pa.table({"v": [1], "year": [1999]}))},
    "recorded": {"year=2024/a.parquet": recorded(BOTH)},
    "no value": {"year=__HIVE_DEFAULT_PARTITION__/a.csv": b"v,year\n1,b\n"},
    "a name in other signs": {"the%20year=a/a.csv": b"v,the year\n1,b\n"},
    "texts": {"year=a/a.csv": b"v,year\n1,b\n"},
    "lines": {"year=a/a.jsonl": b'{"v":1,"year":"b"}\n'},
    "a late line": {"year=a/a.jsonl": (b'{"v":1' + b" " * 1_000_000 + b"}\n") * 18 + b'{"v":1,"year":"b"}\n'},
}
READERS = {
    "scan": lambda data: data.scan().to_table(),
    "batches": lambda data: list(data.iter_batches(["v"])),
    "arrow": Dataset.to_arrow,
    "pandas": Dataset.to_pandas,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("files", DOUBLED)
def test_the_name_of_a_folder_never_replaces_a_column_of_the_file(client, files, reader):
    dataset = Dataset.register(client, "t", DOUBLED[files])
    with pytest.raises(InvalidInputError, match="year"):
        READERS[reader](dataset)
    *_, doubled = dataset.files
    assert dataset.to_arrow(doubled).column_names[-1].endswith("year")


def test_files_outside_of_folders_keep_the_column_that_others_have_in_names(client):
    dataset = Dataset.register(client, "t", {"year=new/a.csv": b"v\n1\n", "b.csv": b"v,year\n2,old\n"})
    assert dataset.to_arrow().sort_by("v").to_pydict() == {"v": [1, 2], "year": ["new", "old"]}


# --- parts ------------------------------------------------------------------------------------------------------------


def frames(count=3):
    return [pd.DataFrame({"n": range(start * 10, start * 10 + 10)}) for start in range(count)]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda parts: (part for part in parts)])
def test_the_tables_of_a_list_or_iterator_become_parts_of_one_data_set(client, kind):
    dataset = Dataset.register(client, "t", kind(frames()))
    assert dataset.files == ("part-00000.parquet", "part-00001.parquet", "part-00002.parquet")
    assert dataset.to_pandas().n.tolist() == list(range(30))
    assert [field["name"] for field in dataset.schema["fields"]] == ["n"]
    assert Dataset.register(client, "t", frames(), if_unchanged="reuse").version == 1


def test_parts_are_partitioned_too(client):
    parts = (pd.DataFrame({"n": [number, number + 1], "g": ["a", "b"]}) for number in (0, 10))
    dataset = Dataset.register(client, "t", parts, partition_by="g")
    assert dataset.files == tuple(f"g={g}/part-0000{part}-0.parquet" for g in "ab" for part in (0, 1))
    assert dataset.to_pandas().sort_values("n").to_dict("list") == {"n": [0, 1, 10, 11], "g": ["a", "b", "a", "b"]}


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([], "yielded no table"),
        ([FRAME, 7], "table 1: a int is not a table"),
        ([FRAME, FRAME[["km", "city"]]], r"table 1: its columns are 'km' \(double\)"),
        ([frames(1)[0], frames(1)[0].astype("int8")], r"table 1: its columns are 'n' \(int8\)"),
        ([frames(1)[0].set_index("n")], "table 0: a frame among several files keeps no index"),
        ([pd.DataFrame({"a": [{1}]})], "table 0: column 'a'"),
    ],
)
def test_parts_that_do_not_fit_are_refused_and_nothing_is_left(client, raw, temp, parts, error):
    with pytest.raises(InvalidInputError, match=error):
        Dataset.register(client, "t", iter(parts))
    assert raw.keys() == set()
    assert list(temp.iterdir()) == []


def test_an_error_of_the_iterator_is_raised_as_it_is(client, raw, temp):
    def rows():
        yield frames(1)[0]
        raise KeyError("the source failed")

    with pytest.raises(KeyError, match="the source failed"):
        Dataset.register(client, "t", rows())
    assert raw.keys() == set()
    assert list(temp.iterdir()) == []


MEMORY = """
    import sys, resource
    import numpy as np, pyarrow as pa
    from metamlflow import Dataset, MetaMLFlowClient
    client = MetaMLFlowClient(sys.argv[1])
    table = lambda seed: pa.table({"n": np.random.default_rng(seed).random(1_000_000), "g": [seed % 3] * 1_000_000})
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = []
    for keys in ((), "g"):
        for count in (2, 12):
            dataset = Dataset.register(client, "t", (table(number) for number in range(count)), partition_by=keys)
            figures.append(peak())
        assert sum(batch.num_rows for batch in dataset.iter_batches()) == 12_000_000
        figures.append(peak())
    print(*figures)
"""


@pytest.mark.full
def test_the_memory_of_parts_and_batches_does_not_grow_with_their_number(tmp_path):
    import textwrap

    figures = [int(kib) // 1024 for kib in run(textwrap.dedent(MEMORY), tmp_path / "store").split()]
    few, many, read, few_folders, many_folders, read_folders = figures
    grown = (many - few, read - many, many_folders - few_folders, read_folders - many_folders)
    assert max(grown) < 100, f"160 MiB more were registered, which took {figures} MiB"


LARGE_FILE = """
    import os, sys
    from pathlib import Path
    import numpy as np, pyarrow as pa, pyarrow.parquet as pq
    from metamlflow import Dataset, MetaMLFlowClient
    folder, reader, groups = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def memory(name):
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) // 1024

    random, schema = np.random.default_rng(0), pa.schema({"a": pa.float64(), "b": pa.float64()})
    with pq.ParquetWriter(folder / "a.parquet", schema, compression="none", use_dictionary=False) as writer:
        for _ in range(groups):
            writer.write_table(pa.table({"a": random.random(65_536), "b": random.random(65_536)}))
    files = {f"{number}.parquet": pa.BufferOutputStream() for number in range(4)}
    for sink in files.values():
        pq.write_table(pa.table({"a": [1.5], "b": [1.5]}), sink)
    small = {name: sink.getvalue().to_pybytes() for name, sink in files.items()}
    client = MetaMLFlowClient(str(folder / "store"))
    dataset = Dataset.register(client, "t", {"a.parquet": folder / "a.parquet", **small})
    read = dataset.iter_batches if reader == "batches" else lambda: dataset.torch(batch_size=8192)
    if reader == "torch":
        read()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, rows = memory("VmRSS:"), 0
    for batch in read():
        rows += batch.num_rows if reader == "batches" else len(batch["a"])
    assert rows == groups * 65_536 + 4
    print(memory("VmHWM:") - before, flush=True)
    os._exit(0)  # threads of PyTorch and Arrow that are still there sometimes abort the end of a process
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.full
@pytest.mark.parametrize("reader", ["batches", "torch"])
def test_the_memory_of_batches_does_not_grow_with_the_size_of_a_file(tmp_path, reader):
    if reader == "torch":
        pytest.importorskip("torch")
    grown = int(run(LARGE_FILE, tmp_path, reader, 320))
    assert grown < 200, f"a file of 320 MiB took {grown} MiB"
