"""The S3 backend keeps every promise of the seam, as far as each server can show.

What they cannot show stands here and nowhere else: see ``NOT_SHOWN``.
"""

from __future__ import annotations

from types import MappingProxyType

import pytest

from metamlflow.testing import BackendSuite
from metamlflow_s3 import open_backend
from metamlflow_s3.engines import ENGINE_VARIABLE

MIB = 1024 * 1024
_ATOMIC = "its conditional put is a check and then a write: under stress two of many writers win"
_START_AFTER = "it compares StartAfter with URL-encoded keys, so that '@' sorts before letters and digits"

NOT_SHOWN = {
    "moto": {
        "test_exactly_one_of_many_threads_creates_a_key": _ATOMIC,
        "test_exactly_one_of_many_processes_creates_a_key": _ATOMIC,
    },
    "localstack": {
        "test_after_lists_just_the_greater_keys": _START_AFTER,
        "test_a_listing_can_be_taken_in_pages": _START_AFTER,
    },
}


class TestS3Backend(BackendSuite):
    racers = 6
    rounds = 8
    racing_processes = 2
    many = 1_010
    clock_tick_seconds = 1.1  # S3 keeps times in whole seconds
    put_memory_bytes = 96 * MIB
    secrets = ("wJalrXUtnFEMI",)

    @pytest.fixture(
        autouse=True,
        params=[pytest.param("auto", id="obstore"), pytest.param("s3fs", id="s3fs", marks=pytest.mark.full)],
    )
    def _engine(self, request, monkeypatch):
        monkeypatch.setenv(ENGINE_VARIABLE, request.param)

    @pytest.fixture(autouse=True)
    def _server(self, request, root, monkeypatch):
        name = request.node.originalname
        if reason := NOT_SHOWN[root.server.name].get(name):
            pytest.skip(f"{root.server.name} cannot show it: {reason}")
        self.root = root
        options = {**root.options, "secret": self.secrets[0]}  # no server here checks signatures
        monkeypatch.setattr(type(self), "storage_options", MappingProxyType(options))

    @pytest.fixture
    def backend(self):
        return open_backend(self.root.url, self.storage_options)

    def raw_read(self, backend, key):
        return self.root.server.raw().get_object(Bucket=self.root.bucket, Key=self._name(backend, key))["Body"].read()

    def raw_write(self, backend, key, data):
        self.root.server.raw().put_object(Bucket=self.root.bucket, Key=self._name(backend, key), Body=data)

    def _name(self, backend, key):
        return f"{backend.url}/{key}".removeprefix(f"s3://{self.root.bucket}/")


def test_what_a_server_cannot_show_is_a_test_of_the_suite():
    named = {name for names in NOT_SHOWN.values() for name in names}
    assert {name for name in named if not hasattr(BackendSuite, name)} == set()
