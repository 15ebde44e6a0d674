"""Notes go with what they are on: their numbers and bytes, once, and not those of versions that are left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from full_stores import assert_same, files_of

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import ArtifactPrunedError
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_state
from metamlflow.store.catalog.clock import utc_now


@pytest.fixture
def source(tmp_path) -> Path:
    """Three versions of two names, the first of each pruned; each version and each name has two note records."""
    folder = tmp_path / "source"
    client = MetaMLFlowClient(folder)
    for name in ("Model.json/a", "other"):
        for number in range(1, 4):
            client.register_artifact(name, b"%d" % number)
            client.annotate(f"{name}@{number}", title=f"title {number}")
            client.annotate(f"{name}@{number}", tags={"b": "c"})
        client.annotate(name, title="first")
        client.annotate(name, title="second")
    (blob,) = [path for path in folder.glob("blobs/**/*") if path.is_file() and path.read_bytes() == b"1"]
    blob.unlink()
    for manifest in folder.glob("artifacts/**/_versions/9999999998_v1.json"):
        record = encode_state("pruned", digest_of(manifest.read_bytes()), "f" * 32, utc_now())
        manifest.with_suffix(".state-9999999998.json").write_bytes(record)
    return folder


def notes(folder: Path) -> dict[str, bytes]:
    return {key: data for key, data in files_of(folder).items() if "/_notes/" in key}


def of(folder: Path, *places: str) -> dict[str, bytes]:
    return {key: data for key, data in notes(folder).items() if any(f"/_notes/{place}" in key for place in places)}


def test_all_notes_go_with_their_numbers_and_bytes_and_a_second_run_does_nothing(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    assert len(notes(source)) == 16
    assert_same(source, there)
    assert compare(source, there, full=True) == []
    before = {path: path.stat().st_mtime_ns for path in there.rglob("*.json")}
    assert migrate(source, there)
    assert {path: path.stat().st_mtime_ns for path in there.rglob("*.json")} == before
    client = MetaMLFlowClient(there)
    assert client.notes("other").title == "second"
    assert client.notes("Model.json/a@1").tags == {"b": "c"}
    assert [found.number for found in client.notes_history("Model.json/a@2")] == [1, 2]


def test_later_notes_are_brought_by_the_next_run_to_versions_that_are_there_already(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    client = MetaMLFlowClient(source)
    client.annotate("other@1", description="of a pruned one")
    client.annotate("other@3", description="later")
    client.annotate("other", description="later")
    assert len(notes(there)) == 16
    assert migrate(source, there)
    assert_same(source, there)


def test_one_name_brings_its_own_notes_alone(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there, ["other"])
    assert notes(there) == {key: data for key, data in notes(source).items() if key.startswith("artifacts/other/")}


@pytest.mark.parametrize("versions", ["latest", [3], {"other": 3, "Model.json/a": ["latest"]}])
def test_notes_of_versions_that_are_left_out_do_not_go_until_these_do(source, tmp_path, versions):
    there = tmp_path / "there"
    assert migrate(source, there, versions=versions)
    # Version 1 has no bytes at the source either; it is there as it was, and version 2 is absent.
    assert notes(there) == {key: data for key, data in notes(source).items() if "/v2/" not in key}
    client = MetaMLFlowClient(there)
    with pytest.raises(ArtifactPrunedError):
        client.get_artifact("other", 2)
    assert not client.notes("other@2")
    assert migrate(source, there, versions=2)
    assert notes(there) == notes(source)


def test_notes_of_a_version_that_is_there_and_not_selected_now_stay_as_they_are(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    MetaMLFlowClient(source).annotate("other@2", title="later")
    assert migrate(source, there, versions=3)
    assert MetaMLFlowClient(there).notes("other@2").title == "title 2"
    assert migrate(source, there)
    assert MetaMLFlowClient(there).notes("other@2").title == "later"


def test_the_destination_s_own_record_of_a_number_stays_and_higher_ones_are_added(source, tmp_path):
    there = tmp_path / "there"
    assert migrate(source, there)
    for folder, title in ((there, "theirs"), (source, "ours")):
        MetaMLFlowClient(folder).annotate("other@3", title=title)
    assert migrate(source, there)
    assert MetaMLFlowClient(there).notes("other@3").title == "theirs"
    assert [found.what for found in compare(source, there, full=True)] == ["other"]
    MetaMLFlowClient(source).annotate("other@3", title="ours again")
    assert migrate(source, there)
    history = MetaMLFlowClient(there).notes_history("other@3")
    assert [found.title for found in history] == ["title 3", "title 3", "theirs", "ours again"]


def test_notes_on_what_is_not_there_stay_behind(source, tmp_path):
    folder = source / "artifacts/other/_notes"
    shutil.copytree(folder / "v3", folder / "v77")
    there = tmp_path / "there"
    assert migrate(source, there)
    assert of(there, "v77") == {}
    assert len(notes(there)) == 16


def test_fields_of_a_later_version_and_damaged_records_go_as_they_are(source, tmp_path):
    folder = source / "artifacts/other/_notes/v3"
    later = json.loads((folder / "9999999997.json").read_bytes()) | {"colour": 1}
    (folder / "9999999996.json").write_text(json.dumps(later, indent=1))
    (folder / "9999999995.json").write_bytes(b"no JSON")
    there = tmp_path / "there"
    assert migrate(source, there)
    assert_same(source, there)


def test_a_migration_that_is_cut_off_anywhere_leaves_the_newest_notes_or_none(source, tmp_path, monkeypatch):
    from metamlflow.store.migrate import migrate as module

    copied: list[str] = []
    whole = module.copy_record

    def until(ends, key):
        if "_notes/v3" in key:
            copied.append(key)
        whole(ends, key)

    monkeypatch.setattr(module, "copy_record", until)
    assert migrate(source, tmp_path / "there", ["other"])
    assert [key.rpartition("/")[2] for key in copied] == ["9999999997.json", "9999999998.json"]
