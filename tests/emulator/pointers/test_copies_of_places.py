"""What a pointer takes, a copy takes too: with the same options, in the same spelling, without folders' markers."""

from __future__ import annotations

import json

import pytest
from lakesides import NEW, OLD, S3Place

from metamlflow import MetaMLFlowClient, Pointer
from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError, SourceNotFoundError
from metamlflow_s3.connection import S3Connection

pytestmark = pytest.mark.emulator


def contents(artifact):
    return {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries}


@pytest.fixture
def full(place):
    """A prefix with files, and with the markers that consoles and Hadoop leave for folders."""
    for name in ("a.csv", "sub/b.csv", "sub/deep/c.csv"):
        place.put(name, OLD)
    for marker in ("", "sub/", "sub/deep/", "empty/", "sub_$folder$", "sub/deep_$folder$"):
        place.put(marker, b"")
    return place


WAYS = {
    "a copy": lambda client, uri: client.register_artifact("a", uri),
    "a copy in a mapping": lambda client, uri: client.register_artifact("a", {"x": uri}),
    "a copy in a list": lambda client, uri: client.register_artifact("a", [uri]),
    "a dataset": lambda client, uri: Dataset.register(client, "a", uri).artifact,
    "a pointer": lambda client, uri: client.register_pointer("a", uri),
    "a pointer in a mapping": lambda client, uri: client.register_artifact("a", {"x": Pointer(uri)}),
}


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_markers_of_folders_are_no_data_and_block_nothing(full, tmp_path, way):
    for number, uri in enumerate((full.uri(), full.uri().rstrip("/"))):
        found = contents(way(full.client(tmp_path / str(number)), uri))
        assert {path[path.index("a.csv") :] for path in found if path.endswith("a.csv")} == {"a.csv"}
        assert sorted(path.rpartition("/")[2] for path in found) == ["a.csv", "b.csv", "c.csv"]
        assert set(found.values()) == {OLD}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_options_from_the_environment_hold_for_every_way(plain_place, tmp_path, monkeypatch, way):
    plain_place.put("data.csv", OLD)
    monkeypatch.setenv("METAMLFLOW_SOURCE_OPTIONS", json.dumps(plain_place.source_options()))
    client = MetaMLFlowClient(tmp_path / "store")
    assert set(contents(way(client, plain_place.uri("data.csv"))).values()) == {OLD}


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("given", ["source options", "environment", "options of the store"])
def test_another_server_of_the_environment_is_never_asked(new_place, fault_proxy, tmp_path, monkeypatch, way, given):
    place = new_place("moto")
    place.put("data.csv", OLD)
    wrong = fault_proxy(place.server)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, wrong.url)
    if given == "source options":
        client = place.client(tmp_path)
    elif given == "environment":
        monkeypatch.setenv("METAMLFLOW_SOURCE_OPTIONS", json.dumps(place.source_options()))
        client = MetaMLFlowClient(tmp_path / "store")
    else:
        client = MetaMLFlowClient(place.uri("store"), storage_options=place.server.storage_options)
    assert set(contents(way(client, place.uri("data.csv"))).values()) == {OLD}
    assert wrong.log == []


MISSPELT = {
    "endpont_url": "https://lake.example.com",  # without it the service's own address would be asked
    "proyect": "lake",
    "kms_key_nme": "key",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", MISSPELT)
def test_an_option_that_nobody_knows_is_refused_for_every_way(plain_place, tmp_path, way, name):
    plain_place.put("data.csv", OLD)
    options = {plain_place.scheme: {**plain_place.server.storage_options, name: MISSPELT[name]}}
    client = MetaMLFlowClient(tmp_path / "store", source_options=options)
    with pytest.raises(InvalidInputError, match=name):
        way(client, plain_place.uri("data.csv"))


@pytest.mark.parametrize("elsewhere", [None, {"endpoint_url": "http://127.0.0.1:1"}])
def test_an_artifacts_own_path_is_opened_with_the_stores_own_options(plain_place, elsewhere):
    options = plain_place.server.storage_options
    others = {plain_place.scheme: {**options, **elsewhere}} if elsewhere else None
    client = MetaMLFlowClient(plain_place.uri("store"), storage_options=options, source_options=others)
    first = client.register_artifact("first", b"content")
    assert client.register_artifact("again", first.storage_path).read_bytes() == b"content"
    assert client.register_artifact("both", {"x": first.storage_path}).read_bytes("x") == b"content"
    assert client.register_pointer("there", first.storage_path).read_bytes() == b"content"


# --- spellings --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["moto", "localstack"])
def versioned(request, new_place) -> S3Place:
    return new_place(request.param, versioned=True)


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["s3a", "s3n", "S3A"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_other_names_of_s3_are_s3(versioned, tmp_path, scheme, way):
    versioned.put("data.csv", OLD)
    artifact = way(versioned.client(tmp_path), versioned.uri("data.csv").replace("s3://", f"{scheme}://"))
    assert set(contents(artifact).values()) == {OLD}


def test_a_pointer_by_another_name_of_s3_is_pinned(versioned, tmp_path):
    put = versioned.put("data.csv", OLD)
    uri = versioned.uri("data.csv")
    artifact = versioned.client(tmp_path).register_pointer("a", uri.replace("s3://", "s3a://"))
    (entry,) = artifact.entries
    assert (entry.uri, entry.version) == (uri, put["VersionId"])
    versioned.put("data.csv", NEW)
    assert artifact.read_bytes() == OLD


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_version_id_names_a_version_for_a_copy_and_for_a_pointer(versioned, tmp_path, way):
    put = versioned.put("data.csv", OLD)
    versioned.put("data.csv", NEW)
    uri = f"{versioned.uri('data.csv')}?versionId={put['VersionId']}"
    assert set(contents(way(versioned.client(tmp_path), uri)).values()) == {OLD}


def test_a_pointer_to_a_version_keeps_it_and_a_refresh_shows_what_is_there_now(versioned, tmp_path):
    put = versioned.put("data.csv", OLD)
    versioned.put("data.csv", NEW)
    client = versioned.client(tmp_path)
    artifact = client.register_pointer("a", f"{versioned.uri('data.csv')}?versionId={put['VersionId']}")
    (entry,) = artifact.entries
    assert (entry.path, entry.uri, entry.version) == ("data.csv", versioned.uri("data.csv"), put["VersionId"])
    assert artifact.verify("full")
    assert artifact.refresh().artifact.read_bytes() == NEW
    with pytest.raises(SourceNotFoundError):
        client.register_pointer("b", f"{versioned.uri('none.csv')}?versionId={put['VersionId']}")


@pytest.mark.parametrize("where", ["a listing", "a look"])
def test_a_server_that_leaves_the_quotes_of_tags_out_shows_no_drift(new_place, tmp_path, monkeypatch, where):
    place = new_place("moto")
    place.put_many([f"{number:02d}.csv" for number in range(12)], OLD)
    real = S3Connection.call

    def call(self, method, **arguments):
        answer = real(self, method, **arguments)
        if where == "a look" and method == "head_object":
            answer["ETag"] = answer["ETag"].strip('"')
        for item in (*answer.get("Versions", ()), *answer.get("Contents", ())) if where == "a listing" else ():
            item["ETag"] = item["ETag"].strip('"')
        return answer

    monkeypatch.setattr(S3Connection, "call", call)
    artifact = place.client(tmp_path).register_pointer("a", place.uri())
    assert artifact.read_bytes("03.csv") == OLD
    assert artifact.verify("stat")
    assert artifact.verify("full")
    assert not artifact.refresh()
