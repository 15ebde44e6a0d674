"""The product writes into copies of the kit's stores, and the second reader reads what it wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from reader.keys import inverse
from reader.store import answers

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import ArtifactErasedError, ConflictError, StoreFormatError

STORES = Path(__file__).resolve().parents[2] / "docs" / "conformance" / "stores"
ANY = ["a", "Fraud/features", "big", "new.json/X"]
WRITABLE = {
    **dict.fromkeys(["collectable", "empty", "lineage", "pointing", "published", "sharded", "unknown"], ANY),
    **dict.fromkeys(["features-none", "features-left-out"], ANY),
    "hidden": ["Hidden/name", "again", *ANY],
    "noted": ["Model/x", *ANY],
    "lifecycle": ["never-live", *ANY[1:]],
    "erased": ["Chain", "all", "claimed", "left", "newest", "restored", "taken", *ANY],
    "erased-badly": ["chain", "damaged", *ANY],
    "other-manifests": ["above", "live", "pruned", "restored", *ANY],
    "states-unread": ["between", "newest", "only", *ANY],
}
"""By store, names of which a version can be published."""


@pytest.fixture
def copied(tmp_path):
    def copy(name: str) -> Path:
        return Path(shutil.copytree(STORES / name, tmp_path / name))

    return copy


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".tmp" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.full
@pytest.mark.parametrize("name", WRITABLE)
def test_the_next_version_is_read_by_the_second_reader_and_nothing_else_is_changed(name, copied):
    store = copied(name)
    before, earlier = files_of(store), answers(store)
    client = MetaMLFlowClient(store.as_uri())
    for artifact in WRITABLE[name]:
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


@pytest.mark.parametrize(
    "name", ["features-damaged", "features-for-readers", "features-for-writers", "newer", "no-store"]
)
def test_a_store_that_cannot_be_read_is_not_written_to(name, copied):
    store = copied(name)
    before = files_of(store)
    with pytest.raises(StoreFormatError):
        MetaMLFlowClient(store.as_uri()).register_artifact("a", b"x")
    assert files_of(store) == before


@pytest.mark.parametrize(
    ("name", "artifact"), [("before", "old"), ("erased-badly", "newest"), ("erased-badly", "of-another")]
)
def test_a_name_whose_newest_version_cannot_be_told_is_not_written_to(name, artifact, copied):
    store = copied(name)
    before = files_of(store)
    with pytest.raises(StoreFormatError):
        MetaMLFlowClient(store.as_uri()).register_artifact(artifact, b"x")
    assert {key for key in files_of(store) if key.startswith("artifacts/")} == {
        key for key in before if key.startswith("artifacts/")
    }


def test_a_key_whose_version_was_erased_makes_no_other_one(copied):
    store = copied("erased")
    before = files_of(store)
    client = MetaMLFlowClient(store.as_uri())
    with pytest.raises(ArtifactErasedError):
        client.register_artifact("claimed", b"again", idempotency_key="spent")
    assert {key for key in files_of(store) if key.startswith("artifacts/")} == {
        key for key in before if key.startswith("artifacts/")
    }
    assert client.register_artifact("claimed", b"again", idempotency_key="dead").version == 4
    assert answers(store)["artifacts"]["claimed"]["versions"]["4"]["manifest"]["previous_agrees"] is True


def test_the_next_notes_keep_all_that_was_not_changed(copied):
    store = copied("noted")
    client = MetaMLFlowClient(store.as_uri())
    earlier = answers(store)["artifacts"]["Model/x"]
    client.annotate("Model/x", tags={"new": "x"})
    client.annotate("Model/x@2", description="again")
    client.annotate("Model/x@1", title="")
    later = answers(store)["artifacts"]["Model/x"]
    kept = {"title": "Ten", "description": None, "tags": {"new": "x"}}
    assert {field: later["notes"]["newest"][field] for field in kept} == kept
    assert later["notes"]["history"].items() >= earlier["notes"]["history"].items()
    assert b'"x-unknown":{"deep":[1]}' in (store / f"artifacts/!model/x/_notes/{inverse(11)}.json").read_bytes()


def test_notes_that_cannot_be_read_are_not_written_over(copied):
    store = copied("noted")
    before = files_of(store)
    with pytest.raises(StoreFormatError):
        MetaMLFlowClient(store.as_uri()).annotate("Model/x@3", title="new")
    assert files_of(store) == before


@pytest.mark.parametrize("name", ["features-for-readers", "features-for-writers", "features-damaged"])
def test_a_store_with_a_feature_that_nobody_knows_is_migrated_neither_from_nor_to(name, copied, tmp_path):
    store, other = copied(name), copied("published")
    before = files_of(store), files_of(other)
    for source, destination in ((store, tmp_path / "destination"), (other, store)):
        with pytest.raises(StoreFormatError):
            migrate(source.as_uri(), destination.as_uri())
    assert (files_of(store), files_of(other)) == before
    assert not (tmp_path / "destination" / "metamlflow.json").exists()


MIGRATED = [
    "collectable",
    "erased",
    "hidden",
    "lifecycle",
    "noted",
    "other-manifests",
    "published",
    "sharded",
    "unknown",
]


@pytest.mark.parametrize("name", MIGRATED)
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
            assert fields["live"] == known["versions"][version]["live"]
            was = known["versions"][version]
            differing = {field for field in was if fields.get(field) != was[field]}
            assert differing <= ({"manifest", "manifest_lies_there"} if not fields["live"] else set()), differing
        same = ("latest", "aliases", "notes")
        assert [said[field] for field in same] == [known[field] for field in same]
    assert new["artifacts"].keys() == old["artifacts"].keys()
    assert (new["names"], new["hidden"]) == (old["names"], old["hidden"])
