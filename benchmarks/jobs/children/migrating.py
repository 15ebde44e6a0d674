"""Makes a store, or brings it to another place and tells what that took: ``migrating.py {JSON}``."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from stopwatch import report

import metamlflow_s3.backend  # noqa: F401 (imports are no part of the call)
from metamlflow import MetaMLFlowClient, migrate
from metamlflow.migration import dask_executor

SMALL_BYTES = 10_000


def main() -> None:
    """Do what the task says."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    options = {"endpoint_url": task["endpoint"], "client_kwargs": {"region_name": task["region"]}}
    source = MetaMLFlowClient(f"s3://{task['bucket']}/source", storage_options=options)
    if task["step"] == "prepare":
        prepare(source, Path(task["scratch"]), task["small"], task["large"], task["mib"])
        return
    destination = MetaMLFlowClient(f"s3://{task['bucket']}/{task['prefix']}", storage_options=options)
    if task["step"] == "dask":
        from distributed import LocalCluster

        cluster = LocalCluster(
            n_workers=task["workers"], threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        )
    else:
        cluster = nullcontext()
    with cluster, dask_executor(cluster.scheduler_address) if task["step"] == "dask" else nullcontext() as executor:
        arguments = {"server_side": task["step"] == "server", "executor": executor}
        times, began = os.times(), time.perf_counter()
        done = migrate(source, destination, **arguments)
        wall, after = time.perf_counter() - began, os.times()
        began = time.perf_counter()
        again = migrate(source, destination, **arguments)
        again_s = time.perf_counter() - began
    if not (done and again):
        sys.exit(f"{done.problems} {again.problems}")
    cpu = after.user + after.system - times.user - times.system
    report({"wall_s": wall, "cpu_s": cpu, "again_s": again_s, "bytes": done.totals["bytes"]})


def prepare(client: MetaMLFlowClient, scratch: Path, small: int, large: int, mib: int) -> None:
    """Register many small files and some large ones."""
    dice = random.Random(1)
    client.register_artifact("small", {f"{number:05}": dice.randbytes(SMALL_BYTES) for number in range(small)})
    folder = scratch / "large"
    folder.mkdir()
    for number in range(large):
        with (folder / f"{number}.bin").open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1024 * 1024))
    client.register_artifact("large", folder)


if __name__ == "__main__":
    main()
