"""Erased versions in a migration: none comes back, and an erasure of the source is carried to the destination."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time

import pytest

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import ArtifactErasedError, ArtifactPrunedError, ConflictError
from metamlflow.model.names import ArtifactName
from metamlflow.store.migrate.erasures import check_same_erasure

WEEK = 7 * 86_400


class Store:
    """A store in a folder, seen as plain files."""

    def __init__(self, root) -> None:
        self.root = root

    @property
    def client(self) -> MetaMLFlowClient:
        return MetaMLFlowClient(self.root)

    def path(self, version: int, what: str = ""):
        return self.root / f"artifacts/data/_versions/{9_999_999_999 - version:010d}_v{version}{what}.json"

    def write(self, path, manifest: bytes, **fields) -> None:
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        origin = {"format": 1, "record_id": "e" * 32, "created_at": "2026-02-03T04:05:06Z", "manifest_digest": digest}
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(origin | fields))

    def erase(self, version: int) -> None:
        manifest = self.path(version).read_bytes()
        said = {"name": "data", "version": version, "created_by": "officer", "reason": None}
        self.write(self.path(version, ".tomb"), manifest, **said, previous=json.loads(manifest)["previous"])
        self.path(version).unlink()

    def state(self, version: int, number: int, state: str, manifest: bytes | None = None) -> None:
        data = self.path(version).read_bytes() if manifest is None else manifest
        self.write(self.path(version, f".state-{9_999_999_999 - number:010d}"), data, state=state)

    def files(self, version: int) -> list[str]:
        return sorted(path.name.partition("_v")[2] for path in self.path(version).parent.glob(f"*_v{version}.*"))

    def blobs(self) -> set[bytes]:
        return {path.read_bytes() for path in self.root.glob("blobs/**/*") if path.is_file()}


@pytest.fixture
def source(tmp_path) -> Store:
    store = Store(tmp_path / "source")
    for number in range(1, 4):
        store.client.register_artifact("data", b"content %d" % number)
    store.client.register_artifact("model", b"weights", inputs=["data@2"])
    return store


@pytest.fixture
def there(tmp_path) -> Store:
    return Store(tmp_path / "there")


@pytest.mark.parametrize("erased", [[1], [2], [3], [1, 2, 3]], ids=str)
def test_an_erased_version_keeps_its_number_and_nothing_else(source, there, erased):
    digests = {number: hashlib.sha256(source.path(number).read_bytes()).hexdigest() for number in erased}
    for number in erased:
        source.erase(number)
    report = migrate(source.root, there.root)
    assert report.counts == {"migrated": 4 - len(erased), "erased": len(erased)}
    for number in erased:
        assert there.files(number) == [f"{number}.tomb.json"]
        assert digests[number] in there.path(number, ".tomb").read_text()
        with pytest.raises(ArtifactErasedError):
            there.client.get_artifact("data", number)
    assert there.blobs() == {b"content %d" % n for n in range(1, 4) if n not in erased} | {b"weights"}
    assert there.client.history("data").ok
    assert there.client.register_artifact("data", b"more").version == 4
    assert migrate(source.root, there.root).ok


def test_running_it_again_does_nothing(source, there):
    source.erase(2)
    migrate(source.root, there.root)
    before = {path: path.read_bytes() for path in there.root.rglob("*.json")}
    again = migrate(source.root, there.root)
    assert again.counts == {"present": 3, "erased": 1}
    assert {path: path.read_bytes() for path in there.root.rglob("*.json")} == before
    assert compare(source.root, there.root, full=True) == [
        difference for difference in compare(source.root, there.root) if difference.what == "only here"
    ], "the source keeps the blob until it is collected"


def test_an_erasure_is_carried_on_after_the_destination_s_own_grace(source, there):
    migrate(source.root, there.root)
    source.erase(2)
    first = migrate(source.root, there.root)
    assert first.counts == {"present": 3, "pruned": 1}
    assert first.ok
    with pytest.raises(ArtifactPrunedError):
        there.client.get_artifact("data", 2)
    assert migrate(source.root, there.root).counts == {"present": 3, "pruned": 1}, "not before its grace is over"
    assert there.files(2) == ["2.json", "2.state-9999999998.json"]
    state = there.path(2, ".state-9999999998")
    old = time.time() - WEEK - 60
    os.utime(state, (old, old))
    last = migrate(source.root, there.root)
    assert last.counts == {"present": 3, "erased": 1}
    with pytest.raises(ArtifactErasedError):
        there.client.get_artifact("data", 2)
    assert there.path(2, ".tomb").read_bytes() == source.path(2, ".tomb").read_bytes()
    assert there.path(2).exists(), "a migration deletes nothing"
    assert there.client.history("data"), "there is time left to delete it"
    tomb = there.path(2, ".tomb")
    os.utime(tomb, (old, old))
    os.utime(there.path(2), (old - 60, old - 60))
    (problem,) = there.client.history("data").problems
    assert "a manifest lies there" in problem.message


def test_a_version_that_was_erased_at_the_destination_never_comes_back(source, there):
    migrate(source.root, there.root)
    there.erase(2)
    shutil.rmtree(there.root / "blobs")
    for versions in (None, "latest", ["data@2"]):
        report = migrate(source.root, there.root, names=["data"], versions=versions, verify="sent")
        assert {(v.version, v.status) for v in report.versions if v.version == 2} == {(2, "erased")}
    assert there.files(2) == ["2.tomb.json"]
    assert b"content 2" not in there.blobs()
    source.client.register_artifact("data", b"content 4")
    assert migrate(source.root, there.root, names=["data"]).counts["migrated"] == 1
    assert there.client.get_artifact("data").version == 4


def test_a_version_whose_input_was_erased_at_the_destination_goes(source, there):
    migrate(source.root, there.root, names=["data"])
    there.erase(2)
    report = migrate(source.root, there.root)
    assert report.ok
    assert there.client.get_artifact("model").read_bytes() == b"weights"
    (problem,) = [node.facts["problem"] for node in there.client.lineage("model") if node.kind == "missing"]
    assert "was erased" in problem


@pytest.mark.parametrize("erased_at", ["source", "there", "both"])
def test_another_history_is_told_by_what_is_recorded_of_erased_versions(source, there, erased_at):
    there.client.register_artifact("data", b"something else")
    if erased_at != "there":
        source.client.register_artifact("spare", b"1")
        for number in (3, 2):
            source.path(number).unlink()
        source.erase(1)
    if erased_at != "source":
        there.erase(1)
    before = {path: path.read_bytes() for path in there.root.rglob("*data*/**/*.json")}
    report = migrate(source.root, there.root, names=["data"])
    assert not report.ok
    assert "conflict" in report.counts
    assert {path: path.read_bytes() for path in there.root.rglob("*data*/**/*.json")} == before


def test_a_dry_run_says_what_would_be_erased_and_does_nothing(source, there):
    migrate(source.root, there.root)
    source.erase(2)
    before = {path: path.read_bytes() for path in there.root.rglob("*.json")}
    report = migrate(source.root, there.root, dry_run=True)
    (planned,) = [version for version in report.versions if version.version == 2]
    assert (planned.status, planned.reason) == ("planned", "it was erased at the source")
    assert {path: path.read_bytes() for path in there.root.rglob("*.json")} == before


def test_a_damaged_record_of_an_erased_version_fails_and_brings_nothing(source, there):
    source.erase(2)
    source.path(2, ".tomb").write_text("{}")
    report = migrate(source.root, there.root)
    assert [(v.version, v.status) for v in report.versions if v.name == "data"][1] == (2, "failed")
    assert there.files(2) == []


# --- states that speak of other manifests -----------------------------------------------------------------------------


def test_a_version_under_a_foreign_state_goes_with_its_bytes(source, there):
    source.state(3, 1, "absent", b"of a migration that lost the number")
    assert migrate(source.root, there.root).counts == {"migrated": 4}
    assert there.client.get_artifact("data", 3).read_bytes() == b"content 3"


def test_a_version_that_is_left_out_is_hidden_though_a_foreign_state_has_its_number(source, there):
    migrate(source.root, there.root, names=["model"])
    there.path(1).parent.mkdir(parents=True)
    there.state(1, 1, "absent", b"of another migration, which was given up")
    report = migrate(source.root, there.root, names=["data"], versions="latest")
    assert report.counts == {"absent": 2, "migrated": 1}
    with pytest.raises(ArtifactPrunedError, match="left out"):
        there.client.get_artifact("data", 1)
    assert migrate(source.root, there.root, names=["data"]).counts == {"present": 1, "migrated": 2}
    assert there.client.get_artifact("data", 1).read_bytes() == b"content 1"


def test_a_publisher_who_wins_the_number_of_a_version_that_is_left_out_is_not_hidden(source, there, monkeypatch):
    """The state lands first, then somebody publishes, and the migration finds its number taken."""
    there.client.create_store()
    from metamlflow.store.migrate.version import Migration

    commit = Migration._commit

    def taken_first(self, item, loaded):
        there.client.register_artifact("data", b"published meanwhile")
        return commit(self, item, loaded)

    monkeypatch.setattr("metamlflow.store.migrate.version.Migration._commit", taken_first)
    monkeypatch.setattr("metamlflow.store.publish.head.newest_status", lowest_without_states)
    report = migrate(source.root, there.root, names=["data"], versions=["data@3"])
    assert "conflict" in report.counts
    assert there.files(1) == ["1.json", "1.state-9999999998.json"]
    assert there.client.get_artifact("data", 1).read_bytes() == b"published meanwhile"


def lowest_without_states(store, name):
    """A publisher who listed before the state was there."""
    from metamlflow.store.catalog.statuses import VersionStatus
    from metamlflow.store.catalog.versions import newest_status

    found = newest_status(store, name)
    return found if found.committed else VersionStatus(0)


# --- hidden names -----------------------------------------------------------------------------------------------------


def test_what_hides_a_name_goes_along(source, there):
    record = {"format": 1, "record_id": "a" * 32, "created_at": "2026-02-03T04:05:06Z", "state": "hidden"}
    (source.root / "names/data!").mkdir()
    (source.root / "names/data!/9999999998.json").write_text(json.dumps(record))
    migrate(source.root, there.root)
    assert there.client.list_names() == ["model"]
    (source.root / "names/data!/9999999997.json").write_text(json.dumps(record | {"state": "shown"}))
    migrate(source.root, there.root, names=["data"])
    assert there.client.list_names() == ["data", "model"]


def test_a_damaged_state_fails_its_version_and_no_other_name(source, there):
    for name in ("a", "z"):
        source.client.register_artifact(name, b"1")
    source.path(2, ".state-9999999998").write_text("{")
    for dry_run in (True, False):
        report = migrate(source.root, there.root, dry_run=dry_run)
        (failed,) = [version for version in report.versions if version.status == "failed"]
        assert (failed.name, failed.version) == ("data", 2)
        assert "state-9999999998" in failed.reason
        assert not report
    assert there.client.list_names() == ["a", "data", "z"]
    assert not there.path(2).exists()
    assert there.client.history("data").ok


@pytest.mark.parametrize("end", ["source", "there"])
def test_a_damaged_record_of_an_erased_version_fails_its_name_and_no_other(source, there, end):
    for name in ("a", "z"):
        source.client.register_artifact(name, b"1")
    migrate(source.root, there.root)
    newest = max(source.client.list_versions("data"))
    {"source": source, "there": there}[end].path(newest, ".tomb").write_text("{")
    source.client.register_artifact("z", b"2")
    report = migrate(source.root, there.root)
    (failed,) = [version for version in report.versions if version.status == "failed"]
    assert (failed.name, failed.version) == ("data", newest)
    assert "tomb" in failed.reason
    assert {version.status for version in report.versions if version.name == "data"} <= {"failed", "skipped"}
    assert there.client.list_versions("z") == [1, 2]


OF_NOTHING = f"sha256:{hashlib.sha256(b'').hexdigest()}"


def give_up(store: Store, *versions: int) -> None:
    """Erase versions of which, as they were lost together, nothing tells the digest, nor the one before of the next."""
    for version in versions:
        store.erase(version)
        path = store.path(version, ".tomb")
        said = json.loads(path.read_bytes())
        said["manifest_digest"] = OF_NOTHING if version != max(versions) else said["manifest_digest"]
        said["previous"] = OF_NOTHING if version != min(versions) else said["previous"]
        path.write_text(json.dumps(said))


def test_an_input_whose_digest_nothing_tells_at_the_destination_is_no_other_history(source, there):
    migrate(source.root, there.root, names=["data"])
    give_up(there, 2, 3)
    report = migrate(source.root, there.root, names=["model"])
    assert report.ok
    assert report.counts == {"migrated": 1}


def test_an_erasure_without_a_digest_is_of_the_version_that_is_brought_and_one_with_another_is_not(source, there):
    migrate(source.root, there.root)
    give_up(there, 2, 3)
    store, name = there.client._store, ArtifactName("data")
    for digest in (OF_NOTHING, f"sha256:{'1' * 64}"):
        check_same_erasure(store, digest, (name, 2))
    check_same_erasure(store, OF_NOTHING, (name, 3))
    with pytest.raises(ConflictError, match="another history"):
        check_same_erasure(store, f"sha256:{'1' * 64}", (name, 3))


def test_the_newest_common_version_whose_digest_is_known_tells_whether_histories_are_the_same(source, there):
    migrate(source.root, there.root, names=["data"])
    source.client.register_artifact("data", b"content 4")
    there.erase(3)
    give_up(source, 3, 4)
    assert migrate(source.root, there.root, names=["data"]).ok
    shutil.rmtree(there.root)
    for number in range(3):
        there.client.register_artifact("data", b"of another history %d" % number)
    there.erase(3)
    report = migrate(source.root, there.root, names=["data"])
    assert not report.ok
    assert report.counts["conflict"]
