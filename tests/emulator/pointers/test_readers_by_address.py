"""The libraries that people read with read the same rows by address, from each store, of each kind of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import fsspec
import pandas as pd
import pyarrow.dataset as ds
import pytest
from lakesides import GCSPlace, S3Place

from extras import imported
from metamlflow import MetaMLFlowClient
from metamlflow.filesystem import MetaMLFlowFileSystem

pytestmark = pytest.mark.emulator

ROWS = pd.DataFrame({"n": range(300), "text": [f"row {n}" for n in range(300)], "group": [n % 3 for n in range(300)]})
KINDS = ["stored", "pointed", "partitioned", "partitioned-and-pointed"]


@dataclass(frozen=True)
class Shelf:
    """A store with the rows in each kind of version."""

    uri: str
    options: dict[str, Any] = field(default_factory=dict)
    source_options: dict[str, Any] = field(default_factory=dict)

    @property
    def storage_options(self) -> dict[str, Any]:
        """As fsspec, and all who open with it, take them."""
        return {"store": self.uri, "store_options": self.options, "source_options": self.source_options}

    @property
    def fs(self) -> MetaMLFlowFileSystem:
        return fsspec.filesystem("metamlflow", **self.storage_options)


@pytest.fixture(scope="module", params=["local", "moto", "gcs"])
def shelf(request, tmp_path_factory) -> Iterator[Shelf]:
    made = tmp_path_factory.mktemp("rows")
    for number in range(3):
        part = ROWS[number * 100 : number * 100 + 100]
        (made / "flat").mkdir(exist_ok=True)
        part.to_parquet(made / f"flat/part-{number}.parquet", index=False)
    ROWS.to_parquet(made / "hive", partition_cols=["group"], index=False)
    if request.param == "local":
        shelf = Shelf(str(made / "store"))
        lake = str(made)
    else:
        server = request.getfixturevalue(f"{request.param}_server")
        place = (GCSPlace if request.param == "gcs" else S3Place)(server, server.new_bucket(), "lake/", versioned=False)
        for file in made.rglob("*.parquet"):
            place.put(str(file.relative_to(made)), file.read_bytes())
        shelf = Shelf(f"{place.scheme}://{place.bucket}/store", server.storage_options, place.source_options())
        lake = place.uri().rstrip("/")
    client = MetaMLFlowClient(shelf.uri, storage_options=shelf.options, source_options=shelf.source_options)
    client.register_artifact("stored", made / "flat", "dataset")
    client.register_artifact("partitioned", made / "hive", "dataset")
    client.register_pointer("pointed", f"{lake}/flat/")
    client.register_pointer("partitioned-and-pointed", f"{lake}/hive/")
    return shelf


def same_rows(frame: Any) -> bool:
    """Whether a frame has all rows; a column of a folder's name may have another type, and any place."""
    found = pd.DataFrame(frame)[list(ROWS)].astype({"group": "int64"}).sort_values("n", ignore_index=True)
    return found.astype(object).to_numpy().tolist() == ROWS.astype(object).to_numpy().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_pandas_reads_the_same_rows(shelf, kind):
    assert same_rows(pd.read_parquet(f"metamlflow://{kind}@1", storage_options=shelf.storage_options))
    one = shelf.fs.find(f"{kind}@1")[0]
    assert len(pd.read_parquet(f"metamlflow://{one}", storage_options=shelf.storage_options)) == 100


