"""The servers that emulator tests run against: started once for a session, ended with it however it ends.

They are started as users start them, by ``localstack/run.py``, on free ports of 127.0.0.1. Nothing is installed unless
``METAMLFLOW_TEST_INSTALL=1``. A server that cannot start skips its tests, or fails them with ``CI=true`` or
``METAMLFLOW_TEST_SERVERS=required``. ``METAMLFLOW_TEST_LOCALSTACK_PYTHON`` names a Python that has LocalStack.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Self
from urllib.parse import quote, urlencode

RUN = Path(__file__).parents[2] / "localstack/run.py"
START_SECONDS = 60
STOP_SECONDS = 10
ATTEMPTS = 3  # another program may take a free port before the server does
REGION = "us-east-1"


def _load_run() -> ModuleType:
    specification = importlib.util.spec_from_file_location("localstack_run", RUN)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up there
    specification.loader.exec_module(module)
    return module


run = _load_run()


class ServerUnavailableError(Exception):
    """The server cannot be started here; the message says why."""


@dataclass(frozen=True)
class Settings:
    """What the environment says; read once, since tests run without this project's variables."""

    required: bool
    install: bool
    pythons: Mapping[str, Path]

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        localstack = environment.get("METAMLFLOW_TEST_LOCALSTACK_PYTHON")
        return cls(
            required=environment.get("CI") == "true" or environment.get("METAMLFLOW_TEST_SERVERS") == "required",
            install=environment.get("METAMLFLOW_TEST_INSTALL") == "1",
            pythons={"localstack": Path(localstack)} if localstack else {},
        )


LARGE = 256 * 1024  # bytes: what a bucket is emptied of; the rest of it ends with the server

named: list[tuple[Server, str]] = []
"""The buckets that were named so far."""


@dataclass(frozen=True)
class Server:
    """A running server, seen at ``url``."""

    name: str
    url: str

    def through(self, url: str) -> Self:
        """The same server, reached at another address, such as a proxy's."""
        return replace(self, url=url)

    def fresh_name(self) -> str:
        """A name for a bucket that was never used."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        named.append((self, name))
        return name

    def make_room(self, bucket: str) -> None:
        """Delete what is large in a bucket that no test needs any more."""
        raise NotImplementedError


@dataclass(frozen=True)
class S3Server(Server):
    """A server that speaks the S3 API."""

    @property
    def storage_options(self) -> dict[str, Any]:
        """As ``s3fs.S3FileSystem`` takes them."""
        region = {"region_name": REGION}
        return {"key": "test", "secret": "test", "endpoint_url": self.url, "client_kwargs": region}

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        # A test sees what the server answers when it answers, and what it holds even if that is damaged.
        config = Config(retries={"total_max_attempts": 1}, response_checksum_validation="when_required")
        return session.client("s3", endpoint_url=self.url, config=config)

    def raw(self) -> Any:
        """A boto3 client, to look past the code under test."""
        return self._client

    def new_bucket(self, *, versioned: bool = False) -> str:
        """Create a bucket of a name that was never used, and return the name."""
        name = self.fresh_name()
        self.raw().create_bucket(Bucket=name)
        if versioned:
            self.raw().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def make_room(self, bucket: str) -> None:
        raw = self.raw()
        try:
            for page in raw.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for found in page.get("Versions", ()):
                    if found["Size"] > LARGE:
                        raw.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
            for upload in raw.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
                raw.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except raw.exceptions.NoSuchBucket:
            return


@dataclass(frozen=True)
class GCSServer(Server):
    """A server that speaks the JSON API of Google Cloud Storage."""

    @property
    def storage_options(self) -> dict[str, Any]:
        """As ``gcsfs.GCSFileSystem`` takes them."""
        return {"endpoint_url": self.url, "token": "anon"}

    def raw(self) -> RawGCS:
        """Plain HTTP, to look past the code under test."""
        return RawGCS(self.url)

    def new_bucket(self, *, versioned: bool = False) -> str:
        """Create a bucket of a name that was never used, and return the name."""
        name = self.fresh_name()
        body = {"name": name, "versioning": {"enabled": versioned}}
        self.raw().ask("POST", "/storage/v1/b?project=test", json.dumps(body).encode())
        return name

    def make_room(self, bucket: str) -> None:
        try:
            for found in self.raw().list(bucket):
                if int(found["size"]) > LARGE:
                    self.raw().delete(bucket, found["name"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise


@dataclass(frozen=True)
class RawGCS:
    """The JSON API with nothing but ``urllib``; a refusal raises ``urllib.error.HTTPError``."""

    url: str

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
            return answer.read()

    def put(self, bucket: str, key: str, data: bytes, **parameters: str | int) -> dict[str, Any]:
        query = urlencode({"uploadType": "media", "name": key, **parameters})
        return json.loads(self.ask("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", data))

    def get(self, bucket: str, key: str) -> bytes:
        return self.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media")

    def stat(self, bucket: str, key: str) -> dict[str, Any]:
        return json.loads(self.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}"))

    def list(self, bucket: str, prefix: str = "", **parameters: str) -> list[dict[str, Any]]:
        query = urlencode({"prefix": prefix, "maxResults": "10000", **parameters})
        return json.loads(self.ask("GET", f"/storage/v1/b/{bucket}/o?{query}")).get("items", [])

    def delete(self, bucket: str, key: str) -> None:
        self.ask("DELETE", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}")


KINDS: dict[str, type[Server]] = {"moto": S3Server, "localstack": S3Server, "gcs": GCSServer}


# --- starting and ending ----------------------------------------------------------------------------------------------


@contextmanager
def running(name: str, settings: Settings) -> Iterator[Any]:
    """Start a server, yield it, end it.

    Raises:
        ServerUnavailableError: it is not installed, or did not start.
    """
    python = _python(name, settings)
    with tempfile.TemporaryFile() as log:
        process, url = _start(name, python, log)
        try:
            yield KINDS[name](name, url)
        finally:
            _stop(process)


def _python(name: str, settings: Settings) -> Path:
    python = settings.pythons.get(name) or run.find_python(name)
    if python is None and settings.install:
        try:
            python = run.prepare(name)
        except run.UnavailableError as error:
            raise ServerUnavailableError(str(error)) from error
    if python is None:
        raise ServerUnavailableError(
            f"{run.RECIPES[name].title} is not installed: run `python localstack/run.py {name} --prepare` once"
        )
    return python


def _start(name: str, python: Path, log: IO[bytes]) -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(ATTEMPTS):
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        # Its standard input is never written: the server ends when this process does, and the pipe with it.
        process = subprocess.Popen(
            [sys.executable, RUN, name, "--port", str(port), "--python", python, "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the tests, which still need the server to clean up
        )
        if _ready(process, url + run.RECIPES[name].ready):
            return process, url
        _stop(process)
    log.seek(0)
    raise ServerUnavailableError(
        f"{run.RECIPES[name].title} did not start:\n{log.read().decode('utf-8', 'replace')[-2000:]}"
    )


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether the server answers in time, and is the one that was started."""
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return process.poll() is None
        except OSError:
            time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the launcher, which ends the server: first asked, then killed, both of them."""
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session that was started with it, and nothing else
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
