"""Registering and verifying a prefix of very many objects by pointer: requests, seconds, peak memory.

The listing is simulated: a server of this script's own makes up the pages of S3's versions listing, so that a million
objects need not exist. Everything else is real: the client, its requests, the store (a folder), its shards.

    python benchmarks/pointers.py [COUNT ...]      # default: 10000 1000000

Each count runs in a process of its own, the server in another; the last line of each is its peak of resident memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
COUNTS = (10_000, 1_000_000)
_NUMBER = re.compile(r"part-([0-9]{9})")


def page(count: int, marker: str) -> bytes:
    """Return a page of the versions listing: those of ``count`` objects that come after the key ``marker``."""
    found = _NUMBER.search(marker)
    first = int(found[1]) + (marker >= f"lake/{found[0]}.parquet") if found else 0
    numbers = range(first, min(first + PAGE, count))
    versions = "".join(
        f"<Version><Key>lake/part-{number:09}.parquet</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>"
        f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{number:032x}&quot;</ETag>"
        f"<Size>{number % 1000}</Size><StorageClass>STANDARD</StorageClass></Version>"
        for number in numbers
    )
    more = numbers.stop < count
    tail = f"<NextKeyMarker>lake/part-{numbers.stop - 1:09}.parquet</NextKeyMarker>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>data</Name><Prefix>lake/</Prefix><MaxKeys>{PAGE}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{tail}{versions}</ListVersionsResult>"
    ).encode()


class Listing(BaseHTTPRequestHandler):
    """Answers the versions listing, tells how many requests there were, and knows no object."""

    protocol_version = "HTTP/1.1"
    count = 0
    requests = 0

    def do_GET(self) -> None:
        """Answer a page, or the number of requests so far."""
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if self.path == "/requests":
            body = json.dumps(Listing.requests).encode()
        else:
            Listing.requests += 1
            body = page(self.count, query.get("key-marker", [""])[0]) if "versions" in query else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(count: int) -> None:
    """Serve until the process ends; print the port."""
    Listing.count = count
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    print(server.server_port, flush=True)
    server.serve_forever()


def peak() -> float:
    """Return this process's peak of resident memory, in MiB."""
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123 (no path of this project)
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024


def measure(port: str) -> None:
    """Register, walk and verify, and print each with its seconds, requests and the peak so far."""
    from urllib.request import urlopen

    from metamlflow import MetaMLFlowClient

    url = f"http://127.0.0.1:{port}"
    options = {"key": "any", "secret": "any", "endpoint_url": url, "client_kwargs": {"region_name": "us-east-1"}}
    before = 0
    with tempfile.TemporaryDirectory() as folder:
        client = MetaMLFlowClient(folder, source_options={"s3": options})
        artifact = None

        def tell(what: str, began: float) -> None:
            nonlocal before
            with urlopen(f"{url}/requests") as answer:
                requests = json.load(answer)
            print(f"| {what} | {time.perf_counter() - began:.1f} s | {requests - before:,} | {peak():.0f} MiB |")
            before = requests

        began = time.perf_counter()
        artifact = client.register_pointer("lake", "s3://data/lake/", evidence="stat")
        tell(f"register {len(artifact.entries):,}", began)
        began = time.perf_counter()
        assert sum(1 for _ in artifact.entries) == len(artifact.entries)
        tell("walk the entries", began)
        began = time.perf_counter()
        assert artifact.verify("stat")
        tell("verify at stat", began)
        began = time.perf_counter()
        assert not artifact.refresh()
        tell("refresh, nothing changed", began)


def main(arguments: list[str]) -> None:
    """Run each count in processes of its own."""
    if arguments[:1] == ["--serve"]:
        serve(int(arguments[1]))
    elif arguments[:1] == ["--measure"]:
        measure(arguments[1])
    else:
        print("| | seconds | requests | peak memory so far |\n|---|---|---|---|", flush=True)
        for count in map(int, arguments) if arguments else COUNTS:
            command = [sys.executable, __file__]
            with subprocess.Popen([*command, "--serve", str(count)], stdout=subprocess.PIPE, text=True) as server:
                try:
                    assert server.stdout
                    port = server.stdout.readline().strip()
                    subprocess.run([*command, "--measure", port], check=True)
                finally:
                    server.terminate()


if __name__ == "__main__":
    main(sys.argv[1:])
