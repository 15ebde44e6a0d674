"""Markers of folders, which consoles and Hadoop leave between a store's objects, are taken for no record."""

from __future__ import annotations

import pytest
from forged import overwrite

from metamlflow import MetaMLFlowClient, migrate

pytestmark = pytest.mark.emulator


@pytest.fixture
def littered(plain_cloud):
    """A cloud with a store, and what others left in each of its folders."""
    client = plain_cloud.direct()
    with client.run("job"):
        client.register_artifact("team/model", {"a": b"1", "b": b"2"}, idempotency_key="job")
    client.set_alias("team/model", "best", 1)
    keys = list(plain_cloud.objects())
    folders = {key.rsplit("/", levels)[0] for key in keys for levels in range(1, key.count("/") + 1)}
    for folder in folders:
        for litter in (f"{folder}/", f"{folder}_$folder$"):
            overwrite(plain_cloud, litter, b"")
        overwrite(plain_cloud, f"{folder}/.DS_Store", b"\0")
    return plain_cloud


def test_aliases_stand_and_move(littered):
    client = littered.client()
    assert client.get_artifact("team/model", "best").version == 1
    client.register_artifact("team/model", b"3")
    client.set_alias("team/model", "best", 2)
    assert littered.client().get_artifact("team/model", "best").version == 2
    assert littered.client().get_artifact("team/model").version == 2


def test_versions_runs_and_retries_are_found(littered):
    client = littered.client()
    assert client.register_artifact("team/model", {"a": b"1", "b": b"2"}, idempotency_key="job").version == 1
    assert [str(artifact.name) for artifact in client.list_artifacts()] == ["team/model"]
    assert client.get_run(client.get_artifact("team/model", 1).run_id).end.outcome == "finished"
    assert client.history("team/model")
    assert client.verify_all()


def test_all_records_arrive_at_a_disk_where_a_marker_would_stand_in_the_way(littered, tmp_path):
    report = migrate(littered.client(), tmp_path / "copy")
    assert report.problems == []
    assert report
    assert migrate(tmp_path / "copy", tmp_path / "again")
    copy = MetaMLFlowClient(tmp_path / "copy")
    assert copy.get_artifact("team/model", "best").read_bytes("b") == b"2"
    assert copy.verify_all()
