"""A pointer to a place that contains the store would differ at each look; so it is refused."""

from __future__ import annotations

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import UnsupportedSourceError


@pytest.mark.parametrize("place", ["", "/", "/*", "/store", "/store/"])
def test_a_place_that_contains_the_store_is_refused(tmp_path, place):
    client = MetaMLFlowClient(tmp_path / "store")
    (tmp_path / "x").write_bytes(b"1")
    client.register_artifact("a", b"1")
    with pytest.raises(UnsupportedSourceError, match="the store itself"):
        client.register_pointer("all", f"{tmp_path}{place}")


def test_what_lies_beside_the_store_is_taken(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    (tmp_path / "store2").mkdir()
    (tmp_path / "store2/x").write_bytes(b"1")
    assert len(client.register_pointer("beside", tmp_path / "store2").entries) == 1


def test_a_file_url_may_name_this_machine(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    artifact = MetaMLFlowClient(tmp_path / "store").register_pointer("a", f"file://localhost{tmp_path}/x")
    assert artifact.storage_path == f"file://{tmp_path}/x"
