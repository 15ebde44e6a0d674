"""A scan of a data set in a bucket transfers the columns and row groups that it needs, counted at the server."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from extras import imported as large
from metamlflow import Dataset, IntegrityError
from metamlflow.data import _open_ranges as open_ranges
from metamlflow.store.transfer.spooling import SMALL

GROUPS, ROWS, COLUMNS = 8, 2_000, 100


def table(start=0):
    rows = GROUPS * ROWS
    values = np.random.default_rng(start).random((COLUMNS - 1, rows))
    return pa.table({"n": np.arange(start, start + rows)} | {f"c{at}": values[at] for at in range(COLUMNS - 1)})


def parquet(data, **options):
    sink = io.BytesIO()
    pq.write_table(data, sink, row_group_size=ROWS, **options)
    return sink.getvalue()


@pytest.fixture
def wide(proxied):
    """Two files of 100 columns in a bucket, 25 MB, and the proxy that sees what is sent."""
    root, proxy = proxied
    contents = {f"{number}.parquet": parquet(table(number * GROUPS * ROWS)) for number in range(2)}
    dataset = Dataset.register(root.client(), "wide", contents)
    proxy.reset()
    return dataset, proxy, sum(map(len, contents.values()))


def blob_requests(proxy):
    return [request for request in proxy.log if "/blobs/" in request.key]


def sent(proxy):
    """Bytes of content that the server was asked for."""
    ranges = [request.headers.get("range", "") for request in blob_requests(proxy)]
    assert all(ranges), "whole objects were asked for"
    pairs = (text.removeprefix("bytes=").split("-") for text in ranges)
    return sum(int(end) - int(start) + 1 for start, end in pairs)


def queries():
    wanted = ds.field("n") < ROWS
    return {
        "scan": lambda data: data.scan().to_table(columns=["n", "c7"], filter=wanted).num_rows,
        "batches": lambda data: sum(batch.num_rows for batch in data.iter_batches(["n", "c7"], filter=wanted)),
        "polars": lambda data: (
            (polars := large("polars"))
            and data.to_polars(lazy=True).filter(polars.col("n") < ROWS).select("n", "c7").collect().height
        ),
        "duckdb": lambda data: (
            large("duckdb") and len(data.to_duckdb().filter(f"n < {ROWS}").project("n, c7").fetchall())
        ),
    }


@pytest.mark.parametrize("query", queries())
def test_a_filter_and_two_of_100_columns_read_less_than_a_twentieth(wide, query):
    dataset, proxy, size = wide
    assert queries()[query](dataset) == ROWS
    assert 0 < sent(proxy) < size / 20


def test_all_columns_are_read_about_once(wide):
    dataset, proxy, size = wide
    assert dataset.scan().to_table().num_rows == 2 * GROUPS * ROWS
    assert sent(proxy) < 1.1 * size


@pytest.mark.parametrize("columns", [None, ["c1", "c7"]])
def test_batches_of_a_large_file_cost_no_more_requests_than_a_scan(proxied, columns):
    root, proxy = proxied
    values = np.random.default_rng(0).random((10, 400_000))
    content = parquet(pa.table({f"c{at}": values[at] for at in range(10)}), compression="none", use_dictionary=False)
    dataset = Dataset.register(root.client(), "large", {"a.parquet": content})
    counts = []
    for read in (
        lambda: dataset.scan().to_table(columns),
        lambda: pa.Table.from_batches(dataset.iter_batches(columns)),
    ):
        proxy.reset()
        assert read().num_rows == 400_000
        counts.append((len(blob_requests(proxy)), sent(proxy)))
    (requests, scanned), (of_batches, batched) = counts
    assert of_batches <= 1.1 * requests + 2
    assert batched <= scanned * 1.1


def test_a_whole_read_is_verified_and_a_scan_finds_a_damaged_page(proxied):
    root, _ = proxied
    dataset = Dataset.register(root.client(), "t", table())
    (key,) = root.keys("blobs/")
    content = bytearray(root.read(key))
    content[len(content) // 2] ^= 1
    root.write(key, bytes(content))
    with pytest.raises(IntegrityError):
        dataset.to_arrow()
    with pytest.raises(OSError, match="checksum"):
        dataset.scan().to_table()


@pytest.mark.parametrize("length", [1_000_000, 0])
def test_an_object_that_is_too_short_or_missing_is_detected(moto_root, length):
    artifact = moto_root.client().register_artifact("t", {"a.parquet": b"x" * 2_000_000})
    (key,) = moto_root.keys("blobs/")
    if length:
        moto_root.write(key, b"x" * length)
    else:
        moto_root.server.raw().delete_object(**moto_root.name(key))
    with open_ranges(artifact, "a.parquet") as file:
        file.seek(990_000)
        with pytest.raises(IntegrityError):
            file.read(50_000)


def test_small_files_are_fetched_once_and_verified(proxied):
    root, proxy = proxied
    artifact = root.client().register_artifact("t", {"a.parquet": b"x" * SMALL})
    proxy.reset()
    with open_ranges(artifact, "a.parquet") as file:
        assert (file.seek(-8, 2), file.read(), file.seek(0), file.read(9)) == (SMALL - 8, b"x" * 8, 0, b"x" * 9)
    assert len(blob_requests(proxy)) == 1
    (key,) = root.keys("blobs/")
    root.write(key, b"y" * SMALL)
    with open_ranges(artifact, "a.parquet") as file, pytest.raises(IntegrityError):
        file.read(1)


def test_any_order_of_reads_gives_the_bytes_of_a_file(moto_root):
    content = np.random.default_rng(0).bytes(3_000_000)
    artifact = moto_root.client().register_artifact("t", {"a.parquet": content})
    choice = np.random.default_rng(1)
    with open_ranges(artifact, "a.parquet") as file:
        for _ in range(40):
            start, size = int(choice.integers(0, 3_100_000)), int(choice.integers(0, 60_000))
            file.seek(start)
            assert file.read(size) == content[start : start + size]
            assert file.read(100) == content[start + size :][:100]
        file.seek(0)
        assert file.read() == content
