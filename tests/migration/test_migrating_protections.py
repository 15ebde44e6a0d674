"""What is protected at the source is protected at the destination; policies are each store's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient, compare, migrate


@pytest.fixture
def source(tmp_path) -> Path:
    client = MetaMLFlowClient(tmp_path / "source")
    for name in ("team/A", "team/A/b"):
        for number in range(3):
            client.register_artifact(name, b"%d" % number)
        client.protect(f"{name}@1", "first")
        client.protect(f"{name}@2", "over")
        client.unprotect(f"{name}@2")
    client.set_policy("team/**", keep_last=1)
    return tmp_path / "source"


def protections(folder: Path) -> dict[str, bytes]:
    root = folder / "protections"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.json")}


def test_protections_and_their_ends_go_with_their_bytes_and_policies_stay(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    assert len(protections(source)) == 6
    assert protections(there) == protections(source)
    assert not (there / "policies").exists()
    assert compare(source, there, full=True) == []
    before = {path: path.stat().st_mtime_ns for path in there.rglob("*.json")}
    assert migrate(source, there)
    assert {path: path.stat().st_mtime_ns for path in there.rglob("*.json")} == before
    assert len(MetaMLFlowClient(there).prune("team/**", keep_last=1).pruned) == 2


def test_of_chosen_names_only_their_own_go(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there, ["team/A"])
    assert sorted(protections(there)) == [
        "team/!a/_v1/9999999998.json",
        "team/!a/_v2/9999999998.end.json",
        "team/!a/_v2/9999999998.json",
    ]


def test_an_end_of_the_source_ends_no_protection_of_the_destination(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    shutil.rmtree(there / "protections")
    MetaMLFlowClient(there).protect("team/A@2", "mine")
    assert migrate(source, there)
    notes = {protection.ref: protection.note for protection in MetaMLFlowClient(there).protections()}
    assert notes == {"team/A@1": "first", "team/A@2": "mine", "team/A/b@1": "first"}


@pytest.mark.parametrize("is_over", [True, False], ids=["over", "in force"])
@pytest.mark.parametrize("own", ["a protection", "an end alone", "a document of someone"])
def test_a_protection_whose_number_is_taken_there_protects_all_the_same(source, tmp_path, own, is_over):
    there = tmp_path / "there"
    assert migrate(source, there)
    shutil.rmtree(there / "protections")
    folder = there / "protections" / "team" / "!a" / "_v1"
    if own == "a protection":
        MetaMLFlowClient(there).protect("team/A@1", "mine")
    else:
        folder.mkdir(parents=True)
        (folder / f"9999999998{'.end' if own == 'an end alone' else ''}.json").write_bytes(b"{}")
    if is_over and own != "an end alone":
        MetaMLFlowClient(there).unprotect("team/A@1")
    before = protections(there)
    for _ in range(2):
        assert migrate(source, there)
        after = protections(there)
        assert before.items() <= after.items()
        first = protections(source)["team/!a/_v1/9999999998.json"]
        assert [key for key, data in after.items() if data == first] == ["team/!a/_v1/9999999997.json"]
    report = MetaMLFlowClient(there).prune("team/A", keep_last=1)
    assert [(decision.version, decision.reason) for decision in report.kept][:1] == [(1, "it is protected")]
    MetaMLFlowClient(source).unprotect("team/A@1")
    for _ in range(2):
        assert migrate(source, there)
        assert "team/!a/_v1/9999999997.end.json" in protections(there)
        assert len(protections(there)) == len(after) + 1
        report = MetaMLFlowClient(there).prune("team/A", versions=[1], dry_run=True)
        assert bool(report.pruned) is (is_over or own == "an end alone")


def test_a_protection_that_was_over_before_it_was_brought_takes_no_number_of_another(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    shutil.rmtree(there / "protections")
    MetaMLFlowClient(there).protect("team/A@2", "mine")
    assert migrate(source, there)
    assert [key for key in protections(there) if "/_v2/" in key and "!a/_v" in key] == ["team/!a/_v2/9999999998.json"]


def test_a_damaged_protection_whose_number_is_taken_there_protects_all_the_same(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    (source / "protections" / "team" / "!a" / "_v1" / "9999999998.json").write_bytes(b"torn")
    for _ in range(2):
        assert migrate(source, there)
        assert protections(there)["team/!a/_v1/9999999997.json"] == b"torn"
        assert len(protections(there)) == 7


def test_a_later_end_is_brought_by_the_next_run(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    MetaMLFlowClient(source).unprotect("team/A@1")
    assert migrate(source, there)
    assert [p.ref for p in MetaMLFlowClient(there).protections()] == ["team/A/b@1"]


def test_who_pruned_a_version_and_why_goes_along(source, tmp_path):
    from metamlflow.errors import ArtifactPrunedError

    client = MetaMLFlowClient(source)
    client.prune("team/A", versions=[2], note="mislabelled")
    assert migrate(source, tmp_path / "there")
    with pytest.raises(ArtifactPrunedError, match="mislabelled"):
        MetaMLFlowClient(tmp_path / "there").get_artifact("team/A@2")
