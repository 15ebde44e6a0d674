"""What a store says of a version that was pruned before it was migrated there: that its bytes never came."""

from __future__ import annotations

import pytest

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import ArtifactPrunedError, IntegrityError


@pytest.fixture
def source(tmp_path) -> MetaMLFlowClient:
    client = MetaMLFlowClient(tmp_path / "source")
    for content in (b"one", b"two"):
        client.register_artifact("a", content)
    return client


def error_of(client) -> ArtifactPrunedError:
    with pytest.raises(ArtifactPrunedError) as caught:
        client.get_artifact("a", 1)
    return caught.value


def test_a_version_that_was_pruned_at_the_source_promises_no_restore_where_its_bytes_never_came(source, tmp_path):
    source.prune("a", versions=[1])
    assert migrate(tmp_path / "source", tmp_path / "there")
    there = MetaMLFlowClient(tmp_path / "there")
    error = error_of(there)
    assert "its bytes were left out" in error.hint
    assert error.restorable_until is None
    with pytest.raises(IntegrityError):
        there.restore("a@1")
    assert "client.restore" in error_of(source).hint


def test_one_that_was_pruned_after_its_bytes_had_come_does(source, tmp_path):
    assert migrate(tmp_path / "source", tmp_path / "there")
    source.prune("a", versions=[1])
    assert migrate(tmp_path / "source", tmp_path / "there")
    there = MetaMLFlowClient(tmp_path / "there")
    assert error_of(there).restorable_until is not None
    assert there.restore("a@1").read_bytes() == b"one"
