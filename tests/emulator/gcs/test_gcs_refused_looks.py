"""A look that is refused tells nothing; a bucket that does not exist is one error, whatever was asked."""

from __future__ import annotations

import json

import pytest
from proxy_faults import ACCESS_DENIED, Refuse, Rule

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, MetaMLFlowError, StoreNotFoundError, UnsupportedStoreError
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.doctor import examine

pytestmark = pytest.mark.emulator

MIB = 1024 * 1024


@pytest.fixture
def behind(root, fault_proxy):
    proxy = fault_proxy(root.server)
    return root.client(root.server.through(proxy.url)), proxy


def test_large_content_is_registered_where_a_look_at_what_is_not_there_is_refused(root, behind):
    client, proxy = behind
    proxy.add(Rule(ACCESS_DENIED, op="objects.get", key="*/blobs/*", times=None))
    artifact = client.register_artifact("model", {"large": bytes(9 * MIB), "small": b"1"})
    assert root.client().get_artifact("model").verify("full")
    assert artifact.version == 1


def test_content_whose_age_may_not_be_asked_is_stored_under_a_key_of_its_own(root, behind):
    client, proxy = behind
    root.client().register_artifact("before", b"content")
    proxy.add(Rule(ACCESS_DENIED, op="objects.get", key="*/blobs/*", times=None))
    client.register_artifact("after", b"content")
    assert len(root.keys("blobs/")) == 2


def test_a_marker_that_may_not_be_looked_for_and_is_not_listed_is_not_there(root, behind):
    client, proxy = behind
    proxy.add(Rule(ACCESS_DENIED, op="objects.media", key="*/metamlflow.json", times=2))
    assert client.register_artifact("a", b"1").version == 1
    assert root.client().get_artifact("a").read_bytes() == b"1"


def test_a_marker_that_is_listed_and_may_not_be_read_is_an_access_error(root, behind):
    client, proxy = behind
    root.client().create_store()
    proxy.add(Rule(ACCESS_DENIED, op="objects.media", key="*/metamlflow.json", times=None))
    with pytest.raises(AccessDeniedError):
        client.register_artifact("a", b"1")


CALLS = {
    "get": lambda c: c.get_artifact("a"),
    "get-number": lambda c: c.get_artifact("a", 1),
    "list": lambda c: c.list_artifacts(),
    "register": lambda c: c.register_artifact("a", b"1"),
    "register-large": lambda c: c.register_artifact("a", bytes(9 * MIB)),
    "init": lambda c: c.create_store(),
    "history": lambda c: c.history("a"),
    "verify": lambda c: c.verify_all(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_bucket_that_does_not_exist_is_one_error(root, call):
    client = MetaMLFlowClient("gs://there-is-no-such-bucket/ml", storage_options=root.options)
    with pytest.raises(StoreNotFoundError, match="the bucket does not exist") as caught:
        call(client)
    assert "None" not in str(caught.value)
    assert "Create it" in caught.value.hint


def test_doctor_tells_the_same(root, tmp_path):
    client = MetaMLFlowClient("gs://there-is-no-such-bucket/ml", storage_options=root.options)
    checks = {check.name: check for check in examine(client._store, FileCache(tmp_path / "cache"))}
    assert checks["store"].verdict == "failed"
    assert "the bucket does not exist" in checks["store"].found


ANSWERS = {
    "null": Refuse(
        403, body=json.dumps({"error": {"code": 403, "message": None, "errors": [{"reason": None}]}}).encode()
    ),
    "empty": Refuse(403, body=b""),
    "no-message": Refuse(403, body=b'{"error": {}}'),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_without_words_is_told_without_none(behind, answer):
    client, proxy = behind
    proxy.add(Rule(answer, times=None))
    with pytest.raises(MetaMLFlowError) as caught:
        client.get_artifact("a")
    assert "None" not in str(caught.value)


def test_a_request_that_the_server_does_not_know_is_no_reason_to_try_again(behind):
    client, proxy = behind
    proxy.add(Rule(Refuse(501, "notImplemented", "Not Implemented"), times=None))
    with pytest.raises(UnsupportedStoreError, match="does not know such requests"):
        client.get_artifact("a")
    assert len(proxy.log) <= 3, "the marker, the features and a listing, at the same time, and each once"
    assert len({request.target for request in proxy.log}) == len(proxy.log)
