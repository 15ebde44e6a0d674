"""A query by address moves what it needs of a data set, counted at the server."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from extras import imported
from metamlflow import MetaMLFlowClient
from metamlflow.filesystem import MetaMLFlowFileSystem

pytestmark = pytest.mark.emulator

COLUMNS, ROWS, FILES = 100, 20_000, 4  # 16 MB a file; a file of a real data set has more rows, and the same head


def moved(proxy, sizes: dict[str, int]) -> int:
    """How many bytes of blobs the server was asked for."""
    total = 0
    for request in proxy.log:
        _, in_blobs, name = request.operation.key.partition("/blobs/")
        if request.operation.name == "GetObject" and in_blobs:
            size = sizes[name]
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", f"bytes=0-{size - 1}"))
            total += min(int(found[2]), size - 1) - int(found[1]) + 1
    return total


@pytest.fixture(scope="module")
def wide(moto_server, tmp_path_factory):
    """A version of files with many columns, the first in the order of the rows."""
    folder = tmp_path_factory.mktemp("wide")
    numbers = np.random.default_rng(3)
    for part in range(FILES):
        columns = {"n": np.arange(part * ROWS, (part + 1) * ROWS)}
        columns |= {f"c{number}": numbers.random(ROWS) for number in range(1, COLUMNS)}
        pq.write_table(pa.table(columns), folder / f"{part}.parquet", row_group_size=ROWS // 2, use_dictionary=False)
    uri = f"s3://{moto_server.new_bucket()}/store"
    client = MetaMLFlowClient(uri, storage_options=moto_server.storage_options)
    return client.register_artifact("wide", folder, "dataset")


@pytest.fixture
def proxy(moto_server, fault_proxy):
    return fault_proxy(moto_server)


@pytest.fixture
def fs(moto_server, wide, proxy):
    options = moto_server.through(proxy.url).storage_options
    return MetaMLFlowFileSystem(wide.url().rpartition("::")[2], store_options=options)


@pytest.fixture
def sizes(wide):
    return {entry.key.removeprefix("blobs/"): entry.size for entry in wide.entries}


@pytest.mark.full
def test_two_of_a_hundred_columns_with_a_filter_move_a_twentieth_at_most(wide, fs, proxy, sizes):
    rows = ds.dataset("wide@1", filesystem=fs).to_table(["n", "c7"], filter=ds.field("n") < ROWS)
    assert rows["n"].to_pylist() == list(range(ROWS))
    assert 0 < moved(proxy, sizes) < wide.size / 20


@pytest.mark.full
def test_duckdb_moves_no_more(wide, fs, proxy, sizes):
    with imported("duckdb").connect() as connection:
        connection.register_filesystem(fs)
        query = f"select count(c7) from read_parquet('metamlflow://wide@1/*.parquet') where n < {ROWS}"
        assert connection.sql(query).fetchall() == [(ROWS,)]
    assert 0 < moved(proxy, sizes) < wide.size / 20


@pytest.mark.full
def test_a_file_that_is_read_whole_is_moved_once(wide, fs, proxy, sizes):
    assert len(fs.open("wide@1/0.parquet").read()) == wide.entries["0.parquet"].size
    assert moved(proxy, sizes) == wide.entries["0.parquet"].size
    assert proxy.counts["GetObject"] < 20
