"""What a pointer reads after its data changed: the registered bytes where a version is kept, else an error."""

from __future__ import annotations

import pytest
from lakesides import (
    NEW,
    OLD,
    SAME_SIZE,
    STRENGTHS,
    GCSPlace,
    Place,
    S3Place,
    read_all_ways,
    refused_all_ways,
)

from metamlflow.artifacts import Artifact

pytestmark = pytest.mark.emulator

PATH = "data.bin"
TARGETS = {"object": PATH, "prefix": ""}
CHANGES = {
    "overwritten": lambda place: place.put(PATH, NEW),
    "overwritten-in-the-same-size": lambda place: place.put(PATH, SAME_SIZE),
    "deleted": lambda place: place.delete(PATH),
    "deleted-and-written-anew": lambda place: (place.delete(PATH), place.put(PATH, NEW)),
}
change = pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))


def registered(place: Place, folder, target: str = PATH, evidence=None):
    place.put(PATH, OLD)
    place.put("beside.txt", b"which stays as it is")
    return place.client(folder).register_pointer("lake", place.uri(target), evidence=evidence)


def registered_all_ways(place: Place, folder) -> dict[str, Artifact]:
    """An artifact for each target at each evidence."""
    place.put(PATH, OLD)
    place.put("beside.txt", b"which stays as it is")
    client = place.client(folder)
    return {
        f"{target}-{strength}": client.register_pointer(f"{target}/{strength}", place.uri(name), evidence=strength)
        for target, name in TARGETS.items()
        for strength in STRENGTHS
    }


def facts(place: Place) -> dict[str, str]:
    """What tells the object that is there now from others, by its own server."""
    if isinstance(place, GCSPlace):
        return {"version": place.raw.stat(place.bucket, place.prefix + PATH)["generation"]}
    return {"etag": place.raw.head_object(**place.named(PATH))["ETag"]}


@change
def test_a_pointer_reads_the_registered_bytes_after_a_change_where_versions_are_kept(
    versioned_place: Place, tmp_path, change
):
    artifacts = registered_all_ways(versioned_place, tmp_path)
    change(versioned_place)
    for name, artifact in artifacts.items():
        found = read_all_ways(artifact, PATH, tmp_path / name)
        assert found == dict.fromkeys(found, OLD), name


@pytest.mark.full
@change
def test_a_pointer_refuses_changed_data_where_no_version_is_kept(plain_place: Place, tmp_path, change):
    artifacts = registered_all_ways(plain_place, tmp_path)
    [before] = facts(plain_place).items()
    change(plain_place)
    if change is CHANGES["deleted"]:
        expected = " ".join(before), "missing"
    elif change is CHANGES["overwritten-in-the-same-size"]:
        [now] = facts(plain_place).items()
        expected = " ".join(before), " ".join(now)
    else:
        expected = f"{len(OLD)} bytes", f"{len(NEW)} bytes"
    for name, artifact in artifacts.items():
        for reader, error in refused_all_ways(artifact, PATH, tmp_path / name, tmp_path / "cache").items():
            assert (error.expected, error.actual) == expected, (name, reader)
            assert (error.path, error.key) == (PATH, plain_place.uri(PATH)), (name, reader)


def test_a_pointer_reads_what_was_registered_while_nothing_changes(place: Place, tmp_path):
    for name, artifact in registered_all_ways(place, tmp_path).items():
        found = read_all_ways(artifact, PATH, tmp_path / name)
        assert found == dict.fromkeys(found, OLD), name


def test_the_pin_is_the_version_that_the_server_names(versioned_place: Place, tmp_path):
    artifact = registered(versioned_place, tmp_path, "")
    if isinstance(versioned_place, GCSPlace):
        expected = facts(versioned_place)["version"]
    else:
        expected = versioned_place.raw.head_object(**versioned_place.named(PATH))["VersionId"]
    assert artifact.entries[PATH].version == expected


def test_a_pinned_version_that_is_gone_for_good_is_drift(new_place, tmp_path):
    place = new_place("localstack", versioned=True)
    artifact = registered(place, tmp_path)
    version = artifact.entries[PATH].version
    place.put(PATH, SAME_SIZE)
    place.raw.delete_object(**place.named(PATH), VersionId=version)
    told = refused_all_ways(artifact, PATH, tmp_path)
    assert {error.expected for error in told.values()} == {f"version {version}"}


@pytest.mark.parametrize("server", ["localstack", "moto"])
def test_the_same_bytes_put_once_more_on_s3_are_still_what_was_registered(new_place, tmp_path, server):
    place = new_place(server)
    artifact = registered(place, tmp_path)
    place.put(PATH, OLD)
    found = read_all_ways(artifact, PATH, tmp_path)
    assert found == dict.fromkeys(found, OLD)
    assert artifact.verify("stat")


def test_the_same_bytes_put_once_more_on_gcs_are_another_generation(new_place, tmp_path):
    place = new_place("gcs")
    artifact = registered(place, tmp_path)
    place.put(PATH, OLD)
    expected = f"version {artifact.entries[PATH].version}"
    told = refused_all_ways(artifact, PATH, tmp_path)
    assert {(error.expected, error.actual) for error in told.values()} == {(expected, " ".join(*facts(place).items()))}


def test_the_same_bytes_uploaded_in_parts_are_another_etag(faithful: S3Place, tmp_path):
    artifact = registered(faithful, tmp_path)
    faithful.put_in_parts(PATH, [OLD], "CRC32", "COMPOSITE")
    assert faithful.get(PATH) == OLD
    for error in refused_all_ways(artifact, PATH, tmp_path).values():
        assert "etag" in error.expected
        assert error.actual.endswith('-1"')


def test_a_local_copy_is_of_the_version_it_was_asked_of(plain_place: Place, tmp_path):
    for strength in STRENGTHS:
        first = registered(plain_place, tmp_path / strength, evidence=strength)
        first.local_path()
        plain_place.put(PATH, SAME_SIZE)
        second = first.refresh().artifact
        found = [artifact.local_path().read_bytes() for artifact in (first, second)]
        assert found == [OLD, SAME_SIZE], strength


def test_an_empty_object_is_read_and_its_change_noticed(plain_place: Place, tmp_path):
    plain_place.put(PATH, b"")
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri(PATH), evidence="full")
    found = read_all_ways(artifact, PATH, tmp_path / "before")
    assert found == dict.fromkeys(found, b"")
    (tmp_path / "cache").rename(tmp_path / "used-cache")
    plain_place.put(PATH, NEW)
    refused_all_ways(artifact, PATH, tmp_path)
