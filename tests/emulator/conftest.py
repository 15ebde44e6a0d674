"""The servers of a session, and proxies before them. Every test in this folder is marked ``emulator``."""

from __future__ import annotations

import http.client
import importlib
import os
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from proxy import FaultProxy
from servers import ServerUnavailableError, Settings, named, running

# Before anything imports gcsfs: else it first tries gRPC with TLS on each operation, for minutes.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

SETTINGS = Settings.read(os.environ)
HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.emulator)
            if _needs_more_than_wheels(item):
                item.add_marker(pytest.mark.full)


def _needs_more_than_wheels(item):
    """Tell whether a test is against LocalStack or a real gateway, which no extra of the package can bring."""
    case = item.callspec.id.split("-") if hasattr(item, "callspec") else ()
    return "localstack_server" in item.fixturenames or "localstack" in case or item.path.parent.name == "radosgw"


def _server(name):
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running(name, SETTINGS))
        except ServerUnavailableError as error:
            (pytest.fail if SETTINGS.required else pytest.skip)(str(error))
        yield server


@pytest.fixture(scope="session")
def moto_server():
    yield from _server("moto")


@pytest.fixture(scope="session")
def localstack_server():
    yield from _server("localstack")


@pytest.fixture(scope="session")
def gcs_server():
    yield from _server("gcs")


@pytest.fixture(scope="session", params=["moto", "localstack"])
def s3_server(request):
    """Each of the S3 servers."""
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(autouse=True)
def _room():
    """Let no server hold what only an ended test needs: together they wrote gigabytes."""
    before = len(named)  # buckets of a whole module were made by now
    yield
    for server, bucket in named[before:]:
        server.make_room(bucket)


@pytest.fixture
def fault_proxy():
    """Put a proxy before a server: ``proxy = fault_proxy(server)``; clients take ``server.through(proxy.url)``."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(FaultProxy(server.url))


@pytest.fixture
def connect():
    """Open plain HTTP connections, which end with the test."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(
            closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60))
        )


@pytest.fixture
def quicken(monkeypatch):
    """Shorten the pauses between the attempts of a module: the first is at most so many seconds long."""

    def shorten(module: str, first_pause: float) -> None:
        patience = importlib.import_module(module).PATIENCE
        monkeypatch.setattr(f"{module}.PATIENCE", replace(patience, first_pause=first_pause))

    return shorten
