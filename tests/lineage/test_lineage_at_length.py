"""Long chains, wide fans, and questions of the wrong kind."""

from __future__ import annotations

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import InvalidInputError

DEEP = 400


@pytest.mark.full
def test_the_tree_of_a_long_chain_stays_narrow(client):
    before = client.register_artifact("v/0", b"1")
    for number in range(1, DEEP):
        before = client.register_artifact(f"v/{number}", b"1", inputs=[before])
    text = str(before.upstream())
    assert len(text.splitlines()) == DEEP + 1
    assert max(map(len, text.splitlines())) < 300
    assert len(before.upstream().artifacts) == DEEP


def test_an_artifact_of_another_store_is_refused(client, tmp_path):
    other = MetaMLFlowClient(tmp_path / "other").register_artifact("a", b"1")
    with pytest.raises(InvalidInputError, match="another store"):
        client.lineage(other)


@pytest.mark.parametrize("address", ["s3://b/x", "ftp://host", "http://"])
def test_what_is_no_place_for_events_is_refused(tmp_path, address):
    with pytest.raises(InvalidInputError, match="not an address for OpenLineage events"):
        MetaMLFlowClient(tmp_path / "store", openlineage=address)


def test_events_go_to_a_file_that_is_named_by_its_url(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store", openlineage=f"file://{tmp_path}/events.jsonl")
    with client.run("x"):
        pass
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2
