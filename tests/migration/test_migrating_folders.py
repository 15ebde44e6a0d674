"""A migration brings all of a store unchanged, goes on where it was stopped, and refuses conflicts."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from full_stores import assert_same, files_of

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError, StoreFormatError, StoreNotFoundError
from metamlflow.store.migrate import survey as surveying

CHILD = """
import sys
from metamlflow import migrate
migrate(sys.argv[1], sys.argv[2], progress=lambda state: print(state.files, flush=True))
"""


def test_everything_arrives_unchanged(source, tmp_path):
    destination = tmp_path / "destination"
    before = files_of(source)
    report = migrate(source, destination)
    assert report
    assert report.counts == {"migrated": 6}
    assert_same(source, destination)
    assert files_of(source) == before
    assert compare(source, destination, full=True) == []
    client = MetaMLFlowClient(destination)
    assert client.verify_all()
    assert client.get_artifact("a.json/model", "Best").read_bytes() == b"more weights"
    assert client.register_artifact("a.json/model", b"else", idempotency_key="job 1").version == 1
    assert client.lineage("a.json/model@1").artifacts == ("Raw/Data@1", "a.json/model@1")


def test_a_second_run_sends_nothing_and_a_third_only_what_is_new(light_source, tmp_path):
    destination = tmp_path / "destination"
    migrate(light_source, destination)
    blobs = {path: path.stat().st_mtime_ns for path in destination.glob("blobs/**/*") if path.is_file()}
    again = migrate(light_source, destination)
    assert (again.counts, again.to_json()["bytes"]) == ({"present": 6}, 0)
    client = MetaMLFlowClient(light_source)
    client.register_artifact("many", b"new")
    client.set_alias("many", "first", 1)
    third = migrate(light_source, destination)
    assert third.counts == {"present": 6, "migrated": 1}
    assert {path: path.stat().st_mtime_ns for path in blobs} == blobs
    assert_same(light_source, destination)


def test_only_the_names_that_are_wanted_go_and_a_wrong_one_is_told_before_anything_does(light_source, tmp_path):
    report = migrate(light_source, tmp_path / "destination", ["many"])
    assert [(version.name, version.version) for version in report.versions] == [("many", 1)]
    assert [a.name for a in MetaMLFlowClient(tmp_path / "destination").list_artifacts()] == ["many"]
    with pytest.raises(ArtifactNotFoundError, match="mani"):
        migrate(light_source, tmp_path / "other", ["mani"])
    assert not (tmp_path / "other").exists()


def test_a_dry_run_touches_nothing(source, tmp_path):
    report = migrate(source, tmp_path / "destination", dry_run=True)
    assert report.counts == {"planned": 6}
    assert sum(version.files for version in report.versions) == 3 + 4_200 + 3 + 2 + 1 + 1
    assert not (tmp_path / "destination").exists()


def test_a_name_with_another_history_is_refused_and_the_rest_goes_on(light_source, tmp_path):
    destination = MetaMLFlowClient(tmp_path / "destination")
    own = destination.register_artifact("many", b"mine")
    report = migrate(light_source, tmp_path / "destination")
    assert not report
    (conflict,) = [version for version in report.versions if version.status == "conflict"]
    assert conflict.name == "many"
    assert own.manifest_digest in conflict.reason
    assert conflict.manifest_digest in conflict.reason
    assert report.counts == {"conflict": 1, "migrated": 5}
    assert destination.get_artifact("many").read_bytes() == b"mine"
    assert "| many@1 | conflict |" in report.to_markdown()


def test_damaged_content_does_not_arrive(light_source, tmp_path):
    (blob,) = [path for path in light_source.glob("blobs/**/*") if path.is_file() and path.stat().st_size == 3_072_000]
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[1_500_000] ^= 1
    blob.write_bytes(data)
    report = migrate(light_source, tmp_path / "destination")
    statuses = {version.name: version.status for version in report.versions if version.version == 1}
    assert statuses["Raw/Data"] == "failed"
    assert statuses["many"] == "migrated"
    assert "damaged" in next(version.reason for version in report.versions if version.status == "failed")
    destination = MetaMLFlowClient(tmp_path / "destination")
    with pytest.raises(ArtifactNotFoundError):
        destination.get_artifact("Raw/Data")
    assert not list((tmp_path / "destination").glob(f"blobs/**/{blob.name}"))


def assert_consistent(folder) -> None:
    """Whatever a migration was doing: each manifest has its blobs, and each edge leads to what it says."""
    client = MetaMLFlowClient(folder)
    try:
        assert client.verify_all(), client.verify_all().to_json()
    except StoreNotFoundError:
        return
    for artifact in client.list_artifacts():
        for consumer in artifact.downstream(depth=1).artifacts:
            assert consumer == f"{artifact.name}@{artifact.version}" or artifact.name in {
                str(used.name) for used in client.get_artifact(consumer).inputs
            }


@pytest.mark.full
@pytest.mark.parametrize("times", [10, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_killed_at_random_moments_it_is_consistent_and_ends_the_same(light_source, tmp_path, times):
    destination = tmp_path / "destination"
    dice = random.Random(times)
    killed = 0
    for _ in range(times):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(light_source), str(destination)], stdout=subprocess.PIPE, text=True
        )
        last = dice.randrange(170)  # of 160 files
        for line in child.stdout:
            if int(line) >= last:
                break
        time.sleep(dice.uniform(0, 0.02))
        child.kill()
        child.communicate()
        killed += child.returncode == -signal.SIGKILL
        assert_consistent(destination)
        if child.returncode == 0:  # it came to its end: from the start again
            shutil.rmtree(destination)
    assert killed > times / 3
    assert migrate(light_source, destination)
    assert_same(light_source, destination)


def test_what_is_no_migration_is_refused(light_source, tmp_path):
    with pytest.raises(InvalidInputError, match="same store"):
        migrate(light_source, light_source)
    with pytest.raises(StoreNotFoundError):
        migrate(tmp_path / "nothing", tmp_path / "destination")
    with pytest.raises(StoreNotFoundError):
        compare(light_source, tmp_path / "nothing")
    assert not (tmp_path / "destination").exists()


def test_every_difference_is_found(light_source, tmp_path):
    destination = tmp_path / "destination"
    migrate(light_source, destination)
    extra = destination / "names/zz.json"
    extra.write_text("{}")
    record = destination / "artifacts/many/_versions/9999999998_v1.json"
    text = record.read_bytes()
    record.unlink()
    record.write_bytes(text.replace(b'"type":"file"', b'"type":"fake"'))
    (blob,) = [path for path in destination.glob("blobs/**/*") if path.is_file() and path.stat().st_size == 3_072_000]
    key = blob.relative_to(destination).as_posix()
    content = bytearray(blob.read_bytes())
    content[5] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    (edge,) = (destination / "edges").rglob("*@1")
    edge.unlink()
    found = {difference.key: difference.what for difference in compare(light_source, destination)}
    assert found == {
        "names/zz.json": "only there",
        "artifacts/many/_versions/9999999998_v1.json": "other",
        edge.relative_to(destination).as_posix(): "only here",
    }
    full = {difference.key: difference.what for difference in compare(light_source, destination, full=True)}
    assert full == {**found, key: "other"}


def test_old_content_that_a_living_version_names_is_relied_on_and_other_is_not(tmp_path):
    client = MetaMLFlowClient(tmp_path / "source")
    client.register_artifact("a", {"same": b"same", "one": b"1"})
    migrate(tmp_path / "source", tmp_path / "destination")
    old = time.time() - 30 * 86_400
    for blob in (tmp_path / "destination/blobs").rglob("*"):
        if blob.is_file():
            os.utime(blob, (old, old))
    client.register_artifact("a", {"same": b"same", "two": b"2"})
    client.register_artifact("b", {"elsewhere": b"same"})
    assert migrate(tmp_path / "source", tmp_path / "destination").counts == {"present": 1, "migrated": 2}
    stray = tmp_path / "destination/blobs/sha256/4e/4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"3")
    os.utime(stray, (old, old))
    client.register_artifact("c", {"new": b"3"})
    report = migrate(tmp_path / "source", tmp_path / "destination")
    assert report.counts == {"present": 3, "conflict": 1}
    assert "collect" in report.versions[-1].reason.lower() or "no version there names it" in report.versions[-1].reason


def test_what_was_made_from_something_that_did_not_get_through_does_not_go(light_source, tmp_path):
    client = MetaMLFlowClient(light_source)
    client.register_artifact("raw", b"raw bytes")
    client.register_artifact("features", b"f", inputs=["raw@1"])
    client.register_artifact("model", b"m", inputs=["features@1"])
    (blob,) = [p for p in light_source.glob("blobs/**/*") if p.is_file() and p.read_bytes() == b"raw bytes"]
    blob.unlink()
    report = migrate(light_source, tmp_path / "destination")
    told = {version.name: (version.status, version.reason) for version in report.versions}
    assert told["raw"][0] == "failed"
    assert told["features"] == ("skipped", "raw@1, which it was made from, did not get through")
    assert told["model"] == ("skipped", "features@1, which it was made from, did not get through")
    assert report.counts == {"migrated": 6, "failed": 1, "skipped": 2}


def test_what_would_seem_to_be_made_from_another_version_is_refused(tmp_path):
    here, there = MetaMLFlowClient(tmp_path / "source"), MetaMLFlowClient(tmp_path / "destination")
    here.register_artifact("features", b"1")
    here.register_artifact("model", b"m", inputs=["features@1"])
    there.register_artifact("features", b"another")
    report = migrate(here, there, ["model"])
    assert report.counts == {"conflict": 1}
    assert "features@1, which it was made from, has another history" in report.versions[0].reason
    assert there.lineage("features").artifacts == ("features@1",)


def test_what_is_registered_while_the_stores_are_listed_goes_with_its_inputs_or_not_at_all(tmp_path, monkeypatch):
    client = MetaMLFlowClient(tmp_path / "source")
    client.register_artifact("mmm", b"1")
    listing = surveying.everything_below

    def slow(store, prefix):
        for number, info in enumerate(listing(store, prefix)):
            if number == 0 and store is client._store:
                client.register_artifact("aaa", b"input")
                client.register_artifact("zzz", b"2", inputs=["aaa@1"])
            yield info
        if store is client._store:  # as a page that is listed later shows it
            yield from listing(store, "artifacts/zzz/")

    monkeypatch.setattr(surveying, "everything_below", slow)
    report = migrate(client, tmp_path / "destination")
    assert report.counts == {"migrated": 3}
    lineage = MetaMLFlowClient(tmp_path / "destination").lineage("zzz")
    assert lineage.artifacts == ("aaa@1", "zzz@1")


def test_a_run_that_ends_later_is_completed_also_where_only_some_names_go(tmp_path):
    client = MetaMLFlowClient(tmp_path / "source")
    with client.run("train") as run:
        client.register_artifact("model", b"1")
        migrate(client, tmp_path / "destination", ["model"])
    assert migrate(client, tmp_path / "destination", ["model"]).counts == {"present": 1}
    assert (tmp_path / f"destination/runs/{run.id}/end.json").exists()
    assert files_of(tmp_path / "destination") == files_of(tmp_path / "source")


def test_a_plan_refuses_what_the_migration_would(light_source, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(StoreFormatError, match="not a metamlflow store"):
        migrate(light_source, tmp_path / "full", dry_run=True)
    shard = next((light_source / "blobs").glob("**/*.jsonl"), None)
    assert shard is None  # few files need none
    with pytest.raises(InvalidInputError, match="within"):
        migrate(light_source, light_source / "inner")
    (tmp_path / "link").symlink_to(light_source)
    with pytest.raises(InvalidInputError, match="same store"):
        migrate(light_source, tmp_path / "link")


def test_a_damaged_list_of_files_fails_its_version_in_plan_and_migration(source, tmp_path):
    manifest = json.loads((source / "artifacts/many/_versions/9999999998_v1.json").read_bytes())
    shard = source / manifest["shards"][0]["key"]
    shard.chmod(0o600)
    shard.write_bytes(shard.read_bytes()[:-2])
    for dry_run in (True, False):
        report = migrate(source, tmp_path / "destination", dry_run=dry_run)
        assert [version.name for version in report.versions if version.status == "failed"] == ["many"]
        assert len(report.versions) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"names": 5},
        {"names": b"a"},
        {"versions": 1.5},
        {"versions": object()},
        {"versions": b"a@1"},
        {"versions": {"many": None}},
        {"versions": 99},
        {"versions": []},
        {"executor": "x"},
        {"verify": "some"},
        {"verify": "checksum"},
        {"copy_pointers": ""},
        {"destination_options": {"key": "x"}},
    ],
)
def test_arguments_of_the_wrong_kind_are_told(light_source, tmp_path, wrong):
    with pytest.raises(InvalidInputError):
        migrate(light_source, MetaMLFlowClient(tmp_path / "destination"), **wrong)
    assert not (tmp_path / "destination").exists()


def test_with_a_proof_versions_that_were_there_are_looked_at_and_what_is_missing_is_sent_again(light_source, tmp_path):
    destination = tmp_path / "destination"
    migrate(light_source, destination)
    blobs = [path for path in destination.glob("blobs/**/*") if path.is_file()]
    (weights,) = [path for path in blobs if path.read_bytes() == b"more weights"]
    weights.unlink()
    report = migrate(light_source, destination, verify="full")
    assert report.counts == {"present": 5, "migrated": 1}
    assert (report.totals["objects"], report.totals["bytes"]) == (1, 12)
    assert_same(light_source, destination)
    (large,) = [path for path in blobs if path != weights and path.stat().st_size == 3_072_000]
    large.chmod(0o600)
    large.write_bytes(bytes(3_072_000))
    assert migrate(light_source, destination).counts == {"present": 6}  # nothing was asked for
    told = {v.name: v for v in migrate(light_source, destination, verify="full").versions if v.status != "present"}
    assert list(told) == ["Raw/Data"]
    assert told["Raw/Data"].status == "failed"
    assert large.name in told["Raw/Data"].reason
    large.unlink()
    assert migrate(light_source, destination, verify="full").counts == {"present": 5, "migrated": 1}
    assert_same(light_source, destination)
