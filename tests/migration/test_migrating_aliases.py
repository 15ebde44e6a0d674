"""Aliases move with a store: what they stand for, and who moved them when and why."""

from __future__ import annotations

from metamlflow import MetaMLFlowClient, migrate


def keys(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "artifacts/model/_aliases/best").iterdir()}


def test_the_history_of_an_alias_is_migrated_byte_by_byte_and_goes_on_there(client, store_folder, tmp_path):
    for number in range(3):
        client.register_artifact("model", b"%d" % number)
    client.set_alias("model", "best", 1, note="first")
    client.set_alias("model", "best", 3, expected=1, note="better")
    assert migrate(client, tmp_path / "there")
    there = MetaMLFlowClient(tmp_path / "there")
    assert keys(tmp_path / "there") == keys(store_folder)
    assert there.alias_history("model", "best") == client.alias_history("model", "best")
    there.set_alias("model", "best", 2, expected=3)
    client.remove_alias("model", "best", expected=3, note="not any more")
    client.set_alias("model", "best", 1, expected=0)
    assert migrate(client, tmp_path / "there")
    # Number 3 stays as the destination has it; number 4, which it did not have, comes.
    assert [change.version for change in there.alias_history("model", "best")] == [1, 3, 2, 1]
    assert [change.version for change in client.alias_history("model", "best")] == [1, 3, None, 1]


def test_a_version_that_was_rolled_back_to_is_brought_before_the_one_made_from_it(client, tmp_path):
    for content in (b"good", b"bad"):
        client.register_artifact("model", content)
    made = client.rollback("model", 1, note="2 is bad")
    assert migrate(client, tmp_path / "there")
    there = MetaMLFlowClient(tmp_path / "there").get_artifact("model")
    assert (there.version, there.manifest_digest, there.notes.description) == (3, made.manifest_digest, "2 is bad")
    assert there.verify("full", lineage=True)
    assert there.upstream().artifacts == ("model@1", "model@3")
