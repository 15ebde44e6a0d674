"""One job with raw obstore: no versions, no hashes, no checks; the transport alone, with a pool of threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from obstore.store import S3Store
from stopwatch import Task, run_timed

MIB = 2**20
THREADS = 16
PART = 8 * MIB
PARTS = 4  # of one file in flight
RANGE = 16 * MIB


def main() -> None:
    """Do what the task says."""
    task = Task.read()
    keys = task.credentials()
    store = S3Store(
        task.bucket,
        prefix=task.prefix,
        endpoint=task.endpoint,
        region=task.region,
        access_key_id=keys["key"],
        secret_access_key=keys["secret"],
        client_options={"allow_http": True},
        **({"session_token": keys["token"]} if keys["token"] else {}),
    )
    step = fetch if task.step == "fetch" else publish
    run_timed(lambda: step(store, task))


def publish(store: S3Store, task: Task) -> None:
    """Put a file in parts, or the files of a folder side by side."""
    if task.source.is_file():
        store.put(task.source.name, task.source, chunk_size=PART, max_concurrency=PARTS)
        return
    files = [path for path in task.source.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda path: store.put(str(path.relative_to(task.source)), path.read_bytes()), files))


def fetch(store: S3Store, task: Task) -> None:
    """Get every object below the prefix: one of several ranges by ranges, others side by side."""
    found = [(entry["path"], entry["size"]) for chunk in store.list() for entry in chunk]
    folders = {task.destination / Path(path).parent for path, _ in found}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda entry: fetch_one(store, entry[0], task.destination / entry[0], entry[1]), found))


def fetch_one(store: S3Store, path: str, target: Path, size: int) -> None:
    """Write one object to ``target``."""
    if size <= RANGE:
        target.write_bytes(store.get(path).bytes())
        return
    file = os.open(target, os.O_WRONLY | os.O_CREAT)
    try:
        os.truncate(file, size)

        def copy(start: int) -> None:
            os.pwrite(file, store.get_range(path, start=start, end=min(start + RANGE, size)), start)

        with ThreadPoolExecutor(PARTS) as pool:
            list(pool.map(copy, range(0, size, RANGE)))
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
