"""Bring a store elsewhere with the workers of a Dask cluster.

    python with_dask.py s3://models/store gs://mirror/store --scheduler tcp://scheduler:8786
    python with_dask.py s3://models/store gs://mirror/store --workers 8       # processes of this machine

Every worker needs ``pip install 'metamlflow[s3,gcs,dask]'`` and credentials of its own for both stores (an instance
role, environment variables): none are given here, so none travel.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext

from moving import bring, parser

from metamlflow import MetaMLFlowError
from metamlflow.migration import dask_executor


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__, "s3://models/store", "gs://mirror/store")
    options.add_argument("--scheduler", help="its address; default: a cluster of this machine")
    options.add_argument("--workers", type=int, default=2, help="processes of that cluster")
    given = options.parse_args()
    try:
        with (
            nullcontext() if given.scheduler else cluster_of(given.workers) as cluster,
            dask_executor(given.scheduler or cluster.scheduler_address) as executor,
        ):
            return bring(given, executor=executor)
    except MetaMLFlowError as error:
        print(error, file=sys.stderr)
        return 2


def cluster_of(workers: int):  # noqa: ANN201 (a context manager of Dask's)
    """Return a cluster of processes on this machine, reachable from nowhere else."""
    from distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0")


if __name__ == "__main__":
    sys.exit(main())
