"""What a client lists without reading manifests, and the calls that the command line is made of."""

from __future__ import annotations

import json

import pytest

from metamlflow import ArtifactNotFoundError, InvalidInputError, MetaMLFlowClient, StoreNotFoundError
from metamlflow.artifacts import UnreadableVersion, VerifyReport
from metamlflow.errors import InvalidNameError
from metamlflow.testing import FaultyBackend, MemoryBackend, MemoryBucket, client_on


@pytest.fixture
def client(tmp_path):
    """A client on a store with two names, one of which has two versions and an alias."""
    client = MetaMLFlowClient(tmp_path / "store", cache_dir=tmp_path / "cache")
    client.register_artifact("b", b"1")
    client.register_artifact("a/x", b"1")
    client.register_artifact("a/x", b"2")
    client.set_alias("a/x", "best", 1)
    return client


def test_names_versions_and_aliases_are_listed_though_no_manifest_can_be_read(client, tmp_path):
    for manifest in (tmp_path / "store" / "artifacts").rglob("_versions/*.json"):
        manifest.chmod(0o600)
        manifest.write_bytes(b"damaged")
    assert client.list_names() == ["a/x", "b"]
    assert client.list_versions("a/x") == [1, 2]
    assert client.aliases("a/x") == {"best": 1}
    assert client.aliases("b") == {}


def test_names_that_begin_with_a_text_are_listed_and_no_others():
    backend = FaultyBackend(MemoryBackend(MemoryBucket()))
    client = client_on(backend)
    for name in ("Fraud/a", "fraud/a", "fraud/b.json/c", "fraud/b.json/d/e", "fraud/b", "fraudulent", "other/fraud/x"):
        client.register_artifact(name, b"1")
    wanted = {
        "fraud/": ["fraud/a", "fraud/b", "fraud/b.json/c", "fraud/b.json/d/e"],
        "fraud": ["fraud/a", "fraud/b", "fraud/b.json/c", "fraud/b.json/d/e", "fraudulent"],
        "fraud/b": ["fraud/b", "fraud/b.json/c", "fraud/b.json/d/e"],
        "fraud/b.json/": ["fraud/b.json/c", "fraud/b.json/d/e"],
        "Fraud/": ["Fraud/a"],
        "fra/": [],
        "": ["Fraud/a", "fraud/a", "fraud/b", "fraud/b.json/c", "fraud/b.json/d/e", "fraudulent", "other/fraud/x"],
    }
    for prefix, names in wanted.items():
        assert client.list_names(prefix=prefix) == names, prefix
        assert [artifact.name for artifact in client.list_artifacts(prefix=prefix)] == names, prefix
    backend.calls.clear()
    client.list_names(prefix="fraud/b.json/")
    assert [call.key for call in backend.calls if call.verb == "list_objects"] == ["names/fraud/b!.json/"]
    backend.calls.clear()
    client.list_artifacts(prefix="fraud/b.json/c", include_aliases=True)
    listings = {call.key for call in backend.calls if call.verb == "list_objects"}
    assert listings == {"names/fraud/b!.json/", "artifacts/fraud/b!.json/"}


def test_what_no_name_begins_with_is_refused(client):
    for prefix in ("/a", "a//", "a b", "../", 3):
        with pytest.raises(InvalidInputError, match="name"):
            client.list_names(prefix=prefix)
    with pytest.raises(InvalidInputError, match="give it, or a name"):
        client.list_artifacts("b", prefix="a/")


def test_hidden_names_below_a_prefix_stay_hidden(client, tmp_path):
    record = {"created_at": "2026-01-31T12:00:00Z", "format": 1, "record_id": "0" * 32, "state": "hidden"}
    folder = tmp_path / "store" / "names" / "a" / "x!"
    folder.mkdir()
    (folder / "9999999998.json").write_text(json.dumps(record))
    assert client.list_names(prefix="a/") == []
    assert client.list_names(prefix="a/", include_hidden=True) == ["a/x"]


