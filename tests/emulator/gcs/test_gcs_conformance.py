"""The GCS backend keeps every promise of the seam, as far as fake-gcs-server can show.

What it cannot show: it ignores ``ifGenerationMatch`` on resumable uploads, so of two writers of one large blob both
"win", one after the other; ``put`` looks first, and that part is seen here. It ignores it on deletions too, so what is
asked is looked at instead.
"""

from types import MappingProxyType

import pytest

from metamlflow.testing import BackendSuite
from metamlflow_gcs import open_backend
from metamlflow_gcs.connection import GCSConnection

pytestmark = pytest.mark.emulator


class TestGCSBackend(BackendSuite):
    @pytest.fixture(autouse=True)
    def _raw(self, root, monkeypatch):
        self.root = root
        monkeypatch.setattr(type(self), "storage_options", MappingProxyType(root.options))

    @pytest.fixture
    def backend(self, root):
        return root.open()

    def raw_read(self, backend, key):
        return self.root.server.raw().get(self.root.bucket, self._name(backend, key))

    def raw_write(self, backend, key, data):
        self.root.server.raw().put(self.root.bucket, self._name(backend, key), data)

    def test_another_object_than_was_seen_is_left(self, backend, monkeypatch):
        asked = []
        send = GCSConnection._send

        async def remember(connection, request):
            if request.method == "DELETE":
                asked.append(dict(request.params))
            return await send(connection, request)

        monkeypatch.setattr(GCSConnection, "_send", remember)
        self.raw_write(backend, "a.json", b"a")
        seen = backend.stat("a.json")
        assert backend.delete_seen([seen]) == []
        assert asked == [{"ifGenerationMatch": seen.version}]

    def _name(self, backend, key):
        return f"{backend.url}/{key}".removeprefix(f"gs://{self.root.bucket}/")


@pytest.mark.full
class TestGCSBackendBesideAnotherStore(TestGCSBackend):
    """A prefix with awkward characters, next to other objects, reached by a second instance made from the URL."""

    racing_processes = 2
    rounds = 3
    many = 50

    @pytest.fixture
    def backend(self, root):
        awkward = "a store [1] {x} %20 +é#?"
        root.write(f"{awkward}.json", b"a neighbour")
        root.write(f"{awkward}!/below.json", b"another")
        return open_backend(f"gcs://{root.bucket}/{root.prefix}/{awkward}", root.options)

    def reopen(self, backend):
        return open_backend(backend.url, self.storage_options)