@pytest.mark.parametrize("kind", KINDS)
def test_pyarrow_reads_the_same_rows_and_pushes_filters_down(shelf, kind):
    dataset = ds.dataset(f"{kind}@1", filesystem=shelf.fs, partitioning="hive")
    assert same_rows(dataset.to_table().to_pandas())
    assert sorted(dataset.to_table(["n"], filter=ds.field("group") == 1)["n"].to_pylist()) == list(range(1, 300, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_polars_reads_the_same_rows_at_once(shelf, kind):
    polars = imported("polars")
    frames = []
    for path in shelf.fs.find(f"{kind}@1"):
        url, folder = f"metamlflow://{path}", path.split("/")[-2]
        frame = polars.read_parquet(url, use_pyarrow=True, storage_options=shelf.storage_options)
        assert frame.equals(polars.read_parquet(fsspec.open(url, **shelf.storage_options).open()))
        if folder.startswith("group="):  # polars reads one file, and not the names of the folders above it
            frame = frame.with_columns(group=polars.lit(int(folder.removeprefix("group=")), polars.Int64))
        frames.append(frame)
    assert same_rows(polars.concat(frames).to_pandas())


@pytest.mark.parametrize("kind", KINDS)
def test_polars_reads_the_same_rows_lazily(shelf, kind):
    polars = imported("polars")
    rows = polars.scan_pyarrow_dataset(ds.dataset(f"{kind}@1", filesystem=shelf.fs, partitioning="hive"))
    assert same_rows(rows.collect().to_pandas())
    assert rows.filter(polars.col("group") == 2).select("n").collect()["n"].sort().to_list() == list(range(2, 300, 3))
    one = polars.scan_parquet(shelf.fs.open(shelf.fs.find(f"{kind}@1")[0]))
    assert one.filter(polars.col("n") == 0).select("text").collect().item() == "row 0"


@pytest.mark.parametrize("kind", KINDS)
def test_duckdb_reads_the_same_rows(shelf, kind):
    with imported("duckdb").connect() as connection:
        connection.register_filesystem(shelf.fs)
        files = f"read_parquet('metamlflow://{kind}@1/**/*.parquet', hive_partitioning = true)"
        assert same_rows(connection.sql(f"select * from {files}").df())
        assert connection.sql(f'select sum(n) from {files} where "group" = 1').fetchall() == [(sum(range(1, 300, 3)),)]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dask's own call of pandas
@pytest.mark.parametrize("kind", KINDS)
def test_dask_reads_the_same_rows(shelf, kind):
    imported("distributed")
    import dask.dataframe

    frame = dask.dataframe.read_parquet(f"metamlflow://{kind}@1", storage_options=shelf.storage_options)
    assert same_rows(frame.compute(scheduler="threads"))


class Files:
    """A map-style dataset for torch: each file of a version is an item, its rows as a list."""

    def __init__(self, fs: MetaMLFlowFileSystem, root: str) -> None:
        self.fs, self.root, self.paths = fs, root, fs.find(root)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> list[dict[str, Any]]:
        hive = ds.partitioning(flavor="hive")
        file = ds.dataset(self.paths[number], filesystem=self.fs, partitioning=hive, partition_base_dir=self.root)
        return file.to_table().to_pylist()


@pytest.mark.full
@pytest.mark.parametrize(("kind", "context"), [*((kind, "fork") for kind in KINDS), ("stored", "spawn")])
def test_a_torch_data_loader_with_two_workers_reads_the_same_rows(shelf, kind, context):
    torch = pytest.importorskip(
        "torch", reason="needs torch, which no extra brings because of its size: pip install torch"
    )
    loader = torch.utils.data.DataLoader(
        Files(shelf.fs, f"{kind}@1"), batch_size=None, num_workers=2, multiprocessing_context=context
    )
    assert same_rows([row for rows in loader for row in rows])


@pytest.mark.full
def test_zarr_and_xarray_read_the_same_values(shelf, tmp_path):
    zarr, xarray = imported("zarr"), imported("xarray")
    client = MetaMLFlowClient(shelf.uri, storage_options=shelf.options)
    values = xarray.Dataset({"n": ("row", ROWS["n"].to_numpy())})
    values.chunk({"row": 50}).to_zarr(tmp_path / "rows.zarr", zarr_format=2)
    client.register_artifact("arrays", tmp_path / "rows.zarr", "dataset")
    options = shelf.storage_options
    assert zarr.open_group("metamlflow://arrays@1", mode="r", storage_options=options)["n"][:].tolist() == [*ROWS["n"]]
    assert xarray.open_zarr("metamlflow://arrays@1", storage_options=options)["n"][:7].to_numpy().tolist() == [
        *range(7)
    ]
