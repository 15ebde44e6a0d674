"""A collection of garbage in a large store on an in-memory S3 server: its requests, memory and time.

    python benchmarks/collection.py --server PROGRAM [--blobs 1000000] [--garbage 25000] [--grace 60]

The server's PROGRAM is that of ``migration.py``. The store is written past the library: live versions of 25,000 files
each, and one that was pruned longer ago than the grace. Each call runs in a process of its own. Prints Markdown; exits
with 1 if a bound is not kept: 1,000 listings of a million objects and some for the records, and as many again (or
looks) right before 25,000 of them are deleted with 30 requests; 300 MiB; 60 seconds of CPU, which is nearly all of the
time on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.servers import started

IN_A_VERSION = 25_000
AT_A_TIME = 64
BOUND_MIB, BOUND_SECONDS = 300, 60
OPTIONS = {"key": "any", "secret": "any"}


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path)
    parser.add_argument("--blobs", type=int, default=1_000_000)
    parser.add_argument("--garbage", type=int, default=25_000)
    parser.add_argument("--grace", type=int, default=60, help="of the store, in seconds")
    parser.add_argument("--child", nargs=2, metavar=("STEP", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        collect(*arguments.child)
        return 0
    with started(arguments.server.absolute(), 0, f"/_{arguments.server.name}") as server:
        asyncio.run(Filling(server.endpoint, arguments.grace).fill(arguments.blobs, arguments.garbage))
        print(f"filled; waiting {arguments.grace + 3} s for the grace", file=sys.stderr)
        time.sleep(arguments.grace + 3)
        heads = ("", "seconds", "of CPU", "peak MiB", "listings", "looks", "deletions", "all requests", "deleted")
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        kept = [measured(server, step, arguments) for step in ("plan", "collect", "again")]
    return int(not all(kept))


def measured(server: Any, step: str, arguments: argparse.Namespace) -> bool:
    """Run one step in a process; print what it took, and return whether the bounds are kept."""
    server.reset()
    command = [sys.executable, __file__, "--child", step, server.endpoint]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    requests = server.requests()
    listings, deletions = requests.get("ListObjectsV2", 0), requests.get("DeleteObjects", 0)
    counts = (listings, requests.get("HeadObject", 0), deletions, sum(requests.values()), found["deleted"])
    cells = (
        f"{found['seconds']:.1f}",
        f"{found['cpu']:.1f}",
        f"{found['mib']:.0f}",
        *(f"{count:,}" for count in counts),
    )
    print(f"| {step} | {' | '.join(cells)} |", flush=True)
    due = arguments.garbage if step == "collect" else 0
    pages = arguments.blobs / 1000 * 1.02 + 50
    return bool(
        listings + counts[1] <= pages * (2.2 if due else 1)
        and deletions <= due / 1000 * 1.2
        and found["mib"] < BOUND_MIB
        and found["cpu"] < BOUND_SECONDS
        and found["deleted"] == due
    )


def collect(step: str, url: str) -> None:
    """Make one collection, or its plan; print seconds, seconds of CPU, peak memory and how much was deleted."""
    from metamlflow import MetaMLFlowClient

    options = OPTIONS | {"client_kwargs": {"endpoint_url": url, "region_name": "us-east-1"}}
    client = MetaMLFlowClient("s3://data/store", storage_options=options)
    began, began_cpu = time.perf_counter(), time.process_time()
    report = (
        client.collect_garbage(dry_run=True, unsafe=True) if step == "plan" else client.collect_garbage(unsafe=True)
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    assert report.ok, report
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": mib, "deleted": report.deleted}))


class Filling:
    """Writes a store past the library.

    Args:
        url: of the server.
        grace: of the store, in seconds.
    """

    def __init__(self, url: str, grace: int) -> None:
        import obstore
        from obstore.store import S3Store

        self._put = obstore.put_async
        config: Any = {"endpoint": url, "region": "us-east-1", "access_key_id": "any", "secret_access_key": "any"}
        self._store = S3Store("data", prefix="store", config=config, client_options={"allow_http": True})
        self._grace = timedelta(seconds=grace)

    async def fill(self, blobs: int, garbage: int) -> None:
        """Write the marker, live versions, and one that was pruned."""
        from metamlflow.format.layout import MARKER
        from metamlflow.format.records import Marker, encode_marker

        marker = Marker(record_id="1" * 32, store_id="2" * 32, created_at=datetime.now(UTC), grace=self._grace)
        await self._write([(MARKER, encode_marker(marker))])
        previous: str | None = None
        live = blobs - garbage
        for version, first in enumerate(range(0, live, IN_A_VERSION), 1):
            previous = await self._version("kept", version, range(first, min(first + IN_A_VERSION, live)), previous)
        for version, first in enumerate(range(live, blobs, IN_A_VERSION), 1):
            await self._pruned("old", version, range(first, min(first + IN_A_VERSION, blobs)))

    async def _pruned(self, name: str, version: int, numbers: range) -> None:
        from metamlflow.format.layout import state_key
        from metamlflow.format.records import encode_state
        from metamlflow.model.names import ArtifactName

        digest = await self._version(name, version, numbers, "sha256:" + "0" * 64 if version > 1 else None)
        state = encode_state("pruned", digest, "3" * 32, datetime.now(UTC))
        await self._write([(state_key(ArtifactName(name), version, 1), state)])

    async def _version(self, name: str, version: int, numbers: range, previous: str | None) -> str:
        """Write a version whose shards are among so many blobs; return the digest of its manifest."""
        from metamlflow.format.entries import cut_shards, encode_shard
        from metamlflow.format.layout import blob_key, manifest_key
        from metamlflow.format.manifests import digest_of, encode_manifest
        from metamlflow.model.manifests import Entry, Manifest, Shard, content_digest
        from metamlflow.model.names import ArtifactName

        contents = [f"{number}".encode() for number in numbers]
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        entries = [
            Entry(f"{n:012d}", len(content), digest, None, blob_key(digest))
            for n, (content, digest) in enumerate(zip(contents, digests, strict=True))
        ]
        pieces = [(items[0].path, len(items), encode_shard(items)) for items in cut_shards(entries)]
        entries = entries[: -len(pieces)]  # so that blobs and shards together are as many as asked for
        pieces = [(items[0].path, len(items), encode_shard(items)) for items in cut_shards(entries)]
        shards = []
        for first, count, data in pieces:
            digest = hashlib.sha256(data).hexdigest()
            shards.append(Shard(first, count, len(data), digest, blob_key(digest, ".jsonl")))
        await self._write((entry.key, content) for entry, content in zip(entries, contents, strict=False))
        await self._write((shard.key, data) for shard, (_, _, data) in zip(shards, pieces, strict=True))
        manifest = Manifest(
            record_id=uuid.uuid4().hex,
            artifact_id=str(uuid.uuid4()),
            name=ArtifactName(name),
            version=version,
            artifact_type="file",
            kind="folder",
            created_at=datetime.now(UTC),
            created_by="benchmark",
            digest=content_digest(entries),
            size=sum(entry.size for entry in entries),
            files=len(entries),
            folders=0,
            shards=tuple(shards),
            previous=previous,
        )
        data = encode_manifest(manifest)
        await self._write([(manifest_key(ArtifactName(name), version), data)])
        return digest_of(data)

    async def _write(self, objects: Iterable[tuple[str, bytes]]) -> None:
        left = iter(objects)

        async def worker() -> None:
            for key, data in left:
                await self._put(self._store, key, data, use_multipart=False)

        await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))


if __name__ == "__main__":
    sys.exit(main())
