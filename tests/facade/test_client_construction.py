"""Making a client: where the store is, which settings count, and what never leaks."""

from __future__ import annotations

import os
import traceback

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, InvalidInputError, StoreNotFoundError
from metamlflow.testing import FailBefore, FaultyBackend, MemoryBackend, MemoryBucket, client_on


@pytest.mark.parametrize("uri", ["store", "./store", "file://./store", "file://store", "FILE://./store", "x/../store/"])
def test_a_relative_uri_is_resolved_once_at_construction(tmp_path, monkeypatch, uri):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    client = MetaMLFlowClient(uri)
    monkeypatch.chdir(elsewhere)
    client.register_artifact("a", b"1")
    assert (here / "store" / "metamlflow.json").is_file()
    assert list(elsewhere.iterdir()) == []
    assert client.storage_uri == f"file://{here}/store"


def test_an_absolute_path_a_url_and_a_path_object_name_the_same_store(tmp_path):
    place = tmp_path / "s"
    assert {MetaMLFlowClient(uri).storage_uri for uri in (place, str(place), f"file://{place}", f"{place}/")} == {
        f"file://{place}"
    }


def test_a_tilde_means_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert MetaMLFlowClient("~/store").storage_uri == f"file://{tmp_path}/store"


def test_making_a_client_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MetaMLFlowClient("./store", cache_dir=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_without_a_uri_the_environment_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", str(tmp_path / "from environment"))
    assert MetaMLFlowClient().storage_uri == f"file://{tmp_path}/from environment"
    assert MetaMLFlowClient(tmp_path / "given").storage_uri == f"file://{tmp_path}/given"


@pytest.mark.parametrize("uri", [None, ""])
def test_no_uri_at_all_is_told_what_to_give(uri):
    with pytest.raises(InvalidInputError, match="METAMLFLOW_STORAGE_URI"):
        MetaMLFlowClient(uri)


@pytest.mark.parametrize("uri", ["file://", "s3://", "s3:///", "a\0b"])
def test_a_uri_that_names_no_place_is_refused(uri):
    with pytest.raises(InvalidInputError, match=r"names no (place|folder)"):
        MetaMLFlowClient(uri)


def test_an_unknown_scheme_is_told_which_there_are():
    with pytest.raises(InvalidInputError, match=r"Installed are: .*file://"):
        MetaMLFlowClient("carrier-pigeon://loft/3")


def test_a_local_store_takes_no_storage_options(tmp_path):
    with pytest.raises(InvalidInputError, match="anon") as caught:
        MetaMLFlowClient(tmp_path, storage_options={"anon": "HUSH"})
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize("value", ["{'key': 'HUSH'}", '["HUSH"]', '"HUSH"', "HUSH"])
def test_storage_options_that_are_no_json_object_are_refused_without_being_shown(monkeypatch, value):
    monkeypatch.setenv("METAMLFLOW_STORAGE_OPTIONS", value)
    with pytest.raises(InvalidInputError, match="METAMLFLOW_STORAGE_OPTIONS is not") as caught:
        MetaMLFlowClient("s3://bucket/prefix")
    assert "HUSH" not in "".join(traceback.format_exception(caught.value))


def test_storage_options_in_the_environment_are_not_meant_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_STORAGE_OPTIONS", '{"anon": true}')
    MetaMLFlowClient(tmp_path / "store").register_artifact("a", b"1")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:HUSH@bucket/prefix",
        "s3://AKIA:HU/HUSH@bucket/prefix",
        "s3://AKIA:12/HUSH@bucket/prefix",
        "s3://HUSH@bucket",
        "s3://bucket/prefix?X-Amz-Signature=HUSH",
        "gs://bucket/prefix#HUSH",
        "s3://[HUSH@bucket",
    ],
)
def test_a_uri_with_a_secret_is_refused_without_being_shown(uri):
    with pytest.raises(InvalidInputError) as caught:
        MetaMLFlowClient(uri)
    assert "storage_options" in str(caught.value)
    assert "HUSH" not in "".join(traceback.format_exception(caught.value))


def test_a_place_too_deep_for_the_longest_key_is_refused_at_once():
    with pytest.raises(InvalidInputError, match="too deep"):
        MetaMLFlowClient("/" + "/".join(["d" * 200] * 17))


def test_reading_where_there_is_no_store_says_so_and_creates_nothing(tmp_path):
    client = MetaMLFlowClient(tmp_path / "none")
    for read in (lambda: client.get_artifact("a"), client.list_artifacts, lambda: client.list_artifacts("a")):
        with pytest.raises(StoreNotFoundError, match="there is no metamlflow store") as caught:
            read()
        assert caught.value.uri == f"file://{tmp_path}/none"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("beside", [None, "metamlflow.json.bak"])
def test_a_marker_that_may_not_be_read_is_missing_where_the_listing_does_not_show_it(beside):
    """Some servers answer so for what is not there; an object whose name begins with the marker's is another one."""
    bucket = MemoryBucket()
    if beside:
        bucket.insert(beside, b"{}")
    denied = [FailBefore(verb="read", key="metamlflow.json", times=None, error=AccessDeniedError)]
    with pytest.raises(StoreNotFoundError):
        client_on(FaultyBackend(MemoryBackend(bucket), denied)).list_artifacts()


def test_an_artifact_says_who_registered_it(client, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    assert client.register_artifact("a", b"1").created_by == "ada"


def test_a_user_name_that_is_no_text_is_no_obstacle(client, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", os.fsdecode(b"ad\xff"))
    client.register_artifact("a", b"1")
    assert client.get_artifact("a").created_by == "ad?"


def test_the_client_shows_where_its_store_is(client, store_folder):
    assert repr(client) == f"<MetaMLFlowClient file://{store_folder}>"


@pytest.mark.parametrize("uri", ["s3:/bucket/x", "S3:bucket/x", "gs:/bucket/x", "gcs:bucket"])
def test_a_uri_with_a_slash_too_few_is_not_taken_for_a_folder(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=r"storage_uri: a \w+:// URI has two slashes") as caught:
        MetaMLFlowClient(uri)
    assert "bucket/x" not in str(caught.value)  # it may carry a secret
    assert MetaMLFlowClient(f"./{uri}").storage_uri == f"file://{tmp_path}/{uri}"
    assert MetaMLFlowClient("x:y").storage_uri == f"file://{tmp_path}/x:y"


@pytest.mark.parametrize("place", ["s3:/lake", "https:/data.example.com/", "/lake", "lake/", "*", "://x"])
def test_options_of_a_place_that_nothing_can_match_are_refused(tmp_path, place):
    with pytest.raises(InvalidInputError, match="source_options maps a scheme") as caught:
        MetaMLFlowClient(tmp_path, source_options={place: {"key": "hidden"}})
    assert "hidden" not in str(caught.value)
