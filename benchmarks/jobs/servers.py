"""The S3 server that a job runs against: one that is there already, a program that is started, or moto."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BUCKET = "data"
REGION = "us-east-1"
HOST = "127.0.0.1"
READY = "listening on "
START_SECONDS = 30.0
STOP_SECONDS = 5.0
LINE_BYTES = 200
# A tool must read nothing from this user's settings that another tool does not read.
OWN_SETTINGS = ("DVC_", "METAMLFLOW_", "MLFLOW_", "PINS_", "RCLONE_", "S3_", "S5CMD_")
LOCAL_KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "NO_PROXY": HOST,
    "no_proxy": HOST,
}


class ServerError(Exception):
    """A server did not start; the message says why."""


@dataclass(frozen=True)
class Server:
    """A bucket that jobs write to.

    Attributes:
        title: what it is, for the page.
        latency_ms: how much later it answers on purpose.
        control: the address below which it tells its counters and empties itself, None if it does not.
        environment: the variables that tools find its credentials in, and all others that they need.
    """

    title: str
    endpoint: str
    bucket: str
    region: str
    latency_ms: int
    control: str | None
    environment: Mapping[str, str]

    @property
    def stats_url(self) -> str | None:
        """Where the counters are read."""
        return self.control and f"{self.control}/stats"

    def requests(self) -> dict[str, int] | None:
        """Return how many requests of each kind came since :meth:`reset`, None if the server does not tell."""
        return None if self.control is None else dict(json.loads(_ask(f"{self.control}/stats"))["requests"])

    def reset(self, *, data: bool = False) -> bool:
        """Set the counters to zero and, with ``data``, remove all objects; False if the server cannot."""
        if self.control is None:
            return False
        _ask(f"{self.control}/reset{'?data=1' if data else ''}", "POST")
        return True


@contextmanager
def started(program: Path, latency_ms: int, control: str) -> Iterator[Server]:
    """Start a program that prints ``listening on HOST:PORT``; end it afterwards, however that comes about.

    Args:
        program: is started with ``--port 0 --bucket data``.
        latency_ms: if not 0, ``--latency`` is added.
        control: the path below which the program may tell its counters.
    """
    late = ["--latency", str(latency_ms)] if latency_ms else []
    command = [str(program), "--port", "0", "--bucket", BUCKET, *late]
    with tempfile.TemporaryFile("w+") as printed, _process(command, printed) as process:
        endpoint = f"http://{_address(process, printed, program)}"
        title = "an in-memory S3 server on the same machine, over plain HTTP"
        found = _control_at(f"{endpoint}{control}")
        yield Server(title, endpoint, BUCKET, REGION, latency_ms, found, _environment(LOCAL_KEYS))


@contextmanager
def moto() -> Iterator[Server]:
    """Start moto, a server for trials; end it afterwards."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    with _process([sys.executable, "-P", "-m", "moto.server", "-H", HOST, "-p", port], None) as process:
        endpoint = f"http://{HOST}:{port}"
        _until_answering(process, f"{endpoint}/moto-api/")
        _ask(f"{endpoint}/{BUCKET}", "PUT")
        yield Server("moto", endpoint, BUCKET, REGION, 0, None, _environment(LOCAL_KEYS))


def existing(endpoint: str, bucket: str, control: str | None) -> Server:
    """Return a server that is there, with the credentials of the environment."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    endpoint = endpoint.rstrip("/")
    found = _control_at(f"{endpoint}{control}") if control else None
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    keys |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    return Server(f"the S3 server at `{endpoint}`", endpoint, bucket, region, 0, found, _environment(keys))


def _environment(keys: Mapping[str, str]) -> dict[str, str]:
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", *OWN_SETTINGS))}
    region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
    return {**rest, **region, **keys}


@contextmanager
def _process(command: list[str], printed: IO[str] | None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server; what it prints goes into a file or nowhere, never into a pipe that would fill."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if printed is None else printed,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the benchmark, which ends the server
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], printed: IO[str], program: Path) -> str:
    """Wait for the line that names the address."""
    for _ in _while_starting(process):
        # The file's place is the program's, too: it must not be moved.
        line = os.pread(printed.fileno(), LINE_BYTES, 0).decode(errors="replace").partition("\n")
        if line[0].startswith(READY) and line[1]:
            return line[0].removeprefix(READY)
    raise ServerError(f"{program} did not print '{READY}HOST:PORT'")


def _until_answering(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in _while_starting(process):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=START_SECONDS).close()
            return
    raise ServerError("moto did not start: is the extra `test` installed?")


def _while_starting(process: subprocess.Popen[bytes]) -> Iterator[None]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        yield
        time.sleep(0.05)


def _control_at(url: str) -> str | None:
    """Return ``url`` if counters are told there."""
    try:
        return url if {"total", "requests"} <= json.loads(_ask(f"{url}/stats")).keys() else None
    except (OSError, ValueError, AttributeError):  # another answer, such as a page that nothing is there
        return None


def _ask(url: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=START_SECONDS) as answer:
        return bytes(answer.read())
