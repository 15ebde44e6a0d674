"""The product writes into copies of the kit's stores, and the second reader reads what it wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from reader.store import answers

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import ConflictError, StoreFormatError

STORES = Path(__file__).resolve().parents[2] / "docs" / "conformance" / "stores"
WRITABLE = ["collectable", "empty", "lifecycle", "lineage", "pointing", "published", "sharded", "unknown"]


@pytest.fixture
def copied(tmp_path):
    def copy(name: str) -> Path:
        return Path(shutil.copytree(STORES / name, tmp_path / name))

    return copy


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".tmp" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("name", WRITABLE)
def test_the_next_version_is_read_by_the_second_reader_and_nothing_else_is_changed(name, copied):
    store = copied(name)
    before, earlier = files_of(store), answers(store)
    client = MetaMLFlowClient(store.as_uri())
    for artifact in ("never-live" if name == "lifecycle" else "a", "Fraud/features", "big", "new.json/X"):
        made = client.register_artifact(artifact, {"x/y": b"new", "z": b""}, metadata={"big": 2**70, "$": [0.1]})
        versions = earlier["artifacts"].get(artifact, {"versions": {}})["versions"]
        assert made.version == max(map(int, versions), default=0) + 1
        told = answers(store)["artifacts"][artifact]["versions"][str(made.version)]
        assert told["live"]
        assert told["manifest_digest"] == made.manifest_digest
        assert told["manifest"]["metadata"]["object"]["big"] == {"int": str(2**70)}
        assert told["manifest"]["previous_agrees"] is (None if made.version == 1 else True)
        assert [item["content"] for item in told["manifest"]["items"]] == ["verified", "verified"]
    after = files_of(store)
    assert {key: after[key] for key in before} == before
    assert answers(store)["collector"] == earlier["collector"]


def test_a_number_that_a_migration_is_filling_is_not_taken(copied):
    store = copied("lifecycle")
    before = files_of(store)
    with pytest.raises(ConflictError):
        MetaMLFlowClient(store.as_uri()).register_artifact("a", b"x")
    assert {key for key in files_of(store) if "_versions" in key} == {key for key in before if "_versions" in key}


@pytest.mark.parametrize("name", ["newer", "no-store"])
def test_a_store_that_cannot_be_read_is_not_written_to(name, copied):
    store = copied(name)
    before = files_of(store)
    with pytest.raises(StoreFormatError):
        MetaMLFlowClient(store.as_uri()).register_artifact("a", b"x")
    assert files_of(store) == before


@pytest.mark.parametrize("artifact", ["old", "erased"])
def test_a_name_whose_versions_cannot_be_listed_is_not_written_to(artifact, copied):
    store = copied("before")
    before = files_of(store)
    with pytest.raises(StoreFormatError):
        MetaMLFlowClient(store.as_uri()).register_artifact(artifact, b"x")
    assert {key for key in files_of(store) if key.startswith("artifacts/")} == {
        key for key in before if key.startswith("artifacts/")
    }


@pytest.mark.parametrize("name", ["collectable", "lifecycle", "published", "sharded", "unknown"])
def test_a_migrated_store_gives_the_second_reader_the_same_answers(name, copied, tmp_path):
    source, destination = copied(name), tmp_path / "destination"
    report = migrate(source.as_uri(), destination.as_uri())
    assert report.ok, report
    old, new = answers(source), answers(destination)
    for told in (old, new):
        for of in ("marker", "collector"):
            del told[of]
    for artifact, said in new["artifacts"].items():
        known = old["artifacts"][artifact]
        assert said["versions"].keys() == known["versions"].keys()
        for version, fields in said["versions"].items():
            assert fields == known["versions"][version] or not fields["live"]
        assert (said["latest"], said["aliases"]) == (known["latest"], known["aliases"])
    assert new["artifacts"].keys() == old["artifacts"].keys()
