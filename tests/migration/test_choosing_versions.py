"""Only some versions' bytes go: the others are absent, keep their numbers, and can be brought later."""

from __future__ import annotations

import json

import pytest
from full_stores import assert_same

from metamlflow import MetaMLFlowClient, compare, migrate
from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, InvalidInputError
from metamlflow.format.layout import manifest_key, state_key
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.clock import utc_now


@pytest.fixture
def source(tmp_path):
    client = MetaMLFlowClient(tmp_path / "source")
    for number in range(1, 4):
        client.register_artifact("features", {"a": b"a%d" % number, "same": b"same"})
    client.register_artifact("model", b"weights", inputs=["features@2"])
    return tmp_path / "source"


def blobs(folder) -> set[bytes]:
    return {path.read_bytes() for path in folder.glob("blobs/**/*") if path.is_file()}


def set_state(folder, version, number, state) -> None:
    """Write a state record, as a prune does."""
    path = folder / state_key(ArtifactName("features"), version, number)
    key = manifest_key(ArtifactName("features"), version)  # the destination may not have it yet
    manifest = next(place / key for place in (folder, folder.with_name("source")) if (place / key).exists())
    digest = digest_of(manifest.read_bytes())
    path.write_bytes(encode_state(state, digest, f"{number:032x}", utc_now()))


def states(folder, version) -> list[str]:
    prefix = f"{9_999_999_999 - version:010d}_v{version}.state-"
    found = sorted((folder / "artifacts/features/_versions").glob(f"{prefix}*"), reverse=True)
    return [json.loads(path.read_bytes())["state"] for path in found]


@pytest.mark.parametrize(
    "versions", ["latest", ["latest"], ["features@latest", "model@1"], {"features": 3, "model": [1]}]
)
def test_the_manifests_of_the_others_go_with_the_state_absent(source, tmp_path, versions):
    there = tmp_path / "destination"
    report = migrate(source, there, versions=versions)
    assert report
    assert [(v.name, v.version, v.status) for v in report.versions] == [
        ("features", 1, "absent"),
        ("features", 2, "absent"),
        ("features", 3, "migrated"),
        ("model", 1, "migrated"),
    ]
    assert blobs(there) == {b"a3", b"same", b"weights"}
    client = MetaMLFlowClient(there)
    assert client.get_artifact("features").version == 3
    with pytest.raises(ArtifactPrunedError, match="left out when this store was migrated"):
        client.get_artifact("features", 2)
    assert client.lineage("model").artifacts == ("features@2", "model@1")
    assert client.register_artifact("features", b"more").version == 4
    assert client.verify_all()
    assert client.history("features")


def test_the_same_selection_again_does_nothing_and_none_brings_the_rest(source, tmp_path):
    there = tmp_path / "destination"
    migrate(source, there, versions="latest")
    again = migrate(source, there, versions="latest")
    assert again.counts == {"present": 4}
    assert migrate(source, there, versions=["features@2"]).counts == {"present": 3, "migrated": 1}
    rest = migrate(source, there)
    assert rest.counts == {"present": 3, "migrated": 1}
    client = MetaMLFlowClient(there)
    assert [client.get_artifact("features", n).read_bytes("a") for n in (1, 2, 3)] == [b"a1", b"a2", b"a3"]
    assert states(there, 2) == ["absent", "restored"]
    assert migrate(source, there).counts == {"present": 4}
    assert {difference.what for difference in compare(source, there, full=True)} == {"only there"}  # the states


def test_a_number_means_that_version_of_every_name(source, tmp_path):
    migrate(source, tmp_path / "destination", versions=1)
    assert blobs(tmp_path / "destination") == {b"a1", b"same", b"weights"}


@pytest.mark.parametrize(
    ("versions", "error"),
    [
        (["features@7"], ArtifactNotFoundError),
        (["nothing@1"], ArtifactNotFoundError),
        (["features"], InvalidInputError),
        (0, InvalidInputError),
        ([True], InvalidInputError),
    ],
)
def test_a_selection_of_what_there_is_not_is_told_before_anything_is_written(source, tmp_path, versions, error):
    with pytest.raises(error):
        migrate(source, tmp_path / "destination", versions=versions)
    assert not (tmp_path / "destination").exists()


def test_a_version_pruned_at_the_source_goes_without_bytes_and_comes_back_when_it_is_restored(source, tmp_path):
    there = tmp_path / "destination"
    set_state(source, 2, 1, "pruned")
    assert migrate(source, there).counts == {"migrated": 4}
    assert b"a2" not in blobs(there)
    assert_same_records(source, there)
    set_state(source, 2, 2, "restored")
    assert migrate(source, there).counts == {"present": 3, "migrated": 1}
    assert MetaMLFlowClient(there).get_artifact("features", 2).read_bytes("a") == b"a2"
    assert_same(source, there)
    set_state(source, 2, 3, "pruned")
    assert migrate(source, there).counts == {"present": 3, "migrated": 1}
    assert compare(source, there) == []


def assert_same_records(here, there) -> None:
    assert {d.key for d in compare(here, there) if not d.key.startswith("blobs/")} == set()


def test_what_the_destination_pruned_by_itself_stays_pruned(source, tmp_path):
    there = tmp_path / "destination"
    migrate(source, there)
    set_state(there, 2, 1, "pruned")
    for path in there.glob("blobs/**/*"):
        if path.is_file() and path.read_bytes() == b"a2":
            path.unlink()
    assert migrate(source, there).counts == {"present": 4}
    assert b"a2" not in blobs(there)
    with pytest.raises(ArtifactPrunedError):
        MetaMLFlowClient(there).get_artifact("features", 2)


def test_a_version_that_was_left_out_and_then_pruned_at_the_source_is_never_seen_live(source, tmp_path):
    there = tmp_path / "destination"
    migrate(source, there, versions="latest")
    set_state(source, 1, 1, "pruned")
    assert migrate(source, there).ok
    with pytest.raises(ArtifactPrunedError):
        MetaMLFlowClient(there).get_artifact("features", 1)
    set_state(source, 1, 2, "restored")
    assert migrate(source, there).ok
    assert MetaMLFlowClient(there).get_artifact("features", 1).read_bytes("a") == b"a1"
    assert MetaMLFlowClient(there).verify_all()


def test_a_version_that_was_brought_back_halfway_and_is_not_wanted_any_more_is_absent(source, tmp_path):
    there = tmp_path / "destination"
    MetaMLFlowClient(there).create_store()
    for number, state in ((1, "absent"), (2, "restored")):  # as two migrations leave it that were killed
        (there / "artifacts/features/_versions").mkdir(parents=True, exist_ok=True)
        set_state(there, 1, number, state)
    report = migrate(source, there, versions="latest")
    assert (report.versions[0].version, report.versions[0].status) == (1, "absent")
    assert states(there, 1) == ["absent", "restored", "absent"]
    with pytest.raises(ArtifactPrunedError):
        MetaMLFlowClient(there).get_artifact("features", 1)
    assert migrate(source, there).counts == {"present": 2, "migrated": 2}
    assert MetaMLFlowClient(there).get_artifact("features", 1).read_bytes("a") == b"a1"


def test_states_that_came_apart_and_mean_the_same_are_left_alone(source, tmp_path):
    there = tmp_path / "destination"
    migrate(source, there)
    set_state(there, 2, 1, "pruned")
    for number, state in ((1, "pruned"), (2, "restored"), (3, "pruned")):
        set_state(source, 2, number, state)
    assert migrate(source, there).counts == {"present": 4}
    assert states(there, 2) == ["pruned"]
