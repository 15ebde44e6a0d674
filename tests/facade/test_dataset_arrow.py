from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_samples import MIB, blob_file, fields

from metamlflow.data import Dataset


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


@pytest.mark.full
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
