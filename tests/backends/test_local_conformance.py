"""The local backend keeps every promise of the seam."""

import pickle
from pathlib import Path

import pytest

from metamlflow.backend import open_backend
from metamlflow.testing import BackendSuite


class TestLocalBackend(BackendSuite):
    @pytest.fixture
    def backend(self, tmp_path):
        return open_backend(f"file://{tmp_path}/store", {})

    def raw_read(self, backend, key):
        return Path(backend.url.removeprefix("file://"), key).read_bytes()

    def raw_write(self, backend, key, data):
        path = Path(backend.url.removeprefix("file://"), key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class TestLocalBackendBesideAnotherStore(TestLocalBackend):
    """A folder with awkward characters, next to other files, reached by a second instance made from the URL."""

    @pytest.fixture
    def backend(self, tmp_path):
        (tmp_path / "a store [1] {x} %20 é").mkdir()
        (tmp_path / "a store [1] {x} %20 é.json").write_bytes(b"a neighbour")
        return open_backend(f"file://{tmp_path}/a store [1] {{x}} %20 é", {})

    def reopen(self, backend):
        return open_backend(backend.url, {})


def test_a_pickled_copy_opens_the_same_folder(tmp_path):
    backend = open_backend(f"file://{tmp_path}", {})
    backend.create("a", b"1")
    assert pickle.loads(pickle.dumps(backend)).read("a") == b"1"
