"""Two of 100 columns with a filter, out of a Parquet data set in a bucket, read by address: what the server sends.

    python benchmarks/parts.py FOLDER --server PROGRAM [--mib 1024]

The server's PROGRAM is that of ``migration.py``. Prints Markdown; exits with 1 if more than 5 % of the data set's bytes
are sent.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from jobs.servers import started

from metamlflow import MetaMLFlowClient
from metamlflow.filesystem import MetaMLFlowFileSystem

COLUMNS, FILES = 100, 8
BOUND = 0.05


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--mib", type=int, default=1024, help="of the data set")
    arguments = parser.parse_args()
    rows = arguments.mib * 1024 * 1024 // (FILES * COLUMNS * 8)
    made = arguments.folder / f"parts-{uuid.uuid4().hex[:8]}"
    try:
        made.mkdir(parents=True)
        write(made, rows)
        with started(arguments.server.absolute(), 0, f"/_{arguments.server.name}") as server:
            options = {"key": "any", "secret": "any", "endpoint_url": server.endpoint}
            uri = f"s3://{server.bucket}/{uuid.uuid4().hex}"
            wide = MetaMLFlowClient(uri, storage_options=options).register_artifact("wide", made, "dataset")
            server.reset()
            began = time.perf_counter()
            fs = MetaMLFlowFileSystem(uri, store_options=options)
            found = ds.dataset("wide@1", filesystem=fs).to_table(["n", "c7"], filter=ds.field("n") < rows)
            seconds = time.perf_counter() - began
            with urllib.request.urlopen(server.stats_url) as answer:
                stats = json.load(answer)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    share = stats["bytes_out"] / wide.size
    print("| MiB | rows found | sent, bytes | share | requests | seconds |\n|---|---|---|---|---|---|")
    size = wide.size / 1024 / 1024
    print(f"| {size:,.0f} | {len(found):,} | {stats['bytes_out']:,} | {share:.2%} | {stats['total']} | {seconds:.2f} |")
    return int(share > BOUND or len(found) != rows)


def write(folder: Path, rows: int) -> None:
    """Write files of random numbers, the first column in the order of the rows."""
    numbers = np.random.default_rng(1)
    for part in range(FILES):
        columns = {"n": np.arange(part * rows, (part + 1) * rows)}
        columns |= {f"c{number}": numbers.random(rows) for number in range(1, COLUMNS)}
        file = folder / f"{part}.parquet"
        pq.write_table(
            pa.table(columns), file, row_group_size=max(rows // 2, 1), use_dictionary=False, compression="none"
        )


if __name__ == "__main__":
    raise SystemExit(main())
