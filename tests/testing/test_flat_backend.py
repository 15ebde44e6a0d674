"""A storage over HTTP with Python's own client: on the base of object stores it keeps every promise of the seam."""

import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from flat_backend import FlatBackend

from metamlflow.errors import StorageUnavailableError
from metamlflow.testing import BackendSuite

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def host():
    command = [sys.executable, Path(__file__).with_name("flat_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


class TestFlatBackend(BackendSuite):
    @pytest.fixture
    def backend(self, host):
        return FlatBackend(f"flat://{host}/{uuid.uuid4().hex}/store", {})


def test_a_server_that_is_not_there_is_told_with_the_place():
    backend = FlatBackend("flat://127.0.0.1:9/store", {})
    with pytest.raises(StorageUnavailableError, match=r"^flat://127.0.0.1:9/store/a: .*Connection refused"):
        backend.create("a", b"1")
