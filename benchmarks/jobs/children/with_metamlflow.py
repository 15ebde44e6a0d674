"""One job with metamlflow; see stopwatch.py for what a child is given and reports."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil

from stopwatch import Task, run_timed, run_tiny

import metamlflow_s3
from metamlflow import MetaMLFlowClient

NAME = "benchmark/data"
OTHER = "benchmark/other"
# Imported by the library when first used, where they are installed: a job is timed without imports.
LAZY = (
    *("aiobotocore.session", "fsspec", "obstore", "obstore.store", "s3fs"),
    *("metamlflow.store.ingest.filesystems", "metamlflow.store.ingest.streams"),
)


def main() -> None:
    """Do what the task says."""
    import_all()
    task = Task.read()
    client = connect(task)
    if task.step == "prepare":
        client.create_store()
    elif task.step == "fetch":
        run_timed(lambda: client.get_artifact(NAME).download(task.destination))
    elif task.step == "tiny":
        tiny(task)
    else:
        run_timed(lambda: client.register_artifact(NAME, task.source))


def connect(task: Task) -> MetaMLFlowClient:
    """Make a client; that alone asks the server nothing."""
    store, options = f"s3://{task.bucket}/{task.prefix}", task.s3fs_options()
    return MetaMLFlowClient(store, storage_options=options, cache_dir=task.scratch / "cache")


def tiny(task: Task) -> None:
    """Make each call with a client of its own, for a client remembers what it has read and written.

    Its first operations, which connect and look at the store, are on another name and are not timed.
    """
    clients: list[MetaMLFlowClient] = []

    def forget() -> None:
        clients[:] = [connect(task)]
        clients[0].register_artifact(OTHER, b"other")
        clients[0].get_artifact(OTHER).read_bytes()

    run_tiny(
        task,
        register=lambda file: clients[0].register_artifact(NAME, file),
        latest=lambda: clients[0].get_artifact(NAME).version,
        read=lambda: clients[0].get_artifact(NAME).read_bytes(),
        forget=forget,
    )


def import_all() -> None:
    """Import what the first call would import otherwise."""
    for name in LAZY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for module in pkgutil.iter_modules(metamlflow_s3.__path__):
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(f"metamlflow_s3.{module.name}")


if __name__ == "__main__":
    main()
