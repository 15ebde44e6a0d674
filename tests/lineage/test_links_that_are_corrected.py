"""Links in the metadata that a correction changes: the inputs follow them."""

from __future__ import annotations

import pytest

from metamlflow import LineageWarning, MetaMLFlowClient


def test_inputs_follow_the_links_in_the_metadata_that_are_changed_and_no_others(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact("raw", b"raw")
    client.register_artifact("code", b"code")
    client.register_artifact("raw", b"raw, mended")
    links = {"train_artifact_name": "raw", "train_version": 1, "test_artifact_name": "raw", "test_version": 1}
    client.register_artifact("model", b"m", "model", links, inputs={"code": "code@1"})
    made = client.update_metadata("model@1", {"train_version": 2})
    assert {(used.role, str(used.name), used.version) for used in made.inputs} == {
        ("code", "code", 1),
        ("test", "raw", 1),
        ("train", "raw", 2),
    }
    bare = client.update_metadata("model@2", remove=["train_version", "train_artifact_name"])
    assert {used.role for used in bare.inputs} == {"code", "test"}


def test_a_changed_link_to_a_version_that_is_not_there_is_told_and_is_no_input(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact("raw", b"raw")
    client.register_artifact("model", b"m", "model", {"train_artifact_name": "raw", "train_version": 1})
    with pytest.warns(LineageWarning, match="it is not an input"):
        made = client.update_metadata("model@1", {"train_version": 7})
    assert made.inputs == ()
