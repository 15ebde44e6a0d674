"""Finding artifacts: by name, number, "latest"; all of a name, the latest of each; and what is not there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, InvalidInputError, InvalidNameError

ODD_NAMES = ["A", "A/a", "B", "a", "a-b", "a.json", "a.json/b", "a.json/b.json/c", "a/b", "a0", "versions"]


@pytest.fixture
def three(client):
    """Versions 1 to 3 of "features", of two types."""
    for number, kind in ((1, "file"), (2, "dataset"), (3, "file")):
        client.register_artifact("features", b"%d" % number, kind)
    return client


@pytest.mark.parametrize(
    "version", [2, "2", "02", np.int64(2), np.uint8(2), np.array(2)], ids=lambda v: f"{type(v).__name__}-{v}"
)
def test_a_version_may_be_any_whole_number(three, version):
    assert three.get_artifact("features", version).read_bytes() == b"2"


def test_name_and_version_may_come_in_one(three):
    assert three.get_artifact("features@2").version == 2
    assert three.get_artifact("features@latest").version == three.get_artifact("features").version == 3


@pytest.mark.parametrize("version", [0, -1, 1.0, True, None, "", "0", "-1", "a b", [1], 10**10, "9" * 30, b"1"])
def test_what_can_be_no_version_is_refused(three, version):
    with pytest.raises(InvalidNameError):
        three.get_artifact("features", version)


@pytest.mark.parametrize(
    "name", ["", "@1", "a@", "a@b@c", "/a", "a/", "a//b", ".", "a/..", "é", "a b", "x" * 201, None]
)
def test_what_can_be_no_name_is_refused_for_reads_and_writes(client, store_folder, name):
    for call in (client.get_artifact, lambda name: client.register_artifact(name, b"1")):
        with pytest.raises(InvalidNameError):
            call(name)
    assert not store_folder.exists()


def test_a_version_given_twice_is_refused(three):
    with pytest.raises(InvalidNameError, match="Give it once"):
        three.get_artifact("features@2", 3)


def test_an_alias_that_does_not_exist_is_told_the_versions(three):
    with pytest.raises(ArtifactNotFoundError, match="no alias 'prod'") as caught:
        three.get_artifact("features", "prod")
    assert caught.value.suggestions == ("3", "2", "1")


def test_an_alias_written_by_hand_is_followed(three, raw):
    record = {"format": 1, "record_id": "0" * 32, "alias": "prod", "name": "features", "version": 2, "requires": []}
    place = raw.root / "artifacts/features/_aliases/prod/9999999998.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(record | {"created_at": "2024-01-01T00:00:00Z", "created_by": "me"}))
    assert three.get_artifact("features@prod").version == 2


def test_names_that_differ_in_case_are_two(client):
    client.register_artifact("A", b"upper")
    client.register_artifact("a", b"lower")
    assert (client.get_artifact("A").read_bytes(), client.get_artifact("a").read_bytes()) == (b"upper", b"lower")
    client.register_artifact("features", b"1")
    with pytest.raises(ArtifactNotFoundError, match=r"Did you mean 'features'.*case-sensitive"):
        client.get_artifact("Features")


def test_odd_names_live_side_by_side_and_list_in_order(client):
    for name in reversed(ODD_NAMES):
        client.register_artifact(name, name.encode())
    listed = client.list_artifacts()
    assert [artifact.name for artifact in listed] == sorted(ODD_NAMES)
    assert [artifact.read_bytes() for artifact in listed] == [name.encode() for name in sorted(ODD_NAMES)]
    assert all([a.version for a in client.list_artifacts(name)] == [1] for name in ODD_NAMES)


def test_a_listing_shows_the_latest_of_each_name(three):
    three.register_artifact("other", b"x", "model")
    assert [(a.name, a.version) for a in three.list_artifacts()] == [("features", 3), ("other", 1)]
    assert [a.name for a in three.list_artifacts(artifact_type="model")] == ["other"]
    assert three.list_artifacts(artifact_type="nothing of it") == []


def test_a_listing_of_a_name_shows_all_versions_ascending(three):
    assert [a.version for a in three.list_artifacts("features")] == [1, 2, 3]
    assert [a.version for a in three.list_artifacts("features", artifact_type="file")] == [1, 3]


def test_a_listing_of_many_versions_is_complete_and_in_order(client):
    for _ in range(130):
        client.register_artifact("a", b"same")
    assert [a.version for a in client.list_artifacts("a")] == list(range(1, 131))
    assert client.get_artifact("a").version == 130
    with pytest.raises(ArtifactNotFoundError, match=r"130, 129, .* and 120 older"):
        client.get_artifact("a", 131)


def test_an_empty_store_lists_nothing(client):
    client.create_store()
    assert client.list_artifacts() == []


def test_a_name_without_a_version_is_not_listed_and_not_found(client, raw):
    client.register_artifact("a", b"1")
    raw.overwrite(raw.root / "names/a.json", (raw.root / "names/a.json").read_bytes())
    raw.manifest_path("a", 1).unlink()
    assert client.list_artifacts() == []
    for call in (client.get_artifact, client.list_artifacts):
        with pytest.raises(ArtifactNotFoundError):
            call("a")


def test_a_pruned_version_is_neither_listed_nor_latest(three, raw):
    raw.prune("features", 3)
    assert [a.version for a in three.list_artifacts("features")] == [1, 2]
    assert three.get_artifact("features").version == 2
    with pytest.raises(ArtifactPrunedError, match="was pruned"):
        three.get_artifact("features", 3)
    assert three.register_artifact("features", b"4").version == 4


@pytest.mark.parametrize("kind", ["", "a b", "é", "x" * 101, None, 3, "<b>"])
def test_what_can_be_no_type_is_refused(client, store_folder, kind):
    with pytest.raises(InvalidInputError, match="is not an artifact type"):
        client.register_artifact("a", b"1", kind)
    assert not store_folder.exists()


def test_if_unchanged_has_two_values(client):
    with pytest.raises(InvalidInputError, match="'new_version' or 'reuse'"):
        client.register_artifact("a", b"1", if_unchanged="maybe")


@pytest.mark.parametrize("name", ["shop", "shop/model"])
def test_a_name_that_only_leads_to_others_is_told_those(client, name):
    for known in ("shop/orders", "shop/model/forest", "shopping"):
        client.register_artifact(known, b"1")
    with pytest.raises(ArtifactNotFoundError) as caught:
        client.get_artifact(name)
    assert set(caught.value.suggestions) == {
        k for k in ("shop/orders", "shop/model/forest") if k.startswith(f"{name}/")
    }


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("frad", ("fraud/features", "fraud/model/forest")),
        ("frad/features", ("fraud/features",)),
        ("fraud/modl", ("fraud/model/forest",)),
    ],
)
def test_a_mistyped_beginning_of_names_is_told_those_that_begin_alike(client, name, near):
    for known in ("fraud/features", "fraud/model/forest", "weather"):
        client.register_artifact(known, b"1")
    with pytest.raises(ArtifactNotFoundError, match="Did you mean") as caught:
        client.get_artifact(name)
    assert caught.value.suggestions == near
