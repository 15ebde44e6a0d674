"""Search in a large store on an in-memory S3 server: its requests, memory and time.

    python benchmarks/catalog.py --server PROGRAM [--versions 100000] [--each 10]

The server's PROGRAM is that of ``migration.py``. The store is written past the library: names with ``--each`` versions.
Each step runs in a process of its own, with one cache folder. Prints Markdown; exits with 1 if a bound is not kept: of
100,000 versions 30 seconds to build the catalog, half a second to refresh it after a registration, a tenth to filter,
and 300 MiB; of the list of all names a request for 500 of them, and a second for 10,000.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.servers import started

AT_A_TIME = 64
BOUND_MIB = 300
SEARCHED = "type = 'model' and metadata.accuracy > 0.995 and input = 'features@2'"
OPTIONS = {"key": "any", "secret": "any"}
STEPS = ("build", "load", "refresh", "filter", "list")


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=10, help="versions of a name")
    parser.add_argument("--child", nargs=3, metavar=("STEP", "URL", "CACHE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        work(*arguments.child)
        return 0
    with started(arguments.server.absolute(), 0, f"/_{arguments.server.name}") as server:
        asyncio.run(fill(server.endpoint, arguments.versions, arguments.each))
        heads = ("", "seconds", "peak MiB", "listings", "reads", "found")
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        with tempfile.TemporaryDirectory() as cache:
            kept = [measured(server, step, cache, arguments) for step in STEPS]
    return int(not all(kept))


def measured(server: Any, step: str, cache: str, arguments: argparse.Namespace) -> bool:
    """Run one step in a process; print what it took, and return whether the bounds are kept."""
    server.reset()
    command = [sys.executable, __file__, "--child", step, server.endpoint, cache]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    requests = server.requests()
    counts = requests.get("ListObjectsV2", 0), requests.get("GetObject", 0)
    cells = (f"{told['seconds']:.3f}", f"{told['mib']:.0f}", *(f"{count:,}" for count in (*counts, told["found"])))
    print(f"| {step} | {' | '.join(cells)} |", flush=True)
    share = arguments.versions / 100_000
    names = arguments.versions / arguments.each
    seconds = {"build": 30 * share, "refresh": 0.5 * share, "filter": 0.1 * share, "list": names / 10_000}
    return bool(told["seconds"] < seconds.get(step, 60) and told["mib"] < BOUND_MIB)


def work(step: str, url: str, cache: str) -> None:
    """Take one step; print seconds, peak memory and how much was found."""
    from metamlflow import MetaMLFlowClient

    options = OPTIONS | {"client_kwargs": {"endpoint_url": url, "region_name": "us-east-1"}}
    client = MetaMLFlowClient("s3://data/store", storage_options=options, cache_dir=cache)
    if step in {"refresh", "filter"}:
        client.search(SEARCHED)
    if step == "refresh":
        client.register_artifact("one/more", b"x", "model", {"accuracy": 1.0})
    if step == "list":
        client.list_artifacts()  # reads into the catalog what it lacks
    began = time.perf_counter()
    if step == "list":
        found = len(client.list_artifacts())
    elif step == "filter":
        began, found = filtered(client)
    else:
        found = len(client.search(SEARCHED))
    seconds = time.perf_counter() - began
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": mib, "found": found}))


def filtered(client: Any) -> tuple[float, int]:
    """Return when the filtering of a catalog that is up to date began, and how many rows it keeps."""
    from metamlflow.store.find.masks import Masks
    from metamlflow.store.find.search import parsed

    def looked(snapshot: Any) -> tuple[float, int]:
        began = time.perf_counter()
        return began, sum(held is True for held in Masks(snapshot).of(parsed(SEARCHED).root))

    result: tuple[float, int] = client._catalog.look(looked)  # noqa: SLF001 (the refresh has a step of its own)
    return result


async def fill(url: str, versions: int, each: int) -> None:
    """Write the store: a marker, and the records of all names and versions."""
    import obstore
    from obstore.store import S3Store

    config: Any = {"endpoint": url, "region": "us-east-1", "access_key_id": "any", "secret_access_key": "any"}
    store = S3Store("data", prefix="store", config=config, client_options={"allow_http": True})
    todo = records(versions, each)

    async def put() -> None:
        for key, data in todo:
            await obstore.put_async(store, key, data, use_multipart=False)

    await asyncio.gather(*(put() for _ in range(AT_A_TIME)))


def records(versions: int, each: int) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and bytes of a store."""
    from metamlflow.format.layout import MARKER, manifest_key, name_key
    from metamlflow.format.manifests import content_digest, digest_of, encode_manifest
    from metamlflow.format.records import Marker, encode_marker, encode_name
    from metamlflow.model.manifests import Entry, Input, Manifest
    from metamlflow.model.names import ArtifactName

    begun = datetime(2026, 1, 1, tzinfo=UTC)
    marker = Marker(record_id=uuid.uuid4().hex, store_id=uuid.uuid4().hex, created_at=begun)
    yield MARKER, encode_marker(marker)
    for number in range(versions):
        count = number % each
        name = ArtifactName(f"team{number // each % 20}/name{number // each:07}")
        if count == 0:
            previous = None
            yield name_key(name), encode_name(name, uuid.uuid4().hex, begun)
        sha256 = hashlib.sha256(f"{number}".encode()).hexdigest()
        entry = Entry("model.bin", number, sha256, "353dd8be", f"blobs/sha256/{sha256[:2]}/{sha256}.bin")
        manifest = Manifest(
            record_id=uuid.uuid4().hex,
            artifact_id=str(uuid.uuid4()),
            name=name,
            version=count + 1,
            artifact_type=("model", "dataset", "file")[number % 3],
            kind="file",
            created_at=begun + timedelta(minutes=number),
            created_by="ada",
            digest=content_digest([entry]),
            size=number,
            files=1,
            folders=0,
            items=(entry,),
            metadata={"accuracy": number % 1_000 / 1_000, "epochs": number % 50, "team": f"t{number % 7}"},
            inputs=(Input(ArtifactName("features"), 1 + number % 5, f"sha256:{sha256}"),),
            previous=previous,
        )
        data = encode_manifest(manifest)
        previous = digest_of(data)
        yield manifest_key(name, manifest.version), data


if __name__ == "__main__":
    sys.exit(main())