@pytest.mark.parametrize("call", ["list_versions", "aliases"])
def test_an_unknown_name_is_an_error_and_not_an_empty_list(client, call):
    with pytest.raises(ArtifactNotFoundError, match="a/y"):
        getattr(client, call)("a/y")


@pytest.mark.parametrize("call", [("list_names",), ("list_versions", "a"), ("aliases", "a")])
def test_a_store_that_is_not_there_is_an_error(tmp_path, call):
    with pytest.raises(StoreNotFoundError):
        getattr(MetaMLFlowClient(tmp_path / "nothing"), call[0])(*call[1:])


def test_each_report_is_there_before_the_next_version_is_looked_at(client, tmp_path):
    reports = client.verify_each()
    first = next(reports)
    assert isinstance(first, VerifyReport)
    assert (first.name, first.version, first.ok) == ("a/x", 1, True)
    (manifest,) = (tmp_path / "store/artifacts/b/_versions").iterdir()
    manifest.chmod(0o600)
    manifest.write_bytes(b"damaged")
    rest = list(reports)
    assert [type(report) for report in rest] == [VerifyReport, UnreadableVersion]
    assert rest[1].reference == "b@1"


def test_arguments_of_verify_each_are_refused_at_the_call_and_not_at_the_first_report(client):
    with pytest.raises(InvalidInputError, match=r"^unknown verification level 'deep'"):
        client.verify_each(level="deep")
    with pytest.raises(ArtifactNotFoundError):
        client.verify_each(["nobody"])


def test_many_are_verified_with_their_lineage(client, tmp_path):
    client.register_artifact("made", b"3", inputs=["b@1"])
    assert client.verify_all(lineage=True)
    (manifest,) = (tmp_path / "store/artifacts/b/_versions").iterdir()
    manifest.chmod(0o600)
    manifest.write_bytes(manifest.read_bytes().replace(b'"type":"file"', b'"type":"fake"'))
    assert client.verify_all(["made"])
    assert [f.status for f in client.verify_all(["made"], lineage=True).reports[0].findings] == ["modified"]


def test_the_facts_of_an_artifact_go_through_json(client):
    artifact = client.register_artifact("a/x", {"p/q": b"12", "r": b""}, metadata={"loss": float("nan")})
    document = json.loads(json.dumps(artifact.to_json(entries=1), allow_nan=False))
    assert (document["name"], document["version"], document["files"]) == ("a/x", 3, 2)
    assert document["metadata"] == {"loss": {"$float": "NaN"}}
    assert [entry["path"] for entry in document["entries"]] == ["p/q"]
    assert "entries" not in artifact.to_json()
    assert len(artifact.to_json(entries=None)["entries"]) == 2


def test_a_cleared_cache_keeps_what_this_process_was_handed(client, tmp_path):
    path = client.get_artifact("b").local_path()
    other = tmp_path / "cache" / "entries"
    assert client.clear_cache() == 0
    assert path.read_bytes() == b"1"
    assert any(other.iterdir())


def test_a_diagnosis_says_in_one_line_what_is_wrong(client, tmp_path):
    diagnosis = client.doctor()
    assert diagnosis.ok
    assert diagnosis
    assert json.loads(json.dumps(diagnosis.to_json()))["ok"] is True
    assert {"versions", "cache", "store", "listing", "reading"} <= {check.name for check in diagnosis.checks}
    nothing = MetaMLFlowClient(tmp_path / "nothing").doctor()
    assert "warning: store" in repr(nothing)
    assert "there is no store" in nothing._repr_html_()


def test_a_policy_for_a_role_that_is_not_one_is_refused(client):
    assert client.access_policy("reader").text
    with pytest.raises(InvalidInputError):
        client.access_policy("owner")


def test_the_error_for_the_beginning_of_names_tells_the_argument_for_it(client):
    with pytest.raises(InvalidNameError, match="'fraud/' is no artifact name: it ends in a slash") as caught:
        client.list_artifacts("fraud/")
    assert caught.value.hint.startswith("Give prefix='fraud/' for the names that begin so. A name is made of ")
