"""Data that is only pointed to moves: old manifests lead to the new place, and to nothing but what was registered."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime

import pytest
from full_stores import files_of

from metamlflow import MetaMLFlowClient, Pointer, migrate
from metamlflow.errors import (
    EvidenceUnavailableError,
    InvalidInputError,
    PointerDriftError,
    StoreFormatError,
)
from metamlflow.format.layout import manifest_key, state_key
from metamlflow.format.records import encode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.pointers.reading import PointerReader


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    (folder / "day=1").mkdir(parents=True)
    (folder / "day=1/ü.csv").write_text("a\n1\n")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 80_000)
    return folder


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store")


def test_a_relocation_is_proven_for_every_version_that_is_live_though_a_copied_store_tells_other_times(
    client, tmp_path
):
    """By the times of the records the state speaks of the manifest, and by its digest it does not."""
    (tmp_path / "old.csv").write_bytes(b"1\n")
    client.register_pointer("points", tmp_path / "old.csv", evidence="full")
    name, store = ArtifactName("points"), tmp_path / "store"
    os.utime(store / manifest_key(name, 1), (1.7e9, 1.7e9))
    another = encode_state("absent", "sha256:" + "0" * 64, "1" * 32, datetime.now(UTC))
    (store / state_key(name, 1, 1)).write_bytes(another)
    (tmp_path / "new.csv").write_bytes(b"2\n")
    with pytest.raises(PointerDriftError):
        MetaMLFlowClient(store).relocate(str(tmp_path / "old.csv"), str(tmp_path / "new.csv"))
    assert not (store / "relocations").exists()


def test_after_a_relocation_old_versions_are_read_verified_and_listed_at_the_new_place(client, lake, tmp_path):
    artifact = client.register_pointer("events", lake, evidence="full")
    manifest = {key: data for key, data in files_of(tmp_path / "store").items() if "_v1" in key}
    moved = tmp_path / "elsewhere"
    shutil.move(lake, moved)
    with pytest.raises(PointerDriftError):
        artifact.read_bytes("day=1/ü.csv")
    assert client.relocate(str(lake), str(moved)) == 2
    again = client.get_artifact("events")
    assert again.read_bytes("day=1/ü.csv") == b"a\n1\n"
    assert [entry.uri for entry in again.entries] == [
        f"{moved.as_uri().replace('%3D', '=')}/{p}" for p in ("day=1/ü.csv", "large.bin")
    ]
    assert again.storage_path == f"file://{moved}/"
    with again.open("large.bin") as file:
        file.seek(10_000_000)
        assert file.read(3) == bytes(range(256))[128:131]
    assert again.verify("full")
    assert again.verify("stat")
    assert (again.download(tmp_path / "out") / "large.bin").stat().st_size == 20_480_000
    assert again.digest == artifact.digest
    assert {key: data for key, data in files_of(tmp_path / "store").items() if "_v1" in key} == manifest
    (record,) = (tmp_path / "store/relocations").iterdir()
    assert record.name == "9999999998.json"
    assert {key: json.loads(record.read_bytes())[key] for key in ("old", "new")} == {
        "old": f"file://{lake}/",
        "new": f"file://{moved}/",
    }


def test_what_changes_at_the_new_place_is_noticed_also_by_a_jump(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    moved = tmp_path / "elsewhere"
    shutil.copytree(lake, moved)
    client.relocate(lake, moved)
    shutil.rmtree(lake)
    with (moved / "large.bin").open("r+b") as file:
        file.seek(5)
        file.write(b"!")
    artifact = client.get_artifact("events")
    with artifact.open("large.bin") as file:
        file.seek(10_000_000)
        with pytest.raises(PointerDriftError):
            file.read(3)
    with pytest.raises(PointerDriftError):
        artifact.read_bytes("large.bin")
    assert not artifact.verify("full")
    (moved / "day=1/ü.csv").unlink()
    with pytest.raises(PointerDriftError, match="missing"):
        artifact.read_bytes("day=1/ü.csv")


def test_a_copy_that_is_not_the_same_is_refused_and_nothing_is_recorded(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    moved = tmp_path / "elsewhere"
    shutil.copytree(lake, moved)
    (moved / "day=1/ü.csv").write_text("a\n2\n")
    (moved / "large.bin").unlink()
    with pytest.raises(PointerDriftError, match="2 of 2 files") as refusal:
        client.relocate(lake, moved)
    assert "ü.csv" in str(refusal.value)
    assert not (tmp_path / "store/relocations").exists()
    assert client.get_artifact("events").read_bytes("day=1/ü.csv") == b"a\n1\n"


def test_what_was_registered_without_a_digest_is_refused_until_it_is_strengthened(client, lake, tmp_path):
    artifact = client.register_pointer("events", lake)
    shutil.copytree(lake, tmp_path / "elsewhere")
    with pytest.raises(EvidenceUnavailableError, match="without a digest") as refusal:
        client.relocate(lake, tmp_path / "elsewhere")
    assert len(refusal.value.problems) == 2
    artifact.strengthen("full")
    assert client.relocate(lake, tmp_path / "elsewhere") == 2
    assert client.get_artifact("events", 1).read_bytes("day=1/ü.csv") == b"a\n1\n"  # it leads where it did
    shutil.rmtree(lake)
    assert client.get_artifact("events", 2).verify("full")
    with pytest.raises(PointerDriftError):  # nothing would prove what version 1 was
        client.get_artifact("events", 1).read_bytes("day=1/ü.csv")


def test_relocations_follow_each_other_and_back(client, lake, tmp_path):
    client.register_artifact("mixed", {"own": b"1", "theirs": Pointer(lake / "large.bin", "full")})
    second, third = tmp_path / "second", tmp_path / "third"
    shutil.move(lake, second)
    assert client.relocate(lake / "large.bin", second / "large.bin") == 1
    shutil.move(second, third)
    assert client.relocate(second / "large.bin", third / "large.bin") == 1
    assert len(client.get_artifact("mixed").read_bytes("theirs")) == 20_480_000
    shutil.move(third, lake)
    assert client.relocate(third / "large.bin", lake / "large.bin") == 1
    assert len(MetaMLFlowClient(tmp_path / "store").get_artifact("mixed").read_bytes("theirs")) == 20_480_000
    assert client.get_artifact("mixed").read_bytes("own") == b"1"


def test_a_folder_that_moved_and_then_its_new_parent_is_found(client, lake, tmp_path):
    client.register_pointer("events", lake / "day=1", evidence="full")
    shutil.move(lake / "day=1", tmp_path / "day")
    shutil.move(tmp_path / "day", lake / "inner")
    client.relocate(lake / "day=1", lake / "inner")
    shutil.move(lake, tmp_path / "archive")
    client.relocate(lake, tmp_path / "archive")
    assert client.get_artifact("events").read_bytes("ü.csv") == b"a\n1\n"


def test_what_an_older_version_has_lost_already_keeps_nothing_from_moving(client, lake, tmp_path):
    client.register_pointer("events", lake / "day=1/ü.csv", evidence="full")
    (lake / "day=1/ü.csv").write_text("a\n2\n")
    client.get_artifact("events").refresh()
    shutil.move(lake / "day=1/ü.csv", tmp_path / "x.csv")
    assert client.relocate(lake / "day=1/ü.csv", tmp_path / "x.csv") == 1
    assert client.get_artifact("events").read_bytes() == b"a\n2\n"
    with pytest.raises(PointerDriftError):
        client.get_artifact("events", 1).read_bytes()


@pytest.mark.parametrize(("old", "new"), [("/nowhere/", "/x/"), ("s3://user:secret@lake/", "s3://lake/"), ("", "/x")])
def test_what_is_no_relocation_is_refused(client, lake, old, new):
    client.register_pointer("events", lake, evidence="full")
    with pytest.raises(InvalidInputError) as refusal:
        client.relocate(old, new)
    assert "secret@" not in str(refusal.value)


def test_a_damaged_record_is_told_and_not_ignored(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    (tmp_path / "store/relocations").mkdir()
    (tmp_path / "store/relocations/9999999998.json").write_text('{"format": 1, "old": "file:///a/", "new": "x"}')
    with pytest.raises(StoreFormatError, match="relocation"):
        MetaMLFlowClient(tmp_path / "store").get_artifact("events").read_bytes("day=1/ü.csv")


def test_a_refresh_after_a_relocation_looks_at_the_new_place(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    moved = tmp_path / "elsewhere"
    shutil.move(lake, moved)
    client.relocate(lake, moved)
    (moved / "new.csv").write_text("n")
    done = client.get_artifact("events").refresh()
    assert "new.csv" in done.changes.added
    assert done.artifact.pointed[0].uri == f"file://{moved}/"
    assert done.artifact.read_bytes("new.csv") == b"n"


# --- with a migration -------------------------------------------------------------------------------------------------


def test_a_migration_takes_pointed_data_along_and_the_destination_leads_there(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    client.register_artifact("mixed", {"own": b"1", "theirs": Pointer(f"{lake}/day=1/*.csv", "full")})
    there, new_lake = tmp_path / "destination", tmp_path / "new lake"
    report = migrate(client, there, copy_pointers=new_lake)
    assert report, report.problems
    assert files_of(new_lake) == {
        f"{lake}/{path}".lstrip("/"): (lake / path).read_bytes() for path in ("day=1/ü.csv", "large.bin")
    }
    shutil.rmtree(lake)
    copy = MetaMLFlowClient(there)
    assert copy.get_artifact("events").verify("full")
    assert copy.get_artifact("mixed").read_bytes("theirs/ü.csv") == b"a\n1\n"
    assert not (tmp_path / "store/relocations").exists()  # nothing at the source changes
    before = files_of(there)
    assert migrate(client, there, copy_pointers=new_lake)
    assert files_of(there) == before


def test_a_migration_refuses_weak_pointers_and_what_lies_in_the_way_and_brings_all_else(client, lake, tmp_path):
    client.register_pointer("weak", lake / "day=1")
    client.register_pointer("strong", lake / "large.bin", evidence="full")
    new_lake = tmp_path / "new"
    taken = new_lake / str(lake / "large.bin").lstrip("/")
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"other")
    report = migrate(client, tmp_path / "destination", copy_pointers=new_lake)
    assert not report
    assert report.counts == {"migrated": 2}
    assert len(report.problems) == 2
    assert any("without a digest" in problem for problem in report.problems)
    assert any("exists, and is not what was to be copied" in problem for problem in report.problems)
    assert taken.read_bytes() == b"other"
    assert files_of(new_lake) == {taken.relative_to(new_lake).as_posix(): b"other"}
    assert MetaMLFlowClient(tmp_path / "destination").get_artifact("strong").verify("full")


def test_relocations_that_migrated_versions_use_go_along(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    moved = tmp_path / "elsewhere"
    shutil.move(lake, moved)
    client.relocate(lake, moved)
    migrate(client, tmp_path / "destination")
    assert MetaMLFlowClient(tmp_path / "destination").get_artifact("events").verify("full")
    assert files_of(tmp_path / "destination") == files_of(tmp_path / "store")
    assert migrate(client, tmp_path / "destination")
    assert files_of(tmp_path / "destination") == files_of(tmp_path / "store")


def test_what_comes_later_below_a_copied_place_is_copied_too(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    there, new_lake = tmp_path / "destination", tmp_path / "new"
    assert migrate(client, there, copy_pointers=new_lake).copied_objects == 2
    (lake / "later.csv").write_text("later")
    client.register_pointer("events", lake, evidence="full")
    again = migrate(client, there, copy_pointers=new_lake)
    assert (again.ok, again.copied_objects, again.copied_bytes) == (True, 1, 5)
    shutil.rmtree(lake)
    copy = MetaMLFlowClient(there)
    assert copy.get_artifact("events").read_bytes("later.csv") == b"later"
    assert copy.verify_all()


def test_the_source_moving_its_own_data_later_moves_nothing_at_the_destination(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    there, new_lake, archive = tmp_path / "destination", tmp_path / "new", tmp_path / "archive"
    migrate(client, there, copy_pointers=new_lake)
    before = [entry.uri for entry in MetaMLFlowClient(there).get_artifact("events").entries]
    shutil.move(lake, archive)
    client.relocate(lake, archive)
    for copy_pointers in (None, new_lake):
        assert migrate(client, there, copy_pointers=copy_pointers)
        assert [entry.uri for entry in MetaMLFlowClient(there).get_artifact("events").entries] == before
    assert len(files_of(new_lake)) == 2
    shutil.rmtree(archive)
    assert MetaMLFlowClient(there).verify_all()


def test_a_copy_that_was_interrupted_leaves_nothing_in_the_way(client, lake, tmp_path, monkeypatch):
    client.register_pointer("events", lake, evidence="full")
    there, new_lake = tmp_path / "destination", tmp_path / "new"
    read = PointerReader.readinto

    def interrupted(self, buffer):
        if self.tell() > 100_000 or self._size < 10:
            raise OSError("the network is gone")
        return read(self, buffer)

    with monkeypatch.context() as patch:
        patch.setattr(PointerReader, "readinto", interrupted)
        assert len(migrate(client, there, copy_pointers=new_lake).problems) == 1
    assert files_of(new_lake) == {}
    assert migrate(client, there, copy_pointers=new_lake)
    shutil.rmtree(lake)
    assert MetaMLFlowClient(there).verify_all()


def test_places_with_wildcards_in_their_names_are_copied_and_copied_on(client, lake, tmp_path):
    client.register_artifact("some", {"csv": Pointer(f"{lake}/day=1/*.csv", "full")})
    first, second = tmp_path / "copy [1]", tmp_path / "second?"
    assert migrate(client, tmp_path / "a", copy_pointers=first)
    assert migrate(tmp_path / "a", tmp_path / "b", copy_pointers=second)
    shutil.rmtree(lake)
    shutil.rmtree(first)
    assert MetaMLFlowClient(tmp_path / "b").get_artifact("some").read_bytes("csv/ü.csv") == b"a\n1\n"


def test_names_that_share_a_place_are_copied_together(client, lake, tmp_path):
    client.register_pointer("outer", lake, evidence="full")
    client.register_pointer("inner", lake / "day=1", evidence="full")
    there = tmp_path / "destination"
    migrate(client, there)
    assert migrate(client, there, ["inner"], copy_pointers=tmp_path / "new")
    shutil.rmtree(lake)
    assert MetaMLFlowClient(there).verify_all()


def test_a_plan_tells_what_would_be_copied(client, lake, tmp_path):
    client.register_pointer("events", lake, evidence="full")
    client.register_pointer("weak", lake / "large.bin")
    report = migrate(client, tmp_path / "there", copy_pointers=tmp_path / "new", dry_run=True)
    assert (report.copied_objects, report.copied_bytes) == (2, 20_480_004)
    assert len(report.problems) == 1
    assert "to copy" in report.summary()
    assert not (tmp_path / "new").exists()
